/* Times become bins here, policies of the configuration those of core and line. */
#include "setup/setup.h"

/* In a record of an earlier version, or written by hand, it may not be settled. */
static enum line_on_gap on_gap_of(const struct conf_stream *v)
{
    return v->on_gap == CONF_AUTO ? ON_GAP_PREDICT : (enum line_on_gap)v->on_gap;
}

/* What comes is judged by the line, which fills gaps with means, and those are no counts. */
struct latent_options setup_decoder(const struct conf_stream *v)
{
    return (struct latent_options){.any_finite = 1,
                                   .mode = v->mode,
                                   .precision = v->precision,
                                   .session = v->session,
                                   .groups = v->outputs,
                                   .predicts = on_gap_of(v) == ON_GAP_PREDICT ||
                                               v->on_missing == ON_MISSING_PREDICT};
}

static struct line_policy setup_policy(const struct conf_stream *v)
{
    return (struct line_policy){.on_gap = on_gap_of(v),
                                .on_late = (enum line_on_late)v->on_late,
                                .on_missing = (enum line_on_missing)v->on_missing,
                                .on_silent = v->contract > 1 ? (enum line_on_silent)v->on_silent
                                                             : ON_SILENT_OFF,
                                .missing_after_ns = v->missing_after_ns,
                                .lease_ns = v->lease_ns,
                                .max_age_ns = v->publish_late ? 0 : v->max_age_ns,
                                .safe_ramp_ns = v->safe_ramp_ns,
                                .safe_exit_bins = v->safe_exit,
                                .safe_start = v->safe_start && v->contract > 1,
                                .max_masked = v->max_masked};
}

/* Gaps that are filled are no jumps. */
static uint64_t setup_jump(const struct conf_stream *v, uint32_t bin_width_us)
{
    uint64_t gap_ns = v->max_gap_ns, jump_ns = v->max_jump_ns;

    if (v->contract == 1 || jump_ns == 0) return 0;
    return conf_bins(jump_ns > gap_ns ? jump_ns : gap_ns, bin_width_us);
}

struct line_options setup_line(const struct conf_stream_section *section,
                               const struct latent_info *info, uint64_t clock_id)
{
    const struct conf_stream *v = &section->values;

    return (struct line_options){
        .name = section->name,
        .sequence = {.window_bins = v->reorder_window,
                     .max_gap_bins = conf_bins(v->max_gap_ns, info->bin_width_us)},
        .max_jump_bins = setup_jump(v, info->bin_width_us),
        .budget_ns = v->budget_ns,
        .valid_for_ns = v->valid_for_ns,
        .clock_id = clock_id,
        .source_clock =
            v->contract > 1 ? (enum line_source_clock)v->source_clock : SOURCE_CLOCK_OFF,
        .min_delay_ns = (uint64_t)v->min_delay_us * 1000,
        .policy = setup_policy(v),
        .contract = v->contract,
        .send_readout = (v->outputs & LATENT_GROUP_READOUT) != 0};
}
