/* What certify found: facts with a verdict each, and the durations that were measured. */
#ifndef CERTIFY_FINDINGS_H
#define CERTIFY_FINDINGS_H

#include <stddef.h>
#include <stdint.h>

/* In the order of how bad they are. */
enum verdict { VERDICT_OK, VERDICT_UNKNOWN, VERDICT_WARN, VERDICT_FAIL, VERDICT_N };
extern const char *const verdict_names[VERDICT_N];

enum certify_group {
    CERTIFY_MACHINE,
    CERTIFY_KERNEL,
    CERTIFY_LIMITS,
    CERTIFY_NETWORK,
    CERTIFY_DISK,
    CERTIFY_WAKE,
    CERTIFY_MODEL,
    CERTIFY_END,
    CERTIFY_N_GROUPS
};
extern const char *const certify_group_names[CERTIFY_N_GROUPS]; /* "machine", ... "end to end" */

#define FINDINGS_MAX 1024
#define FINDING_TEXT 160

/* One fact. wanted, remedy: what would be ok and how to get there; constant texts. */
struct finding {
    enum certify_group group;
    enum verdict verdict;
    const char *what, *wanted, *remedy;
    char found[FINDING_TEXT];
};

/* A sample of durations, kept one by one so that percentiles are exact. */
struct series {
    enum certify_group group;
    char name[80];
    uint64_t budget_ns; /* what the largest must stay below; 0: not judged */
    uint64_t *ns;       /* [n], sorted once series_sort was called */
    size_t n, capacity;
    uint64_t n_lost; /* expected and never seen */
};

#define FINDINGS_MAX_SERIES 1024

struct findings {
    struct finding rows[FINDINGS_MAX];
    size_t n;
    struct series series[FINDINGS_MAX_SERIES];
    size_t n_series;
};

/* Add a fact; `row` gives all but found. Beyond FINDINGS_MAX nothing is added. */
void findings_add(struct findings *f, const struct finding *row, const char *found, ...)
    __attribute__((format(printf, 3, 4)));
/* The worst of a group; VERDICT_OK when it has no fact. */
enum verdict findings_worst(const struct findings *f, enum certify_group group);
/* Room for up to `capacity` durations; NULL when there is no memory or no place. */
struct series *findings_series(struct findings *f, enum certify_group group, size_t capacity,
                               uint64_t budget_ns, const char *name, ...)
    __attribute__((format(printf, 5, 6)));
void findings_free(struct findings *f);

/* Beyond its capacity a duration is dropped. */
void series_add(struct series *s, uint64_t ns);
void series_sort(struct series *s);
/* Of a sorted series: at least the share `quantile` of the durations is at most this; 0 when there
 * are none. */
uint64_t series_quantile(const struct series *s, double quantile);
/* Durations above the budget, and those that were lost. */
size_t series_n_missed(const struct series *s);
/* Of a sorted series: ok when all are below the budget, 99.9 % below half of it, none lost. */
enum verdict series_verdict(const struct series *s);

#endif
