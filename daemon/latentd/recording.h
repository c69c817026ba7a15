/* Recording a stream: from the wish of the configuration or the operator to the tap at
 * its line, and back. All but recording_serve belongs to the control thread. */
#ifndef LATENTD_RECORDING_H
#define LATENTD_RECORDING_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/notes.h"
#include "latent.h"
#include "record/recorder.h"

struct conf;
struct stream;

struct recording {
    struct recorder *recorder; /* the newest, at work or ended; NULL: never any */
    bool is_let_go;
    char *config;                                /* text for its file */
    _Atomic(struct recorder *) wanted, unwanted; /* asked of the data loop */
    struct recorder *tapped;                     /* of the data loop */
};

/* Is there a folder for the record that the configuration asks for? Else a problem of
 * c, and false. */
bool recording_check(struct conf *c, const struct stream *s);
/* Before the data loop runs: record as configured, if so. What keeps it from recording
 * becomes a note: a stream does not depend on its record. */
void recording_start_configured(struct stream *s, struct notes *notes);

/* By the operator; dry_run: only look. 0, or negative; the text says how it went. Waits
 * for the disk a moment at most. */
int recording_start(struct stream *s, const char *path, bool dry_run, struct latent_error *err);
int recording_stop(struct stream *s, bool dry_run, struct latent_error *err);
/* false: there is no record to tell of. */
bool recording_read(const struct stream *s, struct recorder_status *out);

/* The data loop, between two entries: take up what is wanted. */
void recording_serve(struct stream *s);

/* When the data loop has ended. false: the disk holds the recorder, which is left
 * behind with all that it uses. */
bool recording_close(struct stream *s);

#endif
