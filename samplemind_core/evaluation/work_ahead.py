"""What must be computed before a figure can be shown: how many clips nobody asked a checkpoint about, and how long.

Pages compute what takes a moment and hand over what takes longer to the task worker; the tasks stand here too.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.evaluation.embeddings import embed_dataset, embeddings_file
from samplemind_core.evaluation.judging import splits_of
from samplemind_core.store.records import Checkpoint, Dataset

if TYPE_CHECKING:
    from samplemind_core.config import FeatureConfig
    from samplemind_core.settings import Settings
    from samplemind_core.store import Store
    from samplemind_core.tasks import TaskContext

MOMENT_S = 4.0
"""What takes longer is done by the worker."""

_DECODED_PER_S = 150.0
"""Files decoded and transformed a second by two busy cores; see "An import" in docs/PERFORMANCE.md."""
_ANSWERED_PER_S = 300.0
"""Clips a second through a network whose training was not timed, on two busy cores."""
_FASTER_THAN_TRAINING = 2.5
"""A pass without gradients and augmentation takes at most this part of a training step."""


@dataclass(frozen=True)
class WorkAhead:
    """What must be computed first.

    Attributes
    ----------
    num_clips : int
        Answers that are missing, over all checkpoints.
    num_files : int
        Files to decode for them, over all front ends.
    seconds : float
        About how long both take on this machine.
    """

    num_clips: int = 0
    num_files: int = 0
    seconds: float = 0.0

    @property
    def long(self) -> bool:
        """Whether the worker should do it."""
        return self.seconds > MOMENT_S


def answers_ahead(
    store: Store,
    settings: Settings,
    checkpoints: Sequence[Checkpoint],
    dataset: Dataset,
    split: str,
    num_clips: Mapping[str, int],
) -> WorkAhead:
    """Return what must be computed before checkpoints can be judged on a split.

    An estimate from the database alone: no predictions are opened.

    Parameters
    ----------
    split : str
        ``train``, ``val``, ``test``, ``all`` or ``fold:NAME``.
    num_clips : mapping of str to int
        How many clips of the dataset take part, by split.

    Raises
    ------
    DataError
        If there is no such split.
    CheckpointError
        If the file of a checkpoint that must answer is missing or damaged.
    """
    missing = [
        (one, sum(_missing(store, settings.root, one, dataset, name, num_clips) for name in splits_of(split)))
        for one in checkpoints
    ]
    return _work(store, settings, [(one, count) for one, count in missing if count], dataset)


def embeddings_ahead(store: Store, settings: Settings, checkpoint: Checkpoint, dataset: Dataset) -> WorkAhead:
    """Return what must be computed before a checkpoint's embeddings of a whole dataset are there."""
    file = embeddings_file(settings.root, checkpoint, dataset.id)
    if file.exists() and file.stat().st_mtime >= checkpoint.created_at:
        return WorkAhead()
    return _work(store, settings, [(checkpoint, store.datasets.num_rows(dataset.id))], dataset)


def _work(store: Store, settings: Settings, missing: Sequence[tuple[Checkpoint, int]], dataset: Dataset) -> WorkAhead:
    from samplemind_core.data.cache import cache_file
    from samplemind_core.training.checkpoints import read_info

    seconds, to_decode = 0.0, set[Path]()
    for checkpoint, count in missing:
        features: FeatureConfig = read_info(settings.root / checkpoint.path).features
        file = cache_file(settings.root, dataset.id, features)
        if not file.exists():
            to_decode.add(file)
        seconds += count / _answers_per_s(store, checkpoint)
    num_files = len(to_decode) * store.datasets.num_rows(dataset.id) if to_decode else 0
    return WorkAhead(sum(count for _, count in missing), num_files, seconds + num_files / _DECODED_PER_S)


def _missing(
    store: Store, root: Path, checkpoint: Checkpoint, dataset: Dataset, split: str, num_clips: Mapping[str, int]
) -> int:
    known = store.runs.prediction(checkpoint, dataset.id, split)
    answered = known.num_clips if known is not None and (root / known.path).exists() else 0
    return max(0, num_clips.get(split, 0) - answered)


def _answers_per_s(store: Store, checkpoint: Checkpoint) -> float:
    trained = [epoch.clips_per_s for epoch in store.runs.epochs(checkpoint.run_id) if epoch.clips_per_s > 0]
    return _FASTER_THAN_TRAINING * statistics.median(trained) if trained else _ANSWERED_PER_S


def run_judging(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``judge``: ``refs`` answer about the clips of ``split`` in ``dataset``."""
    params, refs = context.params, list(context.params["refs"])
    count = 0
    for place, ref in enumerate(refs, 1):
        context.check()
        of = f", checkpoint {place} of {len(refs)}" if len(refs) > 1 else ""

        def tell(done: int, total: int | None, what: str, of: str = of) -> None:
            context.advance(done, total, what + of)

        judged = context.workspace.judge(ref, dataset=params["dataset"], split=params["split"], progress=tell)
        count = len(judged.clip_ids)
    return {"num_clips": count}


def run_embedding(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``embed``: where ``ref``'s network puts the clips of ``dataset``."""
    workspace, params = context.workspace, context.params
    _, checkpoint = workspace.resolve(params["ref"])
    found = embed_dataset(
        workspace.store,
        workspace.settings,
        checkpoint,
        workspace.dataset(params["dataset"]),
        context.advance,
        context.should_stop,
    )
    return {"num_clips": len(found)}
