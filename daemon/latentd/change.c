/* Made ready, then posted: one order for each data loop. */
#include "latentd/change.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/check.h"
#include "conf/compare.h"
#include "health/bad_channels.h"
#include "latentd/daemon.h"
#include "latentd/info.h"
#include "setup/setup.h"

/* ---- made ready ---- */

static const struct conf_stream_section *find_section(const struct conf *c, const char *name)
{
    for (size_t i = 0; i < c->n_streams; i++)
        if (strcmp(c->streams[i].name, name) == 0) return &c->streams[i];
    return NULL;
}

/* What is in force, with what the file says now of what may change. Its texts are those of others,
 * but for the mask. */
static int make_section(struct change_stream *c, struct conf *fresh,
                        const struct conf_stream_section *f, char *why, size_t n_why)
{
    const struct stream *s = c->stream;
    bool names_valid_for = f->values.valid_for_ns != 0;
    struct conf_stream values = f->values;
    size_t n_problems = fresh->n_problems;
    const char *nothing;

    c->section = *s->conf;
    c->section.lines = f->lines;
    c->section.values.mask = NULL;
    conf_swap_live(&c->section.values, &values);
    if (f->values.mask && !(c->section.values.mask = strdup(f->values.mask)))
        return text_refuse(why, n_why, "out of memory");
    conf_resolve(&c->section.values, s->info.bin_width_us, s->info.every_bins);
    if (!conf_check_times(fresh, &c->section, s->info.bin_width_us, s->info.every_bins,
                          names_valid_for))
        return text_refuse(why, n_why, "%s", fresh->problems[n_problems]);
    if (c->section.values.bad_channels == CONF_BAD_AUTO && !bad_channels_basis(&s->info, &nothing))
        return text_refuse(why, n_why, "bad-channels of [stream %s]: auto goes by training, and %s",
                           s->conf->name, nothing);
    if (setup_decoder(&c->section.values).predicts == setup_decoder(&s->conf->values).predicts)
        return 0;
    return text_refuse(
        why, n_why,
        "this needs a restart of latentd: on-missing of [stream %s]: a decoder is made to "
        "predict, or not to",
        s->conf->name);
}

static int make_words(struct change_stream *c, char *why, size_t n_why)
{
    struct stream *s = c->stream;
    struct engine *other = s->swap.other;
    struct conf_stream_section *section = &c->section;

    c->in_use = s->engine;
    if (engine_words_new(&c->words, c->in_use, s, section) ||
        (other && engine_words_new(&c->words_of_other, other, s, section)))
        return text_refuse(why, n_why, "out of memory");
    return 0;
}

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static int make_mask(struct change_stream *c, char *why, size_t n_why)
{
    const struct stream *s = c->stream;
    char text[200];

    if (is_same_text(s->conf->values.mask, c->section.values.mask)) return 0;
    c->mask = masking_anew(&s->masking, c->section.values.mask, text, sizeof text);
    if (c->mask) {
        channel_watch_keep_own(&s->watch, c->mask);
        return 0;
    }
    return text_refuse(why, n_why, "mask of [stream %s]: %s", s->conf->name, text);
}

/* What is loaded, or on its way into the line, was made by the section as it is. */
static int make_one(struct change_stream *c, struct conf *fresh, char *why, size_t n_why)
{
    const char *name = c->stream->conf->name;
    const struct conf_stream_section *f = find_section(fresh, name);

    if (swap_is_loading(&c->stream->swap) || c->stream->swap.order.number)
        return text_refuse(why, n_why, "stream %s is about to get another decoder; try again",
                           name);
    if (make_section(c, fresh, f, why, n_why)) return -1;
    return make_words(c, why, n_why) || make_mask(c, why, n_why) ? -1 : 0;
}

/* ---- in the data thread ---- */

/* Consumers hear of it at once. */
static void on_done(void *ctx)
{
    struct change_stream *c = ctx;

    engine_take_words(c->in_use, c->words);
    c->words = NULL;
    info_send(c->stream, c->stream->in_line);
}

/* ---- life ---- */

static struct orders_change order_of(struct change_stream *c)
{
    const struct stream *s = c->stream;
    const struct line_options line = setup_line(&c->section, &s->info, 0);

