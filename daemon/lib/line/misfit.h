/* What of a stream's messages did not fit its model, as it was found last: for whoever asks why
 * nothing is decoded. Beside the ledger, which counts every message by its outcome; carries nothing
 * from entry to entry. One thread notes (its data loop), any reads. */
#ifndef LINE_MISFIT_H
#define LINE_MISFIT_H

#include <stdatomic.h>
#include <stdint.h>

enum misfit {
    MISFIT_BYTES,     /* of a payload: 0, or above the bound; refused.length */
    MISFIT_CHANNELS,  /* refused.shape */
    MISFIT_BIN_WIDTH, /* us; refused.shape */
    MISFIT_NUMBER,    /* of a bin; refused.jump */
    MISFIT_TIME,      /* t_source_ns of a bin; refused.jump */
    MISFIT_EPOCH,     /* refused.source */
    MISFIT_CLOCK,     /* t_source_ns said to be by our clock; not refused, but estimated */
    N_MISFITS,
};

struct misfits {
    struct {
        _Atomic uint64_t n, found, expected, epoch;
    } of[N_MISFITS];
};

/* The numbers of one misfit are each whole, but may be of neighbouring messages. */
struct misfit_seen {
    uint64_t n;               /* messages refused for it; of number, time, epoch: bins */
    uint64_t found, expected; /* of the newest of them */
    uint64_t epoch;           /* of its source; 0: not known */
};

/* What is expected from now on: of bytes, the most; of a number or time, what came
 * last; of a clock, what it said. */
void misfit_expect(struct misfits *m, enum misfit what, uint64_t expected);
void misfit_note(struct misfits *m, enum misfit what, uint64_t found, uint64_t epoch);
void misfit_read(const struct misfits *m, enum misfit what, struct misfit_seen *out);

#endif
