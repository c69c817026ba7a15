/* A certificate as text: for a terminal, for programs, for a methods section. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>

#include "certify/certify.h"
#include "certify/report_inside.h"
#include "latent.h"

#define HISTOGRAM_WIDTH 50

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

/* ---- what is said of a series ---- */

static const double quantiles[] = {0.5, 0.99, 0.999, 0.9999, 1};
static const char *const quantile_names[] = {"p50", "p99", "p99.9", "p99.99", "max"};
#define N_QUANTILES (sizeof quantiles / sizeof *quantiles)

void report_series_text(const struct series *s, char *text, size_t n)
{
    char budget[48] = "";

    if (s->budget_ns) snprintf(budget, sizeof budget, "; budget %.3g", ms(s->budget_ns));
    snprintf(text, n, "p50 %.3g, p99 %.3g, p99.9 %.3g, max %.3g ms%s; n %zu, missed %zu",
             ms(series_quantile(s, 0.5)), ms(series_quantile(s, 0.99)),
             ms(series_quantile(s, 0.999)), ms(series_quantile(s, 1)), budget, s->n + s->n_lost,
             series_n_missed(s));
}

/* Of all frames that were waited for: 0 misses in n leave, with 95 % confidence, up to 3/n. */
static void confidence_print(const struct certificate *c, FILE *out)
{
    size_t n = 0, n_missed = 0;

    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];

        if (s->group != CERTIFY_END) continue;
        n += s->n + s->n_lost;
        n_missed += series_n_missed(s);
    }
    if (n == 0) return;
    if (n_missed == 0)
        fprintf(out,
                "0 misses in %zu bins: with 95 %% confidence at most 1 bin in %zu is missed "
                "(rule of three).\n",
                n, n / 3 ? n / 3 : 1);
    else
        fprintf(out, "%zu of %zu bins missed their budget or were lost.\n", n_missed, n);
}

/* ---- verdict ---- */

/* Of what is known to make threads late, the first that is not as it should be. */
static const struct finding *first_remedy(const struct certificate *c)
{
    for (size_t i = 0; i < c->findings.n; i++) {
        const struct finding *row = &c->findings.rows[i];

        if (row->verdict >= VERDICT_WARN && row->group != CERTIFY_DISK) return row;
    }
    return NULL;
}

void report_verdict(const struct certificate *c, FILE *out)
{
    const struct certify_options *o = &c->options;
    enum certify_group failed = certificate_failed(c);
    const struct finding *remedy = first_remedy(c);

    if (!c->is_measured) {
        fprintf(out, "NOT MEASURED: these are facts alone (--seconds).\n");
        return;
    }
    if (certificate_holds(c)) {
        fprintf(out,
                "CERTIFIED %s load, %.4g s each: all below budget, 99.9 %% below half of it, "
                "none lost.\n",
                o->load ? "under" : "without", o->seconds);
    } else {
        fprintf(out, "NOT CERTIFIED: \"%s\" is the first that failed.",
                certify_group_names[failed]);
        if (remedy)
            fprintf(out, " To begin with: %s (%s: %s).", remedy->remedy, remedy->what,
                    remedy->found);
        fprintf(out, "\n");
    }
    confidence_print(c, out);
}

static enum verdict group_verdict(const struct certificate *c, enum certify_group group)
{
    enum verdict worst = findings_worst(&c->findings, group);
    bool has_series = false;

    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];
        enum verdict v;

        if (s->group != group || group < CERTIFY_WAKE) continue;
        has_series = true;
        v = series_verdict(s);
        if (v > worst) worst = v;
    }
    return group >= CERTIFY_WAKE && !has_series && worst == VERDICT_OK ? VERDICT_UNKNOWN : worst;
}

/* ---- terminal ---- */

