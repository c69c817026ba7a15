/* Kinds in the order of the contract's checks. */
#include "latentd/refusals.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/text.h"
#include "latentd/input.h"
#include "latentd/stream.h"

#define SAY_SAME_NS 60000000000u
#define SAY_OTHER_NS 10000000000u
#define SILENT_NS 5000000000u

bool refusal_is_due(struct refusal_said *said, const struct refusal *r, uint64_t now_ns)
{
    bool is_same = r->found == said->found && r->epoch == said->epoch;

    if (r->n == said->n) return false;
    if (said->n && now_ns - said->t_ns < (is_same ? SAY_SAME_NS : SAY_OTHER_NS)) return false;
    *said = (struct refusal_said){r->n, r->found, r->epoch, now_ns};
    return true;
}

/* ---- of a stream ---- */

typedef void numbers_fn(const struct stream *s, const struct ledger_values *v, struct refusal *r);

static void read_misfit(const struct stream *s, enum misfit what, struct refusal *r)
{
    struct misfit_seen seen;

    line_read_misfit(s->line, what, &seen);
    r->n = seen.n;
    r->found = seen.found;
    r->expected = seen.expected;
    r->epoch = seen.epoch;
}

static void read_bytes(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_BYTES, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: a payload of %" PRIu64 " bytes; expected 1 to %" PRIu64, r->n,
             r->found, r->expected);
}

static void read_parts(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    struct misfit_seen bytes;

    line_read_misfit(s->line, MISFIT_BYTES, &bytes);
    if (v->value[MESSAGES_REFUSED_LENGTH] > bytes.n)
        r->n = v->value[MESSAGES_REFUSED_LENGTH] - bytes.n;
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: not of two parts; expected a topic and a payload", r->n);
}

static void read_format(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)s;
    r->n = v->value[MESSAGES_REFUSED_FORMAT];
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: the payload is no Bins message of latent.proto, or has more "
             "than %d bins",
             r->n, WIRE_MAX_BINS);
}

static void read_channels(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_CHANNELS, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: bins of %" PRIu64 " channels; the model takes %" PRIu64
             ": send those that it was trained on",
             r->n, r->found, r->expected);
}

static void read_width(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_BIN_WIDTH, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: bins of %g ms; the model takes %g ms: bin anew at the source",
             r->n, (double)r->found / 1e3, (double)r->expected / 1e3);
}

static void read_sequence(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)s;
    r->n = v->value[MESSAGES_REFUSED_SEQUENCE];
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages: numbers or times that go beyond 64 bits within the message",
             r->n);
}

static void read_counts(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)s;
    r->n = v->value[BINS_REFUSED_SHAPE];
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins: the bytes of counts are not as many as channels and encoding ask "
             "for",
             r->n);
}

static void read_values(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    r->n = v->value[BINS_REFUSED_VALUE];
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins: counts that the model cannot take (expected %s; in pairs: channels "
             "in ascending order)",
             r->n, s->info.input == LATENT_INPUT_REAL ? "finite numbers" : "whole, 0 to 16777215");
}

static void read_number(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_NUMBER, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins: their numbers jump, the last to %" PRIu64 " from %" PRIu64
             "; three messages in a row would make it a restart",
             r->n, r->found, r->expected);
}

static void read_time(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_TIME, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins: their times jump, t_source_ns the last to %" PRIu64 " from %" PRIu64
             "; three messages in a row would make it a restart",
             r->n, r->found, r->expected);
}

static void read_epoch(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_EPOCH, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins of another epoch, the last of %" PRIu64
             ", while the source of epoch "
             "%" PRIu64 " sends",
             r->n, r->found, r->expected);
}

static void read_clock(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    (void)v;
    read_misfit(s, MISFIT_CLOCK, r);
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " messages' times, not their bins: by this machine's clock, as it is said "
             "to be, the last bin is %.3f s old; expected 0 to 10 s: its age is estimated instead; "
             "send no clock_id, or CLOCK_MONOTONIC at the end of the bin",
             r->n, (double)(int64_t)(r->expected - r->found) / 1e9);
}

static void read_sources(const struct stream *s, const struct ledger_values *v, struct refusal *r)
{
    struct sources_seen seen;

    (void)v;
    line_read_sources(s->line, &seen);
    r->n = seen.n;
    r->found = seen.seq;
    r->epoch = seen.epoch;
    snprintf(r->text, sizeof r->text,
             "%" PRIu64 " bins between those of another source: two sources send as this stream "
             "(the last of epoch %" PRIu64 ", bin %" PRIu64
             "), or one whose numbers go to and fro; end one of them, or give each a stream",
             r->n, r->epoch, r->found);
}

static const struct {
    const char *what;
    numbers_fn *read;
} kinds[REFUSALS_MAX] = {
    {"bytes", read_bytes},         {"parts", read_parts},        {"format", read_format},
    {"channels", read_channels},   {"bin_width_us", read_width}, {"sequence", read_sequence},
    {"counts", read_counts},       {"values", read_values},      {"jump", read_number},
    {"jump_time", read_time},      {"epoch", read_epoch},        {"clock", read_clock},
    {"two_sources", read_sources},
};

