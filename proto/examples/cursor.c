/* The readout of a stream, printed as it comes: neutral, with the reason, when there is nothing
 * fresh. Ctrl-C ends it.
 *
 *   example_cursor tcp://127.0.0.1:5571 reach */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

#include "client.h"

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

static void print_readout(const struct latent_client_readout *cursor)
{
    for (uint32_t i = 0; i < cursor->n; i++)
        printf("%s %.2f %s  ", cursor->fields[i].name, (double)cursor->values[i],
               cursor->fields[i].unit);
    printf("%s\n", cursor->reason ? cursor->reason : "");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct latent_client_readout cursor;
    struct latent_client_counts counts;
    struct latent_error error;
    struct wire_frame frame;
    latent_client *client;

    if (argc != 3) {
        fprintf(stderr, "usage: %s ENDPOINT STREAM\n", argv[0]);
        return 2;
    }
    if (latent_client_open(&client, argv[1], argv[2], &error)) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    while (!stopped) {
        latent_client_poll(client, 100, &frame);
        if (latent_client_readout(client, &cursor)) print_readout(&cursor);
    }
    counts = latent_client_counts(client);
    printf("frames %" PRIu64 ", lost %" PRIu64 "\n", counts.received, counts.lost);
    latent_client_close(client);
    return 0;
}
