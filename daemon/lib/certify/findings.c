/* Facts, durations, verdicts. */
#include "certify/findings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

const char *const verdict_names[VERDICT_N] = {
    [VERDICT_OK] = "ok",
    [VERDICT_UNKNOWN] = "unknown",
    [VERDICT_WARN] = "warn",
    [VERDICT_FAIL] = "fail",
};

const char *const certify_group_names[CERTIFY_N_GROUPS] = {
    [CERTIFY_MACHINE] = "machine", [CERTIFY_KERNEL] = "kernel",  [CERTIFY_LIMITS] = "limits",
    [CERTIFY_NETWORK] = "network", [CERTIFY_DISK] = "disk",      [CERTIFY_WAKE] = "wake",
    [CERTIFY_MODEL] = "model",     [CERTIFY_END] = "end to end",
};

/* ---- facts ---- */

void findings_add(struct findings *f, const struct finding *row, const char *found, ...)
{
    va_list arguments;

    if (f->n == FINDINGS_MAX) return;
    f->rows[f->n] = *row;
    va_start(arguments, found);
    vsnprintf(f->rows[f->n].found, FINDING_TEXT, found, arguments);
    va_end(arguments);
    f->n++;
}

enum verdict findings_worst(const struct findings *f, enum certify_group group)
{
    enum verdict worst = VERDICT_OK;

    for (size_t i = 0; i < f->n; i++)
        if (f->rows[i].group == group && f->rows[i].verdict > worst) worst = f->rows[i].verdict;
    return worst;
}

void findings_free(struct findings *f)
{
    for (size_t i = 0; i < f->n_series; i++) free(f->series[i].ns);
    *f = (struct findings){0};
}

/* ---- durations ---- */

struct series *findings_series(struct findings *f, enum certify_group group, size_t capacity,
                               uint64_t budget_ns, const char *name, ...)
{
    struct series *s = &f->series[f->n_series];
    va_list arguments;

    if (f->n_series == FINDINGS_MAX_SERIES) return NULL;
    *s = (struct series){.group = group, .budget_ns = budget_ns, .capacity = capacity};
    s->ns = calloc(capacity + 1, sizeof *s->ns);
    if (!s->ns) return NULL;
    va_start(arguments, name);
    vsnprintf(s->name, sizeof s->name, name, arguments);
    va_end(arguments);
    f->n_series++;
    return s;
}

void series_add(struct series *s, uint64_t ns)
{
    if (s->n < s->capacity) s->ns[s->n++] = ns;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

void series_sort(struct series *s)
{
    qsort(s->ns, s->n, sizeof *s->ns, compare);
}

uint64_t series_quantile(const struct series *s, double quantile)
{
    size_t rank = (size_t)ceil(quantile * (double)s->n);

    if (s->n == 0) return 0;
    return s->ns[rank ? rank - 1 : 0];
}

size_t series_n_missed(const struct series *s)
{
    size_t n = s->n_lost;

    for (size_t i = 0; i < s->n; i++) n += s->budget_ns && s->ns[i] >= s->budget_ns;
    return n;
}

enum verdict series_verdict(const struct series *s)
{
    if (s->n == 0 && s->n_lost == 0) return VERDICT_UNKNOWN;
    if (s->budget_ns == 0) return VERDICT_OK;
    if (series_n_missed(s) > 0 || series_quantile(s, 0.999) * 2 >= s->budget_ns)
        return VERDICT_FAIL;
    return VERDICT_OK;
}
