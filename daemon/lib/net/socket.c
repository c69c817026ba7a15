/* Options of sockets by kind, and texts for endpoints that cannot be had. */
#include "net/socket.h"

#include <assert.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include <zmq.h>

#include "base/log.h"
#include "base/text.h"
#include "net/curve.h"
#include "wire.h"

/* High-water marks count messages per peer. 1,000 bins are a second at 1 ms and 20 s at 20 ms: a
 * source that bursts after a stall of that length loses nothing, and what waited longer is of no
 * use to a closed loop. A consumer may stall as long before its frames are dropped. Input lingers
 * not at all, output long enough for the SAFE frame to leave. No heartbeats: on a receiving socket
 * at its mark libzmq 4.3.4 would abort. */
#define QUEUE_MESSAGES 1000
#define CONTROL_QUEUE_MESSAGES 16
#define CONTROL_MAX_BYTES 131072 /* mean and sd of 4,096 channels, and room */
#define SUBSCRIPTION_MAX_BYTES 4096
#define LINGER_MS 200
#define HANDSHAKE_MS 3000
#define RECONNECT_MAX_MS 1000
#define GONE_MS 5000 /* a socket that was closed is gone long before, lingering too */

static const struct {
    int type, queue, linger_ms;
    int64_t max_bytes;
} kinds[SOCKET_N_KINDS] = {
    [SOCKET_SUB] = {ZMQ_SUB, QUEUE_MESSAGES, 0, WIRE_MAX_BYTES},
    [SOCKET_PULL] = {ZMQ_PULL, QUEUE_MESSAGES, 0, WIRE_MAX_BYTES},
    [SOCKET_PUB] = {ZMQ_XPUB, QUEUE_MESSAGES, LINGER_MS, SUBSCRIPTION_MAX_BYTES},
    [SOCKET_CONTROL] = {ZMQ_ROUTER, CONTROL_QUEUE_MESSAGES, LINGER_MS, CONTROL_MAX_BYTES},
};

/* ---- the context ---- */

static void set_context(void *context, int option, uint32_t value)
{
    int rc = zmq_ctx_set(context, option, (int)value);

    assert(rc == 0);
    (void)rc;
}

void socket_context_wish(void *context, const struct thread_wish *wish)
{
    if (wish->priority) {
        set_context(context, ZMQ_THREAD_SCHED_POLICY, SCHED_FIFO);
        set_context(context, ZMQ_THREAD_PRIORITY, wish->priority);
    }
    if (wish->cpu != THREAD_ANY_CPU) set_context(context, ZMQ_THREAD_AFFINITY_CPU_ADD, wish->cpu);
}

/* ---- opening ---- */

static void set_int(void *socket, int option, int value)
{
    int rc = zmq_setsockopt(socket, option, &value, sizeof value);
    assert(rc == 0);
    (void)rc;
}

static void set_options(void *socket, enum socket_kind kind)
{
    int rc = zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &kinds[kind].max_bytes,
                            sizeof kinds[kind].max_bytes);
    assert(rc == 0);
    (void)rc;
    set_int(socket, ZMQ_RCVHWM, kinds[kind].queue);
    set_int(socket, ZMQ_SNDHWM, kinds[kind].queue);
    set_int(socket, ZMQ_LINGER, kinds[kind].linger_ms);
    set_int(socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    set_int(socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
}

/* Does somebody listen at this path? Whoever has a full queue of callers does, too: no waiting. */
static bool somebody_listens(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    bool answered;
    int fd;

    if (strlen(path) >= sizeof address.sun_path) return false;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) return false;
    answered =
        connect(fd, (const struct sockaddr *)&address, sizeof address) == 0 || errno == EAGAIN;
    close(fd);
    return answered;
}

/* Why this path may not be bound: libzmq removes whatever stands there. NULL: it may. */
static const char *path_refusal(const char *path)
{
    struct stat there;

    if (lstat(path, &there) != 0) return NULL;
    if (!S_ISSOCK(there.st_mode))
        return "a file that is no socket stands there: choose another path";
    if (there.st_uid != geteuid())
        return "a socket of another user stands there: remove it, or choose another path";
    return somebody_listens(path)
               ? "Address already in use; another program has it: stop that one, or choose "
                 "another endpoint"
               : NULL;
}

int socket_path_check(const char *endpoint, struct latent_error *err)
{
    const char *path = endpoint + strlen("ipc://"), *refusal;

    if (strncmp(endpoint, "ipc://", strlen("ipc://")) != 0 || *path == '@') return 0;
    refusal = path_refusal(path);
    return refusal ? error_text(err, LATENT_E_IO, "%s: cannot bind: %s", endpoint, refusal) : 0;
}

