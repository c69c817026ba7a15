/* Numbers of devices and clocks, and what they are worth. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "certify/network.h"

#define MOST_OFFSET_S 1e-3
#define MOST_SKEW_PPM 10.0
#define TRACKING_FIELDS 14

enum verdict coalescing_judge(const struct coalescing *c, char *text, size_t n_text)
{
    bool waits = c->rx_us > 0 || c->rx_frames > 1;

    if (!c->is_told) {
        snprintf(text, n_text, "its driver does not tell");
        return VERDICT_UNKNOWN;
    }
    if (c->adapts)
        snprintf(text, n_text, "adaptive, now %u us or %u frames", c->rx_us, c->rx_frames);
    else if (waits)
        snprintf(text, n_text, "%u us or %u frames", c->rx_us, c->rx_frames);
    else
        snprintf(text, n_text, "0 us");
    return c->adapts || waits ? VERDICT_WARN : VERDICT_OK;
}

static void take_word(char *to, size_t n, const char *field)
{
    snprintf(to, n, "%s", field);
    to[strcspn(to, "\r\n")] = '\0';
}

/* ID, name, stratum, time, offset of the system, last, rms, frequency, residual, skew, root delay,
 * root dispersion, interval, leap. */
bool tracking_read(const char *line, struct tracking *out)
{
    char copy[512], *field[TRACKING_FIELDS], *rest = copy;
    size_t n = 0;

    snprintf(copy, sizeof copy, "%s", line);
    while (n < TRACKING_FIELDS && (field[n] = strsep(&rest, ","))) n++;
    if (n < TRACKING_FIELDS) return false;
    *out = (struct tracking){.stratum = (unsigned)strtoul(field[2], NULL, 10),
                             .offset_s = strtod(field[4], NULL),
                             .frequency_ppm = strtod(field[7], NULL),
                             .skew_ppm = strtod(field[9], NULL),
                             .root_dispersion_s = strtod(field[11], NULL)};
    take_word(out->source, sizeof out->source, field[1][0] ? field[1] : field[0]);
    take_word(out->leap, sizeof out->leap, field[13]);
    return true;
}

enum verdict tracking_judge(const struct tracking *t, char *text, size_t n_text)
{
    if (strcmp(t->leap, "Not synchronised") == 0) {
        snprintf(text, n_text, "not synchronised");
        return VERDICT_WARN;
    }
    snprintf(text, n_text,
             "%s, stratum %u: offset %.3g ms, %.3f ppm within %.3g, dispersion %.3g ms", t->source,
             t->stratum, t->offset_s * 1e3, t->frequency_ppm, t->skew_ppm,
             t->root_dispersion_s * 1e3);
    return fabs(t->offset_s) > MOST_OFFSET_S || t->skew_ppm > MOST_SKEW_PPM ? VERDICT_WARN
                                                                            : VERDICT_OK;
}
