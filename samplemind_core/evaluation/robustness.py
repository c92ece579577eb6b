"""How much an answer withstands: accuracy and recall under what happens to samples on their way.

Each probe changes the sounds themselves, before the front end, in steps from harmless to harsh. The
clips are a fixed, stated sample of a split, the same for every step, so that every curve is paired
with the clean value; whether a fall is more than chance is told by McNemar's exact test on these pairs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError
from samplemind_core.evaluation.changed_clips import (
    Curve,
    Progress,
    ShouldStop,
    curves_of,
    find_curve,
    logits_under,
    read_back,
    sample_clips,
    windows_of,
)
from samplemind_core.evaluation.comparison import mcnemar_exact
from samplemind_core.evaluation.judging import check_kind, in_split
from samplemind_core.evaluation.label_robustness import LabelRobustness, measure_label_robustness
from samplemind_core.evaluation.metrics import Interval, plain, softmax, wilson_interval
from samplemind_core.evaluation.probes import PROBES, Probe
from samplemind_core.files import write_atomic

if TYPE_CHECKING:
    import torch

    from samplemind_core.config import FeatureConfig
    from samplemind_core.models import AudioClassifier
    from samplemind_core.settings import Settings
    from samplemind_core.store import Checkpoint, Dataset, Store
    from samplemind_core.tasks import TaskContext

DEFAULT_CLIPS = 120
VERSION = 1


@dataclass(frozen=True)
class Step:
    """One probe at one level.

    Attributes
    ----------
    level : float
        In the probe's unit.
    accuracy : float
    interval : (low, high)
        95 %, Wilson.
    recall : tuple of float or None
        By class, in the order of ``class_names``; None for a class without a clip.
    broken, fixed : int
        Clips that were right when clean and are wrong now, and the reverse.
    p_value : float
        Exact McNemar: how often chance alone would do as much.
    said : tuple of int
        Class that each clip is given.
    sure : tuple of float
        Its probability.
    """

    level: float
    accuracy: float
    interval: Interval
    recall: tuple[float | None, ...]
    broken: int
    fixed: int
    p_value: float
    said: tuple[int, ...]
    sure: tuple[float, ...]

    @property
    def score(self) -> float:
        """What curves are drawn of: the accuracy."""
        return self.accuracy


@dataclass(frozen=True)
class Robustness:
    """What a checkpoint withstands.

    Attributes
    ----------
    ref_epoch : int
        Epoch of the checkpoint.
    split : str
    num_available : int
        Clips of the split that could have been taken.
    clip_ids, targets : tuple of int
        The clips that were taken and their places in ``class_names``.
    class_names : tuple of str
    clean : Step
        Without any change; ``level`` means nothing there.
    curves : tuple of Curve
    """

    ref_epoch: int
    split: str
    num_available: int
    clip_ids: tuple[int, ...]
    targets: tuple[int, ...]
    class_names: tuple[str, ...]
    clean: Step
    curves: tuple[Curve[Step], ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Robustness:
        """Undo :meth:`as_dict`."""
        return read_back(fields, cls, Step)

    def curve(self, probe: str) -> Curve[Step]:
        """Return the curve of a probe; raise :class:`NotFoundError` if it was not measured."""
        return find_curve(self.curves, probe)

    def broken_clips(self, step: Step) -> list[tuple[int, int, float]]:
        """Return clips that a step breaks as (clip id, class given, its probability), the surest first."""
        rows = [
            (clip_id, said, sure)
            for clip_id, target, clean, said, sure in zip(
                self.clip_ids, self.targets, self.clean.said, step.said, step.sure, strict=True
            )
            if clean == target != said
        ]
        return sorted(rows, key=lambda row: -row[2])


def measure_robustness(
    model: AudioClassifier,
    features: FeatureConfig,
    windows: npt.NDArray[np.float32],
    targets: npt.NDArray[np.int64],
    num_classes: int,
    *,
    seeds: Sequence[int] | None = None,
    temperature: float = 1.0,
    probes: Sequence[Probe] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> tuple[Step, tuple[Curve[Step], ...]]:
    """Return the clean step and one curve for each probe.

    Parameters
    ----------
    targets : ndarray of int64, shape (N,)
    num_classes : int
    temperature : float
        Divides the logits.

    Further parameters and errors are those of :func:`~samplemind_core.evaluation.changed_clips.logits_under`.
    """
    clean_said: npt.NDArray[np.int64] | None = None
    clean: Step | None = None
    steps: dict[str, list[Step]] = {}
    for probe, level, logits in logits_under(
        model, features, windows, seeds=seeds, probes=probes, device=device, progress=progress, should_stop=should_stop
    ):
        probs = softmax(logits / temperature)
        said, sure = probs.argmax(axis=1), probs.max(axis=1)
        clean_said = said if clean_said is None else clean_said
        step = _judged(level, said, sure, clean_said, targets, num_classes)
        if probe is None:
            clean = step
        else:
            steps.setdefault(probe.name, []).append(step)
    assert clean is not None
    return clean, curves_of(steps)


def _judged(
    level: float,
    said: npt.NDArray[np.int64],
    sure: npt.NDArray[np.float64],
    clean_said: npt.NDArray[np.int64],
    targets: npt.NDArray[np.int64],
    num_classes: int,
) -> Step:
    right, before = said == targets, clean_said == targets
    broken, fixed = int((before & ~right).sum()), int((~before & right).sum())
    recall = [
        float(right[targets == place].mean()) if (targets == place).any() else None for place in range(num_classes)
    ]
    return Step(
        level=float(level),
        accuracy=float(right.mean()),
        interval=wilson_interval(int(right.sum()), len(right)),
        recall=tuple(recall),
        broken=broken,
        fixed=fixed,
        p_value=mcnemar_exact(broken, fixed),
        said=tuple(said.tolist()),
        sure=tuple(round(value, 4) for value in sure.tolist()),
    )


def robustness_file(root: Path, checkpoint: Checkpoint, dataset_id: str, split: str, count: int) -> Path:
    """Return where a checkpoint's robustness on some clips is kept."""
    name = f"{checkpoint.kind}-{checkpoint.epoch:04d}-{dataset_id}-{split.replace(':', '-')}-{count}.json"
    return root / "runs" / checkpoint.run_id / "robustness" / name


