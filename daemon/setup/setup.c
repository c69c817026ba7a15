/* Times become bins here, policies of the configuration those of core and line. */
#include "setup/setup.h"

struct latent_options setup_decoder(const struct conf_stream *v)
{
    return (struct latent_options){.mode = v->mode,
                                   .precision = v->precision,
                                   .groups = v->outputs,
                                   .on_gap = v->on_gap == CONF_GAP_PREDICT
                                                 ? LATENT_GAP_PREDICT
                                                 : LATENT_GAP_RESET};
}

struct pipeline_options setup_line(const struct conf_stream_section *section,
                                   const struct latent_info *info, uint64_t clock_id)
{
    const struct conf_stream *v = &section->values;

    return (struct pipeline_options){
        .name = section->name,
        .sequence = {.window_bins = v->reorder_window,
                     .max_gap_bins = conf_bins(v->max_gap_ns, info->bin_width_us),
                     .fill = v->on_gap == CONF_GAP_PREDICT},
        .budget_ns = v->budget_ns,
        .valid_for_ns = v->valid_for_ns,
        .clock_id = clock_id,
        .send_readout = (v->outputs & LATENT_GROUP_READOUT) != 0};
}
