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
    N_MISFITS,
};

struct misfits {
    struct {
        _Atomic uint64_t n, found, epoch;
    } of[N_MISFITS];
};

/* The numbers of one misfit are each whole, but may be of neighbouring messages. */
struct misfit_seen {
    uint64_t n;               /* messages refused for it */
    uint64_t found, expected; /* of the newest of them; bytes, channels or us */
    uint64_t epoch;           /* of its source; 0: not known */
};

void misfit_note(struct misfits *m, enum misfit what, uint64_t found, uint64_t epoch);
/* All but expected, which the line knows. */
void misfit_read(const struct misfits *m, enum misfit what, struct misfit_seen *out);

#endif
