/* libinih splits keys from values; the line numbers, the headings and all refusals are ours: it
 * tells its handler no line, cuts long lines in two and long headings short, and reports one
 * mistake only. */
#include "conf/lines.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "base/words.h"
#include "conf/types.h"

struct reader {
    FILE *file;
    struct conf *conf;
    unsigned line;
    /* The section of the lines to come; values NULL: its heading was refused, its keys are passed
     * over. */
    bool in_section;
    enum conf_section section;
    void *values;
    struct conf_lines *lines;
};

/* ---- headings ---- */

static bool is_end_of_line(const char *rest)
{
    rest += strspn(rest, " \t\r");
    return *rest == '\0' || *rest == ';' || *rest == '#';
}

static void open_daemon(struct reader *r)
{
    struct conf *c = r->conf;

    if (c->daemon_lines.section) {
        conf_problem(c, r->line, NULL, "[latentd] is given twice (first in line %u)",
                     c->daemon_lines.section);
        return;
    }
    c->daemon_lines.section = r->line;
    r->section = CONF_DAEMON;
    r->values = &c->daemon;
    r->lines = &c->daemon_lines;
}

/* A name for the next section of its kind; n are there, at most n_max. */
static bool name_is_good(struct reader *r, enum conf_section section, const char *name, size_t n,
                         size_t n_max)
{
    const char *kind = section == CONF_STREAM ? "stream" : "client";
    size_t n_letters = strlen(name);

    if (n_letters == 0 || n_letters > CONF_MAX_NAME ||
        strspn(name, CONF_NAME_LETTERS) != n_letters) {
        conf_problem(r->conf, r->line, NULL,
                     "'%s' is no name of a %s; 1 to %d letters, digits, - and _", name, kind,
                     CONF_MAX_NAME);
        return false;
    }
    if (n < n_max) return true;
    conf_problem(r->conf, r->line, NULL, "more than %zu %ss", n_max, kind);
    return false;
}

static void refuse_twice(struct reader *r, const char *kind, const char *name, unsigned first_line)
{
    conf_problem(r->conf, r->line, NULL, "[%s %s] is given twice (first in line %u)", kind, name,
                 first_line);
}

static void open_stream(struct reader *r, const char *name)
{
    struct conf *c = r->conf;
    struct conf_stream_section *s;

    if (!name_is_good(r, CONF_STREAM, name, c->n_streams, CONF_MAX_STREAMS)) return;
    for (size_t i = 0; i < c->n_streams; i++)
        if (strcmp(c->streams[i].name, name) == 0) {
            refuse_twice(r, "stream", name, c->streams[i].lines.section);
            return;
        }
    c->streams = memory_need(realloc(c->streams, (c->n_streams + 1) * sizeof *c->streams));
    s = &c->streams[c->n_streams++];
    *s = (struct conf_stream_section){.lines.section = r->line};
    snprintf(s->name, sizeof s->name, "%s", name);
    conf_set_defaults(CONF_STREAM, &s->values);
    r->section = CONF_STREAM;
    r->values = &s->values;
    r->lines = &s->lines;
}

static void open_client(struct reader *r, const char *name)
{
    struct conf *c = r->conf;
    struct conf_client_section *s;

    if (!name_is_good(r, CONF_CLIENT, name, c->n_clients, CONF_MAX_CLIENTS)) return;
    for (size_t i = 0; i < c->n_clients; i++)
        if (strcmp(c->clients[i].name, name) == 0) {
            refuse_twice(r, "client", name, c->clients[i].lines.section);
            return;
        }
    c->clients = memory_need(realloc(c->clients, (c->n_clients + 1) * sizeof *c->clients));
    s = &c->clients[c->n_clients++];
    *s = (struct conf_client_section){.lines.section = r->line};
    snprintf(s->name, sizeof s->name, "%s", name);
    r->section = CONF_CLIENT;
    r->values = &s->values;
    r->lines = &s->lines;
}

static void explain_heading(struct reader *r, const char *name)
{
    static const char *const known[] = {"latentd", "stream", "client", NULL};
    char first[CONF_MAX_NAME + 1];
    const char *nearest;

    snprintf(first, sizeof first, "%.*s", (int)strcspn(name, " \t"), name);
    nearest = word_nearest(first, known);
    conf_problem(r->conf, r->line, NULL,
                 "[%s] is not known; allowed: [latentd], [stream NAME], [client NAME]%s%s", name,
                 nearest ? "; nearest: " : "", nearest ? nearest : "");
}

/* The name in "KIND NAME"; NULL: it is of another kind. */
static const char *name_in(const char *heading, const char *kind)
{
    size_t n = strlen(kind);

    if (strncmp(heading, kind, n) != 0) return NULL;
    if (heading[n] != '\0' && heading[n] != ' ') return NULL;
    return heading + n + strspn(heading + n, " \t");
}

static void on_heading(struct reader *r, char *heading)
{
    char *end = strchr(heading, ']'), *name;

    r->in_section = true;
    r->values = NULL;
    if (!end || !is_end_of_line(end + 1)) {
        conf_problem(r->conf, r->line, NULL, "'%s' is no heading; write [NAME] alone", heading);
        return;
    }
    *end = '\0';
    name = heading + 1 + strspn(heading + 1, " \t");
    while (end > name && isspace((unsigned char)end[-1])) *--end = '\0';
    if (strcmp(name, "latentd") == 0)
        open_daemon(r);
    else if (name_in(name, "stream"))
        open_stream(r, name_in(name, "stream"));
    else if (name_in(name, "client"))
        open_client(r, name_in(name, "client"));
    else
        explain_heading(r, name);
}