size_t refusals_of_stream(const struct stream *s, struct refusal out[REFUSALS_MAX],
                          size_t kind[REFUSALS_MAX])
{
    struct ledger_values v;
    size_t n = 0;

    line_read(s->line, &v);
    for (size_t k = 0; k < REFUSALS_MAX; k++) {
        out[n] = (struct refusal){.what = kinds[k].what};
        kinds[k].read(s, &v, &out[n]);
        kind[n] = k;
        n += out[n].n > 0;
    }
    return n;
}

void refusals_say_stream(struct stream *s, uint64_t now_ns)
{
    struct refusal found[REFUSALS_MAX];
    size_t kind[REFUSALS_MAX], n = refusals_of_stream(s, found, kind);

    for (size_t i = 0; i < n; i++)
        if (refusal_is_due(&s->said[kind[i]], &found[i], now_ns))
            log_say(LOG_LEVEL_WARNING, "stream %s: refused %s", s->conf->name, found[i].text);
}

/* ---- of an input ---- */

enum { INPUT_NAMES, INPUT_KIND, INPUT_SILENT, INPUT_REVOKED };

static bool is_sub(const struct input *in)
{
    return in->streams[0]->conf->values.input_socket == CONF_SUB;
}

/* "arm, leg", as far as it goes. */
static void list_streams(const struct input *in, char *text, size_t n)
{
    size_t used = 0;

    text[0] = '\0';
    for (size_t i = 0; i < in->n_streams && used < n; i++)
        used += (size_t)snprintf(text + used, n - used, "%s%s", i ? ", " : "",
                                 in->streams[i]->conf->name);
}

static void read_names(const struct input *in, const char *streams, struct refusal *r)
{
    char name[INPUT_NAME_BYTES];

    r->what = "unknown_topic";
    r->n = input_unknown(in, name, &r->found);
    snprintf(r->text, sizeof r->text,
             "%s: %" PRIu64 " messages for no stream here, the last for \"%s\"; expected "
             "NAME/bins of: %s",
             in->bound, r->n, printable(name), streams);
}

/* libzmq ends such a connection in the handshake, without a reason; keys have counters of their
 * own. At least so many: a peer that is still there hides one. */
static void read_kind(const struct input *in, struct refusal *r)
{
    r->what = "handshake";
    if (in->streams[0]->access->encrypts || in->n_disconnected <= in->n_shaken) return;
    r->n = in->n_disconnected - in->n_shaken;
    snprintf(r->text, sizeof r->text,
             "%s: %" PRIu64 " peers left in the handshake. Ours is a %s: expected %s", in->bound,
             r->n, is_sub(in) ? "SUB" : "PULL",
             is_sub(in) ? "PUB (latent-replay --socket pub), or input-socket = pull here"
                        : "PUSH (latent-replay --socket push), or input-socket = sub here");
}

static void read_silent(const struct input *in, uint64_t now_ns, struct refusal *r)
{
    const char *silent = NULL;
    struct ledger_values v;

    r->what = "silent";
    if (!is_sub(in) || !in->t_connected_ns || now_ns - in->t_connected_ns < SILENT_NS) return;
    for (size_t i = 0; i < in->n_streams && !silent; i++) {
        line_read(in->streams[i]->line, &v);
        if (v.value[MESSAGES_IN] == 0) silent = in->streams[i]->conf->name;
    }
    if (!silent) return;
    r->n = 1;
    snprintf(r->text, sizeof r->text,
             "%s: a source is connected, but nothing has come for %s: is it sending, and under the "
             "topic %s/bins?",
             in->bound, silent, silent);
}

static void read_revoked(const struct input *in, struct refusal *r)
{
    r->what = "revoked";
    r->n = atomic_load_explicit(&in->n_revoked, memory_order_relaxed);
    snprintf(r->text, sizeof r->text,
             "%s: %" PRIu64 " messages by a key that was taken away while it was connected; end "
             "that source, or give its key the role source again",
             in->bound, r->n);
}

size_t refusals_of_input(const struct input *in, uint64_t now_ns,
                         struct refusal out[INPUT_REMARKS_MAX], size_t kind[INPUT_REMARKS_MAX])
{
    char streams[100];
    size_t n = 0;

    list_streams(in, streams, sizeof streams);
    for (size_t k = 0; k < INPUT_REMARKS_MAX; k++) {
        out[n] = (struct refusal){0};
        if (k == INPUT_NAMES) read_names(in, streams, &out[n]);
        if (k == INPUT_KIND) read_kind(in, &out[n]);
        if (k == INPUT_SILENT) read_silent(in, now_ns, &out[n]);
        if (k == INPUT_REVOKED) read_revoked(in, &out[n]);
        kind[n] = k;
        n += out[n].n > 0;
    }
    return n;
}

void refusals_say_input(struct input *in, uint64_t now_ns)
{
    struct refusal found[INPUT_REMARKS_MAX];
    size_t kind[INPUT_REMARKS_MAX], n = refusals_of_input(in, now_ns, found, kind);

    for (size_t i = 0; i < n; i++)
        if (refusal_is_due(&in->said[kind[i]], &found[i], now_ns))
            log_say(LOG_LEVEL_WARNING, "input %s", found[i].text);
}
