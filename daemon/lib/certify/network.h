/* What is said of a network device and of a clock: pure functions of what was read. */
#ifndef CERTIFY_NETWORK_H
#define CERTIFY_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "certify/findings.h"

/* How long a device waits before it tells of a packet. */
struct coalescing {
    bool is_told; /* the driver knows */
    bool adapts;  /* the driver changes it by itself */
    uint32_t rx_us, rx_frames;
};

/* chronyd's state: its clock against its source. */
struct tracking {
    char source[48], leap[24];
    double offset_s, skew_ppm, frequency_ppm, root_dispersion_s;
    unsigned stratum;
};

/* "0 us", or what there is; ok when each packet is told of at once. */
enum verdict coalescing_judge(const struct coalescing *c, char *text, size_t n_text);
/* The line that `chronyc -c tracking` prints. false: it is none. */
bool tracking_read(const char *line, struct tracking *out);
/* ok: synchronised, within a millisecond, its frequency known to 10 ppm. */
enum verdict tracking_judge(const struct tracking *t, char *text, size_t n_text);

#endif
