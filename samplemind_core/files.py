"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from samplemind_core.errors import StorageError

DAMAGED = (OSError, ValueError, KeyError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What reading arrays from an ``.npz`` raises that is missing, cut or damaged, wherever that is."""


def write_atomic(path: Path, content: bytes) -> None:
    """Write a file so that a reader, or a power cut, sees the old content or the new, never a part.

    Raises
    ------
    StorageError
        If the folder cannot be written; an existing file stays as it was.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except OSError as error:
        raise storage_error(path, error) from error


def drop_partial(folder: Path) -> None:
    """Delete what a writer that was killed left half done below a folder that nobody else writes to."""
    for partial in folder.rglob(".*.part"):
        partial.unlink(missing_ok=True)


@contextmanager
def open_arrays(path: Path) -> Iterator[Any]:
    """Open an ``.npz``, whose arrays are read when they are asked for; raises one of :data:`DAMAGED`."""
    import numpy as np

    # NumPy leaves a file open that it opened itself and that turns out to be no archive.
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
        yield arrays


def make_folder(path: Path) -> None:
    """Make a folder and its parents; raise :class:`StorageError` if that is not possible."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"The folder '{path}' cannot be made: {error.strerror or error}.",
            "Check its rights, or choose another one with SAMPLEMIND_WORKSPACE.",
        ) from error


def inert(text: str) -> str:
    """Return a text for a table that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text


def storage_error(path: Path, error: OSError) -> StorageError:
    """Return the error for a file that could not be written."""
    return StorageError(
        f"'{path.name}' could not be written: {error.strerror or error}.",
        f"Free some space, or check the rights of the folder '{path.parent}', then try again.",
    )


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return  # Windows has no handle on a folder to flush
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