static void group_print(const struct certificate *c, enum certify_group group, FILE *out)
{
    size_t n = 0, n_ok = 0;
    char text[256];

    for (size_t i = 0; i < c->findings.n; i++) {
        n += c->findings.rows[i].group == group;
        n_ok += c->findings.rows[i].group == group && c->findings.rows[i].verdict == VERDICT_OK;
    }
    fprintf(out, "%-11s %-8s", certify_group_names[group], verdict_names[group_verdict(c, group)]);
    if (n) fprintf(out, "%zu of %zu ok", n_ok, n);
    fprintf(out, "\n");
    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];

        if (s->group != group || group < CERTIFY_WAKE) continue;
        report_series_text(s, text, sizeof text);
        fprintf(out, "  %s\n    %s\n", s->name, text);
    }
    for (size_t i = 0; i < c->findings.n; i++) {
        const struct finding *row = &c->findings.rows[i];

        if (row->group == group && row->verdict >= VERDICT_WARN)
            fprintf(out, "  %s: %s; wanted: %s\n    %s\n", row->what, row->found, row->wanted,
                    row->remedy);
    }
}

void certificate_print(const struct certificate *c, FILE *out)
{
    fprintf(out, "%s\n%s cores, %s; %s\n", c->machine.cpu, c->machine.n_cpus, c->machine.memory,
            c->machine.kernel);
    for (int g = 0; g < CERTIFY_N_GROUPS; g++) group_print(c, (enum certify_group)g, out);
    fprintf(out, "\n");
    report_verdict(c, out);
    fprintf(out, REPORT_NO_STATEMENT "\n");
}

/* ---- JSON ---- */

static json_t *series_json(const struct series *s)
{
    json_t *object = json_object();

    json_object_set_new(object, "group", json_string(certify_group_names[s->group]));
    json_object_set_new(object, "name", json_string(s->name));
    json_object_set_new(object, "verdict", json_string(verdict_names[series_verdict(s)]));
    json_object_set_new(object, "n", json_integer((json_int_t)s->n));
    json_object_set_new(object, "lost", json_integer((json_int_t)s->n_lost));
    json_object_set_new(object, "missed", json_integer((json_int_t)series_n_missed(s)));
    if (s->budget_ns) json_object_set_new(object, "budget_ms", json_real(ms(s->budget_ns)));
    for (size_t i = 0; i < N_QUANTILES; i++) {
        char name[16];

        snprintf(name, sizeof name, "%s_ms", quantile_names[i]);
        json_object_set_new(object, name, json_real(ms(series_quantile(s, quantiles[i]))));
    }
    return object;
}

static json_t *finding_json(const struct finding *row)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "group", certify_group_names[row->group],
                     "what", row->what, "found", row->found, "wanted", row->wanted, "verdict",
                     verdict_names[row->verdict], "remedy", row->remedy);
}

static json_t *stream_json(const struct certify_stream *s)
{
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:i, s:f, s:f}", "name", s->name, "arch",
                     s->arch, "mode", s->mode, "precision", s->precision, "session", s->session,
                     "model_sha256", s->model_sha256, "channels", (int)s->n_channels, "bin_ms",
                     s->bin_width_us / 1e3, "budget_ms", ms(s->budget_ns));
}

