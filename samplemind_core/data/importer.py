"""From a messy collection to a dataset: every file decoded once, split decided once, whole or not at all."""

from __future__ import annotations

import shutil
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samplemind_core.audio.decode import AudioInfo, printable, to_wav
from samplemind_core.data.cache import cache_file
from samplemind_core.data.incoming import delete_dataset_folder, incoming_folder, storage_errors
from samplemind_core.data.quality import fingerprint_clips, quality_warnings
from samplemind_core.data.reading import Workbench
from samplemind_core.data.sources import Candidate, Found, ImportOptions, counted, open_source, quoted
from samplemind_core.data.split import choose_splits
from samplemind_core.errors import DataError, SplitError, StoppedError
from samplemind_core.settings import Limits
from samplemind_core.store.datasets import name_taken
from samplemind_core.store.records import Clip, Dataset, Reject, Split

if TYPE_CHECKING:
    from samplemind_core.store import Store

__all__ = ["ImportOptions", "delete_dataset_folder", "import_dataset", "import_demo"]

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]

MAX_NAME = 200


@dataclass(frozen=True, slots=True)
class Resumable:
    """Where an import keeps what it has finished, and the id its dataset gets, so that it can go on.

    Without it an import that ends early leaves nothing.
    """

    folder: Path
    dataset_id: str


@dataclass(frozen=True, slots=True)
class _Plan:
    """What becomes which dataset. ``candidates`` may be made one by one as they are asked for."""

    name: str
    origin: str
    options: ImportOptions
    found: Found
    candidates: Iterable[Candidate]
    total: int
    stamp: str = ""


@dataclass(frozen=True, slots=True)
class _Accepted:
    candidate: Candidate
    info: AudioInfo
    content_hash: str
    silent: bool
    file: str
    row: int


def import_dataset(
    store: Store,
    root: Path,
    source: Path,
    name: str,
    *,
    options: ImportOptions | None = None,
    limits: Limits | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    resumable: Resumable | None = None,
) -> Dataset:
    """Import a folder, a zip or tar archive, a CSV manifest or ready spectrograms (``.npz``) into a workspace.

    Files that cannot become clips are listed as rejects, each with its reason; one bad file never
    stops the others. On any error, or a stop, nothing stays among the datasets; with ``resumable``
    what is finished waits in its folder, and the same call goes on from there.

    Parameters
    ----------
    store : Store
        Database of the workspace.
    root : Path
        The workspace folder.
    source : Path
        What to import; see :func:`~samplemind_core.data.sources.open_source` for the layouts, and
        :mod:`samplemind_core.data.npz` for a folder or zip of ``train.npz`` and its like.
    name : str
        Name of the dataset, unique in the workspace.
    options : ImportOptions, optional
        Columns, classes and split.
    limits : Limits, optional
        Bounds on files and archives; the environment's by default.
    progress : callable, optional
        Called with (files done, files in all or None, what).
    should_stop : callable, optional
        Asked between files; a true answer ends the import with a :class:`StoppedError`.
    resumable : Resumable, optional
        Where to keep what is finished.

    Raises
    ------
    NameTakenError
        If a dataset of that name exists.
    DataError
        If the name or the source cannot be used, or fewer than two classes have usable clips;
        ``ManifestError``, ``ArchiveError`` and ``SplitError`` are such errors.
    StoppedError
        If it was stopped.
    StorageError
        If the workspace cannot be written.
    """
    from samplemind_core.data.arrays import has_npz
    from samplemind_core.data.npz import import_npz

    options, limits = options or ImportOptions(), limits or Limits()
    if (finished := _finished(store, resumable)) is not None:
        return finished
    name = check_name(store, name)
    check = _checker(should_stop)

    report = progress or _silent
    if has_npz(source):
        return import_npz(
            store,
            root,
            source,
            name,
            options=options,
            limits=limits,
            progress=report,
            check=check,
            dataset_id=resumable.dataset_id if resumable else None,
            keep=resumable.folder if resumable else None,
        )
    report(0, None, "Looking for samples")
    with open_source(source, options, limits, check) as found:
        kind = "folder" if source.is_dir() else "file"
        origin = options.origin or f"Imported from the {kind} '{printable(source.name or str(source))}'"
        plan = _Plan(name, origin, options, found, found.candidates, len(found.candidates), _stamp(source))
        return _run(store, root, plan, limits, report, check, resumable)


