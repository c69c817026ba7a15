/* The tap's steps in, orders and words out. */
#include "latentd/channel_watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/channels.h"
#include "base/log.h"
#include "latentd/ordering.h"
#include "latentd/stream.h"

#define VALUES_A_LOOK 300000u /* some ms; the rest is for the next look */
#define LIST 120
#define NOT_YET "nothing was looked at yet"

/* ---- life ---- */

/* Of the model in use; nothing to judge by is no failure. */
static int train(struct channel_watch *w)
{
    const struct latent_info *info = &w->stream->info;

    memcpy(w->judged_by, info->sha256, sizeof w->judged_by);
    w->basis = bad_channels_basis(info, &w->why);
    if (!w->basis) {
        bad_channels_free(w->bad);
        w->bad = NULL;
    } else if (w->bad) {
        bad_channels_train(w->bad, info);
    } else {
        w->bad = bad_channels_new(info);
        if (!w->bad) return -1;
    }
    w->masker.bad = w->bad;
    return 0;
}

int channel_watch_attach(struct channel_watch *w, struct stream *s)
{
    uint32_t n = s->info.n_channels;
    size_t n_bytes = channels_bytes(n);

    *w = (struct channel_watch){.stream = s,
                                .why = NOT_YET,
                                .step = {.counts = calloc(n, sizeof(float)),
                                         .readout = calloc(s->info.n_readout + 1, sizeof(float)),
                                         .mask = calloc(n_bytes, 1)},
                                .said_bad = calloc(n_bytes, 1),
                                .set = calloc(n_bytes, 1),
                                .other = calloc(n_bytes, 1)};
    if (masker_open(&w->masker, NULL, n) || !w->step.counts || !w->step.readout || !w->step.mask ||
        !w->said_bad || !w->set || !w->other)
        return -1;
    if (s->conf->values.bad_channels == CONF_BAD_OFF) return 0;
    return train(w);
}

void channel_watch_close(struct channel_watch *w)
{
    masker_close(&w->masker);
    bad_channels_free(w->bad);
    free(w->step.counts);
    free(w->step.readout);
    free(w->step.mask);
    free(w->said_bad);
    free(w->set);
    free(w->other);
    *w = (struct channel_watch){0};
}

/* ---- looking ---- */

/* Past what was written over. */
static void skip_lost(struct channel_watch *w, const struct recent *r, uint64_t n_steps)
{
    uint64_t depth = recent_depth(r);

    if (n_steps - w->next <= depth) return;
    w->n_unseen += n_steps - depth - w->next;
    w->next = n_steps - depth;
}

/* No signal at all is no matter of single channels. */
static void take_step(struct channel_watch *w)
{
    const struct recent_step *step = &w->step;

    if (step->action != LINE_STEP || !step->has_input) return;
    if (step->has_frame && (step->flags & LATENT_NO_SIGNAL))
        bad_channels_leave_out(w->bad);
    else
        bad_channels_add(w->bad, step->counts);
}

static void read_steps(struct channel_watch *w)
{
    struct recent *r = w->stream->swap.recent;
    uint64_t n_steps = recent_count(r);
    uint64_t n_most = VALUES_A_LOOK / w->stream->info.n_channels + 1;

    skip_lost(w, r, n_steps);
    for (uint64_t i = 0; i < n_most && w->next < n_steps; i++) {
        enum recent_answer answer = recent_read(r, w->next++, &w->step);

        if (answer == RECENT_LOST) w->n_unseen++;
        if (answer == RECENT_THERE) take_step(w);
    }
}

/* ---- saying ---- */

static void say(const struct channel_watch *w, const uint8_t *channels, const char *what)
{
    uint32_t n = w->stream->info.n_channels;
    char list[LIST];

    if (channels_count(channels, n) == 0) return;
    channels_write(channels, n, list, sizeof list);
    log_say(LOG_LEVEL_NOTE, "%s: channels %s: %s", w->stream->conf->name, list, what);
}

static void say_changes(struct channel_watch *w)
{
    uint32_t n = w->stream->info.n_channels;

    for (uint32_t c = 0; c < n; c++) {
        bool is_bad = bad_channels_verdict(w->bad, c) != CHANNEL_GOOD;
        bool was_bad = channels_has(w->said_bad, c);

        channels_set(w->set, c, is_bad && !was_bad);
        channels_set(w->other, c, !is_bad && was_bad);
        channels_set(w->said_bad, c, is_bad);
    }
    say(w, w->set, "bad by their training (latentctl channels tells)");
    say(w, w->other, "as in training again");
}

/* ---- masking ---- */

/* One that the data thread has no room for is decided again at the next look. */
static void mask(struct channel_watch *w, uint64_t now_ns)
{
    struct stream *s = w->stream;
    struct ordering ordering;

    if (!masker_decide(&w->masker, s->masking.bits, s->masking.most, now_ns, w->set)) return;
    memcpy(w->other, s->masking.bits, channels_bytes(s->info.n_channels));
    ordering_mask(&ordering, s, w->set);
    if (!ordering.order.number) return;
    masker_ordered(&w->masker, w->other, w->set, now_ns);
    log_say(LOG_LEVEL_NOTE, "%s: latentd: %s", s->conf->name, ordering.words);
}

/* As if it had never judged; what is masked stays so. A reload may wake it. */
static void rest(struct channel_watch *w)
{
    bad_channels_free(w->bad);
    w->bad = NULL;
    w->masker.bad = NULL;
    w->basis = NULL;
    w->why = NOT_YET;
    memset(w->judged_by, 0, sizeof w->judged_by);
    memset(w->said_bad, 0, channels_bytes(w->stream->info.n_channels));
    w->next = recent_count(w->stream->swap.recent);
}

void channel_watch_look(struct channel_watch *w, uint64_t now_ns)
{
    const struct stream *s = w->stream;

    if (s->conf->values.bad_channels == CONF_BAD_OFF) {
        rest(w);
        return;
    }
    if (memcmp(w->judged_by, s->info.sha256, sizeof w->judged_by) != 0 && train(w)) return;
    if (!w->bad) return;
    read_steps(w);
    masker_look(&w->masker);
    say_changes(w);
    if (s->conf->values.bad_channels == CONF_BAD_AUTO) mask(w, now_ns);
}

void channel_watch_obey(struct channel_watch *w, const char *mask, const char *unmask)
{
    uint32_t n = w->stream->info.n_channels;
    char why[LIST];

    memset(w->set, 0, channels_bytes(n));
    memset(w->other, 0, channels_bytes(n));
    if (mask[0]) channels_read(mask, true, w->set, n, why, sizeof why);
    if (unmask[0]) channels_read(unmask, true, w->other, n, why, sizeof why);
    masker_obey(&w->masker, w->set, w->other);
}

void channel_watch_keep_own(const struct channel_watch *w, uint8_t *mask)
{
    for (uint32_t c = 0; c < w->stream->info.n_channels; c++)
        if (channels_has(w->masker.own, c)) channels_set(mask, c, true);
}
