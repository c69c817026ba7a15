/* Consumers of the line's frames, each with a clock, a way and a memory of its own. They act on
 * what the C client's judge lets them; that is held against the contract, in their eyes. */
#ifndef CONTRACT_CONSUMERS_H
#define CONTRACT_CONSUMERS_H

#include "contract_oracle.h"
#include "judge.h"

enum { CONSUMERS_N = 5, CONSUMERS_MAX_FLIGHT = 512 };

/* What it has: a value to act on, or neutral. */
struct stance {
    bool fresh;
    float y[ORACLE_N_READOUT];
};

struct consumer {
    const char *what;
    /* Its machine: now = publisher's now + offset, and so many billionths of it faster. */
    uint64_t clock_id;
    int64_t offset_ns, drift_ppb;
    /* Its way: a frame takes delay, and up to jitter more; some are lost, or held back for long. */
    uint64_t delay_ns, jitter_ns;
    uint32_t n_lost_in_1000, n_held_in_1000;
    bool is_ideal; /* on the publisher's machine, each frame at once and none lost */

    struct judge judge;
    struct {
        uint64_t t_ns;
        struct seen_frame frame;
    } flight[CONSUMERS_MAX_FLIGHT]; /* on their way, in order */
    size_t first, n_flight;
    uint64_t t_last_ns; /* arrival of the last that was sent */

    struct seen_frame newest;
    bool has_newest, continues; /* continues: what it repeats was never out of date */
    struct stance had;
    uint64_t t_had_ns; /* since when, publisher's clock */
    bool leaving;      /* on its way from neutral ... */
    uint64_t t_left_ns;
    uint64_t n_fresh, n_stale;
};

struct consumers {
    const struct oracle *oracle; /* for its options, and to complain */
    struct consumer all[CONSUMERS_N];
    uint64_t chance;
    uint64_t t_open_ns, most_drift_ns; /* that clocks can have run apart since the start */
};

/* Drawn from the seed; info: of the line's model. The line may be made anew meanwhile. */
void consumers_open(struct consumers *c, const struct oracle *oracle,
                    const struct latent_info *info, uint64_t decoder_id, uint64_t seed);
/* NAME/info of another decoder. */
void consumers_tell(struct consumers *c, const struct latent_info *info, uint64_t decoder_id);
void consumers_close(struct consumers *c);
/* The line has published this frame; the sink took it at now_ns. */
void consumers_publish(struct consumers *c, const struct seen_frame *f, uint64_t now_ns);
/* All that arrives, and all that expires, up to now_ns. */
void consumers_follow(struct consumers *c, uint64_t now_ns);

#endif
