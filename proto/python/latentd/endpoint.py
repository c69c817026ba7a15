"""Endpoints of sockets."""

import errno
import os
import socket as unix
import stat

_IPC = "ipc://"


def attach(socket, endpoint, bind):
    """Bind or connect a ZeroMQ socket; -> its endpoint, with the port that a wildcard has got.

    OSError: something stands at the path of an ipc endpoint that a bind would destroy, or take away
    from another program.
    """
    if bind and endpoint.startswith(_IPC) and not endpoint.startswith(_IPC + "@"):
        _check_path(endpoint)
    (socket.bind if bind else socket.connect)(endpoint)
    return socket.last_endpoint.decode().rstrip("\0")


def _check_path(endpoint):
    path = endpoint[len(_IPC):]
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return  # nothing is there; what else is wrong, the bind says
    if not stat.S_ISSOCK(mode):
        raise FileExistsError(errno.EEXIST, f"{endpoint}: cannot bind: a file that is no socket "
                              "stands there: choose another path")
    with unix.socket(unix.AF_UNIX, unix.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
            return  # left behind by a program that has ended
        except OSError:
            pass  # its queue is full, or it is not ours to ask
    raise OSError(errno.EADDRINUSE, f"{endpoint}: cannot bind: another program has it: stop that "
                  "one, or choose another endpoint")
