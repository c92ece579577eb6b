from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.data import shortcuts
from samplemind_core.data.shortcuts import probe_shortcuts, shortcut_findings

NAMES = ["length", "sample rate", "peak level"]


def innocent(count: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facts, labels and groups of twelve packs with both classes; no fact knows the class."""
    rng = np.random.default_rng(seed)
    groups = np.arange(count) % 12
    labels = np.array(["kick", "snare"])[rng.integers(0, 2, count)]
    habits = rng.normal(0, 1, (12, 3))  # each pack has its own ways
    return habits[groups] + rng.normal(0, 0.3, (count, 3)), labels, groups


def test_an_innocent_set_has_no_shortcut() -> None:
    facts, labels, groups = innocent()
    found = probe_shortcuts(NAMES, facts, labels, groups, permutations=39)
    assert found is not None
    assert found.verdict == "none"
    assert found.p_value > 0.05
    assert abs(found.balanced_accuracy - found.chance) < 0.12
    assert found.low <= found.balanced_accuracy <= found.high
    assert "do not give the labels away" in found.sentence
    assert shortcut_findings(found) == []


def test_a_planted_shortcut_is_found_and_named() -> None:
    facts, labels, groups = innocent()
    facts[:, 1] = np.where(labels == "kick", 44_100, 48_000)
    found = probe_shortcuts(NAMES, facts, labels, groups, permutations=39)
    assert found is not None
    assert found.verdict == "strong"
    assert found.p_value == 1 / 40
    assert found.balanced_accuracy > 0.95
    assert found.facts[0].name == "sample rate"
    assert found.facts[0].importance > 0.4
    assert found.facts[0].alone > 0.95
    assert "mostly from 'sample rate'" in found.sentence
    (finding,) = shortcut_findings(found)
    assert (finding.kind, finding.severity, finding.subjects) == ("shortcut", "warning", ("sample rate",))


def test_a_length_that_tells_the_class_may_be_the_class() -> None:
    facts, labels, groups = innocent()
    facts[:, 0] = (labels == "kick") + np.random.default_rng(1).normal(0, 0.1, len(labels))
    found = probe_shortcuts(NAMES, facts, labels, groups, permutations=19)
    assert found is not None
    assert "can belong to its class" in found.sentence


def test_packs_of_one_class_do_not_pass_for_a_shortcut() -> None:
    """Their habits tell the pack, and with it the class, to whoever splits by clip."""
    rng = np.random.default_rng(3)
    groups = np.arange(240) % 12
    labels = np.array(["kick", "snare"])[groups % 2]
    facts = rng.normal(0, 1, (12, 3))[groups] + rng.normal(0, 0.05, (240, 3))
    found = probe_shortcuts(NAMES, facts, labels, groups, permutations=39)
    assert found is not None
    assert found.verdict == "none"


def test_too_few_clips_give_no_answer() -> None:
    facts, labels, groups = innocent(12)
    assert probe_shortcuts(NAMES, facts, labels, groups) is None


def test_classes_from_one_source_each_are_split_by_clip_and_said() -> None:
    facts, labels, _ = innocent()
    groups = (labels == "kick").astype(np.int64)
    found = probe_shortcuts(NAMES, facts, labels, groups, permutations=9)
    assert found is not None
    assert "on clips it had not seen" in found.sentence


def test_shuffles_move_facts_by_whole_groups_and_leave_labels_to_the_folds_that_were_dealt_by_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    facts, labels, groups = innocent()
    facts[:, 2] = groups
    fitted: list[tuple[np.ndarray, np.ndarray]] = []
    real = shortcuts._fold_predictions
    monkeypatch.setattr(
        shortcuts, "_fold_predictions", lambda *given: fitted.append((given[0], given[1])) or real(*given)
    )
    probe_shortcuts(NAMES, facts, labels, groups, permutations=3)
    whole = [given for given in fitted if given[0].shape[1] == 3]
    assert len(whole) == 3
    for moved, targets in whole:
        assert np.array_equal(targets, (labels == "snare").astype(int))
        assert not np.array_equal(moved, facts)
        # Where a pack's clips were now lie those of one other pack.
        assert all(len(np.unique(moved[groups == group, 2])) == 1 for group in range(12))
