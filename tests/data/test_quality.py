from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.data.balance import association, class_findings, difference_findings, variance_share
from samplemind_core.data.findings import Finding, Twin
from samplemind_core.data.near_duplicates import OUTLINE_SIZE
from samplemind_core.data.profile import _TYPE, Profiles
from samplemind_core.data.quality import reject_findings, signal_findings, twin_findings
from samplemind_core.store import Clip, Reject


def clip(number: int, label: str = "kick", source: str = "pack", split: str = "train", digest: str = "") -> Clip:
    return Clip(
        row=number, name=f"{number}.wav", label=label, target=0, source=source, split=split,  # type: ignore[arg-type]
        content_hash=digest or f"h{number}", id=number,
    )  # fmt: skip


def profiles(*changes: dict[str, object]) -> Profiles:
    facts = np.zeros(len(changes), _TYPE)
    usual = {"sample_rate_hz": 44_100, "channels": 1, "bit_depth": 16, "duration_s": 0.5, "peak": 0.5, "rms": 0.2,
             "readable": True}  # fmt: skip
    for row, change in enumerate(changes):
        for name, value in (usual | change).items():
            facts[row][name] = value
    return Profiles(facts, np.zeros((len(changes), OUTLINE_SIZE), np.float16))


def kinds(found: list[Finding]) -> dict[str, Finding]:
    return {one.kind: one for one in found}


@pytest.mark.parametrize(
    ("change", "kind", "action", "words"),
    [
        ({"readable": False}, "unreadable", "exclude", "not the one that was imported"),
        ({"peak": 0.0, "rms": 0.0}, "silent", "exclude", "-120 dB"),
        ({"peak": 0.1, "rms": 0.1, "dc_offset": 0.1}, "silent", "exclude", "dB"),
        ({"duration_s": 0.5, "trailing_s": 0.497}, "too_short", "exclude", "3.0 ms"),
        ({"clipped": 40, "longest_clip": 7}, "clipped", "keep", "40 samples, up to 7"),
        ({"dc_offset": 0.1}, "dc_offset", "keep", "10.0 % of full scale"),
        ({"leading_s": 0.12}, "leading_silence", "keep", "120 ms"),
        ({"cut_s": 1.5, "cut_share": 0.2}, "longer_than_window", "keep", "1.50 s with 20 %"),
    ],
)
def test_an_odd_signal_is_told_with_its_clip(change: dict[str, object], kind: str, action: str, words: str) -> None:
    found = signal_findings([clip(1), clip(2), clip(3)], profiles({}, change, {}))
    (one,) = found
    assert (one.kind, one.action, one.clips) == (kind, action, (2,))
    assert words in one.evidence_of(2)
    assert one.suggested == ((2,) if action == "exclude" else ())
    assert one.title.startswith("1 clip ")


def test_an_ordinary_signal_is_no_finding() -> None:
    assert signal_findings([clip(1)], profiles({"leading_s": 0.04, "cut_s": 0.1, "cut_share": 0.005})) == []


def test_the_worst_clip_comes_first() -> None:
    (one,) = signal_findings([clip(1), clip(2), clip(3)], profiles({"clipped": 5}, {"clipped": 50}, {"clipped": 20}))
    assert one.clips == (2, 3, 1)
    assert one.title == "3 clips clipped at full scale"


def test_files_that_failed_are_told_and_what_was_left_out_is_not() -> None:
    assert reject_findings([Reject("a.txt (3 files)", "Not an audio file (.txt). The first: a.txt")]) == []
    (one,) = reject_findings([Reject("x.wav", "x.wav is cut off."), Reject("bass (9 files)", "Class not selected.")])
    assert one.title == "1 file could not be imported"
    assert one.subjects == ("x.wav: x.wav is cut off.",)


