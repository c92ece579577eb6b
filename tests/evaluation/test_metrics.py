from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.metrics import (
    confusion_matrix,
    cross_entropy,
    evaluate_logits,
    softmax,
    wilson_interval,
)

NAMES = ("kick", "snare", "clap", "tom")


def one_hot(predictions: list[int], num_classes: int = 4) -> np.ndarray:
    return 5.0 * np.eye(num_classes)[predictions]


def test_softmax_survives_huge_logits_and_sums_to_one() -> None:
    probs = softmax(np.array([[1e4, 1e4 - 1.0, -1e4], [-800.0, -801.0, -2e3]]))
    assert probs.dtype == np.float64
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    expected = 1 / (1 + np.exp(-1.0))
    np.testing.assert_allclose(probs[:, 0], expected)


def test_softmax_of_no_rows_is_no_rows() -> None:
    assert softmax(np.zeros((0, 3))).shape == (0, 3)


def test_cross_entropy_matches_sklearn_and_does_not_overflow() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(50, 4)), rng.integers(0, 4, 50)
    assert cross_entropy(logits, targets) == pytest.approx(sk.log_loss(targets, softmax(logits), labels=range(4)))
    assert cross_entropy([[1e5, 0.0]], [1]) == pytest.approx(1e5)


def test_wilson_interval_equals_published_values() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I: 81/263, 15/148, 0/20, 1/29 by the score method.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(15, 148) == pytest.approx((0.0624, 0.1605), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)
    assert wilson_interval(1, 29) == pytest.approx((0.0061, 0.1718), abs=5e-5)


def test_wilson_interval_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)


@given(st.integers(1, 5_000), st.data())
def test_wilson_interval_holds_the_share_and_mirrors(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0.0 <= low <= successes / trials <= high <= 1.0
    assert wilson_interval(trials - successes, trials) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("successes", "trials", "confidence"), [(3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (1, 2, 0)])
def test_wilson_interval_rejects_what_cannot_be(successes: int, trials: int, confidence: float) -> None:
    with pytest.raises(ConfigError):
        wilson_interval(successes, trials, confidence)


def test_confusion_matrix_has_true_classes_as_rows() -> None:
    matrix = confusion_matrix([0, 0, 1], [1, 1, 0], 3)
    assert matrix.tolist() == [[0, 2, 0], [1, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize(
    ("targets", "predictions"),
    [([0, 3], [0, 1]), ([0, -1], [0, 1]), ([0], [0, 1]), ([0.0, 1.0], [0, 1]), ([[0, 1]], [0, 1])],
)
def test_confusion_matrix_rejects_what_is_no_class(targets: list, predictions: list) -> None:
    with pytest.raises(DataError):
        confusion_matrix(targets, predictions, 3)


@given(st.integers(0, 2**32 - 1), st.integers(1, 60), st.integers(2, 6))
def test_evaluation_agrees_with_sklearn(seed: int, num_clips: int, num_classes: int) -> None:
    rng = np.random.default_rng(seed)
    logits, targets = rng.normal(size=(num_clips, num_classes)), rng.integers(0, num_classes, num_clips)
    names = [f"class {i}" for i in range(num_classes)]
    result = evaluate_logits(logits, targets, names)
    predictions = logits.argmax(axis=1)
    occurring = np.unique(targets)
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        targets, predictions, labels=range(num_classes), zero_division=np.nan
    )

    def values(field: str) -> list[float]:
        found = [getattr(report, field) for report in result.per_class]
        return [np.nan if value is None else value for value in found]

    np.testing.assert_allclose(values("precision"), precision)
    np.testing.assert_allclose(values("recall"), recall)
    np.testing.assert_allclose(values("f1"), f1)
    assert values("support") == support.tolist()
    assert result.accuracy == pytest.approx(sk.accuracy_score(targets, predictions))
    assert result.macro_f1 == pytest.approx(sk.f1_score(targets, predictions, average="macro", zero_division=0))
    expected = sk.recall_score(targets, predictions, labels=occurring, average="macro", zero_division=0)
    assert result.balanced_accuracy == pytest.approx(expected)
    assert np.array(result.confusion).tolist() == (
        sk.confusion_matrix(targets, predictions, labels=range(num_classes)).tolist()
    )


def test_undefined_shares_are_none_and_left_out_of_means() -> None:
    # Tom never occurs and is never predicted; clap occurs but is never predicted; snare is predicted only.
    result = evaluate_logits(one_hot([0, 0, 1]), [0, 0, 2], NAMES)
    kick, snare, clap, tom = result.per_class
    assert (tom.precision, tom.recall, tom.f1) == (None, None, None)
    assert (snare.precision, snare.recall, snare.f1) == (0.0, None, 0.0)
    assert (clap.precision, clap.recall, clap.f1) == (None, 0.0, 0.0)
    assert tom.recall_interval == tom.precision_interval == (0.0, 1.0)
    assert kick.recall == 1.0
    assert result.balanced_accuracy == pytest.approx(1 / 2)
    assert result.macro_f1 == pytest.approx(1 / 3)


def test_evaluation_is_plain_json() -> None:
    result = evaluate_logits(one_hot([0, 1, 2, 3, 3]), np.array([0, 1, 2, 3, 0]), np.array(NAMES).tolist())
    data = result.as_dict()
    assert json.loads(json.dumps(data)) == data
    assert data["per_class"][0] == result.per_class[0].as_dict()
    assert data["accuracy"] == 0.8
    assert data["class_names"] == list(NAMES)


@pytest.mark.parametrize(
    ("logits", "targets", "said"),
    [
        (np.zeros((0, 4)), [], "at least one clip"),
        (np.zeros(4), [0], r"\(clips, classes\)"),
        (np.zeros((2, 4)), [0], "one target per row"),
        (np.zeros((2, 3)), [0, 1], "one column of logits per class"),
        (np.array([[0, 0, 0, np.nan], [0, 0, 0, 1.0]]), [0, 1], "1 of 2 clips"),
        (np.zeros((2, 4)), [0, 4], "from 0 to 3"),
        (np.zeros((2, 4)), ["kick", "tom"], "whole numbers"),
    ],
)
def test_evaluation_says_what_is_wrong(logits: np.ndarray, targets: list, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        evaluate_logits(logits, targets, NAMES)
    assert caught.value.advice


def test_import_stays_light() -> None:
    code = (
        "import sys, samplemind_core.evaluation.metrics, samplemind_core.evaluation.comparison; "
        "print([m for m in ('torch', 'scipy', 'sklearn', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
