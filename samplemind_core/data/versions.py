"""What differs between two states of a dataset, or between two datasets, and what a run was trained on."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from samplemind_core.audio.content_hash import NEWEST, kind_of
from samplemind_core.data.sources import counted
from samplemind_core.errors import DataError, NotFoundError
from samplemind_core.store.records import Clip, ClipField, Dataset, Record, Run

if TYPE_CHECKING:
    from samplemind_core.store import Store

FIELDS: tuple[ClipField, ...] = ("label", "source", "split", "excluded")


@dataclass(frozen=True, slots=True)
class Difference(Record):
    """One clip that both sides hold and call differently: ``values`` is ``{field: (a, b)}``."""

    name: str
    clip_id: int | None
    values: dict[str, tuple[str | bool, str | bool]]


@dataclass(frozen=True, slots=True)
class DatasetDiff(Record):
    """What differs between two states.

    Parameters
    ----------
    a, b : str
        The two states, as ``NAME@VERSION``.
    same_fingerprint : bool
        Whether training on either is the same.
    num_same : int
        Clips that both hold and call the same.
    only_a, only_b : tuple of str
        Names of clips that one of them lacks.
    changed : tuple of Difference
        In the order of ``b``.
    classes_only_a, classes_only_b : tuple of str
        Classes that one of them lacks.
    """

    a: str
    b: str
    same_fingerprint: bool
    num_same: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    changed: tuple[Difference, ...]
    classes_only_a: tuple[str, ...]
    classes_only_b: tuple[str, ...]

    def counts(self) -> dict[str, int]:
        """Return how many clips differ in each field, the most frequent first."""
        return dict(Counter(field for one in self.changed for field in one.values).most_common())

    @property
    def sentence(self) -> str:
        """The difference in one line."""
        parts = [f"{counted(number, 'sample')} {_VERBS[field]}" for field, number in self.counts().items()]
        parts += [f"{counted(len(self.only_a), 'sample')} only in {self.a}"] if self.only_a else []
        parts += [f"{counted(len(self.only_b), 'sample')} only in {self.b}"] if self.only_b else []
        if not parts:
            return f"No difference: {counted(self.num_same, 'sample')}."
        return f"{', '.join(parts)}; {self.num_same:,} the same."


_VERBS = {"label": "relabelled", "source": "regrouped", "split": "moved", "excluded": "excluded or included"}


def resolve_dataset(store: Store, reference: str) -> Dataset:
    """Return the dataset that ``NAME`` or ``NAME@VERSION`` names, as it was in that version.

    Raises
    ------
    NotFoundError
        If there is no such dataset or version.
    """
    whole = store.datasets.find(reference)  # a name may hold an @
    if whole is not None:
        return whole
    name, at, number = reference.rpartition("@")
    if not at:
        return store.datasets.get(reference)
    dataset = store.datasets.get(name)
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFoundError(f"'{number}' is no version of dataset '{name}'.", f"The newest is {dataset.version}.")
    return store.versions.at(dataset, int(number))


def diff(store: Store, a: Dataset, b: Dataset) -> DatasetDiff:
    """Return what differs from ``a`` to ``b``: two versions of a dataset, or two datasets.

    Clips of one dataset are the same where their ids are, clips of two datasets where their sound is.

    Raises
    ------
    DataError
        If one of two datasets was imported by a version that hashed sounds in another way.
    """
    clips_a, clips_b = store.versions.clips(a), store.versions.clips(b)
    if a.id != b.id and not comparable(clips_a, clips_b):
        older = a.name if clips_a and kind_of(clips_a[0].content_hash) != NEWEST else b.name
        raise DataError(
            f"'{older}' was imported by an earlier version of SampleMind, which knew sounds by another hash, so that "
            "those that both datasets hold cannot be told.",
            "Import it once more under another name, and compare that.",
        )
    pairs, only_a, only_b = _match(clips_a, clips_b, by_sound=a.id != b.id)
    changed = []
    for old, new in pairs:
        values: dict[str, tuple[str | bool, str | bool]] = {
            field: (_value(old, field), _value(new, field)) for field in FIELDS
        }
        differing = {field: pair for field, pair in values.items() if pair[0] != pair[1]}
        if differing:
            changed.append(Difference(new.name, new.id, differing))
    return DatasetDiff(
        a=f"{a.name}@{a.version}",
        b=f"{b.name}@{b.version}",
        same_fingerprint=a.fingerprint == b.fingerprint,
        num_same=len(pairs) - len(changed),
        only_a=tuple(clip.name for clip in only_a),
        only_b=tuple(clip.name for clip in only_b),
        changed=tuple(changed),
        classes_only_a=tuple(name for name in a.class_names if name not in b.class_names),
        classes_only_b=tuple(name for name in b.class_names if name not in a.class_names),
    )


def comparable(clips_a: Sequence[Clip], clips_b: Sequence[Clip]) -> bool:
    """Return whether clips of two datasets with the same sound have the same hash."""
    kinds = ({kind_of(clip.content_hash) for clip in clips if clip.file} for clips in (clips_a, clips_b))
    return len(set().union(*kinds)) < 2


def _value(clip: Clip, field: ClipField) -> str | bool:
    """Return a field of a clip; several labels as one text."""
    value: str | bool = clip.shown_label if field == "label" else getattr(clip, field)
    return value


@dataclass(frozen=True, slots=True)
class TrainedOn(Record):
    """How the version a run was trained on compares with the dataset as it is now.

    ``num_seen`` counts clips of a split as it is now that the run was trained on: figures on these flatter.
    """

    version: int
    newest: int
    num_seen: int
    num_clips: int

    @property
    def sentence(self) -> str:
        """What a reader of figures should know; empty where there is nothing."""
        if self.version == self.newest:
            return ""
        text = f"Trained on version {self.version} of the dataset, judged on version {self.newest}."
        if self.num_seen:
            text += (
                f" {self.num_seen:,} of {counted(self.num_clips, 'sample')} here were in its training set then, "
                "so these figures flatter."
            )
        return text


def trained_on(store: Store, run: Run, dataset: Dataset, split: str) -> TrainedOn | None:
    """Return what a run was trained on against what it is judged on; None for another dataset."""
    if run.dataset_id != dataset.id:
        return None
    if run.dataset_version == dataset.version:
        return TrainedOn(run.dataset_version, dataset.version, 0, 0)
    then = store.versions.clips(store.versions.at(dataset, run.dataset_version))
    seen = {clip.id for clip in then if clip.split == "train" and not clip.excluded}
    now = [clip for clip in store.versions.clips(dataset) if not clip.excluded and split in (clip.split, "all")]
    # What is called train is meant to have been seen.
    known = sum(clip.id in seen for clip in now if clip.split != "train")
    return TrainedOn(run.dataset_version, dataset.version, known, len(now))


def _match(
    clips_a: Sequence[Clip], clips_b: Sequence[Clip], *, by_sound: bool
) -> tuple[list[tuple[Clip, Clip]], list[Clip], list[Clip]]:
    """Return the clips that are the same ones, in the order of ``b``, and those of one side only."""
    waiting: dict[object, deque[Clip]] = defaultdict(deque)
    for clip in _in_order(clips_a, by_sound=by_sound):
        waiting[_key(clip, by_sound=by_sound)].append(clip)
    pairs, only_b = [], []
    for clip in _in_order(clips_b, by_sound=by_sound):
        candidates = waiting[_key(clip, by_sound=by_sound)]
        if candidates:
            pairs.append((candidates.popleft(), clip))
        else:
            only_b.append(clip)
    pairs.sort(key=lambda pair: pair[1].row)
    return pairs, [clip for rest in waiting.values() for clip in rest], only_b


def _key(clip: Clip, *, by_sound: bool) -> object:
    return clip.content_hash if by_sound else clip.id


def _in_order(clips: Sequence[Clip], *, by_sound: bool) -> Iterable[Clip]:
    # Copies of one sound are paired by name, whatever order they were imported in.
    return sorted(clips, key=lambda clip: (clip.name, clip.row)) if by_sound else clips
