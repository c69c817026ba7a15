/* Decoders change places: what may be promoted, the order, and what follows from it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "latentd/info.h"
#include "latentd/output.h"
#include "latentd/stream.h"
#include "latentd/swap.h"

/* ---- the data thread ---- */

/* NAME/info goes out before the exchange, through the queue of the frames: who hears both has it
 * before the first frame of its decoder. While that queue is full, the moment is not right. */
static enum promotion_answer may_move(void *ctx)
{
    struct swap_move *m = ctx;
    struct stream *s = m->stream;

    if (!shadow_is_level(m->shadow)) return PROMOTION_NOT_YET;
    if (info_send(s, m->next)) return PROMOTION_NOT_YET;
    return PROMOTION_TAKE;
}

static void on_moved(void *ctx, struct line_decoder *old)
{
    struct swap_move *m = ctx;
    struct stream *s = m->stream;
    struct engine *was = s->in_line;

    (void)old; /* was->seat */
    s->in_line = m->next;
    m->n_failed = line_n_failed(s->line);
    m->was_exact = shadow_is_exact(m->shadow);
    shadow_exchange(m->shadow, (struct shadow_decoder){was->decoder, &was->info, was}, m->role);
}

/* ---- may it? ---- */

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* What a step may take: the budget less what bins wait before theirs. */
static uint64_t time_for_step_ns(const struct stream *s)
{
    uint64_t budget_ns = s->conf->values.budget_ns;
    struct histogram_summary queueing;

    line_read_time(s->line, TIME_QUEUEING, &queueing);
    return queueing.p99_ns < budget_ns ? budget_ns - queueing.p99_ns : 0;
}

const char *swap_objection(struct swap *w, char *text, size_t n, bool *final)
{
    uint64_t allowed_ns = time_for_step_ns(w->stream);
    struct shadow_status s;

    shadow_read(w->shadow, &s);
    *final = true;
    if (s.n_bad)
        snprintf(text, n, "%" PRIu64 " of its outputs were not finite", s.n_bad);
    else if (s.step.n >= SWAP_LEAST_BINS && s.step.p99_ns >= allowed_ns)
        snprintf(text, n,
                 "99 %% of its steps take up to %.3f ms; there are %.3f ms (the budget "
                 "less the queueing)",
                 ms(s.step.p99_ns), ms(allowed_ns));
    else if (s.is_priming || !s.is_warm || s.n_clean < SWAP_LEAST_BINS) {
        *final = false;
        snprintf(text, n, "it has done %" PRIu64 " bins in step%s; %d are needed", s.n_clean,
                 s.is_priming ? ", is still being primed"
                 : !s.is_warm ? ", in warm-up"
                              : "",
                 SWAP_LEAST_BINS);
    } else
        return NULL;
    return text;
}

/* ---- the order ---- */

bool swap_post(struct swap *w, enum line_promotion why, bool at_next_bin)
{
    struct stream *s = w->stream;

    w->move = (struct swap_move){.stream = s,
                                 .shadow = w->shadow,
                                 .next = w->other,
                                 .role = why == PROMOTE_ASKED ? SHADOW_KEPT : SHADOW_CANDIDATE,
                                 .n_failed = w->move.n_failed};
    w->why = why;
    w->order = orders_promote(s->orders, s->place,
                              (struct promotion){.next = w->other->seat,
                                                 .why = why,
                                                 .at_trial = !at_next_bin,
                                                 .may = may_move,
                                                 .done = on_moved,
                                                 .ctx = &w->move});
    recording_hold(&s->recording, w->order.number != 0);
    return w->order.number != 0;
}

static bool post_task(struct swap *w, enum line_promotion why, bool at_next_bin)
{
    w->task.is_owed = true;
    if (swap_post(w, why, at_next_bin)) return false;
    return swap_say(&w->task, CONTROL_REFUSED, "%s is busy with other orders; try again",
                    w->stream->conf->name);
}

bool swap_promote(struct swap *w, const struct swap_options *options)
{
    const char *name = w->stream->conf->name, *objection = NULL;
    char text[SWAP_TEXT / 2];
    bool is_final;

    w->task.number++;
    if (w->state != SWAP_SHADOWING)
        return swap_say(&w->task, CONTROL_REFUSED,
                        "%s has nothing in shadow that could be promoted; latentctl shadow %s FILE",
                        name, name);
    if (w->order.number)
        return swap_say(&w->task, CONTROL_REFUSED, "%s: a promotion is on its way already", name);
    if (!recording_takes(&w->stream->recording, w->other->seat))
        return swap_say(&w->task, CONTROL_REFUSED,
                        "%s: the record's memory is too small for snapshots of %.300s; raise "
                        "record-buffer-mib, or latentctl record stop %s first",
                        name, w->other->info.path, name);
    if (!options->forced) objection = swap_objection(w, text, sizeof text, &is_final);
    if (objection)
        return swap_say(&w->task, CONTROL_REFUSED,
                        "%s: %.300s is not promoted: %s; --force overrides that", name,
                        w->other->info.path, objection);
    if (options->dry_run)
        return swap_say(&w->task, CONTROL_DONE, "%s: %.300s would be promoted", name,
                        w->other->info.path);
    w->loaded_with.promotes = false;
    return post_task(w, PROMOTE_ASKED, options->at_next_bin);
}

