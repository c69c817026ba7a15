/* Counters, histograms and names laid out as protobuf-c wants them: arrays of structs,
 * and of pointers to them. */
#include "latentd/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "latentd/info.h"
#include "latentd/masking_status.h"
#include "latentd/record_status.h"
#include "latentd/swap_status.h"
#include "net/peers.h"

/* Counters and times as the message points to them. */
struct numbers {
    Latent__V1__Counter counter[N_COUNTERS];
    Latent__V1__Counter *counters[N_COUNTERS];
    Latent__V1__Histogram histogram[N_TIMES];
    Latent__V1__Histogram *histograms[N_TIMES];
};

struct stream_box {
    Latent__V1__StreamStatus status;
    char held[HELD_TEXT];
    struct refusal refused[REFUSALS_MAX];
    Latent__V1__Refusal refusal[REFUSALS_MAX];
    Latent__V1__Refusal *refusals[REFUSALS_MAX];
    struct info_message info;
    struct record_status record;
    struct swap_status swap;
    struct numbers total, recent;
    Latent__V1__Minute minute;
    Latent__V1__Latest latest;
    struct latest_values shown;
    struct masking_status masking;
    char normalise[40];
};

enum { INPUT_UNKNOWN_TOPIC, INPUT_DISCONNECTED, INPUT_BY_REVOKED, N_INPUT_COUNTERS };

struct input_box {
    struct refusal remark[INPUT_REMARKS_MAX];
    size_t n_remarks;
    Latent__V1__Counter counter[N_INPUT_COUNTERS];
    char name[N_INPUT_COUNTERS][SOCKET_MAX_ENDPOINT + 32];
};

/* protobuf-c has no const; packing only reads. */
static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

/* ---- one stream ---- */

static void fill_counters(struct numbers *to, const struct ledger_values *v)
{
    for (enum counter c = 0; c < N_COUNTERS; c++) {
        latent__v1__counter__init(&to->counter[c]);
        to->counter[c].name = text(counter_name(c));
        to->counter[c].value = v->value[c];
        to->counters[c] = &to->counter[c];
    }
}

/* A group of counters is a stretch of the array. */
static size_t group(struct numbers *of, enum ledger_group g, Latent__V1__Counter ***out)
{
    enum counter first = ledger_group_first(g);

    *out = of->counters + first;
    return ledger_group_end(g) - first;
}

static void fill_time(struct numbers *to, enum line_time t, const struct histogram_summary *summary)
{
    Latent__V1__Histogram *h = &to->histogram[t];

    latent__v1__histogram__init(h);
    h->name = text(line_time_name(t));
    h->n = summary->n;
    h->p50 = summary->p50_ns;
    h->p99 = summary->p99_ns;
    h->p999 = summary->p999_ns;
    h->max = summary->max_ns;
    to->histograms[t] = h;
}

static void fill_totals(struct stream_box *b, struct line *line, const struct ledger_values *v)
{
    Latent__V1__StreamStatus *m = &b->status;
    struct histogram_summary summary;

    fill_counters(&b->total, v);
    for (enum line_time t = 0; t < N_TIMES; t++) {
        line_read_time(line, t, &summary);
        fill_time(&b->total, t, &summary);
    }
    m->n_messages = group(&b->total, LEDGER_MESSAGES, &m->messages);
    m->n_bins = group(&b->total, LEDGER_BINS, &m->bins);
    m->n_frames = group(&b->total, LEDGER_FRAMES, &m->frames);
    m->n_flags = group(&b->total, LEDGER_FLAGS, &m->flags);
    m->n_sequence = group(&b->total, LEDGER_SEQUENCE, &m->sequence);
    m->n_times = N_TIMES;
    m->times = b->total.histograms;
}

static void fill_minute(struct stream_box *b, const struct stream *s, uint64_t now_ns)
{
    Latent__V1__Minute *m = &b->minute;
    struct minute_values v;

    minute_read(s->minute, s->line, now_ns, &v);
    fill_counters(&b->recent, &v.counts);
    for (enum line_time t = 0; t < N_TIMES; t++) fill_time(&b->recent, t, &v.times[t]);
    latent__v1__minute__init(m);
    m->span_ns = v.span_ns;
    m->n_messages = group(&b->recent, LEDGER_MESSAGES, &m->messages);
    m->n_bins = group(&b->recent, LEDGER_BINS, &m->bins);
    m->n_frames = group(&b->recent, LEDGER_FRAMES, &m->frames);
    m->n_flags = group(&b->recent, LEDGER_FLAGS, &m->flags);
    m->n_sequence = group(&b->recent, LEDGER_SEQUENCE, &m->sequence);
    m->n_times = N_TIMES;
    m->times = b->recent.histograms;
    m->budget_misses = v.counts.value[STATE_BUDGET_MISSES];
    if (v.span_ns > 0)
        m->bins_per_s = (double)v.counts.value[BINS_DECODED] * 1e9 / (double)v.span_ns;
    b->status.minute = m;
}