def import_demo(
    store: Store,
    root: Path,
    name: str,
    per_class: int = 200,
    seed: int = 0,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
    resumable: Resumable | None = None,
    *,
    layers: bool = False,
) -> Dataset:
    """Make the demo instruments and import them as a dataset that is marked synthetic.

    Parameters
    ----------
    store, root, name, progress, should_stop, resumable
        As for :func:`import_dataset`.
    per_class : int
        Clips of each class; with layers as many clips in all.
    seed : int
        Seed of the sounds and of the split.
    layers : bool
        Whether clips are hits of one to three voices of a kit together, with all their labels.

    Raises
    ------
    NameTakenError, DataError, StorageError
        As :func:`import_dataset`.
    """
    from samplemind_core.audio.layers import layered_hits
    from samplemind_core.audio.synth import CLASS_NAMES, demo_voices

    if (finished := _finished(store, resumable)) is not None:
        return finished
    name = check_name(store, name)
    if per_class < 3:
        raise DataError(f"Expected at least 3 clips per class, got {per_class}.", "200 make a good demo.")

    def voices() -> Iterator[Candidate]:
        numbers: Counter[str] = Counter()
        for voice in demo_voices(per_class, seed):
            numbers[voice.label] += 1
            data = to_wav(voice.waveform, voice.sample_rate_hz)
            file = f"{voice.label}/{voice.source}/{voice.label}-{numbers[voice.label]:04d}.wav"
            yield Candidate(file, voice.label, partial(bytes, data), voice.source, extra={"method": voice.method})

    def hits() -> Iterator[Candidate]:
        for number, hit in enumerate(layered_hits(total, seed), 1):
            data = to_wav(hit.waveform, hit.sample_rate_hz)
            file = f"{hit.source}/{'-'.join(hit.labels)}-{number:04d}.wav"
            extra = {"method": hit.method}
            yield Candidate(file, hit.labels[0], partial(bytes, data), hit.source, extra=extra, labels=hit.labels)

    total = per_class * len(CLASS_NAMES)
    options = ImportOptions(seed=seed, synthetic=True)
    found = Found([], [], grouping="inferred", multi_label=layers)
    origin = f"Synthesised by SampleMind (seed {seed})"
    stamp = f"demo {per_class} {seed}{' layers' if layers else ''}"
    plan = _Plan(name, origin, options, found, hits() if layers else voices(), total, stamp)
    return _run(store, root, plan, Limits(), progress or _silent, _checker(should_stop), resumable)


def _checker(should_stop: ShouldStop | None) -> Callable[[], None]:
    def check() -> None:
        if should_stop is not None and should_stop():
            raise StoppedError("The import was stopped.", "Import again, or resume it.")

    return check


def _finished(store: Store, resumable: Resumable | None) -> Dataset | None:
    """Return the dataset of an import that was killed between its end and the word that it had ended."""
    return store.datasets.find(resumable.dataset_id) if resumable else None


def _stamp(source: Path) -> str:
    """Return what tells an archive or a list from another one that takes its place."""
    if source.is_dir():
        return str(source.resolve())
    status = source.stat()
    return f"{source.resolve()} {status.st_size} {status.st_mtime_ns}"


def check_name(store: Store, name: str) -> str:
    """Return a dataset's name without blanks around it.

    Raises
    ------
    DataError
        If it is empty, too long or holds control characters.
    NameTakenError
        If a dataset of that name exists.
    """
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
        raise DataError(
            f"A dataset's name has 1 to {MAX_NAME} printable characters, got '{printable(name[:40])}' ({len(name)}).",
            "Choose another name.",
        )
    if store.datasets.find(name) is not None:
        raise name_taken("dataset", name)
    return name


def _run(
    store: Store,
    root: Path,
    plan: _Plan,
    limits: Limits,
    report: Progress,
    check: Callable[[], None],
    resumable: Resumable | None,
) -> Dataset:
    """Read, split and commit."""
    dataset_id = resumable.dataset_id if resumable else uuid.uuid4().hex[:16]
    with ExitStack() as stack:
        if resumable is None:
            # All work is done inside the folder that vanishes with its process.
            folder, publish = stack.enter_context(incoming_folder(root, store, dataset_id))
            bench = Workbench(folder / "work")
            accepted, rejects = _read_all(bench, plan, limits, report, check)
        else:
            with storage_errors(resumable.folder):
                bench = Workbench(resumable.folder, plan.stamp)
                accepted, rejects = _read_all(bench, plan, limits, report, check)
            folder, publish = stack.enter_context(incoming_folder(root, store, dataset_id))
        check()
        report(plan.total, plan.total, "Dividing into train, val and test")
        class_names = _class_names(accepted, rejects)
        try:
            chosen, warnings = _choose(accepted, plan)
        except SplitError as error:
            # What was noticed on the way may be why.
            raise SplitError(" ".join((error.problem, *plan.found.warnings)), error.advice) from error
        clips = _clips(accepted, chosen, class_names)
        labelled = [clip for clip in clips if clip.label]
        dataset = Dataset(
            id=dataset_id,
            name=plan.name,
            kind="audio",
            class_names=class_names,
            num_clips=len(labelled),
            num_excluded=len(clips) - len(labelled),
            num_rejected=len(rejects),
            fingerprint=fingerprint_clips(labelled),
            origin=plan.origin,
            seed=plan.options.seed,
            created_at=time.time(),
            synthetic=plan.options.synthetic,
            multi_label=plan.found.multi_label,
            warnings=(
                *plan.found.warnings,
                *warnings,
                *quality_warnings(labelled, [item.candidate.name for item in accepted if item.silent]),
                *_unlabelled(clips),
            ),
        )
        report(plan.total, plan.total, "Storing")
        _furnish(folder, bench, [item.row for item in accepted], cache_file(root, dataset_id, bench.features).name)
        publish()
        return store.datasets.add(dataset, clips, rejects)


