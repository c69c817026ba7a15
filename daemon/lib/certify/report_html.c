/* The report as a page, histograms as SVG. */
#include <inttypes.h>
#include <stdlib.h>

#include "certify/report_inside.h"
#include "latent.h"

#define BAR_WIDTH 420.0
#define BAR_HEIGHT 14
#define BAR_LEFT 90  /* room for the durations */
#define BAR_RIGHT 80 /* for the numbers */

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>latentd: timing of a "
    "machine</title>\n<style>body{font:14px sans-serif;max-width:60em;margin:2em auto}"
    "table{border-collapse:collapse}td,th{border:1px solid #aaa;padding:2px 6px;text-align:left}"
    "svg text{font:11px sans-serif}.fail{color:#b00}.warn{color:#a60}.ok{color:#070}</style>"
    "</head><body>\n";

/* Names come from configurations and files. */
static void put(FILE *out, const char *text)
{
    for (; *text; text++) {
        if (*text == '<')
            fputs("&lt;", out);
        else if (*text == '>')
            fputs("&gt;", out);
        else if (*text == '&')
            fputs("&amp;", out);
        else if (*text == '"')
            fputs("&quot;", out);
        else
            fputc(*text, out);
    }
}

static void put_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    put(out, text);
    fputs("</td>", out);
}

static void put_head(const struct certificate *c, FILE *out)
{
    const char *const words[] = {
        c->date,           ". Configuration ", c->options.config, ". ", c->machine.cpu,    ", ",
        c->machine.n_cpus, " cores, ",         c->machine.memory, "; ", c->machine.kernel, "."};

    fputs(head, out);
    fprintf(out, "<h1>Timing of latentd %s on one machine</h1>\n<p>", latent_version());
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) put(out, words[i]);
    fputs("</p>\n", out);
}

static void put_verdict(const struct certificate *c, FILE *out)
{
    char *text = NULL;
    size_t n;
    FILE *memory = open_memstream(&text, &n);

    if (!memory) return;
    report_verdict(c, memory);
    fclose(memory);
    fputs("<p><b>", out);
    put(out, text);
    fputs("</b></p>\n<p>" REPORT_NO_STATEMENT "</p>\n", out);
    free(text);
}

static void put_streams(const struct certificate *c, FILE *out)
{
    fputs("<table><tr><th>stream</th><th>model (SHA-256)</th><th>mode, precision, "
          "session</th><th>channels</th><th>bin, ms</th><th>budget, ms</th></tr>\n",
          out);
    for (size_t i = 0; i < c->n_streams; i++) {
        const struct certify_stream *s = &c->streams[i];
        char text[200];

        fputs("<tr>", out);
        put_cell(out, s->name);
        snprintf(text, sizeof text, "%s %s", s->arch, s->model_sha256);
        put_cell(out, text);
        snprintf(text, sizeof text, "%s, %s%s%s", s->mode, s->precision, s->session[0] ? ", " : "",
                 s->session);
        put_cell(out, text);
        fprintf(out, "<td>%" PRIu32 "</td><td>%.4g</td><td>%.4g</td></tr>\n", s->n_channels,
                s->bin_width_us / 1e3, (double)s->budget_ns / 1e6);
    }
    fputs("</table>\n", out);
}

/* Bars that end at their durations; the budget's row and those beyond it are red. */
static void put_histogram(const struct series *s, FILE *out)
{
    struct histogram_rows h;
    double budget_ms = (double)s->budget_ns / 1e6;

    report_histogram(s, &h);
    fprintf(out, "<svg width=\"%.0f\" height=\"%zu\" role=\"img\">\n",
            BAR_LEFT + BAR_WIDTH + BAR_RIGHT, h.n * BAR_HEIGHT);
    for (size_t row = 0; row < h.n; row++) {
        double width = BAR_WIDTH * report_length(&h, row);
        size_t y = row * BAR_HEIGHT;
        bool is_late = s->budget_ns && h.upper_ms[row] > budget_ms;

        fprintf(out,
                "<text x=\"%d\" y=\"%zu\" text-anchor=\"end\">%.3f ms</text>"
                "<rect x=\"%d\" y=\"%zu\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>"
                "<text x=\"%.1f\" y=\"%zu\">%zu</text>\n",
                BAR_LEFT - 6, y + BAR_HEIGHT - 3, h.upper_ms[row], BAR_LEFT, y + 1, width,
                BAR_HEIGHT - 2, is_late ? "#b00" : "#47a", BAR_LEFT + width + 4, y + BAR_HEIGHT - 3,
                h.count[row]);
    }
    fputs("</svg>\n", out);
}

static void put_series(const struct certificate *c, FILE *out)
{
    for (size_t i = 0; i < c->findings.n_series; i++) {
        const struct series *s = &c->findings.series[i];
        const char *verdict = verdict_names[series_verdict(s)];
        char text[256];

        report_series_text(s, text, sizeof text);
        fprintf(out, "<h2>%s: ", certify_group_names[s->group]);
        put(out, s->name);
        fprintf(out, "</h2>\n<p><span class=\"%s\">%s</span>: ", verdict, verdict);
        put(out, text);
        fputs("</p>\n<p>Number of bins up to each duration (lengths are logarithmic; red: beyond "
              "the budget):</p>\n",
              out);
        put_histogram(s, out);
    }
}

static void put_findings(const struct certificate *c, FILE *out)
{
    fputs("<h2>Facts</h2>\n<table><tr><th>group</th><th>what</th><th>found</th><th>wanted</th>"
          "<th>verdict</th><th>remedy</th></tr>\n",
          out);
    for (int g = 0; g < CERTIFY_N_GROUPS; g++)
        for (size_t i = 0; i < c->findings.n; i++) {
            const struct finding *row = &c->findings.rows[i];

            if ((int)row->group != g) continue;
            fputs("<tr>", out);
            put_cell(out, certify_group_names[g]);
            put_cell(out, row->what);
            put_cell(out, row->found);
            put_cell(out, row->wanted);
            fprintf(out, "<td class=\"%s\">%s</td>", verdict_names[row->verdict],
                    verdict_names[row->verdict]);
            put_cell(out, row->verdict == VERDICT_OK ? "" : row->remedy);
            fputs("</tr>\n", out);
        }
    fputs("</table>\n", out);
}

void report_html(const struct certificate *c, FILE *out)
{
    put_head(c, out);
    put_verdict(c, out);
    put_streams(c, out);
    put_series(c, out);
    put_findings(c, out);
    fputs("</body></html>\n", out);
}
