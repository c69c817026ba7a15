/* Payload by payload, at the distances in time at which they had come. */
#include "latent-replay/resend.h"

#include <stdio.h>

#include "base/text.h"
#include "command/stop.h"
#include "record/reading.h"

static int send_all(struct reading *r, struct source *source, uint64_t *n_sent,
                    struct latent_error *err)
{
    uint64_t start_ns = source_status(source)->start_ns, first_ns = 0;
    struct reading_entry e;
    int status = 0;

    while (!status && reading_next_entry(r, &e)) {
        if (e.event.kind != LINE_MESSAGE) continue;
        if (*n_sent == 0) first_ns = e.event.t_ns;
        status = source_send(source, e.event.bytes, e.event.n_bytes,
                             start_ns + e.event.t_ns - first_ns, err);
        *n_sent += status == 0;
    }
    return status ? status : reading_check(r, err);
}

int resend_run(const char *record, const struct source_options *options, struct latent_error *err)
{
    struct source_options o = *options;
    struct source *source = NULL;
    struct reading *r;
    uint64_t n_sent = 0;
    int status = reading_open(&r, record, err);

    if (status) return status;
    stop_install();
    o.n_channels = (uint32_t)reading_whole(r, "n_channels");
    o.bin_width_us = (uint32_t)reading_whole(r, "bin_width_us");
    status = source_open(&source, &o, err);
    if (!status) status = send_all(r, source, &n_sent, err);
    if (status >= 0)
        printf("%s: %s: %llu messages sent\n", o.program, o.stream, (unsigned long long)n_sent);
    if (status >= 0) reading_say_missing(r, record, stderr);
    source_close(source);
    reading_close(r);
    return status == SOURCE_STOPPED ? 0 : status;
}