def test_copies_contradictions_and_leaks() -> None:
    clips = [
        clip(1), clip(2, digest="h1"),  # an exact copy
        clip(3), clip(4, "snare"), clip(5),  # one sound under two labels
        clip(6, source="a"), clip(7, source="b", split="test"),  # a near twin across the split
    ]  # fmt: skip
    twins = [
        Twin(1, 2, True, 1.0), Twin(3, 4, True, 1.0), Twin(3, 5, False, 0.97, 0.0, -12.0),
        Twin(6, 7, False, 0.98, 0.05, 0.0),
    ]  # fmt: skip
    found = kinds(twin_findings(clips, twins))
    assert set(found) == {"two_labels", "twins_across_splits", "exact_duplicates", "near_duplicates"}
    assert found["two_labels"].clusters == ((3, 4, 5),)
    assert found["two_labels"].suggested == (4,)
    assert found["two_labels"].severity == "error"
    assert "snare 4.wav: identical" in found["two_labels"].evidence_of(3)
    assert found["twins_across_splits"].suggested == (7,)
    assert "shifted by 50 ms" in found["twins_across_splits"].evidence_of(7)
    assert found["exact_duplicates"].suggested == (2,)
    assert found["near_duplicates"].clusters == ((6, 7),)
    assert (found["near_duplicates"].severity, found["near_duplicates"].action) == ("warning", "group")


def test_near_twins_of_one_source_are_only_noted() -> None:
    found = kinds(twin_findings([clip(1), clip(2)], [Twin(1, 2, False, 0.97)]))
    assert set(found) == {"near_duplicates"}
    assert (found["near_duplicates"].severity, found["near_duplicates"].suggested) == ("note", ())


def test_two_labels_that_are_even_are_both_in_question() -> None:
    found = kinds(
        twin_findings([clip(1), clip(2, "snare"), clip(3, "")], [Twin(1, 2, True, 1.0), Twin(1, 3, True, 1.0)])
    )
    assert found["two_labels"].suggested == (1, 2, 3)


def test_small_and_unbalanced_classes() -> None:
    clips = [clip(number, "kick", f"p{number % 9}") for number in range(90)]
    clips += [clip(100 + number, "clap", f"p{number}") for number in range(8)]
    clips += [clip(200 + number, "tom", "p1") for number in range(20)]
    found = kinds(class_findings(clips))
    assert found["small_class"].subjects == ("clap", "tom")
    assert found["unbalanced"].severity == "warning"
    assert found["unbalanced"].subjects == ("kick", "clap")
    assert "one_class_source" in found


def test_sources_of_one_class() -> None:
    clips = [clip(number, ("kick", "snare")[number % 2], ("a", "b")[number % 2]) for number in range(40)]
    one = kinds(class_findings(clips))["one_class_source"]
    assert (one.severity, set(one.subjects), len(one.clips)) == ("warning", {"a", "b"}, 40)
    mixed = [clip(number, ("kick", "snare")[number % 2], f"p{number % 5}") for number in range(40)]
    assert class_findings(mixed) == []


def test_differences_between_classes_are_told_by_their_size() -> None:
    clips = [clip(number, ("kick", "snare")[number % 2]) for number in range(60)]
    rng = np.random.default_rng(0)
    same = profiles(
        *({"sample_rate_hz": (44_100, 48_000)[rng.integers(2)], "peak": rng.uniform(0.2, 1)} for _ in clips)
    )
    assert difference_findings(clips, same) == []
    apart = profiles(*({"sample_rate_hz": (44_100, 48_000)[number % 2], "peak": (0.9, 0.3)[number % 2]}
                       for number in range(60)))  # fmt: skip
    found = kinds(difference_findings(clips, apart))
    assert set(found) == {"sample_rate_differs", "level_differs"}
    assert "snare 48,000 Hz" in found["sample_rate_differs"].explanation
    assert found["level_differs"].subjects == ("kick", "snare")
    normalised = profiles(*({"peak": (0.9, 0.8995)[number % 2]} for number in range(60)))
    assert difference_findings(clips, normalised) == []


def test_effect_sizes_agree_with_scipy() -> None:
    from scipy.stats import chi2_contingency, f_oneway

    rng = np.random.default_rng(1)
    labels, values = rng.integers(0, 3, 200), rng.integers(0, 4, 200)
    table = np.array([[np.sum((labels == a) & (values == b)) for b in range(4)] for a in range(3)])
    assert association(labels, values)[1] == pytest.approx(chi2_contingency(table).pvalue)
    numbers = rng.normal(0, 1, 200) + labels
    assert variance_share(numbers, labels)[1] == pytest.approx(
        f_oneway(*(numbers[labels == a] for a in range(3))).pvalue
    )
    assert association(labels, labels)[0] == pytest.approx(1.0, abs=0.01)
    assert association(np.zeros(5), values[:5]) == (0.0, 1.0)
    assert variance_share(np.ones(9), np.arange(9) % 2) == (0.0, 1.0)
    assert variance_share(np.full(97, -0.915149), np.arange(97) % 3) == (0.0, 1.0)  # whose mean is rounded
