"""Runs told elsewhere too: as TensorBoard event files, or to an MLflow server.

Both are optional and off by default, and neither can harm or slow a run: what is told waits in a queue of a
thread of its own, and a program that fails is left out from then on, with one line in the run's log.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from samplemind_core.config import RunConfig, flatten
from samplemind_core.files import write_atomic
from samplemind_core.settings import Settings
from samplemind_core.store.records import Epoch, Run

T = TypeVar("T")
Listener = Callable[[str, Any], None]

EXPERIMENT = "SampleMind"
INSTALL = "pip install -r requirements-extras.txt"
MAX_WAITING = 10_000
END_WAIT_S = 10.0
_MLFLOW = {
    # Where a server is away, MLflow would try for minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    # It would tell its makers how it is used.
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""What MLflow reads from the environment, unless somebody said otherwise."""


class Tracker(Protocol):
    """A program that keeps runs. Called from one thread; whatever it raises ends it, not the run."""

    def resume(self, last: int) -> None:
        """Begin, or go on after an epoch (0: from the start); what was told of later ones is void."""

    def epoch(self, epoch: Epoch) -> None:
        """Take what an epoch measured."""

    def end(self, status: str) -> None:
        """Take how the run ended."""


class TensorBoard:
    """Event files in the run's folder, by the library of TensorBoard.

    Parameters
    ----------
    folder : Path
        Where the files go: ``tensorboard --logdir`` of the workspace's ``runs`` finds all of them.
    config : RunConfig
    class_names : sequence of str
    """

    def __init__(self, folder: Path, config: RunConfig, class_names: Sequence[str]) -> None:
        # Its absence is noticed here, before anything was told.
        from torch.utils.tensorboard import SummaryWriter

        self._make: Callable[..., Any] = partial(SummaryWriter, str(folder))
        self._writer: Any = None
        self._config, self._class_names = config, class_names

    def resume(self, last: int) -> None:
        """Open a file; TensorBoard drops what older files say of later epochs."""
        self._writer = self._make(purge_step=last + 1 if last else None)
        if not last:
            rows = [f"| {path} | {value} |" for path, value in flatten(self._config).items()]
            self._writer.add_text("settings", "\n".join(["| setting | value |", "|---|---|", *rows]))

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch's scalars."""
        for name, value in scalars(epoch, self._class_names).items():
            self._writer.add_scalar(name, value, epoch.epoch)
        self._writer.flush()

    def end(self, status: str) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()


