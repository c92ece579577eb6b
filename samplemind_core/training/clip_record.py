"""What the network called each validation clip, epoch by epoch: one small file beside a run's checkpoints.

Two or three bytes for a clip and an epoch. An epoch's place in the file follows from its number, so that an
epoch which is trained again after a crash falls onto its own place and takes along whatever came after it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import CheckpointError
from samplemind_core.files import storage_error, write_atomic
from samplemind_core.training.training_data import TrainingData

FILE = "val_clips.record"
MAX_BYTES = 64 << 20
"""A longer record leaves epochs out, evenly, so that it stays below this size."""

_FORMAT = 1
_LEVELS = 255


@dataclass(frozen=True, eq=False)
class ClipHistory:
    """What became of each validation clip.

    Attributes
    ----------
    epochs : ndarray of int64, shape (E,)
        Those that were noted, ascending.
    called : ndarray of int64, shape (E, N)
        Place in ``class_names`` of what the network called each clip.
    confidence : ndarray of float64, shape (E, N)
        Probability that it gave the clip's own label, in steps of 1/255.
    rows : ndarray of int64, shape (N,)
        Rows of the clips in the dataset.
    targets : ndarray of int64, shape (N,)
        Places of their labels at the time of training.
    class_names : tuple of str
    """

    epochs: npt.NDArray[np.int64]
    called: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    rows: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    class_names: tuple[str, ...]

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether each clip was named rightly in each epoch, shape (E, N)."""
        return np.asarray(self.called == self.targets)


class ClipRecord:
    """Notes what every validation clip was called.

    Parameters
    ----------
    path : Path
    rows, targets : ndarray of int64, shape (N,)
        Of the validation clips.
    class_names : tuple of str
    epochs : int
        How many are planned; decides whether some are left out.
    """

    def __init__(
        self,
        path: Path,
        rows: npt.NDArray[np.int64],
        targets: npt.NDArray[np.int64],
        class_names: tuple[str, ...],
        epochs: int,
    ) -> None:
        self._path = path
        self._about: dict[str, Any] = {
            "rows": rows.tolist(),
            "targets": targets.tolist(),
            "class_names": list(class_names),
        }
        self._size = _record_size(len(rows), len(class_names))
        self._every = max(1, -(-self._size * epochs // MAX_BYTES))
        self._place: tuple[int, int, int] | None = None  # bytes of the header, first epoch, every

    @classmethod
    def of(cls, path: Path, data: TrainingData, epochs: int) -> ClipRecord:
        """Return the record of a run's validation clips."""
        return cls(path, data.val_rows, data.targets[data.val_rows], data.class_names, epochs)

    def note(self, epoch: int, called: npt.NDArray[np.int64], confidence: npt.NDArray[np.float64]) -> None:
        """Note an epoch in its place; what the file held from there on is void.

        Parameters
        ----------
        epoch : int
        called : ndarray of int64, shape (N,)
        confidence : ndarray of float64, shape (N,)
            Probability of the clip's own label.

        Raises
        ------
        StorageError
            If the file cannot be written.
        """
        try:
            start, first, every = self._place or self._continued(epoch) or self._begin(epoch)
            if (epoch - first) % every:
                return
            self._place = start, first, every
            content = called.astype(_dtype(len(self._about["class_names"]))).tobytes()
            content += np.rint(np.clip(confidence, 0, 1) * _LEVELS).astype(np.uint8).tobytes()
            with self._path.open("r+b") as file:
                file.seek(start + (epoch - first) // every * self._size)
                file.truncate()
                file.write(content)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def _continued(self, epoch: int) -> tuple[int, int, int] | None:
        """Return where the file of an earlier attempt goes on, or None where it cannot."""
        if not self._path.exists():
            return None
        try:
            header, start = _header(self._path)
        except CheckpointError:
            return None
        if any(header[name] != value for name, value in self._about.items()) or epoch < header["first_epoch"]:
            return None
        held = (self._path.stat().st_size - start) // self._size
        missing = -(-(epoch - header["first_epoch"]) // header["every"]) > held
        return None if missing else (start, header["first_epoch"], header["every"])

    def _begin(self, epoch: int) -> tuple[int, int, int]:
        header = {"format": _FORMAT, **self._about, "first_epoch": epoch, "every": self._every}
        line = json.dumps(header, separators=(",", ":")).encode() + b"\n"
        write_atomic(self._path, line)
        return len(line), epoch, self._every


def read_clip_record(path: Path, last_epoch: int) -> ClipHistory | None:
    """Return what was noted up to an epoch; None where nothing was.

    Parameters
    ----------
    path : Path
    last_epoch : int
        The newest epoch that counts: what lies after it belongs to an attempt that a resumed run replaces.

    Raises
    ------
    CheckpointError
        If the file is damaged.
    """
    if not path.exists():
        return None
    header, start = _header(path)
    names = tuple(header["class_names"])
    num_clips, size = len(header["rows"]), _record_size(len(header["rows"]), len(names))
    content = path.read_bytes()[start:]
    noted = header["first_epoch"] + header["every"] * np.arange(len(content) // size, dtype=np.int64)
    epochs = noted[noted <= last_epoch]
    if not len(epochs):
        return None
    records = np.frombuffer(content, np.uint8, len(epochs) * size).reshape(len(epochs), size)
    dtype = _dtype(len(names))
    called = records[:, : num_clips * dtype.itemsize].copy().view(dtype).astype(np.int64)
    return ClipHistory(
        epochs=epochs,
        called=called,
        confidence=records[:, num_clips * dtype.itemsize :] / _LEVELS,
        rows=np.array(header["rows"], dtype=np.int64),
        targets=np.array(header["targets"], dtype=np.int64),
        class_names=names,
    )


def _dtype(num_classes: int) -> np.dtype[np.unsignedinteger]:
    return np.dtype("u1") if num_classes <= 256 else np.dtype("<u2")


def _record_size(num_clips: int, num_classes: int) -> int:
    return num_clips * (_dtype(num_classes).itemsize + 1)


def _header(path: Path) -> tuple[dict[str, Any], int]:
    """Return what a file says of itself, and where its records begin."""
    try:
        with path.open("rb") as file:
            line = file.readline()
        header = json.loads(line)
        shape = {"rows": list, "targets": list, "class_names": list, "first_epoch": int, "every": int}
        if header["format"] != _FORMAT or any(not isinstance(header[name], kind) for name, kind in shape.items()):
            raise ValueError("it has another format")
        if len(header["rows"]) != len(header["targets"]) or header["every"] < 1 or not header["rows"]:
            raise ValueError("its figures contradict each other")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"The record of the validation clips, '{path.name}', cannot be read: {error}.",
            "The run's curves and checkpoints are not affected.",
        ) from error
    return header, len(line)
