/* Two sources: what latentd told of late bins (lib/record/lates), and for bins of which it told
 * nothing, the clock of the stream's own entries. */
#include "latentctl/why_record.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "conf/read.h"
#include "latentctl/why.h"
#include "line/ledger.h"
#include "record/lates.h"
#include "record/reading.h"
#include "why/message.h"
#include "wire.h"

#define SPANS 4096 /* of its own steps before a bin that are looked at; a power of two */

struct asked {
    const struct why_record_wish *wish;
    struct reading *reading;
    struct lates *lates;
    uint64_t budget_ns;
    struct wire_arena arena;
    struct why_piece *pieces;

    /* While the entries go by. */
    struct why_span ring[SPANS], spans[SPANS];
    uint64_t n_spans;              /* ever */
    uint64_t t_wake_ns, n_of_wake; /* bins that it brought so far */
    bool was_decoded;              /* the bin that is asked for, late or not */

    struct why_bin *bins; /* [n_bins], of [n_room] */
    size_t n_bins, n_room;
    uint64_t n_late;
};

/* ---- what was found ---- */

static bool is_wanted(const struct asked *a, uint64_t seq)
{
    return !a->wish->has_bin || a->wish->bin == seq;
}

static struct why_bin *find(struct asked *a, const struct late_bin *bin)
{
    for (size_t i = a->n_bins; i > 0; i--) {
        const struct late_bin *other = &a->bins[i - 1].bin;

        if (other->seq == bin->seq && other->epoch == bin->epoch &&
            other->t_publish_ns == bin->t_publish_ns)
            return &a->bins[i - 1];
    }
    return NULL;
}

/* The oldest give way. */
static void keep(struct asked *a, const struct why_bin *b)
{
    if (a->n_bins == a->n_room) {
        memmove(a->bins, a->bins + 1, (a->n_room - 1) * sizeof *a->bins);
        a->n_bins--;
    }
    a->bins[a->n_bins++] = *b;
}

/* ---- the entries ---- */

/* By its own steps alone: whatever else kept it waiting is not in a record. */
static void explain(struct asked *a, const struct late_bin *bin)
{
    size_t n = a->n_spans < SPANS ? (size_t)a->n_spans : SPANS;
    const struct why_known known = {
        .spans = a->spans, .n_spans = n, .spans_from_ns = WHY_UNKNOWN_NS, .pieces = a->pieces};
    struct why_bin out;

    for (size_t i = 0; i < n; i++) a->spans[i] = a->ring[(a->n_spans - n + i) % SPANS];
    why_explain(&out, bin, &known);
    keep(a, &out);
}

/* What a frame says of its bin. */
static void take_frame(struct asked *a, const struct reading_frame *f, struct late_bin *bin)
{
    struct wire_frame frame;

    bin->flags = f->flags;
    bin->outcome = f->sent ? FRAMES_PUBLISHED : FRAMES_SUPPRESSED_SEND;
    if (!f->bytes || wire_unpack_frame(&a->arena, f->bytes, f->n_bytes, &frame)) return;
    bin->t_source_ns = frame.t_source_ns;
    if (f->flags & LATENT_AGE_UNKNOWN) return;
    bin->since = LATE_SINCE_ESTIMATED;
    bin->t_since_ns = frame.t_publish_ns - (uint64_t)frame.age_ns;
}

/* The clock of a step: its start, ..., its frame is made, its frame is sent. */
static void take_step(struct asked *a, const struct reading_entry *e, struct late_bin *bin)
{
    struct reading_frame f;

    bin->t_recv_ns = e->event.t_ns;
    bin->t_start_ns = reading_clock(e, 0);
    bin->t_publish_ns = reading_clock(e, e->n_clock - 2);
    bin->t_done_ns = reading_clock(e, e->n_clock - 1);
    bin->since = LATE_SINCE_ARRIVAL;
    bin->t_since_ns = bin->t_recv_ns;
    bin->budget_ns = a->budget_ns;
    while (reading_next_frame(a->reading, &f))
        if (f.seq == bin->seq && f.epoch == bin->epoch) take_frame(a, &f, bin);
    if (bin->t_recv_ns != a->t_wake_ns) a->n_of_wake = 0;
    a->t_wake_ns = bin->t_recv_ns;
    bin->n_before = a->n_of_wake++;
    if (bin->flags & LATENT_LATE) {
        a->n_late++;
        if (is_wanted(a, bin->seq)) explain(a, bin);
    }
    a->ring[a->n_spans++ % SPANS] = (struct why_span){bin->t_start_ns, bin->t_done_ns, 0};
}

static void read_entries(struct asked *a)
{
    struct reading_entry e;
    struct reading_event outcome;

    while (reading_next_entry(a->reading, &e)) {
        struct late_bin bin = {0};
        bool is_decoded = false;

        while (reading_next_outcome(a->reading, &outcome)) {
            if (outcome.code != BINS_DECODED) continue;
            is_decoded = true;
            bin.epoch = outcome.epoch;
            bin.seq = outcome.seq;
        }
        if (!is_decoded || e.event.kind != LINE_CONTINUE || e.n_clock < 3) continue;
        a->was_decoded |= a->wish->has_bin && a->wish->bin == bin.seq;
        take_step(a, &e, &bin);
    }
}

