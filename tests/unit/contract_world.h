/* A rig on a virtual clock: a source that falls silent and floods, a network that spoils what
 * passes and holds it back, a machine that stalls, kills and restarts, an operator, consumers on
 * clocks of their own, and the real line between them. Seeded: a seed is a history. */
#ifndef CONTRACT_WORLD_H
#define CONTRACT_WORLD_H

#include "contract_consumers.h"

enum {
    WORLD_N_MODELS = 2,
    WORLD_MAX_PARCELS = 256,
    WORLD_MAX_READINGS = 4096, /* of one entry */
    WORLD_MAX_FRAMES = 1024,
};

struct world {
    uint64_t seed, first_seed, now_ns;
    struct line_options options;
    /* Of each model: the one that is the line's while it is in use, and one beside it. All are told
     * what the line asks of its own. */
    latent_decoder *decoder[WORLD_N_MODELS], *second[WORLD_N_MODELS];
    struct line_decoder *seat[WORLD_N_MODELS]; /* [0]: the line's */
    uint32_t in_use;                           /* model */
    struct latent_frame decoded;               /* by the second of it */
    float last_value;                          /* of the channels of the bin decoded last */
    struct parcel opened;
    const float *mean;
    struct line *line;
    uint32_t n_channels, bin_width_us;
    struct oracle oracle;
    struct consumers consumers;
    const latent_model *model[WORLD_N_MODELS];
    uint64_t total[N_COUNTERS]; /* of the lives before this one */
    uint64_t n_lives;
    uint64_t n_misclaimed, n_ends[ORACLE_N_ENDS]; /* likewise */

    uint64_t epoch, seq, t_bin_ns, t_silent_ns; /* source */
    uint64_t t_still_ns;                        /* until then all its bins say the same: */
    float still_value;
    bool has_epochs, has_clock;
    uint64_t clock_id; /* that it says */
    uint64_t clock_ns; /* its clock at time 0 */
    struct {
        uint64_t epoch, seq, clock_ns, n_bins; /* n_bins: that it still makes */
    } rival;                                   /* another source, that sends as the same stream */
    struct parcel gathering;                   /* bins that wait to be sent together */
    uint32_t n_gather, n_faster; /* n_faster: bins in the time of one, in a flood ... */
    uint64_t t_flood_ns;         /* ... until then */
    uint64_t t_dam_ns;           /* the network holds all back until then */
    uint32_t n_dammed;
    struct parcel waiting[WORLD_MAX_PARCELS]; /* on their way */
    size_t n_waiting;
    uint64_t t_wake_ns;    /* stamp of what is taken now */
    uint64_t t_stalled_ns; /* the daemon does nothing until then */
    bool is_calm;          /* no faults any more */
    bool is_stopping;      /* the daemon ends in order ... */
    bool was_held;         /* ... and the operator held it in SAFE before */

    uint64_t reading[WORLD_MAX_READINGS];
    struct seen_frame frame[WORLD_MAX_FRAMES];
    size_t n_readings, n_frames;
    uint64_t n_bins; /* that the source made */
    struct wire_arena arena;
    _Alignas(16) unsigned char arena_bytes[1 << 16];
};

/* ---- chance, the source and the network (contract_source) ---- */

uint64_t world_draw(struct world *w, uint64_t low, uint64_t high);
/* In so many of 10,000 cases; never when all is calm. */
bool world_happens(struct world *w, uint64_t in_10000);
/* What the source does at w->t_bin_ns, which moves on. */
void world_source_acts(struct world *w);

/* ---- the whole ---- */

/* Policies are drawn from the seed. The models may follow each other, and take turns; their readout
 * must be of ORACLE_N_READOUT, their latents of ORACLE_N_LATENTS. */
void world_open(struct world *w, const latent_model *model, const latent_model *other,
                uint64_t seed);
/* Until the source has made n_bins more; what is on its way then arrives. */
void world_run(struct world *w, uint64_t n_bins);
/* The source stops, everything else goes well, time passes. */
void world_fall_silent(struct world *w, uint64_t ns);
void world_close(struct world *w);
/* What a counter came to in all lives of the line, once they are over. */
uint64_t world_total(const struct world *w, enum counter c);

#endif