/* ---- keys ---- */

static void explain_key(struct reader *r, const char *name)
{
    const char *known[CONF_MAX_KEYS + 1], *nearest;
    size_t n = 0;

    for (const struct conf_key *key = conf_keys(r->section); key->name; key++)
        known[n++] = key->name;
    known[n] = NULL;
    nearest = word_nearest(name, known);
    if (nearest)
        conf_problem(r->conf, r->line, name, "not a key of [%s]; nearest: %s",
                     conf_section_form(r->section), nearest);
    else
        conf_problem(r->conf, r->line, name, "not a key of [%s]; see latentd --help-config",
                     conf_section_form(r->section));
}

static void set_key(struct reader *r, const struct conf_key *key, const char *value)
{
    unsigned *line = &r->lines->key[key - conf_keys(r->section)];
    char text[CONF_MAX_VALUE];

    if (*line) {
        conf_problem(r->conf, r->line, key->name, "given twice (first in line %u)", *line);
        return;
    }
    *line = r->line;
    if (strlen(value) >= CONF_MAX_VALUE)
        conf_problem(r->conf, r->line, key->name, "longer than %d bytes", CONF_MAX_VALUE - 1);
    else if (!key->type->set(key, (char *)r->values + key->offset, value, text, sizeof text))
        conf_problem(r->conf, r->line, key->name, "%s", text);
}

/* Called by libinih right after it was given the line, so r->line is the line of this key. */
static int on_key(void *user, const char *section, const char *name, const char *value)
{
    struct reader *r = user;
    const struct conf_key *key;

    (void)section;
    if (!r->in_section) {
        conf_problem(r->conf, r->line, name, "stands before any section heading");
        return 1;
    }
    if (!r->values) return 1;
    key = conf_find(r->section, name);
    if (key)
        set_key(r, key, value);
    else
        explain_key(r, name);
    return 1;
}

/* ---- lines ---- */

/* A file that is no text is not explained line by line: it may be a model. Line of the first zero
 * byte, or 0. */
static unsigned binary_line(FILE *file)
{
    unsigned line = 1;
    int c;

    while ((c = fgetc(file)) != EOF && c != '\0') line += c == '\n';
    rewind(file);
    return c == '\0' ? line : 0;
}

/* One line without its end into text; false at the end of the file. Too long: a problem, and
 * empty. */
static bool next_line(struct reader *r, char *text, size_t n_text)
{
    size_t n = 0;
    int c = fgetc(r->file);

    text[0] = '\0';
    if (c == EOF) return false;
    r->line++;
    for (; c != EOF && c != '\n'; c = fgetc(r->file))
        if (n < n_text) text[n++] = (char)c;
    if (n < n_text) {
        text[n] = '\0';
        return true;
    }
    text[0] = '\0';
    conf_problem(r->conf, r->line, NULL, "longer than %zu bytes", n_text - 1);
    return true;
}

/* Is there a key and, before any comment, = or : after it? */
static bool is_assignment(const char *line)
{
    size_t n = strcspn(line, "=:");

    if (n == 0 || line[n] == '\0') return false;
    for (size_t i = 1; i < n; i++)
        if (line[i] == ';' && isspace((unsigned char)line[i - 1])) return false;
    return true;
}

/* libinih knows comments behind a blank and ; only. */
static void cut_comment(char *line)
{
    for (char *mark = strchr(line, '#'); mark; mark = strchr(mark + 1, '#')) {
        if (mark == line || !isspace((unsigned char)mark[-1])) continue;
        *mark = '\0';
        return;
    }
}

/* Headings are taken here; a line that is none, no comment and no assignment is refused. Both come
 * back empty, so that libinih sees assignments only. */
static void judge_line(struct reader *r, char *line)
{
    const char *bom = "\xEF\xBB\xBF";
    char *start = line;

    if (r->line == 1 && strncmp(line, bom, strlen(bom)) == 0) start += strlen(bom);
    start += strspn(start, " \t\r");
    memmove(line, start, strlen(start) + 1);
    cut_comment(line);
    if (*line == '[')
        on_heading(r, line);
    else if (is_end_of_line(line) || is_assignment(line))
        return;
    else
        conf_problem(r->conf, r->line, NULL, "'%s' is neither [section] nor key = value", line);
    *line = '\0';
}

/* In the manner of fgets, for libinih. */
static char *give_line(char *text, int n_text, void *user)
{
    struct reader *r = user;
    size_t n;

    assert(n_text > CONF_MAX_LINE + 1);
    if (!next_line(r, text, CONF_MAX_LINE + 1)) return NULL;
    judge_line(r, text);
    n = strlen(text);
    text[n] = '\n';
    text[n + 1] = '\0';
    return text;
}

bool conf_lines_read(struct conf *c, FILE *file)
{
    struct reader r = {.conf = c, .file = file};
    unsigned binary = binary_line(file);
    int status;

    if (binary) {
        conf_problem(c, binary, NULL, "holds a zero byte: not a text file");
        return false;
    }
    errno = 0;
    ini_use_stack = false;
    ini_max_line = CONF_MAX_LINE + 3;
    ini_initial_alloc = CONF_MAX_LINE + 3;
    ini_allow_multiline = false;
    status = ini_parse_stream(give_line, &r, on_key, &r);
    if (status > 0 && c->n_problems == 0) conf_problem(c, (unsigned)status, NULL, "not understood");
    if (status < 0 || ferror(r.file))
        conf_problem(c, 0, NULL, "cannot read: %s", strerror(errno ? errno : ENOMEM));
    return status >= 0;
}
