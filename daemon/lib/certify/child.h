/* A latentd of our own, on a copy of somebody's configuration: other endpoints of the same
 * transports, keys made for it, no record. */
#ifndef CERTIFY_CHILD_H
#define CERTIFY_CHILD_H

#include <sys/types.h>

#include "conf/conf.h"

#define CHILD_FOLDER 72
#define CHILD_FILE 96 /* a file in it; the path of a socket may have 107 bytes */
#define CHILD_ENDPOINT 104

struct child {
    char folder[CHILD_FOLDER]; /* of its own, removed by child_stop */
    pid_t pid;
    int ready_fd;
    bool encrypts; /* then these are files: a client's own keys, and whom it talks to */
    char key[CHILD_FILE], server_key[CHILD_FILE];
    struct child_stream {
        char input[CHILD_ENDPOINT], output[CHILD_ENDPOINT];
    } * streams; /* in the order of the configuration */
};

/* Start it on a copy of the configuration at path and wait until it decodes. child_stop is due in
 * both cases. 0, or negative and a text with what it said. */
int child_start(struct child *child, const char *path, struct latent_error *err);
void child_stop(struct child *child);

#endif
