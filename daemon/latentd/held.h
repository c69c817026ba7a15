/* The operator's SAFE is kept in a file, so that no end of the daemon lifts it: what he asked for
 * last holds again after the next start. The file is written in libuv's pool; all else here
 * belongs to the control thread, and none of it waits for the disk. */
#ifndef LATENTD_HELD_H
#define LATENTD_HELD_H

#include <uv.h>

#include "base/notes.h"
#include "latentd/held_file.h"

#define HELD_MOMENT_NS 500000000u /* that an answer waits for the disk, once the order is done */
#define HELD_TEXT 400

struct held {
    char *path;
    struct held_names on;          /* streams that are held */
    bool is_unreadable;            /* any stream may be held */
    struct held_names others;      /* held, but not configured now: they stay in the file */
    uv_loop_t *loop;               /* of the control thread */
    uint64_t n_changes, n_settled; /* asked for; so many of them were written, or failed */
    struct latent_error err;       /* of the last writing; status 0: it is on the disk */
    bool is_writing, is_late_said;

    /* Of the pool's thread while one is. */
    uv_work_t work;
    struct held_names names;
    uint64_t n_writing;
    struct latent_error err_writing;
};

enum held_state { HELD_OWED, HELD_KEPT, HELD_NOT_KEPT };

/* Read what an earlier daemon kept of the streams of conf. What cannot be read holds every
 * stream; that, and a folder that cannot be written, becomes a note. */
void held_open(struct held *h, const struct conf *conf, struct notes *notes);
void held_close(struct held *h);
bool held_is_on(const struct held *h, const char *name);
/* A stream has come: what was kept of its name holds again. */
void held_join(struct held *h, const char *name);
/* Of so many held streams that go the names can be kept. */
size_t held_room(const struct held *h);
/* A stream has gone: what holds of its name is kept. */
void held_leave(struct held *h, const char *name);

/* The operator changed what holds for a stream; writing begins in h->loop. -> number of the
 * change. */
uint64_t held_set(struct held *h, const char *name, bool on);
/* Is the change in the file? HELD_OWED: not yet, for less than HELD_MOMENT_NS since t_ns. Else a
 * text of why not. */
enum held_state held_look(struct held *h, uint64_t change, uint64_t t_ns, uint64_t now_ns,
                          char text[HELD_TEXT]);
/* Of a stream, for the status: empty when it is not held. */
void held_tell(const struct held *h, const char *name, char text[HELD_TEXT]);
/* From time to time: what could not be written is tried again. */
void held_retry(struct held *h);
bool held_is_writing(const struct held *h);

#endif
