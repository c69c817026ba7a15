/* One pass over the words: options are stored as they come, the other words are kept and then
 * matched with the commands. */
#include "command/options.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "base/words.h"

#define HELP_COLUMN 24
#define MAX_NAMES 64 /* options or commands of one program */
#define MAX_WORD 32  /* bytes of a command's word */

/* ---- texts ---- */

int options_refuse(const struct option_table *table, struct latent_error *err, const char *format,
                   ...)
{
    char what[sizeof err->text];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    return error_text(err, LATENT_E_CONFIG, "%.400s; see %s --help", what, table->program);
}

enum program_exit options_fail(const char *program, enum program_exit code,
                               const struct latent_error *err)
{
    fprintf(stderr, "%s: %s\n", program, err->text);
    return code;
}

/* known: NULL at the end. before: what the nearest stands behind, e.g. "--". */
static int unknown_refuse(const struct option_table *table, struct latent_error *err,
                          const char *what, const char *found, const char *const *known,
                          const char *before)
{
    const char *nearest = word_nearest(found, known);

    if (!nearest) return options_refuse(table, err, "unknown %s \"%s%.100s\"", what, before, found);
    return options_refuse(table, err, "unknown %s \"%s%.100s\"; nearest: %s%s", what, before, found,
                          before, nearest);
}

/* ---- help ---- */

/* The lines of a help text in their column; `used` columns of the first are printed already. */
static void lines_print(const char *text, int used)
{
    size_t n;

    if (used >= HELP_COLUMN) printf("\n");
    for (; *text; text += n + (text[n] == '\n'), used = 0) {
        n = strcspn(text, "\n");
        printf("%*s%.*s\n", used < HELP_COLUMN ? HELP_COLUMN - used : HELP_COLUMN, "", (int)n,
               text);
    }
}

static void row_print(const char *name, const char *value, const char *help)
{
    lines_print(help, printf("  --%s%s%s", name, value ? " " : "", value ? value : ""));
}

static void option_print(const struct option_row *row)
{
    row_print(row->name, row->value, row->help);
    if (row->type == OPTION_IS_TEXT && *row->out.text)
        printf("%*s(default: %s)\n", HELP_COLUMN, "", *row->out.text);
}

static void commands_print(const struct option_command *commands)
{
    bool is_first = true;

    for (const struct option_command *c = commands; c && c->pattern; c++) {
        if (!c->help) continue;
        if (is_first) printf("\n");
        is_first = false;
        lines_print(c->help, printf("  %s", c->pattern));
    }
}

static void help_print(const struct option_table *table)
{
    printf("%s %s: %s\n\nusage: %s %s\n", table->program, LATENT_VERSION, table->purpose,
           table->program, table->usage);
    commands_print(table->commands);
    printf("\n");
    for (const struct option_row *row = table->rows; row->name; row++) option_print(row);
    row_print("help", NULL, "print this");
    row_print("version", NULL, "print the version");
    if (table->notes) printf("\n%s", table->notes);
}

/* ---- options ---- */

static const struct option_row *row_find(const struct option_table *table, const char *name,
                                         size_t length)
{
    for (const struct option_row *row = table->rows; row->name; row++)
        if (strlen(row->name) == length && strncmp(row->name, name, length) == 0) return row;
    return NULL;
}

static int option_unknown(const struct option_table *table, const char *word,
                          struct latent_error *err)
{
    const char *known[MAX_NAMES + 3];
    size_t n_dashes = word[1] == '-' ? 2 : 1, n = 0;
    char name[MAX_WORD];

    for (const struct option_row *row = table->rows; row->name && n < MAX_NAMES; row++)
        known[n++] = row->name;
    known[n++] = "help";
    known[n++] = "version";
    known[n] = NULL;
    snprintf(name, sizeof name, "%.*s", (int)strcspn(word + n_dashes, "="), word + n_dashes);
    return unknown_refuse(table, err, "option", name, known, n_dashes == 2 ? "--" : "-");
}