static int compare_bins(const void *x, const void *y)
{
    uint64_t a = ((const struct why_bin *)x)->bin.t_publish_ns;
    uint64_t b = ((const struct why_bin *)y)->bin.t_publish_ns;

    return a < b ? -1 : a > b;
}

/* What was told takes the place of what the entries gave. */
static void read_lates(struct asked *a)
{
    struct why_bin told;

    while (lates_next(a->lates, &told)) {
        struct why_bin *found = find(a, &told.bin);

        if (found)
            *found = told;
        else if (is_wanted(a, told.bin.seq) && told.bin.outcome != FRAMES_PUBLISHED)
            keep(a, &told);
        a->n_late += !found && told.bin.outcome != FRAMES_PUBLISHED;
    }
    qsort(a->bins, a->n_bins, sizeof *a->bins, compare_bins);
}

/* ---- printing ---- */

static uint64_t utc_offset_ns(struct asked *a)
{
    return reading_whole(a->reading, "start_utc_ns") -
           reading_whole(a->reading, "start_monotonic_ns");
}

static void say_lack(struct asked *a)
{
    if (!lates_are_told(a->lates))
        fprintf(stderr,
                "%s: written by a latentd that did not record what late bins waited for: other "
                "streams, the processor, stops and the source stand under unexplained\n",
                a->wish->record);
    reading_say_missing(a->reading, a->wish->record, stderr);
}

static int show(struct asked *a, struct latent_error *err)
{
    const struct why_record_wish *w = a->wish;
    struct why_message *m;

    if (w->has_bin && a->n_bins == 0)
        return error_text(err, LATENT_E_CONFIG,
                          a->was_decoded ? "%s: bin %" PRIu64 " was not late"
                                         : "%s: bin %" PRIu64 " is not in this record, or was not "
                                           "decoded",
                          w->stream, w->bin);
    m = why_message_new(w->stream, a->bins, a->n_bins, utc_offset_ns(a));
    if (!m) return error_text(err, LATENT_E_NOMEM, "out of memory");
    m->message.n_late = a->n_late;
    if (w->has_bin) why_message_only(m, w->bin);
    if (w->json)
        why_print_json(&m->message, stdout);
    else if (w->has_bin)
        why_print_bin(w->stream, m->message.bins[0], stdout);
    else
        why_print_table(&m->message, stdout);
    why_message_free(m);
    say_lack(a);
    return 0;
}

/* ---- life ---- */

static int read_budget(struct asked *a, struct latent_error *err)
{
    const char *text = reading_text(a->reading, "config");
    struct conf conf;
    int status = 0;

    if (!text || conf_read_text(&conf, "(record)/configuration", text) || conf.n_streams != 1)
        status = error_text(err, LATENT_E_FORMAT, "%s: its configuration cannot be read",
                            a->wish->record);
    else
        a->budget_ns = conf.streams[0].values.budget_ns;
    if (text) conf_free(&conf);
    return status;
}

static int take_memory(struct asked *a, struct latent_error *err)
{
    a->n_room = WHY_RECORD_SHOWN;
    a->bins = calloc(a->n_room, sizeof *a->bins);
    a->pieces = calloc(WHY_PIECES, sizeof *a->pieces);
    a->arena.size = WIRE_ARENA_BASE + 4 * WIRE_MAX_BYTES;
    a->arena.bytes = aligned_alloc(16, a->arena.size);
    if (a->bins && a->pieces && a->arena.bytes) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

static int check_stream(struct asked *a, struct latent_error *err)
{
    const char *stream = reading_text(a->reading, "stream");

    if (stream && strcmp(stream, a->wish->stream) == 0) return 0;
    return error_text(err, LATENT_E_CONFIG, "%s is a record of %s, not of %s", a->wish->record,
                      stream ? stream : "no stream", a->wish->stream);
}

static int ask(struct asked *a, struct latent_error *err)
{
    int status = reading_open(&a->reading, a->wish->record, err);

    if (!status) status = check_stream(a, err);
    if (!status) status = read_budget(a, err);
    if (!status) status = lates_open(&a->lates, a->reading, err);
    if (!status) status = take_memory(a, err);
    if (status) return status;
    read_entries(a);
    read_lates(a);
    status = reading_check(a->reading, err);
    return status ? status : show(a, err);
}

int why_record_show(const struct why_record_wish *wish, struct latent_error *err)
{
    struct asked *a = calloc(1, sizeof *a);
    int status;

    if (!a) return error_text(err, LATENT_E_NOMEM, "out of memory");
    a->wish = wish;
    status = ask(a, err);
    lates_close(a->lates);
    reading_close(a->reading);
    free(a->arena.bytes);
    free(a->bins);
    free(a->pieces);
    free(a);
    return status;
}
