"""Faults at the sockets: whoever can reach them sends anything."""
import os
import random
import socket

import zmq

import chain
import plan
from chain import pb, rig
from table import row

ZMTP_GREETING = b"\xff\0\0\0\0\0\0\0\1\x7f\3\0"  # signature and version, then nothing
GREETING_NULL = ZMTP_GREETING[:10] + b"\3\1NULL" + bytes(48)
GREETING_CURVE = ZMTP_GREETING[:10] + b"\3\1CURVE" + bytes(47)


def raw_attacks(rng):
    """What a TCP peer says that is no ZeroMQ, or only at first."""
    return [b"", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", rng.randbytes(5000), bytes(5000),
            b"\xff" * 5000, ZMTP_GREETING, GREETING_NULL, GREETING_NULL + rng.randbytes(500),
            GREETING_NULL + b"\4\xff" + rng.randbytes(300),                   # a command cut short
            GREETING_NULL + b"\6\x7f\xff\xff\xff\xff\xff\xff\xff" + b"x" * 99,  # of 9 exabytes
            GREETING_NULL + b"\4\x1a\5READY\x0bSocket-Type\0\0\0\4PUSH" + b"\2\xff" * 50,
            GREETING_CURVE + rng.randbytes(200)]


def raw_peer(endpoint):
    """A plain connection to a tcp or ipc endpoint."""
    scheme, address = endpoint.split("://")
    if scheme == "tcp":
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=rig.WAIT_S)
    found = socket.socket(socket.AF_UNIX)
    found.connect(address)
    return found


def attack_raw(endpoint, rng, held):
    """One connection per attack; half of them stay open, silent."""
    for i, said in enumerate(raw_attacks(rng)):
        peer = raw_peer(endpoint)
        try:
            peer.sendall(said)
        except OSError:
            pass  # libzmq has hung up: its right
        if i % 2:
            held.append(peer)
        else:
            peer.close()


def open_chain(c, *before):
    """Daemon, proxy, source, consumer; the endpoints are those that the daemon tells."""
    ends = c.rig.start(*before)
    c.rig.control = ends["control"]
    c.start_proxy(ends["arm.input"])
    c.start_source()
    c.consumer = c.rig.consumer("arm", ends["arm.output"])
    return ends


@row("garbage sockets", "bytes that are no ZeroMQ on input, output and control, connections that "
     "stay half open", "the stream decodes on, nothing is counted as a message")
