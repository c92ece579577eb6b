"""What a run's settings say of every clip when they have never heard its source: k trainings, each without one fold.

Answers on clips that a network was trained on say little: it has learnt their labels, wrong ones too.
Out-of-fold answers cover the whole dataset and are honest on all of it.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from samplemind_core.config import RunConfig
from samplemind_core.errors import DataError, NotFoundError, StoppedError, StorageError
from samplemind_core.evaluation.judging import Judged, from_logits
from samplemind_core.files import DAMAGED, open_arrays, write_atomic
from samplemind_core.store.records import Clip, Dataset, Epoch, Run
from samplemind_core.training.observer import Silent

if TYPE_CHECKING:
    from samplemind_core.settings import Settings
    from samplemind_core.store import Store

NUM_FOLDS = 5
KIND = "cross_validate"
_PREFIX = "folds("

By = Literal["auto", "folds", "groups"]
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Answers on all clips of a dataset, each by a network that never heard the clip's source.

    ``logits`` (N, C) float32, ``targets`` (N,) as they were trained on, ``clip_ids`` (N,), ``folds``
    (N,) from 0; ``version`` is that of the dataset; ``fold_names`` are those of the manifest, or numbers.

    Where clips have several labels, ``targets`` (N, C) uint8 holds 1 for each of them, and ``thresholds`` (K, C)
    is from which probability on each of the K folds' networks names each label: chosen on the fold that chose
    its epoch.
    """

    logits: npt.NDArray[np.float32]
    targets: npt.NDArray[Any]
    clip_ids: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64]
    class_names: tuple[str, ...]
    version: int
    fold_names: tuple[str, ...] = ()
    thresholds: npt.NDArray[np.float64] | None = None

    @property
    def mean_thresholds(self) -> tuple[float, ...]:
        """The mean of the folds' thresholds, by which all answers together are named; empty for one label.

        References
        ----------
        R.-E. Fan, C.-J. Lin (2007), "A study on threshold selection for multi-label classification", National
        Taiwan University: thresholds averaged over folds.
        """
        return () if self.thresholds is None else tuple(self.thresholds.mean(axis=0).tolist())


def folds_ref(run_id: str) -> str:
    """Return the reference to a run's out-of-fold answers: ``folds(RUN)``."""
    return f"{_PREFIX}{run_id})"


def folds_run(ref: str) -> str | None:
    """Return the run that ``folds(RUN)`` names; None for any other reference."""
    text = ref.strip()
    return text.removeprefix(_PREFIX)[:-1].strip() if text.startswith(_PREFIX) and text.endswith(")") else None


