/* One object; counters keep the names they have on the wire. */
#include "control/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "control/balance.h"
#include "latent.h"

/* JSON's whole numbers end where int64_t does here; what is larger becomes a text. */
static json_t *whole(uint64_t value)
{
    char text[32];

    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

/* "No limit" is infinite, which JSON cannot say. */
static json_t *limit(float value)
{
    return isfinite(value) ? json_real((double)value) : json_null();
}

static json_t *identifier(uint64_t id)
{
    char text[32];

    snprintf(text, sizeof text, "%016" PRIx64, id);
    return json_string(text);
}

static json_t *counters(Latent__V1__Counter **counter, size_t n)
{
    json_t *object = json_object();

    for (size_t i = 0; i < n; i++)
        json_object_set_new(object, counter[i]->name, whole(counter[i]->value));
    return object;
}

static json_t *times(Latent__V1__Histogram **time, size_t n)
{
    json_t *object = json_object();

    for (size_t i = 0; i < n; i++) {
        const Latent__V1__Histogram *h = time[i];
        bool is_spare = strcmp(h->name, "spare") == 0;

        json_object_set_new(object, h->name,
                            json_pack("{s:o, s:o, s:o, s:o, s:o}", "n", whole(h->n), "p50",
                                      whole(h->p50), "p99", whole(h->p99), "p99.9", whole(h->p999),
                                      is_spare ? "min" : "max", whole(h->max)));
    }
    return object;
}

static json_t *readout(const Latent__V1__Info *info)
{
    json_t *array = json_array();

    for (size_t i = 0; i < info->n_readout; i++) {
        const Latent__V1__ReadoutInfo *r = info->readout[i];

        json_array_append_new(array, json_pack("{s:s, s:s, s:f, s:o, s:o, s:o}", "name", r->name,
                                               "unit", r->unit, "neutral", (double)r->neutral,
                                               "min", limit(r->min), "max", limit(r->max), "slew",
                                               limit(r->slew)));
    }
    return array;
}

static json_t *balanced(const Latent__V1__StreamStatus *s)
{
    return json_pack("{s:b, s:b, s:b}", "messages", (int)is_balanced(s->messages, s->n_messages),
                     "bins", (int)is_balanced(s->bins, s->n_bins), "frames",
                     (int)is_balanced(s->frames, s->n_frames));
}

static json_t *source_clock(const Latent__V1__Info *info)
{
    return json_pack("{s:s, s:I, s:o, s:o, s:f, s:f, s:o}", "state", info->source_clock,
                     "offset_ns", (json_int_t)info->source_offset_ns, "age_uncertainty_ns",
                     whole(info->age_uncertainty_ns), "min_delay_ns", whole(info->min_delay_ns),
                     "ppm", info->source_ppm, "ppm_uncertainty", info->source_ppm_uncertainty,
                     "steps", whole(info->source_steps));
}

static json_t *words(char *const *word, size_t n)
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) json_array_append_new(array, json_string(word[i]));
    return array;
}

static void add_info(json_t *object, const Latent__V1__Info *info)
{
    json_object_set_new(object, "name", json_string(info->stream));
    json_object_set_new(object, "arch", json_string(info->arch));
    json_object_set_new(object, "mode", json_string(info->mode));
    json_object_set_new(object, "precision", json_string(info->precision));
    json_object_set_new(object, "session", json_string(info->session));
    json_object_set_new(object, "sessions", words(info->sessions, info->n_sessions));
    json_object_set_new(object, "decoder_id", identifier(info->decoder_id));
    json_object_set_new(object, "n_channels", json_integer(info->n_channels));
    json_object_set_new(object, "bin_width_us", json_integer(info->bin_width_us));
    json_object_set_new(object, "n_latents", json_integer(info->n_latents));
    json_object_set_new(object, "n_rates", json_integer(info->n_rates));
    json_object_set_new(object, "readout", readout(info));
    json_object_set_new(object, "n_logits", whole(info->n_logits));
    json_object_set_new(object, "delay_bins", json_integer(info->delay_bins));
    json_object_set_new(object, "every_bins", json_integer(info->every_bins));
    json_object_set_new(object, "first_bin", json_integer(info->first_bin));
    json_object_set_new(object, "budget_ns", whole(info->budget_ns));
    json_object_set_new(object, "valid_for_ns", whole(info->valid_for_ns));
    json_object_set_new(object, "source_clock", source_clock(info));
    json_object_set_new(object, "checked", json_string(info->checked));
}

