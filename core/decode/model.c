/* What a model tells of itself, and its end. */
#include "decode/model.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

void latent_model_info(const latent_model *m, struct latent_info *out)
{
    assert(m && out);
    *out = m->info;
}

int latent_model_takes_normalisation(const latent_model *m, const double *mean, const double *sd,
                                     size_t n)
{
    assert(m);
    return normalise_takes(&m->config.normalise, m->info.n_channels, mean, sd, n);
}

void latent_model_close(latent_model *m)
{
    if (!m) return;
    for (int p = 0; p < N_PRECISIONS; p++) arena_free(&m->memory[p]);
    model_config_free(&m->config);
    free(m->config_text);
    free(m->path);
    free(m);
}

int model_mode(const latent_model *m, const char *name)
{
    if (!name) name = m->info.modes[0].name;
    assert(name);
    bool listed = false;
    for (uint32_t i = 0; i < m->info.n_modes; i++)
        listed |= strcmp(m->info.modes[i].name, name) == 0;
    for (int i = 0; listed && m->ops->modes[i].name; i++)
        if (strcmp(m->ops->modes[i].name, name) == 0) return i;
    return -1;
}

int model_session(const latent_model *m, const char *name)
{
    if (!name) return m->dims.n_sessions > 1 ? -1 : 0;
    for (size_t i = 0; i < m->dims.n_sessions; i++)
        if (strcmp(m->dims.sessions[i], name) == 0) return (int)i;
    return -1;
}

bool model_has_precision(const latent_model *m, const char *name)
{
    if (!name) return true;
    for (uint32_t i = 0; i < m->info.n_precisions; i++)
        if (strcmp(m->info.precisions[i], name) == 0) return true;
    return false;
}

/* Number of a listed precision; NULL: the first. */
static int precision_of(const latent_model *m, const char *name)
{
    int found = precision_find(name ? name : m->info.precisions[0]);
    assert(found >= 0 && m->bound[found]);
    return found;
}

const void *model_bound(const latent_model *m, const char *precision)
{
    return m->bound[precision_of(m, precision)];
}

const struct arena *model_memory(const latent_model *m, const char *precision)
{
    return &m->memory[precision_of(m, precision)];
}
