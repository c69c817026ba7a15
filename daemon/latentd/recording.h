/* Recording a stream: its recorder, and the orders that give it a tap of the line and take the tap
 * away. All of it belongs to the control thread. */
#ifndef LATENTD_RECORDING_H
#define LATENTD_RECORDING_H

#include <stdbool.h>

#include "base/notes.h"
#include "conf/conf.h"
#include "feed/orders.h"
#include "latent.h"
#include "record/recorder.h"

#define RECORDING_MAX_PATH 4096
#define RECORDING_MOMENT_NS 500000000u /* that an answer waits for the disk */

/* Where the stream's events come from, and what its record is to say about it. */
struct recording_of {
    const struct conf *conf;
    const struct conf_stream_section *section;
    struct store_about
        about; /* of the decoder in use; what it points to must last (recording_needs) */
    const struct line *line;
    struct orders *orders;
    size_t place; /* of the line among those of orders */
};

struct recording {
    struct recording_of of;
    struct recorder *recorder; /* the newest, at work or ended; NULL: never any */
    struct order removal;      /* of its tap; number 0: not ordered */
    struct recorder *last;     /* the one before, until its file is closed */
    bool is_starting;          /* a request is at work on the next */
    bool is_held;              /* the decoder is about to change: none begins */
    /* What they are of, and with which decoder they began. */
    const struct latent_info *info_of_recorder, *info_of_last, *info_of_start;
};

/* What has become of a request. */
enum recording_answer {
    RECORDING_OWED,
    RECORDING_DONE,
    RECORDING_REFUSED,
    RECORDING_NOT_DONE, /* in time */
};

/* What is told about a request, whichever way it went. */
struct recording_told {
    char text[LATENT_ERROR_TEXT];
};

/* Fills told and returns answer. */
enum recording_answer recording_tell(struct recording_told *told, enum recording_answer answer,
                                     const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Is there a folder for the record that the configuration asks for? Else a problem of
 * c, and false. */
bool recording_check(struct conf *c, const struct conf_stream_section *section);
void recording_open(struct recording *r, const struct recording_of *of);
/* Another decoder is in use: what begins from now on says so. */
void recording_use(struct recording *r, const struct store_about *about);
/* Until it is let go, no record begins. */
void recording_hold(struct recording *r, bool on);
/* Has a record that is at work room for what a promotion brings? */
bool recording_takes(const struct recording *r, const struct line_decoder *next);
/* Does a record that is at work, or begins, point into what about points to? */
bool recording_needs(const struct recording *r, const struct store_about *about);
/* Before the data loop runs: record as configured, if so. What keeps it from recording
 * becomes a note: a stream does not depend on its record. */
void recording_start_configured(struct recording *r, struct notes *notes);
/* The same without waiting for the disk, whose answer the status has. */
void recording_start_joining(struct recording *r, struct notes *notes);

/* A recorder for a file that does not exist, without a tap yet. Any thread. 0, or negative and a
 * text. */
int recording_make(const struct recording_of *of, const char *path, struct recorder **out,
                   struct latent_error *err);
/* Could a record begin now? 0, or negative and a text. */
int recording_may_start(struct recording *r, struct latent_error *err);
/* The same of one that was made of `of`, which may be another decoder by now. */
int recording_may_begin(const struct recording *r, const struct recording_of *of,
                        struct latent_error *err);
/* recorder becomes the newest; the order for its tap is returned. What it was before is ended. */
struct order recording_begin(struct recording *r, struct recorder *recorder);
/* recorder gets no tap: it ends by itself. */
void recording_drop(struct recording *r, struct recorder *recorder);
/* How has the opening of the newest file gone? t_ns: when it began. */
enum recording_answer recording_look_open(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                          struct recording_told *told);

/* By the operator: end the newest record; dry_run: only look. Then look until it is not OWED; t_ns:
 * when it was asked for. The text says how it went. */
enum recording_answer recording_stop(struct recording *r, bool dry_run,
                                     struct recording_told *told);
enum recording_answer recording_look_end(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                         struct recording_told *told);
/* NOT_DONE and a text about an order that is owed for longer than the lease; else OWED. */
enum recording_answer recording_look_late(const struct recording *r, uint64_t t_ns, uint64_t now_ns,
                                          struct recording_told *told);

/* A late bin of the stream and what it waited for: into the record that is at work, if one is. */
void recording_tell_late(struct recording *r, const struct why_bin *b);
/* false: there is no record to tell of. */
bool recording_read(const struct recording *r, struct recorder_status *out);

/* When the data loop has ended. false: the disk holds a recorder, or the start of one, which is
 * left behind with all that it uses. */
bool recording_close(struct recording *r);

#endif
