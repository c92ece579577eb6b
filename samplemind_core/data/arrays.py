"""The three ``.npz`` files of ready-made spectrograms, read block by block and never unpickled.

Headers are checked against the bytes that are there before anything is allocated.
"""

from __future__ import annotations

import math
import os
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import quoted
from samplemind_core.errors import DataError
from samplemind_core.settings import MEBIBYTE, Limits
from samplemind_core.store.records import Split

FILES: dict[Split, tuple[str, ...]] = {
    "train": ("train.npz",),
    "val": ("validation.npz", "val.npz", "valid.npz"),
    "test": ("test.npz",),
}
ADVICE = "Expected arrays X (clips, mel bands, frames) and y (clips,), saved with numpy.savez."
_BLOCK_BYTES = 8 * MEBIBYTE
_FORTRAN_ROWS = 256
_DAMAGE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, RuntimeError, NotImplementedError)


@dataclass(frozen=True, slots=True)
class Header:
    """Shape, order and type of a stored array."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype[Any]


@dataclass(slots=True)
class Part:
    """One of the three files, its header read and its labels in memory."""

    split: Split
    title: str
    archive: zipfile.ZipFile
    member: str
    header: Header
    targets: NDArray[Any]
    names: tuple[str, ...] | None
    low: float = math.inf
    high: float = -math.inf

    @property
    def count(self) -> int:
        """Number of clips."""
        return self.header.shape[0]

    @property
    def image(self) -> tuple[int, int]:
        """(n_mels, frames), without axes of length one."""
        shape = list(self.header.shape[1:])
        while len(shape) > 2 and 1 in shape:
            shape.remove(1)
        if len(shape) != 2:
            raise DataError(f"X in {self.title} has shape {self.header.shape}.", ADVICE)
        return shape[0], shape[1]


def has_npz(source: Path) -> bool:
    """Return whether a folder or zip holds ``train.npz``."""
    try:
        if source.is_dir():
            return (source / "train.npz").is_file()
        if not zipfile.is_zipfile(source):
            return False
        with zipfile.ZipFile(source) as archive:
            return _member(archive, FILES["train"]) is not None
    except _DAMAGE:
        return False  # the ordinary import says what is wrong with it


def open_parts(source: Path, stack: ExitStack, limits: Limits) -> Iterator[Part]:
    """Yield train, val and test of a folder or zip, checked but for their values; ``stack`` keeps them open.

    Raises
    ------
    DataError
        Naming the file and what is wrong with it.
    """
    outer = None if source.is_dir() else stack.enter_context(_zip(source, source.name, limits))
    for split, names in FILES.items():
        if outer is None:
            path = next((source / name for name in names if (source / name).is_file()), None)
            if path is None:
                raise _missing(names)
            title, file = path.name, stack.enter_context(_opened(path))
        else:
            info = _member(outer, names)
            if info is None:
                raise _missing(names)
            title, file = info.filename, stack.enter_context(_stream(outer, info.filename))
            if info.compress_type != zipfile.ZIP_STORED and info.file_size > 200 * max(info.compress_size, 1):
                raise DataError(f"{title} is packed more than 200 to 1.", "Pack the files again.")
        yield _part(split, printable(title), stack.enter_context(_zip(file, title, limits)))


def _part(split: Split, title: str, archive: zipfile.ZipFile) -> Part:
    arrays = {name.removesuffix(".npy"): name for name in archive.namelist() if name.endswith(".npy")}

    def key(*names: str) -> str | None:
        return next((arrays[name] for name in names if name in arrays), None)

    x, y, classes = key("X", "x"), key("y", "Y"), key("class_names", "classes")
    if x is None or y is None:
        raise DataError(f"{title} holds {quoted(sorted(arrays)) or 'no arrays'}, expected X and y.", ADVICE)
    header, targets = _header(archive, x, title), _load(archive, y, title)
    if header.dtype.kind != "f" and header.dtype.kind not in "iu":
        raise DataError(f"X in {title} holds {header.dtype}, expected floats.", ADVICE)
    if len(header.shape) < 3:
        raise DataError(f"X in {title} has shape {header.shape}.", ADVICE)
    if targets.ndim == 2 and targets.shape[1] == 1:
        targets = targets[:, 0]
    if targets.ndim != 1:
        raise DataError(
            f"y in {title} has shape {targets.shape}, expected ({header.shape[0]},).",
            "Store one label per clip; of one-hot rows, numpy.argmax(y, axis=1).",
        )
    if len(targets) != header.shape[0]:
        raise DataError(f"{title} has {header.shape[0]} rows in X, but {len(targets)} labels in y.", "Store it again.")
    if not len(targets):
        raise DataError(f"{title} has no clips.", "Each of the three files needs some.")
    names = None if classes is None else tuple(str(name) for name in as_text(_load(archive, classes, title)).ravel())
    return Part(split, title, archive, x, header, targets, names)


def block_sizes(part: Part) -> list[int]:
    """Return the numbers of rows of the blocks that :func:`blocks` yields, which the header alone decides."""
    step = _FORTRAN_ROWS if part.header.fortran else max(1, _BLOCK_BYTES // _row_bytes(part))
    return [min(step, part.count - start) for start in range(0, part.count, step)]


def blocks(part: Part, first: int = 0) -> Iterator[NDArray[np.float32]]:
    """Yield X as (B, n_mels, frames) float32, in order, from a row on."""
    header, image = part.header, part.image
    if first >= part.count:
        return
    if header.fortran:  # its first axis varies fastest, so rows cannot be read one after another
        whole = _load(part.archive, part.member, part.title)
        for start in range(first, len(whole), _FORTRAN_ROWS):
            yield whole[start : start + _FORTRAN_ROWS].reshape(-1, *image).astype(np.float32)
        return
    row_bytes = _row_bytes(part)
    step = max(1, _BLOCK_BYTES // row_bytes)
    with _stream(part.archive, part.member) as stream:
        _read_header(stream)
        try:
            stream.seek(first * row_bytes, os.SEEK_CUR)
        except _DAMAGE as error:
            raise _damaged(part.title, error) from None
        for start in range(first, part.count, step):
            rows = min(step, part.count - start)
            data = _exactly(stream, rows * row_bytes, part.title)
            with np.errstate(over="ignore"):  # too large for float32 becomes infinity, which is refused
                yield np.frombuffer(data, header.dtype).reshape(rows, *image).astype(np.float32)


def _row_bytes(part: Part) -> int:
    return part.header.dtype.itemsize * math.prod(part.image)


def _exactly(stream: IO[bytes], size: int, title: str) -> bytes:
    try:
        data = stream.read(size)
    except _DAMAGE as error:
        raise _damaged(title, error) from None
    if len(data) != size:
        raise DataError(f"{title} is cut off.", "Copy or make it again.")
    return data


def _header(archive: zipfile.ZipFile, member: str, title: str) -> Header:
    """Return an array's header, once it agrees with the bytes that are there."""
    try:
        with archive.open(member) as stream:
            header = _read_header(stream)
            held = archive.getinfo(member).file_size
    except _DAMAGE as error:
        raise _damaged(title, error) from None
    key = member.removesuffix(".npy")
    if header.dtype.hasobject:
        raise DataError(
            f"{key} in {title} holds pickled Python objects, which are never loaded: they can run code.",
            "Store plain arrays, for example y = numpy.array(labels, dtype=str).",
        )
    if math.prod(header.shape) * header.dtype.itemsize > held:
        raise DataError(f"{key} in {title} claims shape {header.shape}, but holds fewer values.", "Make it again.")
    return header