def stored_robustness(
    root: Path, checkpoint: Checkpoint, dataset: Dataset, split: str, count: int
) -> Robustness | LabelRobustness | None:
    """Return what was measured before for this checkpoint and dataset, or None."""
    try:
        fields = json.loads(robustness_file(root, checkpoint, dataset.id, split, count).read_text(encoding="utf-8"))
        made_from = fields.pop("made_from")
        same = made_from == [VERSION, checkpoint.created_at, dataset.fingerprint]
        kind = LabelRobustness if dataset.multi_label else Robustness
        return kind.from_dict(fields) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not measured yet, or damaged: measured anew


def robustness_of(
    store: Store,
    settings: Settings,
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: str = "test",
    count: int = DEFAULT_CLIPS,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Robustness | LabelRobustness:
    """Return what a checkpoint withstands on a sample of a split, stored or measured now and stored.

    Parameters
    ----------
    split : str
        ``train``, ``val``, ``test``, ``fold:NAME`` or ``all``.
    count : int
        At most so many clips; see :func:`~samplemind_core.evaluation.changed_clips.sample_clips`.

    Raises
    ------
    DataError
        If the dataset holds no audio, or no clip that the checkpoint could name, or if the checkpoint names one
        label and the clips have several, or the other way round.
    AudioError
        If a clip's file can no longer be read.
    StoppedError
        If it was stopped.
    """
    found = stored_robustness(settings.root, checkpoint, dataset, split, count)
    if found is not None:
        return found
    from samplemind_core.data.dataset import multi_hot
    from samplemind_core.data.incoming import dataset_folder
    from samplemind_core.training.checkpoints import load_model
    from samplemind_core.training.device import pick_device

    if dataset.kind != "audio":
        raise DataError(
            f"Dataset '{dataset.name}' holds ready-made spectrograms; sounds are needed to change them.",
            "Choose a dataset of audio files.",
        )
    device = pick_device(settings.device)
    model, info = load_model(settings.root / checkpoint.path, device)
    check_kind(info.several_labels, dataset)
    known = set(info.class_names)
    clips = [
        clip
        for clip in store.datasets.clips(dataset.id)
        if known.intersection(clip.class_labels) and in_split(clip, split)
    ]
    taken = sample_clips(clips, info.class_names, count)
    if not taken:
        raise DataError(
            f"Dataset '{dataset.name}' has no clip in '{split}' that this checkpoint could name.",
            "Choose another split or dataset.",
        )
    windows = windows_of(dataset_folder(settings.root, dataset.id), taken, info.features)
    heard: dict[str, Any] = {
        "seeds": [clip.id or 0 for clip in taken],
        "probes": list(PROBES.values()),
        "device": device,
        "progress": progress,
        "should_stop": should_stop,
    }
    common: dict[str, Any] = {
        "ref_epoch": checkpoint.epoch,
        "split": split,
        "num_available": len(clips),
        "clip_ids": tuple(clip.id or 0 for clip in taken),
        "class_names": info.class_names,
    }
    result: Robustness | LabelRobustness
    if dataset.multi_label:
        truth = multi_hot([clip.labels for clip in taken], info.class_names)
        sources = [clip.source for clip in taken]
        clean, curves = measure_label_robustness(
            model, info.features, windows, truth, info.thresholds, sources, **heard
        )
        labels = tuple(tuple(np.flatnonzero(row).tolist()) for row in truth)
        result = LabelRobustness(
            **common, num_sources=len(set(sources)), labels=labels, thresholds=info.thresholds, clean=clean,
            curves=curves,
        )  # fmt: skip
    else:
        targets = np.array([info.class_names.index(clip.label) for clip in taken], dtype=np.int64)
        one, lines = measure_robustness(
            model, info.features, windows, targets, len(info.class_names), temperature=info.temperature, **heard
        )
        result = Robustness(**common, targets=tuple(targets.tolist()), clean=one, curves=lines)
    content = result.as_dict() | {"made_from": [VERSION, checkpoint.created_at, dataset.fingerprint]}
    path = robustness_file(settings.root, checkpoint, dataset.id, split, count)
    write_atomic(path, json.dumps(content).encode())
    return result


def run_robustness(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``robustness``: ``ref``, ``dataset``, ``split`` and ``count`` say of what."""
    workspace, params = context.workspace, context.params
    _, checkpoint = workspace.resolve(params["ref"])
    found = robustness_of(
        workspace.store,
        workspace.settings,
        checkpoint,
        workspace.dataset(params["dataset"]),
        params["split"],
        int(params["count"]),
        context.progress,
        context.should_stop,
    )
    score = "mean_ap" if isinstance(found, LabelRobustness) else "accuracy"
    return {"num_clips": len(found.clip_ids), score: found.clean.score}
