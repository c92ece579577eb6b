from __future__ import annotations

from dataclasses import replace

import numpy as np

from samplemind_core.data.label_differences import label_difference_findings
from samplemind_core.data.profile import _TYPE, Profiles
from samplemind_core.store import Clip

LABELS = ("clap", "kick", "noise")


def layered(count: int = 120, seed: int = 0) -> tuple[list[Clip], np.ndarray, np.ndarray]:
    """Clips with independent labels and one that all have, which has which (N, 3), and facts that know none."""
    rng = np.random.default_rng(seed)
    truth = rng.random((count, 3)) < 0.4
    clips = [
        Clip(row=row, name=f"{row}.wav", label=own[0], labels=own, target=0, source=f"p{row % 9}", split="train",
             content_hash=f"h{row}", id=row + 1)
        for row, having in enumerate(truth)
        for own in [(*(name for name, has in zip(LABELS, having, strict=True) if has), "sound")]
    ]  # fmt: skip
    facts = np.zeros(count, _TYPE)
    facts["sample_rate_hz"] = rng.choice([44_100, 48_000], count)
    facts["peak"] = 10 ** (rng.normal(-9, 2, count) / 20)
    return clips, truth, facts


def findings(clips: list[Clip], facts: np.ndarray) -> dict[str, object]:
    return {one.kind: one for one in label_difference_findings(clips, Profiles(facts, np.zeros((len(facts), 1))))}


def test_facts_that_know_no_label_are_no_finding() -> None:
    assert not any(findings(*layered(seed=seed)[::2]) for seed in range(20))


def test_a_label_tied_to_a_sample_rate_is_found_with_its_clips() -> None:
    clips, truth, facts = layered()
    facts["sample_rate_hz"] = np.where(truth[:, 2], 48_000, 44_100)
    facts["sample_rate_hz"][np.flatnonzero(truth[:, 2])[0]] = 44_100
    [found] = findings(clips, facts).values()
    assert (found.kind, found.severity, found.subjects) == ("sample_rate_differs", "warning", ("noise",))
    assert found.title == "1 label goes with a sample rate"
    assert found.clips == tuple(int(row) + 1 for row in np.flatnonzero(truth[:, 2])[1:])
    assert found.evidence_of(found.clips[0]) == "48,000 Hz"
    assert "of the clips with 'noise' have 48,000 Hz, of the others 0 %" in found.explanation


def test_clips_behind_several_labels_say_whose_they_are() -> None:
    clips, truth, facts = layered()
    facts["sample_rate_hz"] = np.select([truth[:, 2], truth[:, 1]], [96_000, 48_000], 44_100)
    [found] = findings(clips, facts).values()
    assert found.title == "2 labels go with a sample rate"
    assert found.subjects == ("noise", "kick")
    assert len(set(found.clips)) == len(found.clips) == len(found.evidence)
    assert set(found.evidence) == {"96,000 Hz (noise)", "48,000 Hz (kick)"}


def test_a_label_that_is_louder_is_found_with_its_clips() -> None:
    clips, truth, facts = layered()
    facts["peak"] *= np.where(truth[:, 1], 2.5, 1.0)  # 8 dB
    facts["peak"][np.flatnonzero(truth[:, 1])[0]] = 0.0  # silence has no level
    [found] = findings(clips, facts).values()
    assert (found.kind, found.severity, found.subjects) == ("level_differs", "note", ("kick",))
    assert set(found.clips) < {int(row) + 1 for row in np.flatnonzero(truth[:, 1])}
    assert "Clips with 'kick' peak at -1.3 dB" in found.explanation


def test_normalised_levels_are_no_finding() -> None:
    clips, truth, facts = layered()
    facts["peak"] = np.where(truth[:, 1], 0.9, 0.8995)
    assert "level_differs" not in findings(clips, facts)


def test_a_label_of_few_clips_tells_nothing() -> None:
    clips, _, facts = layered()
    for row in range(6):
        clips[row] = replace(clips[row], labels=("rare",), label="rare")
    facts["sample_rate_hz"] = 44_100
    facts["sample_rate_hz"][:6] = 96_000
    assert not findings(clips, facts)
