/* Payload by payload, at the distances in time at which they had come. */
#include "latent-replay/resend.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/text.h"
#include "command/stop.h"
#include "record/reading.h"
#include "wire.h"

/* 0: not to be read, as latentd could not read it. */
static uint64_t epoch_of(struct wire_arena *arena, const struct line_event *e)
{
    struct wire_bins bins = {0};

    if (e->n_bytes > WIRE_MAX_BYTES) return 0;
    wire_unpack_bins(arena, e->bytes, e->n_bytes, &bins);
    return bins.epoch;
}

/* The bins are not of now, so their times are not those of this machine's clock. */
static int send(struct source *source, const struct line_event *e, uint64_t due_ns,
                struct wire_arena *arena, uint8_t *message, struct latent_error *err)
{
    size_t n;

    if (e->n_bytes > WIRE_MAX_BYTES)
        return source_send(source, e->bytes, e->n_bytes, 0, due_ns, err);
    n = wire_drop_clock_id(e->bytes, e->n_bytes, message);
    return source_send(source, message, n, epoch_of(arena, e), due_ns, err);
}

static int send_all(struct reading *r, struct source *source, struct wire_arena *arena,
                    uint8_t *message, uint64_t *n_sent, struct latent_error *err)
{
    uint64_t start_ns = source_status(source)->start_ns, first_ns = 0;
    struct reading_entry e;
    int status = 0;

    while (!status && reading_next_entry(r, &e)) {
        if (e.event.kind != LINE_MESSAGE) continue;
        if (*n_sent == 0) first_ns = e.event.t_ns;
        status = send(source, &e.event, start_ns + e.event.t_ns - first_ns, arena, message, err);
        *n_sent += status == 0;
    }
    return status ? status : reading_check(r, err);
}

int resend_run(const char *record, const struct source_options *options, struct latent_error *err)
{
    struct source_options o = *options;
    struct source *source = NULL;
    struct wire_arena arena = {.size = WIRE_ARENA_BASE + 4 * WIRE_MAX_BYTES};
    struct reading *r;
    uint64_t n_sent = 0;
    uint8_t *message = NULL;
    int status = reading_open(&r, record, err);

    if (status) return status;
    message = malloc(WIRE_MAX_BYTES);
    stop_install();
    o.n_channels = (uint32_t)reading_whole(r, "n_channels");
    o.bin_width_us = (uint32_t)reading_whole(r, "bin_width_us");
    o.input = reading_text(r, "input");
    arena.bytes = aligned_alloc(16, arena.size);
    status = arena.bytes && message ? source_open(&source, &o, err)
                                    : error_text(err, LATENT_E_NOMEM, "out of memory");
    if (!status) status = send_all(r, source, &arena, message, &n_sent, err);
    if (status >= 0)
        printf("%s: %s: %llu messages sent\n", o.program, o.stream, (unsigned long long)n_sent);
    fflush(stdout); /* it may stay a while */
    if (status >= 0 && !stop_requested()) status = source_check_taken(source, err);
    if (status >= 0) reading_say_missing(r, record, stderr);
    source_close(source);
    free(arena.bytes);
    free(message);
    reading_close(r);
    return status == SOURCE_STOPPED ? 0 : status;
}