    return (struct orders_change){.line = s->place,
                                  .rules = rules_of(&line),
                                  .has_rules = true,
                                  .mask = c->mask,
                                  .mask_version = s->masking.version + 1,
                                  .mask_is_first =
                                      c->section.values.max_masked < s->conf->values.max_masked,
                                  .done = on_done,
                                  .ctx = c};
}

static struct changes *changes_of(size_t n)
{
    struct changes *c = calloc(1, sizeof *c);

    if (!c) return NULL;
    c->streams = calloc(n + 1, sizeof *c->streams);
    c->orders = calloc(n + 1, sizeof *c->orders);
    c->posted = calloc(n + 1, sizeof *c->posted);
    if (c->streams && c->orders && c->posted) return c;
    changes_free(c);
    return NULL;
}

static int add_one(struct changes *c, struct stream *s, struct conf *fresh, char *why, size_t n_why)
{
    struct change_stream *one = &c->streams[c->n_streams];

    one->stream = s;
    c->n_streams++;
    if (make_one(one, fresh, why, n_why)) return -1;
    if (!orders_take_change(s->orders))
        return text_refuse(why, n_why, "stream %s is busy with other orders; try again",
                           s->conf->name);
    c->orders[c->n_streams - 1] = order_of(one);
    if (s->conf->values.lease_ns > c->lease_ns) c->lease_ns = s->conf->values.lease_ns;
    return 0;
}

static int make_all(struct changes *c, struct daemon *d, struct conf *fresh, const bool *is_changed,
                    char *why, size_t n_why)
{
    for (size_t i = 0; i < d->n_loops; i++)
        for (size_t k = 0; k < d->loops[i]->n_streams; k++) {
            struct stream *s = d->loops[i]->streams[k];

            if (is_changed[s->number] && add_one(c, s, fresh, why, n_why)) return -1;
        }
    return 0;
}

int changes_new(struct changes **out, struct daemon *d, struct conf *fresh, const bool *is_changed,
                char *why, size_t n_why)
{
    struct changes *c = changes_of(d->n_streams);

    *out = NULL;
    if (!c) return text_refuse(why, n_why, "out of memory");
    if (make_all(c, d, fresh, is_changed, why, n_why)) {
        changes_free(c);
        return -1;
    }
    *out = c;
    return 0;
}

/* What the control thread knows of a stream. */
static void apply_here(struct change_stream *c)
{
    struct stream *s = c->stream;
    struct engine *other = s->swap.other;

    conf_swap_live(&s->conf->values, &c->section.values);
    masking_limit(&s->masking, s->conf->values.max_masked);
    if (c->mask) {
        masking_ordered(&s->masking, c->mask);
        channel_watch_obey(&s->watch, s->conf->values.mask ? s->conf->values.mask : "", "");
    }
    s->engine->about.config = c->words->config;
    recording_use(&s->recording, &s->engine->about);
    if (!other) return;
    other->about.config = c->words_of_other->config;
    engine_take_words(other, c->words_of_other);
    c->words_of_other = NULL;
}

void changes_apply(struct changes *c)
{
    for (size_t i = 0, n; i < c->n_streams; i += n) {
        struct orders *orders = c->streams[i].stream->orders;

        for (n = 0; i + n < c->n_streams && c->streams[i + n].stream->orders == orders; n++)
            apply_here(&c->streams[i + n]);
        c->posted[c->n_posted++] = orders_change(orders, c->orders + i, n);
    }
}

bool changes_are_owed(const struct changes *c)
{
    uint64_t t_done_ns;

    for (size_t i = 0; i < c->n_posted; i++)
        if (order_look(&c->posted[i], &t_done_ns) == ORDER_OWED) return true;
    return false;
}

void changes_free(struct changes *c)
{
    if (!c) return;
    for (size_t i = 0; i < c->n_streams; i++) {
        struct change_stream *s = &c->streams[i];

        free(s->section.values.mask);
        free(s->mask);
        engine_words_free(s->words);
        engine_words_free(s->words_of_other);
    }
    free(c->streams);
    free(c->orders);
    free(c->posted);
    free(c);
}
