"""Clips read from a file as they are needed: constant memory, however large the dataset.

A memory map read here and there ends up in this process's resident memory, page by page, until the kernel
takes it back. Reading at offsets into buffers of our own leaves the file to the kernel's page cache.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import StorageError

Item = TypeVar("Item")
Made = TypeVar("Made")

DEPTH = 4
"""Batches that wait at most."""
POLL_S = 0.1


class RowReader:
    """Rows of an array in any order, read from its file where it is mapped from one.

    Parameters
    ----------
    array : array (N, …)
        A memory map in C order is read from its file; any other array is indexed.
    """

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self._array = array
        self.shape, self.dtype = array.shape[1:], array.dtype
        self._row_bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        self._descriptor, self._offset = -1, 0
        offset = offset_in_file(array)
        if offset is not None and hasattr(os, "preadv"):
            self._offset = offset
            self._descriptor = os.open(array.filename, os.O_RDONLY)  # type: ignore[attr-defined]

    def read(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        """Return rows (n,) as an array (n, …) of its own, in the order asked for.

        Raises
        ------
        StorageError
            If the file has become shorter.
        """
        if self._descriptor < 0:
            return np.asarray(self._array[rows])
        found = np.empty((len(rows), *self.shape), self.dtype)
        places = found.view(np.uint8).reshape(len(rows), self._row_bytes)
        order = np.argsort(rows, kind="stable")  # ascending reads are sequential on disk
        if hasattr(os, "posix_fadvise"):
            for row in rows[order].tolist():  # the kernel may fetch them all at once
                os.posix_fadvise(self._descriptor, self._at(row), self._row_bytes, os.POSIX_FADV_WILLNEED)
        for place in order.tolist():
            view, at = memoryview(places[place]), self._at(int(rows[place]))
            while view.nbytes:
                got = os.preadv(self._descriptor, [view], at)
                if not got:
                    raise StorageError(
                        "The feature cache is shorter than it was when it was opened.",
                        "Start again: it is computed anew where it is damaged.",
                    )
                view, at = view[got:], at + got
        return found

    def _at(self, row: int) -> int:
        return self._offset + row * self._row_bytes

    def __del__(self) -> None:
        if getattr(self, "_descriptor", -1) >= 0:
            with suppress(OSError):
                os.close(self._descriptor)


def offset_in_file(array: npt.NDArray[Any]) -> int | None:
    """Return where an array begins in the file that it is mapped from; None where it is not one piece of a file."""
    if not (isinstance(array, np.memmap) and array.filename and array.flags.c_contiguous):
        return None
    # The array may be a part of its map; what counts is where it begins in the file.
    whole: np.memmap[Any, Any] = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    return int(whole.offset + array.ctypes.data - whole.ctypes.data)


def prefetched(make: Callable[[Item], Made], items: Iterable[Item], depth: int = DEPTH) -> Generator[Made]:
    """Yield ``make(item)`` of each item in order, made ahead by a thread; at most ``depth`` wait.

    What ``make`` raises is raised here, in its turn. Closing the iterator ends the thread.
    """
    waiting: queue.Queue[tuple[Any, BaseException | None, bool]] = queue.Queue(depth)
    closed = threading.Event()

    def put(entry: tuple[Any, BaseException | None, bool]) -> None:
        while not closed.is_set():
            with suppress(queue.Full):
                waiting.put(entry, timeout=POLL_S)
                return

    def work() -> None:
        try:
            for item in items:
                if closed.is_set():
                    return
                put((make(item), None, False))
        except BaseException as error:
            put((None, error, True))
        else:
            put((None, None, True))

    thread = threading.Thread(target=work, name="samplemind-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            made, error, last = waiting.get()
            if error is not None:
                raise error
            if last:
                return
            yield made
    finally:
        closed.set()
        thread.join()