static json_t *record(const Latent__V1__RecordStatus *r)
{
    return json_pack("{s:s, s:s, s:s, s:o}", "state", r->state, "path", r->path, "text", r->text,
                     "counts", counters(r->counts, r->n_counts));
}

static json_t *agreement(const Latent__V1__SwapStatus *w)
{
    json_t *object = json_object();

    for (size_t i = 0; i < w->n_agreement; i++) {
        const Latent__V1__Agreement *a = w->agreement[i];

        json_object_set_new(
            object, a->name,
            json_pack("{s:o, s:f, s:o}", "n", whole(a->n), "rms", a->rms, "correlation",
                      isnan(a->correlation) ? json_null() : json_real(a->correlation)));
    }
    return object;
}

static json_t *swap(const Latent__V1__SwapStatus *w)
{
    json_t *object = json_pack("{s:s, s:s, s:o, s:s}", "state", w->state, "path", w->path, "counts",
                               counters(w->counts, w->n_counts), "newest", w->newest);

    if (!w->step) return object;
    json_object_set_new(object, "decoder_id", identifier(w->decoder_id));
    json_object_set_new(object, "arch", json_string(w->arch));
    json_object_set_new(object, "mode", json_string(w->mode));
    json_object_set_new(object, "precision", json_string(w->precision));
    json_object_set_new(object, "is_exact", json_boolean(w->is_exact));
    json_object_set_new(object, "kept_for_ns", whole(w->kept_for_ns));
    json_object_set_new(object, "step_ns",
                        json_pack("{s:o, s:o, s:o, s:o}", "n", whole(w->step->n), "p50",
                                  whole(w->step->p50), "p99", whole(w->step->p99), "max",
                                  whole(w->step->max)));
    json_object_set_new(object, "agreement", agreement(w));
    return object;
}

/* null: not known. */
static json_t *known(double x)
{
    return isnan(x) ? json_null() : json_real(x);
}

static json_t *channel(const Latent__V1__Channel *c)
{
    json_t *object = json_pack("{s:i, s:s, s:b, s:f, s:s, s:s}", "number", (int)c->number, "name",
                               c->name, "masked", (int)c->masked, "mean", (double)c->mean, "who",
                               c->who, "verdict", c->verdict);

    if (!c->verdict[0]) return object;
    json_object_set_new(object, "now", json_real(c->now));
    json_object_set_new(object, "z", known(c->z));
    json_object_set_new(object, "variance_ratio", known(c->variance_ratio));
    json_object_set_new(object, "zeros", json_real(c->zeros));
    json_object_set_new(object, "saturated", json_real(c->saturated));
    return object;
}

static json_t *channels(const Latent__V1__Masking *m)
{
    json_t *array = json_array();

    for (size_t i = 0; i < m->n_channels; i++)
        json_array_append_new(array, channel(m->channels[i]));
    return array;
}

static json_t *masking(const Latent__V1__Masking *m)
{
    return json_pack("{s:i, s:i, s:i, s:s, s:b, s:s, s:s, s:i, s:i, s:i, s:s, s:o, s:o, s:o}",
                     "version", (int)m->version, "n_masked", (int)m->n_masked, "n_most",
                     (int)m->n_most, "masked", m->masked, "possible", (int)m->possible,
                     "bad_channels", m->bad_channels, "judged_by", m->judged_by, "n_bad",
                     (int)m->n_bad, "n_proposed", (int)m->n_proposed, "n_auto", (int)m->n_auto,
                     "proposed", m->proposed, "n_judged", whole(m->n_judged), "n_artefacts",
                     whole(m->n_artefacts), "n_unseen", whole(m->n_unseen));
}

static json_t *refusals(const Latent__V1__StreamStatus *s)
{
    json_t *object = json_object();

    for (size_t i = 0; i < s->n_refusals; i++) {
        const Latent__V1__Refusal *r = s->refusals[i];

        json_object_set_new(object, r->what,
                            json_pack("{s:o, s:o, s:o, s:s}", "n", whole(r->n), "found",
                                      whole(r->found), "expected", whole(r->expected), "text",
                                      r->text));
    }
    return object;
}

