"""What the store gives and takes: frozen records without a database behind them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")

EditKind = Literal["import", "add", "relabel", "exclude", "include", "group", "move", "split", "undo", "redo"]
ClipField = Literal["label", "labels", "source", "split", "excluded"]
SEPARATOR = "|"
"""What stands between the labels of a clip that has several, in lists and where they are typed."""

RunStatus = Literal["queued", "running", "stopping", "finished", "stopped", "failed", "interrupted"]
ACTIVE: tuple[RunStatus, ...] = ("running", "stopping")
ENDED: tuple[RunStatus, ...] = ("finished", "stopped", "failed", "interrupted")
RESUMABLE: tuple[RunStatus, ...] = ("stopped", "failed", "interrupted")

CorrectionStatus = Literal["waiting", "accepted", "rejected"]
TaskStatus = Literal["queued", "running", "done", "failed", "stopped", "interrupted"]


BETWEEN_LABELS = " + "


def joined(labels: Iterable[str]) -> str:
    """Return several labels as one text to read."""
    return BETWEEN_LABELS.join(labels)


class Record:
    """Shared by all records."""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as JSON-ready values."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]


@dataclass(frozen=True, slots=True)
class Dataset(Record):
    """An imported collection with its manifest and splits.

    ``kind`` is ``audio`` (clips are files) or ``features`` (clips are ready log-mel spectrograms,
    described by ``features``). ``synthetic`` marks sounds made by this product. Every change is a
    new ``version``; ``num_clips`` counts what takes part in it, ``num_excluded`` what was set aside.
    In a ``multi_label`` one a clip may have several labels, each of them a class.
    """

    id: str
    name: str
    kind: Literal["audio", "features"]
    class_names: tuple[str, ...]
    num_clips: int
    num_rejected: int
    fingerprint: str
    origin: str
    seed: int
    created_at: float
    synthetic: bool = False
    features: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    version: int = 1
    num_excluded: int = 0
    multi_label: bool = False


@dataclass(frozen=True, slots=True)
class Clip(Record):
    """One labelled file or spectrogram.

    ``row`` is its place in the feature cache, which it keeps when it is relabelled or excluded. In a
    multi-label dataset ``labels`` holds all of its labels, sorted, and ``label`` the first of them; in
    any other one ``labels`` is empty.
    """

    row: int
    name: str
    label: str
    target: int
    source: str
    split: Split
    content_hash: str
    file: str | None = None
    fold: str | None = None
    sample_rate_hz: int | None = None
    channels: int | None = None
    duration_s: float | None = None
    num_bytes: int | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    id: int | None = None
    dataset_id: str | None = None
    excluded: bool = False
    labels: tuple[str, ...] = ()

    @property
    def class_labels(self) -> tuple[str, ...]:
        """All classes that the clip belongs to; none where nobody has said."""
        return self.labels or ((self.label,) if self.label else ())

    @property
    def shown_label(self) -> str:
        """The label, or all of several, as one text."""
        return joined(self.labels) or self.label


@dataclass(frozen=True, slots=True)
class Reject(Record):
    """One file that was not imported, and why."""

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Version(Record):
    """What a dataset became by one change. The first one is its import.

    ``reverts`` is the version that an undo took back or a redo brought again; ``num_changes`` counts
    the values that differ from the version before.
    """

    dataset_id: str
    version: int
    kind: EditKind
    message: str
    author: str
    created_at: float
    fingerprint: str
    class_names: tuple[str, ...]
    num_clips: int
    num_excluded: int
    seed: int
    num_changes: int = 0
    reverts: int | None = None


@dataclass(frozen=True, slots=True)
class Change(Record):
    """One value of one clip that a version changed."""

    clip_id: int
    field: ClipField
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Run(Record):
    """One training run, from the queue to its end. ``config`` is a stored ``RunConfig``.

    It trains on one version of its dataset, whatever the dataset becomes meanwhile. ``notes`` and
    ``tags`` are what people write beside it, ``based_on`` the id of the run whose settings it started
    from. ``paused`` tells a run that was stopped to go on later from one that was stopped for good;
    ``deleted_at`` is set while it is hidden and can still be brought back.
    """

    id: str
    name: str
    dataset_id: str
    status: RunStatus
    config: dict[str, Any]
    owner: str
    created_at: float
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    heartbeat_at: float | None = None
    worker: dict[str, Any] | None = None
    device: str | None = None
    num_parameters: int | None = None
    best_epoch: int | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    stop_requested: bool = False
    end_reason: str | None = None
    error: str | None = None
    dataset_version: int = 1
    dataset_fingerprint: str | None = None
    notes: str = ""
    tags: tuple[str, ...] = ()
    based_on: str | None = None
    paused: bool = False
    deleted_at: float | None = None


@dataclass(frozen=True, slots=True)
class Epoch(Record):
    """What one epoch measured. Losses are nats per clip, accuracies fractions."""

    epoch: int
    train_loss: float
    val_loss: float
    train_accuracy: float
    val_accuracy: float
    lr: float
    seconds: float
    clips_per_s: float
    health: dict[str, Any] = field(default_factory=dict)
    recall: tuple[float | None, ...] = ()


@dataclass(frozen=True, slots=True)
class Curve(Record):
    """How a run's validation went: loss (nats) and accuracy by epoch, and what all its epochs took."""

    epochs: tuple[int, ...]
    val_loss: tuple[float, ...]
    val_accuracy: tuple[float, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Event(Record):
    """Something worth telling about a run."""

    id: int
    run_id: str
    at: float
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class Checkpoint(Record):
    """A saved network. ``path`` is relative to the workspace."""

    id: int
    run_id: str
    kind: Literal["best", "last", "epoch"]
    epoch: int
    path: str
    val_loss: float
    val_accuracy: float
    num_bytes: int
    created_at: float


@dataclass(frozen=True, slots=True)
class Prediction(Record):
    """Stored logits of a checkpoint on one split of a dataset. ``path`` is relative to the workspace.

    ``accuracy`` is that of the labels at the time, a fraction; None where nobody worked it out.
    """

    id: int
    checkpoint_id: int
    epoch: int
    dataset_id: str
    split: str
    path: str
    num_clips: int
    created_at: float
    accuracy: float | None = None


@dataclass(frozen=True, slots=True)
class Task(Record):
    """One piece of background work, from the queue to its end.

    ``kind`` names its handler and ``params`` is what that is given. ``progress`` holds ``done``,
    ``total`` (None where nobody knows), ``what`` and ``eta_s``; ``result`` is what the handler
    returned; ``error`` holds ``problem``, ``advice`` and, where it was not foreseen, ``detail``.
    """

    id: str
    kind: str
    title: str
    params: dict[str, Any]
    status: TaskStatus
    owner: str
    created_at: float
    queued_at: float
    started_at: float | None = None
    ended_at: float | None = None
    heartbeat_at: float | None = None
    worker: dict[str, Any] | None = None
    progress: dict[str, Any] = field(default_factory=dict)
    result: dict[str, Any] | None = None
    error: dict[str, str] | None = None
    stop_requested: bool = False

    @property
    def active(self) -> bool:
        """Whether it waits or goes on."""
        return self.status in {"queued", "running"}


@dataclass(frozen=True, slots=True)
class Batch(Record):
    """Files that were classified together, by one person with one checkpoint.

    ``checkpoint`` says which (``run``, ``run_id``, ``kind``, ``epoch``, ``dataset``); ``options`` how it was
    asked; ``task_id`` names the background task that does it, if one does; ``num_files`` is None until known.
    """

    id: str
    title: str
    kind: Literal["page", "uploads", "archive", "folder"]
    origin: str
    owner: str
    created_at: float
    checkpoint: dict[str, Any]
    options: dict[str, Any] = field(default_factory=dict)
    num_files: int | None = None
    task_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer(Record):
    """What one file of a batch was called, or why it could not be heard.

    ``label`` is None where it is none of the classes; ``set_size`` is the number of classes in its
    prediction set; ``file`` is its path, relative to the batch's folder or, in a folder of the
    machine, to that. ``details`` holds the probabilities and what else the classifier said.
    """

    position: int
    name: str
    file: str | None = None
    label: str | None = None
    confidence: float | None = None
    set_size: int | None = None
    duration_s: float | None = None
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)
    batch_id: str | None = None

    @property
    def several_labels(self) -> bool:
        """Whether each class was answered by itself; ``label`` is then the surest of ``labels``."""
        return "labels" in self.details

    @property
    def labels(self) -> tuple[str, ...]:
        """Everything that the file was called, the surest first."""
        return tuple(self.details.get("labels") or ((self.label,) if self.label else ()))


