"""What a worker and the processes of one run hand each other: a job to do, words on the way, a request to stop.

All of it lies in one folder, beside nothing else, as JSON and plain arrays: no port is opened for it, and whoever
dies leaves what was said. Large arrays stay in the files that they are mapped from.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from samplemind_core import errors
from samplemind_core.config import RunConfig
from samplemind_core.errors import SampleMindError
from samplemind_core.files import storage_error, write_atomic
from samplemind_core.store.records import Epoch
from samplemind_core.training.observer import Observer, Outcome, Silent
from samplemind_core.training.streaming import offset_in_file
from samplemind_core.training.training_data import TrainingData

PROGRESS_EVERY_S = 0.1

JOB = "job.json"
WORDS = "words.jsonl"
STOP = "stop"


def log_name(rank: int) -> str:
    """Return the name of the file that takes what a process prints."""
    return f"process-{rank}.log"


@dataclass(frozen=True)
class Job:
    """A run for several processes: what to train on what, where to write, and how to go about it.

    ``threads`` are those of each process on the CPU; ``last`` is the checkpoint to go on from; ``record`` says
    where to note what each validation clip was called, if it is to be noted.
    """

    config: RunConfig
    data: TrainingData
    folder: Path
    device: str
    threads: int
    last: Path | None
    record: Path | None


def write_job(place: Path, job: Job) -> None:
    """Write a job into a folder.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    arrays: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for field in fields(TrainingData):
        value = getattr(job.data, field.name)
        if isinstance(value, np.ndarray):
            arrays[field.name] = _put(value, place / f"{field.name}.npy")
        else:
            values[field.name] = value
    content = {
        "config": job.config.model_dump(mode="json"),
        "arrays": arrays,
        "values": values,
        "folder": str(job.folder),
        "device": job.device,
        "threads": job.threads,
        "last": job.last and str(job.last),
        "record": job.record and str(job.record),
        "parent": os.getpid(),
    }
    write_atomic(place / JOB, json.dumps(content).encode())


def read_job(place: Path) -> tuple[Job, int]:
    """Return the job of a folder, and the process that gave it."""
    content = json.loads((place / JOB).read_text())
    values = content["values"] | {name: _get(about) for name, about in content["arrays"].items()}
    values["class_names"] = tuple(values["class_names"])
    job = Job(
        config=RunConfig.model_validate(content["config"]),
        data=TrainingData(**values),
        folder=Path(content["folder"]),
        device=content["device"],
        threads=content["threads"],
        last=content["last"] and Path(content["last"]),
        record=content["record"] and Path(content["record"]),
    )
    return job, content["parent"]


class Teller(Silent):
    """The observer inside the first process: writes down what it is told, for the worker to read."""

    def __init__(self, place: Path) -> None:
        self._stop = place / STOP
        self._file = (place / WORDS).open("a", encoding="utf-8", buffering=1)
        self._told_at = -PROGRESS_EVERY_S

    def on_start(self, device: str, num_parameters: int) -> None:
        """Pass it on."""
        self._say("start", device, num_parameters)

    def on_progress(self, progress: dict[str, Any]) -> None:
        """Pass it on, not at every step."""
        if time.monotonic() - self._told_at >= PROGRESS_EVERY_S or progress["step"] == progress["steps"]:
            self._told_at = time.monotonic()
            self._say("progress", progress)

    def on_epoch(self, epoch: Epoch) -> None:
        """Pass it on."""
        self._say("epoch", epoch.as_dict())

    def on_resume(self, epochs: list[Epoch]) -> None:
        """Pass it on."""
        self._say("resume", [epoch.as_dict() for epoch in epochs])

    def on_checkpoint(self, kind: str, epoch: int, path: Path, num_bytes: int, metrics: dict[str, float]) -> None:
        """Pass it on."""
        self._say("checkpoint", kind, epoch, str(path), num_bytes, metrics)

    def on_event(self, kind: str, message: str) -> None:
        """Pass it on."""
        self._say("event", kind, message)

    def should_stop(self) -> bool:
        """Return whether the worker asked for it."""
        return self._stop.exists()

    def end(self, outcome: Outcome) -> None:
        """Tell how the run ended; nothing more is told."""
        self._say("outcome", outcome.status, outcome.reason, outcome.best_epoch)
        self._file.close()

    def _say(self, *words: Any) -> None:
        self._file.write(json.dumps(words) + "\n")


