"""A bin from a client through latentd and its frame back, beside bare ZeroMQ with the same
messages: round trips over ipc, tcp and tcp with CURVE on this machine."""
import contextlib
import json
import os
import pathlib
import socket
import subprocess
import tempfile

import numpy as np

from rows import ROWS, prepare
from workers import Absent, Worker, latentd_command

PATHS = ("gru-sparse", "kalman")  # rows whose models latentd runs here
TRANSPORTS = ("ipc", "tcp", "curve")
BIN_US = 10000
DAEMONS = {"latentd": "none", "spinning": 1}  # name: spin-ms; it spins at the pace of the bins only


def split_cpus():
    """(client's, server's): with one processor both are the same."""
    cpus = sorted(os.sched_getaffinity(0))
    return {cpus[-1]}, set(cpus[:-1]) or {cpus[-1]}


@contextlib.contextmanager
def server(command, cpus):
    """A process that has said that it is ready; its first line."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                               stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    try:
        line = process.stdout.readline()
        if not line.lower().startswith("ready"):
            raise Absent(f"{command[0]} did not start")
        yield line
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def endpoints(folder, transport, name):
    """(in, out) to bind: for tcp two ports that were free a moment ago."""
    if transport == "ipc":
        return f"ipc://{folder}/{name}.in", f"ipc://{folder}/{name}.out"
    with socket.socket() as first, socket.socket() as second:
        ports = []
        for one in (first, second):
            one.bind(("127.0.0.1", 0))
            ports.append(one.getsockname()[1])
    return tuple(f"tcp://127.0.0.1:{port}" for port in ports)


def make_keys(binaries, folder):
    """Key files of a server and of a client of it, for CURVE."""
    keys = {name: pathlib.Path(folder) / f"{name}.key" for name in ("server", "client")}
    for path in keys.values():
        subprocess.run([binaries / "latentctl", "keys", path], check=True, capture_output=True)
    return keys


def key_lines(keys):
    """Of latentd's configuration, before the streams."""
    if not keys:
        return ""
    return (f"secret-key = {keys['server']}_secret\n"
            f"[client ping]\npublic-key = {keys['client']}\nroles = source consumer\n")


def key_options(keys, name):
    """Of bench_wire, as this one."""
    if not keys:
        return ["--key", "none", "--server-key", "none"]
    return ["--key", f"{keys[name]}_secret", "--server-key", keys["server"]]


def write_config(folder, name, model_path, ends, spin_ms, *, keys=None):
    path = pathlib.Path(folder) / f"{name}.conf"
    path.write_text(f"""[latentd]
control = ipc://{folder}/{name}.control
{key_lines(keys)}[stream wire]
model = {model_path}
input = {ends[0]}
input-socket = pull
output = {ends[1]}
spin-ms = {spin_ms}
# Bins come as fast as they are answered, or far apart: neither is a fault here.
missing-after-ms = 60000
lease-ms = 61000
publish-late = yes
safe-start = no
""")
    return path


def ping_command(binaries, row, model, counts_path, ends, *, keys=None):
    return [binaries / "bench_wire", "--role", "ping", "--in", ends[0], "--out", ends[1],
            "--bins", row.n_bins, "--channels", model.config["n_channels"], "--bin-us", BIN_US,
            "--counts", counts_path, *key_options(keys, "client")]


def echo_command(binaries, ends, reply_bytes, keys):
    return [binaries / "bench_wire", "--role", "echo", "--in", ends[0], "--out", ends[1],
            "--reply-bytes", reply_bytes, *key_options(keys, "server")]


