"""The health of a dataset: everything measured about one state of it, kept beside it until it changes.

What depends on the audio alone (facts of the signal, twins) is measured once per clip and pair; what
depends on labels, sources and splits is measured for each state, so that an undo finds its report again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.balance import class_findings, difference_findings
from samplemind_core.data.findings import (
    FORMAT,
    HealthReport,
    LabelShortcuts,
    Leakage,
    Shortcuts,
    Twin,
    by_severity,
)
from samplemind_core.data.grouping import is_alone, propose_groups, sound_keys
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.label_differences import label_difference_findings
from samplemind_core.data.label_scores import label_table
from samplemind_core.data.label_shortcuts import label_shortcut_findings, probe_label_shortcuts
from samplemind_core.data.leakage import measure_leakage, summaries
from samplemind_core.data.near_duplicates import RATE_HZ, find_twins
from samplemind_core.data.profile import Profiles, profile_clips
from samplemind_core.data.quality import reject_findings, signal_findings, twin_findings
from samplemind_core.data.shortcuts import fact_table, probe_shortcuts, shortcut_findings
from samplemind_core.data.split import merge_groups
from samplemind_core.errors import DataError, StoppedError
from samplemind_core.files import write_atomic
from samplemind_core.settings import NO_LIMITS
from samplemind_core.store.records import Clip, Dataset

if TYPE_CHECKING:
    from samplemind_core.store import Store
    from samplemind_core.tasks.context import TaskContext

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]

TWINS_VERSION = 1
_TOP_OF_RATE = 0.45
"""Share of its sample rate up to which a file's treble is trusted: resampling filters fall off above."""