bool swap_roll_back(struct swap *w, const struct swap_options *options)
{
    const char *name = w->stream->conf->name;

    w->task.number++;
    if (w->state != SWAP_KEEPING)
        return swap_say(&w->task, CONTROL_REFUSED,
                        "%s has no decoder to go back to: the one before is kept for %.12g ms "
                        "(keep-ms) after a promotion",
                        name, ms(w->stream->conf->values.keep_ns));
    if (w->order.number)
        return swap_say(&w->task, CONTROL_REFUSED, "%s: a roll-back is on its way already", name);
    if (options->dry_run)
        return swap_say(&w->task, CONTROL_DONE, "%s would go back to %.300s", name,
                        w->other->info.path);
    return post_task(w, ROLL_BACK_ASKED, true);
}

/* ---- what follows ---- */

/* For everybody who asks the control thread: status, model, records to come. */
static void take_places(struct swap *w)
{
    struct stream *s = w->stream;
    struct engine *now = w->other;

    w->other = s->engine;
    s->engine = now;
    s->model = now->model;
    s->info = now->info;
    s->decoder = now->decoder;
    s->mode = now->mode;
    s->precision = now->precision;
    s->session = now->session;
    recording_use(&s->recording, &now->about);
}

static void on_promoted(struct swap *w, uint64_t now_ns)
{
    struct stream *s = w->stream;

    take_places(w);
    w->state = SWAP_KEEPING;
    w->t_promoted_ns = now_ns;
    w->n_promotions++;
    w->loaded_with.promotes = false;
    swap_note(w, w->task.is_owed ? "operator" : "latentd",
              "%s decodes, decoder %016" PRIx64 "; %s is kept for %.12g ms", s->info.path,
              latent_decoder_id(s->decoder), w->other->info.path, ms(s->conf->values.keep_ns));
    swap_say(&w->task, CONTROL_DONE,
             "%s: %.250s decodes (%s, mode %s, %s); the decoder before is kept for %.12g ms: "
             "latentctl rollback %s. A restart takes the configuration's model again: %.250s",
             s->conf->name, s->info.path, s->info.arch, s->mode, s->precision,
             ms(s->conf->values.keep_ns), s->conf->name, s->conf->values.model);
}

/* A kept decoder that lost steps was primed anew, and that is said. */
static void on_rolled_back(struct swap *w)
{
    static const char *const reasons[] = {[ROLL_BACK_ASKED] = "it was asked for",
                                          [ROLL_BACK_OUTPUT] = "its output was not finite",
                                          [ROLL_BACK_MISSES] = "3 of 50 bins were late",
                                          [ROLL_BACK_LIMITS] =
                                              "a readout was at its limit for a second"};
    bool is_asked = w->why == ROLL_BACK_ASKED;
    struct stream *s = w->stream;
    const char *exact;

    take_places(w);
    w->n_roll_backs++;
    exact = w->move.was_exact ? "" : " (it had lost bins and was primed anew: not bit by bit)";
    swap_note(w, is_asked ? "operator" : "latentd", "%s is rolled back: %s; %s decodes again%s",
              w->other->info.path, reasons[w->why], s->info.path, exact);
    if (w->task.is_owed)
        swap_say(&w->task, CONTROL_DONE, "%s: %.250s decodes again%s; %.250s %s", s->conf->name,
                 s->info.path, exact, w->other->info.path,
                 is_asked ? "is in shadow" : "is dropped");
    w->state = SWAP_SHADOWING;
    if (is_asked) return;
    memcpy(w->refused[w->n_refused++ % SWAP_MAX_REFUSED], w->other->info.sha256, SWAP_HASH_BYTES);
    swap_begin_drop(w);
}

static void on_not_moved(struct swap *w, enum order_state state)
{
    if (state == ORDER_EXPIRED)
        swap_say(&w->task, CONTROL_REFUSED,
                 "%s: %.300s did not keep up: at none of %d bins had it done the newest; nothing "
                 "has changed",
                 w->stream->conf->name, w->other->info.path, ORDERS_PROMOTION_BINS);
    else
        swap_say(&w->task, CONTROL_REFUSED, "%s: it was given up; nothing has changed",
                 w->stream->conf->name);
}

void swap_settle(struct swap *w, uint64_t now_ns)
{
    uint64_t t_done_ns;
    enum order_state state = order_look(&w->order, &t_done_ns);

    if (state == ORDER_OWED) return;
    w->order = (struct order){0};
    recording_hold(&w->stream->recording, false);
    if (state != ORDER_DONE)
        on_not_moved(w, state);
    else if (w->why == PROMOTE_ASKED)
        on_promoted(w, now_ns);
    else
        on_rolled_back(w);
    if (w->drops_after && w->state != SWAP_DROPPING) swap_begin_drop(w);
}
