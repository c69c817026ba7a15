/* Frames as lines of text, so that a test can say what a consumer sees, bin by bin. */
#ifndef LINE_TRACE_H
#define LINE_TRACE_H

#include "line_fixture.h"

/* The kalman of model_maker without a slew limit: with every channel at c,
 * s0' = s0 / 2 + c + 1/2 and the readout is 2 s0 + 1, its neutral value 0. Predicted
 * with a training mean of 1 in the channel that s0 sees. */
struct model_parts trace_model(void);
/* Bins of 20 ms; frames valid for 60 ms, missing after 60 ms, lease 200 ms, ramp 100
 * ms, three good bins end SAFE. */
struct line_options trace_options(void);
/* Frames from number `from` on, one text each: milliseconds since the start, sequence
 * number, flags, "l" first latent, "r" first readout, - for what is absent. */
#define assert_trace(l, from, ...) \
    trace_check(l, from, (const char *const[]){__VA_ARGS__, NULL}, __FILE__, __LINE__)
void trace_check(const struct rig *l, size_t from, const char *const *expected, const char *file,
                 int line);

#endif
