"""What was found about a dataset: frozen records that are stored as JSON, shown on the page and printed.

Clips are named by their ids in the database. Nothing here measures anything.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from samplemind_core.errors import DataError
from samplemind_core.store.records import Record

FORMAT = 2
"""Version of what a stored report holds; reports of another one are measured anew."""

Kind = Literal[
    "unreadable",
    "two_labels",
    "twins_across_splits",
    "exact_duplicates",
    "near_duplicates",
    "silent",
    "too_short",
    "clipped",
    "dc_offset",
    "leading_silence",
    "longer_than_window",
    "small_class",
    "unbalanced",
    "one_class_source",
    "sample_rate_differs",
    "level_differs",
    "shortcut",
]
Severity = Literal["error", "warning", "note"]
"""``error``: figures measured on this dataset cannot be trusted; ``warning``: look at it; ``note``: good to know."""

Action = Literal["exclude", "relabel", "group", "keep"]


@dataclass(frozen=True, slots=True)
class Finding(Record):
    """One thing worth knowing, with the clips behind it.

    Parameters
    ----------
    kind : str
        One of :data:`Kind`.
    severity : {'error', 'warning', 'note'}
    title : str
        What was found, with its number, as one short sentence without a full stop.
    explanation : str
        Why it matters and what to do.
    action : {'exclude', 'relabel', 'group', 'keep'}
        What is suggested.
    clips : tuple of int
        Ids of the clips concerned, those to look at first in front; empty where the finding is
        about files that are no clips.
    evidence : tuple of str
        What was measured on each clip, in words; as long as ``clips``.
    clusters : tuple of tuple of int
        Clips that belong together (copies of one sound), as ids; empty where clips stand alone.
    suggested : tuple of int
        The clips the suggested action would change: of two copies only the second.
    subjects : tuple of str
        Classes, sources or file names the finding is about.
    """

    kind: Kind
    severity: Severity
    title: str
    explanation: str
    action: Action
    clips: tuple[int, ...] = ()
    evidence: tuple[str, ...] = ()
    clusters: tuple[tuple[int, ...], ...] = ()
    suggested: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()

    def evidence_of(self, clip_id: int) -> str:
        """Return what was measured on one clip, '' where nothing was."""
        return dict(zip(self.clips, self.evidence, strict=False)).get(clip_id, "")


@dataclass(frozen=True, slots=True)
class Twin(Record):
    """Two clips that hold the same sound.

    Parameters
    ----------
    a, b : int
        Ids of the clips; ``a`` is the earlier one.
    exact : bool
        Whether the decoded samples are identical.
    correlation : float
        Normalised correlation of the aligned waveforms, 0 to 1.
    lag_s : float
        How much later the sound starts in ``b``, in seconds.
    gain_db : float
        How much louder ``b`` is, in dB.
    """

    a: int
    b: int
    exact: bool
    correlation: float
    lag_s: float = 0.0
    gain_db: float = 0.0


@dataclass(frozen=True, slots=True)
class ProposedGroup(Record):
    """Clips that should stay on one side of a split.

    Parameters
    ----------
    name : str
        Name of the proposed source.
    clips : tuple of int
        Ids of its clips.
    sources : tuple of str
        The sources that these clips have now.
    reasons : tuple of str
        Why they belong together, in words.
    """

    name: str
    clips: tuple[int, ...]
    sources: tuple[str, ...]
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Score(Record):
    """A cross-validated accuracy with its 95 % interval, as fractions, and how often it was repeated."""

    accuracy: float
    low: float
    high: float
    repeats: int

    @property
    def value(self) -> float:
        """The accuracy."""
        return self.accuracy


@dataclass(frozen=True, slots=True)
class LabelScore(Record):
    """What :class:`Score` is where clips have several labels: a cross-validated mean average precision.

    Parameters
    ----------
    mean_ap, low, high : float
        Over labels, with its 95 % interval, as fractions.
    repeats : int
        How often it was measured.
    num_labels : int
        Labels that have clips and sources enough to be judged.
    """

    mean_ap: float
    low: float
    high: float
    repeats: int
    num_labels: int

    @property
    def value(self) -> float:
        """The mean average precision."""
        return self.mean_ap


@dataclass(frozen=True, slots=True)
class Leakage(Record):
    """How much the test set is known from training.

    Parameters
    ----------
    num_test : int
        Labelled clips in the test set.
    twins_in_train : tuple of int
        Test clips that hold the same sound as a training clip.
    mates_in_train : tuple of int
        Test clips of a source that also has training clips.
    naive, safe : Score, LabelScore or None
        What a quick baseline gets in cross-validation with folds dealt at random by clip, and with groups
        kept whole; None where it could not be measured.
    gap, gap_low, gap_high : float or None
        How much the random split flatters, with a 95 % interval, clip by clip.
    baseline : str
        What was trained, in words.
    sentence : str
        The outcome in words.
    """

    num_test: int
    twins_in_train: tuple[int, ...]
    mates_in_train: tuple[int, ...]
    naive: Score | LabelScore | None
    safe: Score | LabelScore | None
    gap: float | None
    gap_low: float | None
    gap_high: float | None
    baseline: str
    sentence: str


@dataclass(frozen=True, slots=True)
class FactWeight(Record):
    """How much one fact about the files tells about the label.

    Parameters
    ----------
    name : str
        The fact, in words.
    alone : float
        Balanced accuracy with this fact alone; mean average precision where clips have several labels.
    importance : float
        How much of it is lost when this fact is shuffled among the clips.
    """

    name: str
    alone: float
    importance: float


@dataclass(frozen=True, slots=True)
class Shortcuts(Record):
    """How far a small model gets without hearing anything: from lengths, levels and file formats alone.

    Parameters
    ----------
    verdict : {'none', 'some', 'strong'}
    balanced_accuracy, low, high : float
        On sources that were not trained on, with a 95 % interval.
    chance : float
        Balanced accuracy of guessing: one over the number of classes.
    p_value : float
        Share of shuffles that did as well (with the usual +1).
    facts : tuple of FactWeight
        The most telling first.
    sentence : str
        The outcome in words.
    """

    verdict: Literal["none", "some", "strong"]
    balanced_accuracy: float
    low: float
    high: float
    chance: float
    p_value: float
    facts: tuple[FactWeight, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class LabelGuess(Record):
    """How well one of several labels can be told without hearing.

    Parameters
    ----------
    label : str
    num_clips : int
        That have it, of those that were looked at.
    average_precision, chance : float
        Of a small model's ranking of clips that it was not trained on, and of a guess: the share of
        clips that have the label.
    p_value : float
        Share of shuffles in which any label did as much better than in shuffles usually (with the usual +1).
    told : bool
        Whether that is more than chance, and enough to matter.
    fact : str
        The fact that tells most about it, in words.
    """

    label: str
    num_clips: int
    average_precision: float
    chance: float
    p_value: float
    told: bool
    fact: str


@dataclass(frozen=True, slots=True)
class LabelShortcuts(Record):
    """What :class:`Shortcuts` is for clips with one label, for clips with several.

    Parameters
    ----------
    verdict : {'none', 'some', 'strong'}
        Of the label that is told best, or of all together.
    mean_ap, low, high : float
        Mean average precision over labels, on sources that were not trained on, with a 95 % interval.
    chance : float
        That of guessing: the mean share of clips that have a label.
    p_value : float
        The same of all labels together: that many questions are asked is paid for.
    labels : tuple of LabelGuess
        The one that is told best first.
    num_left_out : int
        Labels with too few clips or sources to tell.
    facts : tuple of FactWeight
        The most telling first.
    by_group : bool
        Whether sources were kept whole; not where every label comes from a single one.
    sentence : str
        The outcome in words.
    """

    verdict: Literal["none", "some", "strong"]
    mean_ap: float
    low: float
    high: float
    chance: float
    p_value: float
    labels: tuple[LabelGuess, ...]
    num_left_out: int
    facts: tuple[FactWeight, ...]
    by_group: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class HealthReport(Record):
    """All that was found about one state of a dataset.

    Parameters
    ----------
    dataset_id : str
    state : str
        Fingerprint of the clips, labels, sources and splits that were looked at.
    created_at : float
        Seconds since the epoch.
    seconds : float
        How long measuring took.
    facts : dict
        Sizes: ``clips``, ``classes``, ``sources``, ``seconds`` (of sound), ``rejects``, ``unlabelled``,
        ``sample_rates_hz`` and ``encodings`` as ``{value: clips}``.
    findings : tuple of Finding
        The most serious first.
    twins : tuple of Twin
        Pairs of clips that hold the same sound.
    groups : tuple of ProposedGroup
        A proposal of sources; only those that differ from the present ones.
    leakage : Leakage or None
    shortcuts : Shortcuts, LabelShortcuts or None
    notes : tuple of str
        What could not be measured, and why.
    """

    dataset_id: str
    state: str
    created_at: float
    seconds: float
    facts: dict[str, Any]
    findings: tuple[Finding, ...] = ()
    twins: tuple[Twin, ...] = ()
    groups: tuple[ProposedGroup, ...] = ()
    leakage: Leakage | None = None
    shortcuts: Shortcuts | LabelShortcuts | None = None
    notes: tuple[str, ...] = ()
    format: int = FORMAT

    @property
    def headline(self) -> str:
        """The state of the dataset in one line."""
        errors, warnings = (sum(one.severity == kind for one in self.findings) for kind in ("error", "warning"))
        if errors:
            return f"{errors} {'finding makes' if errors == 1 else 'findings make'} results untrustworthy."
        if warnings:
            return f"{warnings} {'thing' if warnings == 1 else 'things'} to look at; nothing that spoils results."
        if self.findings:
            return "Sound, with a few things good to know."
        return "Nothing was found that needs attention."

    def of_kind(self, kind: Kind) -> tuple[Finding, ...]:
        """Return the findings of one kind."""
        return tuple(one for one in self.findings if one.kind == kind)

    def to_json(self) -> bytes:
        """Return the report as JSON."""
        return _adapter().dump_json(self)

    @classmethod
    def from_json(cls, content: bytes | str) -> HealthReport:
        """Return a stored report.

        Raises
        ------
        DataError
            If it is damaged or of another format.
        """
        try:
            report = _adapter().validate_json(content)
        except ValidationError as error:
            raise DataError("A stored health report cannot be read.", "Measure it again.") from error
        if report.format != FORMAT:
            raise DataError(f"A stored health report has format {report.format}, not {FORMAT}.", "Measure it again.")
        return report


_ORDER: dict[str, int] = {"error": 0, "warning": 1, "note": 2}


def by_severity(findings: list[Finding]) -> tuple[Finding, ...]:
    """Return findings with the most serious first, otherwise in their order."""
    return tuple(sorted(findings, key=lambda one: _ORDER[one.severity]))


@functools.cache
def _adapter() -> TypeAdapter[HealthReport]:
    return TypeAdapter(HealthReport)
