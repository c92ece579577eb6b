"""Zip and tar archives, read entry by entry within bounds and never unpacked into a folder.

Sizes are counted while bytes come out; what the archive claims only serves to refuse it sooner.
"""

from __future__ import annotations

import re
import stat
import struct
import threading
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path, PurePosixPath

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import Reader, Sieve, Tree, text_of
from samplemind_core.errors import ArchiveError, AudioLimitError, UnreadableAudioError
from samplemind_core.settings import MEBIBYTE, Limits
from samplemind_core.store.records import Reject

MAX_RATIO = 200
"""Largest ratio of unpacked to packed bytes of an entry over 1 MiB. Music stays below ten."""

_CHUNK = 1 << 20
_DIRECTORY_BYTES_PER_FILE = 512
_TAIL_BYTES = 22 + 0xFFFF
TAR_SUFFIXES = (".tar", ".tgz", ".gz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz")
ARCHIVE_SUFFIXES = (".zip", *TAR_SUFFIXES)
"""Last suffixes of the archives that can be read."""

_ARCHIVES = frozenset([*ARCHIVE_SUFFIXES, ".7z", ".rar", ".zst"])
_DRIVE = re.compile(r"^[A-Za-z]:")


def is_archive(path: Path) -> bool:
    """Return whether a file is named or starts like an archive; :func:`open_archive` says if it is of use."""
    if is_archive_name(path.name):
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


def is_archive_name(name: str) -> bool:
    """Return whether a file is named like an archive, of a kind that can be read or not."""
    return PurePosixPath(name).suffix.lower() in _ARCHIVES


def open_archive(path: Path, limits: Limits) -> AbstractContextManager[Tree]:
    """Yield the usable files of a zip or tar archive; parameters and errors as for :func:`open_zip`."""
    from samplemind_core.data.tars import open_tar

    return open_tar(path, limits) if path.suffix.lower() in TAR_SUFFIXES else open_zip(path, limits)


@contextmanager
def open_zip(path: Path, limits: Limits) -> Iterator[Tree]:
    """Yield the usable files of a zip archive; their readers work inside the block, from any thread.

    Entries that are absolute, leave the archive, are links, encrypted, archives themselves, too
    large or suspiciously well packed become rejects.

    Raises
    ------
    ArchiveError
        If it is not a zip, is damaged, or is over a limit as a whole.
    """
    shown = printable(path.name)
    _check_directory(path, shown, check_size(path, limits), limits)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _damaged(shown, str(error)) from None
    with archive:
        if len(archive.infolist()) > limits.max_archive_files:
            raise too_many(shown, limits)
        yield _Entries(archive, shown, limits).tree()


class Gatherer:
    """Puts the entries of an archive into a :class:`Tree`, the bad ones among its rejects."""

    def __init__(self, title: str, limits: Limits) -> None:
        self._tree = Tree(title)
        self._limits = limits
        self._sieve = Sieve()
        self._claimed = 0

    def take(self, raw: str, fault: str | None, size: int, read: Reader, *, is_folder: bool) -> None:
        """Take an entry by its name in the archive; ``fault`` is what else is wrong with it, if anything."""
        tree = self._tree
        name = text_of(raw.replace("\\", "/"))
        parts = [part for part in name.split("/") if part not in ("", ".")]
        clean = "/".join(parts)
        fault = _name_fault(name, parts) or fault or self._size_fault(clean, size, is_folder)
        if is_folder and not parts:
            return  # the archive's own root
        if fault is not None:
            tree.rejects.append(Reject(name, fault))
        elif is_folder:
            if "__MACOSX" not in parts:
                tree.folders.add(clean)
        elif clean in tree.files:
            tree.rejects.append(Reject(clean, "The archive holds this name twice; the first one is used."))
        elif clean.lower().endswith(".csv") or self._sieve.takes(clean):
            if size == 0:
                tree.rejects.append(Reject(clean, "An empty file (0 bytes)."))
                return
            self._claimed += size
            tree.files[clean] = read
            tree.folders.update(str(folder) for folder in PurePosixPath(clean).parents if str(folder) != ".")

    def miss(self, name: str, reason: str) -> None:
        """Note what cannot be had."""
        self._tree.rejects.append(Reject(name, reason))

    def tree(self) -> Tree:
        """Return what was taken, sorted by name; raise :class:`ArchiveError` if it is too much."""
        if self._claimed > self._limits.max_unpacked_mb * MEBIBYTE:
            raise too_large(self._tree.title, self._claimed, self._limits)
        self._tree.rejects += self._sieve.rejects()
        self._tree.files = dict(sorted(self._tree.files.items()))
        return self._tree

    def _size_fault(self, name: str, size: int, is_folder: bool) -> str | None:
        if is_folder:
            return None
        if PurePosixPath(name).suffix.lower() in _ARCHIVES:
            return "An archive inside the archive; unpack it first."
        if size > self._limits.max_file_bytes:
            return (
                f"Claims to unpack to {size / MEBIBYTE:,.0f} MiB; at most {self._limits.max_file_mb} MiB are allowed."
            )
        return None


