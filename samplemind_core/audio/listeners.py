"""Processes that listen to files beside this one: started once, kept while there is work, gone soon after.

Decoding a one-shot is a millisecond of many small steps, and of these only one Python thread takes
one at a time, however many cores there are. Where thousands of files wait, the work is therefore
given to processes, one for each core; fewer are heard by threads, as the start of a process
takes longer than it saves.

A process that dies, by a damaged file or for want of memory, costs nothing but time: its files are
given to another one by one, and only a file that takes a second process with it is refused.
"""

from __future__ import annotations

import atexit
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import TypeVar, cast

from samplemind_core.errors import UnreadableAudioError
from samplemind_core.settings import Settings

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

Item = TypeVar("Item")
Heard = TypeVar("Heard")

MANY = 8_000
"""Files from which on the start of processes is worth its seconds; threads are three quarters as fast."""

CHUNK = 16
"""Files given to a process at a time: fewer are mostly messages, more are work that a stop waits for."""

IDLE_S = 60.0
"""How long processes without work are kept, in seconds."""

START_S = 60.0
"""How long a process may take to start, in seconds, before its work is done without it."""

NUM_PROCESSES = min(4, os.cpu_count() or 2)
"""One for each core; with more than four, whoever collects what they heard has too much to do."""

NUM_THREADS = max(2, NUM_PROCESSES)
"""Threads that do the work where there are no processes."""

_PIPE_BYTES = 1 << 20
"""What a pipe holds at most on Linux without more rights; a part of the work, or its results, fits in whole."""


def lost_error(name: str) -> UnreadableAudioError:
    """Return the error of a file that ended the process that listened to it, twice."""
    from samplemind_core.audio.decode import printable

    return UnreadableAudioError(
        f"{printable(name)} ended the process that decoded it, twice: it is damaged, or memory ran out.",
        "Export it again, or leave it out.",
    )


class _DiedError(Exception):
    """A process ended in the middle of its work."""


class _Listener:
    """One process and the pipes to it."""

    def __init__(self) -> None:
        package = Path(__file__).resolve().parents[2]
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")])),
            # Each process has a core to itself, and threads of libraries would be in the way of the others.
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
            # glibc gives large blocks back after every file and has them zeroed anew for the next: a tenth of the time.
            "MALLOC_MMAP_THRESHOLD_": str(1 << 28),
            "MALLOC_TRIM_THRESHOLD_": str(1 << 28),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "samplemind_core.audio.listening"],  # -P: nothing of the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None and hasattr(fcntl, "F_SETPIPE_SZ"):
                # Through the usual 64 KiB a message goes in pieces, and either side waits for the other at each.
                with suppress(OSError):
                    fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def ask(self, work: bytes) -> bytes:
        """Return the answer to a piece of work, both as they travel."""
        assert self.process.stdin is not None
        try:
            # A message in a message: the process stays in step even where it cannot make sense of the inner one.
            pickle.dump(work, self.process.stdin, protocol=pickle.HIGHEST_PROTOCOL)
            self.process.stdin.flush()
        except OSError as error:
            raise _DiedError from error
        return self.answer()

    def answer(self) -> bytes:
        """Return the next message, as it travels: whether work was done, and its results or the exception."""
        assert self.process.stdout is not None
        try:
            return cast("bytes", pickle.load(self.process.stdout))  # noqa: S301 - of our own process
        except (OSError, EOFError, pickle.UnpicklingError, ValueError) as error:  # ValueError: closed meanwhile
            raise _DiedError from error

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self.process.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        self.process.wait()


