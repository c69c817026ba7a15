/* Parts of a message arrive together: only the first can be missing. */
#include "net/message.h"

#include <assert.h>
#include <string.h>

/* One part into its place, or into nothing. */
static int part_receive(struct message *m, void *socket, size_t most, int flags, bool *has_more)
{
    zmq_msg_t part;

    zmq_msg_init(&part);
    if (zmq_msg_recv(&part, socket, flags) < 0) {
        zmq_msg_close(&part);
        return -1;
    }
    *has_more = zmq_msg_more(&part);
    if (m->n_parts < most) {
        zmq_msg_init(&m->part[m->n_parts]);
        zmq_msg_move(&m->part[m->n_parts++], &part);
    } else {
        m->n_surplus++;
    }
    zmq_msg_close(&part);
    return 0;
}

int message_receive(struct message *m, void *socket, size_t most, int flags)
{
    bool has_more = false;

    assert(most <= MESSAGE_MAX_PARTS);
    m->n_parts = m->n_surplus = 0;
    if (part_receive(m, socket, most, flags, &has_more)) return -1;
    while (has_more && part_receive(m, socket, most, ZMQ_DONTWAIT, &has_more) == 0) {
    }
    return 0;
}

void message_close(struct message *m)
{
    for (size_t i = 0; i < m->n_parts; i++) zmq_msg_close(&m->part[i]);
    m->n_parts = 0;
}

bool message_part_is(struct message *m, size_t i, const void *bytes, size_t n)
{
    return i < m->n_parts && zmq_msg_size(&m->part[i]) == n &&
           memcmp(zmq_msg_data(&m->part[i]), bytes, n) == 0;
}
