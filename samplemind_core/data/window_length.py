"""Whether the network's window fits the clips of a dataset: what sticks out of it is never heard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from samplemind_core.errors import DataError

LENGTHS_S = (0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
"""Windows that are proposed; a longer one costs as much more time and memory."""

COVERED = 0.9
"""Share of the clips that a proposed window holds whole."""


@dataclass(frozen=True, slots=True)
class WindowFit:
    """How a window suits clips.

    ``share_longer`` of the clips stick out of it; ``proposed_s`` is the shortest of :data:`LENGTHS_S` that
    holds nine tenths of them, the longest where none does; ``share_held`` is what that one holds.
    """

    window_s: float
    share_longer: float
    proposed_s: float
    share_held: float

    @property
    def cuts(self) -> bool:
        """Whether more clips than a tenth are cut, and a longer window that is proposed would help."""
        return self.share_longer > 1 - COVERED and self.proposed_s > self.window_s

    @property
    def wastes(self) -> bool:
        """Whether a window of half the length or less would do."""
        return self.share_held >= COVERED and self.proposed_s <= self.window_s / 2


def window_fit(durations_s: Sequence[float], window_s: float) -> WindowFit:
    """Return how a window of ``window_s`` seconds suits clips of ``durations_s`` seconds.

    Raises
    ------
    DataError
        If there are no clips.
    """
    durations = np.asarray(durations_s, dtype=np.float64)
    if durations.size == 0:
        raise DataError("Expected the lengths of clips, got none.", "Choose a dataset with clips.")

    def held(length_s: float) -> float:
        # A few samples of padding that a converter added do not make a clip longer than the window.
        return float((durations <= length_s + 0.01).mean())

    proposed = next((length for length in LENGTHS_S if held(length) >= COVERED), LENGTHS_S[-1])
    return WindowFit(window_s, 1 - held(window_s), proposed, held(proposed))
