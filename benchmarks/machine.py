"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import resource
from contextlib import suppress
from pathlib import Path

import torch


def machine_line() -> str:
    """Return processor, cores, threads and versions as one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        cpu = models[0] if models else cpu
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{cpu}, {os.cpu_count()} cores, {torch.get_num_threads()} threads{gpu}, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def peak_memory_mib() -> float:
    """Return the largest resident size of this process so far, in MiB."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux: what resource tells there counts whoever started this process as well
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / (1 << 10)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if platform.system() == "Darwin" else 1 << 10)


def children_cpu_s() -> float:
    """Return the CPU seconds of the living processes that this one started; 0 where the system does not tell."""
    ticks = 0
    for listed in Path("/proc/self/task").glob("*/children"):
        for pid in listed.read_text().split():
            with suppress(OSError):
                ticks += sum(map(int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")
