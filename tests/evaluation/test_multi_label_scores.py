"""Scores of several labels against scikit-learn's, their bootstrap, and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, precision_score, recall_score

from samplemind_core.errors import DataError
from samplemind_core.evaluation import multi_label
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.label_comparison import compare_labels, num_clips_needed
from samplemind_core.evaluation.lineup import line_up, mean_of
from samplemind_core.evaluation.measuring import compare_judged, evaluate_judged, require_one_answer
from samplemind_core.evaluation.multi_label import evaluate_labels
from samplemind_core.evaluation.resampling import resample_weights
from samplemind_core.ranking import mean_average_precision

NAMES = ("a", "b", "c", "d")
THRESHOLDS = (0.5, 0.3, 0.7, 0.45)


def clips(seed: int = 0, num_clips: int = 120, skill: float = 1.5):
    rng = np.random.default_rng(seed)
    truth = (rng.random((num_clips, 4)) < (0.5, 0.3, 0.2, 0.1)).astype(np.uint8)
    truth[~truth.any(axis=1), 0] = 1
    return skill * (2 * truth - 1.0) + rng.normal(0, 2, truth.shape), truth


@pytest.mark.parametrize("seed", range(4))
def test_scores_are_those_of_scikit_learn(seed):
    logits, truth = clips(seed)
    named = 1 / (1 + np.exp(-logits)) >= THRESHOLDS
    found = evaluate_labels(logits, truth, NAMES, THRESHOLDS)
    assert found.mean_ap == pytest.approx(average_precision_score(truth, logits, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(truth, named, average="micro"))
    assert found.macro_f1 == pytest.approx(f1_score(truth, named, average="macro"))
    assert found.exact == pytest.approx((truth == named).all(axis=1).mean())
    np.testing.assert_allclose([row.precision for row in found.per_class], precision_score(truth, named, average=None))
    np.testing.assert_allclose([row.recall for row in found.per_class], recall_score(truth, named, average=None))
    for row in found.per_class:
        assert row.found + row.missed + row.wrong + row.rest == found.num_clips
        assert (row.support, row.predicted) == (row.found + row.missed, row.found + row.wrong)
    low, high = found.mean_ap_interval
    assert low < found.mean_ap < high
    plain = found.as_dict()
    assert plain["per_class"][0]["support"] == int(truth[:, 0].sum())


def test_a_resampled_score_is_that_of_the_clips_drawn():
    logits, truth = clips(3, num_clips=40)
    logits = np.round(logits)  # ties
    groups = [f"source {row % 9}" for row in range(40)]
    drawn, num_groups = multi_label.resampled_maps(logits[None], truth.astype(bool), groups, seed=5)
    assert num_groups == 9
    weights = np.concatenate([part for part, _ in resample_weights(40, groups, resamples=len(drawn), seed=5)])
    for row in range(5):
        again = np.repeat(np.arange(40), weights[row].astype(int))
        known = truth[again].any(axis=0)
        expected = average_precision_score(truth[again][:, known], logits[again][:, known], average="macro")
        assert drawn[row, 0] == pytest.approx(expected)


def test_a_single_source_says_nothing_about_others():
    logits, truth = clips()
    found = evaluate_labels(logits, truth, NAMES, THRESHOLDS, ["one"] * len(truth))
    assert (found.mean_ap_interval, found.num_sources) == ((0.0, 1.0), 1)


def test_a_label_without_clips_is_left_out():
    logits, truth = clips()
    truth[:, 3] = 0
    truth[~truth.any(axis=1), 0] = 1
    row = evaluate_labels(logits, truth, NAMES, THRESHOLDS).per_class[3]
    assert (row.average_precision, row.recall) == (None, None)
    assert row.recall_interval == (0.0, 1.0)


def test_comparisons_need_an_interval_without_zero():
    logits, truth = clips(num_clips=300, skill=1.0)
    better = logits + 1.5 * (2 * truth - 1.0)
    rng = np.random.default_rng(1)
    alike = logits + rng.normal(0, 0.3, logits.shape)
    groups = [f"source {row // 6}" for row in range(300)]
    models = [("A", logits, THRESHOLDS), ("B", better, THRESHOLDS), ("C", alike, THRESHOLDS)]
    first, second = compare_labels(models, truth, NAMES, groups)
    assert (first.verdict, second.verdict) == ("b", "undecided")
    assert first.interval[0] > 0
    assert first.difference == pytest.approx(first.mean_ap_b - first.mean_ap_a)
    assert "B is better than A" in first.sentence
    assert "No difference can be told" in second.sentence
    worse = compare_labels([models[1], models[0]], truth, NAMES, groups)[0]
    assert worse.verdict == "a"
    assert worse.interval == pytest.approx((-first.interval[1], -first.interval[0]), abs=1e-12)


@pytest.mark.parametrize(
    ("logits", "truth", "said"),
    [
        (np.zeros((3, 2)), np.zeros((3, 3)), "same shape"),
        (np.zeros((3, 2)), np.zeros((3, 2)), "at least one label"),
        (np.zeros((3, 2)), np.full((3, 2), 2), "0 and 1"),
        (np.full((3, 2), np.nan), np.ones((3, 2)), "3 of 3 clips"),
    ],
)
def test_faults_are_told(logits, truth, said):
    with pytest.raises(DataError, match=said):
        evaluate_labels(logits, truth, ("a", "b"), (0.5, 0.5))


# -- several models ------------------------------------------------------------------------------


def answered(logits, truth, names=NAMES) -> Judged:
    ids = np.arange(len(truth))
    return Judged(logits.astype(np.float32), truth, ids, np.array([f"s{i}" for i in ids]), names, thresholds=THRESHOLDS)


def test_models_are_lined_up_by_the_names_of_their_labels():
    logits, truth = clips()
    turned = replace_classes(answered(logits, truth))
    (first, second), notes = line_up([answered(logits, truth), turned])
    assert notes == ()
    np.testing.assert_array_equal(first.logits, second.logits)
    np.testing.assert_array_equal(first.targets, second.targets)
    assert first.thresholds == second.thresholds
    (result,) = compare_judged([("A", first), ("B", second)])
    assert (result.difference, result.verdict) == (0.0, "undecided")
    with pytest.raises(DataError, match="different labels"):
        line_up([answered(logits, truth), answered(logits, truth, ("a", "b", "c", "x"))])


def replace_classes(one: Judged) -> Judged:
    order = [2, 0, 3, 1]
    return Judged(
        one.logits[:, order], one.targets[:, order], one.clip_ids, one.sources,
        tuple(one.class_names[i] for i in order), thresholds=tuple(one.thresholds[i] for i in order),
    )  # fmt: skip


def test_a_mean_is_that_of_the_probabilities_of_each_label():
    logits, truth = clips()
    both = mean_of([answered(logits, truth), answered(logits + 1, truth)])
    probs = (1 / (1 + np.exp(-logits)) + 1 / (1 + np.exp(-logits - 1))) / 2
    np.testing.assert_allclose(1 / (1 + np.exp(-both.logits)), probs, atol=1e-6)
    assert both.thresholds == pytest.approx(THRESHOLDS)
    assert evaluate_judged(both).num_clips == len(truth)


def test_what_needs_one_label_says_so():
    with pytest.raises(DataError, match="Calibration is not measured"):
        require_one_answer(answered(*clips()), "Calibration")


def test_as_many_clips_as_are_asked_for_tell_the_difference() -> None:
    rng = np.random.default_rng(3)

    def draw(num_clips: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Truth (N, 1), and the logits of a network and of one that is a little better."""
        truth = rng.random((num_clips, 1)) < 0.4
        shared, own = rng.normal(size=(num_clips, 1)), rng.normal(size=(2, num_clips, 1))
        return truth, 1.0 * truth + shared + 0.4 * own[0], 1.25 * truth + shared + 0.4 * own[1]

    truth, a, b = draw(60_000)
    difference = mean_average_precision(b, truth) - mean_average_precision(a, truth)
    needed = []
    for _ in range(12):
        truth, a, b = draw(100)
        compared = compare_labels([("A", a, (0.5,)), ("B", b, (0.5,))], truth, ("x",))[0]
        # By the difference that there really is: that of a hundred clips may be anything.
        spread = (compared.interval[1] - compared.interval[0]) / (2 * 1.96)
        needed.append(num_clips_needed(difference, spread, 100))
    enough = round(float(np.mean(needed)))
    assert enough > 150
    found = []
    for _ in range(400):
        truth, a, b = draw(enough)
        found.append(mean_average_precision(b, truth) - mean_average_precision(a, truth))
    told = np.mean(np.array(found) > 1.96 * np.std(found))
    assert 0.7 < told < 0.9


def test_how_many_clips_are_needed_is_said_where_it_can_be_told() -> None:
    assert num_clips_needed(0.02, 0.02, 100) == 785  # (1.96 + 0.84)² times as many
    assert num_clips_needed(-0.02, 0.02, 100, 0.025) > 785
    assert num_clips_needed(0.0, 0.02, 100) is None
    assert num_clips_needed(0.02, float("nan"), 100) is None
    assert num_clips_needed(0.2, 0.02, 100) is None
    rng = np.random.default_rng(1)
    truth = rng.random((60, 3)) < 0.5
    logits = np.where(truth, 1.0, -1.0) + rng.normal(0, 1.5, (2, 60, 3))
    models = [(name, one, (0.5,) * 3) for name, one in zip("AB", logits, strict=True)]
    compared = compare_labels(models, truth, NAMES[:3], [f"pack {row % 12}" for row in range(60)])[0]
    assert compared.verdict == "undecided"
    assert compared.num_needed > 60
    assert "you would need about" in compared.sentence
    alone = compare_labels(models, truth, NAMES[:3], ["pack"] * 60)[0]
    assert alone.num_needed is None
    assert "you would need" not in alone.sentence
