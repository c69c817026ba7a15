/* Names and numbers of a record, side by side. */
#include "latentd/record_status.h"

#include <stdint.h>

static void fill_counts(struct record_status *b)
{
    const struct recorder_status *r = &b->recorder;
    const struct {
        const char *name;
        uint64_t value;
    } counts[RECORD_STATUS_COUNTS] = {{"files", r->n_files},
                                      {"bytes", r->n_bytes},
                                      {"wal_bytes", r->wal_bytes},
                                      {"entries", r->n_entries},
                                      {"frames", r->n_frames},
                                      {"thinned", r->n_thinned},
                                      {"lost_entries", r->n_lost},
                                      {"lost_frames", r->lost_frames},
                                      {"gaps", r->n_gaps},
                                      {"buffer_used", r->buffer_used},
                                      {"buffer_bytes", r->buffer_bytes}};

    for (size_t i = 0; i < RECORD_STATUS_COUNTS; i++) {
        latent__v1__counter__init(&b->counter[i]);
        b->counter[i].name = (char *)(uintptr_t)counts[i].name;
        b->counter[i].value = counts[i].value;
        b->counters[i] = &b->counter[i];
    }
    b->message.n_counts = RECORD_STATUS_COUNTS;
    b->message.counts = b->counters;
}

Latent__V1__RecordStatus *record_status_fill(struct record_status *b, const struct stream *s)
{
    if (!recording_read(&s->recording, &b->recorder)) return NULL;
    latent__v1__record_status__init(&b->message);
    b->message.state = (char *)(uintptr_t)recorder_state_name(b->recorder.state);
    b->message.path = b->recorder.path;
    b->message.text = b->recorder.text;
    fill_counts(b);
    return &b->message;
}
