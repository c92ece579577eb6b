"""Changes to a dataset: add, relabel, exclude, group, move, split anew, and take any of it back.

Each change is a new version that says who made it, and what every clip was before and after. Audio
and spectrograms stay where they are: a clip keeps its row in the feature cache whatever becomes of it.
"""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, cast

from samplemind_core.data.quality import fingerprint_clips
from samplemind_core.data.sources import Grouping, counted, label_fault, quoted
from samplemind_core.errors import AudioError, DataError, NotFoundError
from samplemind_core.store.records import (
    SEPARATOR,
    SPLITS,
    Change,
    Clip,
    ClipField,
    Dataset,
    EditKind,
    Split,
    Version,
    joined,
)
from samplemind_core.store.versions import conflict

if TYPE_CHECKING:
    from samplemind_core.data.findings import Twin
    from samplemind_core.store import Store

SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}
MAX_SOURCE = 300


@dataclass(frozen=True)
class NewClip:
    """A sample to add: its file, what it is called and is, and where it comes from (its name by default)."""

    path: Path
    name: str
    label: str
    source: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


class Editor:
    """Changes one dataset, one version after the other.

    Parameters
    ----------
    store : Store
        Database of the workspace.
    dataset : Dataset
        What is changed; it must still be the newest version when a change is made.
    author : str
        Who makes the changes; empty where nobody is signed in.
    base : int, optional
        The version that the person who makes the change looked at; that of ``dataset`` by default.

    Raises
    ------
    VersionConflictError
        If there is a newer version than ``base``; also raised by every change.
    """

    def __init__(self, store: Store, dataset: Dataset, *, author: str = "", base: int | None = None) -> None:
        self.store, self.dataset, self.author = store, dataset, author
        self._loaded: list[Clip] | None = None
        if base is not None and base != dataset.version:
            raise conflict(store.versions.get(dataset.id, dataset.version), base)

    def add(
        self, root: Path, sounds: Sequence[NewClip], *, split: Split = "train", message: str = ""
    ) -> tuple[Version | None, list[tuple[NewClip, str]]]:
        """Take further samples in; those that the dataset holds already are relabelled instead.

        Parameters
        ----------
        root : Path
            The workspace folder; the files are copied into the dataset's own.
        sounds : sequence of NewClip
        split : {'train', 'val', 'test'}
            Where they go. A sample whose source already lies on one side joins it there, so that
            no source straddles the split.
        message : str
            What the version says of itself.

        Returns
        -------
        version : Version or None
            None where nothing was left to change.
        refused : list of (NewClip, reason)
            What could not be read.

        Raises
        ------
        DataError
            If the dataset holds ready-made spectrograms, to which audio cannot be added.
        StorageError
            If the files cannot be copied.
        """
        from samplemind_core.audio.content_hash import kind_of
        from samplemind_core.audio.decode import decode
        from samplemind_core.config import FeatureConfig
        from samplemind_core.data.incoming import dataset_folder, storage_errors

        if self.dataset.kind != "audio":
            raise DataError(
                f"Dataset '{self.dataset.name}' holds ready-made spectrograms; audio cannot be added to it.",
                "Import the audio as a dataset of its own.",
            )
        if self.dataset.multi_label:
            raise DataError(
                f"The samples of dataset '{self.dataset.name}' have several labels; these have one each.",
                "Add them to a dataset of one label per sample.",
            )
        there = {clip.content_hash: clip for clip in self._all()}
        hashed = kind_of(next(iter(there)))
        sides: dict[str, Split] = {clip.source: clip.split for clip in self._all() if not clip.excluded}
        folder = dataset_folder(root, self.dataset.id)
        first = self.store.datasets.num_rows(self.dataset.id)
        refused: list[tuple[NewClip, str]] = []
        new: list[Clip] = []
        known: list[Clip] = []
        seen: set[str] = set()
        made: list[Path] = []
        try:
            for sound in sounds:
                label = _checked_label(sound.label)
                try:
                    decoded = decode(sound.path, FeatureConfig().sample_rate_hz, name=sound.name, hashed=hashed)
                except AudioError as error:
                    refused.append((sound, str(error)))
                    continue
                if decoded.content_hash in seen:
                    continue
                seen.add(decoded.content_hash)
                old = there.get(decoded.content_hash)
                if old is not None:
                    known.append(replace(old, label=label, excluded=False))
                    continue
                source = sound.source or sound.name
                file = f"audio/{first + len(new):06d}-{uuid.uuid4().hex[:8]}{PurePosixPath(sound.name).suffix.lower()}"
                with storage_errors(folder):
                    made.append(folder / file)
                    shutil.copyfile(sound.path, folder / file)
                new.append(
                    Clip(
                        row=first + len(new),
                        name=sound.name,
                        label=label,
                        target=-1,
                        source=source,
                        split=sides.get(source, split),
                        content_hash=decoded.content_hash,
                        file=file,
                        sample_rate_hz=decoded.info.sample_rate_hz,
                        channels=decoded.info.channels,
                        duration_s=decoded.info.duration_s,
                        num_bytes=decoded.info.num_bytes,
                        extra=dict(sound.extra),
                    )
                )
            changed = [clip for clip in known if clip.excluded != there[clip.content_hash].excluded
                       or clip.label != there[clip.content_hash].label]  # fmt: skip
            if not new and not changed:
                return None, refused
            said = message or " and ".join(
                part
                for part in (
                    f"added {counted(len(new), 'sample')}" if new else "",
                    f"relabelled {counted(len(changed), 'sample')}" if changed else "",
                )
                if part
            )
            return self._change("add", said, changed, added=new), refused
        except BaseException:
            for path in made:
                path.unlink(missing_ok=True)
            raise

    def find(self, names: Collection[str]) -> list[int]:
        """Return the ids of clips that are named by their id or name.

        Raises
        ------
        NotFoundError
            If nothing, or more than one clip, is called so.
        """
        by_name: dict[str, list[int]] = {}
        for clip in self._all():
            assert clip.id is not None
            by_name.setdefault(str(clip.id), []).append(clip.id)
            by_name.setdefault(clip.name, []).append(clip.id)
        wrong = [name for name in names if len(by_name.get(name, ())) != 1]
        if wrong:
            several = len(by_name.get(wrong[0], ()))
            raise NotFoundError(
                f"Dataset '{self.dataset.name}' has {several or 'no'} clips called '{wrong[0]}'.",
                f"Name the one meant by its id: {quoted(map(str, by_name[wrong[0]]))}."
                if several
                else f"Name clips by their id or name, such as {quoted(clip.name for clip in self._all()[:1])}.",
            )
        return [by_name[name][0] for name in names]

    def relabel(self, clip_ids: Collection[int], label: str) -> Version:
        """Give clips another class; a name that is not yet one becomes a class, a class without clips none.

        In a multi-label dataset ``label`` may be several with ``|`` between them, which become all that a clip has.
        Clips that were set aside for want of a label take part from now on, on the side of their source.
        """
        labels: tuple[str, ...] = ()
        if self.dataset.multi_label:
            several = {part.strip() for part in label.split(SEPARATOR)} - {""}
            labels = tuple(sorted(map(_checked_label, several or {""})))
            label = labels[0]
        else:
            label = _checked_label(label)
        clips = self._clips(clip_ids)
        sides = self._sides() if any(not clip.label for clip in clips) else {}
        changed = [
            replace(clip, label=label, labels=labels)
            if clip.label
            else replace(clip, label=label, labels=labels, excluded=False, split=sides.get(clip.source, clip.split))
            for clip in clips
        ]
        number = sum((clip.label, clip.labels) != (label, labels) for clip in clips)
        message = f"relabelled {counted(number, 'sample')} as {joined(labels) or label}"
        return self._change("relabel", message, changed)

    def exclude(self, clip_ids: Collection[int]) -> Version:
        """Set clips aside: they stay stored, but are neither trained on nor counted."""
        return self._each(clip_ids, "exclude", "excluded", True, "excluded {}")

    def include(self, clip_ids: Collection[int]) -> Version:
        """Take excluded clips back in; one without a label needs a class first."""
        nameless = [clip for clip in self._clips(clip_ids) if not clip.label]
        if nameless:
            raise DataError(
                f"{counted(len(nameless), 'sample')} {'has' if len(nameless) == 1 else 'have'} no class yet.",
                "Give a class; that takes them in as well.",
            )
        return self._each(clip_ids, "include", "excluded", False, "included {} again")

    def move(self, clip_ids: Collection[int], split: Split) -> Version:
        """Put clips into another split."""
        if split not in SPLITS:
            raise DataError(f"There is no split '{split}'.", f"Choose one of: {', '.join(SPLITS)}.")
        return self._each(clip_ids, "move", "split", split, f"moved {{}} to {SPLIT_WORDS[split]}")

    def group(self, clip_ids: Collection[int], source: str) -> Version:
        """Name the source (pack, machine, recording) of clips."""
        source = _checked_source(source)
        return self._each(clip_ids, "group", "source", source, f"grouped {{}} under the source {source}")

    def regroup(self, sources: Mapping[int, str], message: str = "") -> Version:
        """Name the source of each clip by its id, such as a proposal that was accepted."""
        clips = self._clips(sources)
        changed = [replace(clip, source=_checked_source(sources[clip.id or 0])) for clip in clips]
        number = len({clip.source for clip in changed})
        message = message or f"grouped {counted(len(changed), 'sample')} by {counted(number, 'source')}"
        return self._change("group", message, changed)

    def merge_sources(self, sources: Collection[str], into: str) -> Version:
        """Make one source of several."""
        into = _checked_source(into)
        clips = [clip for clip in self._all() if clip.source in set(sources)]
        missing = sorted(set(sources) - {clip.source for clip in clips})
        if missing:
            raise DataError(f"There is no source {quoted(missing)}.", "It may have been renamed meanwhile.")
        message = f"merged {counted(len(set(sources)), 'source')} into {into}"
        return self._change("group", message, [replace(clip, source=into) for clip in clips])

    def resplit(
        self,
        *,
        seed: int = 0,
        fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
        grouping: Grouping = "given",
        twins: Collection[Twin] = (),
    ) -> Version:
        """Divide into train, validation and test anew, stratified by class.

        Parameters
        ----------
        seed : int
        fractions : tuple of float
            Shares of train, validation and test; sum 1.
        grouping : {'given', 'inferred', 'none'}
            Whether sources stay on one side always, only where a class has three of them, or not at all.
            Identical sounds always do.
        twins : collection of Twin
            Clips that hold the same sound, as a health report lists them; they stay on one side too.

        Raises
        ------
        SplitError
            If there are too few sources.
        """
        from samplemind_core.data.grouping import sound_keys
        from samplemind_core.data.split import choose_splits

        clips = [clip for clip in self._all() if not clip.excluded and clip.target >= 0]
        # A clip without a known source carries its own name.
        known = [None if grouping == "none" or clip.source == clip.name else clip.source for clip in clips]
        chosen, _ = choose_splits(
            [clip.labels or clip.label for clip in clips],
            known,
            sound_keys(clips, twins),
            [None] * len(clips),
            grouping=grouping,
            seed=seed,
            fractions=fractions,
        )
        shares = " / ".join(f"{100 * share:.0f}" for share in fractions) + " %"
        how = "" if grouping != "none" else ", sources not kept together"
        split = [replace(clip, split=side) for clip, side in zip(clips, chosen, strict=True)]
        return self._change("split", f"split anew, {shares}, seed {seed}{how}", split, seed=seed)

    def split_by_fold(self, *, val: Collection[str], test: Collection[str]) -> Version:
        """Make given folds the validation and the test set, and the others the training set."""
        clips = [clip for clip in self._all() if clip.fold is not None]
        unknown = sorted({*val, *test} - {str(clip.fold) for clip in clips})
        if unknown or not val or not test or set(val) & set(test):
            there = quoted(sorted({str(clip.fold) for clip in clips})) or "none"
            raise DataError(
                "Validation and test need folds of their own"
                + (f"; there is no fold {quoted(unknown)}." if unknown else "."),
                f"The folds are: {there}.",
            )
        sides: dict[str, Split] = {}
        sides.update(dict.fromkeys(val, "val"))
        sides.update(dict.fromkeys(test, "test"))
        message = f"split by folds: validation {quoted(val)}, test {quoted(test)}"
        split = [replace(clip, split=sides.get(str(clip.fold), "train")) for clip in clips]
        return self._change("split", message, split)

    # -- taking back -----------------------------------------------------------------------------

    def undo(self) -> Version:
        """Take back the last change that stands, as a version of its own."""
        done, _ = stacks(self.store.versions.all(self.dataset.id))
        if not done:
            raise DataError("There is nothing to undo.", "This is the dataset as it was imported.")
        return self._revert(done[-1], "undo")

    def redo(self) -> Version:
        """Bring back the change that was undone last."""
        _, undone = stacks(self.store.versions.all(self.dataset.id))
        if not undone:
            raise DataError("There is nothing to redo.", "Nothing was undone since the last change.")
        return self._revert(undone[-1], "redo")

    def _revert(self, version: Version, kind: EditKind) -> Version:
        backwards = kind == "undo"
        values: dict[int, dict[str, Any]] = {}
        for change in self.store.versions.changes(self.dataset.id, version.version):
            values.setdefault(change.clip_id, {})[change.field] = change.before if backwards else change.after
        clips = [replace(clip, **values[clip.id]) for clip in self._all() if clip.id in values]
        verb = "undid" if backwards else "redid"
        # The seed goes with the split that it made.
        seed = self.store.versions.get(self.dataset.id, version.version - backwards).seed
        return self._change(kind, f"{verb}: {version.message}", clips, seed=seed, reverts=version.version)

    # -- making a version ------------------------------------------------------------------------

    def _each(self, clip_ids: Collection[int], kind: EditKind, field: ClipField, value: Any, message: str) -> Version:
        clips = self._clips(clip_ids)
        number = sum(getattr(clip, field) != value for clip in clips)
        changed = [replace(clip, **{field: value}) for clip in clips]
        return self._change(kind, message.format(counted(number, "sample")), changed)

    def _clips(self, clip_ids: Collection[int]) -> list[Clip]:
        if not clip_ids:
            raise DataError("No sample was chosen.", "Choose the samples to change.")
        wanted = set(clip_ids)
        clips = [clip for clip in self._all() if clip.id in wanted]
        missing = sorted(wanted - {clip.id for clip in clips if clip.id is not None})
        if missing:
            raise NotFoundError(f"There is no clip {missing[0]} in dataset '{self.dataset.name}'.", "Load it again.")
        return clips

    def _sides(self) -> dict[str, Split]:
        """Return the split of each source that takes part in one only."""
        found: dict[str, set[Split]] = {}
        for clip in self._all():
            if not clip.excluded:
                found.setdefault(clip.source, set()).add(clip.split)
        return {source: next(iter(sides)) for source, sides in found.items() if len(sides) == 1}

    def _all(self) -> list[Clip]:
        """Return all clips as they are in the version that is changed, excluded ones included."""
        if self._loaded is None:
            self._loaded = self.store.versions.clips(self.dataset)
        return self._loaded

    def _change(
        self,
        kind: EditKind,
        message: str,
        changed: Sequence[Clip],
        *,
        seed: int | None = None,
        reverts: int | None = None,
        added: Sequence[Clip] = (),
    ) -> Version:
        """Store clips as they shall be; what they were is read from the store."""
        new = {clip.id: clip for clip in changed}
        before = self._all()
        after = [new.get(clip.id, clip) for clip in before]
        changes = [
            Change(cast("int", old.id), field, getattr(old, field), getattr(now, field))
            for old, now in zip(before, after, strict=True)
            for field in _FIELDS
            if getattr(old, field) != getattr(now, field)
        ]
        if not changes and not added:
            raise DataError("That changes nothing: these samples are so already.", "Choose others, or another value.")
        active = [*(clip for clip in after if not clip.excluded), *added]
        class_names = tuple(sorted({name for clip in active for name in clip.class_labels}))
        _check(active, class_names)
        version = Version(
            dataset_id=self.dataset.id,
            version=self.dataset.version + 1,
            kind=kind,
            message=message[:1].upper() + message[1:],
            author=self.author,
            created_at=0.0,
            fingerprint=fingerprint_clips(active),
            class_names=class_names,
            num_clips=len(active),
            num_excluded=sum(clip.excluded for clip in after),
            seed=self.dataset.seed if seed is None else seed,
            reverts=reverts,
        )
        made = self.store.versions.add(version, changes, added)
        self.dataset, self._loaded = self.store.versions.at(self.dataset, made.version), None
        return made


