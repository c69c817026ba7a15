/* libzmq receives by recv and hangs up by close, both in its I/O thread: they are these here, and
 * do as ever in every other thread. The lock is between that thread and those that read topics: a
 * descriptor is not closed, and so not somebody else's, while it is being cut off. */
#include "net/peers.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <zmq.h>

#include "base/clock.h"

#define THREAD_PREFIX 5571 /* libzmq takes a number; its thread is called 5571/ZMQbg/IO/0 */
#define THREAD_NAME "5571/ZMQbg/IO"
#define MAX_PEERS 65536 /* by descriptor */

struct peer {
    bool is_open, is_cut;
    uint64_t n_credit, t_ns; /* what it may send at once, at this time */
    uint64_t n_topic_bytes;  /* brought by it */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct peer peers[MAX_PEERS];
static int end_peers; /* none from here on is open */
static struct peers_counts counts;

void peers_limit(void *context)
{
    int rc = zmq_ctx_set(context, ZMQ_THREAD_NAME_PREFIX, THREAD_PREFIX);

    assert(rc == 0);
    (void)rc;
    counts.n_topic_bytes = 0;
}

struct peers_counts peers_counts(void)
{
    struct peers_counts now;

    pthread_mutex_lock(&lock);
    now = counts;
    pthread_mutex_unlock(&lock);
    return now;
}

/* ---- one peer; all with the lock ---- */

static struct peer *peer_of(int fd)
{
    struct peer *p = &peers[fd];

    if (p->is_open) return p;
    *p = (struct peer){.is_open = true, .n_credit = PEERS_BURST_BYTES, .t_ns = clock_now_ns()};
    if (fd >= end_peers) end_peers = fd + 1;
    counts.n_open++;
    return p;
}

/* Nothing more of it is delivered; libzmq hangs up when it next looks. */
static void cut(int fd)
{
    if (peers[fd].is_cut) return;
    peers[fd].is_cut = true;
    counts.n_cut++;
    shutdown(fd, SHUT_RDWR);
}

/* Credit grows with time, up to a burst. */
static bool pay(struct peer *p, size_t n)
{
    const uint64_t ns_a_byte = 1000000000u / PEERS_BYTES_PER_S;
    uint64_t n_earned = (clock_now_ns() - p->t_ns) / ns_a_byte;

    p->t_ns += n_earned * ns_a_byte;
    p->n_credit += n_earned;
    if (p->n_credit > PEERS_BURST_BYTES) p->n_credit = PEERS_BURST_BYTES;
    if (n > p->n_credit) return false;
    p->n_credit -= n;
    return true;
}

/* May these n bytes go to libzmq? */
static bool admit(int fd, size_t n)
{
    struct peer *p;

    if (fd >= MAX_PEERS) return false;
    p = peer_of(fd);
    if (!pay(p, n)) cut(fd);
    return !p->is_cut;
}

static void forget(int fd)
{
    if (!peers[fd].is_open) return;
    peers[fd].is_open = false;
    counts.n_open--;
}

/* ---- topics ---- */

static void cut_largest(void)
{
    int largest = -1;

    for (int fd = 0; fd < end_peers; fd++)
        if (peers[fd].is_open && !peers[fd].is_cut &&
            (largest < 0 || peers[fd].n_topic_bytes > peers[largest].n_topic_bytes))
            largest = fd;
    if (largest >= 0) cut(largest);
}

/* What those that are not cut off have brought: the topics of the others are on their way out. */
static uint64_t topics_that_stay(void)
{
    uint64_t n = 0;

    for (int fd = 0; fd < end_peers; fd++)
        if (peers[fd].is_open && !peers[fd].is_cut) n += peers[fd].n_topic_bytes;
    return n;
}

static void charge(int fd, uint64_t n)
{
    if (fd >= 0 && fd < MAX_PEERS && peers[fd].is_open) {
        peers[fd].n_topic_bytes += n;
        if (peers[fd].n_topic_bytes > PEERS_TOPICS_BYTES) cut(fd);
    }
    if (topics_that_stay() > PEERS_ALL_TOPICS_BYTES) cut_largest();
}

static void discharge(int fd, uint64_t n)
{
    struct peer *p = fd >= 0 && fd < MAX_PEERS ? &peers[fd] : NULL;

    if (p && p->is_open) p->n_topic_bytes -= n < p->n_topic_bytes ? n : p->n_topic_bytes;
}

void peers_on_topic(int fd, bool is_new, size_t n_bytes)
{
    uint64_t n = n_bytes + PEERS_TOPIC_BYTES;

    pthread_mutex_lock(&lock);
    counts.n_topic_bytes += is_new ? n : -n;
    (is_new ? charge : discharge)(fd, n);
    pthread_mutex_unlock(&lock);
}

/* ---- all ---- */

static bool is_local(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof address;

    return getsockname(fd, (struct sockaddr *)&address, &n) != 0 || address.ss_family == AF_UNIX;
}

/* They are not among those cut off for what they sent. */
void peers_cut_all(void)
{
    pthread_mutex_lock(&lock);
    for (int fd = 0; fd < end_peers; fd++) {
        if (!peers[fd].is_open || peers[fd].is_cut || is_local(fd)) continue;
        peers[fd].is_cut = true;
        shutdown(fd, SHUT_RDWR);
    }
    pthread_mutex_unlock(&lock);
}

/* ---- in libzmq's place ---- */

static bool is_ours(void)
{
    static _Thread_local enum { UNKNOWN, OURS, OTHER } whose;
    char name[16] = "";

    if (whose == UNKNOWN) {
        prctl(PR_GET_NAME, name);
        whose = strncmp(name, THREAD_NAME, strlen(THREAD_NAME)) == 0 ? OURS : OTHER;
    }
    return whose == OURS;
}

__attribute__((visibility("default"))) ssize_t recv(int fd, void *bytes, size_t n, int flags)
{
    ssize_t got = syscall(SYS_recvfrom, fd, bytes, n, flags, NULL, NULL);
    bool admitted;

    if (got <= 0 || !is_ours()) return got;
    pthread_mutex_lock(&lock);
    admitted = admit(fd, (size_t)got);
    pthread_mutex_unlock(&lock);
    if (admitted) return got;
    errno = ECONNRESET;
    return -1;
}

__attribute__((visibility("default"))) int close(int fd)
{
    int status;

    if (!is_ours() || fd < 0 || fd >= MAX_PEERS) return (int)syscall(SYS_close, fd);
    pthread_mutex_lock(&lock);
    forget(fd);
    status = (int)syscall(SYS_close, fd);
    pthread_mutex_unlock(&lock);
    return status;
}