class Listeners:
    """Processes that work for any number of threads of this one.

    Parameters
    ----------
    count : int
        How many processes there are once they are started.
    """

    def __init__(self, count: int = NUM_PROCESSES) -> None:
        self.count = count
        self._lock = threading.Lock()
        self._free: queue.LifoQueue[_Listener] = queue.LifoQueue()
        self._all: list[_Listener] = []
        self._starting = 0
        self._ended = 0  # how often all were ended: a process that was started before that is not wanted after it
        self._users = 0
        self._timer: threading.Timer | None = None

    def start(self) -> None:
        """Start what is missing, without waiting for it: threads do the work until a process is ready."""
        with self._lock:
            missing = self.count - len(self._all) - self._starting
            self._starting += missing
            ended = self._ended
        for _ in range(missing):
            threading.Thread(target=self._launch, args=(ended,), name="listener-start", daemon=True).start()

    def wait(self, timeout_s: float = START_S) -> bool:
        """Wait until all processes are ready; return whether they are."""
        deadline = time.monotonic() + timeout_s
        while self.num_ready < self.count and time.monotonic() < deadline and self._starting:
            time.sleep(0.02)
        return self.num_ready == self.count

    @property
    def num_ready(self) -> int:
        """How many processes have started and live."""
        with self._lock:
            return len(self._all)

    @contextmanager
    def at_work(self, expected: int | None = None) -> Iterator[Listeners]:
        """Keep processes for as long as this lasts, and start them where that many files are expected."""
        with self._lock:
            self._users += 1
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        try:
            if expected is not None and expected >= MANY and self.count > 1:
                self.start()
            yield self
        finally:
            with self._lock:
                self._users -= 1
                if self._users == 0 and (self._all or self._starting):
                    self._timer = threading.Timer(IDLE_S, self._close_if_idle)
                    self._timer.daemon = True
                    self._timer.start()

    @property
    def num_threads(self) -> int:
        """How many threads make the most of what there is.

        Where processes work, one more has the next part ready for whichever of them is done first.
        """
        with self._lock:
            return self.count + 1 if self._all or self._starting else NUM_THREADS

    def stream(
        self,
        function: Callable[[Sequence[Item]], list[Heard]],
        batches: Iterable[Sequence[Item]],
        lost: Callable[[Item], Heard],
        *,
        ahead: int,
        expected: int | None = None,
    ) -> Generator[tuple[list[Heard], bool], None, None]:
        """Yield what ``function`` says of each batch, in order, and whether later ones are still being worked on.

        Parameters
        ----------
        function, lost : callable
            As for :meth:`together`.
        batches : iterable of sequences
            Taken as they are needed.
        ahead : int
            Batches that are worked on, or wait to be asked for, at any time.
        expected : int, optional
            How many items there are in all, as for :meth:`at_work`.
        """
        source = iter(batches)
        waiting: deque[list[Future[list[Heard]]]] = deque()
        with self.at_work(expected), ThreadPoolExecutor(self.num_threads, thread_name_prefix="listen") as pool:

            def take() -> None:
                for batch in islice(source, 1):
                    size = max(1, min(CHUNK, -(-len(batch) // NUM_THREADS)))
                    parts = [batch[start : start + size] for start in range(0, len(batch), size)]
                    waiting.append([pool.submit(self.together, function, part, lost) for part in parts])

            try:
                for _ in range(ahead):
                    take()
                while waiting:
                    results = [one for part in waiting.popleft() for one in part.result()]
                    take()  # worked on while whoever asked looks at these
                    yield results, not all(part.done() for parts in waiting for part in parts)
            finally:
                pool.shutdown(cancel_futures=True)

    def together(
        self,
        function: Callable[[Sequence[Item]], list[Heard]],
        items: Sequence[Item],
        lost: Callable[[Item], Heard],
    ) -> list[Heard]:
        """Return ``function(items)``, one result for each, by a process or, as long as they start, by this thread.

        Parameters
        ----------
        function : callable
            Of a module, or a partial of one; it, the items and the results must be picklable. What it
            says of an item must not depend on the others.
        items : sequence
        lost : callable
            Gives the result of an item that ended two processes.

        Raises
        ------
        Exception
            What ``function`` raises, as if it had been called here.
        """
        listener = self._take() if len(items) > 1 else None
        if listener is None:
            return function(items)
        try:
            return self._asked(listener, function, items)
        except _DiedError:
            # Which file it was nobody knows; each by itself tells.
            return [self._again(function, item, lost) for item in items]

    def close(self) -> None:
        """End all processes now; they can be started again."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            ended, self._all = self._all, []
            self._ended += 1
            with suppress(queue.Empty):
                while True:
                    self._free.get_nowait()
        for listener in ended:
            listener.end()

    def _asked(
        self, listener: _Listener, function: Callable[[Sequence[Item]], list[Heard]], items: Sequence[Item]
    ) -> list[Heard]:
        try:
            message = listener.ask(pickle.dumps((function, list(items)), protocol=pickle.HIGHEST_PROTOCOL))
        except _DiedError:
            self._bury(listener)
            raise
        except BaseException:
            self._give_back(listener)
            raise
        self._give_back(listener)  # which goes on while this thread unpacks
        done, value = pickle.loads(message)  # noqa: S301 - of our own process
        if not done:
            raise value
        return cast("list[Heard]", value)

    def _again(
        self, function: Callable[[Sequence[Item]], list[Heard]], item: Item, lost: Callable[[Item], Heard]
    ) -> Heard:
        self.start()
        listener = self._take_next()
        if listener is None:
            return function([item])[0]
        try:
            return self._asked(listener, function, [item])[0]
        except _DiedError:
            return lost(item)

    def _take(self) -> _Listener | None:
        """Return a process that is free, or the next one where all are ready; None as long as some are missing."""
        while True:
            try:
                return self._free.get_nowait()
            except queue.Empty:
                if self.num_ready < max(1, self.count):
                    return None
            with suppress(queue.Empty):
                return self._free.get(timeout=0.1)

    def _take_next(self) -> _Listener | None:
        """Return a process as soon as one is free; None if none can be started."""
        deadline = time.monotonic() + START_S
        while True:
            with suppress(queue.Empty):
                return self._free.get(timeout=0.1)
            with self._lock:
                hopeless = not self._all and not self._starting
            if hopeless or time.monotonic() > deadline:
                return None

    def _give_back(self, listener: _Listener) -> None:
        with self._lock:
            if listener in self._all:
                self._free.put(listener)

    def _bury(self, listener: _Listener) -> None:
        with self._lock:
            if listener in self._all:
                self._all.remove(listener)
        listener.end()

    def _launch(self, ended: int) -> None:
        """Start one process and lend it once it says that it is ready; without one, threads go on doing the work."""
        try:
            listener = _Listener()
        except OSError:
            listener = None  # no memory or no process left
        ready = False
        if listener is not None:
            with suppress(_DiedError):
                ready = bool(listener.answer())
        with self._lock:
            self._starting -= 1
            ready = ready and ended == self._ended
            if listener is not None and ready:
                self._all.append(listener)
                self._free.put(listener)
        if listener is not None and not ready:
            listener.end()

    def _close_if_idle(self) -> None:
        with self._lock:
            if self._users:
                return
        self.close()


_shared: Listeners | None = None
_shared_lock = threading.Lock()


def listeners() -> Listeners:
    """Return the processes that all work in this one shares, as many as the settings of the machine allow.

    Raises
    ------
    ConfigError
        If these cannot be used.
    """
    global _shared
    with _shared_lock:
        if _shared is None:
            allowed = Settings.from_environment().listeners
            _shared = Listeners(NUM_PROCESSES if allowed is None else allowed)
        return _shared


def _end_shared() -> None:
    if _shared is not None:
        _shared.close()


def _forget_shared() -> None:
    """In a forked process: the pipes are its parent's."""
    global _shared, _shared_lock
    _shared, _shared_lock = None, threading.Lock()


atexit.register(_end_shared)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_shared)
