/* The recorded entries go through the code that runs live, with a clock and a sink that answer as
 * they did; what it does is compared, event by event, with what it did. */
#include "latent-replay/verify.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "latent-replay/again.h"
#include "line/ledger.h"

#define MAX_TEXT 512

struct verify {
    struct reading *reading;
    struct again again;
    struct reading_entry entry; /* the one that is run */
    size_t next_clock;
    bool is_anchored; /* the line's state is the recorded one */
    bool has_turns;   /* the steps of a message are entries of their own */

    uint64_t n_entries, n_frames, n_thinned, n_events;
    uint64_t n_promotions;
    uint64_t n_passed_over; /* entries after a gap without a snapshot */
    uint64_t n_differences;
    char first[MAX_TEXT]; /* difference */
};

/* ---- differences ---- */

__attribute__((format(printf, 2, 3))) static void differ(struct verify *v, const char *format, ...)
{
    char what[MAX_TEXT - 64];
    va_list args;

    if (v->n_differences++) return;
    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    snprintf(v->first, sizeof v->first, "entry %" PRId64 " (%s): %s", v->entry.entry,
             line_event_name(v->entry.event.kind), what);
}

static size_t first_difference(const unsigned char *a, const unsigned char *b, size_t n)
{
    size_t i = 0;

    while (i < n && a[i] == b[i]) i++;
    return i;
}

/* ---- the world, as it was ---- */

static uint64_t clock_again(void *ctx)
{
    struct verify *v = ctx;

    if (v->next_clock < v->entry.n_clock) return reading_clock(&v->entry, v->next_clock++);
    differ(v, "the clock is read a %zu. time, it was read %zu times", v->next_clock + 1,
           v->entry.n_clock);
    return 0;
}

static void compare_frame(struct verify *v, const struct reading_frame *was,
                          const unsigned char *bytes, size_t n)
{
    size_t at;

    if (!was->bytes) {
        v->n_thinned++;
        return;
    }
    v->n_frames++;
    if (was->n_bytes == n && memcmp(was->bytes, bytes, n) == 0) return;
    at = first_difference(was->bytes, bytes, n < was->n_bytes ? n : was->n_bytes);
    differ(v,
           "the frame of epoch %" PRIu64 ", bin %" PRIu64
           " differs from byte %zu on: %zu bytes, it had %zu",
           was->epoch, was->seq, at, n, was->n_bytes);
}

static int sink_again(void *ctx, const char *topic, const void *bytes, size_t n)
{
    struct verify *v = ctx;
    struct reading_frame was;

    (void)topic;
    if (!reading_next_frame(v->reading, &was)) {
        differ(v, "a frame more than there was");
        return 0;
    }
    compare_frame(v, &was, bytes, n);
    return was.sent ? 0 : -1;
}

/* ---- what the line does ---- */

typedef bool next_fn(struct reading *r, struct reading_event *out);

static void compare_event(struct verify *v, const char *what, next_fn *next,
                          const struct line_event *is)
{
    struct reading_event was;

    v->n_events++;
    if (!next(v->reading, &was))
        differ(v, "%s %u of bin %" PRIu64 " more than there was", what, is->what, is->seq);
    else if (was.code != is->what || was.epoch != is->epoch || was.seq != is->seq)
        differ(v,
               "%s %u of epoch %" PRIu64 ", bin %" PRIu64 "; it was %u of epoch %" PRIu64
               ", bin %" PRIu64,
               what, is->what, is->epoch, is->seq, was.code, was.epoch, was.seq);
}

static void hear(void *ctx, const struct line_event *event)
{
    struct verify *v = ctx;

    if (event->kind == LINE_ACTION)
        compare_event(v, "action", reading_next_action, event);
    else if (event->kind == LINE_OUTCOME)
        compare_event(v, "outcome", reading_next_outcome, event);
}

/* ---- entry by entry ---- */

static void check_rest(struct verify *v)
{
    struct reading_frame frame;
    struct reading_event event;

    if (v->next_clock < v->entry.n_clock)
        differ(v, "the clock is read %zu times, it was read %zu times", v->next_clock,
               v->entry.n_clock);
    if (reading_next_frame(v->reading, &frame))
        differ(v, "the frame of bin %" PRIu64 " does not come", frame.seq);
    if (reading_next_action(v->reading, &event))
        differ(v, "action %u of bin %" PRIu64 " does not come", event.code, event.seq);
    if (reading_next_outcome(v->reading, &event))
        differ(v, "outcome %u of bin %" PRIu64 " does not come", event.code, event.seq);
}

/* What cannot be had is told with the place where it was needed. */
static int miss(const struct verify *v, const char *what, struct latent_error *err)
{
    char text[LATENT_ERROR_TEXT];

    snprintf(text, sizeof text, "%s", err->text);
    return error_text(err, err->status, "entry %" PRId64 ": the decoder %s: %.420s", v->entry.entry,
                      what, text);
}

