/* What a caller asks of a model, against what its file offers. */
#include "decode/options.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

uint32_t model_groups(const latent_model *m)
{
    return (m->dims.n_latents ? LATENT_GROUP_LATENTS : 0u) |
           (m->dims.n_rates ? LATENT_GROUP_RATES : 0u) |
           (m->dims.n_readout ? LATENT_GROUP_READOUT : 0u) |
           (m->dims.n_logits ? LATENT_GROUP_LOGITS : 0u);
}

/* Which there are: one of several must be named, since another's weights give wrong values. */
static int session_refuse(const latent_model *m, const char *name, struct latent_error *err)
{
    char names[LATENT_ERROR_TEXT / 2] = "";
    size_t used = 0;
    if (!m->dims.n_sessions)
        return error_set(err, LATENT_E_UNSUPPORTED, "%s: session \"%s\": the file has no sessions",
                         m->info.path, name);
    for (size_t i = 0; i < m->dims.n_sessions && used < sizeof names; i++)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? ", " : "",
                                 m->dims.sessions[i]);
    if (name)
        return error_set(err, LATENT_E_UNSUPPORTED,
                         "%s: session \"%s\" is not among the file's: %s", m->info.path, name,
                         names);
    return error_set(err, LATENT_E_UNSUPPORTED,
                     "%s: the file has several sessions, and one must be named: %s", m->info.path,
                     names);
}

int options_check(const latent_model *m, const struct latent_options *o, struct latent_error *err)
{
    int mode = model_mode(m, o->mode);
    if (mode < 0)
        return error_set(err, LATENT_E_UNSUPPORTED,
                         "%s: mode \"%s\" is not among the file's modes; its default is \"%s\"",
                         m->info.path, o->mode, m->info.modes[0].name);
    if (!model_has_precision(m, o->precision))
        return error_set(err, LATENT_E_UNSUPPORTED,
                         "%s: precision \"%s\" is not among the file's; its default is \"%s\"",
                         m->info.path, o->precision, m->info.precisions[0]);
    if (model_session(m, o->session) < 0) return session_refuse(m, o->session, err);
    const struct model_ops *ops = m->ops;
    const char *reason = NULL;
    if (o->predicts && ops->predict_check)
        reason = ops->predict_check(model_bound(m, o->precision));
    if (reason) return error_set(err, LATENT_E_UNSUPPORTED, "%s: %s", m->info.path, reason);
    uint32_t missing = o->groups & ~model_groups(m);
    if (missing)
        return error_set(err, LATENT_E_UNSUPPORTED, "%s: this %s model has no %s", m->info.path,
                         m->info.arch,
                         missing & LATENT_GROUP_READOUT  ? "readout"
                         : missing & LATENT_GROUP_RATES  ? "rates"
                         : missing & LATENT_GROUP_LOGITS ? "logits"
                                                         : "latents");
    return mode;
}