/* What was stamped after now was asked for is of now. */
static uint64_t since(uint64_t t_ns, uint64_t now_ns)
{
    return t_ns < now_ns ? now_ns - t_ns : 0;
}

static void fill_latest(struct stream_box *b, const struct stream *s, uint64_t now_ns)
{
    Latent__V1__Latest *m = &b->latest;

    if (!line_read_latest(s->line, &b->shown) || b->shown.t_publish_ns == 0) return;
    latent__v1__latest__init(m);
    m->has_bin = b->shown.t_recv_ns > 0;
    if (m->has_bin) m->bin_age_ns = since(b->shown.t_recv_ns, now_ns);
    m->frame_age_ns = since(b->shown.t_publish_ns, now_ns);
    m->seq = b->shown.seq;
    m->flags = b->shown.flags;
    m->n_readout = b->shown.n;
    m->readout = b->shown.readout;
    b->status.latest = m;
}

static void fill_refusals(struct stream_box *b, const struct stream *s)
{
    size_t kind[REFUSALS_MAX];

    b->status.n_refusals = refusals_of_stream(s, b->refused, kind);
    b->status.refusals = b->refusals;
    for (size_t i = 0; i < b->status.n_refusals; i++) {
        latent__v1__refusal__init(&b->refusal[i]);
        b->refusal[i].what = text(b->refused[i].what);
        b->refusal[i].n = b->refused[i].n;
        b->refusal[i].found = b->refused[i].found;
        b->refusal[i].expected = b->refused[i].expected;
        b->refusal[i].text = b->refused[i].text;
        b->refusals[i] = &b->refusal[i];
    }
}

static int fill_stream(struct stream_box *b, struct stream *s, bool with_model)
{
    Latent__V1__StreamStatus *m = &b->status;
    uint64_t now_ns = clock_now_ns();
    struct ledger_values v;

    latent__v1__stream_status__init(m);
    if (info_build(&b->info, s)) return -1;
    info_add_clock(&b->info.info, s);
    line_read(s->line, &v);
    m->info = &b->info.info;
    m->state = text(line_state_name((enum line_state)v.value[STATE_STATE]));
    m->model_path = text(s->info.path);
    m->input = s->input->bound;
    m->output = s->output->bound;
    m->budget_misses = v.value[STATE_BUDGET_MISSES];
    m->last_seq = v.value[STATE_LAST_SEQ];
    m->last_epoch = v.value[STATE_LAST_EPOCH];
    m->held = b->held;
    m->record = record_status_fill(&b->record, s);
    m->swap = swap_status_fill(&b->swap, &s->swap, now_ns);
    snprintf(b->normalise, sizeof b->normalise, "%s%s", latent_normalise_name(s->info.normalise),
             s->is_frozen ? ", frozen" : "");
    m->normalise = b->normalise;
    m->masking = masking_status_fill(&b->masking, s);
    if (with_model) m->model_json = text(s->info.config);
    fill_totals(b, s->line, &v);
    fill_minute(b, s, now_ns);
    fill_latest(b, s, now_ns);
    fill_refusals(b, s);
    return 0;
}

static int fill_streams(struct status *st, struct daemon *d, struct stream *only)
{
    struct stream **streams = only ? &only : d->streams;
    size_t n = only ? 1 : d->n_streams;

    st->boxes = calloc(n, sizeof *st->boxes);
    st->streams = calloc(n, sizeof *st->streams);
    if (!st->boxes || !st->streams) return -1;
    for (size_t i = 0; i < n; i++) {
        st->n_boxes = i + 1;
        if (fill_stream(&st->boxes[i], streams[i], only != NULL)) return -1;
        held_tell(&d->held, streams[i]->conf->name, st->boxes[i].held);
        printable(st->boxes[i].held);
        st->streams[i] = &st->boxes[i].status;
    }
    st->message.n_streams = n;
    st->message.streams = st->streams;
    return 0;
}

/* ---- sockets ---- */

static void fill_input(struct input_box *b, struct input *in, Latent__V1__Counter **out)
{
    static const char *const words[N_INPUT_COUNTERS] = {[INPUT_UNKNOWN_TOPIC] = "unknown_topic",
                                                        [INPUT_DISCONNECTED] = "disconnected",
                                                        [INPUT_BY_REVOKED] = "revoked"};
    size_t kind[INPUT_REMARKS_MAX];

    input_watch(in);
    for (size_t i = 0; i < N_INPUT_COUNTERS; i++) {
        snprintf(b->name[i], sizeof b->name[i], "%s %s", in->bound, words[i]);
        latent__v1__counter__init(&b->counter[i]);
        b->counter[i].name = b->name[i];
        out[i] = &b->counter[i];
    }
    b->counter[INPUT_UNKNOWN_TOPIC].value =
        atomic_load_explicit(&in->n_unknown, memory_order_relaxed);
    b->counter[INPUT_DISCONNECTED].value = in->n_disconnected;
    b->counter[INPUT_BY_REVOKED].value = atomic_load_explicit(&in->n_revoked, memory_order_relaxed);
    b->n_remarks = refusals_of_input(in, clock_now_ns(), b->remark, kind);
}

