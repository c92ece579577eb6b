"""How much an answer withstands: accuracy and recall under what happens to samples on their way.

Each probe changes the sounds themselves, before the front end, in steps from harmless to harsh. The
clips are a fixed, stated sample of a split, the same for every step, so that every curve is paired
with the clean value; whether a fall is more than chance is told by McNemar's exact test on these pairs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError, NotFoundError, StoppedError
from samplemind_core.evaluation.comparison import mcnemar_exact
from samplemind_core.evaluation.metrics import Interval, plain, wilson_interval
from samplemind_core.evaluation.probes import PROBES, Probe
from samplemind_core.files import write_atomic

if TYPE_CHECKING:
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.config import FeatureConfig
    from samplemind_core.models import AudioClassifier
    from samplemind_core.settings import Settings
    from samplemind_core.store import Checkpoint, Clip, Dataset, Store
    from samplemind_core.tasks import TaskContext

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]

DEFAULT_CLIPS = 120
SEED = 0
VERSION = 1
_BATCH = 30


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


@dataclass(frozen=True)
class Curve:
    """One probe at all of its levels, from the mildest on."""

    probe: str
    title: str
    unit: str
    steps: tuple[Step, ...]

    @property
    def worst(self) -> Step:
        """The step of the lowest accuracy."""
        return min(self.steps, key=lambda step: step.accuracy)


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
    curves: tuple[Curve, ...]

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON types."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Robustness:
        """Undo :meth:`as_dict`."""
        curves = tuple(
            Curve(row["probe"], row["title"], row["unit"], tuple(_step(step) for step in row["steps"]))
            for row in fields["curves"]
        )
        rest = {name: value for name, value in fields.items() if name not in ("clean", "curves")}
        tuples: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in rest.items()
        }
        return cls(**tuples, clean=_step(fields["clean"]), curves=curves)

    def curve(self, probe: str) -> Curve:
        """Return the curve of a probe; raise :class:`NotFoundError` if it was not measured."""
        found = next((curve for curve in self.curves if curve.probe == probe), None)
        if found is None:
            raise NotFoundError(f"There is no curve '{probe}'.", f"Choose one of: {', '.join(PROBES)}.")
        return found

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


def _step(fields: dict[str, Any]) -> Step:
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
    }
    return Step(**values)


def sample_clips(clips: Sequence[Clip], class_names: Sequence[str], count: int, seed: int = SEED) -> list[Clip]:
    """Return ``count`` clips, evenly over the classes as far as they last, the same ones every time.

    Parameters
    ----------
    clips : sequence of Clip
        Those with another label than ``class_names`` are passed over.
    class_names : sequence of str
    count : int
        All clips if there are fewer.
    seed : int
    """
    rng = np.random.default_rng(seed)
    stacks = []
    for name in class_names:
        rows = [clip for clip in clips if clip.label == name]
        stacks.append([rows[place] for place in rng.permutation(len(rows))])
    taken: list[Clip] = []
    while len(taken) < count and any(stacks):
        for stack in stacks:
            if stack and len(taken) < count:
                taken.append(stack.pop())
    return sorted(taken, key=lambda clip: clip.row)


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
) -> tuple[Step, tuple[Curve, ...]]:
    """Return the clean step and one curve for each probe.

    Parameters
    ----------
    model : AudioClassifier
        In evaluation mode, on ``device``.
    features : FeatureConfig
        Its front end.
    windows : ndarray of float32, shape (N, num_samples)
        The clips as :func:`~samplemind_core.audio.window.fit_window` gives them.
    targets : ndarray of int64, shape (N,)
    num_classes : int
    seeds : sequence of int, optional
        Of each clip's own noise; its place by default.
    temperature : float
        Divides the logits.
    probes : sequence of Probe, optional
        All by default.
    progress : callable, optional
        Called with (steps done, steps in all, what).
    should_stop : callable, optional
        Asked before each step.

    Raises
    ------
    DataError
        If there are no clips.
    StoppedError
        If it was stopped.
    """
    from samplemind_core.audio.features import LogMel

    if len(windows) == 0:
        raise DataError("There is no clip to change and listen to.", "Choose a split that holds some.")
    chosen = list(PROBES.values()) if probes is None else list(probes)
    front_end = LogMel(features).to(device)
    noises = range(len(windows)) if seeds is None else seeds
    rate = features.sample_rate_hz
    total = 1 + sum(len(probe.levels_at(rate)) for probe in chosen)
    done = 0

    def tell(what: str) -> None:
        nonlocal done
        if should_stop is not None and should_stop():
            raise StoppedError("Measuring was stopped.", "Start it again when you like.")
        if progress is not None:
            progress(done, total, what)
        done += 1

    tell("Listening to the clean samples")
    clean_said, clean_sure = _answers(model, front_end, windows, noises, None, 0.0, temperature, device)
    clean = _judged(0.0, clean_said, clean_sure, clean_said, targets, num_classes)
    curves = []
    for probe in chosen:
        steps = []
        for level in probe.levels_at(rate):
            tell(f"Listening under {probe.title.lower()}")
            said, sure = _answers(model, front_end, windows, noises, probe, level, temperature, device)
            steps.append(_judged(level, said, sure, clean_said, targets, num_classes))
        if steps:
            curves.append(Curve(probe.name, probe.title, probe.unit, tuple(steps)))
    return clean, tuple(curves)


def _answers(
    model: AudioClassifier,
    front_end: LogMel,
    windows: npt.NDArray[np.float32],
    seeds: Sequence[int],
    probe: Probe | None,
    level: float,
    temperature: float,
    device: str | torch.device,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return the class (N,) that each clip is given and its probability (N,)."""
    import torch

    from samplemind_core.evaluation.probes import changed

    said, sure = np.zeros(len(windows), np.int64), np.zeros(len(windows))
    # Sounds of about one length together: silence behind them is then cheap.
    order = np.argsort([len(np.trim_zeros(window, "b")) for window in windows], kind="stable")
    for start in range(0, len(windows), _BATCH):
        rows = order[start : start + _BATCH]
        batch = windows[rows]
        if probe is not None:
            batch = changed(probe, batch, front_end.config, level, [seeds[row] for row in rows])
        with torch.inference_mode():
            logits = model(front_end(torch.from_numpy(batch).to(device)))
            probs = torch.softmax(logits.double() / temperature, dim=1)
        best = probs.max(dim=1)
        said[rows], sure[rows] = best.indices.cpu().numpy(), best.values.cpu().numpy()
    return said, sure


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
) -> Robustness | None:
    """Return what was measured before for this checkpoint and dataset, or None."""
    try:
        fields = json.loads(robustness_file(root, checkpoint, dataset.id, split, count).read_text(encoding="utf-8"))
        made_from = fields.pop("made_from")
        same = made_from == [VERSION, checkpoint.created_at, dataset.fingerprint]
        return Robustness.from_dict(fields) if same else None
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
) -> Robustness:
    """Return what a checkpoint withstands on a sample of a split, stored or measured now and stored.

    Parameters
    ----------
    split : str
        ``train``, ``val``, ``test``, ``fold:NAME`` or ``all``.
    count : int
        At most so many clips; see :func:`sample_clips`.

    Raises
    ------
    DataError
        If the dataset holds no audio, or no clip that the checkpoint could name.
    AudioError
        If a clip's file can no longer be read.
    StoppedError
        If it was stopped.
    """
    found = stored_robustness(settings.root, checkpoint, dataset, split, count)
    if found is not None:
        return found
    from samplemind_core.audio.decode import decode
    from samplemind_core.audio.window import fit_window
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
    kind, _, fold = split.partition(":")
    clips = [
        clip
        for clip in store.datasets.clips(dataset.id)
        if clip.label in info.class_names
        and (split == "all" or (clip.fold == fold if kind == "fold" else clip.split == split))
    ]
    taken = sample_clips(clips, info.class_names, count)
    if not taken:
        raise DataError(
            f"Dataset '{dataset.name}' has no clip in '{split}' that this checkpoint could name.",
            "Choose another split or dataset.",
        )
    folder, rate = dataset_folder(settings.root, dataset.id), info.features.sample_rate_hz
    windows = np.stack(
        [
            fit_window(decode(folder / (clip.file or ""), rate, name=clip.name).waveform, info.features)[0]
            for clip in taken
        ]
    )
    targets = np.array([info.class_names.index(clip.label) for clip in taken], dtype=np.int64)
    clean, curves = measure_robustness(
        model,
        info.features,
        windows,
        targets,
        len(info.class_names),
        seeds=[clip.id or 0 for clip in taken],
        temperature=info.temperature,
        device=device,
        progress=progress,
        should_stop=should_stop,
    )
    result = Robustness(
        ref_epoch=checkpoint.epoch,
        split=split,
        num_available=len(clips),
        clip_ids=tuple(clip.id or 0 for clip in taken),
        targets=tuple(targets.tolist()),
        class_names=info.class_names,
        clean=clean,
        curves=curves,
    )
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
    return {"num_clips": len(found.clip_ids), "accuracy": found.clean.accuracy}
