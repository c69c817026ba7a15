/* Making a line, its entries, and what others may read of it. */
#include "line/line.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "line/account.h"
#include "line/arrive.h"
#include "line/decode.h"
#include "line/inside.h"
#include "line/memory.h"
#include "line/promote.h"
#include "line/publish.h"
#include "line/rules.h"
#include "line/silence.h"

/* Bound of a message on small models: room for a sender that batches or pads. */
#define MIN_PAYLOAD_BOUND 4096

static const char *const state_names[LINE_N_STATES] = {
    [LINE_STATE_WAITING] = "waiting",         [LINE_STATE_RUNNING] = "running",
    [LINE_STATE_OUTSIDE] = "outside",         [LINE_STATE_SILENT] = "silent",
    [LINE_STATE_NO_SIGNAL] = "no-signal",     [LINE_STATE_FAILED] = "failed",
    [LINE_STATE_SAFE_LEASE] = "safe-lease",   [LINE_STATE_SAFE_MISSING] = "safe-missing",
    [LINE_STATE_SAFE_LATE] = "safe-late",     [LINE_STATE_SAFE_OPERATOR] = "safe-operator",
    [LINE_STATE_SAFE_START] = "safe-start",   [LINE_STATE_SAFE_SIGNAL] = "safe-no-signal",
    [LINE_STATE_SAFE_MASKED] = "safe-masked", [LINE_STATE_STOPPING] = "stopping",
};

static const char *const time_names[N_TIMES] = {
    [TIME_QUEUEING] = "queueing", [TIME_DECODING] = "decoding", [TIME_PUBLISHING] = "publishing",
    [TIME_LATENCY] = "latency",   [TIME_SPARE] = "spare",
};

const char *line_state_name(enum line_state state)
{
    assert(state < LINE_N_STATES);
    return state_names[state];
}

const char *line_time_name(enum line_time time)
{
    assert(time < N_TIMES);
    return time_names[time];
}

/* ---- entries ---- */

typedef void entry_fn(struct line *line, const struct line_event *entry);

static void on_message(struct line *line, const struct line_event *entry)
{
    arrive_message(line, entry->bytes, entry->n_bytes, entry->t_ns);
}

static void on_continue(struct line *line, const struct line_event *entry)
{
    (void)entry;
    arrive_step(line);
}

static void on_parts(struct line *line, const struct line_event *entry)
{
    (void)entry;
    account_message(line, WIRE_REFUSED_LENGTH);
}

static void on_reset(struct line *line, const struct line_event *entry)
{
    (void)entry;
    decode_reset(line);
}

static void on_tick(struct line *line, const struct line_event *entry)
{
    silence_on_tick(line, entry->t_ns, entry->what || arrive_is_open(line));
}

/* Whoever asks for SAFE is answered at once, not with the next bin. */
static void go_safe(struct line *line, enum safe_reason reason, uint64_t now_ns)
{
    publish_enter_safe(line, reason, now_ns, LINE_NEVER);
    silence_break(line, now_ns);
    silence_on_tick(line, now_ns, false);
}

static void on_safe_on(struct line *line, const struct line_event *entry)
{
    go_safe(line, SAFE_OPERATOR, entry->t_ns);
}

static void on_safe_off(struct line *line, const struct line_event *entry)
{
    (void)entry;
    safe_release(&line->state.safe);
}

static void on_stop(struct line *line, const struct line_event *entry)
{
    go_safe(line, SAFE_STOP, entry->t_ns);
}

static void on_promote(struct line *line, const struct line_event *entry)
{
    promote_enter(line, entry->next);
}

/* A mask that does not fit changes nothing: whoever orders one looks before. */
static void on_mask(struct line *line, const struct line_event *entry)
{
    if (latent_decoder_mask(line->decoder, entry->bytes, entry->n_bytes, entry->what)) return;
    if (line_is_masked_too_much(line)) go_safe(line, SAFE_MASKED, entry->t_ns);
}