@dataclass(frozen=True, slots=True)
class AnswerFilter:
    """Which answers of a batch: every part that is given must hold.

    ``labels`` may hold None for "none of these"; ``text`` is looked for in the name, whatever its case.
    """

    labels: tuple[str | None, ...] | None = None
    min_confidence: float | None = None
    max_confidence: float | None = None
    set_sizes: tuple[int, ...] | None = None
    failed: bool | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Correction(Record):
    """What somebody says a classified file really is, and what became of that.

    ``called`` is what the checkpoint said (None for none of the classes) with ``confidence``;
    ``file`` is a copy of the sound, relative to the workspace, so that it outlives the upload.
    ``dataset_id`` and ``version`` say where an accepted one became a clip.
    """

    id: int
    name: str
    label: str
    called: str | None
    confidence: float | None
    content_hash: str
    file: str
    by: str
    at: float
    checkpoint: dict[str, Any]
    status: CorrectionStatus = "waiting"
    reviewed_by: str | None = None
    reviewed_at: float | None = None
    dataset_id: str | None = None
    version: int | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Search(Record):
    """A search for better settings of a run.

    ``plan`` says what is searched and how (:class:`samplemind_core.search.study.Plan`), ``num_trials`` how
    many trials there shall be in all, ``task_id`` which background task tries them.
    """

    id: str
    name: str
    dataset_id: str
    dataset_version: int
    plan: dict[str, Any]
    num_trials: int
    owner: str
    created_at: float
    task_id: str | None = None
