/* Lines of at most a terminal's width: ledgers as sums, times in microseconds. */
#include "latentctl/table.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "control/balance.h"
#include "latent.h"
#include "latentctl/channel_table.h"

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

static double us(uint64_t ns)
{
    return (double)ns / 1e3;
}

/* ---- one stream ---- */

/* "in 12 = decoded 10 + duplicate 2": what is zero is left out. */
static void print_ledger(const char *name, Latent__V1__Counter **counter, size_t n, FILE *out)
{
    const char *sign = "=";

    if (n == 0) return;
    fprintf(out, "  %-9s %s %" PRIu64, name, counter[0]->name, counter[0]->value);
    for (size_t i = 1; i < n; i++) {
        if (counter[i]->value == 0) continue;
        fprintf(out, " %s %s %" PRIu64, sign, counter[i]->name, counter[i]->value);
        sign = "+";
    }
    fprintf(out, "%s\n", is_balanced(counter, n) ? "" : "   NOT BALANCED");
}

static void print_counters(const char *name, Latent__V1__Counter **counter, size_t n, FILE *out)
{
    size_t shown = 0;

    fprintf(out, "  %-9s", name);
    for (size_t i = 0; i < n; i++) {
        if (counter[i]->value == 0) continue;
        fprintf(out, " %s %" PRIu64, counter[i]->name, counter[i]->value);
        shown++;
    }
    fprintf(out, "%s\n", shown ? "" : " none");
}

/* "240.0": at most eight characters up to 27 hours. */
static void print_us(uint64_t ns, FILE *out)
{
    fprintf(out, us(ns) < 1e5 ? " %8.1f" : " %8.3g", us(ns));
}

static void print_time(const Latent__V1__Histogram *h, FILE *out)
{
    print_us(h->p50, out);
    print_us(h->p99, out);
    print_us(h->max, out);
}

/* Worst: the largest time, the smallest spare time. */
static void print_times(const Latent__V1__StreamStatus *s, FILE *out)
{
    fprintf(out, "  %-11s %26s %35s\n", "times (us)", "last minute", "since start");
    fprintf(out, "  %-11s %8s %8s %8s %8s %8s %8s %8s\n", "", "p50", "p99", "worst", "p50", "p99",
            "worst", "p99.9");
    for (size_t i = 0; i < s->n_times; i++) {
        fprintf(out, "  %-11s", s->times[i]->name);
        if (s->minute && i < s->minute->n_times && s->minute->times[i]->n > 0)
            print_time(s->minute->times[i], out);
        else
            fprintf(out, " %8s %8s %8s", "-", "-", "-");
        print_time(s->times[i], out);
        print_us(s->times[i]->p999, out);
        fprintf(out, "\n");
    }
}

/* "3 ms", "2.5 s", "1:02:03" */
static void print_age(uint64_t ns, FILE *out)
{
    uint64_t seconds = ns / 1000000000u;

    if (ns < 1000000000u)
        fprintf(out, "%.3g ms", ms(ns));
    else if (seconds < 100)
        fprintf(out, "%.1f s", ms(ns) / 1e3);
    else
        fprintf(out, "%" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 3600, seconds / 60 % 60,
                seconds % 60);
}

static void print_minute(const Latent__V1__StreamStatus *s, FILE *out)
{
    const Latent__V1__Minute *m = s->minute;
    char name[24];

    if (!m) return;
    snprintf(name, sizeof name, "last %" PRIu64 " s", m->span_ns / 1000000000u);
    fprintf(out, "  %-9s %.1f bins/s, budget missed %" PRIu64 " times\n", name, m->bins_per_s,
            m->budget_misses);
    print_ledger(" bins", m->bins, m->n_bins, out);
    print_counters(" flags", m->flags, m->n_flags, out);
}

