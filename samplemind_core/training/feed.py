"""Clips on their way to the network: resident on the device when they fit, else read from the file ahead of time."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

from samplemind_core.training.streaming import RowReader, prefetched

RESIDENT_SHARE = 0.4  # of the memory that is free when the run starts


class Feed:
    """Spectrograms and targets of one dataset.

    Parameters
    ----------
    log_mel : array (N, 1, n_mels, frames), float16 or float32
        Usually a memory map.
    targets : array (N,), int64, or (N, C) of 0 and 1
    device : torch.device
        Where batches are delivered.
    resident : bool, optional
        Whether to keep everything on the device; decided by free memory if None.
    copies : int
        How many processes of this machine keep what they can.
    """

    def __init__(
        self,
        log_mel: npt.NDArray[np.floating],
        targets: npt.NDArray[np.integer],
        device: torch.device,
        *,
        resident: bool | None = None,
        copies: int = 1,
    ) -> None:
        self.device = device
        # Each GPU has a memory of its own, processes on the CPU share one.
        needed = log_mel.nbytes * (1 if device.type == "cuda" else copies)
        self.resident = fits(needed, device) if resident is None else resident
        self._reader = None if self.resident else RowReader(log_mel)
        self._all = torch.from_numpy(np.array(log_mel)).to(device) if self.resident else None
        kind = np.int64 if targets.ndim == 1 else np.float32  # classes index, labels are blended
        self.targets = torch.from_numpy(np.ascontiguousarray(targets, dtype=kind)).to(device)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log_mel (B, 1, n_mels, frames) float32, targets (B,) or (B, C)) of rows (B,)."""
        if self._all is not None:
            on_device = rows.to(self.device)
            return self._all[on_device].float(), self.targets[on_device]
        return self._delivered(rows, self._read(rows))

    def batches(self, rows: Tensor, batch_size: int) -> Generator[tuple[Tensor, Tensor]]:
        """Yield batches of ``rows`` in their order; the last may be smaller.

        Where clips are read from a file, the next ones are read by a thread meanwhile; close the iterator
        when it is not needed to its end.
        """
        # Where clips are resident, rows go there all at once: a copy waits for what the device has yet to do.
        parts = torch.split(rows.to(self.device) if self.resident else rows, batch_size)
        if self.resident:
            yield from map(self.batch, parts)
            return
        with closing(prefetched(lambda part: (part, self._read(part)), parts)) as ahead:
            for part, clips in ahead:
                yield self._delivered(part, clips)

    def _read(self, rows: Tensor) -> Tensor:
        assert self._reader is not None
        clips = torch.from_numpy(self._reader.read(rows.numpy()))
        # From pinned memory a GPU fetches by itself, while the next step is prepared.
        return clips.pin_memory() if self.device.type == "cuda" else clips

    def _delivered(self, rows: Tensor, clips: Tensor) -> tuple[Tensor, Tensor]:
        if self.device.type == "cuda":
            rows = rows.pin_memory()
        on_device = rows.to(self.device, non_blocking=True)
        return clips.to(self.device, non_blocking=True).float(), self.targets[on_device]


def fits(num_bytes: int, device: torch.device) -> bool:
    """Return whether an array of that size may stay on the device for a whole run."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    return num_bytes <= RESIDENT_SHARE * free