def _read_header(stream: IO[bytes]) -> Header:
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(stream)
    else:
        raise ValueError(f"an array format of version {version}")
    return Header(shape, bool(fortran) and len(shape) > 1, dtype)


def _load(archive: zipfile.ZipFile, member: str, title: str) -> NDArray[Any]:
    _header(archive, member, title)
    try:
        with archive.open(member) as stream:
            array: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    except _DAMAGE as error:
        raise _damaged(title, error) from None
    return array


def as_text(array: NDArray[Any]) -> NDArray[Any]:
    """Return labels with bytes decoded to str."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError:
        raise DataError("Labels stored as bytes are not UTF-8.", "Store them as str.") from None


@contextmanager
def _zip(file: Path | IO[bytes], title: str, limits: Limits) -> Iterator[zipfile.ZipFile]:
    try:
        archive = zipfile.ZipFile(file)
    except _DAMAGE as error:
        raise _damaged(printable(title), error) from None
    with archive:
        size = sum(info.file_size for info in archive.infolist())
        if size > limits.max_unpacked_mb * MEBIBYTE:
            raise DataError(
                f"{printable(title)} unpacks to {size / MEBIBYTE:,.0f} MiB; at most {limits.max_unpacked_mb:,} MiB "
                "are allowed.",
                "Raise SAMPLEMIND_MAX_UNPACKED_MB.",
            )
        yield archive


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        stream = path.open("rb")
    except OSError as error:
        raise _damaged(printable(path.name), error) from None
    with stream:
        yield stream


@contextmanager
def _stream(archive: zipfile.ZipFile, member: str) -> Iterator[IO[bytes]]:
    try:
        stream = archive.open(member)
    except _DAMAGE as error:
        raise _damaged(printable(member), error) from None
    with stream:
        yield stream


def _member(archive: zipfile.ZipFile, names: tuple[str, ...]) -> zipfile.ZipInfo | None:
    """Return the entry of one of these names at the root or in one folder."""
    for info in archive.infolist():
        parts = info.filename.split("/")
        if parts[-1] in names and len(parts) <= 2 and parts[0] != "__MACOSX":
            return info
    return None


def _missing(names: tuple[str, ...]) -> DataError:
    return DataError(f"There is no {' or '.join(names)}.", "Expected train.npz, validation.npz and test.npz together.")


def _damaged(title: str, error: Exception) -> DataError:
    return DataError(f"{title} cannot be read ({str(error).rstrip('.')}).", ADVICE)
