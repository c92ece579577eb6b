"""Tar archives, plain or packed with gzip, bzip2 or xz, within the same bounds as zips.

A packed tar can only be read from its start. It is unpacked once into a nameless temporary file,
counting as bytes come out; from there each entry is read where it lies.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import tarfile
import tempfile
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO, BinaryIO, cast

from samplemind_core.audio.decode import printable
from samplemind_core.data.archives import MAX_RATIO, Gatherer, check_size, too_large, too_many
from samplemind_core.data.sources import Tree
from samplemind_core.errors import ArchiveError, UnreadableAudioError
from samplemind_core.settings import MEBIBYTE, Limits

_CHUNK = 1 << 20
_HEADER_BYTES = 1 << 20  # a long name or extended header beyond this is no name
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error, lzma.LZMAError, ValueError, OverflowError)


@contextmanager
def open_tar(path: Path, limits: Limits) -> Iterator[Tree]:
    """Yield the usable files of a tar archive; their readers work inside the block, from any thread.

    Entries that are absolute, leave the archive, are links, devices, archives themselves or too
    large become rejects.

    Raises
    ------
    ArchiveError
        If it is not a tar, is damaged, or is over a limit as a whole.
    """
    shown = printable(path.name)
    packed = check_size(path, limits)
    with _plain(path, shown, packed, limits) as stream:
        yield _Entries(stream, shown, limits).tree()


class _Entries:
    def __init__(self, stream: BinaryIO, title: str, limits: Limits) -> None:
        self._stream, self._title, self._limits = stream, title, limits
        self._size = stream.seek(0, io.SEEK_END)
        self._lock = threading.Lock()

    def tree(self) -> Tree:
        gatherer = Gatherer(self._title, self._limits)
        self._stream.seek(0)
        try:
            with tarfile.open(fileobj=cast("IO[bytes]", _Bounded(self._stream)), mode="r:") as archive:
                for number, member in enumerate(archive, start=1):
                    if number > self._limits.max_archive_files:
                        raise too_many(self._title, self._limits)
                    read = partial(self._read, member.name, member.offset_data, member.size)
                    gatherer.take(member.name, self._fault(member), member.size, read, is_folder=member.isdir())
                self._stream.seek(archive.offset)
                if self._stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    # A whole tar ends with empty blocks; tarfile takes any other end for one.
                    gatherer.miss("the rest of the archive", "Cut off or damaged; what came after this is missing.")
        except _DAMAGE as error:
            raise _damaged(self._title, error) from None
        return gatherer.tree()

    def _fault(self, member: tarfile.TarInfo) -> str | None:
        if member.issym() or member.islnk():
            return "A link; those are never followed."
        if not (member.isreg() or member.isdir()) or member.issparse():
            return "A device, pipe or other special file, not a plain file."
        if member.isreg() and member.offset_data + member.size > self._size:
            return "Cut off: the archive ends in the middle of it."
        return None

    def _read(self, name: str, offset: int, size: int) -> bytes:
        with self._lock:
            self._stream.seek(offset)
            data = self._stream.read(size)
        if len(data) < size:
            raise UnreadableAudioError(f"{printable(name)} is cut off in the archive.", "Make the archive again.")
        return data


class _Bounded:
    """A stream that never reads more at once than a header may have: sizes in a tar can lie."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self._read = stream.seek, stream.tell, stream.read

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self._read(size)


@contextmanager
def _plain(path: Path, shown: str, packed: int, limits: Limits) -> Iterator[BinaryIO]:
    """Yield a tar's plain bytes, unpacked into a temporary file where they are packed."""
    try:
        with path.open("rb") as raw:
            unpack = _unpacker(raw)
            if unpack is None:
                yield raw
                return
            with tempfile.TemporaryFile(prefix="samplemind-") as plain:
                _unpack(unpack, plain, shown, packed, limits)
                yield cast("BinaryIO", plain)
    except PermissionError as error:
        raise ArchiveError(f"'{shown}' cannot be read: {error.strerror}.", "Check its access rights.") from None


def _unpacker(raw: BinaryIO) -> IO[bytes] | None:
    head = raw.read(6)
    raw.seek(0)
    if head[:2] == b"\x1f\x8b":
        return cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
    if head[:3] == b"BZh":
        return bz2.BZ2File(raw)
    if head == b"\xfd7zXZ\x00":
        return lzma.LZMAFile(raw)
    return None


def _unpack(source: IO[bytes], target: IO[bytes], shown: str, packed: int, limits: Limits) -> None:
    size = 0
    while True:
        try:
            part = source.read(_CHUNK)
        except _DAMAGE as error:
            raise _damaged(shown, error) from None
        if not part:
            return
        size += len(part)
        if size > limits.max_unpacked_mb * MEBIBYTE:
            raise too_large(shown, size, limits)
        if size > 16 * MEBIBYTE and size > MAX_RATIO * packed:
            raise ArchiveError(
                f"'{shown}' is packed more than {MAX_RATIO} to 1, as no recordings are.", "Leave it out."
            )
        target.write(part)


def _damaged(shown: str, error: Exception) -> ArchiveError:
    return ArchiveError(
        f"'{shown}' is not a usable tar archive: {str(error).rstrip('.') or 'it is damaged'}.",
        "Copy, download or make it again.",
    )
