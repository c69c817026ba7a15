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
#include "base/text.h"
#include "base/thread.h"

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

/* Parts that are too many, or too long, leave n_parts 0. */
struct request {
    uint8_t bytes[N_PARTS][MAX_PART];
    size_t n[N_PARTS], n_parts;
};

enum verdict { ACCEPTED, UNREADABLE, UNKNOWN_KEY, WRONG_ROLE };

/* ---- receiving ---- */

static bool has_more(void *socket)
{
    size_t n = sizeof(int);
    int more = 0;

    return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &n) == 0 && more;
}

/* All parts, so that the next request starts with its first. 0, or -1 and errno. */
static int request_receive(struct request *r, void *socket)
{
    bool good = true;
    size_t i = 0;

    *r = (struct request){0};
    do {
        uint8_t spare[MAX_PART], *bytes = i < N_PARTS ? r->bytes[i] : spare;
        int n = zmq_recv(socket, bytes, MAX_PART, ZMQ_DONTWAIT);

        if (n < 0) return -1;
        good = good && n <= MAX_PART && i < N_PARTS;
        if (good) r->n[i] = (size_t)n;
        i++;
    } while (has_more(socket));
    r->n_parts = good ? i : 0;
    return 0;
}

static bool part_is(const struct request *r, enum part part, const char *text)
{
    return r->n[part] == strlen(text) && memcmp(r->bytes[part], text, r->n[part]) == 0;
}

/* ---- judging ---- */

static enum verdict judge(const struct access *a, const struct request *r, enum access_door *door,
                          const struct access_client **client)
{
    *client = NULL;
    *door = ACCESS_N_DOORS;
    if (r->n_parts != N_PARTS || !part_is(r, PART_VERSION, VERSION) ||
        !part_is(r, PART_MECHANISM, "CURVE") || r->n[PART_KEY] != KEY_BYTES)
        return UNREADABLE;
    *door = access_door_named((const char *)r->bytes[PART_DOMAIN], r->n[PART_DOMAIN]);
    if (*door == ACCESS_N_DOORS) return UNREADABLE;
    *client = access_find_key(a, r->bytes[PART_KEY]);
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

static void tell(struct zap *z, const struct request *r, enum access_door door,
                 enum verdict verdict, const struct access_client *client)
{
    static const char *const reasons[] = {[UNREADABLE] = "the request for it cannot be read",
                                          [UNKNOWN_KEY] = "no [client NAME] has it",
                                          [WRONG_ROLE] = "its roles do not allow it"};
    uint64_t now_ns = clock_now_ns();
    char key[KEY_TEXT], address[MAX_PART + 1];

    z->n_silent++;
    if (z->t_logged_ns && now_ns - z->t_logged_ns < LOG_PERIOD_NS) return;
    key_text(r->bytes[PART_KEY], key);
    snprintf(address, sizeof address, "%.*s", (int)r->n[PART_ADDRESS],
             (const char *)r->bytes[PART_ADDRESS]);
    fprintf(stderr,
            "latentd: %s: refused key %s%s%s from %s: %s (%" PRIu64
            " refused since the last such line)\n",
            door == ACCESS_N_DOORS ? "unknown" : access_door_name(door), key,
            client ? " of client " : "", client ? client->name : "", printable(address),
            reasons[verdict], z->n_silent);
    z->t_logged_ns = now_ns;
    z->n_silent = 0;
}

/* ---- answering ---- */

/* The name of the client goes with each of its messages, as their "User-Id". */
static int reply(void *socket, const struct request *r, const struct access_client *client)
{
    const char *name = client ? client->name : "";
    const struct {
        const void *bytes;
        size_t n;
    } parts[] = {{VERSION, strlen(VERSION)},  {r->bytes[PART_ID], r->n[PART_ID]},
                 {client ? "200" : "400", 3}, {client ? "OK" : "no access", client ? 2 : 9},
                 {name, strlen(name)},        {"", 0}};
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
    struct request r;

    if (request_receive(&r, z->socket)) return -1;
    verdict = judge(z->access, &r, &door, &client);
    count(z->access, door, verdict);
    if (verdict != ACCEPTED) tell(z, &r, door, verdict, client);
    return reply(z->socket, &r, verdict == ACCEPTED ? client : NULL);
}

/* ---- the thread ---- */

/* Whoever has connected stays, nobody else comes in: an orderly end, with its SAFE
 * frames, is better than none. */
static void fail(struct zap *z)
{
    fprintf(stderr,
            "latentd: the handler that checks keys failed (%s): nobody can connect any "
            "more; stopping\n",
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
