"""A fixed sample of clips, and what a network says of each of them after every change.

What is made of the answers stands in :mod:`~samplemind_core.evaluation.robustness` and
:mod:`~samplemind_core.evaluation.label_robustness`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from samplemind_core.errors import DataError, NotFoundError, StoppedError
from samplemind_core.evaluation.probes import PROBES, Probe

if TYPE_CHECKING:
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.config import FeatureConfig
    from samplemind_core.models import AudioClassifier
    from samplemind_core.store import Clip

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]
Logits = npt.NDArray[np.float64]

SEED = 0
_BATCH = 30


class Scored(Protocol):
    """One probe at one level, with the figure that counts."""

    @property
    def level(self) -> float:
        """In the probe's unit."""

    @property
    def score(self) -> float:
        """Fraction; the higher, the better."""


R = TypeVar("R")
S = TypeVar("S", bound=Scored)


@dataclass(frozen=True)
class Curve(Generic[S]):
    """One probe at all of its levels, from one end to the other."""

    probe: str
    title: str
    unit: str
    steps: tuple[S, ...]

    @property
    def worst(self) -> S:
        """The step of the lowest score."""
        return min(self.steps, key=lambda step: step.score)


def curves_of(steps: Mapping[str, Sequence[S]]) -> tuple[Curve[S], ...]:
    """Return a curve for the steps of each probe, by its name."""
    return tuple(Curve(name, PROBES[name].title, PROBES[name].unit, tuple(found)) for name, found in steps.items())


def read_back(fields: Mapping[str, Any], kind: Callable[..., R], step: Callable[..., Any]) -> R:
    """Return a result of this kind from what its ``as_dict`` gave: ``clean`` and ``curves`` of steps, and the rest.

    Parameters
    ----------
    fields : mapping of str
    kind, step : class
        Of the result, and of one probe at one level.
    """

    def made(values: Mapping[str, Any]) -> Any:
        return step(**{name: _frozen(value) for name, value in values.items()})

    curves = tuple(
        Curve(row["probe"], row["title"], row["unit"], tuple(map(made, row["steps"]))) for row in fields["curves"]
    )
    rest = {name: _frozen(value) for name, value in fields.items() if name not in ("clean", "curves")}
    return kind(**rest, clean=made(fields["clean"]), curves=curves)


def _frozen(value: Any) -> Any:
    """Return lists, however deep, as tuples."""
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def find_curve(curves: Sequence[Curve[S]], probe: str) -> Curve[S]:
    """Return the curve of a probe; raise :class:`NotFoundError` if it was not measured."""
    found = next((curve for curve in curves if curve.probe == probe), None)
    if found is None:
        raise NotFoundError(f"There is no curve '{probe}'.", f"Choose one of: {', '.join(PROBES)}.")
    return found


def sample_clips(clips: Sequence[Clip], class_names: Sequence[str], count: int, seed: int = SEED) -> list[Clip]:
    """Return ``count`` clips, evenly over the classes as far as they last, the same ones every time.

    Parameters
    ----------
    clips : sequence of Clip
        Those without a label among ``class_names`` are passed over; one with several stands for each of them,
        and is taken once.
    class_names : sequence of str
    count : int
        All clips if there are fewer.
    seed : int
    """
    rng = np.random.default_rng(seed)
    stacks = []
    for name in class_names:
        rows = [clip for clip in clips if name in clip.class_labels]
        stacks.append([rows[place] for place in rng.permutation(len(rows))])
    taken: dict[int, Clip] = {}
    while len(taken) < count and any(stacks):
        for stack in stacks:
            while stack and stack[-1].row in taken:
                stack.pop()
            if stack and len(taken) < count:
                clip = stack.pop()
                taken[clip.row] = clip
    return sorted(taken.values(), key=lambda clip: clip.row)


def windows_of(folder: Path, clips: Sequence[Clip], features: FeatureConfig) -> npt.NDArray[np.float32]:
    """Return clips of a dataset (N, num_samples) as a front end takes them.

    Raises
    ------
    AudioError
        If a clip's file can no longer be read.
    """
    from samplemind_core.audio.decode import decode
    from samplemind_core.audio.window import fit_window

    sounds = (decode(folder / (clip.file or ""), features.sample_rate_hz, name=clip.name).waveform for clip in clips)
    return np.stack([fit_window(sound, features)[0] for sound in sounds])


def logits_under(
    model: AudioClassifier,
    features: FeatureConfig,
    windows: npt.NDArray[np.float32],
    *,
    seeds: Sequence[int] | None = None,
    probes: Sequence[Probe] | None = None,
    device: str | torch.device = "cpu",
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Iterator[tuple[Probe | None, float, Logits]]:
    """Yield a probe, one of its levels and the logits (N, C) of clips under it; first None, 0 and those of clean clips.

    Parameters
    ----------
    model : AudioClassifier
        In evaluation mode, on ``device``.
    features : FeatureConfig
        Its front end.
    windows : ndarray of float32, shape (N, num_samples)
        The clips as :func:`~samplemind_core.audio.window.fit_window` gives them.
    seeds : sequence of int, optional
        Of each clip's own noise; its place by default.
    probes : sequence of Probe, optional
        All by default; those that make no sense at the front end's sample rate are passed over.
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
    steps: list[tuple[Probe | None, float]] = [(None, 0.0)]
    steps += [(probe, level) for probe in chosen for level in probe.levels_at(features.sample_rate_hz)]
    for done, (probe, level) in enumerate(steps):
        if should_stop is not None and should_stop():
            raise StoppedError("Measuring was stopped.", "Start it again when you like.")
        if progress is not None:
            what = "to the clean samples" if probe is None else f"under {probe.title.lower()}"
            progress(done, len(steps), f"Listening {what}")
        yield probe, float(level), _logits(model, front_end, windows, noises, probe, level, device)


def _logits(
    model: AudioClassifier,
    front_end: LogMel,
    windows: npt.NDArray[np.float32],
    seeds: Sequence[int],
    probe: Probe | None,
    level: float,
    device: str | torch.device,
) -> Logits:
    import torch

    from samplemind_core.evaluation.probes import changed

    parts: list[tuple[npt.NDArray[np.int64], Logits]] = []
    # Sounds of about one length together: silence behind them is then cheap.
    order = np.argsort([len(np.trim_zeros(window, "b")) for window in windows], kind="stable")
    for start in range(0, len(windows), _BATCH):
        rows = order[start : start + _BATCH]
        batch = windows[rows]
        if probe is not None:
            batch = changed(probe, batch, front_end.config, level, [seeds[row] for row in rows])
        with torch.inference_mode():
            parts.append((rows, model(front_end(torch.from_numpy(batch).to(device))).double().cpu().numpy()))
    found = np.zeros((len(windows), parts[0][1].shape[1]))
    for rows, logits in parts:
        found[rows] = logits
    return found
