/* Chance, the source and the network: what is put on its way to the daemon, and when it gets
 * there. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "contract_wild.h"

#define MS ((uint64_t)1000000)

/* ---- chance ---- */

uint64_t world_draw(struct world *w, uint64_t low, uint64_t high)
{
    w->seed = w->seed * 6364136223846793005u + 1442695040888963407u;
    return low + (w->seed >> 33) % (high - low + 1);
}

/* In so many of 10,000 cases; never when all is calm. */
bool world_happens(struct world *w, uint64_t in_10000)
{
    return !w->is_calm && world_draw(w, 0, 9999) < in_10000;
}

/* ---- on the way ---- */

static void put(struct world *w, const struct parcel *p, uint64_t delay_ns)
{
    struct parcel *to = &w->waiting[w->n_waiting++];

    assert_true(w->n_waiting <= WORLD_MAX_PARCELS);
    *to = *p;
    to->t_ns = w->t_bin_ns + delay_ns;
    if (to->t_ns < w->t_dam_ns) to->t_ns = w->t_dam_ns + ++w->n_dammed;
}

static float value_of(struct world *w, enum bin_kind kind)
{
    switch (kind) {
    case BIN_NOT_FINITE:
        return NAN;
    case BIN_HUGE:
        return FLT_MAX;
    default:
        return w->t_bin_ns < w->t_still_ns ? w->still_value : (float)world_draw(w, 0, 4);
    }
}

/* What the network does to a message. */
static void post(struct world *w, struct parcel *p)
{
    uint64_t delay_ns = world_draw(w, 100000, 2000000);

    if (world_happens(w, 300)) return;
    if (world_happens(w, 80)) p->kind = PARCEL_GARBAGE;
    if (world_happens(w, 40)) p->kind = PARCEL_WIDTH;
    if (world_happens(w, 40)) p->kind = PARCEL_PARTS;
    if (world_happens(w, 300)) delay_ns += world_draw(w, 1, 40) * w->bin_width_us * 500;
    put(w, p, delay_ns);
    if (world_happens(w, 200)) put(w, p, delay_ns + world_draw(w, 0, 30) * w->bin_width_us * 1000);
}

/* ---- the source ---- */

static void restart_source(struct world *w)
{
    if (w->has_epochs)
        w->epoch++;
    else
        w->seq = w->seq > 5000 ? world_draw(w, 0, w->seq - 3000) : w->seq;
    if (w->has_epochs) w->seq = world_draw(w, 0, 1000000);
}

static enum bin_kind draw_kind(struct world *w)
{
    if (world_happens(w, 60)) return BIN_NOT_FINITE;
    return world_happens(w, 15) ? BIN_HUGE : BIN_GOOD;
}

static void flush(struct world *w)
{
    if (w->gathering.n_bins && world_happens(w, 40)) wild_damage(w, &w->gathering);
    if (w->gathering.n_bins) post(w, &w->gathering);
    w->gathering.n_bins = 0;
}

static void make_bin(struct world *w)
{
    struct parcel *g = &w->gathering;

    if (g->n_bins == 0)
        *g = (struct parcel){.epoch = w->epoch,
                             .seq = w->seq,
                             .t_source_ns = wild_time(w, w->clock_ns),
                             .clock_id = w->clock_id};
    if (g->n_bins == 0 && world_happens(w, 60)) g->marks = LATENT_MARK_RESET;
    g->bin[g->n_bins] = draw_kind(w);
    g->value[g->n_bins] = value_of(w, g->bin[g->n_bins]);
    g->n_bins++;
    w->seq++;
    w->n_bins++;
    if (g->n_bins >= w->n_gather) flush(w);
}

static void make_rival_bin(struct world *w)
{
    struct parcel p = wild_bin(w);

    p.bin[0] = draw_kind(w);
    p.value[0] = value_of(w, p.bin[0]);
    post(w, &p);
}

/* Now and then far more bins than there is time for. */
static uint64_t next_bin_ns(struct world *w)
{
    uint64_t bin_ns = (uint64_t)w->bin_width_us * 1000;

    if (world_happens(w, 15)) {
        w->t_flood_ns = w->t_bin_ns + world_draw(w, 20, 500) * MS;
        w->n_faster = (uint32_t)world_draw(w, 2, 400);
    }
    return w->t_bin_ns < w->t_flood_ns && !w->is_calm ? bin_ns / w->n_faster : bin_ns;
}

static void network_acts(struct world *w)
{
    if (w->t_bin_ns < w->t_dam_ns || !world_happens(w, 15)) return;
    w->t_dam_ns = w->t_bin_ns + world_draw(w, 50, 2000) * MS;
    w->n_dammed = 0;
}

void world_source_acts(struct world *w)
{
    if (w->n_waiting > WORLD_MAX_PARCELS / 2) { /* nobody takes them: it waits */
        w->t_bin_ns += next_bin_ns(w);
        return;
    }
    network_acts(w);
    if (world_happens(w, 20)) w->t_silent_ns = w->t_bin_ns + world_draw(w, 30, 1500) * MS;
    if (world_happens(w, 20)) {
        w->t_still_ns = w->t_bin_ns + world_draw(w, 30, 1500) * MS;
        w->still_value = (float)world_draw(w, 0, 2);
    }
    if (world_happens(w, 20)) {
        flush(w);
        restart_source(w);
    }
    if (world_happens(w, 15)) {
        flush(w);
        w->seq += world_draw(w, 0, 1) ? world_draw(w, 20, 3000) : 1000000000;
    }
    if (world_happens(w, 15)) {
        flush(w);
        wild_jump(w);
    }
    if (world_happens(w, 20)) wild_join(w);
    if (w->rival.n_bins) make_rival_bin(w);
    if (world_happens(w, 30) || w->n_gather > 1)
        w->n_gather = world_happens(w, 1000) ? 1 : (uint32_t)world_draw(w, 2, ORACLE_MAX_BATCH);
    if (w->t_bin_ns >= w->t_silent_ns) make_bin(w);
    w->t_bin_ns += next_bin_ns(w);
}