static int text_store(const struct option_table *table, const struct option_row *row,
                      const char *text, struct latent_error *err)
{
    char allowed[128] = "";

    *row->out.text = text;
    if (!row->words) return 0;
    for (const char *const *word = row->words; *word; word++) {
        size_t n = strlen(allowed);

        if (strcmp(*word, text) == 0) return 0;
        snprintf(allowed + n, sizeof allowed - n, "%s%s", n ? " or " : "", *word);
    }
    return options_refuse(table, err, "--%s: expected %s, found \"%.100s\"", row->name, allowed,
                          text);
}

/* " (...)" for a time in another unit than milliseconds, else "". */
static void unit_hint(const struct option_row *row, const char *text, double value, char *hint,
                      size_t n_hint)
{
    bool is_ms = row->value && strcmp(row->value, "MS") == 0;
    double of_seconds = value * 1000.0, of_microseconds = value / 1000.0;

    hint[0] = '\0';
    if (is_ms && value < row->least && of_seconds >= row->least && of_seconds <= row->most)
        snprintf(hint, n_hint, " (milliseconds; %.20s seconds are %.9g)", text, of_seconds);
    else if (is_ms && value > row->most && of_microseconds <= row->most)
        snprintf(hint, n_hint, " (milliseconds; %.20s microseconds are %.9g)", text,
                 of_microseconds);
}

/* A number as a person writes it: not nan, not inf, nothing after it. */
static bool number_read(const char *text, bool is_whole, double *out)
{
    char *end;

    if (!isdigit((unsigned char)text[0]) && (is_whole || !strchr("+-.", text[0]))) return false;
    errno = 0;
    *out = is_whole ? (double)strtoull(text, &end, 10) : strtod(text, &end);
    return errno == 0 && end != text && *end == '\0' && isfinite(*out);
}

static int number_store(const struct option_table *table, const struct option_row *row,
                        const char *text, struct latent_error *err)
{
    bool is_whole = row->type == OPTION_IS_WHOLE;
    const char *kind = is_whole ? "a whole number" : "a number";
    char hint[96] = "";
    double value;

    if (number_read(text, is_whole, &value) && value >= row->least && value <= row->most) {
        if (is_whole)
            *row->out.whole = strtoull(text, NULL, 10);
        else
            *row->out.number = value;
        return 0;
    }
    if (number_read(text, is_whole, &value)) unit_hint(row, text, value, hint, sizeof hint);
    if (row->most >= OPTION_ANY_NUMBER)
        return options_refuse(table, err, "--%s: expected %s, %.9g or more, found \"%.100s\"%s",
                              row->name, kind, row->least, text, hint);
    return options_refuse(table, err, "--%s: expected %s from %.9g to %.9g, found \"%.100s\"%s",
                          row->name, kind, row->least, row->most, text, hint);
}

/* One option at argv[*at]; *at moves on to its value when that is a word of its own. */
static int option_store(const struct option_table *table, int argc, char **argv, int *at,
                        struct latent_error *err)
{
    const char *word = argv[*at], *equals = strchr(word, '='), *value;
    const struct option_row *row = NULL;

    if (word[1] == '-')
        row = row_find(table, word + 2, equals ? (size_t)(equals - word) - 2 : strlen(word) - 2);
    if (!row) return option_unknown(table, word, err);
    if (row->type == OPTION_IS_SWITCH) {
        if (equals) return options_refuse(table, err, "--%s takes no value", row->name);
        *row->out.is_on = true;
        return 0;
    }
    if (!equals && (*at + 1 >= argc || strncmp(argv[*at + 1], "--", 2) == 0))
        return options_refuse(table, err, "--%s needs a value, %s", row->name, row->value);
    value = equals ? equals + 1 : argv[++*at];
    return row->type == OPTION_IS_TEXT ? text_store(table, row, value, err)
                                       : number_store(table, row, value, err);
}

/* ---- commands ---- */

/* Words of the command line that are no options. */
struct words {
    const char *word[OPTIONS_MAX_WORDS + 1];
    size_t n;
};

/* Place `at` of a pattern. false: it ends before. */
static bool pattern_word(const char *pattern, size_t at, char word[MAX_WORD])
{
    for (; at > 0 && *pattern; at--) {
        pattern += strcspn(pattern, " ");
        pattern += strspn(pattern, " ");
    }
    snprintf(word, MAX_WORD, "%.*s", (int)strcspn(pattern, " "), pattern);
    return word[0] != '\0';
}

