/* The assembled daemon: configuration, streams, data loops, control. Opened in this
 * order, closed in reverse. */
#ifndef LATENTD_DAEMON_H
#define LATENTD_DAEMON_H

#include "base/notes.h"
#include "command/options.h"
#include "conf/conf.h"
#include "latentd/change.h"
#include "latentd/data_loop.h"
#include "latentd/held.h"
#include "latentd/lateness.h"
#include "latentd/stream.h"
#include "latentd/zap.h"

#define DAEMON_SPARE_PLACES 16 /* for streams that come while it runs */

struct daemon {
    struct conf conf; /* in force */
    struct conf read; /* the file as it was read last: what "auto" means is not filled in */
    struct access access;
    /* None of them moves while latentd runs: those that come do so behind the others. */
    struct stream *streams; /* [n_streams] of n_places; so are the sections of conf */
    size_t n_streams, n_places;
    struct stream **by_loop; /* [n_streams] of n_places, grouped by data loop */
    struct data_loop *loops; /* [n_loops] of n_places */
    size_t n_loops;
    void *data_context; /* ZeroMQ, of the inputs */
    struct zap zap;     /* of that context */
    struct outputs outputs;
    struct zap output_zap;     /* of their context */
    struct held held;          /* the operator's SAFE */
    struct lateness *lateness; /* while the data loops run */
    struct notes notes;
    uint64_t t_start_ns;
    bool is_reloading;
    struct changes *changes; /* of the newest reload; NULL: none yet */
};

/* Read the configuration and open every model. Problems go to stderr, all of them; the exit code of
 * the program says which kind is the worst. */
enum program_exit daemon_configure(struct daemon *d, const char *path);
/* Try the models for speed and open the sockets of the data. 0, or negative and a text. */
int daemon_open(struct daemon *d, struct latent_error *err);
/* Start the data threads and lock memory. 0, or negative and a text. */
int daemon_start(struct daemon *d, struct latent_error *err);
/* The n_new streams behind d's own, and their sections behind those of d->conf, are open: loops and
 * sockets for them, which no other stream has, and they run. 0; or negative and a text: all of
 * these streams are closed, and d is as before. */
int daemon_join(struct daemon *d, size_t n_new, struct latent_error *err);
/* Order every data thread to lead its streams to SAFE and to end. */
void daemon_post_stop(struct daemon *d);
/* Wait until they have: the ramps of all loops run at once. What they counted goes to stderr, a
 * line per stream. */
void daemon_stop(struct daemon *d);
/* Everything but the configuration and the keys, which control may still need. */
void daemon_close(struct daemon *d);
void daemon_free(struct daemon *d); /* the rest */

struct stream *daemon_find_stream(struct daemon *d, const char *name);

#endif
