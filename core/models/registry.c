/* The architectures: one line each. */
#include <string.h>

#include "models/model.h"

extern const struct model_ops dlds_ops, gru_ops, kalman_ops, lfads_ops, lowrank_ops, marble_ops,
    ndt_ops, refit_ops, sae_ops, smc_ops, wiener_ops;

static const struct model_ops *const registry[] = {
    &dlds_ops, &gru_ops,   &kalman_ops, &lfads_ops, &lowrank_ops, &marble_ops,
    &ndt_ops,  &refit_ops, &sae_ops,    &smc_ops,   &wiener_ops,
};
#define N_MODELS (sizeof registry / sizeof *registry)

const struct model_ops *model_find(const char *name)
{
    for (size_t i = 0; i < N_MODELS; i++)
        if (strcmp(registry[i]->name, name) == 0) return registry[i];
    return NULL;
}

const char *model_names(void)
{
    return "dlds, gru, kalman, lfads, lowrank, marble, ndt, refit, sae, smc, wiener";
}
