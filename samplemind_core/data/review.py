"""What was found about a dataset, as somebody works through it: what is open, what was looked at and is in order.

A report describes one state of the dataset. After a change the newest one still shows what is left to
do, without the clips that were excluded since, until the dataset is measured again.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from samplemind_core.data.findings import Finding, HealthReport
from samplemind_core.data.health import stored_report
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.errors import DataError
from samplemind_core.store.records import Dataset

if TYPE_CHECKING:
    from samplemind_core.store import Store

_LOOKED_AT = 20


@dataclass(frozen=True)
class Review:
    """A health report and what became of its findings.

    Parameters
    ----------
    report : HealthReport
    fresh : bool
        Whether it was measured on the dataset as it is now.
    open : dict of str to Finding
        Findings nobody has settled, by :func:`finding_key`, without clips that were excluded since.
    kept : dict of str to Finding
        Findings that somebody found to be in order.
    """

    report: HealthReport
    fresh: bool
    open: dict[str, Finding]
    kept: dict[str, Finding]

    @property
    def headline(self) -> str:
        """The state of the dataset in one line, without findings that are settled."""
        return replace(self.report, findings=tuple(self.open.values())).headline


def finding_key(finding: Finding) -> str:
    """Return a name for a finding that stays the same as long as it is about the same clips or subjects."""
    about = [finding.kind, sorted(finding.clips), sorted(finding.subjects)]
    return hashlib.sha256(json.dumps(about).encode()).hexdigest()[:16]


def review(root: Path, store: Store, dataset: Dataset) -> Review | None:
    """Return the newest report of a dataset with what is open and what is settled; None before the first one.

    Parameters
    ----------
    root : Path
        The workspace folder.
    store : Store
    dataset : Dataset
        Its newest version.
    """
    files = _files(root, dataset.id)
    if not files:
        return None
    # Reading all clips and the report takes a tenth of a second, and every page asks for one line of it.
    kept = frozenset(store.versions.kept(dataset.id))
    return _review(root, store, dataset.id, dataset.version, files[0].stat().st_mtime_ns, kept)


@functools.lru_cache(8)
def _review(
    root: Path, store: Store, dataset_id: str, _version: int, _stamp: int, kept: frozenset[str]
) -> Review | None:
    fresh = stored_report(root, store, store.datasets.get(dataset_id))
    report = fresh or next(_reports(root, dataset_id), None)
    if report is None:
        return None
    active = {clip.id for clip in store.datasets.clips(dataset_id) if clip.id is not None}
    found = {finding_key(one): one for one in report.findings}
    left = {key: now for key, one in found.items() if (now := remaining(one, active)) is not None}
    return Review(
        report=report,
        fresh=fresh is not None,
        open={key: one for key, one in left.items() if key not in kept},
        kept={key: one for key, one in left.items() if key in kept},
    )


def remaining(finding: Finding, active: Collection[int]) -> Finding | None:
    """Return a finding without the clips that are gone; None where nothing of it is left."""
    if not finding.clips:
        return finding
    active = set(active)
    clusters = tuple(
        left for cluster in finding.clusters if len(left := tuple(clip for clip in cluster if clip in active)) > 1
    )
    in_clusters = {clip for cluster in clusters for clip in cluster}
    places = [
        place
        for place, clip in enumerate(finding.clips)
        if clip in active and (not finding.clusters or clip in in_clusters)
    ]
    if not places:
        return None
    clips = tuple(finding.clips[place] for place in places)
    return replace(
        finding,
        clips=clips,
        evidence=tuple(finding.evidence[place] for place in places if place < len(finding.evidence)),
        clusters=clusters,
        suggested=tuple(clip for clip in finding.suggested if clip in clips),
    )


def clips_of_finding(root: Path, dataset_id: str, key: str) -> tuple[int, ...]:
    """Return the clips of a finding of any of the newest reports; none if there is no such finding."""
    for report in itertools.islice(_reports(root, dataset_id), _LOOKED_AT):
        for finding in report.findings:
            if finding_key(finding) == key:
                return tuple({*finding.clips, *(clip for cluster in finding.clusters for clip in cluster)})
    return ()


def _reports(root: Path, dataset_id: str) -> Iterator[HealthReport]:
    """Yield the reports of a dataset, the newest first."""
    for file in _files(root, dataset_id):
        try:
            yield _read(file, file.stat().st_mtime_ns)
        except (OSError, DataError):
            continue  # of another format, or just being replaced: the one before it will do


def _files(root: Path, dataset_id: str) -> list[Path]:
    folder = dataset_folder(root, dataset_id) / "health"
    return sorted(folder.glob("*.json"), key=lambda file: file.stat().st_mtime_ns, reverse=True)


@functools.lru_cache(8)
def _read(file: Path, _stamp: int) -> HealthReport:
    return HealthReport.from_json(file.read_bytes())
