"""What a training process takes of its machine, to be shown while it trains."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import Any

import psutil

GPU_EVERY_S = 5.0
QUERY = ("--query-gpu=utilization.gpu", "--format=csv,noheader,nounits")


class Usage:
    """Memory of this process, where asked with those it started, and memory and use of the GPU where it has one.

    The use of a GPU is asked of ``nvidia-smi``, at most every ``GPU_EVERY_S`` seconds: no library that
    this product needs tells it.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self.with_children = False
        """Whether the processes that this one started count too."""
        self._gpu: int | None = None
        self._gpu_id = ""
        self._asked_at = -GPU_EVERY_S
        self._gpu_use: float | None = None

    def watch_gpu(self) -> None:
        """Look at the GPU too, if this process trains on one; called by the thread that trains, once it does.

        Which one is current differs from thread to thread, and ``nvidia-smi`` counts those too that this process
        does not see.
        """
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            self._gpu = torch.cuda.current_device()
            uuid = getattr(torch.cuda.get_device_properties(self._gpu), "uuid", None)
            self._gpu_id = f"GPU-{uuid}" if uuid else str(self._gpu)

    def read(self) -> dict[str, Any]:
        """Return ``memory_bytes`` and, on a GPU, ``gpu_memory_bytes`` and ``gpu_use`` (a fraction, or None)."""
        found: dict[str, Any] = {"memory_bytes": self._memory()}
        # Not before: this is called by another thread, which would find torch half imported.
        if self._gpu is not None:
            torch = sys.modules["torch"]
            found["gpu_memory_bytes"] = int(torch.cuda.memory_reserved(self._gpu))
            if time.monotonic() - self._asked_at >= GPU_EVERY_S:
                self._asked_at, self._gpu_use = time.monotonic(), gpu_use(self._gpu_id)
            found["gpu_use"] = self._gpu_use
        return found

    def _memory(self) -> int:
        others = self._process.children(recursive=True) if self.with_children else []
        return sum(map(_rss, [self._process, *others]))


def _rss(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.Error:  # it has just ended
        return 0


def gpu_use(gpu_id: str) -> float | None:
    """Return how busy the GPU of an id (``GPU-…``) or number is, a fraction; None where ``nvidia-smi`` says nothing."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    try:
        command = [program, f"--id={gpu_id}", *QUERY]
        answer = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout
        return min(1.0, float(answer.splitlines()[0]) / 100)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
