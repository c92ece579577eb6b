"""Files become clips: each is read, decoded, checked and transformed once, several at a time, and noted in a journal.

What is finished stays finished: an import that goes on in the same folder takes what the journal
knows and reads only the rest.
"""

from __future__ import annotations

import gc
import json
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import AUDIO_SUFFIXES, AudioInfo
from samplemind_core.audio.listeners import CHUNK, Listeners, listeners
from samplemind_core.config import USUAL_FEATURES
from samplemind_core.data.cache import cache_header, write_cache
from samplemind_core.data.making import Outcome, RawFile, Reading, lost, make_clips
from samplemind_core.data.sources import Candidate
from samplemind_core.errors import AudioError, StoppedError
from samplemind_core.settings import Limits

_AHEAD = 3  # parts of the source in the hands of each thread: enough to keep it busy, little enough to hold
_PART = 64  # candidates in a part at most: those that an earlier attempt has read count little
_MUCH = 4 << 20  # bytes of content that are decoded at a time, unless one file has more
_COPIED_ROWS = 256
_LAYOUT = 3  # of the folder: what a version with another one has left is not believed


class Workbench:
    """The folder in which an import is put together.

    Parameters
    ----------
    folder : Path
        Made if need be; ``audio/`` holds the files, ``log_mel`` their spectrograms row after row,
        ``journal`` what became of each.
    stamp : str
        What tells the source from another one of the same place; a journal with another stamp is
        not believed.
    """

    def __init__(self, folder: Path, stamp: str = "") -> None:
        self.folder = folder
        self.audio = folder / "audio"
        self._folder = os.fspath(folder)
        self.features = USUAL_FEATURES
        self.row_bytes = 2 * math.prod(self.features.shape)
        self._journal, self._rows = folder / "journal", folder / "log_mel"
        self._row_start = len(cache_header((0, *self.features.shape)))
        self._whole = 0  # bytes of the journal up to its last whole line
        self._known = self._read(stamp)
        self._stamp = stamp
        self._count = max((row.row + 1 for row in self._known.values()), default=0)
        self._files = len(self._known)

    def read(
        self, candidates: Iterable[Candidate], limits: Limits, check: Callable[[], None], expected: int | None = None
    ) -> Iterator[tuple[Candidate, Reading]]:
        """Yield each candidate with what became of it, in order; few files are in memory at a time.

        ``check`` is called between files and raises to end the work; ``expected`` is how many candidates
        there are, where that is known: thousands are read by processes.
        """
        self.audio.mkdir(parents=True, exist_ok=True)
        parts: deque[tuple[list[tuple[Candidate, Reading | None]], Future[list[Outcome]]]] = deque()
        with ExitStack() as stack:
            if self._known:
                os.truncate(self._journal, self._whole)  # what comes next begins a line of its own
            journal = stack.enter_context(self._journal.open("a" if self._known else "w", encoding="utf-8"))
            rows = stack.enter_context(self._rows.open("r+b" if self._known else "w+b"))
            rows.truncate(self._place(self._count))
            rows.seek(0, os.SEEK_END)
            if not self._known:
                journal.write(json.dumps(self._first_line(self._stamp)) + "\n")
            stack.enter_context(_single_threaded())
            stack.enter_context(_without_old_garbage())
            processes = stack.enter_context(listeners().at_work(expected))
            num_threads = processes.num_threads
            pool = stack.enter_context(ThreadPoolExecutor(num_threads, thread_name_prefix="import"))
            stack.callback(pool.shutdown, cancel_futures=True)

            def finished() -> list[tuple[Candidate, Reading]]:
                part, future = parts.popleft()
                outcomes = iter(future.result())
                done, lines, made = [], [], []
                for candidate, reading in part:
                    if reading is None:
                        reading, row = next(outcomes)
                        if row:
                            made.append(row)
                            reading = replace(reading, row=self._count)
                            self._count += 1
                        lines.append(_line(reading))
                    done.append((candidate, reading))
                rows.write(b"".join(made))
                rows.flush()  # before the journal, which promises that the row is there
                journal.write("".join(lines))
                journal.flush()
                return done

            for part in self._parts(candidates, check, drop=lambda: [finished() for _ in range(len(parts))]):
                new = []
                for candidate, known in part:
                    if known is None:
                        new.append((self._files, candidate))
                        self._files += 1
                parts.append((part, pool.submit(self._work, new, processes, limits)))
                if len(parts) >= _AHEAD * num_threads:
                    yield from finished()
            while parts:
                yield from finished()

    def _parts(
        self, candidates: Iterable[Candidate], check: Callable[[], None], drop: Callable[[], object]
    ) -> Iterator[list[tuple[Candidate, Reading | None]]]:
        """Yield candidates a few at a time, with what is known of them; ``drop`` is called when the work is to end."""
        part: list[tuple[Candidate, Reading | None]] = []
        num_new = 0
        for candidate in candidates:
            try:
                check()
            except StoppedError:
                drop()  # what is in hand is nearly done, and worth keeping
                raise
            known = self._known.get(candidate.name)
            part.append((candidate, known))
            num_new += known is None
            if num_new == CHUNK or len(part) == _PART:
                yield part
                part, num_new = [], 0
        if part:
            yield part

    def rows(self, order: list[int]) -> Iterator[NDArray[np.float16]]:
        """Yield the spectrograms of some rows in blocks (B, 1, n_mels, frames), without mapping the file."""
        shape = (-1, *self.features.shape)
        with self._rows.open("rb") as stream:
            for start in range(0, len(order), _COPIED_ROWS):
                parts = []
                for row in order[start : start + _COPIED_ROWS]:
                    stream.seek(self._place(row))
                    parts.append(stream.read(self.row_bytes))
                yield np.frombuffer(b"".join(parts), dtype="<f2").reshape(shape)

    def hand_over(self, order: list[int], file: Path) -> None:
        """Make a cache file of the spectrograms of some rows; nothing else can be done with any row after that."""
        shape = (len(order), *self.features.shape)
        if order != list(range(len(order))):
            write_cache(file, shape, self.rows(order))
            return
        # None is missing in between: what was written becomes the cache, and takes no space twice.
        with self._rows.open("r+b") as stream:
            stream.write(cache_header(shape))
            stream.truncate(self._place(len(order)))
            stream.flush()
            os.fsync(stream.fileno())
        self._rows.rename(file)

    def _place(self, row: int) -> int:
        """Return where a row begins, in bytes: the file is laid out as the cache is."""
        return self._row_start + row * self.row_bytes

    def _first_line(self, stamp: str) -> dict[str, Any]:
        """Return what the journal begins with."""
        return {"layout": _LAYOUT, "stamp": stamp, "features": self.features.model_dump(mode="json")}

    def _work(self, new: list[tuple[int, Candidate]], processes: Listeners, limits: Limits) -> list[Outcome]:
        """Return what becomes of numbered candidates, in order."""
        outcomes: list[Outcome] = []
        waiting: list[RawFile] = []
        work = partial(make_clips, folder=self._folder, features=self.features, limits=limits)

        def decoded() -> None:
            outcomes.extend(processes.together(work, waiting, lost))
            waiting.clear()

        for number, candidate in new:
            try:
                data = candidate.read()
            except AudioError as error:
                decoded()
                outcomes.append((Reading(candidate.name, str(error)), b""))
                continue
            if sum(len(file.data) for file in waiting) + len(data) > _MUCH:
                decoded()
            waiting.append(RawFile(candidate.name, f"audio/{number:06d}-{_safe_name(candidate.name)}", data))
        decoded()
        return outcomes

    def _read(self, stamp: str) -> dict[str, Reading]:
        """Return what an earlier attempt finished; nothing where its source or settings were others."""
        known: dict[str, Reading] = {}
        try:
            lines = self._journal.read_bytes().splitlines(keepends=True)
            num_rows = (self._rows.stat().st_size - self._row_start) // self.row_bytes
            if json.loads(lines[0]) != self._first_line(stamp):
                return {}
        except (OSError, ValueError, IndexError):
            return {}
        self._whole = len(lines[0])
        for line in lines[1:]:
            try:
                values: dict[str, Any] = json.loads(line)
                info = values.pop("info")
                if info is not None:
                    info = AudioInfo(**info | {"notes": tuple(info["notes"])})
                reading = Reading(**values, info=info)
                if not line.endswith(b"\n"):
                    break
            except (ValueError, TypeError, KeyError):
                break  # the line that was being written when the process died or the disk was full
            self._whole += len(line)
            if reading.reason or (reading.row < num_rows and (self.folder / reading.file).is_file()):
                known[reading.name] = reading
        return known


def _line(reading: Reading) -> str:
    values = {
        name: getattr(reading, name) for name in Reading.__dataclass_fields__
    }  # dataclasses.asdict copies deeply: slow
    info = reading.info
    values["info"] = None if info is None else {name: getattr(info, name) for name in AudioInfo.__dataclass_fields__}
    return json.dumps(values) + "\n"


@contextmanager
def _single_threaded() -> Iterator[None]:
    """Keep torch from starting threads inside ours: files are many and small, and one a thread is faster."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _without_old_garbage() -> Iterator[None]:
    """Keep what was there before out of garbage collections: thousands of new objects make several of them.

    With a deep learning library loaded each would take a tenth of a second, in which no thread does anything else.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _safe_name(name: str) -> str:
    """Return a short ASCII file name with an audio suffix; what it came from never becomes a path."""
    pure = PurePosixPath(name)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", pure.stem).strip("-")[:40] or "clip"
    suffix = pure.suffix.strip().lower()
    return stem + (suffix if suffix in AUDIO_SUFFIXES else ".audio")