class Listener:
    """The worker's side: passes on what the first process tells, and the request to stop to all of them."""

    def __init__(self, place: Path, observer: Observer) -> None:
        self.outcome: Outcome | None = None
        self._place, self._observer, self._read = place, observer, 0
        self._deeds: dict[str, Callable[..., None]] = {
            "start": observer.on_start,
            "progress": observer.on_progress,
            "epoch": lambda epoch: observer.on_epoch(_epoch(epoch)),
            "resume": lambda epochs: observer.on_resume([_epoch(epoch) for epoch in epochs]),
            "checkpoint": lambda kind, epoch, path, *rest: observer.on_checkpoint(kind, epoch, Path(path), *rest),
            "event": observer.on_event,
            "outcome": self._end,
        }

    def look(self) -> None:
        """Pass on what was said since the last look."""
        if self._observer.should_stop():
            self.stop()
        words = self._place / WORDS
        if not words.exists():
            return
        with words.open("rb") as file:
            file.seek(self._read)
            said, newline, _unfinished = file.read().rpartition(b"\n")
        self._read += len(said) + len(newline)
        for line in said.splitlines():
            kind, *rest = json.loads(line)
            self._deeds[kind](*rest)

    def stop(self) -> None:
        """Ask the processes to stop after their step."""
        (self._place / STOP).touch()

    def _end(self, status: Any, reason: str, best_epoch: int | None) -> None:
        self.outcome = Outcome(status, reason, best_epoch)


def write_trouble(place: Path, rank: int, error: BaseException) -> None:
    """Write down why a process ends."""
    parts = (error.problem, error.advice) if isinstance(error, SampleMindError) else (str(error),)
    content = {"kind": type(error).__name__, "parts": parts, "at": time.time(), "rank": rank}
    write_atomic(place / f"trouble-{rank}.json", json.dumps(content).encode())


def read_trouble(place: Path) -> BaseException | None:
    """Return why the run ended before its end, if a process said so: the cause comes first, the rest follow from it."""
    found = [json.loads(path.read_text()) for path in place.glob("trouble-*.json")]
    ours = [trouble for trouble in found if _is_ours(trouble["kind"])]
    if not found:
        return None
    first = min(ours or found, key=lambda trouble: trouble["at"])
    if ours:
        made: BaseException = getattr(errors, first["kind"])(*first["parts"])
        return made
    if first["kind"] in {"MemoryError", "OutOfMemoryError"}:
        return MemoryError(*first["parts"])
    return RuntimeError(f"{first['kind']} in process {first['rank'] + 1}: {first['parts'][0]}")


def _is_ours(kind: str) -> bool:
    return isinstance(made := getattr(errors, kind, None), type) and issubclass(made, SampleMindError)


def _epoch(values: dict[str, Any]) -> Epoch:
    return Epoch(**values | {"recall": tuple(values["recall"])})


def _put(array: npt.NDArray[Any], path: Path) -> dict[str, Any]:
    """Return where an array lies: in the file that it is mapped from, or one that is written for it."""
    offset = offset_in_file(array)
    if offset is not None:
        file = str(array.filename)  # type: ignore[attr-defined]
        return {"file": file, "offset": offset, "shape": array.shape, "dtype": array.dtype.str}
    try:
        np.save(path, array)
    except OSError as error:
        raise storage_error(path, error) from error
    return {"file": str(path)}


def _get(about: dict[str, Any]) -> npt.NDArray[Any]:
    if "offset" not in about:
        found: npt.NDArray[Any] = np.load(about["file"], mmap_mode="r")
        return found
    return np.memmap(about["file"], about["dtype"], "r", about["offset"], tuple(about["shape"]))