def _read_all(
    bench: Workbench, plan: _Plan, limits: Limits, report: Progress, check: Callable[[], None]
) -> tuple[list[_Accepted], list[Reject]]:
    accepted: list[_Accepted] = []
    rejects = list(plan.found.rejects)
    for done, (candidate, result) in enumerate(bench.read(plan.candidates, limits, check, plan.total), start=1):
        if result.info is None:
            rejects.append(Reject(candidate.name, result.reason))
        else:
            item = _Accepted(candidate, result.info, result.content_hash, result.silent, result.file, result.row)
            accepted.append(item)
        report(done, plan.total, "Reading samples")
    return accepted, rejects


def _furnish(folder: Path, bench: Workbench, rows: list[int], cache_name: str) -> None:
    """Give a dataset's folder its audio and its spectrograms."""
    (folder / "audio").rmdir()
    bench.audio.rename(folder / "audio")
    (folder / "cache").mkdir()
    bench.hand_over(rows, folder / "cache" / cache_name)
    shutil.rmtree(bench.folder)


def _class_names(accepted: Sequence[_Accepted], rejects: Sequence[Reject]) -> tuple[str, ...]:
    reasons = "; ".join(f"{printable(row.name)}: {row.reason.rstrip('.')}" for row in rejects[:3])
    refused = f" Not imported ({len(rejects):,}): {reasons}." if rejects else ""
    if not accepted:
        raise DataError(
            f"There is nothing to import: no usable sample was found.{refused}",
            "Expected WAV, FLAC, AIFF, MP3 or Ogg files in one folder per class, or a manifest that lists them.",
        )
    names = sorted({name for item in accepted for name in item.candidate.labels or (item.candidate.label,)} - {""})
    if not names:
        raise DataError(
            f"None of the names of {len(accepted):,} usable samples says a class, for example "
            f"'{printable(accepted[0].candidate.name)}'.{refused}",
            "Add the words of these names to the rules, or sort the samples into one folder per class.",
        )
    if len(names) < 2:
        count = sum(1 for item in accepted if item.candidate.label)
        raise DataError(
            f"Training needs at least two classes; all usable samples ({count:,}) are of the class "
            f"'{printable(names[0])}'.{refused}",
            "Add samples of another class.",
        )
    return tuple(names)


def _choose(accepted: Sequence[_Accepted], plan: _Plan) -> tuple[list[Split], list[str]]:
    labelled = [item for item in accepted if item.candidate.label]
    clips = [item.candidate for item in labelled]
    chosen, warnings = choose_splits(
        [clip.labels or clip.label for clip in clips],
        [clip.source for clip in clips],
        [item.content_hash for item in labelled],
        [clip.split for clip in clips],
        grouping=plan.found.grouping,
        seed=plan.options.seed,
        fractions=plan.options.fractions,
    )
    # An unlabelled clip takes no part; once somebody labels and includes it, it may be trained on.
    sides = iter(chosen)
    return [next(sides) if item.candidate.label else "train" for item in accepted], warnings


def _clips(accepted: Sequence[_Accepted], chosen: Sequence[Split], class_names: Sequence[str]) -> list[Clip]:
    targets = {name: target for target, name in enumerate(class_names)}
    clips = []
    for row, (item, split) in enumerate(zip(accepted, chosen, strict=True)):
        candidate, info = item.candidate, item.info
        extra: dict[str, Any] = dict(candidate.extra)
        if info.notes:
            extra["audio_notes"] = list(info.notes)
        clips.append(
            Clip(
                row=row,
                name=candidate.name,
                label=candidate.label,
                target=targets.get(candidate.label, -1),
                # A clip of unknown source stands for itself, so that counting sources counts it.
                source=candidate.source or candidate.name,
                split=split,
                content_hash=item.content_hash,
                file=item.file,
                fold=candidate.fold,
                sample_rate_hz=info.sample_rate_hz,
                channels=info.channels,
                duration_s=info.duration_s,
                num_bytes=info.num_bytes,
                extra=extra,
                excluded=not candidate.label,
                labels=candidate.labels,
            )
        )
    return clips


def _unlabelled(clips: Sequence[Clip]) -> list[str]:
    names = [clip.name for clip in clips if not clip.label]
    if not names:
        return []
    return [
        f"{counted(len(names), 'sample')} without a label, kept aside and not trained on: {quoted(names, 3)}. "
        "Label and include them to use them."
    ]


def _silent(_done: int, _total: int | None, _what: str) -> None:
    """Report to nobody."""
