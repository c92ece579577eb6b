"""Zip archives, read entry by entry within bounds and never unpacked to disk.

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
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import Sieve, Tree, text_of
from samplemind_core.errors import ArchiveError, AudioLimitError, UnreadableAudioError
from samplemind_core.settings import MEBIBYTE, Limits
from samplemind_core.store.records import Reject

MAX_RATIO = 200
"""Largest ratio of unpacked to packed bytes of an entry over 1 MiB. Music stays below ten."""

_CHUNK = 1 << 20
_DIRECTORY_BYTES_PER_FILE = 512
_TAIL_BYTES = 22 + 0xFFFF
_ARCHIVES = frozenset([".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".7z", ".rar", ".tbz", ".txz", ".zst"])
_DRIVE = re.compile(r"^[A-Za-z]:")


def is_archive(path: Path) -> bool:
    """Return whether a file is named or starts like an archive; :func:`open_zip` says if it is of use."""
    if path.suffix.lower() in _ARCHIVES:
        return True
    try:
        if not path.is_file():
            return False
        with path.open("rb") as stream:
            return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06")
    except OSError:
        return False


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
    _check_whole(path, shown, limits)
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error) as error:
        raise _damaged(shown, str(error)) from None
    with archive:
        if len(archive.infolist()) > limits.max_archive_files:
            raise _too_many(shown, limits)
        yield _Entries(archive, shown, limits).tree()


class _Entries:
    def __init__(self, archive: zipfile.ZipFile, title: str, limits: Limits) -> None:
        self._archive = archive
        self._title = title
        self._limits = limits
        self._unpacked = 0
        self._lock = threading.Lock()

    def tree(self) -> Tree:
        tree = Tree(self._title)
        sieve = Sieve()
        claimed = 0
        for info in self._archive.infolist():
            name = text_of(info.filename.replace("\\", "/"))
            parts = [part for part in name.split("/") if part not in ("", ".")]
            fault = _name_fault(name, parts) or self._fault(info)
            clean = "/".join(parts)
            if fault is not None:
                tree.rejects.append(Reject(name, fault))
            elif name.endswith("/"):
                if "__MACOSX" not in parts:
                    tree.folders.add(clean)
            elif clean in tree.files:
                tree.rejects.append(Reject(clean, "The archive holds this name twice; the first one is used."))
            elif clean.lower().endswith(".csv") or sieve.takes(clean):
                if info.file_size == 0:
                    tree.rejects.append(Reject(clean, "An empty file (0 bytes)."))
                    continue
                claimed += info.file_size
                tree.files[clean] = lambda info=info: self._read(info)  # type: ignore[misc]
                tree.folders.update(str(folder) for folder in PurePosixPath(clean).parents if str(folder) != ".")
        if claimed > self._limits.max_unpacked_mb * MEBIBYTE:
            raise self._too_large(claimed)
        tree.rejects += sieve.rejects()
        tree.files = dict(sorted(tree.files.items()))
        return tree

    def _fault(self, info: zipfile.ZipInfo) -> str | None:
        mode = stat.S_IFMT(info.external_attr >> 16)
        if mode not in (0, stat.S_IFREG, stat.S_IFDIR):
            return "A link or special file; those are never followed." if mode == stat.S_IFLNK else "Not a plain file."
        if info.flag_bits & 0x1:
            return "Encrypted; make the archive again without a password."
        if info.is_dir():
            return None
        if PurePosixPath(info.filename).suffix.lower() in _ARCHIVES:
            return "An archive inside the archive; unpack it first."
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            return "Packed in an unusual way; make the archive again as an ordinary zip."
        if info.file_size > self._limits.max_file_bytes:
            return (
                f"Claims to unpack to {info.file_size / MEBIBYTE:,.0f} MiB; "
                f"at most {self._limits.max_file_mb} MiB are allowed."
            )
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
            raise self._too_large(total)

    def _too_large(self, size: int) -> ArchiveError:
        return ArchiveError(
            f"'{self._title}' unpacks to {size / MEBIBYTE:,.0f} MiB; "
            f"at most {self._limits.max_unpacked_mb:,} MiB are allowed.",
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


def _check_whole(path: Path, shown: str, limits: Limits) -> None:
    """Refuse what is too large before its directory is parsed, as parsing costs memory per entry."""
    if path.suffix.lower() in _ARCHIVES - {".zip"}:
        raise ArchiveError(
            f"'{shown}' is an archive of a kind that is not supported.", "Unpack it, or make a zip of it."
        )
    try:
        size = path.stat().st_size
        if size > limits.max_archive_mb * MEBIBYTE:
            raise ArchiveError(
                f"'{shown}' has {size / MEBIBYTE:,.0f} MiB; at most {limits.max_archive_mb:,} MiB are allowed.",
                "Import it in parts, or raise SAMPLEMIND_MAX_ARCHIVE_MB.",
            )
        with path.open("rb") as stream:
            stream.seek(max(0, size - _TAIL_BYTES))
            tail = stream.read()
    except OSError as error:
        raise ArchiveError(f"'{shown}' cannot be read: {error.strerror}.", "Check its access rights.") from None
    end = tail.rfind(b"PK\x05\x06")
    if end < 0 or len(tail) - end < 22:
        raise _damaged(shown, "its table of contents is missing; the file may be cut off")
    directory_bytes = int.from_bytes(tail[end + 12 : end + 16], "little")
    wide = tail.rfind(b"PK\x06\x06", 0, end)
    if wide >= 0 and directory_bytes == 0xFFFFFFFF:
        directory_bytes = int.from_bytes(tail[wide + 40 : wide + 48], "little")
    if directory_bytes > limits.max_archive_files * _DIRECTORY_BYTES_PER_FILE:
        raise _too_many(shown, limits)


def _damaged(shown: str, reason: str) -> ArchiveError:
    return ArchiveError(f"'{shown}' is not a usable zip archive: {reason}.", "Copy, download or make it again.")


def _too_many(shown: str, limits: Limits) -> ArchiveError:
    return ArchiveError(
        f"'{shown}' holds more than the {limits.max_archive_files:,} files that are allowed.",
        "Import it in parts, or raise SAMPLEMIND_MAX_ARCHIVE_FILES.",
    )