/* The snapshot's own decoder, whatever was promoted in a gap before it. */
static int seat_anchor(struct verify *v, struct latent_error *err)
{
    struct again *a = &v->again;
    const struct label *label = v->entry.decoder;
    struct line_decoder *d = a->first;

    if (label && line_decoder(a->line)->decoder_id == label->decoder_id) return 0;
    if (label) d = again_find(a, label, err);
    if (!d) return miss(v, "of its snapshot", err);
    line_seat(a->line, d);
    return 0;
}

static int anchor(struct verify *v, struct latent_error *err)
{
    int status;

    if (v->entry.lost_entries > 0) v->is_anchored = false;
    if (!v->entry.snapshot) return 0;
    status = seat_anchor(v, err);
    if (status) return status;
    if (line_load(v->again.line, v->entry.snapshot, v->entry.n_snapshot))
        return error_text(err, LATENT_E_SNAPSHOT,
                          "entry %" PRId64 ": the snapshot is of another model, a later version "
                          "of latentd, or damaged",
                          v->entry.entry);
    v->is_anchored = true;
    return 0;
}

static int enter(struct verify *v, struct latent_error *err)
{
    struct line_event *e = &v->entry.event;

    if (e->kind == LINE_PROMOTE) {
        if (again_promoted(&v->again, e, &e->next, err)) return miss(v, "that is promoted", err);
        v->n_promotions++;
    }
    v->next_clock = 0;
    if (v->has_turns)
        line_enter(v->again.line, e);
    else
        line_enter_whole(v->again.line, e);
    return 0;
}

static int run_entry(struct verify *v, struct latent_error *err)
{
    int status = anchor(v, err);

    if (status) return status;
    if ((uint32_t)v->entry.event.kind == UINT32_MAX)
        return error_text(err, LATENT_E_UNSUPPORTED,
                          "entry %" PRId64 " is of a kind that this version does not "
                          "have",
                          v->entry.entry);
    v->n_entries++;
    if (!v->is_anchored) {
        v->n_passed_over++;
        return 0;
    }
    if (!line_takes(v->again.line, v->entry.event.kind))
        return error_text(err, LATENT_E_FORMAT,
                          "entry %" PRId64 " (%s): %s message is open: a damaged record",
                          v->entry.entry, line_event_name(v->entry.event.kind),
                          line_has_work(v->again.line) ? "another" : "no");
    status = enter(v, err);
    if (!status) check_rest(v);
    return status;
}

static int run_entries(struct verify *v, struct latent_error *err)
{
    int status = 0;

    line_add_tap(v->again.line, (struct line_tap){.on_event = hear, .ctx = v});
    v->has_turns = reading_has_turns(v->reading);
    while (!status && reading_next_entry(v->reading, &v->entry)) status = run_entry(v, err);
    return status ? status : reading_check(v->reading, err);
}

/* ---- the result ---- */

static void print_kernels(struct verify *v)
{
    const char *kernels = reading_text(v->reading, "kernels");

    if (kernels && strcmp(kernels, latent_kernels()) != 0)
        printf("note: recorded with kernels %s, verified with %s: last bits differ\n", kernels,
               latent_kernels());
}

static void print_result(struct verify *v, const char *path)
{
    struct reading *r = v->reading;

    printf("%s: stream %s", path, v->again.conf.streams[0].name);
    printf(", %s, mode %s\n", v->again.info.arch, latent_decoder_mode(v->again.decoder)->name);
    printf("entries %" PRIu64 ", frames compared %" PRIu64 ", thinned %" PRIu64
           ", actions and outcomes %" PRIu64 "\n",
           v->n_entries, v->n_frames, v->n_thinned, v->n_events);
    if (v->n_promotions) printf("promotions and roll-backs %" PRIu64 "\n", v->n_promotions);
    printf("gaps %" PRIu64 ", entries lost in them %" PRIu64 ", passed over %" PRIu64 "\n",
           reading_ask(r, "SELECT count(*) FROM losses"),
           reading_ask(r, "SELECT sum(n_entries) FROM losses"), v->n_passed_over);
    reading_say_ends(r, path, stdout);
    print_kernels(v);
    if (v->n_differences)
        printf("DIFFERENT: %" PRIu64 " differences; the first: %s\n", v->n_differences, v->first);
    else
        printf("identical, bit by bit\n");
    if (v->again.contract > 1 && v->again.conf.streams[0].values.max_jump_ns == 0)
        printf("the record is from before max-jump-ms: any number and time was believed\n");
    if (v->again.contract < LINE_CONTRACT)
        printf("the record follows contract %u: its readouts are not those of contract %d\n",
               v->again.contract, LINE_CONTRACT);
}

int verify_run(const char *record, const char *model_path, struct latent_error *err)
{
    struct verify v = {0};
    int status = reading_open(&v.reading, record, err);

    if (status) return status;
    status = again_open(&v.again, v.reading, model_path, (struct line_clock){clock_again, &v},
                        (struct line_sink){sink_again, &v}, err);
    if (!status) status = run_entries(&v, err);
    if (!status) print_result(&v, record);
    again_close(&v.again);
    reading_close(v.reading);
    if (status) return status;
    if (v.n_differences) return VERIFY_DIFFERENT;
    return v.again.contract < LINE_CONTRACT ? VERIFY_OTHER_CONTRACT : 0;
}