static void print_latest(const Latent__V1__StreamStatus *s, FILE *out)
{
    const Latent__V1__Latest *l = s->latest;

    if (!l) return;
    fprintf(out, "  newest    bin ");
    if (l->has_bin)
        print_age(l->bin_age_ns, out);
    else
        fprintf(out, "none");
    fprintf(out, "%s, frame ", l->has_bin ? " ago" : "");
    print_age(l->frame_age_ns, out);
    fprintf(out, " ago: %" PRIu64, l->seq);
    for (unsigned bit = 0; latent_flag_name(bit); bit++)
        if (l->flags & 1u << bit) fprintf(out, " %s", latent_flag_name(bit));
    fprintf(out, "\n");
    for (size_t i = 0; i < l->n_readout && i < s->info->n_readout; i++)
        fprintf(out, "  %-9s %s %.5g %s\n", i ? "" : "readout",
                printable(s->info->readout[i]->name), (double)l->readout[i],
                printable(s->info->readout[i]->unit));
}

static void print_heading(const Latent__V1__StreamStatus *s, FILE *out)
{
    const Latent__V1__Info *info = s->info;

    fprintf(out, "\n%s: %s; %s, mode %s, %s", info->stream, s->state, info->arch, info->mode,
            info->precision);
    if (info->session[0]) fprintf(out, ", session %s", printable(info->session));
    fprintf(out, "; %u channels, bins of %g ms\n", info->n_channels, info->bin_width_us / 1e3);
    fprintf(out, "  input     %s\n  output    %s\n", s->input, s->output);
}

/* What every bin takes on its way is not in the numbers: it is said beside them. */
static void print_source_clock(const Latent__V1__Info *info, FILE *out)
{
    fprintf(out, "  clock     %s", info->source_clock);
    if (info->age_uncertainty_ns) fprintf(out, ": ages to %.3f ms", ms(info->age_uncertainty_ns));
    if (info->source_ppm_uncertainty > 0.0)
        fprintf(out, "; %+.2f ppm, to %.2f", info->source_ppm, info->source_ppm_uncertainty);
    if (info->source_steps) fprintf(out, "; set %" PRIu64 " times", info->source_steps);
    fprintf(out, "\n");
    if (info->age_uncertainty_ns)
        fprintf(out,
                "            beyond the least time on the way, which cannot be seen:\n"
                "            min-delay-us = %.0f\n",
                us(info->min_delay_ns));
}

static void print_record(const Latent__V1__RecordStatus *r, FILE *out)
{
    fprintf(out, "  record    %s: %s%s%s\n", printable(r->state), printable(r->path),
            r->text[0] ? ": " : "", printable(r->text));
    print_counters("", r->counts, r->n_counts, out);
}

static void print_agreement(const Latent__V1__Agreement *a, FILE *out)
{
    fprintf(out, "            %s: %" PRIu64 " bins, RMS difference %.4g", printable(a->name), a->n,
            a->rms);
    if (!isnan(a->correlation)) fprintf(out, ", correlation %.4f", a->correlation);
    fprintf(out, "\n");
}

static void print_swap(const Latent__V1__SwapStatus *w, FILE *out)
{
    fprintf(out, "  beside    %s", printable(w->state));
    if (w->path[0]) fprintf(out, ": %s", printable(w->path));
    if (w->kept_for_ns) fprintf(out, ", for %.1f s more", ms(w->kept_for_ns) / 1e3);
    fprintf(out, "%s\n", w->step && !w->is_exact ? "; primed with a part of the past" : "");
    print_counters("", w->counts, w->n_counts, out);
    if (w->step && w->step->n)
        fprintf(out, "            step (us) p50 %.1f, p99 %.1f, worst %.1f\n", us(w->step->p50),
                us(w->step->p99), us(w->step->max));
    for (size_t i = 0; i < w->n_agreement; i++) print_agreement(w->agreement[i], out);
    if (w->newest[0]) fprintf(out, "            %s\n", printable(w->newest));
}

