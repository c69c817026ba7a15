/* Two walks through the record: the first counts, since a data set is made whole; the second
 * writes. */
#include "latentctl/export.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "data/h5table.h"
#include "line/ledger.h"
#include "record/meta.h"
#include "record/reading.h"
#include "wire.h"

#define MAX_OUTCOMES 256

struct export
{
    struct reading *reading;
    struct h5out out;
    struct wire_arena arena;
    uint32_t n_channels;
    float *counts; /* [n_channels] */
    float *row;    /* [the widest group of frames] */
    size_t n_bins, n_frames, n_promotions, n_events[2];
    size_t n_latents, n_rates, n_readout, n_logits;     /* largest of any frame */
    struct h5table bins, frames, promotions, events[2]; /* outcomes, actions */
};

enum { OUTCOMES, ACTIONS };

/* ---- counting ---- */

/* The bins of a message that the stream could have taken; refused ones stand in the outcomes. */
static size_t unpack_bins(struct export *x, const struct line_event *e, struct wire_bins *bins)
{
    if (e->kind != LINE_MESSAGE || e->n_bytes > WIRE_MAX_BYTES) return 0;
    if (wire_unpack_bins(&x->arena, e->bytes, e->n_bytes, bins) != WIRE_OK) return 0;
    return bins->n_channels == x->n_channels ? bins->n_bins : 0;
}

static void widen(size_t *width, size_t n)
{
    if (n > *width) *width = n;
}

static void count_frame(struct export *x, const struct reading_frame *f)
{
    struct wire_frame frame;

    x->n_frames++;
    if (!f->bytes || wire_unpack_frame(&x->arena, f->bytes, f->n_bytes, &frame)) return;
    widen(&x->n_latents, frame.values.n_latents);
    widen(&x->n_rates, frame.values.n_rates);
    widen(&x->n_readout, frame.values.n_readout);
    widen(&x->n_logits, frame.values.n_logits);
}

static void count_all(struct export *x)
{
    struct reading_entry e;
    struct reading_frame f;
    struct reading_event event;
    struct wire_bins bins;

    while (reading_next_entry(x->reading, &e)) {
        x->n_bins += unpack_bins(x, &e.event, &bins);
        x->n_promotions += e.event.kind == LINE_PROMOTE;
        while (reading_next_frame(x->reading, &f)) count_frame(x, &f);
        while (reading_next_outcome(x->reading, &event)) x->n_events[OUTCOMES]++;
        while (reading_next_action(x->reading, &event)) x->n_events[ACTIONS]++;
    }
    reading_rewind(x->reading);
}

/* ---- tables ---- */

enum {
    BIN_ENTRY,
    BIN_EPOCH,
    BIN_SEQ,
    BIN_T_SOURCE,
    BIN_T_RECV,
    BIN_MARKS,
    BIN_EVENT_ID,
    BIN_COUNTS
};

static void open_bins(struct export *x)
{
    static const char *const names[] = {"entry",     "epoch", "seq",     "t_source_ns",
                                        "t_recv_ns", "marks", "event_id"};

    h5table_open(&x->bins, &x->out, "bins", x->n_bins);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        h5table_add_whole(&x->bins, names[i]);
    h5table_add_floats(&x->bins, "counts", x->n_channels);
}

static void put_bins(struct export *x, const struct reading_entry *e)
{
    struct wire_bins bins;
    size_t n = unpack_bins(x, &e->event, &bins);

    for (size_t i = 0; i < n; i++) {
        struct h5table *s = &x->bins;
        struct wire_bin bin;
        bool is_good = wire_bin_counts(&bins, i, x->counts) == WIRE_OK;

        wire_bin_at(&bins, i, &bin);
        h5table_set_whole(s, BIN_ENTRY, (uint64_t)e->entry);
        h5table_set_whole(s, BIN_EPOCH, bins.epoch);
        h5table_set_whole(s, BIN_SEQ, bins.seq + i);
        h5table_set_whole(s, BIN_T_SOURCE, bins.t_source_ns + i * bins.bin_width_us * 1000ull);
        h5table_set_whole(s, BIN_T_RECV, e->event.t_ns);
        h5table_set_whole(s, BIN_MARKS, bin.marks);
        h5table_set_whole(s, BIN_EVENT_ID, bin.event_id);
        h5table_set_floats(s, BIN_COUNTS, is_good ? x->counts : NULL);
        h5table_end_row(s);
    }
}