static bool is_operand(const char *word)
{
    return isupper((unsigned char)word[0]);
}

/* Do the first n words fit, whatever follows? */
static bool pattern_fits(const char *pattern, const struct words *words, size_t n)
{
    char expected[MAX_WORD];

    for (size_t i = 0; i < n; i++) {
        if (!pattern_word(pattern, i, expected)) return false;
        if (!is_operand(expected) && strcmp(expected, words->word[i]) != 0) return false;
    }
    return true;
}

/* What may stand in place `at` after the words before it: [n + 1], NULL at the end. */
static size_t words_possible(const struct option_table *table, const struct words *words, size_t at,
                             char text[MAX_NAMES][MAX_WORD], const char **known)
{
    size_t n = 0;

    for (const struct option_command *c = table->commands; c && c->pattern; c++) {
        if (n == MAX_NAMES || !pattern_fits(c->pattern, words, at)) continue;
        if (!pattern_word(c->pattern, at, text[n])) continue;
        if (n > 0 && strcmp(text[n], text[n - 1]) == 0) continue;
        known[n] = text[n];
        n++;
    }
    known[n] = NULL;
    return n;
}

/* No command fits: at the first word that none takes, or at the one that is missing. */
static int words_refuse(const struct option_table *table, const struct words *words,
                        struct latent_error *err)
{
    static const char several[] = "a command";
    char text[MAX_NAMES][MAX_WORD];
    const char *known[MAX_NAMES + 1];
    size_t at = 0, n;

    while (at < words->n) {
        bool fits = false;

        for (const struct option_command *c = table->commands; c && c->pattern && !fits; c++)
            fits = pattern_fits(c->pattern, words, at + 1);
        if (!fits) break;
        at++;
    }
    n = words_possible(table, words, at, text, known);
    if (at == words->n && n == 2)
        return options_refuse(table, err, "%s or %s is missing", known[0], known[1]);
    if (at == words->n)
        return options_refuse(table, err, "%s is missing", n == 1 ? known[0] : several);
    if (n == 0) return options_refuse(table, err, "unexpected \"%.100s\"", words->word[at]);
    return unknown_refuse(table, err, at ? "word" : "command", words->word[at], known, "");
}

static void operands_store(const struct option_command *command, const struct words *words)
{
    char expected[MAX_WORD];
    size_t n = 0;

    for (size_t i = 0; i < words->n && pattern_word(command->pattern, i, expected); i++)
        if (is_operand(expected)) *command->out[n++] = words->word[i];
}

static int words_match(const struct option_table *table, const struct words *words, int *command,
                       struct latent_error *err)
{
    char more[MAX_WORD];

    if (!table->commands && words->n == 0) return OPTIONS_RUN;
    for (const struct option_command *c = table->commands; c && c->pattern; c++) {
        if (!pattern_fits(c->pattern, words, words->n)) continue;
        if (pattern_word(c->pattern, words->n, more)) continue;
        operands_store(c, words);
        if (command) *command = c->code;
        return OPTIONS_RUN;
    }
    return words_refuse(table, words, err);
}

/* ---- the command line ---- */

/* Before anything is stored: what the options hold is the default, which --help prints. */
static bool help_answer(const struct option_table *table, int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0) return help_print(table), true;
        if (strcmp(argv[i], "--version") == 0)
            return printf("%s %s\n", table->program, LATENT_VERSION), true;
    }
    return false;
}

int options_read(const struct option_table *table, int argc, char **argv, int *command,
                 struct latent_error *err)
{
    struct words words = {.n = 0};
    bool are_over = false; /* after --, all is words */

    if (help_answer(table, argc, argv)) return OPTIONS_DONE;
    for (int i = 1; i < argc; i++) {
        if (!are_over && strcmp(argv[i], "--") == 0) {
            are_over = true;
        } else if (are_over || argv[i][0] != '-' || argv[i][1] == '\0') {
            if (words.n <= OPTIONS_MAX_WORDS) words.word[words.n++] = argv[i];
        } else {
            int status = option_store(table, argc, argv, &i, err);

            if (status) return status;
        }
    }
    return words_match(table, &words, command, err);
}