def stream_times(binaries, folder, name):
    """The times that the daemon itself measured, nanoseconds."""
    done = subprocess.run([binaries / "latentctl", "--control", f"ipc://{folder}/{name}.control",
                           "status", "--json"], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["streams"][0]["times_ns"]


def percentiles(times):
    p50, p99, p999 = np.percentile(times, (50, 99, 99.9)) / 1e3
    return {"n": len(times), "p50_us": p50, "p99_us": p99, "p999_us": p999,
            "max_us": float(times.max()) / 1e3}


def measure_pair(workers, n_rounds, n_steps, pace_ns):
    """Round trips of each worker, in turns: {name: figures}."""
    times = {name: [] for name in workers}
    for _ in range(n_rounds):
        for name, worker in workers.items():
            times[name].append(worker.run(n_steps, pace_ns))
    return {name: percentiles(np.concatenate(parts)) for name, parts in times.items()}


def measure_path(row, transport, binaries, n_rounds, paces_ns):
    """One model over one transport: {"pace": {"latentd": figures, "bare": figures, "step_us"}}."""
    mine, theirs = split_cpus()
    with tempfile.TemporaryDirectory(prefix="latent-wire.") as folder, \
            contextlib.ExitStack() as stack:
        model, model_path, counts_path = prepare(row, folder)
        keys = make_keys(binaries, folder) if transport == "curve" else None
        def client(name, command, ends):
            """The worker that asks the server of this command."""
            stack.enter_context(server(command, theirs))
            worker = Worker(name, "",
                            ping_command(binaries, row, model, counts_path, ends, keys=keys),
                            min(mine))
            stack.callback(worker.close)
            worker.run(1)
            return worker

        workers = {}
        for name, spin_ms in DAEMONS.items():
            ends = endpoints(folder, transport, name)
            config = write_config(folder, name, model_path, ends, spin_ms, keys=keys)
            workers[name] = client(name, [binaries / "latentd", config], ends)
        reply_bytes = int(workers["latentd"].values()[0])
        ends = endpoints(folder, transport, "bare")
        workers["bare"] = client("bare", echo_command(binaries, ends, reply_bytes, keys),
                                 ends)
        result = {}
        for pace_ns in paces_ns:
            at_bins = pace_ns == BIN_US * 1000
            result[pace_ns] = measure_pair(
                {name: worker for name, worker in workers.items() if at_bins or name != "spinning"},
                n_rounds, row.n_bins, pace_ns)
            times = stream_times(binaries, folder, "latentd")
            result[pace_ns]["step_us"] = times["decoding"]["p50"] / 1e3
        return result


def print_pair(title, label, pair):
    for name in (name for name in (*DAEMONS, "bare") if name in pair):
        cells = "".join(f"{pair[name][key]:>10.1f}" for key in ("p50_us", "p99_us", "p999_us",
                                                                "max_us"))
        print(f"  {title:<20} {label:<6} {name:<9}{cells}")
    excess = pair["latentd"]["p50_us"] - pair["bare"]["p50_us"] - pair["step_us"]
    allowed = 0.1 * (pair["bare"]["p50_us"] + pair["step_us"])
    print(f"  {'':<20} {'':<6} step {pair['step_us']:.1f}: latentd adds {excess:+.1f} us to bare "
          f"ZeroMQ and step; 10 % of them is {allowed:.1f}: "
          f"{'met' if excess <= allowed else 'NOT met'}", flush=True)


def measure_line(row, binaries, n_rounds):
    """{"step": figures, "line": figures}: the decoder alone, and between bytes and bytes."""
    cpu = max(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="latent-wire.") as folder:
        _, model_path, counts_path = prepare(row, folder)
        command = latentd_command(binaries, row, model_path, counts_path)
        line_command = [binaries / "bench_line", *command[1:]]
        workers = {"step": Worker("step", "", command, cpu),
                   "line": Worker("line", "", line_command, cpu)}
        for worker in workers.values():
            worker.run(row.n_bins)
        result = measure_pair(workers, n_rounds, 10 * row.n_bins, 0)
        n_frames = int(workers["line"].values()[0])
        if n_frames != row.n_bins * (1 + 10 * n_rounds):
            raise SystemExit(f"bench_line made {n_frames} frames")
        for worker in workers.values():
            worker.close()
    return result


def print_line(title, pair):
    step, line = pair["step"]["p50_us"], pair["line"]["p50_us"]
    print(f"  {title:<20} step {step:.2f}, line {line:.2f} us: bytes to bytes adds "
          f"{line - step:.2f} us; below 3: {'met' if line - step < 3 else 'NOT met'}", flush=True)


def measure_lines(options, n_rounds):
    print("\nthe line without sockets: bytes of a message in, bytes of a frame out (medians)")
    report = {}
    for row in (row for row in ROWS if row.name in PATHS):
        report[row.name] = measure_line(row, options.bin, n_rounds)
        print_line(row.name, report[row.name])
    return report


def measure(options, quick):
    """Everything, printed and as it goes into the JSON."""
    lines = measure_lines(options, 3 if quick else 20)
    return {"line": lines, "round_trips": measure_round_trips(options, quick)}


def measure_round_trips(options, quick):
    """[{row, transport, pace, latentd, bare, step_us}], printed."""
    n_rounds, paces_ns = (2, (1_000_000, 10_000_000)) if quick else (10, (0, 1_000_000, 10_000_000))
    print("\nend to end on this machine: bin out, frame back (microseconds; client and server on "
          "different cores)")
    print(f"  {'':<37}{'p50':>10}{'p99':>10}{'p99.9':>10}{'max':>10}")
    report = []
    for row in (row for row in ROWS if row.name in PATHS):
        for transport in TRANSPORTS:
            pairs = measure_path(row, transport, options.bin, n_rounds, paces_ns)
            for pace_ns, pair in pairs.items():
                label = f"{pace_ns // 1_000_000} ms" if pace_ns else "hot"
                print_pair(f"{row.name} {transport}", label, pair)
                report.append({"row": row.name, "transport": transport, "pace": label, **pair})
    return report