enum {
    FRAME_ENTRY,
    FRAME_EPOCH,
    FRAME_SEQ,
    FRAME_FLAGS,
    FRAME_SENT,
    FRAME_PUB_SEQ,
    FRAME_T_SOURCE,
    FRAME_T_RECV,
    FRAME_T_PUBLISH,
    FRAME_MARKS,
    FRAME_EVENT_ID,
    FRAME_DECODER_ID,
    FRAME_LATENTS,
    FRAME_RATES,
    FRAME_READOUT,
    FRAME_LOGITS
};

static void open_frames(struct export *x)
{
    static const char *const names[] = {"entry",        "epoch",   "seq",         "flags",
                                        "sent",         "pub_seq", "t_source_ns", "t_recv_ns",
                                        "t_publish_ns", "marks",   "event_id",    "decoder_id"};

    h5table_open(&x->frames, &x->out, "frames", x->n_frames);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        h5table_add_whole(&x->frames, names[i]);
    h5table_add_floats(&x->frames, "latents", x->n_latents);
    h5table_add_floats(&x->frames, "rates", x->n_rates);
    h5table_add_floats(&x->frames, "readout", x->n_readout);
    h5table_add_floats(&x->frames, "logits", x->n_logits);
}

/* Of another decoder the group may have fewer values: NaN behind them. */
static const float *in_row(struct export *x, const float *values, size_t n, size_t width)
{
    if (n == 0 || n > width) return NULL;
    for (size_t i = 0; i < width; i++) x->row[i] = i < n ? values[i] : NAN;
    return x->row;
}

/* What a thinned frame had can be computed again, but is not here: zeros and NaN. */
static void put_frame(struct export *x, int64_t entry, const struct reading_frame *f)
{
    struct h5table *s = &x->frames;
    struct wire_frame frame = {0};
    const struct latent_frame *v = &frame.values;

    if (f->bytes && wire_unpack_frame(&x->arena, f->bytes, f->n_bytes, &frame))
        frame = (struct wire_frame){0};
    h5table_set_whole(s, FRAME_ENTRY, (uint64_t)entry);
    h5table_set_whole(s, FRAME_EPOCH, f->epoch);
    h5table_set_whole(s, FRAME_SEQ, f->seq);
    h5table_set_whole(s, FRAME_FLAGS, f->flags);
    h5table_set_whole(s, FRAME_SENT, f->sent);
    h5table_set_whole(s, FRAME_PUB_SEQ, frame.pub_seq);
    h5table_set_whole(s, FRAME_T_SOURCE, frame.t_source_ns);
    h5table_set_whole(s, FRAME_T_RECV, frame.t_recv_ns);
    h5table_set_whole(s, FRAME_T_PUBLISH, frame.t_publish_ns);
    h5table_set_whole(s, FRAME_MARKS, frame.marks);
    h5table_set_whole(s, FRAME_EVENT_ID, frame.event_id);
    h5table_set_whole(s, FRAME_DECODER_ID, frame.decoder_id);
    h5table_set_floats(s, FRAME_LATENTS, in_row(x, v->latents, v->n_latents, x->n_latents));
    h5table_set_floats(s, FRAME_RATES, in_row(x, v->rates, v->n_rates, x->n_rates));
    h5table_set_floats(s, FRAME_READOUT, in_row(x, v->readout, v->n_readout, x->n_readout));
    h5table_set_floats(s, FRAME_LOGITS, in_row(x, v->logits, v->n_logits, x->n_logits));
    h5table_end_row(s);
}

static void open_promotions(struct export *x)
{
    struct h5table *s = &x->promotions;

    h5table_open(s, &x->out, "promotions", x->n_promotions);
    h5table_add_whole(s, "entry");
    h5table_add_whole(s, "code");
    h5table_add_whole(s, "decoder_id");
}

