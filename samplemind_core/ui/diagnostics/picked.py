"""What a section of the Diagnostics page is given: the picked models and what each said of the same samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from samplemind_core.data.versions import comparable
from samplemind_core.evaluation.multi_label import LabelEvaluation
from samplemind_core.evaluation.out_of_fold import out_of_fold_file
from samplemind_core.starter import is_starter
from samplemind_core.store import Checkpoint, Clip, Dataset, Run
from samplemind_core.ui import words
from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.training.checkpoints import CheckpointInfo

LETTERS = "ABCDEF"
MEAN = "Mean"


@dataclass(frozen=True, eq=False)
class PickedModel:
    """One of the models that are looked at.

    Attributes
    ----------
    name : str
        What the page calls it: a letter, or "Mean" for the mean of all.
    ref : str
        Its reference for :meth:`Workspace.judge` and command lines.
    run, checkpoint : Run, Checkpoint or None
        Both None for the mean of several; no checkpoint for the out-of-fold answers of a run.
    judged : Judged
        What it said; rows and classes are the same for all picked models.
    measured : Evaluation or LabelEvaluation
        How good that is: of one label for each sample, or of several.
    """

    name: str
    ref: str
    run: Run | None
    checkpoint: Checkpoint | None
    judged: Judged
    measured: Evaluation | LabelEvaluation

    @property
    def evaluation(self) -> Evaluation:
        """Its scores where samples have one label."""
        assert not isinstance(self.measured, LabelEvaluation)
        return self.measured

    @property
    def labelled(self) -> LabelEvaluation:
        """Its scores where samples have several labels."""
        assert isinstance(self.measured, LabelEvaluation)
        return self.measured

    @property
    def title(self) -> str:
        """Return the name with the run's: ``A · drums-quick-1``."""
        if self.run is None:
            return "Mean of all"
        return f"{self.name} · {self.run.name}{'' if self.checkpoint else ', cross-validated'}"

    @property
    def path(self) -> Path | None:
        """The checkpoint's file."""
        return workspace().root / self.checkpoint.path if self.checkpoint else None

    @cached_property
    def info(self) -> CheckpointInfo | None:
        """What the checkpoint says of itself; None for the mean of several.

        Raises
        ------
        CheckpointError
            If its file is missing or damaged.
        """
        from samplemind_core.training.checkpoints import read_info

        return read_info(self.path) if self.path else None


