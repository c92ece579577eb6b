"""Clips on their way to the network: resident on the device when they fit, else from the memory map."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import Tensor

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
    """

    def __init__(
        self,
        log_mel: npt.NDArray[np.floating],
        targets: npt.NDArray[np.integer],
        device: torch.device,
        *,
        resident: bool | None = None,
    ) -> None:
        self.device = device
        self.resident = fits(log_mel.nbytes, device) if resident is None else resident
        self._mapped = log_mel
        self._all = torch.from_numpy(np.array(log_mel)).to(device) if self.resident else None
        kind = np.int64 if targets.ndim == 1 else np.float32  # classes index, labels are blended
        self.targets = torch.from_numpy(np.ascontiguousarray(targets, dtype=kind)).to(device)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (log_mel (B, 1, n_mels, frames) float32, targets (B,) or (B, C)) of rows (B,) on the CPU."""
        if self._all is not None:
            on_device = rows.to(self.device)
            return self._all[on_device].float(), self.targets[on_device]
        # Ascending reads are sequential on disk; the batch keeps its order.
        order = torch.argsort(rows)
        block = torch.from_numpy(self._mapped[rows[order].numpy()])
        block = block[torch.argsort(order)]
        return block.to(self.device).float(), self.targets[rows.to(self.device)]

    def batches(self, rows: Tensor, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches of ``rows`` in their order; the last may be smaller."""
        for start in range(0, len(rows), batch_size):
            yield self.batch(rows[start : start + batch_size])


def fits(num_bytes: int, device: torch.device) -> bool:
    """Return whether an array of that size may stay on the device for a whole run."""
    if device.type == "cuda":
        free, _total = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    return num_bytes <= RESIDENT_SHARE * free