/* One that cannot be done changes nothing. */
static void on_normalise(struct line *line, const struct line_event *entry)
{
    size_t n = line->n_channels;
    const double *mean = entry->n_bytes == line_normalisation_bytes(line) ? entry->bytes : NULL;

    latent_decoder_normalise(line->decoder, entry->what, mean, mean ? mean + n : NULL, n);
}

static void on_rules(struct line *line, const struct line_event *entry)
{
    bool was_too_much = line_is_masked_too_much(line);

    rules_enter(line, entry);
    if (!was_too_much && line_is_masked_too_much(line)) go_safe(line, SAFE_MASKED, entry->t_ns);
}

static entry_fn *const entries[] = {
    [LINE_MESSAGE] = on_message,   [LINE_CONTINUE] = on_continue,   [LINE_PARTS] = on_parts,
    [LINE_TICK] = on_tick,         [LINE_RESET] = on_reset,         [LINE_SAFE_ON] = on_safe_on,
    [LINE_SAFE_OFF] = on_safe_off, [LINE_STOP] = on_stop,           [LINE_PROMOTE] = on_promote,
    [LINE_MASK] = on_mask,         [LINE_NORMALISE] = on_normalise, [LINE_RULES] = on_rules,
};

bool line_takes(const struct line *line, enum line_event_kind entry)
{
    if (entry == LINE_MESSAGE) return !arrive_is_open(line);
    if (entry == LINE_CONTINUE) return arrive_is_open(line);
    if (entry == LINE_PROMOTE) return !line->open.is_judged;
    return line_event_is_entry(entry);
}

static void begin_entry(struct line *line, const struct line_event *entry)
{
    struct line_event told = *entry;

    assert(line_takes(line, entry->kind));
    if (entry->kind == LINE_PROMOTE) promote_describe(line, &told);
    line_tell(line, &told);
    entries[entry->kind](line, &told);
}

void line_enter(struct line *line, const struct line_event *entry)
{
    begin_entry(line, entry);
    line_tell(line, &(struct line_event){.kind = LINE_DONE});
}

void line_enter_whole(struct line *line, const struct line_event *entry)
{
    begin_entry(line, entry);
    while (arrive_is_open(line)) arrive_step(line);
    line_tell(line, &(struct line_event){.kind = LINE_DONE});
}

void line_on_frame(struct line *line, const void *payload, size_t n_bytes, uint64_t t_recv_ns)
{
    line_enter(line,
               &(struct line_event){
                   .kind = LINE_MESSAGE, .t_ns = t_recv_ns, .bytes = payload, .n_bytes = n_bytes});
}

bool line_has_work(const struct line *line)
{
    return arrive_is_open(line);
}

void line_continue(struct line *line)
{
    line_enter(line, &(struct line_event){.kind = LINE_CONTINUE, .t_ns = line->open.t_recv_ns});
}

void line_refuse_parts(struct line *line)
{
    line_enter(line, &(struct line_event){.kind = LINE_PARTS});
}

void line_reset(struct line *line)
{
    line_enter(line, &(struct line_event){.kind = LINE_RESET});
}

void line_on_tick(struct line *line, uint64_t now_ns, bool input_waits)
{
    line_enter(line, &(struct line_event){.kind = LINE_TICK, .t_ns = now_ns, .what = input_waits});
}

void line_safe_on(struct line *line, uint64_t now_ns)
{
    line_enter(line, &(struct line_event){.kind = LINE_SAFE_ON, .t_ns = now_ns});
}

void line_safe_off(struct line *line)
{
    line_enter(line, &(struct line_event){.kind = LINE_SAFE_OFF});
}

void line_stop(struct line *line, uint64_t now_ns)
{
    line_enter(line, &(struct line_event){.kind = LINE_STOP, .t_ns = now_ns});
}

struct line_decoder *line_promote(struct line *line, struct line_decoder *next,
                                  enum line_promotion why)
{
    struct line_decoder *old = line->seat;

