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
#include "latentd/leave.h"
#include "latentd/stream.h"
#include "latentd/zap.h"

#define DAEMON_MOST_STREAMS (2 * CONF_MAX_STREAMS) /* those that come beside those that leave */

struct daemon {
    struct conf conf; /* in force; from daemon_open on each stream has its section itself */
    struct conf read; /* the file as it was read last: what "auto" means is not filled in */
    struct access access;
    struct stream *streams[DAEMON_MOST_STREAMS];  /* [n_streams] */
    struct data_loop *loops[DAEMON_MOST_STREAMS]; /* [n_loops] */
    size_t n_streams, n_loops;
    void *data_context; /* ZeroMQ, of the inputs */
    struct zap zap;     /* of that context */
    struct outputs outputs;
    struct zap output_zap;     /* of their context */
    struct held held;          /* the operator's SAFE */
    struct lateness *lateness; /* while the data loops run */
    struct notes notes;
    uint64_t t_start_ns;
    bool is_reloading;
    struct leave *leave;     /* of the newest reload, until they are closed; NULL: none */
    struct changes *changes; /* of the newest reload; NULL: none yet */
};

/* Read the configuration and open every model. Problems go to stderr, all of them; the exit code of
 * the program says which kind is the worst. */
enum program_exit daemon_configure(struct daemon *d, const char *path);
/* Try the models for speed and open the sockets of the data. 0, or negative and a text. */
int daemon_open(struct daemon *d, struct latent_error *err);
/* Start the data threads and lock memory. 0, or negative and a text. */
int daemon_start(struct daemon *d, struct latent_error *err);
/* Streams [n] that are open, with sections of their own, become d's: loops and sockets for them,
 * which no other stream has, and they run. 0; or negative and a text: all of these streams are
 * closed, and d is as before. */
int daemon_join(struct daemon *d, struct stream *const *streams, size_t n,
                struct latent_error *err);
/* What is to leave begins to: its streams and data loops are d's no longer, and whoever asks for
 * them by name finds none. NULL is allowed. */
void daemon_part(struct daemon *d, struct leave *leave);
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
