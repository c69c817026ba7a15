/* The newest decoded bin, and the frame that consumers got last, for people. One thread writes (the
 * line's), any reads a copy that is of one frame. */
#ifndef LINE_LATEST_H
#define LINE_LATEST_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define LATEST_MAX 64 /* values that are kept of its readout */

struct wire_frame;

struct latest {
    _Atomic uint32_t version;   /* odd while it is written */
    _Atomic uint64_t t_recv_ns; /* of the bin */
    _Atomic uint64_t t_publish_ns, seq;
    _Atomic uint32_t flags, n;
    _Atomic float readout[LATEST_MAX];
};

struct latest_values {
    uint64_t t_recv_ns;    /* arrival of the newest decoded bin; 0: none yet */
    uint64_t t_publish_ns; /* of the newest frame; 0: none yet */
    uint64_t seq;
    uint32_t flags, n; /* enum latent_flag; values, at most LATEST_MAX */
    float readout[LATEST_MAX];
};

void latest_set_bin(struct latest *l, uint64_t t_recv_ns);
void latest_set_frame(struct latest *l, const struct wire_frame *f);
/* false: the writer was caught inside again and again; *out may be of two frames. */
bool latest_read(struct latest *l, struct latest_values *out);

#endif
