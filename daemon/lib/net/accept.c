/* libzmq 4.3.4 aborts when it cannot accept a peer on an ipc endpoint for want of a descriptor
 * (ipc_listener.cpp), and on tcp it tries again without pause. Its accept4 is therefore this one:
 * the peer that is too many is taken by the descriptor in reserve and turned away, which libzmq
 * takes for a peer that left early. */
#include "net/accept.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int reserve = -1;

void accept_keep_reserve(void)
{
    atomic_store(&reserve, open("/dev/null", O_RDONLY | O_CLOEXEC));
}

/* Another of libzmq's threads may have the reserve just now: then the peer waits. */
static void turn_away(int listener)
{
    int kept = atomic_exchange(&reserve, -1), peer;

    if (kept < 0) return;
    close(kept);
    peer = (int)syscall(SYS_accept4, listener, NULL, NULL, SOCK_CLOEXEC);
    if (peer >= 0) close(peer);
    accept_keep_reserve();
}

__attribute__((visibility("default"))) int accept4(int listener, __SOCKADDR_ARG address,
                                                   socklen_t *n_address, int flags)
{
    int peer = (int)syscall(SYS_accept4, listener, address, n_address, flags);

    if (peer >= 0 || (errno != EMFILE && errno != ENFILE)) return peer;
    turn_away(listener);
    errno = ECONNABORTED;
    return -1;
}