def assign_folds(
    targets: npt.NDArray[Any], groups: npt.NDArray[Any], num_folds: int = NUM_FOLDS, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Return the fold (N,) of each clip: stratified by class, no group in two folds, none without a clip.

    ``targets`` (N, C) of 0 and 1, where clips have several labels, are dealt by
    :func:`~samplemind_core.data.stratify.deal_folds`.

    Raises
    ------
    DataError
        If there are fewer than three groups, or than three clips of every class, since one fold tests and one
        chooses the epoch.
    """
    num_groups = len(np.unique(groups))
    if num_groups < 3 or num_folds < 3:
        raise DataError(
            f"Cross-validation needs at least three sources and folds, got {num_groups} and {num_folds}.",
            "Import clips of more sources, or name the sources of these.",
        )
    if targets.ndim == 2:
        from samplemind_core.data.stratify import deal_folds

        names = [str(place) for place in range(targets.shape[1])]
        labels = [[names[place] for place in np.flatnonzero(row)] for row in targets]
        group_of = np.unique(groups, return_inverse=True)[1].astype(np.int64)
        return deal_folds(labels, group_of, min(num_folds, num_groups), np.random.default_rng(seed))
    from sklearn.model_selection import StratifiedGroupKFold

    most = int(np.unique(targets, return_counts=True)[1].max())  # some class has to be in every fold
    if most < 3:
        raise DataError(
            f"Cross-validation needs a class of at least three clips, the largest has {most}.",
            "Import more clips of each class.",
        )
    count = min(num_folds, num_groups, most)
    dealer = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
    folds = np.zeros(len(targets), dtype=np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a class of fewer clips than folds is missing in some, which is as it must be
        for fold, (_, rows) in enumerate(dealer.split(np.zeros((len(targets), 1)), targets, groups)):
            folds[rows] = fold
    # One group that is far larger than the others may leave a fold empty.
    return folds if len(np.unique(folds)) == count else _dealt_by_size(groups, count)


def _dealt_by_size(groups: npt.NDArray[Any], num_folds: int) -> npt.NDArray[np.int64]:
    """Return the fold (N,) of each clip where whole groups, the largest first, go to the fold with the fewest clips."""
    _, places, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    held, fold_of = np.zeros(num_folds, dtype=np.int64), np.zeros(len(sizes), dtype=np.int64)
    for group in np.argsort(-sizes, kind="stable").tolist():
        fold_of[group] = held.argmin()
        held[fold_of[group]] += sizes[group]
    return fold_of[places]


def cross_validate(
    store: Store,
    settings: Settings,
    run: Run,
    folder: Path,
    *,
    num_folds: int = NUM_FOLDS,
    by: By = "auto",
    dataset: Dataset | None = None,
    progress: Progress | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> OutOfFold | None:
    """Train a run's settings once per fold and store what each network says of the fold it never heard.

    Fold k is tested, fold k + 1 chooses the epoch, the others are trained on. Folds that ``folder`` holds
    from an interrupted attempt are not trained again.

    Parameters
    ----------
    run : Run
        Whose settings; its answers are kept under its id. It need not be stored.
    folder : Path
        Where unfinished folds are kept.
    num_folds : int
        Into how many folds sources are dealt; at most one for each source.
    by : {'auto', 'folds', 'groups'}
        The manifest's folds, sources dealt into folds, or the former where every clip has one.
    dataset : Dataset, optional
        The version of the dataset; as it is now by default.
    progress : callable, optional
        Called with epochs done, epochs at most, and what is being done.
    should_stop : callable
        Whether to stop after the current batch.

    Returns
    -------
    OutOfFold or None
        None if stopped.

    Raises
    ------
    DataError
        If the dataset has too few sources, or no folds where its own were asked for.
    TrainingError
        If a training fails.
    """
    from samplemind_core.data.dataset import load_clips

    report = progress or (lambda done, total, what: None)
    config = RunConfig.model_validate(run.config)
    dataset = dataset or store.datasets.get(run.dataset_id)
    clips = load_clips(settings.root, store, dataset, config.features, progress)
    records = {clip.id: clip for clip in store.versions.clips(dataset)}
    # Rows that take part: labelled, and in one of the splits.
    labelled = clips.targets.any(axis=1) if clips.multi_label else clips.targets >= 0
    rows = np.flatnonzero(labelled & np.isin(clips.split, ("train", "val", "test")))
    taken = [records[int(clips.clip_ids[row])] for row in rows]
    folds, fold_names = deal(taken, clips.targets[rows], num_folds, by, config.train.seed)
    total = len(fold_names)
    logits = np.zeros((len(rows), len(clips.class_names)), dtype=np.float32)
    thresholds = np.zeros((total, len(clips.class_names))) if clips.multi_label else None
    for fold in range(total):
        # An edit of the dataset deals other folds: what is kept is of this version.
        name = f"fold-{fold}-{dataset.fingerprint[:12]}"
        kept, mine = folder / f"{name}.npz", folds == fold
        if not kept.exists():
            said = _train_fold(
                config, clips, rows, folds, (fold, (fold + 1) % total), folder / name, store, settings,
                _Observer(report, should_stop, fold, total, config.train.epochs),
            )  # fmt: skip
            if said is None:
                return None
            left = {"logits": said[0]} if thresholds is None else {"logits": said[0], "thresholds": np.array(said[1])}
            _write(kept, **left, targets=clips.targets[rows][mine], name=np.array(fold_names[fold]))
        with open_arrays(kept) as file:
            logits[mine] = file["logits"]
            if thresholds is not None:
                thresholds[fold] = file["thresholds"]
    targets, clip_ids = clips.targets[rows], clips.clip_ids[rows]
    found = OutOfFold(logits, targets, clip_ids, folds, clips.class_names, dataset.version, fold_names, thresholds)
    _write(
        out_of_fold_file(settings, run.id),
        logits=logits,
        targets=found.targets,
        clip_ids=found.clip_ids,
        folds=folds,
        class_names=np.array(found.class_names),
        version=np.array(dataset.version),
        fold_names=np.array(fold_names),
        **({} if thresholds is None else {"thresholds": thresholds}),
    )
    return found


def read_out_of_fold(settings: Settings, run_id: str) -> OutOfFold | None:
    """Return a run's stored out-of-fold answers, or None.

    Raises
    ------
    StorageError
        If the file is damaged.
    """
    path = out_of_fold_file(settings, run_id)
    if not path.exists():
        return None
    try:
        with open_arrays(path) as file:
            return OutOfFold(
                file["logits"],
                file["targets"],
                file["clip_ids"],
                file["folds"],
                tuple(str(name) for name in file["class_names"]),
                int(file["version"]),
                # Files of earlier versions have no names.
                tuple(str(name) for name in file["fold_names"]) if "fold_names" in file else (),
                file.get("thresholds"),
            )
    except DAMAGED as error:
        raise StorageError(f"'{path.name}' cannot be read: {error}.", "Cross-validate the run again.") from error


def judge_out_of_fold(store: Store, settings: Settings, run: Run, dataset: Dataset, split: str) -> Judged:
    """Return a run's out-of-fold answers on ``train``, ``val``, ``test``, ``all`` or ``fold:NAME`` clips.

    Raises
    ------
    NotFoundError
        If the run was not cross-validated, or on another dataset.
    DataError
        If nothing of that split is among them.
    """
    found = read_out_of_fold(settings, run.id)
    if found is None or run.dataset_id != dataset.id:
        raise NotFoundError(
            f"Run '{run.name}' was not cross-validated on '{dataset.name}'.", "Start it under Labels on Diagnostics."
        )
    clips = store.datasets.clips(dataset.id)
    if dataset.multi_label:
        from samplemind_core.data.dataset import multi_hot

        named = {clip.id: clip.labels for clip in clips}
        hot = multi_hot([named.get(int(i), ()) for i in found.clip_ids], found.class_names)
        judged = from_logits(found.logits, hot, found.clip_ids, found.class_names, clips, split, dataset.name)
        return replace(judged, thresholds=found.mean_thresholds)
    labels = {clip.id: clip.label for clip in clips}
    places = {name: place for place, name in enumerate(found.class_names)}
    # A label that was corrected since is what counts.
    targets = np.array([places.get(labels.get(int(i), ""), -1) for i in found.clip_ids], dtype=np.int64)
    return from_logits(found.logits, targets, found.clip_ids, found.class_names, clips, split, dataset.name)


class _Observer(Silent):
    """Hears how one fold's training goes and reports it as a share of all folds."""

    def __init__(
        self, report: Progress, should_stop: Callable[[], bool], fold: int, num_folds: int, epochs: int
    ) -> None:
        self._report, self._should_stop, self._fold, self._num_folds, self._epochs = (
            report, should_stop, fold, num_folds, epochs,
        )  # fmt: skip

    def should_stop(self) -> bool:
        return self._should_stop()

    def on_preparing(self, done: int, total: int | None, what: str) -> None:
        """Report what comes before a fold's first epoch; raises to stop."""
        self._report(done, total, what)
        if self._should_stop():
            raise StoppedError("Stopped on request.", "Resume goes on where it was.")

    def on_epoch(self, epoch: Epoch) -> None:
        done = self._fold * self._epochs + epoch.epoch
        # One stage for all folds, so that the time to go is that of all.
        self._report(done, self._num_folds * self._epochs, f"Training without each of {self._num_folds} folds")


def _train_fold(
    config: RunConfig,
    clips: Any,
    rows: npt.NDArray[np.int64],
    folds: npt.NDArray[np.int64],
    held: tuple[int, int],
    folder: Path,
    store: Store,
    settings: Settings,
    observer: _Observer,
) -> tuple[npt.NDArray[np.float32], tuple[float, ...]] | None:
    """Return the logits of the fold that is held out, and each label's threshold; None if stopped."""
    from samplemind_core.training.label_thresholds import fit_label_thresholds
    from samplemind_core.training.predictions import compute_logits
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData
    from samplemind_core.training.variants import with_variants

    test, val = held
    learnt = rows[(folds != test) & (folds != val)]
    data = TrainingData.of_rows(clips, learnt, rows[folds == val], f"fold {test}")
    try:
        data = with_variants(data, config, settings.root, store, clips, observer.on_preparing)
    except StoppedError:
        return None
    trainer = Trainer(config, data, folder, observer, device=settings.device)
    if (folder / "last.safetensors").exists():
        trainer.restore(folder / "last.safetensors")
    if trainer.fit().status != "finished":
        return None
    best = folder / "best.safetensors"
    said = compute_logits(best, clips.log_mel, rows[folds == test], trainer.device)
    if not clips.multi_label:
        return said, ()
    on_val = compute_logits(best, clips.log_mel, rows[folds == val], trainer.device)
    return said, fit_label_thresholds(on_val, clips.targets[rows[folds == val]])


def num_trained_on(num_clips: int, num_folds: int) -> int:
    """Return about how many clips each network is trained on: one fold is tested, and one chooses the epoch."""
    return num_clips * (num_folds - 2) // num_folds


def deal(
    clips: Sequence[Clip], targets: npt.NDArray[Any], num_folds: int, by: By = "auto", seed: int = 0
) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Return the fold (N,) of each clip and the folds' names; see :func:`cross_validate`."""
    from samplemind_core.data.split import merge_groups

    groups = merge_groups([clip.source for clip in clips], [clip.content_hash for clip in clips])
    given = None if by == "groups" else _given_folds(clips, groups)
    if given is not None:
        names = sorted({clip.fold or "" for clip in clips}, key=_by_length)
        return given, tuple(names)
    if by == "folds":
        raise DataError(
            "These clips have no folds to go by: every clip needs one, there must be three, and no source in two.",
            "Deal the sources into folds instead, or import a manifest with a column 'fold'.",
        )
    folds = assign_folds(targets, groups, num_folds, seed)
    return folds, tuple(str(fold + 1) for fold in range(int(folds.max()) + 1))


def _by_length(name: str) -> tuple[int, str]:
    return len(name), name


def _given_folds(clips: Sequence[Clip], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.int64] | None:
    """Return the manifest's folds as numbers, if every clip has one, there are three and no source is in two."""
    names = sorted({clip.fold or "" for clip in clips}, key=_by_length)
    if "" in names or len(names) < 3:
        return None
    folds = np.array([names.index(clip.fold or "") for clip in clips], dtype=np.int64)
    first = dict(zip(groups.tolist()[::-1], folds.tolist()[::-1], strict=True))
    return (
        folds
        if all(first[group] == fold for group, fold in zip(groups.tolist(), folds.tolist(), strict=True))
        else None
    )


def out_of_fold_file(settings: Settings, run_id: str) -> Path:
    """Return where the out-of-fold answers of a run are kept."""
    return settings.root / "runs" / run_id / "predictions" / "out-of-fold.npz"


def _write(path: Path, **arrays: npt.NDArray[Any]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_atomic(path, buffer.getvalue())
