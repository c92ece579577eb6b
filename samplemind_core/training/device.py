"""Which device trains, in which number format and memory layout."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from samplemind_core.config import TrainConfig
from samplemind_core.errors import ConfigError


def pick_device(name: str = "auto") -> torch.device:
    """Return the device of that name; ``auto`` prefers CUDA, then Apple MPS, then the CPU.

    Raises
    ------
    ConfigError
        If the device does not exist here.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ConfigError(f"There is no device '{name}'.", "Use auto, cpu, mps, cuda or cuda:N.") from None
    missing = {
        "cpu": False,
        "mps": not torch.backends.mps.is_available(),
        "cuda": not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count(),
    }
    if missing.get(device.type, True):
        raise ConfigError(f"This machine has no device '{name}'.", "Use auto, which takes the fastest one there is.")
    return device


def device_of(config: TrainConfig, device: str = "auto") -> torch.device:
    """Return the device that a run trains on: its own, or ``device`` where its configuration says ``auto``.

    Raises
    ------
    ConfigError
        As :func:`pick_device`.
    """
    return pick_device(device if config.device == "auto" else config.device)


def make_current(device: torch.device) -> None:
    """Let PyTorch mean this GPU in this thread where none is named, as where it tells how much memory is taken."""
    if device.type == "cuda":
        torch.cuda.set_device(device.index or 0)


def count_processes(config: TrainConfig, device: str = "auto") -> int:
    """Return how many processes train a run on this machine, one for each device.

    Parameters
    ----------
    config : TrainConfig
    device : str
        Used where the configuration says ``auto``.

    Raises
    ------
    ConfigError
        If the machine does not have so many devices.
    """
    wanted = config.num_devices
    if wanted == 1:
        return 1
    name = device if config.device == "auto" else config.device
    kind = pick_device(name).type
    advice = "Set num_devices to 1"
    if kind == "cuda":
        if ":" in name:
            raise ConfigError(
                f"'{name}' is one device, and num_devices asks for more.", f"{advice}, or device to cuda."
            )
        found = torch.cuda.device_count()
        if wanted > found:
            raise ConfigError(f"Expected {wanted} GPUs, this machine has {found}.", f"{advice}, or to 0 for all.")
        return wanted or found
    if kind != "cpu" and wanted:
        raise ConfigError(f"A run on '{kind}' trains on one device, got num_devices {wanted}.", f"{advice}.")
    return wanted or 1


def describe(device: torch.device) -> str:
    """Return a device's name for people: ``cpu (2 threads)``, ``cuda:0 (NVIDIA …)``."""
    if device.type == "cuda":
        return f"cuda:{device.index or 0} ({torch.cuda.get_device_name(device)})"
    if device.type != "cpu":
        return device.type
    threads = torch.get_num_threads()
    return f"cpu ({threads} thread{'s' if threads > 1 else ''})"


def pick_precision(setting: str, device: torch.device) -> torch.dtype:
    """Return the number format of the network's arithmetic.

    ``auto`` takes bfloat16 on GPUs that have it (NVIDIA's from Ampere on) and on CPUs with matrix units for
    it (AMX); on others it is emulated and takes twice as long as float32, or longer.
    """
    if setting == "float32":
        return torch.float32
    if setting == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        # torch.cuda.is_bf16_supported() counts emulation, and asks about the current device.
        own = torch.version.hip is not None or torch.cuda.get_device_properties(device).major >= 8
        return torch.bfloat16 if own else torch.float32
    if device.type == "cpu" and torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    return torch.float32


def pick_memory_format(device: torch.device) -> torch.memory_format:
    """Return the layout of feature maps: channels last, except on MPS.

    On an x86 CPU channels-last float32 trains the default network 1.5 times as fast.
    """
    return torch.contiguous_format if device.type == "mps" else torch.channels_last


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """Let only such operations compute inside that give the same bits every time, where that is wanted.

    On the CPU they do anyway, with the same number of threads. On CUDA this costs speed, and an
    operation without a repeatable form raises RuntimeError. Set before the first CUDA call of the
    process, as cuBLAS reads its workspace's size then.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    cudnn = torch.backends.cudnn
    before = torch.are_deterministic_algorithms_enabled(), cudnn.deterministic, cudnn.benchmark
    torch.use_deterministic_algorithms(True)
    cudnn.deterministic, cudnn.benchmark = True, False
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        cudnn.deterministic, cudnn.benchmark = before[1:]
