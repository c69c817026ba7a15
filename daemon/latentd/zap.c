/* RFC 27: a request for each handshake, seven parts, and its answer, six. libzmq itself
 * sends the requests; all the same nothing in them is believed. */
#include "latentd/zap.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "base/thread.h"
#include "net/message.h"

#define ENDPOINT "inproc://zeromq.zap.01"
#define VERSION "1.0"
#define MAX_PART 256 /* an identity has at most 255 bytes, a domain and an address less */
/* Whoever is refused may come again as often as he likes. */
#define LOG_PERIOD_NS UINT64_C(10000000000)

enum part {
    PART_VERSION,
    PART_ID,
    PART_DOMAIN,
    PART_ADDRESS,
    PART_IDENTITY,
    PART_MECHANISM,
    PART_KEY,
    N_PARTS
};

enum verdict { ACCEPTED, UNREADABLE, UNKNOWN_KEY, WRONG_ROLE };

/* ---- judging ---- */

static enum verdict judge(const struct access *a, struct message *m, enum access_door *door,
                          const struct access_client **client)
{
    *client = NULL;
    *door = ACCESS_N_DOORS;
    if (m->n_parts != N_PARTS || m->n_surplus) return UNREADABLE;
    for (size_t i = 0; i < N_PARTS; i++)
        if (zmq_msg_size(&m->part[i]) > MAX_PART) return UNREADABLE;
    if (!message_part_is(m, PART_VERSION, VERSION, strlen(VERSION)) ||
        !message_part_is(m, PART_MECHANISM, "CURVE", strlen("CURVE")) ||
        zmq_msg_size(&m->part[PART_KEY]) != KEY_BYTES)
        return UNREADABLE;
    *door =
        access_door_named(zmq_msg_data(&m->part[PART_DOMAIN]), zmq_msg_size(&m->part[PART_DOMAIN]));
    if (*door == ACCESS_N_DOORS) return UNREADABLE;
    *client = access_find_key(a, zmq_msg_data(&m->part[PART_KEY]));
    if (!*client) return UNKNOWN_KEY;
    return access_admits(*client, *door) ? ACCEPTED : WRONG_ROLE;
}

static void count(struct access *a, enum access_door door, enum verdict verdict)
{
    if (door == ACCESS_N_DOORS) return;
    atomic_fetch_add_explicit(verdict == ACCEPTED ? &a->n_accepted[door] : &a->n_refused[door], 1,
                              memory_order_relaxed);
}

/* ---- telling ---- */

/* The key and the address of a request that may be anything. */
static void strangers_name(struct message *m, char key[KEY_TEXT], char address[MAX_PART + 1])
{
    static const uint8_t no_key[KEY_BYTES];
    bool has_key = m->n_parts > PART_KEY && zmq_msg_size(&m->part[PART_KEY]) == KEY_BYTES;
    size_t n = m->n_parts > PART_ADDRESS ? zmq_msg_size(&m->part[PART_ADDRESS]) : 0;

    key_text(has_key ? zmq_msg_data(&m->part[PART_KEY]) : no_key, key);
    if (n > MAX_PART) n = MAX_PART;
    if (n > 0) memcpy(address, zmq_msg_data(&m->part[PART_ADDRESS]), n);
    address[n] = '\0';
}

static void tell(struct zap *z, struct message *m, enum access_door door, enum verdict verdict,
                 const struct access_client *client)
{
    static const char *const reasons[] = {[UNREADABLE] = "the request for it cannot be read",
                                          [UNKNOWN_KEY] = "no [client NAME] has it",
                                          [WRONG_ROLE] = "its roles do not allow it"};
    uint64_t now_ns = clock_now_ns();
    char key[KEY_TEXT], address[MAX_PART + 1];

    z->n_silent++;
    if (z->t_logged_ns && now_ns - z->t_logged_ns < LOG_PERIOD_NS) return;
    strangers_name(m, key, address);
    log_say(LOG_LEVEL_WARNING,
            "%s: refused key %s%s%s from %s: %s (%" PRIu64 " refused since the last such line)",
            door == ACCESS_N_DOORS ? "unknown" : access_door_name(door), key,
            client ? " of client " : "", client ? client->name : "", printable(address),
            reasons[verdict], z->n_silent);
    z->t_logged_ns = now_ns;
    z->n_silent = 0;
}

