"""Folders of the machine, searched without following a link or opening a pipe."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import Reader, Sieve, Tree, text_of
from samplemind_core.errors import AudioLimitError, EmptyAudioError, UnreadableAudioError
from samplemind_core.settings import MEBIBYTE
from samplemind_core.store.records import Reject

_CHUNK = 1 << 20


def scan_folder(root: Path, max_bytes: int, check: Callable[[], None] = lambda: None) -> Tree:
    """Return every file under a folder, sorted by name.

    Links are never followed, so the search ends and never leaves the folder. Links, pipes, devices,
    empty files and unreadable folders become rejects.

    Parameters
    ----------
    root : Path
        An existing folder.
    max_bytes : int
        Most bytes that a reader returns.
    check : callable
        Called once a folder; raises to end the search.
    """
    tree = Tree(printable(root.name or str(root)))
    sieve = Sieve()
    base = os.path.realpath(root)
    stack = [(os.fspath(root), "")]
    while stack:
        check()
        folder, prefix = stack.pop()
        if prefix:
            tree.folders.add(text_of(prefix.rstrip("/")))
        try:
            with os.scandir(folder) as entries:
                children = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            tree.rejects.append(Reject(text_of(prefix) or tree.title, f"Cannot be opened: {error.strerror}."))
            continue
        deeper = []
        for entry in children:
            raw = prefix + entry.name
            name = text_of(raw)
            try:
                if entry.is_symlink():
                    tree.rejects.append(Reject(name, _link_fault(entry.path, base)))
                elif entry.is_dir(follow_symlinks=False):
                    if entry.name.startswith(".") or entry.name == "__MACOSX":
                        tree.rejects.append(Reject(f"{name}/", "A hidden or system folder; not searched."))
                    else:
                        deeper.append((entry.path, f"{raw}/"))
                elif not entry.is_file(follow_symlinks=False):
                    tree.rejects.append(Reject(name, "A pipe, socket or device, not a file."))
                elif sieve.takes(name):
                    if entry.stat(follow_symlinks=False).st_size == 0:
                        tree.rejects.append(Reject(name, "An empty file (0 bytes)."))
                    else:
                        tree.files[name] = _reader(Path(entry.path), max_bytes)
            except OSError as error:
                tree.rejects.append(Reject(name, f"Cannot be read: {error.strerror}."))
        stack += reversed(deeper)
    tree.rejects += sieve.rejects()
    return tree


def folder_lookup(folder: Path, max_bytes: int) -> Callable[[str], tuple[str, Reader] | str]:
    """Return a function from a manifest's path to (the file's one name, its reader), or to why it cannot be used.

    The one name is the path with all links resolved: two spellings of a file share it.
    """
    base = os.path.realpath(folder)

    def lookup(path: str) -> tuple[str, Reader] | str:
        try:
            real = os.path.realpath(os.path.join(base, path), strict=True)  # noqa: PTH118 - strings, as realpath
            if os.path.commonpath([base, real]) != base:
                return "Leads out of the manifest's folder."
            mode = os.stat(real).st_mode  # noqa: PTH116
        except (FileNotFoundError, NotADirectoryError):
            return "The file does not exist."
        except (OSError, ValueError) as error:
            return f"Cannot be read: {getattr(error, 'strerror', None) or error}."
        if not stat.S_ISREG(mode):
            return "Is a folder." if stat.S_ISDIR(mode) else "Is a pipe, socket or device, not a file."
        return text_of(os.path.relpath(real, base)), _reader(Path(real), max_bytes)

    return lookup


def read_file(path: Path, max_bytes: int) -> bytes:
    """Return the bytes of a regular file.

    Raises
    ------
    UnreadableAudioError, EmptyAudioError, AudioLimitError
        If it is not a readable regular file, is empty, or has more than ``max_bytes`` bytes.
    """
    shown = printable(path.name)
    # What was a file when the folder was searched may be a pipe by now: O_NONBLOCK never waits for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    try:
        with os.fdopen(os.open(path, flags), "rb", buffering=0) as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableAudioError(f"{shown} is not a regular file.", "Choose a file.")
            parts, size = [], 0
            # A byte more than there should be: most files are one piece, and the next one is empty.
            chunk = min(status.st_size + 1, _CHUNK)
            while (part := stream.read(chunk)) or status.st_size > max_bytes:
                parts.append(part)
                size += len(part)
                if max(size, status.st_size) > max_bytes:
                    raise AudioLimitError(
                        f"{shown} is larger than the {max_bytes // MEBIBYTE} MiB that are allowed.",
                        "Cut it into single samples, or raise SAMPLEMIND_MAX_FILE_MB.",
                    )
    except OSError as error:
        raise UnreadableAudioError(f"{shown} cannot be read: {error.strerror}.", "Check its access rights.") from None
    if not size:
        raise EmptyAudioError(f"{shown} is an empty file (0 bytes).", "Copy or export it again.")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _reader(path: Path, max_bytes: int) -> Reader:
    return lambda: read_file(path, max_bytes)


def _link_fault(path: str, base: str) -> str:
    try:
        real = os.path.realpath(path, strict=True)
    except FileNotFoundError:
        return "A link to something that does not exist."
    except OSError:
        return "A link that leads to itself."
    inside = os.path.commonpath([base, real]) == base
    where = "elsewhere in this folder, where it is read once" if inside else "out of the folder"
    return f"A link that leads {where}; links are not followed."
