from __future__ import annotations

import json

import pytest

from samplemind_core.data.findings import (
    FactWeight,
    Finding,
    HealthReport,
    LabelGuess,
    LabelShortcuts,
    Leakage,
    ProposedGroup,
    Score,
    Shortcuts,
    Twin,
    by_severity,
)
from samplemind_core.errors import DataError


def finding(severity: str = "warning", **changes: object) -> Finding:
    values = {"kind": "clipped", "title": "2 clips are clipped", "explanation": "Why.", "action": "keep"}
    return Finding(**(values | {"severity": severity} | changes))  # type: ignore[arg-type]


def report(**changes: object) -> HealthReport:
    values = {"dataset_id": "d", "state": "s", "created_at": 1.5, "seconds": 0.25, "facts": {"clips": 3}}
    return HealthReport(**(values | changes))  # type: ignore[arg-type]


def test_a_report_survives_json() -> None:
    whole = report(
        findings=(finding(clips=(3, 1), evidence=("a", "b"), clusters=((3, 1),), suggested=(1,), subjects=("é",)),),
        twins=(Twin(1, 3, False, 0.99, 0.01, -12.0),),
        groups=(ProposedGroup("808", (1, 3), ("x", "y"), ("why",)),),
        leakage=Leakage(2, (1,), (), Score(0.8, 0.7, 0.9, 5), None, 0.07, 0.02, 0.1, "b", "s"),
        shortcuts=Shortcuts("some", 0.5, 0.4, 0.6, 0.25, 0.01, (FactWeight("length", 0.5, 0.2),), "s"),
        notes=("n",),
    )
    assert HealthReport.from_json(whole.to_json()) == whole


def test_shortcuts_of_several_labels_survive_json() -> None:
    guess = LabelGuess("kick", 40, 0.9, 0.3, 0.01, True, "sample rate")
    weights = (FactWeight("sample rate", 0.5, 0.2),)
    whole = report(shortcuts=LabelShortcuts("some", 0.5, 0.4, 0.6, 0.3, 0.01, (guess,), 2, weights, True, "s"))
    assert HealthReport.from_json(whole.to_json()) == whole


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b'{"dataset_id": 3}', b"\xff\xfe"])
def test_a_damaged_report_is_refused_in_words(content: bytes) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        HealthReport.from_json(content)


def test_a_report_of_another_format_is_refused() -> None:
    stored = json.loads(report().to_json()) | {"format": 99}
    with pytest.raises(DataError, match="format 99"):
        HealthReport.from_json(json.dumps(stored))


def test_the_most_serious_comes_first() -> None:
    found = [finding("note"), finding("error"), finding("warning"), finding("error", kind="silent")]
    assert [(one.severity, one.kind) for one in by_severity(found)] == [
        ("error", "clipped"), ("error", "silent"), ("warning", "clipped"), ("note", "clipped"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("severities", "words"),
    [
        ((), "Nothing was found"),
        (("note",), "Sound"),
        (("warning", "note"), "1 thing to look at"),
        (("warning", "warning"), "2 things to look at"),
        (("error", "warning"), "1 finding makes"),
        (("error", "error"), "2 findings make "),
    ],
)
def test_the_headline_names_the_worst(severities: tuple[str, ...], words: str) -> None:
    assert words in report(findings=tuple(finding(severity) for severity in severities)).headline


def test_evidence_of_a_clip() -> None:
    one = finding(clips=(7, 9), evidence=("first", "second"))
    assert (one.evidence_of(9), one.evidence_of(8)) == ("second", "")