@dataclass(frozen=True, eq=False)
class Picked:
    """The models and samples that were picked.

    Attributes
    ----------
    dataset : Dataset
        Whose samples they are judged on.
    split : str
        ``train``, ``val``, ``test``, ``all`` or ``fold:NAME``.
    models : tuple of PickedModel
        At least one; the first is A.
    clips : dict of int to Clip
        All clips of the dataset by id.
    notes : tuple of str
        What should be known before believing the figures.
    stamp : tuple
        Changes with anything that a section could compute from what was picked: a key for caches.
    """

    dataset: Dataset
    split: str
    models: tuple[PickedModel, ...]
    clips: dict[int, Clip]
    notes: tuple[str, ...]
    stamp: tuple[Any, ...]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes of all models, in the order of their logits."""
        return self.models[0].judged.class_names

    def model(self, name: str) -> PickedModel:
        """Return the model of a name; the first where there is none."""
        return next((model for model in self.models if model.name == name), self.models[0])

    @property
    def several_labels(self) -> bool:
        """Whether samples have several labels, each of which is answered by itself."""
        return self.models[0].judged.several_labels

    @property
    def single(self) -> tuple[PickedModel, ...]:
        """The models that are one checkpoint each, with a file."""
        return tuple(model for model in self.models if model.checkpoint is not None)


def pick(dataset: Dataset, split: str, refs: Mapping[str, str], *, mean: bool = False) -> Picked:
    """Return what some checkpoints, by name, say of the same samples, kept until one of them changes.

    Raises
    ------
    SampleMindError
        If there is no such checkpoint, or it cannot be judged on these samples.
    """
    stamps = (dataset.fingerprint, dataset.version, *(stamp(ref) for ref in refs.values()))
    return _pick(dataset.id, split, tuple(refs), tuple(refs.values()), mean, stamps)


def clips_of(dataset: Dataset) -> dict[int, Clip]:
    """Return the clips of a dataset by id."""
    return _clips(str(workspace().root), dataset.id, (dataset.fingerprint, dataset.version))


def stamp(ref: str) -> tuple[Any, ...]:
    """Return what changes when a checkpoint does."""
    store = workspace()
    run, checkpoint = store.behind(ref)
    assert run is not None  # a mean is made of what is picked, never picked itself
    file = store.root / checkpoint.path if checkpoint else out_of_fold_file(store.settings, run.id)
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return str(store.root), run.id, checkpoint and (checkpoint.id, checkpoint.epoch, checkpoint.created_at), changed


@st.cache_resource(max_entries=4, show_spinner=False)
def _clips(root: str, dataset_id: str, stamp: tuple[Any, ...]) -> dict[int, Clip]:
    return {clip.id or 0: clip for clip in workspace().store.datasets.clips(dataset_id)}


@st.cache_resource(max_entries=16, show_spinner=False)
def _pick(
    dataset_id: str, split: str, letters: tuple[str, ...], refs: tuple[str, ...], mean: bool, stamps: tuple[Any, ...]
) -> Picked:
    from samplemind_core.evaluation.lineup import line_up, mean_of, mean_ref
    from samplemind_core.evaluation.measuring import evaluate_judged

    store = workspace()
    dataset = store.dataset(dataset_id)
    judged, notes = line_up([store.judge(ref, dataset=dataset_id, split=split) for ref in refs])
    resolved: list[tuple[Run | None, Checkpoint | None]] = [store.behind(ref) for ref in refs]
    names, all_refs = list(letters), list(refs)
    if mean and len(refs) > 1:
        judged, names = [*judged, mean_of(judged)], [*names, MEAN]
        all_refs, resolved = [*all_refs, mean_ref(refs)], [*resolved, (None, None)]
    models = tuple(
        PickedModel(name, ref, run, kept, one, evaluate_judged(one))
        for name, ref, (run, kept), one in zip(names, all_refs, resolved, judged, strict=True)
    )
    clips = clips_of(dataset)
    return Picked(
        dataset, split, models, clips, _notes(dataset, split, models, clips) + notes, (letters, mean, split, stamps)
    )


def _trained_on(run: Run) -> list[Clip]:
    """Return what a run was trained on, in the version of the dataset that it took."""
    store = workspace().store
    then = store.versions.at(store.datasets.get(run.dataset_id), run.dataset_version)
    return [clip for clip in store.versions.clips(then) if clip.split == "train" and not clip.excluded]


def _notes(dataset: Dataset, split: str, models: Sequence[PickedModel], clips: dict[int, Clip]) -> tuple[str, ...]:
    """Return what makes the figures look better than they are."""
    notes = []
    if split == "test":
        notes.append("The test split is for reporting. A checkpoint that was chosen by it looks better than it is.")
    excluded = max(model.judged.num_excluded for model in models)
    if excluded:
        notes.append(f"{words.plural(excluded, 'sample')} left out: their class is not one that was learnt.")
    judged = [clips[int(clip_id)] for clip_id in models[0].judged.clip_ids]
    for model in models:
        if model.run is None or model.checkpoint is None:
            continue  # out-of-fold answers are about clips that were never heard
        if is_starter(model.ref):
            notes.append(f"{model.name} is the starter: it was trained on synthesised drums only.")
            continue
        same = model.run.dataset_id == dataset.id
        if same and model.run.dataset_version != dataset.version:
            notes.append(
                f"{model.name} was trained on version {model.run.dataset_version} of the dataset; labels and splits "
                f"here are those of version {dataset.version}."
            )
        elif same and split in ("val", "test"):
            continue  # training never saw these: splits keep identical sounds together
        trained_on = _trained_on(model.run)
        if not comparable(trained_on, judged):
            notes.append(
                f"Whether {model.name} was trained on some of these samples cannot be told: one of the datasets was "
                "imported by an earlier version of SampleMind."
            )
        seen = {clip.content_hash for clip in trained_on}
        known = sum(clip.content_hash in seen for clip in judged)
        if known:
            notes.append(
                f"{model.name} was trained on {known:,} of these {words.plural(len(judged), 'sample')}; "
                "its figures flatter it."
            )
    return tuple(notes)


def temperature_of(model: PickedModel) -> float:
    """Return what a model's logits are divided by to get its confidence; 1 for the mean of several."""
    return model.info.temperature if model.info else 1.0


def confidences(model: PickedModel) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the calibrated confidence (N,) of a model's answers and whether they are right (N,)."""
    from samplemind_core.evaluation.calibration import tempered

    probs = tempered(model.judged.logits, temperature_of(model))
    return probs.max(axis=1), probs.argmax(axis=1) == model.judged.targets
