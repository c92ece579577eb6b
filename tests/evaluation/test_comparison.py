from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.comparison import compare_logits, compare_many, holm, mcnemar_exact, paired_bootstrap


def logits_for(right: np.ndarray) -> np.ndarray:
    """Two-class logits whose argmax is class 0 where ``right``; the targets are all 0."""
    return np.stack([right, ~right], axis=1).astype(np.float32)


def compare(right_a: np.ndarray, right_b: np.ndarray, **options: object):
    zeros = np.zeros(len(right_a), dtype=np.int64)
    return compare_logits(logits_for(right_a), logits_for(right_b), zeros, **options)


def discordant(only_a: int, only_b: int, both: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    right_a = np.repeat([True, False, True, False], [only_a, only_b, both, neither])
    right_b = np.repeat([False, True, True, False], [only_a, only_b, both, neither])
    return right_a, right_b


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    total = only_a + only_b
    expected = binomtest(only_a, total, 0.5).pvalue if total else 1.0
    assert mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9)
    assert mcnemar_exact(only_a, only_b) == mcnemar_exact(only_b, only_a)


def test_mcnemar_edges() -> None:
    assert mcnemar_exact(0, 0) == 1.0
    assert mcnemar_exact(0, 1) == 1.0
    assert mcnemar_exact(0, 6) == pytest.approx(2 / 64)
    with pytest.raises(ConfigError):
        mcnemar_exact(-1, 3)


def test_bootstrap_agrees_with_resampling_by_hand() -> None:
    rng = np.random.default_rng(3)
    groups = rng.integers(0, 12, 150)
    a, b = rng.random(150) < 0.7, rng.random(150) < 0.8
    # The plain way, one resample at a time; percentiles cut where the expanded interval cuts for 12 groups.
    from scipy.stats import norm, t

    tail = norm.cdf(-np.sqrt(12 / 11) * t.ppf(0.975, 11))
    members = [np.flatnonzero(groups == g) for g in range(12)]
    differences = []
    for _ in range(6_000):
        clips = np.concatenate([members[g] for g in rng.integers(0, 12, 12)])
        differences.append(b[clips].mean() - a[clips].mean())
    expected = np.quantile(differences, [tail, 1 - tail])
    np.testing.assert_allclose(paired_bootstrap(a, b, groups), expected, atol=0.02)


def test_bootstrap_is_reproducible_and_takes_any_group_names() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(200) < 0.7, rng.random(200) < 0.8
    numbers = rng.integers(0, 20, 200)
    names = [None if n == 0 else f"pack {n}" for n in numbers]
    assert paired_bootstrap(a, b, names, seed=5) == paired_bootstrap(a, b, numbers, seed=5)
    assert paired_bootstrap(a, b, names, seed=5) != paired_bootstrap(a, b, names, seed=6)


def test_one_group_says_nothing_about_others() -> None:
    a, b = discordant(0, 40, 10, 0)
    assert paired_bootstrap(a, b, ["pack"] * 50) == (-1.0, 1.0)
    result = compare(a, b, groups=["pack"] * 50)
    assert result.verdict == "undecided"
    assert "from 1 source:" in result.sentence


def test_grouping_widens_the_interval_when_packs_move_together() -> None:
    groups = np.repeat(np.arange(20), 20)
    gained = np.repeat(np.random.default_rng(1).integers(0, 2, 20).astype(bool), 20)
    a, b = ~gained, gained
    alone, grouped = paired_bootstrap(a, b), paired_bootstrap(a, b, groups)
    assert grouped[1] - grouped[0] > 3 * (alone[1] - alone[0])


@pytest.mark.parametrize(
    ("arguments", "options", "error"),
    [
        (([], []), {}, DataError),
        (([True], [True, False]), {}, DataError),
        (([True, False], [True, False], ["x"]), {}, DataError),
        (([True, False], [True, False]), {"resamples": 10}, ConfigError),
        (([True, False], [True, False]), {"confidence": 95}, ConfigError),
    ],
)
def test_bootstrap_rejects_what_cannot_be(arguments: tuple, options: dict, error: type[Exception]) -> None:
    with pytest.raises(error):
        paired_bootstrap(*arguments, **options)


@pytest.mark.parametrize("num_groups", [None, 25])
def test_bootstrap_covers_the_truth(num_groups: int | None) -> None:
    rng = np.random.default_rng(7)
    repetitions, hits = 500, 0
    for repetition in range(repetitions):
        if num_groups is None:
            difficulty, groups = np.zeros(300), None
        else:
            # Whole packs favour one model or the other; on average B gains 0.1.
            groups = np.repeat(np.arange(num_groups), 12)
            difficulty = np.repeat(rng.uniform(-0.15, 0.15, num_groups), 12)
        a = rng.random(300) < 0.6 - difficulty
        b = rng.random(300) < 0.7 + difficulty
        low, high = paired_bootstrap(a, b, groups, resamples=1_000, seed=repetition)
        hits += low <= 0.1 <= high
    assert 0.93 <= hits / repetitions <= 0.97


