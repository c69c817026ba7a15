/* Values are compared as the texts that they are written as. */
#include "conf/compare.h"

#include <string.h>

/* Deadlines and what is done when something is amiss: none of them is for the decoder's numbers, a
 * socket, a thread, or the memory of a stream. */
static const char *const live_keys[] = {
    "budget-ms",    "valid-for-ms", "max-jump-ms", "on-late",          "max-age-ms", "on-missing",
    "publish-late", "on-silent",    "lease-ms",    "missing-after-ms", "safe-start", "safe-ramp-ms",
    "safe-exit",    "max-masked",   "mask",        "admission",        "keep-ms",    "bad-channels",
};

bool conf_is_live(const char *key)
{
    for (size_t i = 0; i < sizeof live_keys / sizeof live_keys[0]; i++)
        if (strcmp(live_keys[i], key) == 0) return true;
    return false;
}

void conf_swap_live(struct conf_stream *a, struct conf_stream *b)
{
    for (const struct conf_key *key = conf_keys(CONF_STREAM); key->name; key++) {
        char *one = (char *)a + key->offset, *other = (char *)b + key->offset;

        if (!conf_is_live(key->name)) continue;
        for (size_t i = 0; i < key->type->n_bytes; i++) {
            char byte = one[i];

            one[i] = other[i];
            other[i] = byte;
        }
    }
}

struct comparison {
    void (*on_difference)(void *ctx, const struct conf_difference *d);
    void *ctx;
};

/* A section of one of the files. */
struct part {
    const char *name;
    const void *values;
    const struct conf_lines *lines;
};

static struct part part_of(const struct conf *c, enum conf_section section, size_t i)
{
    switch (section) {
    case CONF_STREAM:
        return (struct part){c->streams[i].name, &c->streams[i].values, &c->streams[i].lines};
    case CONF_CLIENT:
        return (struct part){c->clients[i].name, &c->clients[i].values, &c->clients[i].lines};
    default:
        return (struct part){"", &c->daemon, &c->daemon_lines};
    }
}

static size_t n_parts(const struct conf *c, enum conf_section section)
{
    if (section == CONF_STREAM) return c->n_streams;
    return section == CONF_CLIENT ? c->n_clients : 1;
}

/* false: there is none. */
static bool find(const struct conf *c, enum conf_section section, const char *name,
                 struct part *part)
{
    for (size_t i = 0; i < n_parts(c, section); i++) {
        *part = part_of(c, section, i);
        if (strcmp(part->name, name) == 0) return true;
    }
    return false;
}

static void compare_values(const struct comparison *to, enum conf_section section,
                           const struct part *before, const struct part *after)
{
    struct conf_difference d = {.section = section, .name = after->name};

    for (const struct conf_key *key = conf_keys(section); key->name; key++) {
        key->type->print(key, (const char *)before->values + key->offset, d.before,
                         sizeof d.before);
        key->type->print(key, (const char *)after->values + key->offset, d.after, sizeof d.after);
        if (strcmp(d.before, d.after) == 0) continue;
        d.key = key->name;
        d.line = conf_is_given(after->lines, section, key->name)
                     ? conf_line(after->lines, section, key->name)
                     : 0;
        to->on_difference(to->ctx, &d);
    }
}

static void compare_sections(const struct comparison *to, const struct conf *before,
                             const struct conf *after, enum conf_section section)
{
    struct part one, other;

    for (size_t i = 0; i < n_parts(before, section); i++) {
        one = part_of(before, section, i);
        if (find(after, section, one.name, &other))
            compare_values(to, section, &one, &other);
        else
            to->on_difference(to->ctx, &(struct conf_difference){
                                           .section = section, .name = one.name, .is_gone = true});
    }
    for (size_t i = 0; i < n_parts(after, section); i++) {
        one = part_of(after, section, i);
        if (!find(before, section, one.name, &other))
            to->on_difference(to->ctx, &(struct conf_difference){.section = section,
                                                                 .name = one.name,
                                                                 .line = one.lines->section});
    }
}

void conf_compare(const struct conf *before, const struct conf *after,
                  void (*on_difference)(void *ctx, const struct conf_difference *d), void *ctx)
{
    const struct comparison to = {on_difference, ctx};

    for (enum conf_section section = 0; section < CONF_N_SECTIONS; section++)
        compare_sections(&to, before, after, section);
}
