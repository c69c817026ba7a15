/* A rig on a virtual clock: a source, a network that spoils what passes, a machine that
 * stalls, an operator, and the real line between them. Seeded: a seed is a history. */
#ifndef CONTRACT_WORLD_H
#define CONTRACT_WORLD_H

#include "contract_oracle.h"

enum {
    WORLD_MAX_PARCELS = 256,
    WORLD_MAX_READINGS = 4096, /* of one entry */
    WORLD_MAX_FRAMES = 1024,
};

struct world {
    uint64_t seed, first_seed, now_ns;
    struct line_options options;
    latent_decoder *decoder, *second; /* second: told what the line asks of the first */
    struct latent_frame decoded;      /* by the second */
    float last_value;                 /* of the channels of the bin decoded last */
    struct parcel opened;
    const float *mean;
    struct line *line;
    uint32_t n_channels, bin_width_us;
    struct oracle oracle;

    uint64_t epoch, seq, t_bin_ns, t_silent_ns; /* source */
    uint64_t t_still_ns;                        /* until then all its bins say the same: */
    float still_value;
    bool has_epochs;
    struct parcel gathering; /* bins that wait to be sent together */
    uint32_t n_gather;
    struct parcel waiting[WORLD_MAX_PARCELS]; /* on their way */
    size_t n_waiting;
    uint64_t t_wake_ns;    /* stamp of what is taken now */
    uint64_t t_stalled_ns; /* the daemon does nothing until then */
    bool is_calm;          /* no faults any more */

    uint64_t reading[WORLD_MAX_READINGS];
    struct seen_frame frame[WORLD_MAX_FRAMES];
    size_t n_readings, n_frames;
    uint64_t n_bins; /* that the source made */
    struct wire_arena arena;
    _Alignas(16) unsigned char arena_bytes[1 << 16];
};

/* Policies are drawn from the seed. The model's readout must be of ORACLE_N_READOUT. */
void world_open(struct world *w, const latent_model *model, uint64_t seed);
/* Until the source has made n_bins more; what is on its way then arrives. */
void world_run(struct world *w, uint64_t n_bins);
/* The source stops, everything else goes well, time passes. */
void world_fall_silent(struct world *w, uint64_t ns);
void world_close(struct world *w);

#endif