void certificate_print_json(const struct certificate *c, FILE *out)
{
    json_t *rows = json_array(), *series = json_array(), *streams = json_array(), *whole;
    enum certify_group failed = certificate_failed(c);

    for (size_t i = 0; i < c->findings.n; i++)
        json_array_append_new(rows, finding_json(&c->findings.rows[i]));
    for (size_t i = 0; i < c->findings.n_series; i++)
        json_array_append_new(series, series_json(&c->findings.series[i]));
    for (size_t i = 0; i < c->n_streams; i++)
        json_array_append_new(streams, stream_json(&c->streams[i]));
    whole = json_pack(
        "{s:s, s:s, s:b, s:b, s:s?, s:f, s:b, s:s, s:{s:s, s:s, s:s, s:s}, s:o, s:o, s:o}", "date",
        c->date, "version", latent_version(), "measured", c->is_measured, "certified",
        certificate_holds(c), "failed",
        failed == CERTIFY_N_GROUPS ? NULL : certify_group_names[failed], "seconds",
        c->options.seconds, "load", c->options.load, "configuration", c->options.config, "machine",
        "cpu", c->machine.cpu, "cores", c->machine.n_cpus, "memory", c->machine.memory, "kernel",
        c->machine.kernel, "streams", streams, "findings", rows, "series", series);
    if (whole) {
        json_dumpf(whole, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        fprintf(out, "\n");
    }
    json_decref(whole);
}

/* ---- report ---- */

void report_histogram(const struct series *s, struct histogram_rows *out)
{
    double least, step;

    *out = (struct histogram_rows){0};
    if (s->n == 0) return;
    least = log((double)s->ns[0] + 1);
    step = (log((double)s->ns[s->n - 1] + 1) - least) / HISTOGRAM_ROWS;
    out->n = step > 0 ? HISTOGRAM_ROWS : 1;
    for (size_t i = 0; i < s->n; i++) {
        double at = step > 0 ? (log((double)s->ns[i] + 1) - least) / step : 0;

        out->count[at < HISTOGRAM_ROWS ? (size_t)at : HISTOGRAM_ROWS - 1]++;
    }
    for (size_t row = 0; row < out->n; row++) {
        out->upper_ms[row] = exp(least + step * (double)(row + 1)) / 1e6;
        if (out->count[row] > out->most) out->most = out->count[row];
    }
}

/* One alone must be seen beside thousands. */
double report_length(const struct histogram_rows *h, size_t row)
{
    return log1p((double)h->count[row]) / log1p((double)h->most);
}

static void histogram_print(const struct series *s, FILE *out)
{
    struct histogram_rows h;

    report_histogram(s, &h);
    for (size_t row = 0; row < h.n; row++) {
        int length = (int)lrint(HISTOGRAM_WIDTH * report_length(&h, row));

        fprintf(out, "%9.3f ms %8zu ", h.upper_ms[row], h.count[row]);
        for (int i = 0; i < length; i++) fputc('#', out);
        fprintf(out, "\n");
    }
}

static void report_streams(const struct certificate *c, FILE *out)
{
    fprintf(out,
            "| stream | model (SHA-256) | mode, precision, session | channels | bin | budget |\n"
            "|---|---|---|---|---|---|\n");
    for (size_t i = 0; i < c->n_streams; i++) {
        const struct certify_stream *s = &c->streams[i];

        fprintf(out, "| %s | %s %s | %s, %s%s%s | %" PRIu32 " | %.4g ms | %.4g ms |\n", s->name,
                s->arch, s->model_sha256, s->mode, s->precision, s->session[0] ? ", " : "",
                s->session, s->n_channels, s->bin_width_us / 1e3, ms(s->budget_ns));
    }
}

static void report_series(const struct certificate *c, FILE *out)
{
    char text[256];

    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];

        report_series_text(s, text, sizeof text);
        fprintf(out,
                "\n## %s: %s\n\n%s: %s\n\nNumber of bins up to each duration (lengths are "
                "logarithmic):\n\n```\n",
                certify_group_names[s->group], s->name, verdict_names[series_verdict(s)], text);
        histogram_print(s, out);
        fprintf(out, "```\n");
    }
}

static void report_findings(const struct certificate *c, FILE *out)
{
    fprintf(out, "\n## Facts\n\n| group | what | found | wanted | verdict | remedy |\n"
                 "|---|---|---|---|---|---|\n");
    for (int g = 0; g < CERTIFY_N_GROUPS; g++)
        for (size_t i = 0; i < c->findings.n; i++) {
            const struct finding *row = &c->findings.rows[i];

            if ((int)row->group != g) continue;
            fprintf(out, "| %s | %s | %s | %s | %s | %s |\n", certify_group_names[g], row->what,
                    row->found, row->wanted, verdict_names[row->verdict],
                    row->verdict == VERDICT_OK ? "" : row->remedy);
        }
}

void report_markdown(const struct certificate *c, FILE *out)
{
    fprintf(out,
            "# Timing of latentd %s on one machine\n\n%s. Configuration %s. %s, %s cores, %s; "
            "%s.\n\n",
            latent_version(), c->date, c->options.config, c->machine.cpu, c->machine.n_cpus,
            c->machine.memory, c->machine.kernel);
    report_verdict(c, out);
    fprintf(out, "\n" REPORT_NO_STATEMENT "\n\n");
    report_streams(c, out);
    report_series(c, out);
    report_findings(c, out);
}
