/* A message of several parts, received as a whole. */
#ifndef NET_MESSAGE_H
#define NET_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#define MESSAGE_MAX_PARTS 7

struct message {
    zmq_msg_t part[MESSAGE_MAX_PARTS];
    size_t n_parts;   /* kept */
    size_t n_surplus; /* came beyond those asked for, and were dropped */
};

/* Takes a message with all its parts, so that the next one starts with its first; the first `most`
 * parts, at most MESSAGE_MAX_PARTS, are kept. flags: 0 waits, as long as the socket allows;
 * ZMQ_DONTWAIT. 0, or -1 and errno when there is none. message_close is due after 0. It may be
 * copied as a struct; one of the copies is closed. */
int message_receive(struct message *m, void *socket, size_t most, int flags);
void message_close(struct message *m);
/* Is this part, which may be missing, exactly these bytes? */
bool message_part_is(struct message *m, size_t i, const void *bytes, size_t n);

#endif
