"""The finding first, in words: whether one of the picked models is really better."""

from __future__ import annotations

from typing import Any

import streamlit as st

from samplemind_core.evaluation.comparison import Comparison, compare_logits
from samplemind_core.ui import parts
from samplemind_core.ui.diagnostics.picked import Picked

_WORDS = {"a": "{a} is better", "b": "{b} is better", "undecided": "Undecided"}


def verdict(picked: Picked) -> None:
    """Draw what the first model's comparison with each other one says."""
    with st.container(border=True):
        for other in picked.models[1:]:
            _one(compare(picked, picked.models[0].name, other.name), picked.models[0].name, other.name)


def compare(picked: Picked, name_a: str, name_b: str) -> Comparison:
    """Return the comparison of two picked models, kept until one of them changes."""
    return _compare(picked, name_a, name_b, picked.stamp, tuple(model.ref for model in picked.models))


def _one(result: Comparison, name_a: str, name_b: str) -> None:
    undecided = result.verdict == "undecided"
    st.badge(
        _WORDS[result.verdict].format(a=name_a, b=name_b),
        icon=":material/balance:" if undecided else ":material/check_circle:",
        color="gray" if undecided else "green",
    )
    st.markdown(parts.safe(result.sentence))
    st.caption(
        f"Both are right on {result.both_right:,} samples and both wrong on {result.both_wrong:,}. "
        f"Only {name_a} is right on {result.only_a:,}, only {name_b} on {result.only_b:,}."
    )


@st.cache_resource(max_entries=64, show_spinner=False)
def _compare(_picked: Picked, name_a: str, name_b: str, stamp: tuple[Any, ...], refs: tuple[str, ...]) -> Comparison:
    a, b = _picked.model(name_a).judged, _picked.model(name_b).judged
    return compare_logits(a.logits, b.logits, a.targets, name_a=name_a, name_b=name_b, groups=a.sources.tolist())
