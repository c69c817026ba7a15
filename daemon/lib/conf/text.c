/* Three ways of writing the table of keys. */
#include "conf/text.h"

#include <string.h>

#include "conf/compare.h"
#include "conf/types.h"

#define HELP_WIDTH 76

/* What may stand after "key =": words, or the form of the type. */
static void print_allowed(const struct conf_key *key, FILE *out)
{
    const char *separator = key->type == &conf_set ? " " : " | ";

    if (key->unset) fprintf(out, "%s | ", key->unset);
    if (!key->words)
        fprintf(out, "%s", key->type->form);
    else
        for (const char *const *word = key->words; *word; word++)
            fprintf(out, "%s%s", word == key->words ? "" : separator, *word);
    if (key->type == &conf_count) fprintf(out, " %u..%u", key->min, key->max);
}

/* ---- the configuration in force ---- */

static void print_section(enum conf_section section, const void *values, FILE *out)
{
    char text[CONF_MAX_VALUE];

    for (const struct conf_key *key = conf_keys(section); key->name; key++) {
        key->type->print(key, (const char *)values + key->offset, text, sizeof text);
        fprintf(out, "%s = %s\n", key->name, text);
    }
}

static void print_daemon(const struct conf *c, FILE *out)
{
    fprintf(out, "[latentd]\n");
    print_section(CONF_DAEMON, &c->daemon, out);
}

static void print_stream(const struct conf_stream_section *s, FILE *out)
{
    fprintf(out, "\n[stream %s]\n", s->name);
    print_section(CONF_STREAM, &s->values, out);
}

static void print_client(const struct conf_client_section *s, FILE *out)
{
    fprintf(out, "\n[client %s]\n", s->name);
    print_section(CONF_CLIENT, &s->values, out);
}

void conf_print(const struct conf *c, FILE *out)
{
    print_daemon(c, out);
    for (size_t i = 0; i < c->n_clients; i++) print_client(&c->clients[i], out);
    for (size_t i = 0; i < c->n_streams; i++) print_stream(&c->streams[i], out);
}

void conf_print_stream(const struct conf *c, const struct conf_stream_section *s, FILE *out)
{
    print_daemon(c, out);
    print_stream(s, out);
}

/* ---- help ---- */

static void print_wrapped(const char *text, const char *indent, FILE *out)
{
    size_t column = 0;

    while (*text) {
        size_t n = strcspn(text, " ");

        if (column == 0 || column + 1 + n > HELP_WIDTH) {
            fprintf(out, "%s%s", column ? "\n" : "", indent);
            column = strlen(indent);
        } else {
            column += (size_t)fprintf(out, " ");
        }
        column += (size_t)fprintf(out, "%.*s", (int)n, text);
        text += n + strspn(text + n, " ");
    }
    fprintf(out, "\n");
}

static void print_key_help(const struct conf_key *key, FILE *out)
{
    fprintf(out, "  %s = ", key->name);
    print_allowed(key, out);
    if (key->value)
        fprintf(out, "\n      default: %s\n", key->value);
    else
        fprintf(out, "\n      required\n");
    print_wrapped(key->help, "      ", out);
    if (conf_is_live(key->name)) fprintf(out, "      May change while latentd runs.\n");
}

void conf_print_help(FILE *out)
{
    for (enum conf_section s = 0; s < CONF_N_SECTIONS; s++) {
        fprintf(out, "%s[%s]\n", s ? "\n" : "", conf_section_form(s));
        for (const struct conf_key *key = conf_keys(s); key->name; key++) print_key_help(key, out);
    }
}

/* ---- manual page ---- */

/* Without this a hyphen becomes a dash that cannot be searched for, and a leading dot a request. */
static void print_troff(const char *text, FILE *out)
{
    if (*text == '.' || *text == '\'') fprintf(out, "\\&");
    for (; *text; text++) {
        if (*text == '-')
            fprintf(out, "\\-");
        else if (*text == '\\')
            fprintf(out, "\\e");
        else
            fputc(*text, out);
    }
}

static void print_key_man(const struct conf_key *key, FILE *out)
{
    fprintf(out, ".TP\n.B ");
    print_troff(key->name, out);
    fprintf(out, "\n");
    print_troff(key->help, out);
    if (conf_is_live(key->name)) fprintf(out, "\nMay change while latentd runs.");
    fprintf(out, "\n.br\nAllowed: ");
    print_allowed(key, out);
    fprintf(out, ".\n.br\n");
    if (key->value) {
        fprintf(out, "Default: ");
        print_troff(key->value, out);
        fprintf(out, "\n");
    } else {
        fprintf(out, "Required.\n");
    }
}

static const char man_head[] =
    ".TH LATENTD 5 \"\" \"latentd " LATENT_VERSION "\" \"File formats\"\n"
    ".SH NAME\n"
    "latentd \\- configuration of latentd, the real\\-time neural decoder\n"
    ".SH DESCRIPTION\n"
    "The file holds sections, [NAME] alone in a line, and in them keys, key = value. Lines\n"
    "that start with # or ; are comments; so is the rest of a line after a blank and # or ;.\n"
    "No line is longer than 1000 bytes. A section or key that is given twice, or that is\n"
    "not described here, is refused: latentd then names file, line and key, and ends with\n"
    "exit code 2. latentd \\-\\-check FILE does the same without starting, opens the models,\n"
    "and prints the configuration as it would be in force.\n"
    ".PP\n"
    "There is one section [latentd], which may be left out, one section [stream NAME]\n"
    "for each stream, at least one, and one section [client NAME] for each key that may\n"
    "connect. NAME is letters, digits, \\- and _, at most 32.\n";

static const char man_tail[] = ".SH EXAMPLE\n"
                               ".nf\n"
                               "[stream reach]\n"
                               "model = /var/lib/latentd/gru.safetensors\n"
                               "outputs = readout\n"
                               "budget\\-ms = 2\n"
                               ".fi\n"
                               ".SH SEE ALSO\n"
                               "latentd \\-\\-help, latentctl \\-\\-help\n";

void conf_print_man(FILE *out)
{
    fputs(man_head, out);
    for (enum conf_section s = 0; s < CONF_N_SECTIONS; s++) {
        fprintf(out, ".SH SECTION [%s]\n", conf_section_form(s));
        for (const struct conf_key *key = conf_keys(s); key->name; key++) print_key_man(key, out);
    }
    fputs(man_tail, out);
}