class MLflow:
    """A run of the experiment ``SampleMind`` on an MLflow server, or in a database file of its own.

    Parameters
    ----------
    uri : str
        Tracking URI: ``http://…`` or ``sqlite:///…``.
    folder : Path
        Of the run; remembers which MLflow run it is, so that a resumed run goes on there.
    run : Run
    config : RunConfig
    class_names : sequence of str
    """

    def __init__(self, uri: str, folder: Path, run: Run, config: RunConfig, class_names: Sequence[str]) -> None:
        for name, value in _MLFLOW.items():
            os.environ.setdefault(name, value)
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        self._uri, self._memory, self._run, self._config = uri, folder / "mlflow.json", run, config
        self._class_names = class_names
        self._id = ""

    def resume(self, last: int) -> None:
        """Begin a run, or go on with the one of before; MLflow keeps what it was told of void epochs beside the new."""
        from mlflow.entities import Param

        known = _remembered(self._memory, self._uri)
        if known:
            self._id = known
            self._client.update_run(self._id, status="RUNNING")
            return
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        tags = {"samplemind.run": self._run.id, "samplemind.dataset_version": str(self._run.dataset_version)}
        tags |= {f"samplemind.tag.{tag}": "true" for tag in self._run.tags}
        made = self._client.create_run(experiment, run_name=self._run.name, tags=tags)
        self._id = made.info.run_id
        params = [Param(path, str(value)[:500]) for path, value in flatten(self._config).items()]
        self._client.log_batch(self._id, params=params[:100])
        for start in range(100, len(params), 100):  # MLflow takes a hundred at a time
            self._client.log_batch(self._id, params=params[start : start + 100])
        write_atomic(self._memory, json.dumps({"uri": self._uri, "run_id": self._id}).encode())

    def epoch(self, epoch: Epoch) -> None:
        """Log an epoch's metrics."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [
            Metric(_mlflow_name(name), value, now, epoch.epoch)
            for name, value in scalars(epoch, self._class_names).items()
        ]
        self._client.log_batch(self._id, metrics=metrics[:1000])

    def end(self, status: str) -> None:
        """Say how the run ended."""
        if self._id:
            words = {"finished": "FINISHED", "failed": "FAILED"}
            self._client.set_terminated(self._id, status=words.get(status, "KILLED"))


def scalars(epoch: Epoch, class_names: Sequence[str]) -> dict[str, float]:
    """Return what is told of an epoch, by name: losses, accuracies, learning rate, speed, recall of each class."""
    told = {
        "loss/train": epoch.train_loss,
        "loss/validation": epoch.val_loss,
        "accuracy/train": epoch.train_accuracy,
        "accuracy/validation": epoch.val_accuracy,
        "learning_rate": epoch.lr,
        "clips_per_s": epoch.clips_per_s,
    }
    recalls = zip(class_names, epoch.recall, strict=False)
    return told | {f"recall/{name}": value for name, value in recalls if value is not None}


class Elsewhere:
    """Tells trackers how a run goes, from a thread of its own. Used as a context manager, whose block is the run.

    Parameters
    ----------
    makers : sequence of (name, function)
        Each function makes a tracker; it is called in the thread.
    log : logging.Logger
    """

    def __init__(self, makers: Sequence[tuple[str, Callable[[], Tracker]]], log: logging.Logger) -> None:
        self._makers, self._log = list(makers), log
        self._waiting: queue.Queue[tuple[str, Any] | None] = queue.Queue(MAX_WAITING)
        # A thread that hangs in somebody else's network must not keep the worker from ending.
        self._thread = threading.Thread(target=self._tell, name="told elsewhere", daemon=True)
        self.status = "failed"

    def __enter__(self) -> Elsewhere:
        if self._makers:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._makers:
            return
        self.hear("end", self.status)
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(END_WAIT_S)
        if self._thread.is_alive():
            self._log.warning("%s did not answer in time; what was left to tell is lost", self._names())

    def joined(self, listener: Listener | None) -> Listener:
        """Return a listener that tells ``listener`` and the trackers."""

        def listen(kind: str, value: Any) -> None:
            self.hear(kind, value)
            if listener is not None:
                listener(kind, value)

        return listen

    def hear(self, kind: str, value: Any) -> None:
        """Take something to tell: 'resume' with the last epoch, 'epoch', or 'end' with a status. Never waits."""
        if self._makers and kind in ("resume", "epoch", "end"):
            with suppress(queue.Full):  # so many epochs behind, the tracker is as good as gone
                self._waiting.put_nowait((kind, value))

    def _names(self) -> str:
        return " and ".join(name for name, _ in self._makers)

    def _tell(self) -> None:
        trackers = {name: tracker for name, make in self._makers if (tracker := self._guarded(name, make))}
        while (told := self._waiting.get()) is not None:
            kind, value = told
            for name, tracker in list(trackers.items()):
                if not self._guarded(name, partial(_told, tracker, kind, value)):
                    del trackers[name]

    def _guarded(self, name: str, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except ModuleNotFoundError as error:
            self._log.warning("%s is switched on but not installed (%s): %s", name, error, INSTALL)
        except Exception as error:
            # Anything may come out of somebody else's library or network; the run goes on without it.
            self._log.warning("%s failed and is told nothing more of this run: %r", name, error)
        return None


def _told(tracker: Tracker, kind: str, value: Any) -> bool:
    getattr(tracker, kind)(value)
    return True


def elsewhere(settings: Settings, run: Run, folder: Path, class_names: Sequence[str], log: logging.Logger) -> Elsewhere:
    """Return what tells a run to the programs that the machine's settings name.

    Parameters
    ----------
    settings : Settings
    run : Run
    folder : Path
        Of the run.
    class_names : sequence of str
    log : logging.Logger
        Hears what goes wrong.
    """
    config = RunConfig.model_validate(run.config)
    makers: list[tuple[str, Callable[[], Tracker]]] = []
    if settings.tensorboard:
        makers.append(("TensorBoard", lambda: TensorBoard(folder / "tensorboard", config, class_names)))
    if uri := settings.mlflow_uri:
        makers.append(("MLflow", lambda: MLflow(uri, folder, run, config, class_names)))
    return Elsewhere(makers, log)


def _mlflow_name(name: str) -> str:
    """Return a name of the letters that MLflow takes."""
    return "".join(char if char.isascii() and (char.isalnum() or char in "_-. /") else "_" for char in name)


def _remembered(path: Path, uri: str) -> str:
    """Return the id of the MLflow run of an earlier attempt, or '' where there is none on that server."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return str(found["run_id"]) if found["uri"] == uri else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""
