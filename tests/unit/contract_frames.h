/* The oracle's part for what leaves: SAFE, the table of decisions, and what consumers
 * then have. */
#ifndef CONTRACT_FRAMES_H
#define CONTRACT_FRAMES_H

#include "contract_oracle.h"

#define require(o, condition, ...)                                               \
    do {                                                                         \
        if (!(condition)) oracle_complain(o, #condition, __LINE__, __VA_ARGS__); \
    } while (0)

/* A frame that is due. */
struct due {
    uint64_t epoch, seq, t_arrived_ns; /* 0: by a tick */
    uint64_t pace_age_ns;              /* by the pace of the source */
    uint64_t t_source_ns;
    bool has_end; /* it is known when it ended: */
    uint64_t t_end_ns;
    bool no_signal, no_signal_safe; /* too many bins are the same; for a lease */
    bool received, filled, predicted, gap, huge, repeats, first_filled;
    bool reset; /* by a mark */
};

/* Fails the test, with the seed. */
void oracle_complain(const struct oracle *o, const char *condition, int line, const char *format,
                     ...) __attribute__((format(printf, 4, 5)));
void oracle_count(struct oracle *o, enum counter c);
/* SAFE from now on, the readout neutral a ramp later and by t_latest. */
void oracle_go_safe(struct oracle *o, uint64_t now_ns, uint64_t t_latest_ns, bool asked);
/* This frame must come next in the entry's trace, or be kept back for the right reason. */
void oracle_expect(struct oracle *o, struct due *d);

#endif