/* What is damaged has id 0. */
static void put_promotion(struct export *x, const struct reading_entry *e)
{
    struct h5table *s = &x->promotions;
    struct label label = {0};
    size_t n_label;

    if (e->event.kind != LINE_PROMOTE) return;
    if (!label_read(&label, e->event.bytes, e->event.n_bytes, &n_label)) label.decoder_id = 0;
    h5table_set_whole(s, 0, (uint64_t)e->entry);
    h5table_set_whole(s, 1, e->event.what);
    h5table_set_whole(s, 2, label.decoder_id);
    h5table_end_row(s);
}

static void open_events(struct export *x, int which, const char *group)
{
    struct h5table *s = &x->events[which];

    h5table_open(s, &x->out, group, x->n_events[which]);
    h5table_add_whole(s, "entry");
    h5table_add_whole(s, "epoch");
    h5table_add_whole(s, "seq");
    h5table_add_whole(s, "code");
}

static void put_event(struct export *x, int which, int64_t entry, const struct reading_event *e)
{
    struct h5table *s = &x->events[which];

    h5table_set_whole(s, 0, (uint64_t)entry);
    h5table_set_whole(s, 1, e->epoch);
    h5table_set_whole(s, 2, e->seq);
    h5table_set_whole(s, 3, e->code);
    h5table_end_row(s);
}

/* ---- what the numbers mean ---- */

static void describe_codes(struct export *x, const char *group,
                           bool (*name)(uint32_t code, char *name, size_t n))
{
    static char text[MAX_OUTCOMES][META_MAX_NAME];
    const char *texts[MAX_OUTCOMES];
    uint32_t n = 0;

    for (; n < MAX_OUTCOMES && name(n, text[n], sizeof text[n]); n++) texts[n] = text[n];
    h5out_texts(&x->out, group, "codes", n, texts);
}

static void describe_flags(struct export *x)
{
    const char *names[LATENT_N_FLAGS];

    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++) names[bit] = latent_flag_name(bit);
    h5out_texts(&x->out, "frames/flags", "bits", LATENT_N_FLAGS, names);
    if (x->n_rates > 0) h5out_text(&x->out, "frames/rates", "units", "Hz");
}

/* Names and units of the readout stand in the model's own configuration. */
static void describe_readout(struct export *x)
{
    const char *text = reading_text(x->reading, "model_config");
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    json_t *readout = json_object_get(json_object_get(config, "outputs"), "readout");
    size_t n = json_array_size(readout);
    const char **words = calloc(2 * n + 1, sizeof *words);

    for (size_t i = 0; words && i < n; i++) {
        const char *name = json_string_value(json_object_get(json_array_get(readout, i), "name"));
        const char *unit = json_string_value(json_object_get(json_array_get(readout, i), "unit"));

        words[i] = name ? name : "";
        words[n + i] = unit ? unit : "";
    }
    if (words && n > 0 && x->n_readout == n) {
        h5out_texts(&x->out, "frames/readout", "names", n, words);
        h5out_texts(&x->out, "frames/readout", "units", n, words + n);
    }
    free(words);
    json_decref(config);
}

static void describe_logits(struct export *x)
{
    const char *text = reading_text(x->reading, "model_config");
    json_t *config = text ? json_loads(text, 0, NULL) : NULL;
    json_t *labels = json_object_get(json_object_get(config, "outputs"), "logits");
    size_t n = json_array_size(labels);
    const char **words = calloc(n + 1, sizeof *words);

    for (size_t i = 0; words && i < n; i++) {
        const char *label = json_string_value(json_array_get(labels, i));

        words[i] = label ? label : "";
    }
    if (words && n > 0 && x->n_logits == n)
        h5out_texts(&x->out, "frames/logits", "labels", n, words);
    free(words);
    json_decref(config);
}

