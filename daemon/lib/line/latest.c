/* A version number as of the ledger's: odd while the writer is inside. */
#include "line/latest.h"

#include <sched.h>

#include "wire.h"

#define READ_ATTEMPTS 100

void latest_set_bin(struct latest *l, uint64_t t_recv_ns)
{
    atomic_store_explicit(&l->t_recv_ns, t_recv_ns, memory_order_relaxed);
}

void latest_set_frame(struct latest *l, const struct wire_frame *f)
{
    const struct latent_frame *v = &f->values;
    uint32_t n = v->n_readout < LATEST_MAX ? v->n_readout : LATEST_MAX;

    atomic_fetch_add_explicit(&l->version, 1, memory_order_acq_rel);
    atomic_store_explicit(&l->t_publish_ns, f->t_publish_ns, memory_order_relaxed);
    atomic_store_explicit(&l->seq, f->seq, memory_order_relaxed);
    atomic_store_explicit(&l->flags, v->flags, memory_order_relaxed);
    atomic_store_explicit(&l->n, n, memory_order_relaxed);
    for (uint32_t i = 0; i < n; i++)
        atomic_store_explicit(&l->readout[i], v->readout[i], memory_order_relaxed);
    atomic_fetch_add_explicit(&l->version, 1, memory_order_acq_rel);
}

static bool read_once(struct latest *l, struct latest_values *out)
{
    uint32_t before = atomic_load_explicit(&l->version, memory_order_acquire);

    out->t_recv_ns = atomic_load_explicit(&l->t_recv_ns, memory_order_relaxed);
    out->t_publish_ns = atomic_load_explicit(&l->t_publish_ns, memory_order_relaxed);
    out->seq = atomic_load_explicit(&l->seq, memory_order_relaxed);
    out->flags = atomic_load_explicit(&l->flags, memory_order_relaxed);
    out->n = atomic_load_explicit(&l->n, memory_order_relaxed);
    for (uint32_t i = 0; i < out->n; i++)
        out->readout[i] = atomic_load_explicit(&l->readout[i], memory_order_relaxed);
    return before % 2 == 0 &&
           atomic_fetch_add_explicit(&l->version, 0, memory_order_acq_rel) == before;
}

bool latest_read(struct latest *l, struct latest_values *out)
{
    for (int i = 0; i < READ_ATTEMPTS; i++) {
        if (read_once(l, out)) return true;
        sched_yield();
    }
    return false;
}
