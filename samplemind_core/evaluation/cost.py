"""What a checkpoint costs: its size, and how long it takes to answer on this machine."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Latency:
    """Milliseconds from one spectrogram to its logits, over some rounds after a warm-up."""

    median_ms: float
    slowest_ms: float
    rounds: int
    device: str


def measure_latency(path: Path, device: str = "cpu", rounds: int = 30) -> Latency:
    """Return how long a checkpoint takes for one clip, decoding and spectrogram not included.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be read.
    """
    import torch

    from samplemind_core.training.checkpoints import load_model
    from samplemind_core.training.device import describe, pick_device

    where = pick_device(device)
    model, info = load_model(path, where)
    log_mel = torch.zeros(1, *info.features.shape, device=where)
    taken = []
    with torch.inference_mode():
        for number in range(rounds + 5):
            started = time.perf_counter()
            model(log_mel).cpu()  # the copy waits for the device
            if number >= 5:
                taken.append(1000 * (time.perf_counter() - started))
    return Latency(statistics.median(taken), max(taken), rounds, describe(where))
