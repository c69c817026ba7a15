/* Parts of a bin's time, largest first. What is not explained is said like everything else. */
#include "latentctl/why.h"

#include <inttypes.h>
#include <jansson.h>
#include <string.h>
#include <time.h>

#include "base/text.h"
#include "latent.h"

#define STREAM_WIDTH 11     /* of a name in the table */
#define LEAST_SHOWN_NS 500u /* smaller parts are 0.000 ms */

/* Of each part: in a sentence, in a table, and what helps. */
static const struct part {
    const char *name, *words, *word, *remedy;
} parts[] = {
    {"source", "it was not here yet: its source, or its way (network, ZeroMQ)", "not here yet",
     "look at when the source sends, and at the network between"},
    {"stopped", "latentd stood still: a signal, a debugger, its cgroup, or the machine itself",
     "latentd stood still",
     "find who stopped it: SIGSTOP, a debugger, the host of a virtual machine"},
    {"processor", "waited for a processor: latentd was ready to run, and others ran",
     "waited for a processor",
     "give latentd realtime-priority and a cpu of its own; latentctl certify names what is in "
     "the way"},
    {"stream", "behind stream ", "behind stream ", "give the two streams a loop each"},
    {"others", "behind further streams of its loop", "behind other streams",
     "give streams that wait for each other a loop each"},
    {"own", "behind earlier bins and messages of its own stream", "behind its own stream",
     "bins came faster than they are decoded: a burst, or steps that take longer than a bin"},
    {"step", "its own step", "its own step",
     "the model is too slow here, or its budget too small: latentctl status shows its times"},
    {"unknown", "unexplained", "unexplained", NULL},
};
#define N_PARTS (sizeof parts / sizeof parts[0])

static const struct part *part_of(const Latent__V1__Wait *w)
{
    static const struct part newer = {"", "a part that only a newer latentctl knows", "?", NULL};

    for (size_t i = 0; i < N_PARTS; i++)
        if (strcmp(w->part, parts[i].name) == 0) return &parts[i];
    return &newer;
}

static double ms(uint64_t ns)
{
    return (double)ns / 1e6;
}

uint64_t why_bin_whole_ns(const Latent__V1__LateBin *b)
{
    return b->t_publish_ns - b->t_since_ns;
}

static uint64_t late_by_ns(const Latent__V1__LateBin *b)
{
    uint64_t whole_ns = why_bin_whole_ns(b);

    return whole_ns > b->budget_ns ? whole_ns - b->budget_ns : 0;
}

static void print_utc(uint64_t utc_ns, FILE *out)
{
    time_t seconds = (time_t)(utc_ns / 1000000000u);
    struct tm tm;
    char text[32];

    gmtime_r(&seconds, &tm);
    strftime(text, sizeof text, "%H:%M:%S", &tm);
    fprintf(out, "%s.%03u", text, (unsigned)(utc_ns % 1000000000u / 1000000u));
}

/* ---- one bin ---- */

static const char *since_words(const char *since)
{
    if (strcmp(since, "end") == 0) return "from its end to its frame";
    if (strcmp(since, "estimated end") == 0) return "from its end, as estimated, to its frame";
    if (strcmp(since, "pace") == 0) return "from when its source's pace had it come to its frame";
    return "from its arrival to its frame (when it ended is not known)";
}

static void print_wait(const Latent__V1__Wait *w, uint64_t whole_ns, FILE *out)
{
    if (w->ns < LEAST_SHOWN_NS) return;
    fprintf(out, "  %10.3f ms %4.0f %%  %s%s\n", ms(w->ns),
            100.0 * (double)w->ns / (double)(whole_ns ? whole_ns : 1), part_of(w)->words,
            strcmp(w->part, "stream") == 0 ? w->stream : "");
}

static void print_flags(uint32_t flags, FILE *out)
{
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit) fprintf(out, " %s", latent_flag_name(bit));
}

static void print_limits(const Latent__V1__LateBin *b, FILE *out)
{
    if (!b->knows_spans)
        fprintf(out, "  for whom its loop worked meanwhile is not known, or not of all the time\n");
    if (!b->knows_processor)
        fprintf(out, "  waits for a processor are not known: they are in the other parts\n");
    if (b->steal_ns)
        fprintf(out,
                "  meanwhile the host took %.0f ms from the processors of this machine (in %.1f s "
                "around)\n",
                ms(b->steal_ns), ms(b->steal_of_ns) / 1e3);
}

void why_print_bin(const char *stream, const Latent__V1__LateBin *b, FILE *out)
{
    uint64_t whole_ns = why_bin_whole_ns(b);

    fprintf(out, "%s: bin %" PRIu64 " (epoch %" PRIu64 ") was late by %.3f ms at ", stream, b->seq,
            b->epoch, ms(late_by_ns(b)));
    print_utc(b->utc_ns, out);
    fprintf(out, " UTC\n  %.3f ms %s; its budget is %.12g ms:\n", ms(whole_ns),
            since_words(b->since), ms(b->budget_ns));
    for (size_t i = 0; i < b->n_waits; i++) print_wait(b->waits[i], whole_ns, out);
    if (b->n_before)
        fprintf(out, "  the wake that found it had brought %" PRIu64 " bins of %s before it\n",
                b->n_before, stream);
    print_limits(b, out);
    fprintf(out, "  its frame: %s,", b->outcome);
    print_flags(b->flags, out);
    fprintf(out, "; sending it took %.3f ms more\n", ms(b->t_done_ns - b->t_publish_ns));
    if (b->n_waits && part_of(b->waits[0])->remedy)
        fprintf(out, "  what helps: %s\n", part_of(b->waits[0])->remedy);
}