def test_equal_models_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(11)
    verdicts = [compare(rng.random(250) < 0.8, rng.random(250) < 0.8, seed=i).verdict for i in range(300)]
    assert (300 - verdicts.count("undecided")) / 300 <= 0.05
    assert verdicts.count("undecided") < 300, "a test that never speaks would pass too"


def test_better_worse_and_undecided_sentences() -> None:
    better = compare(*discordant(12, 31, 500, 50))
    assert better.verdict == "b"
    assert better.sentence.startswith("B is better than A: +3.2 points (95 % interval +")
    assert better.sentence.endswith("31 clips fixed, 12 broken, exact McNemar p = 0.005.")
    worse = compare(*discordant(60, 12, 500, 21), name_a="epoch 7", name_b="epoch 9")
    assert worse.verdict == "a"
    assert worse.sentence.startswith("epoch 9 is worse than epoch 7: −8.1 points (95 % interval −")
    assert worse.sentence.endswith("12 clips fixed, 60 broken, exact McNemar p < 0.001.")
    same = compare(*discordant(3, 1, 500, 89))
    assert same.verdict == "undecided"
    assert same.sentence.startswith("No difference can be told from 593 clips: B against A −0.3 points")
    assert "1 clip fixed, 3 broken" in same.sentence


def test_identical_models_differ_by_nothing() -> None:
    right = np.arange(40) % 3 > 0
    result = compare(right, right)
    assert (result.p_value, result.difference, result.interval, result.verdict) == (1.0, 0.0, (0.0, 0.0), "undecided")
    assert "0.0 points (95 % interval 0.0 to 0.0)" in result.sentence


def test_significant_clips_of_few_sources_stay_undecided() -> None:
    # Thirty clips fixed, but all of them in one of three packs: McNemar alone would be sure.
    a, b = discordant(0, 30, 60, 0)
    result = compare(a, b, groups=["one"] * 30 + ["two"] * 30 + ["three"] * 30)
    assert result.p_value < 0.001
    assert result.verdict == "undecided"
    assert "from 3 sources" in result.sentence


def test_comparison_adds_up_and_is_plain_json() -> None:
    result = compare(*discordant(5, 9, 30, 6), groups=np.arange(50) // 5)
    assert result.only_a + result.only_b + result.both_right + result.both_wrong == result.num_clips == 50
    assert (result.accuracy_a, result.accuracy_b) == (0.7, 0.78)
    assert result.difference == pytest.approx(0.08)
    data = result.as_dict()
    assert json.loads(json.dumps(data)) == data


def test_comparison_needs_the_same_clips_and_classes() -> None:
    with pytest.raises(DataError, match="same classes"):
        compare_logits(np.zeros((3, 2)), np.zeros((3, 4)), [0, 1, 1])
    with pytest.raises(DataError, match="one target per row"):
        compare_logits(np.zeros((3, 2)), np.zeros((4, 2)), [0, 1, 1])


def test_holm_by_hand_and_in_the_given_order() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)
    assert holm([]) == ()
    with pytest.raises(ConfigError):
        holm([0.2, 1.2])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_never_helps_and_keeps_the_order(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    assert all(p <= q <= min(1.0, len(p_values) * p) for p, q in zip(p_values, adjusted, strict=True))
    ranked = sorted(zip(p_values, adjusted, strict=True))
    assert [q for _, q in ranked] == sorted(adjusted)


def test_the_verdict_of_several_asks_the_interval_at_the_corrected_level_too() -> None:
    # Packs pull at the models, which McNemar's test does not know: alone, B would be told apart from A.
    rng = np.random.default_rng(8)
    groups = np.repeat(np.arange(30), 6)
    targets = rng.integers(0, 3, len(groups))
    models = []
    for number in range(4):
        share = 0.8 + 0.15 * rng.choice([-1.0, 1.0], 30)
        right = rng.random(len(groups)) < share[groups]
        models.append((str(number), np.eye(3)[np.where(right, targets, (targets + 1) % 3)]))
    together = compare_many(models, targets, groups=groups, resamples=1_000)
    near = [one for one in together if one.p_value_holm < 0.05 and one.interval[0] > 0]
    assert near
    assert [one.verdict for one in near] == ["undecided"] * len(near)
    place = together.index(near[0]) + 1
    (alone,) = compare_many([models[0], models[place]], targets, groups=groups, resamples=1_000)
    assert alone.verdict == "b"


def test_a_difference_beyond_all_numbers_is_told_among_several() -> None:
    worse, better = np.zeros(4_000, bool), np.ones(4_000, bool)
    models = [(name, logits_for(right)) for name, right in (("A", worse), ("B", better), ("C", better))]
    found = compare_many(models, np.zeros(4_000, int), resamples=200)
    assert [one.p_value for one in found] == [0.0, 0.0]
    assert [one.verdict for one in found] == ["b", "b"]
