"""Which clips a network learns, forgets and never learns, epoch by epoch.

A clip that was named rightly and is named wrongly an epoch later is *forgotten*; clips that are forgotten
often are hard, odd or mislabelled (Toneva et al., An Empirical Study of Example Forgetting during Deep Neural
Network Learning, ICLR 2019; theirs are training clips, these are validation clips).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError

Group = Literal["always", "learned", "forgotten", "never"]
GROUPS: tuple[Group, ...] = ("always", "learned", "forgotten", "never")


@dataclass(frozen=True, eq=False)
class Forgetting:
    """Where each clip stands after each epoch.

    Attributes
    ----------
    epochs : ndarray of int64, shape (E,)
    right : ndarray of bool, shape (E, N)
    codes : ndarray of int8, shape (E, N)
        Place of each clip's group in :data:`GROUPS`, by what happened up to that epoch: ``always`` right so
        far; ``learned``, right now and wrong before; ``forgotten``, wrong now and right before; ``never`` right.
    times_forgotten : ndarray of int64, shape (E, N)
        How often each clip had gone from right to wrong up to that epoch.
    stays : ndarray of bool, shape (E, N)
        Whether a clip that is right there stays so to the last epoch.
    """

    epochs: npt.NDArray[np.int64]
    right: npt.NDArray[np.bool_]
    codes: npt.NDArray[np.int8]
    times_forgotten: npt.NDArray[np.int64]
    stays: npt.NDArray[np.bool_]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many clips each group has after each epoch, shape (E, 4)."""
        return np.stack([(self.codes == code).sum(axis=1) for code in range(len(GROUPS))], axis=1)

    def place(self, epoch: int) -> int:
        """Return the place of an epoch; raise :class:`DataError` where it was not noted."""
        found = np.flatnonzero(self.epochs == epoch)
        if not len(found):
            raise DataError(f"Nothing was noted of epoch {epoch}.", f"Choose one up to {self.epochs[-1]}.")
        return int(found[0])

    def members(self, epoch: int, group: Group) -> npt.NDArray[np.int64]:
        """Return the clips of a group after an epoch: first those that came into it there, then the often forgotten."""
        place = self.place(epoch)
        clips = np.flatnonzero(self.codes[place] == GROUPS.index(group))
        order = np.lexsort((clips, -self.times_forgotten[place, clips], ~self.just(epoch)[clips]))
        return clips[order]

    def just(self, epoch: int) -> npt.NDArray[np.bool_]:
        """Return which clips changed from wrong to right or back in an epoch, shape (N,)."""
        place = self.place(epoch)
        if place == 0:
            return np.zeros(self.right.shape[1], dtype=bool)
        return np.asarray(self.right[place] != self.right[place - 1])


def follow(epochs: npt.NDArray[np.int64], right: npt.NDArray[np.bool_]) -> Forgetting:
    """Return what became of each clip.

    Parameters
    ----------
    epochs : ndarray of int64, shape (E,)
        Ascending.
    right : ndarray of bool, shape (E, N)
        Whether each clip was named rightly.

    Raises
    ------
    DataError
        If there is no epoch, or the two do not fit.
    """
    if right.ndim != 2 or len(epochs) != len(right) or not len(epochs):
        raise DataError(
            f"Expected a row of answers for each of {len(epochs)} epochs, got shape {right.shape}.",
            "Pass at least one epoch.",
        )
    always = np.logical_and.accumulate(right, axis=0)
    ever = np.logical_or.accumulate(right, axis=0)
    codes = np.where(right, np.where(always, 0, 1), np.where(ever, 2, 3)).astype(np.int8)
    fell = np.zeros(right.shape, dtype=np.int64)
    fell[1:] = right[:-1] & ~right[1:]
    return Forgetting(
        epochs=epochs,
        right=right,
        codes=codes,
        times_forgotten=fell.cumsum(axis=0),
        stays=np.logical_and.accumulate(right[::-1], axis=0)[::-1],
    )
