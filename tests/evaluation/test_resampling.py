"""The bootstrap of all scores, held against resampling by hand, scikit-learn and simulated truths."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import balanced_accuracy_score, f1_score

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation import resampling
from samplemind_core.evaluation.comparison import compare_many, num_needed
from samplemind_core.evaluation.metrics import wilson_interval
from samplemind_core.evaluation.resampling import SCORES, resample_scores, score_models, tail_share

CLASSES = 4


def answers(targets: np.ndarray, accuracy: float | np.ndarray, rng: np.random.Generator) -> np.ndarray:
    right = rng.random(len(targets)) < accuracy
    return np.where(right, targets, (targets + rng.integers(1, CLASSES, len(targets))) % CLASSES)


def by_hand(predictions: np.ndarray, targets: np.ndarray) -> list[float]:
    present = np.union1d(targets, predictions)
    return [
        float((predictions == targets).mean()),
        balanced_accuracy_score(targets, predictions),
        f1_score(targets, predictions, labels=present, average="macro", zero_division=0),
    ]


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_scores_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    targets = rng.integers(0, CLASSES, 80)
    predictions = np.stack([answers(targets, accuracy, rng) for accuracy in (0.6, 0.9)])
    expected = [by_hand(row, targets) for row in predictions]
    np.testing.assert_allclose(score_models(predictions, targets, CLASSES), expected, atol=1e-6)


@pytest.mark.parametrize("num_sources", [None, 12, 150])
def test_intervals_agree_with_resampling_by_hand(num_sources: int | None) -> None:
    rng = np.random.default_rng(1)
    targets = rng.integers(0, CLASSES, 200)
    predictions = np.stack([answers(targets, accuracy, rng) for accuracy in (0.6, 0.8)])
    groups = None if num_sources is None else rng.integers(0, num_sources, 200)
    found = resample_scores(predictions, targets, CLASSES, groups, resamples=4_000)
    members = np.arange(200) if groups is None else groups
    rows_of = [np.flatnonzero(members == group) for group in np.unique(members)]
    differences = []
    for _ in range(700):
        rows = np.concatenate([rows_of[place] for place in rng.integers(0, len(rows_of), len(rows_of))])
        a, b = score_models(predictions[:, rows], targets[rows], CLASSES)
        differences.append(np.subtract(b, a))
    tail = tail_share(len(rows_of), 0.95)
    for place, score in enumerate(SCORES):
        expected = np.quantile(np.array(differences)[:, place], [tail, 1 - tail])
        np.testing.assert_allclose(found.interval(score, 1, minus=0), expected, atol=0.022)


def test_chunks_and_kinds_change_nothing_but_the_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    targets = rng.integers(0, CLASSES, 300)
    predictions = np.stack([answers(targets, 0.7, rng), answers(targets, 0.8, rng)])
    whole = resample_scores(predictions, targets, CLASSES, resamples=2_000)
    monkeypatch.setattr(resampling, "CHUNK", 5_000)
    monkeypatch.setattr(resampling, "_KIND_COST", 10**9)  # every clip by itself
    parts = resample_scores(predictions, targets, CLASSES, resamples=2_000)
    assert whole.scores.shape == parts.scores.shape == (2_000, 2, 3)
    np.testing.assert_allclose(whole.interval("macro_f1", 1), parts.interval("macro_f1", 1), atol=0.01)


def test_a_single_source_says_nothing() -> None:
    targets = np.array([0, 1, 0, 1])
    found = resample_scores(np.stack([targets, 1 - targets]), targets, 2, ["pack"] * 4)
    assert found.interval("accuracy", 0) == (0.0, 1.0)
    assert found.interval("accuracy", 1, minus=0) == (-1.0, 1.0)


@pytest.mark.parametrize(
    ("predictions", "targets", "options", "error"),
    [
        ([[0, 1]], [0], {}, DataError),
        ([[]], [], {}, DataError),
        ([[0, 1]], [0, 1], {"groups": ["a"]}, DataError),
        ([[0, 1]], [0, 1], {"resamples": 99}, ConfigError),
    ],
)
def test_what_cannot_be_is_refused(predictions: list, targets: list, options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        resample_scores(predictions, targets, 2, **options)


@pytest.mark.parametrize("score", SCORES)
def test_intervals_cover_the_truth(score: str) -> None:
    """Packs that favour one model or the other: 95 % of the intervals hold the true difference."""
    rng = np.random.default_rng(11)
    repetitions, hits = 200, 0
    for _ in range(repetitions):
        groups = np.repeat(np.arange(60), 6)
        targets = rng.integers(0, CLASSES, len(groups))
        pack = rng.normal(0, 0.12, (2, 60))[:, groups]
        predictions = np.stack([answers(targets, base + pack[i], rng) for i, base in enumerate((0.65, 0.72))])
        low, high = resample_scores(predictions, targets, CLASSES, groups, resamples=400).interval(score, 1, minus=0)
        # The pack's pull is symmetric and far from 0 and 1, and errors are spread evenly: all three differ by 0.07.
        hits += low <= 0.07 <= high
    # Binomial noise of 200 repetitions around 0.95; the benchmark repeats it often enough for 93 to 97 %.
    assert 0.90 <= hits / repetitions <= 0.985


def test_equal_models_are_seldom_told_apart_however_many_are_compared() -> None:
    rng = np.random.default_rng(5)
    told = 0
    for _ in range(100):
        targets = rng.integers(0, CLASSES, 240)
        models = [(name, np.eye(CLASSES)[answers(targets, 0.8, rng)]) for name in "ABCD"]
        told += any(
            one.verdict != "undecided"
            for one in compare_many(models, targets, groups=np.arange(240) // 4, resamples=500)
        )
    assert told <= 10  # 5 % of 100, and what chance adds


def test_clips_that_are_needed_are_enough() -> None:
    """Simulated on as many clips as were asked for, McNemar's test finds the difference four times in five."""
    needed = num_needed(20, 30, 500)
    assert needed is not None
    assert 1_500 < needed < 2_500
    rng = np.random.default_rng(0)
    counts = rng.multinomial(needed, [20 / 500, 30 / 500, 450 / 500], size=2_000)
    small = np.minimum(counts[:, 0], counts[:, 1])
    p_values = np.minimum(1, 2 * stats.binom.cdf(small, counts[:, 0] + counts[:, 1], 0.5))
    assert 0.74 < (p_values < 0.05).mean() < 0.84
    assert num_needed(20, 30, 500, design_effect=2.0) == pytest.approx(2 * needed, abs=2)
    assert num_needed(20, 20, 500) is None
    assert num_needed(5, 60, 500) is None


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 9), (95, 100), (1_000, 1_000)])
def test_wilson_is_scipys(successes: int, trials: int) -> None:
    expected = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((expected.low, expected.high), abs=1e-12)
