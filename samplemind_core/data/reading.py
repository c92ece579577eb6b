"""Files become clips: each is read, decoded, checked and transformed once, by several threads, and noted in a journal.

What is finished stays finished: an import that goes on in the same folder takes what the journal
knows and reads only the rest.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import AUDIO_SUFFIXES, AudioInfo, decode
from samplemind_core.audio.window import crop_window
from samplemind_core.config import USUAL_FEATURES
from samplemind_core.data.sources import Candidate
from samplemind_core.errors import AudioError, StoppedError
from samplemind_core.settings import Limits

if TYPE_CHECKING:
    from samplemind_core.audio.features import LogMel

THREADS = min(8, os.cpu_count() or 2)
_AHEAD = 8  # files in the hands of each thread: enough to keep it busy, few enough to stay small in memory
_COPIED_ROWS = 256
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file: a clip in ``file`` with its spectrogram in ``row``, or the reason why not."""

    name: str
    reason: str = ""
    file: str = ""
    row: int = -1
    content_hash: str = ""
    silent: bool = False
    info: AudioInfo | None = None


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
        self._known = self._read(stamp)
        self._stamp = stamp
        self._count = max((row.row + 1 for row in self._known.values()), default=0)
        self._files = len(self._known)

    def read(
        self, candidates: Iterable[Candidate], limits: Limits, check: Callable[[], None]
    ) -> Iterator[tuple[Candidate, Reading]]:
        """Yield each candidate with what became of it, in order; few files are in memory at a time.

        ``check`` is called between files and raises to end the work.
        """
        from samplemind_core.audio.features import LogMel

        self.audio.mkdir(parents=True, exist_ok=True)
        front_end = LogMel(self.features)
        pending: deque[tuple[Candidate, Future[tuple[Reading, bytes]] | Reading]] = deque()
        with ExitStack() as stack:
            journal = stack.enter_context(self._journal.open("a" if self._known else "w", encoding="utf-8"))
            rows = stack.enter_context(self._rows.open("r+b" if self._known else "w+b"))
            rows.truncate(self._count * self.row_bytes)
            rows.seek(0, os.SEEK_END)
            if not self._known:
                journal.write(json.dumps({"stamp": self._stamp, "features": self.features.model_dump(mode="json")}))
                journal.write("\n")
            stack.enter_context(_single_threaded())
            pool = stack.enter_context(ThreadPoolExecutor(THREADS, thread_name_prefix="import"))
            stack.callback(pool.shutdown, cancel_futures=True)

            def finished() -> tuple[Candidate, Reading]:
                candidate, result = pending.popleft()
                if isinstance(result, Reading):
                    return candidate, result
                reading, row = result.result()
                if row:
                    rows.write(row)
                    reading = _at_row(reading, self._count)
                    self._count += 1
                rows.flush()  # before the journal, which promises that the row is there
                journal.write(_line(reading))
                journal.flush()
                return candidate, reading

            for candidate in candidates:
                try:
                    check()
                except StoppedError:
                    while pending:  # what is in hand is nearly done, and worth keeping
                        finished()
                    raise
                known = self._known.get(candidate.name)
                if known is None:
                    number, self._files = self._files, self._files + 1
                    pending.append((candidate, pool.submit(self._work, number, candidate, front_end, limits)))
                else:
                    pending.append((candidate, known))
                if len(pending) >= _AHEAD * THREADS:
                    yield finished()
            while pending:
                yield finished()

    def rows(self, order: list[int]) -> Iterator[NDArray[np.float16]]:
        """Yield the spectrograms of some rows in blocks (B, 1, n_mels, frames), without mapping the file."""
        shape = (-1, *self.features.shape)
        with self._rows.open("rb") as stream:
            for start in range(0, len(order), _COPIED_ROWS):
                parts = []
                for row in order[start : start + _COPIED_ROWS]:
                    stream.seek(row * self.row_bytes)
                    parts.append(stream.read(self.row_bytes))
                yield np.frombuffer(b"".join(parts), dtype="<f2").reshape(shape)

    def _work(self, number: int, candidate: Candidate, front_end: LogMel, limits: Limits) -> tuple[Reading, bytes]:
        import torch

        try:
            data = candidate.read()
            name = PurePosixPath(candidate.name).name
            decoded = decode(data, self.features.sample_rate_hz, name=name, limits=limits)
        except AudioError as error:
            return Reading(candidate.name, str(error)), b""
        file = f"audio/{number:06d}-{_safe_name(candidate.name)}"
        write_new(f"{self._folder}/{file}", data)
        window, _ = crop_window(decoded.waveform, self.features)
        with torch.inference_mode():
            log_mel = front_end.of_clip(window).half().numpy().astype("<f2", copy=False)
        silent = not (decoded.waveform.max() or decoded.waveform.min())
        return Reading(candidate.name, "", file, -1, decoded.content_hash, silent, decoded.info), log_mel.tobytes()

    def _read(self, stamp: str) -> dict[str, Reading]:
        """Return what an earlier attempt finished; nothing where its source or settings were others."""
        known: dict[str, Reading] = {}
        try:
            lines = self._journal.read_text(encoding="utf-8").splitlines()
            num_rows = self._rows.stat().st_size // self.row_bytes
            if json.loads(lines[0]) != {"stamp": stamp, "features": self.features.model_dump(mode="json")}:
                return {}
        except (OSError, ValueError, IndexError):
            return {}
        for line in lines[1:]:
            try:
                values: dict[str, Any] = json.loads(line)
                info = values.pop("info")
                if info is not None:
                    info = AudioInfo(**info | {"notes": tuple(info["notes"])})
                reading = Reading(**values, info=info)
            except (ValueError, TypeError, KeyError):
                break  # the line that was being written when the process died
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


def _at_row(reading: Reading, row: int) -> Reading:
    return Reading(reading.name, reading.reason, reading.file, row, reading.content_hash, reading.silent, reading.info)


def write_new(path: str, data: bytes) -> None:
    """Write a file whole; a buffered stream costs as much again as the write itself."""
    descriptor = os.open(path, _NEW_FILE, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


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


def _safe_name(name: str) -> str:
    """Return a short ASCII file name with an audio suffix; what it came from never becomes a path."""
    pure = PurePosixPath(name)
    stem = re.sub(r"[^A-Za-z0-9]+", "-", pure.stem).strip("-")[:40] or "clip"
    suffix = pure.suffix.strip().lower()
    return stem + (suffix if suffix in AUDIO_SUFFIXES else ".audio")
