/* What was refused, in words: for the log and the status. The data threads only store numbers; the
 * control thread reads and says them. */
#ifndef LATENTD_REFUSALS_H
#define LATENTD_REFUSALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REFUSAL_TEXT 512
#define REFUSALS_MAX 13     /* kinds, of a stream */
#define INPUT_REMARKS_MAX 4 /* kinds, of an input */

struct stream;
struct input;

/* One kind of refusal. found, expected, epoch: 0 where it has no such numbers. */
struct refusal {
    const char *what; /* "channels", "bin_width_us", "bytes", "parts", "format", ... */
    uint64_t n;       /* messages, or bins */
    uint64_t found, expected, epoch;
    char text[REFUSAL_TEXT]; /* what was found, what is expected, what to do */
};

/* What was last said of a kind. */
struct refusal_said {
    uint64_t n, found, epoch, t_ns;
};

/* Is r to be said now? When it is new; then, while more comes, every minute, for another source
 * or another number after 10 seconds. If so, said is brought up to date. */
bool refusal_is_due(struct refusal_said *said, const struct refusal *r, uint64_t now_ns);

/* Those that there are, of a stream and of an input; their number. The kind of out[i] is its place
 * in `said`, kind[i]. Of an input: messages for names that are no stream here; peers that left in
 * the handshake, as those with another kind of socket do; a source that is connected while nothing
 * comes from it. */
size_t refusals_of_stream(const struct stream *s, struct refusal out[REFUSALS_MAX],
                          size_t kind[REFUSALS_MAX]);
size_t refusals_of_input(const struct input *in, uint64_t now_ns,
                         struct refusal out[INPUT_REMARKS_MAX], size_t kind[INPUT_REMARKS_MAX]);
/* Those that are due, to stderr. */
void refusals_say_stream(struct stream *s, uint64_t now_ns);
void refusals_say_input(struct input *in, uint64_t now_ns);

#endif
