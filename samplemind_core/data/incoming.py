"""Dataset folders that are born whole: filled under another name, renamed, or removed without a trace."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from samplemind_core.errors import StorageError

if TYPE_CHECKING:
    from samplemind_core.store import Store

_PREFIX = ".incoming-"
_DELETED = ".deleted-"
_LOCK_WAIT_S = 60.0


def dataset_folder(root: Path, dataset_id: str) -> Path:
    """Return the folder of a dataset in a workspace."""
    return root / "datasets" / dataset_id


def delete_dataset_folder(root: Path, dataset_id: str) -> None:
    """Remove a dataset's audio and caches; a folder that is not there is no fault.

    Raises
    ------
    StorageError
        If the folder cannot be removed.
    """
    folder = dataset_folder(root, dataset_id)
    with storage_errors(folder):
        if folder.is_dir():
            doomed = folder.with_name(_DELETED + dataset_id)
            folder.rename(doomed)
            shutil.rmtree(doomed)


@contextmanager
def incoming_folder(root: Path, store: Store, dataset_id: str) -> Iterator[tuple[Path, Callable[[], None]]]:
    """Yield an empty folder and a function that gives it its final name.

    If the block ends with an error, before or after the renaming, nothing stays. What processes
    that have died left behind is removed first.

    Raises
    ------
    StorageError
        If the workspace cannot be written.
    """
    datasets = root / "datasets"
    folder, final = datasets / f"{_PREFIX}{dataset_id}", dataset_folder(root, dataset_id)
    lock = FileLock(f"{folder}.lock")
    with storage_errors(datasets):
        datasets.mkdir(parents=True, exist_ok=True)
        try:
            # Under one lock, so that nobody takes a folder that is just being made for an orphan.
            with FileLock(datasets / ".cleaning.lock", timeout=_LOCK_WAIT_S):
                _remove_orphans(datasets, store)
                lock.acquire(timeout=0)
        except Timeout:
            raise StorageError("Another process is clearing the workspace.", "Try again in a minute.") from None
    whole = False
    try:
        with storage_errors(folder):
            (folder / "audio").mkdir(parents=True)
            yield folder, lambda: _rename(folder, final)
        whole = True
    finally:
        if not whole:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(final, ignore_errors=True)
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


@contextmanager
def storage_errors(where: Path) -> Iterator[None]:
    """Turn what the file system refuses inside the block into a :class:`StorageError`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise StorageError(
                "The disk of the workspace is full.", "Free some space there, or choose another SAMPLEMIND_WORKSPACE."
            ) from error
        raise StorageError(
            f"The workspace cannot be written: {error.strerror or error} ({Path(error.filename or where).name}).",
            "Check the rights of the folder that SAMPLEMIND_WORKSPACE names.",
        ) from error


def _rename(folder: Path, final: Path) -> None:
    with storage_errors(final):
        folder.rename(final)


def _remove_orphans(datasets: Path, store: Store) -> None:
    for path in datasets.glob(f"{_PREFIX}*.lock"):
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue  # its process lives
        dataset_id = path.name.removeprefix(_PREFIX).removesuffix(".lock")
        shutil.rmtree(datasets / f"{_PREFIX}{dataset_id}", ignore_errors=True)
        # Killed between the renaming and the commit: the folder has its name, the database knows none.
        if store.datasets.find(dataset_id) is None:
            shutil.rmtree(datasets / dataset_id, ignore_errors=True)
        lock.release()
        path.unlink(missing_ok=True)
    for doomed in datasets.glob(f"{_DELETED}*"):
        shutil.rmtree(doomed, ignore_errors=True)
