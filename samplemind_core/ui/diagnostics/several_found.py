"""Samples with several labels: which of each label's are found, missed and named wrongly, to hear."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from samplemind_core.ranking import sigmoid
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.clip import closer
from samplemind_core.ui.diagnostics.confusions import MAX_HEARD, Rows, heard
from samplemind_core.ui.diagnostics.picked import Picked, PickedModel
from samplemind_core.ui.state import theme

KINDS: Mapping[str, str] = {"missed": "Missed", "wrong": "Named wrongly", "found": "Found"}
_SAID = {
    "missed": "that are {label} and are not called so, the least expected first",
    "wrong": "that are called {label} and are not labelled so, the surest first",
    "found": "that are {label} and are called so, the surest first",
}


def draw(picked: Picked) -> None:
    """Draw the section."""
    from samplemind_core.charts.labels import label_counts_figure

    st.subheader("Found, missed and named wrongly", anchor=False)
    st.caption("Each label is a question of its own, so that there is a count of each answer for each label.")
    columns = st.columns(2)
    for place, model in enumerate(picked.models):
        with columns[place % 2], st.container(border=True):
            st.markdown(f"**{parts.safe(model.title)}**")
            parts.figure(label_counts_figure(model.labelled.per_class, theme()), key=f"found-{model.name}")
            _table(model)
    _hear(picked)


def _table(model: PickedModel) -> None:
    rows = model.labelled.per_class
    st.dataframe(
        {
            "Label": [row.label for row in rows],
            "Found": [row.found for row in rows],
            "Missed": [row.missed for row in rows],
            "Named wrongly": [row.wrong for row in rows],
            "Rightly not named": [row.rest for row in rows],
        },
        hide_index=True,
        key=f"found-table-{model.name}",
        alt="Counts of each answer by label",
    )


def _hear(picked: Picked) -> None:
    """Draw the samples of one label and one kind of answer, and one of them up close."""
    names = [model.name for model in picked.models]
    labels = list(picked.class_names)
    worst = max(picked.models[0].labelled.per_class, key=lambda row: row.missed + row.wrong)
    with st.container(border=True):
        parts.section("Hear the samples")
        with st.container(horizontal=True, vertical_alignment="bottom"):
            name = names[0]
            if len(names) > 1:
                name = st.selectbox("Of", names, key="found-of", width=120)
            label = st.selectbox("Label", labels, index=labels.index(worst.label), key="found-label", width=240)
            kind = st.segmented_control(
                "Which", list(KINDS), format_func=KINDS.__getitem__, default="missed", required=True, key="found-kind"
            )
        rows = clips_of(picked.model(name), label, kind or "missed")
        what = _SAID[kind or "missed"].format(label=parts.safe(label))
        if not rows:
            st.caption(f"There is no sample {what.partition(',')[0]}.")
            return
        most = f" The first {MAX_HEARD} are shown." if len(rows) > MAX_HEARD else ""
        st.caption(f"{words.plural(len(rows), 'sample')} {what}.{most}")
        shown = [
            (clip_id, (f"{words.confidence(sure)} {label}", picked.clips[clip_id].shown_label))
            for clip_id, sure in rows[:MAX_HEARD]
        ]
        heard(picked, shown, key="found-clips")
        closer(picked, [clip_id for clip_id, _ in shown], key="closer-clip")


def clips_of(model: PickedModel, label: str, kind: str) -> list[tuple[int, float]]:
    """Return the samples that a label is found in, missed in or wrongly given, with its confidence, oddest first."""
    judged = model.judged
    place = judged.class_names.index(label)
    probs = sigmoid(judged.logits[:, place])
    named, truth = probs >= judged.thresholds[place], judged.targets[:, place] > 0
    chosen = {"found": named & truth, "missed": ~named & truth, "wrong": named & ~truth}[kind]
    rows = np.flatnonzero(chosen)
    order = np.argsort(probs[rows] if kind == "missed" else -probs[rows], kind="stable")
    return [(int(judged.clip_ids[row]), float(probs[row])) for row in rows[order]]


__all__ = ["KINDS", "Rows", "clips_of", "draw"]