def state_of(clips: Sequence[Clip]) -> str:
    """Return the fingerprint of what a report depends on."""
    rows = sorted((clip.id or 0, clip.content_hash, clip.shown_label, clip.source, clip.split) for clip in clips)
    text = json.dumps([FORMAT, rows], ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def stored_report(root: Path, store: Store, dataset: Dataset) -> HealthReport | None:
    """Return the report of a dataset as it is now, or None where it was not measured yet."""
    file = _report_file(root, dataset, state_of(store.datasets.clips(dataset.id)))
    try:
        return HealthReport.from_json(file.read_bytes())
    except (OSError, DataError):
        return None  # not there, or written by another version: to be measured


def measure_health(
    root: Path,
    store: Store,
    dataset: Dataset,
    *,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> HealthReport:
    """Measure a dataset as it is now, and keep the report beside it.

    Parameters
    ----------
    root : Path
        The workspace folder.
    store : Store
        Database of the workspace.
    dataset : Dataset
    progress : callable, optional
        Called with (done, total or None, what).
    should_stop : callable, optional
        Asked often; what was measured of single clips until then is kept.

    Raises
    ------
    StoppedError
        If it was stopped.
    DataError
        If an audio file of the dataset is gone.
    StorageError
        If the workspace cannot be written.
    """
    began = time.monotonic()

    def report(done: int, total: int | None, what: str) -> None:
        if should_stop is not None and should_stop():
            raise StoppedError("Measuring was stopped.", "What was measured until now is kept for the next time.")
        if progress is not None:
            progress(done, total, what)

    clips = store.datasets.clips(dataset.id)
    rejects = store.datasets.rejects(dataset.id)
    notes: list[str] = []
    profiles: Profiles | None = None
    if dataset.kind == "audio" and all(clip.file for clip in clips):
        profiles = profile_clips(root, clips, report)
    else:
        notes.append("This dataset holds spectrograms only: levels, formats and near duplicates cannot be measured.")
    twins = [*_exact_twins(clips), *(_near_twins(root, clips, profiles, report) if profiles is not None else ())]
    labelled = [row for row, clip in enumerate(clips) if clip.target >= 0]
    dealt = [clips[row] for row in labelled]
    findings = [
        *reject_findings(rejects),
        *twin_findings(clips, twins),
        *(signal_findings(clips, profiles) if profiles is not None else ()),
        *class_findings(dealt),
    ]
    shortcuts: Shortcuts | LabelShortcuts | None = None
    if profiles is not None and dealt:
        known = profiles.of_rows(labelled)
        if dataset.multi_label:
            findings += label_difference_findings(dealt, known)
            shortcuts = _label_shortcuts(dealt, twins, known, report)
            findings += label_shortcut_findings(shortcuts)
        else:
            findings += difference_findings(dealt, known)
            shortcuts = _shortcuts(dealt, twins, known, report)
            findings += shortcut_findings(shortcuts)
        if shortcuts is None:
            needed = (
                "a label that ten clips have and ten do not is"
                if dataset.multi_label
                else "two classes with ten clips each are"
            )
            notes.append(f"Too few clips to look for shortcuts: {needed} needed.")
    result = HealthReport(
        dataset_id=dataset.id,
        state=state_of(clips),
        created_at=time.time(),
        seconds=0.0,
        facts=_facts(clips, profiles, len(rejects)),
        findings=by_severity(findings),
        twins=tuple(twins),
        groups=propose_groups(clips, twins),
        leakage=_leakage(root, store, dataset, dealt, twins, report, notes),
        shortcuts=shortcuts,
        notes=tuple(notes),
    )
    # The last step may have taken most of the time; the report says how long it all took.
    result = HealthReport(**{**_fields(result), "seconds": time.monotonic() - began})
    write_atomic(_report_file(root, dataset, result.state), result.to_json())
    return result


def health_task(context: TaskContext) -> dict[str, Any]:
    """Measure the dataset named by the parameter ``dataset``: the handler of tasks of the kind ``health``."""
    report = context.workspace.health(
        context.params["dataset"], progress=context.progress, should_stop=context.should_stop
    )
    return {"dataset": report.dataset_id, "state": report.state, "headline": report.headline}


def _fields(report: HealthReport) -> dict[str, Any]:
    return {name: getattr(report, name) for name in HealthReport.__dataclass_fields__}


def _report_file(root: Path, dataset: Dataset, state: str) -> Path:
    return dataset_folder(root, dataset.id) / "health" / f"{state[:32]}.json"


def _exact_twins(clips: Sequence[Clip]) -> list[Twin]:
    """Return each copy with the first clip of its sound."""
    first: dict[str, int] = {}
    found = []
    for clip in clips:
        one = clip.id or 0
        other = first.setdefault(clip.content_hash, one)
        if other != one:
            found.append(Twin(other, one, True, 1.0))
    return found


def _near_twins(root: Path, clips: Sequence[Clip], profiles: Profiles, report: Progress) -> list[Twin]:
    """Return near duplicates among different sounds; those found before are not looked for again."""
    if not clips:
        return []
    folder = dataset_folder(root, str(clips[0].dataset_id))
    file = folder / "cache" / f"twins-{TWINS_VERSION}.json"
    rows = list({clip.content_hash: row for row, clip in reversed(list(enumerate(clips)))}.values())[::-1]
    hashes = [clips[row].content_hash for row in rows]
    looked_at, pairs = _read_twins(file)
    if not set(hashes) <= looked_at:
        from samplemind_core.audio.decode import decode

        def load(place: int) -> NDArray[np.float32]:
            clip = clips[rows[place]]
            return decode(folder / (clip.file or ""), RATE_HZ, name=clip.name, limits=NO_LIMITS).waveform

        chosen = profiles.of_rows(rows)
        found = find_twins(
            chosen.outlines,
            load,
            _TOP_OF_RATE * chosen["sample_rate_hz"].astype(np.float64),
            progress=lambda done, total: report(done, total, "Comparing sounds"),
        )
        pairs = [
            (hashes[a], hashes[b], abs(same.correlation), same.lag / RATE_HZ, same.gain_db) for a, b, same in found
        ]
        write_atomic(file, json.dumps({"hashes": sorted(hashes), "pairs": pairs}).encode())
    first = {digest: (row, clips[row].id or 0) for digest, row in zip(hashes, rows, strict=True)}
    twins = []
    for one, other, correlation, lag_s, gain_db in pairs:
        if one in first and other in first:
            (row_a, a), (row_b, b) = first[one], first[other]
            turn = 1.0 if row_a < row_b else -1.0
            ids = (a, b) if row_a < row_b else (b, a)
            twins.append(Twin(*ids, False, correlation, turn * lag_s, turn * gain_db))
    return twins


def _read_twins(file: Path) -> tuple[set[str], list[tuple[str, str, float, float, float]]]:
    try:
        stored = json.loads(file.read_bytes())
        return set(stored["hashes"]), [
            (str(a), str(b), float(correlation), float(lag_s), float(gain_db))
            for a, b, correlation, lag_s, gain_db in stored["pairs"]
        ]
    except (OSError, ValueError, TypeError, KeyError):
        return set(), []  # not there or not whole: looked for again


def _groups(clips: Sequence[Clip], twins: Sequence[Twin]) -> NDArray[np.int64]:
    return merge_groups([None if is_alone(clip) else clip.source for clip in clips], sound_keys(clips, twins))


def _shortcuts(clips: Sequence[Clip], twins: Sequence[Twin], profiles: Profiles, report: Progress) -> Shortcuts | None:
    names, facts = fact_table(profiles)
    labels = np.array([clip.label for clip in clips])
    return probe_shortcuts(
        names,
        facts,
        labels,
        _groups(clips, twins),
        progress=lambda done, total: report(done, total, "Looking for shortcuts"),
    )


def _label_shortcuts(
    clips: Sequence[Clip], twins: Sequence[Twin], profiles: Profiles, report: Progress
) -> LabelShortcuts | None:
    names, facts = fact_table(profiles)
    labels, truth = label_table(clips)
    return probe_label_shortcuts(
        names,
        facts,
        labels,
        truth,
        _groups(clips, twins),
        progress=lambda done, total: report(done, total, "Looking for shortcuts"),
    )


def _leakage(
    root: Path,
    store: Store,
    dataset: Dataset,
    clips: Sequence[Clip],
    twins: Sequence[Twin],
    report: Progress,
    notes: list[str],
) -> Leakage | None:
    from samplemind_core.data.cache import feature_cache, usual_features

    if not any(clip.split == "test" for clip in clips):
        notes.append("There is no test set, so nothing can leak into it.")
        return None
    config = usual_features(dataset)
    features: NDArray[np.float32] | None = None
    try:
        log_mel = feature_cache(root, store, dataset, config, partial(report))
        features = summaries(log_mel, np.array([clip.row for clip in clips], dtype=np.int64))
    except DataError as error:
        notes.append(f"The spectrograms could not be computed: {error.problem}")
    return measure_leakage(clips, twins, features, progress=lambda done, total: report(done, total, "Trying splits"))


def _facts(clips: Sequence[Clip], profiles: Profiles | None, num_rejects: int) -> dict[str, Any]:
    labelled = [clip for clip in clips if clip.target >= 0]
    facts: dict[str, Any] = {
        "clips": len(clips),
        "classes": len({label for clip in labelled for label in clip.class_labels}),
        "sources": len({clip.source for clip in clips}),
        "clips_without_source": sum(is_alone(clip) for clip in clips),
        "unlabelled": len(clips) - len(labelled),
        "rejects": num_rejects,
        "seconds": float(sum(clip.duration_s or 0.0 for clip in clips)),
        "sample_rates_hz": _counted(clip.sample_rate_hz for clip in clips if clip.sample_rate_hz),
        "channels": _counted(clip.channels for clip in clips if clip.channels),
    }
    if profiles is not None:
        facts["encodings"] = _counted(value.decode() for value in profiles["encoding"])
    return facts


def _counted(values: Any) -> dict[str, int]:
    return {str(value): count for value, count in Counter(values).most_common()}