def garbage_on_sockets(run):
    rng = random.Random(run.seed)
    held, rounds = [], run.pick(2, 50)
    everywhere = {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*"}
    with chain.Chain(run.seed, stream=everywhere, control="tcp://127.0.0.1:*") as c:
        ends = open_chain(c)
        frames = c.feed(plan.SLOT_BINS)
        for _ in range(rounds):
            for name in ("arm.input", "arm.output", "control"):
                attack_raw(ends[name], rng, held)
            frames += c.feed(plan.SLOT_BINS)
        check_untouched(c, frames, (1 + rounds) * plan.SLOT_BINS)
        for peer in held:
            peer.close()
    return f"{rounds * 3 * len(raw_attacks(rng))} connections, {len(frames)} frames"


def check_untouched(c, frames, n_bins):
    """As if nothing but the good bins had come."""
    counts = plan.source_counts(c.seed, 1)
    chain.check_frames(frames, [(seq, 0, next(counts)) for seq in range(n_bins)])
    status = c.status()
    seen = {f"{group}.{name}": n for group in ("messages", "bins", "frames", "sequence")
            for name, n in status[group].items() if n}
    expected = dict.fromkeys(("messages.in", "messages.accepted", "bins.in", "bins.decoded",
                              "frames.due", "frames.published"), n_bins)
    if seen != expected:
        raise AssertionError(f"counted {seen}, expected {expected}")


@row("garbage messages", "ZeroMQ messages of every shape on the control socket, requests whose "
     "replies nobody reads, subscriptions by the thousand",
     "each request is answered, none disturbs the stream")
def garbage_messages(run):
    rng = random.Random(run.seed)
    with chain.Chain(run.seed) as c:
        c.start()
        frames = c.feed(plan.SLOT_BINS)
        n_asked = ask_garbage(c, rng, run.pick(200, 20000))
        ask_without_reading(c, run.pick(500, 20000))
        subscribe_to_anything(c, rng, run.pick(1000, 20000))
        frames += c.feed(plan.SLOT_BINS)
        check_untouched(c, frames, 2 * plan.SLOT_BINS)
    return f"{n_asked} bad requests, each answered with an error"


def peer(c, kind, endpoint):
    found = c.rig.context.socket(kind)
    c.rig.sockets.append(found)
    found.linger = 0
    found.connect(endpoint)
    return found


def ask_garbage(c, rng, n):
    """Random bytes can be a Request by chance: only those that are none, and unknown ones."""
    dealer = peer(c, zmq.DEALER, c.rig.control)
    for i in range(n):
        unknown = pb.Request(operation=100 + i % 50, stream="\x1b[2J" * 9).SerializeToString()
        dealer.send_multipart(rng.choice([
            [b"\xff" + rng.randbytes(rng.randint(0, 3000))], [b"", b"\xff"], [unknown],
            [b"", unknown], [rng.randbytes(3) for _ in range(rng.randint(3, 9))]]))
        if not dealer.poll(rig.WAIT_S * 1000):
            raise AssertionError(f"request {i} was not answered")
        reply = pb.Reply.FromString(dealer.recv_multipart()[-1])
        if reply.code >= 0 or not reply.text.isprintable():
            raise AssertionError(f"request {i}: code {reply.code}, {reply.text!r}")
    return n


def ask_without_reading(c, n):
    """Replies pile up at a peer that does not read: dropped, the daemon waits for nobody."""
    dealer = c.rig.context.socket(zmq.DEALER)
    c.rig.sockets.append(dealer)
    dealer.rcvhwm = 1
    dealer.linger = 0
    dealer.connect(c.rig.control)
    for _ in range(n):
        dealer.send(pb.Request(operation=pb.STATUS).SerializeToString())


def subscribe_to_anything(c, rng, n):
    subscriber = peer(c, zmq.XSUB, c.out)
    for _ in range(n):
        subscriber.send(rng.choice([b"\1", b"\0", b"\7", b""]) + rng.randbytes(rng.randint(0, 99)))


SUB_READY = b"\4\x19\5READY\x0bSocket-Type\0\0\0\3SUB"
GREEDY_KIB = 8192  # a hundred connections, not what they sent


def raw_subscriber(endpoint):
    """A connection that has shaken hands and may subscribe."""
    found = raw_peer(endpoint)
    found.settimeout(rig.WAIT_S)
    found.sendall(GREETING_NULL + SUB_READY)
    n = len(GREETING_NULL) + len(SUB_READY)
    while n:
        n -= len(found.recv(n))
    return found


def topic(rng, size):
    """A subscription on the wire."""
    body = b"\1" + rng.randbytes(size)
    head = b"\0" + bytes([len(body)]) if len(body) < 256 else b"\2" + len(body).to_bytes(8, "big")
    return head + body


def send_topics(c, rng, size, n):
    """Up to n topics over a new connection, until the daemon hangs up."""
    greedy = raw_subscriber(c.rig.endpoints["arm.output"])
    try:
        for _ in range(n):
            greedy.sendall(topic(rng, size))
        while greedy.recv(65536):
            pass
    except ConnectionError:
        pass
    greedy.close()


def n_cut(c):
    return c.rig.status()["outputs"]["peers.cut"]


@row("greedy subscribers", "topics without end: many short ones, long ones, beyond the limit, from "
     "one peer and from a hundred that come and leave, in an address space of 600 MB",
     "who sends too much is cut off and counted; every other consumer has each frame; the memory "
     "stays")
def greedy_subscribers(run):
    rng = random.Random(run.seed)
    limit = () if os.environ.get("LATENT_SANITIZE") else ("prlimit", "--as=600000000")
    everywhere = {"input": "tcp://127.0.0.1:*", "output": "tcp://127.0.0.1:*"}
    with chain.Chain(run.seed, stream=everywhere) as c:
        open_chain(c, *limit)
        frames = c.feed(plan.SLOT_BINS)
        before, cut = c.memory(), 0
        for size, n in ((20, run.pick(50000, 1000000)), (2000, 1000), (4094, 1000)):
            send_topics(c, rng, size, n)
            cut += 1
            frames += c.feed(plan.SLOT_BINS)
            chain.wait_until(lambda: n_cut(c) == cut, f"{cut} are cut off")  # noqa: B023
        for size, n in ((4096, 10), (1000000, 40)):  # libzmq itself hangs up, if it comes to that
            send_topics(c, rng, size, n)
            frames += c.feed(plan.SLOT_BINS)
        for _ in range(run.pick(2, 100)):
            come_and_leave(c, rng)
            frames += c.feed(plan.SLOT_BINS)
        check_untouched(c, frames, len(frames))
        grown = c.check_memory(before, GREEDY_KIB)
        outputs = c.rig.status()["outputs"]
        if outputs["peers"] != 1 or not cut <= outputs["peers.cut"] <= cut + 2:
            raise AssertionError(f"left over: {outputs}, {cut} cut off")
    return f"{outputs['peers.cut']} cut off, {len(frames)} frames, {grown} KiB"


def come_and_leave(c, rng):
    """A hundred modest ones at once."""
    there = [raw_subscriber(c.rig.endpoints["arm.output"]) for _ in range(100)]
    for one in there:
        one.sendall(b"".join(topic(rng, 20) for _ in range(4)))
    chain.wait_until(lambda: c.rig.status()["outputs"]["peers"] == 101, "all are there")
    for one in there:
        one.close()
    chain.wait_until(lambda: c.rig.status()["outputs"]["peers"] == 1, "all have left")


@row("beyond libzmq", "messages above 1 MiB, which libzmq itself refuses",
     "the connection ends and is counted; other sources are served")
def beyond_libzmq(run):
    n = run.pick(3, 30)
    with chain.Chain(run.seed) as c:
        c.start()
        frames = c.feed(plan.SLOT_BINS)
        for k in range(n):
            source = c.rig.source()
            source.linger = 0
            source.send_multipart([b"arm/bins", bytes((1 << 20) + 1)])
            chain.wait_until(lambda n_before=k: disconnected(c) > n_before,
                             "the connection ends")
            source.close()
        frames += c.feed(plan.SLOT_BINS)
        check_untouched(c, frames, 2 * plan.SLOT_BINS)
    return f"{n} connections ended"


def disconnected(c):
    inputs = c.rig.status()["inputs"]
    return sum(n for name, n in inputs.items() if name.endswith(" disconnected"))


N_FILES = 64


@row("no descriptors", "connections to every socket, tcp and ipc, until the daemon has no file "
     "descriptor left", "who is too many is turned away; streams that are there go on; afterwards "
     "new consumers are served")
def no_descriptors(run):
    n_rounds = run.pick(1, 20)
    for endpoint in ("tcp://127.0.0.1:*", "ipc://{}/{}"):
        with chain.Chain(run.seed) as c:
            names = {name: endpoint.format(c.folder, name) for name in ("input", "output")}
            c.rig.configure({"arm": {**chain.STEADY, **names}})
            exhaust(c, n_rounds)
    return f"{4 * n_rounds * 2 * N_FILES} connections, {N_FILES} descriptors"


def exhaust(c, n_rounds):
    ends = open_chain(c, "prlimit", f"--nofile={N_FILES}:{N_FILES}", "--")
    frames = c.feed(plan.SLOT_BINS)
    n_before = c.n_files()
    for _ in range(n_rounds):
        for name in ("arm.input", "arm.output"):
            held = [raw_peer(ends[name]) for _ in range(2 * N_FILES)]
            chain.wait_until(lambda: c.n_files() >= N_FILES - 1, "descriptors run out")
            wait_for_refusals(held)
            frames += c.feed(plan.SLOT_BINS)
            for one in held:
                one.close()
            chain.wait_until(lambda: c.n_files() <= n_before, "descriptors come back")
    newcomer = c.rig.consumer("arm", ends["arm.output"])
    frames += c.feed(plan.SLOT_BINS)
    if newcomer.frames(plan.SLOT_BINS)[-1].seq != frames[-1].seq:
        raise AssertionError("the new consumer misses frames")
    check_untouched(c, frames, (2 + 2 * n_rounds) * plan.SLOT_BINS)


def wait_for_refusals(peers):
    """At least half of them are one too many; libzmq's greeting, or the end, comes to each."""
    def n_ended():
        return sum(is_ended(one) for one in peers)
    chain.wait_until(lambda: n_ended() >= N_FILES, "peers are turned away")


def is_ended(one):
    one.setblocking(False)
    try:
        return one.recv(1000) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
