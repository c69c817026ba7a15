/* A line a channel: its rate (of real input its mean) now and in training, and why it is masked. */
#include "latentctl/channel_table.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/text.h"

#define COLUMNS 80
#define INDENT 12 /* of what goes with a word at the left */

/* "3,17,40-43", folded after a comma. */
static void print_list(const char *list, FILE *out)
{
    int column = INDENT;

    for (const char *at = list; *at;) {
        int n = (int)strcspn(at, ",");

        n += at[n] == ',';
        if (column + n > COLUMNS) {
            fprintf(out, "\n%*s", INDENT, "");
            column = INDENT;
        }
        fprintf(out, "%.*s", n, at);
        column += n;
        at += n;
    }
    fprintf(out, "\n");
}

static void print_masked(const Latent__V1__Masking *m, FILE *out)
{
    fprintf(out, "  masked    %u channels, %u of them by latentd; version %u%s\n%*s", m->n_masked,
            m->n_auto, m->version, m->n_masked > m->n_most ? "; MORE THAN max-masked: SAFE" : "",
            INDENT, "");
    print_list(printable(m->masked), out);
}

static void print_bad(const Latent__V1__Masking *m, const char *stream, FILE *out)
{
    fprintf(out, "  bad       %u channels, judged by %s; bad-channels = %s\n", m->n_bad,
            printable(m->judged_by), printable(m->bad_channels));
    if (m->n_proposed == 0) return;
    fprintf(out, "%*slatentctl channels %s --mask \\\n%*s", INDENT, "", stream, INDENT, "");
    print_list(printable(m->proposed), out);
}

void channel_table_print_short(const Latent__V1__Masking *m, const char *stream, FILE *out)
{
    if (m->version) print_masked(m, out);
    if (m->n_bad) print_bad(m, stream, out);
}

/* ---- the channels ---- */

struct scale {
    bool is_known;  /* training's mean */
    double per_bin; /* from a bin's number to the one that is shown */
};

static void print_known(double x, int n_digits, FILE *out)
{
    if (isnan(x))
        fprintf(out, " %8s", "-");
    else
        fprintf(out, " %8.*g", n_digits, x);
}

/* "masked: auto, dead"; "proposed: noisy" */
static void print_why(const Latent__V1__Channel *c, FILE *out)
{
    bool is_bad = c->verdict[0] && strcmp(c->verdict, "good") != 0;

    if (!c->who[0]) return;
    fprintf(out, "  %s%s%s%s", c->masked ? "masked: " : "", c->who,
            !is_bad     ? ""
            : c->masked ? ", "
                        : ": ",
            is_bad ? c->verdict : "");
}

static void print_channel(const Latent__V1__Channel *c, const struct scale *s, FILE *out)
{
    bool is_judged = c->verdict[0] != '\0';

    fprintf(out, "  %5u %-10.10s", c->number, printable(c->name));
    print_known(is_judged ? c->now * s->per_bin : (double)NAN, 4, out);
    print_known(s->is_known ? (double)c->mean * s->per_bin : (double)NAN, 4, out);
    print_known(is_judged ? c->z : (double)NAN, 3, out);
    print_known(is_judged ? c->variance_ratio : (double)NAN, 3, out);
    print_why(c, out);
    fprintf(out, "\n");
}

static void print_heads(const Latent__V1__Masking *m, const char *stream, bool is_real, FILE *out)
{
    print_masked(m, out);
    if (!m->possible) fprintf(out, "  none can be masked: the model file holds no training mean\n");
    print_bad(m, stream, out);
    fprintf(out,
            "%*s%" PRIu64 " bins looked at, %" PRIu64 " of them left out, %" PRIu64 " not seen\n",
            INDENT, "", m->n_judged, m->n_artefacts, m->n_unseen);
    fprintf(out, "  %5s %-10s %8s %8s %8s %8s\n", "", "name", is_real ? "mean" : "rate/s",
            "training", "z", "variance");
}

void channel_table_print(const Latent__V1__Status *status, bool all, FILE *out)
{
    const Latent__V1__StreamStatus *s = status->n_streams ? status->streams[0] : NULL;
    const Latent__V1__Masking *m = s ? s->masking : NULL;
    struct scale scale;
    size_t n_shown = 0;
    bool is_real;

    if (!m || !s->info) return;
    is_real = strcmp(s->info->input, "real") == 0;
    scale = (struct scale){m->possible, is_real ? 1.0 : 1e6 / s->info->bin_width_us};
    fprintf(out, "%s: %u channels; at most %u masked, else SAFE\n", s->info->stream,
            s->info->n_channels, m->n_most);
    print_heads(m, s->info->stream, is_real, out);
    for (size_t i = 0; i < m->n_channels; i++) {
        if (!all && !m->channels[i]->who[0]) continue;
        print_channel(m->channels[i], &scale, out);
        n_shown++;
    }
    if (n_shown < m->n_channels)
        fprintf(out, "  %zu others are neither masked nor bad; --all shows them\n",
                m->n_channels - n_shown);
}
