/* What is done about bad channels: which are proposed to be masked, and which latentd masks and
 * unmasks by itself. The operator's word stands: what he masked is never unmasked, and what he
 * unmasked though it was bad is left alone until it was good again.
 *
 * By itself latentd masks at most a tenth of the channels, and changes one in half a second. When
 * the masked and the bad ones are more than max-masked allows, all of them are masked at once,
 * which is SAFE: a decoder without them cannot be believed. It unmasks what it masked when that is
 * good again.
 *
 * One thread. Sets of channels are as in base/channels.h. */
#ifndef HEALTH_MASKER_H
#define HEALTH_MASKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "health/bad_channels.h"

struct masker {
    const struct bad_channels *bad; /* NULL: nothing is judged, or proposed */
    uint32_t n_channels, most_own;
    uint8_t *own;            /* masked by it */
    uint8_t *kept;           /* unmasked by the operator though they were bad */
    uint64_t next_change_ns; /* not before */
};

/* bad is the caller's. 0 or -1: out of memory. masker_close is due in
 * both cases. */
int masker_open(struct masker *m, const struct bad_channels *bad, uint32_t n_channels);
void masker_close(struct masker *m);
/* The operator's change was ordered: these channels were masked, these unmasked. */
void masker_obey(struct masker *m, const uint8_t *masked, const uint8_t *unmasked);
/* Before either of these: what the operator kept and is good again is forgotten. */
void masker_look(struct masker *m);
/* Into out: bad, not masked, and not kept by the operator. masked: in force. */
void masker_propose(const struct masker *m, const uint8_t *masked, uint8_t *out);
/* The mask that is to be ordered next, into out; false: masked is to stay. most: more are SAFE;
 * now_ns: of any clock that does not go back. */
bool masker_decide(const struct masker *m, const uint8_t *masked, uint32_t most, uint64_t now_ns,
                   uint8_t *out);
/* It was ordered at now_ns. */
void masker_ordered(struct masker *m, const uint8_t *masked, const uint8_t *next, uint64_t now_ns);

#endif
