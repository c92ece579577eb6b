"""Answers measured as their clips are labelled: one label each, or several."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from samplemind_core.errors import DataError
from samplemind_core.evaluation.comparison import Comparison, compare_many
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.label_comparison import LabelComparison, compare_labels
from samplemind_core.evaluation.label_doubts import LabelDoubts, find_label_doubts
from samplemind_core.evaluation.label_errors import LabelErrors
from samplemind_core.evaluation.metrics import Evaluation, evaluate_logits
from samplemind_core.evaluation.multi_label import LabelEvaluation, evaluate_labels

if TYPE_CHECKING:
    from pathlib import Path

    from samplemind_core.store import Dataset, Store


def evaluate_judged(judged: Judged) -> Evaluation | LabelEvaluation:
    """Return how the answers fare, in all and by class.

    Raises
    ------
    DataError
        If a logit is not finite.
    """
    if judged.several_labels:
        return evaluate_labels(
            judged.logits, judged.targets, judged.class_names, judged.thresholds, judged.sources.tolist()
        )
    return evaluate_logits(judged.logits, judged.targets, judged.class_names)


def compare_judged(models: Sequence[tuple[str, Judged]]) -> tuple[Comparison | LabelComparison, ...]:
    """Return the first model's comparison with each other one, on the same clips in the same order.

    Parameters
    ----------
    models : sequence of (str, Judged)
        What the sentences call each, and its answers, lined up.

    Raises
    ------
    DataError
        If there are fewer than two models or a logit is not finite.
    """
    first = models[0][1]
    groups = first.sources.tolist()
    if first.several_labels:
        labelled = [(name, one.logits, one.thresholds) for name, one in models]
        return compare_labels(labelled, first.targets, first.class_names, groups)
    return compare_many([(name, one.logits) for name, one in models], first.targets, groups=groups)


def doubt_judged(root: Path, store: Store, dataset: Dataset, judged: Judged) -> LabelErrors | LabelDoubts:
    """Return the labels that the answers make doubtful; where clips have several, those to add or to take away too.

    Parameters
    ----------
    root : Path
        The workspace folder.
    dataset : Dataset
        Whose clips were judged.

    Raises
    ------
    DataError
        If a logit is not finite, or too few classes have clips.
    """
    if judged.several_labels:
        return find_label_doubts(judged.logits, judged.targets, judged.class_names, judged.clip_ids)
    from samplemind_core.evaluation.second_opinion import doubt_labels

    return doubt_labels(root, store, dataset, judged)


def require_one_answer(judged: Judged, what: str) -> Judged:
    """Return the answers, or raise :class:`DataError` where clips have several labels and ``what`` works with one."""
    if judged.several_labels:
        raise DataError(
            f"{what} is not measured where samples have several labels.",
            "Choose a checkpoint that names one label, or look at mean average precision and F1.",
        )
    return judged
