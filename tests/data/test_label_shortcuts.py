from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.data.label_scores import label_folds, precisions, resampled_precisions
from samplemind_core.data.label_shortcuts import label_shortcut_findings, probe_label_shortcuts
from samplemind_core.ranking import mean_average_precision

NAMES = ["length", "sample rate", "peak level"]
LABELS = ["clap", "kick", "noise", "tone"]


def innocent(count: int = 240, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facts, labels and groups of twelve packs with every label; no fact knows a label."""
    rng = np.random.default_rng(seed)
    groups = np.arange(count) % 12
    truth = rng.random((count, len(LABELS))) < 0.3
    habits = rng.normal(0, 1, (12, 3))  # each pack has its own ways
    return habits[groups] + rng.normal(0, 0.3, (count, 3)), truth, groups


def test_independent_facts_tell_no_label():
    facts, truth, groups = innocent()
    found = probe_label_shortcuts(NAMES, facts, LABELS, truth, groups, permutations=39)
    assert found is not None
    assert found.verdict == "none"
    assert not any(guess.told for guess in found.labels)
    assert found.chance == pytest.approx(truth.mean())
    assert abs(found.mean_ap - found.chance) < 0.12
    assert found.low <= found.mean_ap <= found.high
    assert "do not give the labels away" in found.sentence
    assert label_shortcut_findings(found) == []


def test_one_label_tied_to_the_sample_rate_is_found_and_named():
    facts, truth, groups = innocent()
    facts[:, 1] = np.where(truth[:, 2], 48_000, 44_100)
    found = probe_label_shortcuts(NAMES, facts, LABELS, truth, groups, permutations=39)
    assert found is not None
    assert found.verdict == "strong"
    assert [guess.label for guess in found.labels if guess.told] == ["noise"]
    best = found.labels[0]
    assert (best.label, best.fact, best.num_clips) == ("noise", "sample rate", truth[:, 2].sum())
    assert best.average_precision > 0.95
    assert best.chance == pytest.approx(truth[:, 2].mean())
    assert best.p_value == 1 / 40
    assert found.facts[0].name == "sample rate"
    assert "tells 'noise'" in found.sentence
    assert "mostly from 'sample rate'" in found.sentence
    [finding] = label_shortcut_findings(found)
    assert (finding.kind, finding.severity, finding.subjects) == ("shortcut", "warning", ("noise",))
    assert "mostly from sample rate" in finding.evidence[0]


def test_labels_that_belong_to_packs_do_not_pass_for_a_shortcut():
    """The habits of a pack tell its labels to whoever splits by clip."""
    rng = np.random.default_rng(3)
    groups = np.arange(240) % 12
    truth = np.zeros((12, 4), dtype=bool)
    truth[np.arange(12), np.arange(12) % 4] = truth[np.arange(12), np.arange(12) % 3] = True
    facts = rng.normal(0, 1, (12, 3))[groups] + rng.normal(0, 0.05, (240, 3))
    found = probe_label_shortcuts(NAMES, facts, LABELS, truth[groups], groups, permutations=39)
    assert found is not None
    assert found.verdict == "none"


def test_labels_with_too_few_clips_or_sources_are_left_out_and_said():
    facts, truth, groups = innocent()
    truth[:, 0] = False
    truth[:3, 0] = True  # three clips
    truth[:, 1] = groups == 0  # one pack
    found = probe_label_shortcuts(NAMES, facts, LABELS, truth, groups, permutations=9)
    assert found is not None
    assert {guess.label for guess in found.labels} == {"noise", "tone"}
    assert found.num_left_out == 2
    assert "2 labels with too few clips or sources" in found.sentence
    assert probe_label_shortcuts(NAMES, facts[:12], LABELS, truth[:12], groups[:12]) is None


def test_labels_of_one_source_each_are_split_by_clip_and_said():
    facts, truth, _ = innocent()
    truth = np.eye(2, dtype=bool)[np.arange(240) % 2]
    found = probe_label_shortcuts(NAMES, facts, ["a", "b"], truth, np.arange(240) % 2, permutations=9)
    assert found is not None
    assert not found.by_group
    assert "on clips it had not seen" in found.sentence


def test_folds_keep_groups_whole_and_hold_every_label():
    _, truth, groups = innocent(60)
    folds = label_folds(truth, groups, seed=1)
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(60))
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
        assert truth[test].any(axis=0).all()


def test_resampled_precision_without_drawing_is_the_precision_itself():
    rng = np.random.default_rng(0)
    truth = rng.random((40, 3)) < 0.4
    scores = rng.integers(0, 5, (40, 3)).astype(float)
    drawn = resampled_precisions([scores], truth, np.zeros(40, dtype=np.int64), seed=0)  # one group: always all
    assert np.allclose(drawn, precisions(scores, truth).mean())
    assert precisions(scores, truth).mean() == pytest.approx(mean_average_precision(scores, truth))