static const char *advice(int error)
{
    switch (error) {
    case EADDRINUSE:
        return "another program has it: stop that one, or choose another endpoint";
    case ENOENT:
        return "make the folder first, or choose another path";
    case EACCES:
        return "no permission: choose another endpoint, or start as another user";
    default:
        return "expected tcp://ADDRESS:PORT with an address of this machine, or ipc://PATH";
    }
}

static int secure(void *socket, const struct socket_end *end)
{
    if (!end->own) return 0;
    return end->bind ? curve_serve(socket, end->own, end->zap_domain)
                     : curve_connect(socket, end->own, end->server_key);
}

static int attach(void *socket, const struct socket_end *end, struct latent_error *err)
{
    int error;

    if (end->bind && socket_path_check(end->endpoint, err)) return err->status;
    if ((end->bind ? zmq_bind : zmq_connect)(socket, end->endpoint) == 0) return 0;
    error = errno;
    return error_text(err, LATENT_E_IO, "%s: cannot %s: %s; %s", end->endpoint,
                      end->bind ? "bind" : "connect", zmq_strerror(error), advice(error));
}

/* Keys before the endpoint: no peer may ever see the socket without them. */
static int prepare(void *socket, enum socket_kind kind, const struct socket_end *end,
                   struct latent_error *err)
{
    set_options(socket, kind);
    if (secure(socket, end))
        return error_text(err, LATENT_E_IO, "%s: cannot encrypt: %s", end->endpoint,
                          zmq_strerror(errno));
    return attach(socket, end, err);
}

void *socket_open(void *context, enum socket_kind kind, const struct socket_end *end,
                  char bound[SOCKET_MAX_ENDPOINT], struct latent_error *err)
{
    size_t n = SOCKET_MAX_ENDPOINT;
    void *socket;

    assert(kind < SOCKET_N_KINDS);
    socket = zmq_socket(context, kinds[kind].type);
    if (!socket) {
        error_text(err, LATENT_E_IO, "%s: no socket: %s", end->endpoint, zmq_strerror(errno));
        return NULL;
    }
    if (prepare(socket, kind, end, err)) {
        zmq_close(socket);
        return NULL;
    }
    if (zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, bound, &n))
        snprintf(bound, SOCKET_MAX_ENDPOINT, "%s", end->endpoint);
    return socket;
}

/* ---- the end ---- */

static bool asks_for_keys(void *socket)
{
    size_t n = sizeof(int);
    int is_server = 0;

    return zmq_getsockopt(socket, ZMQ_CURVE_SERVER, &is_server, &n) == 0 && is_server;
}

/* Tells when libzmq has taken the socket apart, which it does in its own threads after zmq_close.
 * NULL: cannot be told. */
static void *watch_end(void *context, void *socket)
{
    void *watch = zmq_socket(context, ZMQ_PAIR);
    char address[64];

    if (!watch) return NULL;
    snprintf(address, sizeof address, "inproc://end-%p", socket);
    set_int(watch, ZMQ_RCVTIMEO, GONE_MS);
    set_int(watch, ZMQ_LINGER, 0);
    if (zmq_socket_monitor(socket, address, ZMQ_EVENT_MONITOR_STOPPED) == 0 &&
        zmq_connect(watch, address) == 0)
        return watch;
    zmq_close(watch);
    return NULL;
}

void socket_close(void *context, void *socket, bool is_waited_for)
{
    bool waits = is_waited_for || asks_for_keys(socket);
    void *watch = waits ? watch_end(context, socket) : NULL;
    uint16_t event; /* the only one asked for; its value comes in a part of its own */

    zmq_close(socket);
    if (!watch) return;
    if (zmq_recv(watch, &event, sizeof event, 0) < 0)
        log_say(LOG_LEVEL_WARNING, "a socket takes long to close");
    zmq_close(watch);
}

int socket_descriptor(void *socket)
{
    size_t n = sizeof(int);
    int fd = -1, rc = zmq_getsockopt(socket, ZMQ_FD, &fd, &n);

    assert(rc == 0);
    (void)rc;
    return fd;
}

bool socket_is_readable(void *socket)
{
    size_t n = sizeof(int);
    int events = 0;

    if (zmq_getsockopt(socket, ZMQ_EVENTS, &events, &n)) return false;
    return (events & ZMQ_POLLIN) != 0;
}