static int fill_inputs(struct status *st, struct daemon *d)
{
    size_t n = 0, k = 0;

    for (size_t i = 0; i < d->n_loops; i++) n += d->loops[i]->n_inputs;
    st->input_boxes = calloc(n, sizeof *st->input_boxes);
    st->inputs = calloc(n * N_INPUT_COUNTERS, sizeof *st->inputs);
    if (!st->input_boxes || !st->inputs) return -1;
    for (size_t i = 0; i < d->n_loops; i++)
        for (size_t j = 0; j < d->loops[i]->n_inputs; j++, k++)
            fill_input(&st->input_boxes[k], &d->loops[i]->inputs[j],
                       st->inputs + k * N_INPUT_COUNTERS);
    st->message.n_inputs = n * N_INPUT_COUNTERS;
    st->message.inputs = st->inputs;
    return 0;
}

static void fill_outputs(struct status *st)
{
    const struct peers_counts peers = peers_counts();
    const struct {
        const char *name;
        uint64_t value;
    } counters[STATUS_N_OUTPUTS] = {
        {"peers", peers.n_open}, {"topics.bytes", peers.n_topic_bytes}, {"peers.cut", peers.n_cut}};

    for (size_t i = 0; i < STATUS_N_OUTPUTS; i++) {
        Latent__V1__Counter *c = &st->output_counter[i];

        latent__v1__counter__init(c);
        c->name = text(counters[i].name);
        c->value = counters[i].value;
        st->outputs[i] = c;
    }
    st->message.n_outputs = STATUS_N_OUTPUTS;
    st->message.outputs = st->outputs;
}

/* ---- notes ---- */

static void add_note(struct status *st, char *note)
{
    if (st->message.n_notes < STATUS_MAX_NOTES) st->notes[st->message.n_notes++] = note;
}

static void add_remarks(struct status *st, struct input_box *b)
{
    for (size_t i = 0; i < b->n_remarks; i++) add_note(st, b->remark[i].text);
}

/* ---- keys ---- */

static void fill_key(struct status *st, size_t i, enum access_door door, const char *what,
                     uint64_t value)
{
    Latent__V1__Counter *c = &st->key_counter[i];

    snprintf(st->key_name[i], sizeof st->key_name[i], "%s.%s", access_door_name(door), what);
    latent__v1__counter__init(c);
    c->name = st->key_name[i];
    c->value = value;
    st->keys[i] = c;
}

static void fill_keys(struct status *st, struct access *a)
{
    if (!a->encrypts) return;
    for (enum access_door door = 0; door < ACCESS_N_DOORS; door++) {
        fill_key(st, 2 * door, door, "accepted",
                 atomic_load_explicit(&a->n_accepted[door], memory_order_relaxed));
        fill_key(st, 2 * door + 1, door, "refused",
                 atomic_load_explicit(&a->n_refused[door], memory_order_relaxed));
    }
    st->message.n_keys = STATUS_N_KEYS;
    st->message.keys = st->keys;
}

/* ---- the whole ---- */

int status_build(struct status *st, struct daemon *d, struct stream *only)
{
    *st = (struct status){0};
    latent__v1__status__init(&st->message);
    st->message.version = text(latent_version());
    st->message.kernels = text(latent_kernels());
    st->message.uptime_ns = clock_now_ns() - d->t_start_ns;
    st->message.pid = (uint32_t)getpid();
    st->message.notes = st->notes;
    for (size_t i = 0; i < d->notes.n; i++) add_note(st, d->notes.text[i]);
    fill_keys(st, &d->access);
    fill_outputs(st);
    if (fill_streams(st, d, only)) return -1;
    if (fill_inputs(st, d)) return -1;
    for (size_t i = 0; i < st->message.n_inputs / N_INPUT_COUNTERS; i++)
        add_remarks(st, &st->input_boxes[i]);
    return 0;
}

int status_build_channels(struct status *st, struct daemon *d, struct stream *s)
{
    if (status_build(st, d, s)) return -1;
    st->boxes[0].status.model_json = text("");
    return masking_status_add(&st->boxes[0].masking, s);
}

void status_free(struct status *st)
{
    for (size_t i = 0; i < st->n_boxes; i++) {
        info_free(&st->boxes[i].info);
        masking_status_free(&st->boxes[i].masking);
    }
    free(st->boxes);
    free(st->streams);
    free(st->input_boxes);
    free(st->inputs);
    *st = (struct status){0};
}
