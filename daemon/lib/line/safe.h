/* The safe state: when it begins and ends, and how the readout gets to neutral. Pure
 * functions of state and arguments. */
#ifndef LINE_SAFE_H
#define LINE_SAFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "line/policy.h"

enum safe_reason {
    SAFE_LEASE,    /* no bin was decoded for too long */
    SAFE_MISSING,  /* on-missing = safe, or nothing left that may be predicted */
    SAFE_LATE,     /* on-late = safe */
    SAFE_OUTPUT,   /* the model's output was not finite */
    SAFE_OPERATOR, /* asked for */
    SAFE_STOP,     /* the daemon ends */
    SAFE_START,    /* no bin has shown yet that all is well */
    SAFE_SIGNAL,   /* bins came with nothing in them, for too long */
    SAFE_MASKED,   /* too many channels are masked */
    SAFE_N_REASONS,
};

struct safe {
    bool on;
    bool asked;   /* by operator or stop: stays until taken back */
    bool locked;  /* only the operator ends it (safe-exit = operator) */
    bool arrived; /* a frame was made with the readout at neutral */
    enum safe_reason reason;
    uint32_t n_good;    /* good bins in a row since it is on ... */
    uint64_t t_good_ns; /* ... the first of which arrived then */
    uint64_t t_end_ns;  /* from here on the readout is neutral */
    uint64_t t_last_ns; /* of the last step towards it */
};

/* From now on SAFE; a reason that is there already stays, but for the operator's and
 * stop; stop's stays for good. */
void safe_enter(struct safe *s, const struct line_policy *policy, enum safe_reason reason,
                uint64_t now_ns, uint64_t t_end_ns);
/* Take back what the operator asked for, or had to allow. After stop it changes nothing. */
void safe_release(struct safe *s);
/* SAFE from the start: consumers have nothing, so there is no way to neutral. */
void safe_begin(struct safe *s, const struct line_policy *policy);
/* A bin that would have been shown, were it not for SAFE; true when it may end SAFE: enough of them
 * came in a row, and their arrival took at least span_ns. */
bool safe_on_good(struct safe *s, const struct line_policy *policy, uint64_t t_arrived_ns,
                  uint64_t span_ns);
/* Move y [n], as shown at t_last, towards neutral [n]: linear in time, there at t_end. */
void safe_ramp(struct safe *s, float *y, const float *neutral, size_t n, uint64_t now_ns);

#endif
