"""Evaluations and comparisons, kept for as long as the checkpoint they were made from stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.comparison import Comparison
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.metrics import Evaluation


def evaluation(ref: str, split: str) -> Evaluation:
    """Return how a checkpoint does on a split of its dataset."""
    return _evaluation(ref, split, _stamp(ref))


def comparison(ref_a: str, ref_b: str, split: str) -> Comparison:
    """Return how two checkpoints do on the same samples."""
    return _comparison(ref_a, ref_b, split, (_stamp(ref_a), _stamp(ref_b)))


def cell(ref: str, split: str, label: str, predicted: str) -> list[tuple[int, float]]:
    """Return id and confidence of the samples behind a cell of the confusion matrix, the surest first."""
    clip_ids, confidences = _judged(ref, split, _stamp(ref)).cell(label, predicted)
    return list(zip(clip_ids.tolist(), confidences.tolist(), strict=True))


def _stamp(ref: str) -> tuple[Any, ...]:
    store = workspace()
    _, checkpoint = store.resolve(ref)
    file = store.root / checkpoint.path
    changed = file.stat().st_mtime_ns if file.exists() else 0
    return str(store.root), checkpoint.id, checkpoint.epoch, checkpoint.created_at, changed


@st.cache_data(max_entries=200, show_spinner=False)
def _evaluation(ref: str, split: str, stamp: tuple[Any, ...]) -> Evaluation:
    return workspace().evaluate(ref, split=split)


@st.cache_data(max_entries=200, show_spinner=False)
def _comparison(ref_a: str, ref_b: str, split: str, stamps: tuple[Any, ...]) -> Comparison:
    return workspace().compare(ref_a, ref_b, split=split)


@st.cache_resource(max_entries=20, show_spinner=False)
def _judged(ref: str, split: str, stamp: tuple[Any, ...]) -> Judged:
    return workspace().judge(ref, split=split)
