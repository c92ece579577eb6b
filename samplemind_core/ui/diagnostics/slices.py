"""Where the picked models are weak: accuracy by source, length and whatever else is known of the samples."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.diagnostics.waiting import levels_are_there
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.slices import Slice

LEVEL = "Level"
_MOST = 30


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.charts.slices import slice_figure
    from samplemind_core.evaluation.slices import SMALL

    with st.container(border=True):
        parts.section("Accuracy by what samples share")
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
        slices = _slices(picked, name, column, values)
        model = picked.model(name)
        parts.figure(slice_figure(slices, model.evaluation.accuracy, theme(), _MOST), key="slices")
        small = sum(one.small for one in slices)
        st.caption(
            "The worst first; whiskers are 95 % Wilson intervals, the dotted line is the accuracy of all. "
            + (
                f"Grey: {words.plural(small, 'slice')} of fewer than {SMALL} samples, too few to say much. "
                if small
                else ""
            )
            + (f"The first {_MOST} of {len(slices):,} are drawn." if len(slices) > _MOST else "")
        )
        with st.expander("As a table, with what the figure would be without each"):
            _table(slices, column, model.evaluation.accuracy)


def _table(slices: tuple[Slice, ...], column: str, overall: float) -> None:
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
        },
        hide_index=True,
        alt=f"Accuracy by {column.lower()}",
    )


def _slices(picked: Picked, name: str, column: str, values: list[str]) -> tuple[Slice, ...]:
    from samplemind_core.evaluation.slices import slice_accuracy

    judged = picked.model(name).judged
    return slice_accuracy(values, judged.logits.argmax(axis=1) == judged.targets)


def _has_audio(picked: Picked) -> bool:
    return picked.dataset.kind == "audio"


@st.cache_resource(max_entries=16, show_spinner=False)
def _columns(_picked: Picked, stamp: tuple[Any, ...]) -> dict[str, list[str]]:
    from samplemind_core.evaluation.slices import slice_columns

    return slice_columns([_picked.clips[int(clip_id)] for clip_id in _picked.models[0].judged.clip_ids])


@st.cache_resource(max_entries=16, show_spinner="Measuring how loud the samples are", show_time=True)
def _levels(_picked: Picked, stamp: tuple[Any, ...]) -> list[str]:
    from samplemind_core.evaluation.levels import measure_levels
    from samplemind_core.evaluation.slices import slice_columns

    clips = [_picked.clips[int(clip_id)] for clip_id in _picked.models[0].judged.clip_ids]
    # A sample that cannot be read any more is in the slice "not known".
    return slice_columns(clips, measure_levels(workspace().root, clips)).get(LEVEL) or ["one level"] * len(clips)
