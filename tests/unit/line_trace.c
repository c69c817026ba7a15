/* Written out with %g: what is compared is what a reader can work out by hand. */
#include "line_trace.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START_NS 1000000000u /* of the fixture's clock */
#define MAX_TEXT 160

struct model_parts trace_model(void)
{
    static char config[2048];
    struct model_parts parts = maker_kalman();
    const char *slew = strstr(parts.config, "25.5");

    assert_non_null(slew);
    snprintf(config, sizeof config, "%.*snull%s", (int)(slew - parts.config), parts.config,
             slew + strlen("25.5"));
    parts.config = config;
    return parts;
}

struct line_options trace_options(void)
{
    struct line_options options = rig_options();

    options.policy = (struct line_policy){.missing_after_ns = 60000000,
                                          .lease_ns = 200000000,
                                          .max_age_ns = 40000000,
                                          .safe_ramp_ns = 100000000,
                                          .safe_exit_bins = 3,
                                          .on_silent = ON_SILENT_OFF};
    return options;
}

static void print_flags(uint32_t flags, char *text, size_t n_text)
{
    size_t used = 0;

    snprintf(text, n_text, "-");
    flags &= ~(uint32_t)LATENT_AGE_UNKNOWN;
    for (unsigned bit = 0; bit < LATENT_N_FLAGS; bit++)
        if (flags & 1u << bit)
            used += (size_t)snprintf(text + used, n_text - used, "%s%s", used ? "," : "",
                                     latent_flag_name(bit));
}

static void print_value(char name, const float *values, uint32_t n, char *text, size_t n_text)
{
    if (n)
        snprintf(text, n_text, "%c %.6g", name, (double)values[0]);
    else
        snprintf(text, n_text, "%c -", name);
}

static void print_frame(const struct kept_frame *k, char *text, size_t n_text)
{
    char flags[MAX_TEXT / 2], latent[32], readout[32];
    const struct wire_frame *f = &k->frame;

    print_flags(f->values.flags, flags, sizeof flags);
    print_value('l', k->latents, f->values.n_latents, latent, sizeof latent);
    print_value('r', k->readout, f->values.n_readout, readout, sizeof readout);
    snprintf(text, n_text, "%g: %" PRIu64 " %s %s %s", (double)(f->t_publish_ns - START_NS) / 1e6,
             f->seq, flags, latent, readout);
}

void trace_check(const struct rig *l, size_t from, const char *const *expected, const char *file,
                 int line)
{
    char text[MAX_TEXT];
    size_t n = 0;

    for (; expected[n]; n++) {
        if (from + n >= l->n_frames)
            fail_msg("%s:%d: no frame %zu; expected %s", file, line, n, expected[n]);
        print_frame(&l->frames[from + n], text, sizeof text);
        if (strcmp(text, expected[n]) != 0)
            fail_msg("%s:%d: frame %zu is\n  %s, expected\n  %s", file, line, n, text, expected[n]);
    }
    if (from + n == l->n_frames) return;
    print_frame(&l->frames[from + n], text, sizeof text);
    fail_msg("%s:%d: one frame too many: %s", file, line, text);
}
