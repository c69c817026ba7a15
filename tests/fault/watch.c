/* A consumer of the C client for the fault rows; watch.py is the same in Python, and
 * says what a line holds. */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "client.h"

#define LOOK_MS 5

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void print_look(uint64_t before_ns, const struct wire_frame *f,
                       const struct latent_client_readout *r)
{
    printf("%" PRIu64 " %" PRIu64 " %" PRIu64 " %d", before_ns, f->t_publish_ns, f->valid_for_ns,
           r->reason != NULL);
    for (uint32_t i = 0; i < r->n; i++) printf(" %.9g", (double)r->values[i]);
    printf(" | %s\n", r->reason ? r->reason : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    struct wire_frame frame = {0};
    struct latent_client_readout readout;
    struct latent_error error;
    latent_client *client;

    if (argc != 3 || latent_client_open(&client, argv[1], argv[2], &error)) return 2;
    for (;;) {
        uint64_t before_ns = now_ns();

        latent_client_poll(client, 0, &frame);
        if (latent_client_readout(client, &readout)) print_look(before_ns, &frame, &readout);
        nanosleep(&pause, NULL);
    }
}
