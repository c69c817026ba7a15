"""What machine this is."""
import os
import pathlib
import platform
import time


def first_line(path, default="unknown"):
    path = pathlib.Path(path)
    try:
        return path.read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return default


def cpu_model():
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def vector_sets():
    """The instruction sets that matter here, of those that the CPU has."""
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            wanted = ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_vnni", "amx_tile")
            return " ".join(name for name in wanted if name in flags)
    return "unknown"


def caches():
    """ "L1d 32K, L2 512K, ..." of CPU 0."""
    found = []
    for index in sorted(pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
        if first_line(index / "type") != "Instruction":
            found.append(f"L{first_line(index / 'level')} {first_line(index / 'size')}")
    return ", ".join(found) or "unknown"


def is_busy():
    """Whether others use more than a tenth of this machine."""
    return os.getloadavg()[0] > 0.1 * len(os.sched_getaffinity(0))


def load():
    return " ".join(f"{value:.2f}" for value in os.getloadavg())


def describe():
    """Name to text, in the order in which it is printed."""
    governor = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"
    virtual = " hypervisor " in f" {pathlib.Path('/proc/cpuinfo').read_text()} "
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "processor": cpu_model() + (" (virtual machine)" if virtual else ""),
        "vector sets": vector_sets(),
        "caches": caches(),
        "cores": str(len(os.sched_getaffinity(0))),
        "governor": first_line(governor, "none to be seen"),
        "kernel": platform.release(),
        "load at the start": load(),
    }