static void print_stream(const Latent__V1__StreamStatus *s, FILE *out)
{
    if (!s->info) return;
    print_heading(s, out);
    print_latest(s, out);
    if (s->held[0]) fprintf(out, "  held      in SAFE by the operator; %s\n", printable(s->held));
    print_ledger("messages", s->messages, s->n_messages, out);
    print_ledger("bins", s->bins, s->n_bins, out);
    print_ledger("frames", s->frames, s->n_frames, out);
    for (size_t i = 0; i < s->n_refusals; i++)
        fprintf(out, "  refused   %s\n", printable(s->refusals[i]->text));
    print_counters("sequence", s->sequence, s->n_sequence, out);
    print_counters("flags", s->flags, s->n_flags, out);
    fprintf(out, "  budget    %g ms, missed %" PRIu64 " times\n", ms(s->info->budget_ns),
            s->budget_misses);
    print_minute(s, out);
    if (s->normalise[0]) fprintf(out, "  normalised %s\n", printable(s->normalise));
    if (s->masking) channel_table_print_short(s->masking, s->info->stream, out);
    if (s->info->source_clock[0]) print_source_clock(s->info, out);
    print_times(s, out);
    if (s->record) print_record(s->record, out);
    if (s->swap) print_swap(s->swap, out);
}

void table_print(const Latent__V1__Status *status, FILE *out)
{
    uint64_t seconds = status->uptime_ns / 1000000000u;

    fprintf(out, "latentd %s, process %u, up %" PRIu64 ":%02" PRIu64 ":%02" PRIu64 ", kernels %s\n",
            status->version, status->pid, seconds / 3600, seconds / 60 % 60, seconds % 60,
            status->kernels);
    for (size_t i = 0; i < status->n_notes; i++) fprintf(out, "note: %s\n", status->notes[i]);
    for (size_t i = 0; i < status->n_streams; i++) print_stream(status->streams[i], out);
    fprintf(out, "\n");
    for (size_t i = 0; i < status->n_inputs; i++)
        fprintf(out, "%s %" PRIu64 "\n", status->inputs[i]->name, status->inputs[i]->value);
    for (size_t i = 0; i < status->n_outputs; i++)
        fprintf(out, "outputs %s %" PRIu64 "\n", status->outputs[i]->name,
                status->outputs[i]->value);
    for (size_t i = 0; i < status->n_keys; i++)
        fprintf(out, "keys %s %" PRIu64 "\n", status->keys[i]->name, status->keys[i]->value);
}

/* ---- the model ---- */

static void print_limit(const char *name, float value, FILE *out)
{
    if (isfinite(value)) fprintf(out, ", %s %g", name, (double)value);
}

static void print_readout(const Latent__V1__ReadoutInfo *r, FILE *out)
{
    fprintf(out, "  readout   %s (%s), neutral %g", printable(r->name), printable(r->unit),
            (double)r->neutral);
    print_limit("min", r->min, out);
    print_limit("max", r->max, out);
    print_limit("slew", r->slew, out);
    fprintf(out, "\n");
}

static void print_config(const char *text, FILE *out)
{
    json_t *config = json_loads(text, 0, NULL);

    if (config) json_dumpf(config, out, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    fprintf(out, "\n");
    json_decref(config);
}

void table_print_model(const Latent__V1__Status *status, FILE *out)
{
    const Latent__V1__StreamStatus *s = status->n_streams ? status->streams[0] : NULL;

    if (!s || !s->info) return;
    print_heading(s, out);
    fprintf(out, "  model     %s\n  decoder   %016" PRIx64 "\n", s->model_path,
            s->info->decoder_id);
    fprintf(out, "  checked   %s\n", printable(s->info->checked));
    for (size_t i = 0; i < s->info->n_sessions; i++)
        fprintf(out, "  %-9s %s%s\n", i ? "" : "sessions", printable(s->info->sessions[i]),
                strcmp(s->info->sessions[i], s->info->session) == 0 ? " (decodes)" : "");
    fprintf(out, "  sent      %u latents, %u rates, %zu readout\n", s->info->n_latents,
            s->info->n_rates, s->info->n_readout);
    for (size_t i = 0; i < s->info->n_readout; i++) print_readout(s->info->readout[i], out);
    print_config(s->model_json, out);
}
