"""The finding first, in words: whether one of the picked models is really better."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.evaluation.comparison import Comparison
    from samplemind_core.evaluation.label_comparison import LabelComparison

_WORDS = {"a": "{a} is better", "b": "{b} is better", "undecided": "Undecided"}


def verdict(picked: Picked) -> None:
    """Draw what the first model's comparison with each other one says."""
    from samplemind_core.charts.differences import difference_figure

    if picked.several_labels:
        _several(picked)
        return
    results = comparisons(picked)
    first = picked.models[0].name
    with st.container(border=True):
        for result, other in zip(results, picked.models[1:], strict=True):
            _one(result, first, other.name)
        rows = [
            row for result, other in zip(results, picked.models[1:], strict=True) for row in _rows(result, other.name)
        ]
        with st.expander("Other scores, with intervals", expanded=len(results) == 1):
            parts.figure(difference_figure(sorted(rows, key=lambda row: _SCORES.index(row[0])), theme()), key="verdict")
            st.caption("Intervals are 95 % and draw whole sources, because samples of one pack are not independent.")


def _several(picked: Picked) -> None:
    from samplemind_core.charts.differences import difference_figure
    from samplemind_core.evaluation.label_comparison import LabelComparison

    found = _compare_labels(picked, picked.stamp, tuple(model.ref for model in picked.models))
    first = picked.models[0].name
    rows = []
    with st.container(border=True):
        for result, other in zip(found, picked.models[1:], strict=True):
            assert isinstance(result, LabelComparison)
            _badge(result.verdict, first, other.name)
            st.markdown(parts.safe(result.sentence))
            rows.append(("Mean average precision", other.name, result.difference, result.interval))
        parts.figure(difference_figure(rows, theme()), key="verdict")
        st.caption(
            "Intervals are 95 % and draw whole sources, because samples of one pack are not independent. "
            "A checkpoint is called better where the interval, widened for the number of comparisons, leaves out zero."
        )


def comparisons(picked: Picked) -> tuple[Comparison, ...]:
    """Return the first model's comparison with each other one, kept until one of them changes."""
    return _compare(picked, picked.stamp, tuple(model.ref for model in picked.models))


_SCORES = ("Accuracy", "Balanced accuracy", "Macro F1")


def _rows(result: Comparison, name: str) -> list[tuple[str, str, float, tuple[float, float]]]:
    return [
        (_SCORES[0], name, result.difference, result.interval),
        (_SCORES[1], name, result.balanced_accuracy_difference, result.balanced_accuracy_interval),
        (_SCORES[2], name, result.macro_f1_difference, result.macro_f1_interval),
    ]


def _badge(verdict: str, name_a: str, name_b: str) -> None:
    undecided = verdict == "undecided"
    st.badge(
        _WORDS[verdict].format(a=name_a, b=name_b),
        icon=":material/balance:" if undecided else ":material/check_circle:",
        color="gray" if undecided else "green",
    )


def _one(result: Comparison, name_a: str, name_b: str) -> None:
    _badge(result.verdict, name_a, name_b)
    st.markdown(parts.safe(result.sentence))
    st.caption(
        f"Both are right on {result.both_right:,} samples and both wrong on {result.both_wrong:,}. "
        f"Only {name_a} is right on {result.only_a:,}, only {name_b} on {result.only_b:,}."
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _compare(_picked: Picked, stamp: tuple[Any, ...], refs: tuple[str, ...]) -> tuple[Comparison, ...]:
    from samplemind_core.evaluation.comparison import compare_many

    first = _picked.models[0].judged
    models = [(model.name, model.judged.logits) for model in _picked.models]
    return compare_many(models, first.targets, groups=first.sources.tolist())


@st.cache_resource(max_entries=64, show_spinner="Comparing on the same samples")
def _compare_labels(
    _picked: Picked, stamp: tuple[Any, ...], refs: tuple[str, ...]
) -> tuple[Comparison | LabelComparison, ...]:
    from samplemind_core.evaluation.measuring import compare_judged

    return compare_judged([(model.name, model.judged) for model in _picked.models])
