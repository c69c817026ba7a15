/* Any bit of any number may be the wrong one. */
#include "contract_wild.h"

#define S ((uint64_t)1000000000)

void wild_begin(struct world *w)
{
    w->has_clock = world_draw(w, 0, 2) > 0;
    w->clock_ns = world_draw(w, 0, 1) * world_draw(w, 0, 1000000) * S;
    w->clock_id = world_draw(w, 0, 4);
}

uint64_t wild_time(const struct world *w, uint64_t clock_ns)
{
    return w->has_clock ? clock_ns + w->t_bin_ns : 0;
}

static uint64_t draw_bit(struct world *w)
{
    return (uint64_t)1 << world_draw(w, 0, 63);
}

void wild_jump(struct world *w)
{
    switch (world_draw(w, 0, 5)) {
    case 0:
        w->seq = UINT32_MAX - world_draw(w, 0, 20);
        break;
    case 1:
        w->seq = (uint32_t)w->seq;
        break;
    case 2:
        w->seq ^= draw_bit(w);
        break;
    case 3:
        w->clock_ns += world_draw(w, 0, 40) * S;
        break;
    case 4:
        w->clock_ns -= world_draw(w, 0, 40) * S;
        break;
    default:
        w->clock_ns ^= draw_bit(w);
    }
}

void wild_damage(struct world *w, struct parcel *p)
{
    uint64_t bit = draw_bit(w);

    if (world_draw(w, 0, 9) == 0)
        p->seq = UINT64_MAX - world_draw(w, 0, 4); /* wraps within the message, or nearly */
    else if (world_draw(w, 0, 1))
        p->seq ^= bit;
    else
        p->t_source_ns = world_draw(w, 0, 3) ? p->t_source_ns ^ bit : 0;
    if (world_draw(w, 0, 4) == 0) p->epoch ^= draw_bit(w);
}

void wild_join(struct world *w)
{
    w->rival.epoch = world_draw(w, 0, 1) ? w->epoch : w->epoch + world_draw(w, 0, 2);
    w->rival.seq = world_draw(w, 0, 1) ? w->seq + world_draw(w, 0, 40) : world_draw(w, 0, 2000000);
    w->rival.clock_ns = world_draw(w, 0, 1) ? w->clock_ns : world_draw(w, 0, 100000) * S;
    w->rival.n_bins = world_draw(w, 1, 60);
}

struct parcel wild_bin(struct world *w)
{
    w->rival.n_bins--;
    return (struct parcel){.epoch = w->rival.epoch,
                           .seq = w->rival.seq++,
                           .t_source_ns = wild_time(w, w->rival.clock_ns),
                           .n_bins = 1};
}