    line_enter(line, &(struct line_event){.kind = LINE_PROMOTE, .what = why, .next = next});
    return old;
}

struct line_decoder *line_decoder(const struct line *line)
{
    return line->seat;
}

void line_seat(struct line *line, struct line_decoder *d)
{
    arrive_drop(line);
    promote_seat(line, d);
}

bool line_is_at_trial(const struct line *line)
{
    return arrive_is_open(line) ? arrive_begins_trial(line) : !line->is_in_trial;
}

uint64_t line_n_steps(const struct line *line)
{
    return line->n_steps;
}

uint64_t line_n_failed(const struct line *line)
{
    return atomic_load_explicit(&line->n_failed, memory_order_relaxed);
}

uint64_t line_next_tick_ns(const struct line *line, bool input_waits)
{
    return silence_next_ns(line, input_waits || arrive_is_open(line));
}

bool line_is_at_rest(const struct line *line)
{
    return line->state.safe.on && line->state.safe.arrived;
}

/* ---- life ---- */

static size_t payload_bound(uint32_t n_channels)
{
    size_t bound = wire_bins_bound(WIRE_MAX_BINS, n_channels);

    if (bound < MIN_PAYLOAD_BOUND) return MIN_PAYLOAD_BOUND;
    return bound < WIRE_MAX_BYTES ? bound : WIRE_MAX_BYTES;
}

static bool take_memory(struct line *line, latent_decoder *d, const struct latent_info *info)
{
    line->max_payload = payload_bound(info->n_channels);
    line->arena.size = WIRE_ARENA_BASE + 4 * line->max_payload;
    line->arena.bytes = memory_new(line->arena.size);
    line->counts = memory_new(info->n_channels * sizeof *line->counts);
    line->zeros = memory_new(info->n_channels * sizeof *line->zeros);
    line->mask = memory_new(line_mask_bytes(line));
    line->neutral = memory_new(info->n_readout * sizeof *line->neutral);
    line->readout = memory_new(info->n_readout * sizeof *line->readout);
    return late_open(&line->late) == 0 && line_decoder_new(&line->first, d, info) == 0 &&
           line->arena.bytes && line->counts && line->zeros && line->mask && line->neutral &&
           line->readout;
}

static void describe(struct line *line, const struct latent_info *info,
                     const struct line_options *options)
{
    line->options = *options;
    line->options.sequence.fill = options->policy.on_gap != ON_GAP_RESET;
    snprintf(line->topic, sizeof line->topic, "%s/frame", options->name);
    line->n_channels = info->n_channels;
    line->bin_width_us = info->bin_width_us;
    line->n_readout = info->n_readout;
    line->bin_ns = (uint64_t)info->bin_width_us * 1000;
    line->trust = (struct trust_rules){.max_jump_bins = options->max_jump_bins,
                                       .silent_ns = options->policy.missing_after_ns,
                                       .bin_ns = line->bin_ns};
    line->input = options->any_finite ? LATENT_INPUT_REAL : info->input;
}

static void start(struct line *line, const struct latent_info *info)
{
    misfit_expect(&line->misfits, MISFIT_BYTES, line->max_payload);
    misfit_expect(&line->misfits, MISFIT_CHANNELS, line->n_channels);
    misfit_expect(&line->misfits, MISFIT_BIN_WIDTH, line->bin_width_us);
    sequence_init(&line->state.sequence, &line->options.sequence);
    source_clock_init(&line->state.source_clock);
    line->state.silence.t_due_ns = LINE_NEVER;
    line->state.eased.leaving = true;
    if (line->options.policy.safe_start && line->options.send_readout && info->n_readout)
        safe_begin(&line->state.safe, &line->options.policy);
    for (uint32_t o = 0; o < info->n_readout; o++)
        line->neutral[o] = line->shown_readout[o] = info->readout[o].neutral;
}

