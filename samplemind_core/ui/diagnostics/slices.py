"""Where the picked models are weak: accuracy by source, length and whatever else is known of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from samplemind_core.ranking import sigmoid
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.diagnostics.waiting import levels_are_there
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.slices import Slice

LEVEL = "Level"
_MOST = 30


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.charts.slices import slice_figure
    from samplemind_core.evaluation.slices import SMALL, slice_accuracy

    several = picked.several_labels
    with st.container(border=True):
        parts.section(
            "Exactly the right labels, by what samples share" if several else "Accuracy by what samples share"
        )
        columns = _columns(picked, picked.stamp)
        names = [*columns, *([LEVEL] if LEVEL not in columns and _has_audio(picked) else [])]
        left, right = st.columns(2)
        with left:
            default = names.index("Source") if "Source" in names else 0
            column = st.selectbox("By", names, index=default, key="slice-column")
        with right:
            models = [model.name for model in picked.models]
            name = models[0]
            if len(models) > 1:
                name = st.selectbox("Model", models, key="slice-model")
        if column not in columns and not levels_are_there(picked.dataset, picked.models[0].judged.clip_ids.tolist()):
            return
        values = columns[column] if column in columns else _levels(picked, picked.stamp)
        hits = _right(picked.model(name))
        slices, overall = slice_accuracy(values, hits), float(hits.mean())
        parts.figure(slice_figure(slices, overall, theme(), _MOST), key="slices")
        small = sum(one.small for one in slices)
        st.caption(
            "The worst first; whiskers are 95 % Wilson intervals, the dotted line is all samples together. "
            + (
                f"Grey: {words.plural(small, 'slice')} of fewer than {SMALL} samples, too few to say much. "
                if small
                else ""
            )
            + (f"The first {_MOST} of {len(slices):,} are drawn." if len(slices) > _MOST else "")
        )
        with st.expander("As a table, with what the figure would be without each"):
            _table(slices, column, overall, _f1(picked.model(name), values) if several else None)


def _table(slices: tuple[Slice, ...], column: str, overall: float, f1: dict[str, float] | None) -> None:
    more = {} if f1 is None else {"Micro F1": [words.percent(f1.get(one.value)) for one in slices]}
    st.dataframe(
        {
            column: [one.value for one in slices],
            "Samples": [one.num_clips for one in slices],
            "Right": [words.percent(one.accuracy) for one in slices],
            "95 % interval": [
                f"{words.percent(one.interval[0])} to {words.percent(one.interval[1])}" for one in slices
            ],
            "All others": [words.percent(one.accuracy_without) for one in slices],
            "Change without it": [
                "–" if one.accuracy_without is None else f"{100 * (one.accuracy_without - overall):+.1f}"
                for one in slices
            ],
            **more,
        },
        hide_index=True,
        alt=f"Accuracy by {column.lower()}",
    )


def _right(model: PickedModel) -> npt.NDArray[np.bool_]:
    """Return which samples (N,) are given their label, or exactly their labels."""
    judged = model.judged
    if judged.several_labels:
        return np.asarray((_named(model) == (judged.targets > 0)).all(axis=1))
    return np.asarray(judged.logits.argmax(axis=1) == judged.targets)


def _named(model: PickedModel) -> npt.NDArray[np.bool_]:
    return np.asarray(sigmoid(model.judged.logits) >= np.array(model.judged.thresholds))


def _f1(model: PickedModel, values: list[str]) -> dict[str, float]:
    """Return F1 of all labels together by slice, which counts what is nearly right too."""
    named, truth = _named(model), model.judged.targets > 0
    found = {}
    where = np.array([value or "not known" for value in values])
    for value in set(where.tolist()):
        rows = where == value
        involved = int(named[rows].sum() + truth[rows].sum())
        if involved:
            found[value] = 2 * int((named[rows] & truth[rows]).sum()) / involved
    return found


def _has_audio(picked: Picked) -> bool:
    return picked.dataset.kind == "audio"


@st.cache_resource(max_entries=16, show_spinner=False)
def _columns(_picked: Picked, stamp: tuple[Any, ...]) -> dict[str, list[str]]:
    from samplemind_core.evaluation.slices import slice_columns

    clips = [_picked.clips[int(clip_id)] for clip_id in _picked.models[0].judged.clip_ids]
    return slice_columns(clips, several_labels=_picked.several_labels)


@st.cache_resource(max_entries=16, show_spinner="Measuring how loud the samples are", show_time=True)
def _levels(_picked: Picked, stamp: tuple[Any, ...]) -> list[str]:
    from samplemind_core.evaluation.levels import measure_levels
    from samplemind_core.evaluation.slices import slice_columns

    clips = [_picked.clips[int(clip_id)] for clip_id in _picked.models[0].judged.clip_ids]
    # A sample that cannot be read any more is in the slice "not known".
    return slice_columns(clips, measure_levels(workspace().root, clips)).get(LEVEL) or ["one level"] * len(clips)
