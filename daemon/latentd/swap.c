/* From state to state. */
#include "latentd/swap.h"

#include <stdlib.h>

#include "base/clock.h"
#include "latentd/stream.h"

/* ---- dropping ---- */

/* The first stays: the line was made with it. Too many that records need: the oldest record has
 * been at its end for long. */
static void retire(struct swap *w, struct engine *e)
{
    if (e->is_first)
        w->parked = e;
    else
        w->retired[w->n_retired++] = e;
}

void swap_tidy(struct swap *w)
{
    size_t n_left = 0;

    for (size_t i = 0; i < w->n_retired; i++)
        if (recording_needs(&w->stream->recording, &w->retired[i]->about))
            w->retired[n_left++] = w->retired[i];
        else
            engine_free(w->retired[i]);
    w->n_retired = n_left;
}

static void finish_drop(struct swap *w)
{
    if (!shadow_has_ended(w->shadow)) return;
    shadow_free(w->shadow);
    w->shadow = NULL;
    retire(w, w->other);
    w->other = NULL;
    w->state = SWAP_NONE;
    swap_tidy(w);
}

bool swap_drop(struct swap *w, const struct swap_options *options)
{
    const char *name = w->stream->conf->name;

    w->task.number++;
    if (w->state == SWAP_LOADING) {
        if (!options->dry_run) w->load_is_unwanted = true;
        return swap_say(&w->task, CONTROL_DONE, "%s: what is being loaded %s", name,
                        options->dry_run ? "would be dropped" : "is dropped");
    }
    if (w->state != SWAP_SHADOWING && w->state != SWAP_KEEPING)
        return swap_say(&w->task, CONTROL_REFUSED, "%s has no decoder beside the one in use", name);
    swap_say(&w->task, CONTROL_DONE, "%s: %s %s%s", name, w->other->info.path,
             options->dry_run ? "would be dropped" : "is dropped",
             w->state == SWAP_KEEPING ? "; there is no way back to it but to load it" : "");
    if (options->dry_run) return true;
    swap_note(w, "operator", "dropped %s", w->other->info.path);
    if (w->order.number) {
        w->drops_after = true;
        orders_give_up(w->stream->orders, w->stream->place);
    } else {
        swap_begin_drop(w);
    }
    return true;
}

/* ---- watching ---- */

/* Of the decoder in the line, while another is kept. */
static bool has_trigger(struct swap *w, enum line_promotion *why)
{
    struct shadow_status status;

    shadow_read(w->shadow, &status);
    *why = ROLL_BACK_OUTPUT;
    if (line_n_failed(w->stream->line) > w->move.n_failed) return true;
    *why = status.trigger == SHADOW_MISSES ? ROLL_BACK_MISSES : ROLL_BACK_LIMITS;
    return status.role == SHADOW_KEPT && status.trigger != SHADOW_NO_TRIGGER;
}

static void watch_kept(struct swap *w, uint64_t now_ns)
{
    enum line_promotion why;

    if (has_trigger(w, &why)) {
        swap_post(w, why, true);
        return;
    }
    if (now_ns - w->t_promoted_ns < w->stream->conf->values.keep_ns) return;
    swap_note(w, "latentd", "%s is kept no longer", w->other->info.path);
    swap_begin_drop(w);
}

/* Loaded to be promoted as soon as it may be. */
static void watch_candidate(struct swap *w)
{
    char text[SWAP_TEXT / 2];
    bool is_final = false;

    if (!w->loaded_with.promotes) return;
    if (swap_objection(w, text, sizeof text, &is_final)) {
        if (!is_final) return;
        swap_note(w, "latentd", "%s is not promoted, and dropped: %s", w->other->info.path, text);
        swap_begin_drop(w);
        return;
    }
    if (recording_takes(&w->stream->recording, w->other->seat))
        swap_post(w, PROMOTE_ASKED, w->loaded_with.at_next_bin);
}

void swap_watch(struct swap *w, uint64_t now_ns)
{
    if (w->order.number) swap_settle(w, now_ns);
    if (w->order.number) return;
    if (w->state == SWAP_SHADOWING) watch_candidate(w);
    if (w->state == SWAP_KEEPING) watch_kept(w, now_ns);
    if (w->state == SWAP_DROPPING) finish_drop(w);
}

bool swap_is_active(const struct swap *w)
{
    return w->state != SWAP_NONE;
}

/* ---- life ---- */

/* What the configuration masks was there before the tap. */
static int tell_mask(struct swap *w, const latent_decoder *d, uint32_t n_channels)
{
    size_t n = ((size_t)n_channels + 7) / 8;
    uint8_t *bits = calloc(n, 1);

    if (!bits) return -1;
    latent_decoder_masked(d, bits, n);
    recent_mask(w->recent, bits, latent_decoder_mask_version(d));
    free(bits);
    return 0;
}

int swap_attach(struct swap *w, struct stream *s)
{
    *w = (struct swap){.stream = s, .recent = recent_new(s->info.n_channels, s->info.n_readout)};
    if (!w->recent || !line_add_tap(s->line, recent_tap(w->recent))) return -1;
    return tell_mask(w, s->decoder, s->info.n_channels);
}

void swap_close(struct swap *w)
{
    if (w->shadow) shadow_free(w->shadow);
    engine_free(w->other);
    engine_free(w->parked);
    for (size_t i = 0; i < w->n_retired; i++) engine_free(w->retired[i]);
    recent_free(w->recent);
    *w = (struct swap){0};
}