int line_new(struct line **out, latent_decoder *d, const struct latent_info *info,
             const struct line_options *options, struct line_clock clock, struct line_sink sink)
{
    struct line *line;

    *out = NULL;
    if (options->policy.on_gap == ON_GAP_MEAN && !info->channel_mean) return LATENT_E_UNSUPPORTED;
    line = memory_new(sizeof *line);
    if (!line) return LATENT_E_NOMEM;
    line->clock = clock;
    line->sink = sink;
    describe(line, info, options);
    if (!take_memory(line, d, info)) {
        line_free(line);
        return LATENT_E_NOMEM;
    }
    promote_seat(line, line->first);
    start(line, info);
    *out = line;
    return 0;
}

void line_free(struct line *line)
{
    if (!line) return;
    free(line->arena.bytes);
    free(line->counts);
    free(line->zeros);
    free(line->mask);
    free(line->neutral);
    free(line->readout);
    line_decoder_free(line->first);
    late_close(&line->late);
    free(line);
}

bool line_add_tap(struct line *line, struct line_tap tap)
{
    if (line->n_taps == LINE_MAX_TAPS) return false;
    line->taps[line->n_taps++] = tap;
    return true;
}

size_t line_n_taps(const struct line *line)
{
    return line->n_taps;
}

void line_remove_tap(struct line *line, const void *ctx)
{
    struct line_tap removed;
    size_t i = 0;

    while (i < line->n_taps && line->taps[i].ctx != ctx) i++;
    if (i == line->n_taps) return;
    removed = line->taps[i];
    line->n_taps--;
    memmove(line->taps + i, line->taps + i + 1, (line->n_taps - i) * sizeof *line->taps);
    if (removed.on_removed) removed.on_removed(removed.ctx);
}

size_t line_max_payload(const struct line *line)
{
    return line->max_payload;
}

bool line_read(struct line *line, struct ledger_values *out)
{
    return ledger_read(&line->ledger, out);
}

/* What is left of a bin: the more the latency takes, the less. */
static uint64_t spare(const struct line *line, uint64_t latency_ns)
{
    return latency_ns < line->bin_ns ? line->bin_ns - latency_ns : 0;
}

void line_read_misfit(const struct line *line, enum misfit what, struct misfit_seen *out)
{
    misfit_read(&line->misfits, what, out);
}

void line_read_source_clock(const struct line *line, struct source_clock_seen *out)
{
    source_clock_read(&line->source_told, out);
}

void line_read_sources(const struct line *line, struct sources_seen *out)
{
    sources_read(&line->sources, out);
}

bool line_read_latest(struct line *line, struct latest_values *out)
{
    return latest_read(&line->latest, out);
}

uint64_t line_n_late(struct line *line)
{
    return trail_count(&line->late.bins);
}

bool line_read_late(struct line *line, uint64_t i, struct late_bin *out)
{
    return late_read(&line->late, i, out);
}

static struct histogram *measured(struct line *line, enum line_time time)
{
    assert(time < N_TIMES);
    return &line->times[time == TIME_SPARE ? TIME_LATENCY : time];
}

static void to_spare(const struct line *line, struct histogram_summary *s)
{
    if (s->n == 0) return;
    s->p50_ns = spare(line, s->p50_ns);
    s->p99_ns = spare(line, s->p99_ns);
    s->p999_ns = spare(line, s->p999_ns);
    s->max_ns = spare(line, s->max_ns);
}

void line_read_time(struct line *line, enum line_time time, struct histogram_summary *out)
{
    histogram_read(measured(line, time), out);
    if (time == TIME_SPARE) to_spare(line, out);
}

void line_copy_time(struct line *line, enum line_time time, struct histogram_copy *out)
{
    histogram_copy(measured(line, time), out);
}

void line_read_time_since(struct line *line, enum line_time time,
                          const struct histogram_copy *since, struct histogram_summary *out)
{
    histogram_read_since(measured(line, time), since, out);
    if (time == TIME_SPARE) to_spare(line, out);
}
