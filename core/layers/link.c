/* Links of rate heads. */
#include "layers/link.h"

#include <math.h>

#include "kernels/kernels.h"
#include "layers/layers.h"

enum rate_link link_read(struct fields *c, bool has_lograte)
{
    static const char *const words[] = {[LINK_EXP] = "exp",
                                        [LINK_SOFTPLUS] = "softplus",
                                        [LINK_RELU] = "relu",
                                        [LINK_LINEAR] = "linear",
                                        NULL};
    bool is_log = has_lograte || fields_has(c, "lograte") ? fields_bool(c, "lograte") : true;
    enum rate_link link = is_log ? LINK_EXP : LINK_RELU;
    if (fields_has(c, "link")) link = (enum rate_link)fields_choice(c, "link", words);
    if (!c->status && is_log != (link == LINK_EXP))
        fields_refuse(c, LATENT_E_CONFIG, "link",
                      "expected \"exp\" with \"lograte\" true and another with false, found "
                      "\"%s\" with %s",
                      words[link], is_log ? "true" : "false");
    return link;
}

/* ln(1 + e^y), without overflow and without loss for very negative y. */
static float softplus(float y)
{
    return (y > 0.0f ? y : 0.0f) + log1pf(expf(-fabsf(y)));
}

static uint32_t linear_hold(float *y, size_t n)
{
    uint32_t flags = 0;
    for (size_t i = 0; i < n; i++) {
        if (y[i] < 0.0f) flags = LATENT_LIMITED;
        if (y[i] < 0.0f) y[i] = 0.0f;
    }
    return flags;
}

uint32_t link_apply(enum rate_link link, float *y, size_t n)
{
    switch (link) {
    case LINK_EXP:
        kernels_get()->exp(y, n);
        return 0;
    case LINK_SOFTPLUS:
        for (size_t i = 0; i < n; i++) y[i] = softplus(y[i]);
        return 0;
    case LINK_RELU:
        relu(y, n);
        return 0;
    case LINK_LINEAR:
        return linear_hold(y, n);
    }
    return 0;
}