/* ---- answering ---- */

/* Its key goes with each of a client's messages, as their "User-Id": a name may get another key. */
static int reply(void *socket, struct message *m, const struct access_client *client)
{
    const char *user = client ? client->user : "";
    bool has_id = m->n_parts > PART_ID && zmq_msg_size(&m->part[PART_ID]) <= MAX_PART;
    const struct {
        const void *bytes;
        size_t n;
    } parts[] = {{VERSION, strlen(VERSION)},
                 {has_id ? zmq_msg_data(&m->part[PART_ID]) : NULL,
                  has_id ? zmq_msg_size(&m->part[PART_ID]) : 0},
                 {client ? "200" : "400", 3},
                 {client ? "OK" : "no access", client ? 2 : 9},
                 {user, strlen(user)},
                 {"", 0}};
    const size_t n_parts = sizeof parts / sizeof parts[0];

    for (size_t i = 0; i < n_parts; i++)
        if (zmq_send(socket, parts[i].bytes, parts[i].n,
                     ZMQ_DONTWAIT | (i + 1 < n_parts ? ZMQ_SNDMORE : 0)) < 0)
            return -1;
    return 0;
}

/* 0, or -1 and errno. */
static int serve_one(struct zap *z)
{
    const struct access_client *client;
    enum access_door door;
    enum verdict verdict;
    struct message m;
    int status;

    if (message_receive(&m, z->socket, N_PARTS, ZMQ_DONTWAIT)) return -1;
    verdict = judge(z->access, &m, &door, &client);
    count(z->access, door, verdict);
    if (verdict != ACCEPTED) tell(z, &m, door, verdict, client);
    status = reply(z->socket, &m, verdict == ACCEPTED ? client : NULL);
    message_close(&m);
    return status;
}

/* ---- the thread ---- */

/* Whoever has connected stays, nobody else comes in: an orderly end, with its SAFE
 * frames, is better than none. */
static void fail(struct zap *z)
{
    log_say(LOG_LEVEL_ERROR,
            "the handler that checks keys failed (%s): nobody can connect any more; stopping",
            zmq_strerror(errno));
    atomic_store(&z->access->handler_failed, true);
    kill(getpid(), SIGTERM);
}

static void *run(void *ctx)
{
    struct zap *z = ctx;
    zmq_pollitem_t items[] = {{.socket = z->socket, .events = ZMQ_POLLIN},
                              {.fd = z->stop_fd, .events = ZMQ_POLLIN}};

    while (!(items[1].revents & ZMQ_POLLIN)) {
        bool failed = zmq_poll(items, 2, -1) < 0;

        if (!failed && items[0].revents & ZMQ_POLLIN) failed = serve_one(z) < 0;
        if (!failed || errno == EINTR || errno == EAGAIN) continue;
        fail(z);
        break;
    }
    return NULL;
}

/* ---- life ---- */

static int open_socket(struct zap *z, void *context)
{
    int linger_ms = 0;

    z->socket = zmq_socket(context, ZMQ_REP);
    if (!z->socket) return -1;
    zmq_setsockopt(z->socket, ZMQ_LINGER, &linger_ms, sizeof linger_ms);
    return zmq_bind(z->socket, ENDPOINT);
}

int zap_open(struct zap *z, void *context, struct access *access, struct latent_error *err)
{
    const struct thread_wish no_wish = {.cpu = THREAD_ANY_CPU};
    int status;

    *z = (struct zap){.access = access, .stop_fd = eventfd(0, EFD_CLOEXEC)};
    if (z->stop_fd < 0 || open_socket(z, context))
        return error_text(err, LATENT_E_IO, "no handler for keys: %s", zmq_strerror(errno));
    status = thread_start(&z->thread, "zap", &no_wish, run, z);
    if (status) return error_text(err, LATENT_E_IO, "no thread for keys: %s", strerror(status));
    z->is_running = true;
    return 0;
}

void zap_close(struct zap *z)
{
    if (!z->access) return;
    if (z->is_running) {
        eventfd_write(z->stop_fd, 1);
        pthread_join(z->thread, NULL);
    }
    if (z->socket) zmq_close(z->socket);
    if (z->stop_fd >= 0) close(z->stop_fd);
    *z = (struct zap){0};
}