class _Entries:
    def __init__(self, archive: zipfile.ZipFile, title: str, limits: Limits) -> None:
        self._archive = archive
        self._title = title
        self._limits = limits
        self._unpacked = 0
        self._lock = threading.Lock()

    def tree(self) -> Tree:
        gatherer = Gatherer(self._title, self._limits)
        for info in self._archive.infolist():
            read = partial(self._read, info)
            gatherer.take(info.filename, self._fault(info), info.file_size, read, is_folder=info.is_dir())
        return gatherer.tree()

    def _fault(self, info: zipfile.ZipInfo) -> str | None:
        mode = stat.S_IFMT(info.external_attr >> 16)
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            return "A link or special file; those are never followed." if mode == stat.S_IFLNK else "Not a plain file."
        if info.flag_bits & 0x1:
            return "Encrypted; make the archive again without a password."
        if info.is_dir():
            return None
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "Packed in an unusual way; make the archive again as an ordinary zip."
        if info.file_size > MEBIBYTE and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            return f"Packed more than {MAX_RATIO} to 1, as no recording is."
        return None

    def _read(self, info: zipfile.ZipInfo) -> bytes:
        shown = printable(info.filename)
        parts, size = [], 0
        try:
            with self._archive.open(info) as stream:
                while part := stream.read(_CHUNK):
                    parts.append(part)
                    size += len(part)
                    if size > self._limits.max_file_bytes:
                        raise AudioLimitError(
                            f"{shown} unpacks to more than {self._limits.max_file_mb} MiB.", "Leave it out."
                        )
                    self._count(len(part))
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, ValueError, struct.error) as error:
            raise UnreadableAudioError(
                f"{shown} is damaged in the archive ({str(error).rstrip('.')}).", "Make the archive again."
            ) from None
        return b"".join(parts)

    def _count(self, num_bytes: int) -> None:
        with self._lock:
            self._unpacked += num_bytes
            total = self._unpacked
        if total > self._limits.max_unpacked_mb * MEBIBYTE:
            raise too_large(self._title, total, self._limits)


def too_large(title: str, size: int, limits: Limits) -> ArchiveError:
    """Return the error for an archive that unpacks to too much."""
    return ArchiveError(
        f"'{title}' unpacks to {size / MEBIBYTE:,.0f} MiB; at most {limits.max_unpacked_mb:,} MiB are allowed.",
        "Import it in parts, or raise SAMPLEMIND_MAX_UNPACKED_MB.",
    )


def _name_fault(name: str, parts: list[str]) -> str | None:
    if name.startswith("/") or _DRIVE.match(name):
        return "An absolute path; an archive may only name files inside itself."
    if ".." in parts:
        return "Leads out of the archive ('..')."
    if not parts:
        return "Has no name."
    return None


def check_size(path: Path, limits: Limits) -> int:
    """Return the bytes of an archive; raise :class:`ArchiveError` if they are too many or of an unknown kind."""
    shown = printable(path.name)
    if path.suffix.lower() in _ARCHIVES - set(ARCHIVE_SUFFIXES):
        raise ArchiveError(
            f"'{shown}' is an archive of a kind that is not supported.", "Unpack it, or make a zip or tar of it."
        )
    try:
        size = path.stat().st_size
    except OSError as error:
        raise _closed(shown, error) from None
    if size > limits.max_archive_mb * MEBIBYTE:
        raise ArchiveError(
            f"'{shown}' has {size / MEBIBYTE:,.0f} MiB; at most {limits.max_archive_mb:,} MiB are allowed.",
            "Import it in parts, or raise SAMPLEMIND_MAX_ARCHIVE_MB.",
        )
    return size


def _check_directory(path: Path, shown: str, size: int, limits: Limits) -> None:
    """Refuse a zip whose directory is too large before it is parsed, as parsing costs memory per entry."""
    try:
        with path.open("rb") as stream:
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read()
    except OSError as error:
        raise _closed(shown, error) from None
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise _damaged(shown, "its table of contents is missing; the file may be cut off")
    directory_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    wide = tail.rfind(b"PK\x06\x06", 0, end)
    if wide >= 0 and directory_bytes == 0xFFFFFFFF:
        directory_bytes = int.from_bytes(tail[wide + 40 : wide + 48], "little")
    if directory_bytes > limits.max_archive_files * _DIRECTORY_BYTES_PER_FILE:
        raise too_many(shown, limits)


def _closed(shown: str, error: OSError) -> ArchiveError:
    return ArchiveError(f"'{shown}' cannot be read: {error.strerror}.", "Check its access rights.")


def _damaged(shown: str, reason: str) -> ArchiveError:
    return ArchiveError(f"'{shown}' is not a usable zip archive: {reason}.", "Copy, download or make it again.")


def too_many(shown: str, limits: Limits) -> ArchiveError:
    """Return the error for an archive with too many entries."""
    return ArchiveError(
        f"'{shown}' holds more than the {limits.max_archive_files:,} files that are allowed.",
        "Import it in parts, or raise SAMPLEMIND_MAX_ARCHIVE_FILES.",
    )