static void describe_file(struct export *x)
{
    static const char *const keys[] = {"stream",          "config",       "arch",       "mode",
                                       "precision",       "session",      "decoder_id", "host",
                                       "model_config",    "model_sha256", "clock_id",   "kernels",
                                       "latentd_version", "model_path",   "input"};
    static const char *const times[] = {"start_utc_ns", "start_monotonic_ns", "end_utc_ns",
                                        "end_monotonic_ns"};

    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *text = reading_text(x->reading, keys[i]);
        if (text) h5out_text(&x->out, "/", keys[i], text);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        const char *text = reading_text(x->reading, times[i]); /* a double has 53 bits */
        if (text) h5out_text(&x->out, "/", times[i], text);
    }
    h5out_number(&x->out, "/", "bin_width_ms",
                 (double)reading_whole(x->reading, "bin_width_us") / 1e3);
    h5out_number(&x->out, "/", "closed", reading_is_closed(x->reading));
    h5out_number(&x->out, "/", "entries_lost",
                 (double)reading_ask(x->reading, "SELECT sum(n_entries) FROM losses"));
}

/* ---- all of it ---- */

static void write_entries(struct export *x)
{
    struct reading_entry e;
    struct reading_frame f;
    struct reading_event event;

    while (reading_next_entry(x->reading, &e)) {
        put_bins(x, &e);
        put_promotion(x, &e);
        while (reading_next_frame(x->reading, &f)) put_frame(x, e.entry, &f);
        while (reading_next_outcome(x->reading, &event)) put_event(x, OUTCOMES, e.entry, &event);
        while (reading_next_action(x->reading, &event)) put_event(x, ACTIONS, e.entry, &event);
    }
}

static void write_all(struct export *x)
{
    open_bins(x);
    open_frames(x);
    open_promotions(x);
    open_events(x, OUTCOMES, "outcomes");
    open_events(x, ACTIONS, "actions");
    write_entries(x);
    describe_flags(x);
    describe_readout(x);
    describe_logits(x);
    describe_codes(x, "outcomes", meta_outcome_name);
    describe_codes(x, "actions", meta_action_name);
    describe_codes(x, "promotions", meta_promotion_name);
    describe_file(x);
    h5table_close(&x->bins);
    h5table_close(&x->frames);
    h5table_close(&x->promotions);
    h5table_close(&x->events[OUTCOMES]);
    h5table_close(&x->events[ACTIONS]);
}

static int take_memory(struct export *x, struct latent_error *err)
{
    x->arena.size = WIRE_ARENA_BASE + 4 * WIRE_MAX_BYTES;
    x->arena.bytes = aligned_alloc(16, x->arena.size);
    x->n_channels = (uint32_t)reading_whole(x->reading, "n_channels");
    x->counts = calloc((size_t)x->n_channels + 1, sizeof *x->counts);
    if (x->arena.bytes && x->counts) return 0;
    return error_text(err, LATENT_E_NOMEM, "out of memory");
}

static int run(struct export *x, const char *out, struct latent_error *err)
{
    int status = take_memory(x, err);

    if (status) return status;
    count_all(x);
    x->row = calloc(x->n_latents + x->n_rates + x->n_readout + x->n_logits + 1, sizeof *x->row);
    if (!x->row) return error_text(err, LATENT_E_NOMEM, "out of memory");
    status = reading_check(x->reading, err);
    if (!status) status = h5out_create(&x->out, out, err);
    if (status) return status;
    write_all(x);
    if (reading_check(x->reading, err)) {
        h5out_abort(&x->out);
        return err->status;
    }
    return h5out_commit(&x->out);
}

static void say_result(struct export *x, const char *record, const char *out)
{
    printf("%s: %zu bins, %zu frames, %zu outcomes, %zu actions -> %s\n", record, x->n_bins,
           x->n_frames, x->n_events[OUTCOMES], x->n_events[ACTIONS], out);
    reading_say_missing(x->reading, record, stderr);
}

int export_record(const char *record, const char *out, struct latent_error *err)
{
    struct export x = {0};
    int status = reading_open(&x.reading, record, err);

    if (status) return status;
    status = run(&x, out, err);
    if (!status) say_result(&x, record, out);
    reading_close(x.reading);
    free(x.arena.bytes);
    free(x.counts);
    free(x.row);
    return status;
}