/* ---- all ---- */

static void print_row(const Latent__V1__LateBin *b, FILE *out)
{
    const Latent__V1__Wait *most = b->n_waits ? b->waits[0] : NULL;
    uint64_t whole_ns = why_bin_whole_ns(b);

    fprintf(out, "%12" PRIu64 "  ", b->seq);
    print_utc(b->utc_ns, out);
    fprintf(out, " %9.3f %10.3f  ", ms(late_by_ns(b)), ms(whole_ns));
    if (most)
        fprintf(out, "%3.0f %% %s%.*s",
                100.0 * (double)most->ns / (double)(whole_ns ? whole_ns : 1), part_of(most)->word,
                STREAM_WIDTH, strcmp(most->part, "stream") == 0 ? most->stream : "");
    fprintf(out, "\n");
}

static void print_sum(const Latent__V1__Why *w, const struct part *part, FILE *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < w->n_bins; i++)
        n += w->bins[i]->n_waits && part_of(w->bins[i]->waits[0]) == part;
    if (n)
        fprintf(out, "  %" PRIu64 " of %zu mostly %s%s\n", n, w->n_bins, part->word,
                strcmp(part->name, "stream") == 0 ? "..." : "");
}

void why_print_table(const Latent__V1__Why *w, FILE *out)
{
    printable(w->stream);
    if (w->n_bins == 0 && w->n_late == 0) {
        fprintf(out, "%s: no bin was late\n", w->stream);
        return;
    }
    fprintf(out, "%s: %" PRIu64 " bins were late", w->stream, w->n_late);
    if (w->n_lost) fprintf(out, "; %" PRIu64 " were too many at once to be explained", w->n_lost);
    fprintf(out, "; the last %zu:\n%12s  %-12s %9s %10s  %s\n", w->n_bins, "bin", "UTC", "late, ms",
            "of ms", "most of it");
    for (size_t i = 0; i < w->n_bins; i++) print_row(w->bins[i], out);
    for (size_t i = 0; i < N_PARTS; i++) print_sum(w, &parts[i], out);
    fprintf(out, "One of them in full: latentctl why %s BIN\n", w->stream);
}

/* ---- JSON ---- */

/* Whole numbers that JSON's cannot hold become a text. */
static json_t *whole(uint64_t value)
{
    char text[32];

    if (value <= INT64_MAX) return json_integer((json_int_t)value);
    snprintf(text, sizeof text, "%" PRIu64, value);
    return json_string(text);
}

static json_t *waits_of(const Latent__V1__LateBin *b)
{
    json_t *array = json_array();

    for (size_t i = 0; i < b->n_waits; i++) {
        json_t *wait =
            json_pack("{s:s, s:o}", "part", b->waits[i]->part, "ns", whole(b->waits[i]->ns));

        if (b->waits[i]->stream[0])
            json_object_set_new(wait, "stream", json_string(printable(b->waits[i]->stream)));
        json_array_append_new(array, wait);
    }
    return array;
}

static json_t *flags_of(uint32_t flags)
{
    json_t *array = json_array();

    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit) json_array_append_new(array, json_string(latent_flag_name(bit)));
    return array;
}

static json_t *bin_of(const Latent__V1__LateBin *b)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"epoch", b->epoch},
        {"seq", b->seq},
        {"late_by_ns", late_by_ns(b)},
        {"whole_ns", why_bin_whole_ns(b)},
        {"budget_ns", b->budget_ns},
        {"t_source_ns", b->t_source_ns},
        {"t_since_ns", b->t_since_ns},
        {"t_recv_ns", b->t_recv_ns},
        {"t_start_ns", b->t_start_ns},
        {"t_publish_ns", b->t_publish_ns},
        {"t_done_ns", b->t_done_ns},
        {"utc_ns", b->utc_ns},
        {"n_before", b->n_before},
        {"steal_ns", b->steal_ns},
        {"steal_of_ns", b->steal_of_ns},
    };
    json_t *object =
        json_pack("{s:s, s:s, s:b, s:b}", "since", b->since, "outcome", b->outcome, "knows_spans",
                  (int)b->knows_spans, "knows_processor", (int)b->knows_processor);

    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        json_object_set_new(object, numbers[i].name, whole(numbers[i].value));
    json_object_set_new(object, "flags", flags_of(b->flags));
    json_object_set_new(object, "waits", waits_of(b));
    return object;
}

void why_print_json(const Latent__V1__Why *w, FILE *out)
{
    json_t *bins = json_array(), *object;

    for (size_t i = 0; i < w->n_bins; i++) json_array_append_new(bins, bin_of(w->bins[i]));
    object = json_pack("{s:s, s:o, s:o, s:o}", "stream", printable(w->stream), "n_late",
                       whole(w->n_late), "n_lost", whole(w->n_lost), "bins", bins);
    json_dumpf(object, out, JSON_INDENT(2));
    fprintf(out, "\n");
    json_decref(object);
}
