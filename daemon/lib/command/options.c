/* Command lines: --name VALUE, --name=VALUE and switches. */
#include "command/options.h"

#include <errno.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

static void help_print(const struct option_table *table)
{
    char left[64];
    printf("%s %s: %s\n\nusage: %s\n\n", table->program, LATENT_VERSION, table->purpose,
           table->usage);
    for (const struct option_row *row = table->rows; row->name; row++) {
        snprintf(left, sizeof left, "--%s %s", row->name, row->value ? row->value : "");
        printf("  %-24s %s\n", left, row->help);
    }
    printf("  %-24s %s\n", "--help", "print this");
    printf("  %-24s %s\n", "--version", "print the version");
}

static const struct option_row *row_find(const struct option_table *table, const char *name,
                                         size_t length)
{
    for (const struct option_row *row = table->rows; row->name; row++)
        if (strlen(row->name) == length && strncmp(row->name, name, length) == 0) return row;
    return NULL;
}

static int value_fail(const struct option_row *row, const char *expected, const char *found,
                      struct latent_error *err)
{
    return error_text(err, LATENT_E_CONFIG, "option --%s: expected %s, found \"%s\"", row->name,
                      expected, found);
}

static int value_store(const struct option_row *row, const char *text, struct latent_error *err)
{
    char *end;
    errno = 0;
    if (row->type == OPTION_TEXT) {
        *(const char **)row->out = text;
        return 0;
    }
    if (row->type == OPTION_WHOLE) {
        uint64_t whole = strtoull(text, &end, 10);
        if (errno || end == text || *end || strchr(text, '-'))
            return value_fail(row, "a whole number, 0 or more", text, err);
        *(uint64_t *)row->out = whole;
        return 0;
    }
    double number = strtod(text, &end);
    if (errno || end == text || *end || !isfinite(number) || number < 0.0)
        return value_fail(row, "a number, 0 or more", text, err);
    *(double *)row->out = number;
    return 0;
}

int options_parse(const struct option_table *table, int argc, char **argv, struct latent_error *err)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) return help_print(table), OPTIONS_DONE;
        if (strcmp(argv[i], "--version") == 0)
            return printf("%s %s\n", table->program, LATENT_VERSION), OPTIONS_DONE;

        const char *name = argv[i] + 2, *equals = strchr(argv[i], '=');
        size_t length = equals ? (size_t)(equals - name) : strlen(argv[i]) - 2;
        const struct option_row *row =
            strncmp(argv[i], "--", 2) == 0 ? row_find(table, name, length) : NULL;
        if (!row)
            return error_text(err, LATENT_E_CONFIG, "unknown option \"%s\": see %s --help", argv[i],
                              table->program);
        if (row->type == OPTION_SWITCH) {
            *(int *)row->out = 1;
            continue;
        }
        if (!equals && (++i >= argc || strncmp(argv[i], "--", 2) == 0))
            return error_text(err, LATENT_E_CONFIG, "option --%s: needs a value (%s)", row->name,
                              row->value);
        int status = value_store(row, equals ? equals + 1 : argv[i], err);
        if (status) return status;
    }
    return OPTIONS_RUN;
}