static json_t *minute(const Latent__V1__Minute *m)
{
    return json_pack("{s:o, s:f, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "span_ns", whole(m->span_ns),
                     "bins_per_s", m->bins_per_s, "messages", counters(m->messages, m->n_messages),
                     "bins", counters(m->bins, m->n_bins), "frames",
                     counters(m->frames, m->n_frames), "flags", counters(m->flags, m->n_flags),
                     "sequence", counters(m->sequence, m->n_sequence), "times_ns",
                     times(m->times, m->n_times), "budget_misses", whole(m->budget_misses));
}

static json_t *flags(uint32_t set)
{
    json_t *names = json_array();

    for (unsigned bit = 0; latent_flag_name(bit); bit++)
        if (set & 1u << bit) json_array_append_new(names, json_string(latent_flag_name(bit)));
    return names;
}

/* The age of a bin: null where none was decoded yet. */
static json_t *latest(const Latent__V1__Latest *l)
{
    json_t *values = json_array();

    for (size_t i = 0; i < l->n_readout; i++) json_array_append_new(values, limit(l->readout[i]));
    return json_pack("{s:o, s:o, s:o, s:o, s:o}", "bin_age_ns",
                     l->has_bin ? whole(l->bin_age_ns) : json_null(), "frame_age_ns",
                     whole(l->frame_age_ns), "seq", whole(l->seq), "flags", flags(l->flags),
                     "readout", values);
}

static json_t *stream(const Latent__V1__StreamStatus *s)
{
    json_t *object = json_object();

    if (s->info) add_info(object, s->info);
    json_object_set_new(object, "state", json_string(s->state));
    json_object_set_new(object, "held", json_string(s->held));
    json_object_set_new(object, "model", json_string(s->model_path));
    json_object_set_new(object, "input", json_string(s->input));
    json_object_set_new(object, "output", json_string(s->output));
    json_object_set_new(object, "balanced", balanced(s));
    json_object_set_new(object, "messages", counters(s->messages, s->n_messages));
    json_object_set_new(object, "bins", counters(s->bins, s->n_bins));
    json_object_set_new(object, "frames", counters(s->frames, s->n_frames));
    json_object_set_new(object, "flags", counters(s->flags, s->n_flags));
    json_object_set_new(object, "sequence", counters(s->sequence, s->n_sequence));
    json_object_set_new(object, "refusals", refusals(s));
    json_object_set_new(object, "times_ns", times(s->times, s->n_times));
    json_object_set_new(object, "budget_misses", whole(s->budget_misses));
    json_object_set_new(object, "last_seq", whole(s->last_seq));
    json_object_set_new(object, "last_epoch", whole(s->last_epoch));
    if (s->minute) json_object_set_new(object, "minute", minute(s->minute));
    if (s->latest) json_object_set_new(object, "latest", latest(s->latest));
    json_object_set_new(object, "normalise", json_string(s->normalise));
    if (s->masking) json_object_set_new(object, "masking", masking(s->masking));
    if (s->masking && s->masking->n_channels)
        json_object_set_new(object, "channels", channels(s->masking));
    if (s->record) json_object_set_new(object, "record", record(s->record));
    if (s->swap) json_object_set_new(object, "swap", swap(s->swap));
    if (s->model_json[0]) json_object_set_new(object, "config", json_loads(s->model_json, 0, NULL));
    return object;
}

void json_print(const Latent__V1__Status *status, FILE *out)
{
    json_t *root = json_object(), *streams = json_array(), *notes = json_array();

    for (size_t i = 0; i < status->n_streams; i++)
        json_array_append_new(streams, stream(status->streams[i]));
    for (size_t i = 0; i < status->n_notes; i++)
        json_array_append_new(notes, json_string(status->notes[i]));
    json_object_set_new(root, "version", json_string(status->version));
    json_object_set_new(root, "kernels", json_string(status->kernels));
    json_object_set_new(root, "pid", json_integer(status->pid));
    json_object_set_new(root, "uptime_ns", whole(status->uptime_ns));
    json_object_set_new(root, "streams", streams);
    json_object_set_new(root, "inputs", counters(status->inputs, status->n_inputs));
    json_object_set_new(root, "outputs", counters(status->outputs, status->n_outputs));
    json_object_set_new(root, "keys", counters(status->keys, status->n_keys));
    json_object_set_new(root, "notes", notes);
    json_dumpf(root, out, JSON_INDENT(1) | JSON_ENSURE_ASCII);
    fputc('\n', out);
    json_decref(root);
}
