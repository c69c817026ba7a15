/* What a reload makes of a stream that runs: its policies and its mask. All of it is made ready
 * first, and can be dropped then; what follows cannot fail. All of it belongs to the control
 * thread. */
#ifndef LATENTD_CHANGE_H
#define LATENTD_CHANGE_H

#include <stdbool.h>

#include "conf/conf.h"
#include "feed/orders.h"
#include "latentd/engine.h"

struct daemon;
struct stream;

/* One stream. */
struct change_stream {
    struct stream *stream;
    struct conf_stream_section section; /* what is in force after it */
    struct engine *in_use;
    struct engine_words *words, *words_of_other; /* NULL: they are taken, or there is none */
    uint8_t *mask;                               /* NULL: it stays */
};

struct changes {
    struct change_stream *streams; /* [n_streams], grouped by data loop */
    struct orders_change *orders;  /* [n_streams], likewise */
    struct order *posted;          /* [n_posted], one a loop */
    size_t n_streams, n_posted;
    uint64_t lease_ns; /* the longest of theirs: so long an answer waits */
};

/* What becomes of the streams for which is_changed [streams of d] says so, by the sections of
 * their names in fresh, which gets the problems that they have. 0; or -1 and why [n_why]: nothing
 * has been touched, *out is NULL. */
int changes_new(struct changes **out, struct daemon *d, struct conf *fresh, const bool *is_changed,
                char *why, size_t n_why);
/* Into force: for each data loop at once, between two steps of it. Orders are on their way, and c
 * must stay, until changes_are_owed is false. */
void changes_apply(struct changes *c);
/* Not carried out yet by every data thread? */
bool changes_are_owed(const struct changes *c);
void changes_free(struct changes *c); /* NULL is allowed */

#endif
