/* Streams that a reload brings: opened and tried off the data threads, in libuv's pool, then run on
 * data loops of their own. No loop that runs is touched. */
#ifndef LATENTD_JOIN_H
#define LATENTD_JOIN_H

#include <stdbool.h>

#include "base/notes.h"
#include "conf/conf.h"

#define JOIN_TEXT 600

struct daemon;
struct stream;

struct join {
    struct conf conf;                         /* the file once more, for their sections */
    struct stream *streams[CONF_MAX_STREAMS]; /* [n_new], open */
    size_t n_new;
    struct notes notes; /* of them */
    char why[JOIN_TEXT];
    bool is_refused; /* and why; nothing is open then */
};

/* Open what fresh has and d has not. In the pool: of d only what stays the same is read. */
void join_open(struct join *j, struct daemon *d, const struct conf *fresh);
/* They run. 0; or -1 and j->why: they are closed, and d is as before. */
int join_start(struct join *j, struct daemon *d);
/* Also of one that was started, which goes on. */
void join_close(struct join *j);

#endif
