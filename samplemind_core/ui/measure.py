"""Evaluations, kept for as long as the checkpoint they were made from stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.metrics import Evaluation
    from samplemind_core.evaluation.multi_label import LabelEvaluation


def evaluation(ref: str, split: str) -> Evaluation | LabelEvaluation:
    """Return how a checkpoint does on a split of its dataset."""
    return _evaluation(ref, split, _stamp(ref))


def _stamp(ref: str) -> tuple[Any, ...]:
    store = workspace()
    _, checkpoint = store.resolve(ref)
    file = store.root / checkpoint.path
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return str(store.root), checkpoint.id, checkpoint.epoch, checkpoint.created_at, changed


@st.cache_data(max_entries=200, show_spinner=False)
def _evaluation(ref: str, split: str, stamp: tuple[Any, ...]) -> Evaluation | LabelEvaluation:
    return workspace().evaluate(ref, split=split)
