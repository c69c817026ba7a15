/* The record of one stream: a tap in the data thread, a ring, and a thread that writes the file.
 * The control thread owns it; nothing it does waits for the disk, but for recorder_wait and
 * recorder_close, which wait as long as they are told. */
#ifndef RECORD_RECORDER_H
#define RECORD_RECORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "line/line.h"
#include "record/store.h"
#include "why/explain.h"

enum recorder_state {
    RECORDER_OPENING, /* the file is being made; the ring already fills */
    RECORDER_RECORDING,
    RECORDER_THINNED, /* the disk does not keep up: frames without their bytes, or gaps */
    RECORDER_STOPPED, /* as asked; the file is complete */
    RECORDER_DISK_FULL,
    RECORDER_FAILED,
    RECORDER_N_STATES,
};
/* "recording", ..., "stopped: disk full" */
const char *recorder_state_name(enum recorder_state state);

struct recorder_options {
    const char *path;    /* of a file that does not exist */
    uint64_t sync_ns;    /* what the end of the process may cost at most */
    size_t buffer_bytes; /* of the ring; enlarged if too small for the line */
    uint64_t wal_bytes;  /* of a -wal that readers keep from being folded in: above it the record
                          * goes on in another file; 0: STORE_WAL_BYTES */
};

struct recorder_status {
    enum recorder_state state;
    char path[4096];              /* of the newest file */
    char text[LATENT_ERROR_TEXT]; /* what the system said when it ended, or why it goes on in
                                   * another file; "" */
    uint64_t n_files;
    uint64_t n_bytes, wal_bytes;  /* on the disk, of all files; of the newest -wal */
    uint64_t n_entries, n_frames; /* committed, and there to be read */
    uint64_t n_thinned, n_gaps;
    uint64_t n_lost, lost_frames; /* in gaps, in files that are gone, and since none is written */
    uint64_t buffer_used, buffer_bytes;
};

struct recorder;

/* Take the memory and start the thread. What about points to must outlive the recorder. 0, or
 * negative and a text. */
int recorder_open(struct recorder **out, const struct recorder_options *options,
                  const struct store_about *about, const struct line *line,
                  struct latent_error *err);
/* For line_add_tap. */
struct line_tap recorder_tap(struct recorder *r);
/* A late bin of the line and what it waited for, for the file. false: out of memory. */
bool recorder_tell_late(struct recorder *r, const struct why_bin *b);
/* The data thread does not use the tap any more. Any thread. */
void recorder_detached(struct recorder *r);
/* Write what is left as soon as the tap is detached, then close the file. */
void recorder_finish(struct recorder *r);
/* Is there room for snapshots of its line with this decoder in use? A promotion for which there is
 * none would end in a gap that nothing follows. */
bool recorder_takes(const struct recorder *r, const struct line_decoder *next);
/* Does the file still take what comes? */
bool recorder_is_on(struct recorder *r);
/* Until the state is not OPENING, or until the file is closed and the tap detached. false: the time
 * is over. */
bool recorder_wait_open(struct recorder *r, uint64_t timeout_ns);
bool recorder_wait_end(struct recorder *r, uint64_t timeout_ns);
bool recorder_has_ended(struct recorder *r);
void recorder_read(struct recorder *r, struct recorder_status *out);
/* After recorder_wait_end said true, or to leave a thread behind that the disk holds: false is
 * returned then, and the memory is not freed. NULL is allowed. */
bool recorder_close(struct recorder *r, uint64_t timeout_ns);

#endif