def stacks(versions: Sequence[Version]) -> tuple[list[Version], list[Version]]:
    """Return the changes that stand and those that were undone, the last of each at the end.

    Parameters
    ----------
    versions : sequence of Version
        All versions of a dataset, oldest first.
    """
    by_number = {version.version: version for version in versions}
    done: list[Version] = []
    undone: list[Version] = []
    for version in versions:
        if version.kind == "undo":
            undone.append(done.pop())
        elif version.kind == "redo":
            done.append(undone.pop())
        elif version.kind != "import":
            done.append(by_number[version.version])
            undone.clear()
    return done, undone


_FIELDS: tuple[ClipField, ...] = ("label", "labels", "source", "split", "excluded")
_NAME = "A class has 1 to 200 printable characters."


def _checked_label(label: str) -> str:
    label = label.strip()
    fault = label_fault(label)
    if fault or not label.isprintable():
        raise DataError(f"{label[:60]!r} cannot name a class. {fault or 'It holds odd characters.'}", _NAME)
    return label


def _checked_source(source: str) -> str:
    source = source.strip()
    if not 1 <= len(source) <= MAX_SOURCE or not source.isprintable():
        raise DataError(
            f"A source has 1 to {MAX_SOURCE} printable characters, got {source[:60]!r}.",
            "Choose another name.",
        )
    return source


def _check(active: Sequence[Clip], class_names: Sequence[str]) -> None:
    """Raise where nothing could be trained on what would be left."""
    if len(class_names) < 2:
        raise DataError(
            f"That would leave {counted(len(class_names), 'class')} with samples; training needs two.",
            "Keep samples of a second class.",
        )
    sides = {clip.split for clip in active}
    empty = [SPLIT_WORDS[side] for side in SPLITS if side not in sides]
    if empty:
        raise DataError(f"That would leave no sample in {' and '.join(empty)}.", "Move others there first.")
