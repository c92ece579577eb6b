"""Samples with several labels: labels that are probably missing or wrong, heard, and accepted or kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.store import Clip
from samplemind_core.store.records import SEPARATOR
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.labels import said, witnesses
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.player import Sound, player
from samplemind_core.ui.state import owner, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.label_doubts import LabelDoubt, LabelDoubts

PAGE = 10


def draw(picked: Picked) -> None:
    """Draw the section."""
    judged = witnesses(picked)
    if judged is None:
        return
    found = _found(judged, (picked.stamp, said(judged)))
    kept = workspace().kept_labels(picked.dataset.id)
    clips = picked.clips
    open_doubts = [
        doubt
        for doubt in found.doubts
        if doubt.clip_id in clips and kept.get(doubt.clip_id) != SEPARATOR.join(clips[doubt.clip_id].labels)
    ]
    with st.container(border=True):
        parts.section("Labels to listen to")
        st.markdown(
            f"{words.plural(len(open_doubts), 'label')} to listen to of {words.plural(found.num_clips, 'sample')}, the "
            "most doubtful first: probably missing, or not to be there."
        )
        st.caption(
            "Doubted label by label, by networks that were not trained on these samples. Their mean average precision "
            f"here is {words.percent(found.mean_ap)}: the lower it is, the more of these doubts are their own mistakes."
            + (f" Too few samples to doubt {parts.safe(', '.join(found.left_out))}." if found.left_out else "")
        )
        if not open_doubts:
            st.caption("None is left to decide.")
            return
        pages = -(-len(open_doubts) // PAGE)
        page = st.pagination(pages, key="several-label-page") if pages > 1 else 1
        for doubt in open_doubts[(page - 1) * PAGE : page * PAGE]:
            _doubt(picked, doubt, clips[doubt.clip_id])
        st.caption(
            "Accepting makes a new version of the dataset, which can be undone; keeping says that all labels of the "
            "sample are right."
        )


def _doubt(picked: Picked, doubt: LabelDoubt, clip: Clip) -> None:
    label, key = parts.safe(doubt.label), f"{doubt.clip_id}-{doubt.label}"
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        what = f"Without **{label}**?" if doubt.given else f"**{label}** as well?"
        st.markdown(f"{parts.safe(clip.shown_label)}. {what} The network gives {label} {words.confidence(doubt.prob)}.")
        if clip.file:
            player(Sound(clip_url(doubt.clip_id), clip.name), key=f"several-label-{key}")
        else:
            st.caption(parts.safe(clip.name))
    labels = [name for name in clip.labels if name != doubt.label] if doubt.given else [*clip.labels, doubt.label]
    with right, st.container(horizontal=True):
        action = f"Remove {doubt.label}" if doubt.given else f"Add {doubt.label}"
        if st.button(
            action, key=f"several-accept-{key}", icon=":material/check:", disabled=not labels,
            help=None if labels else "It is the only label of this sample.",
        ):  # fmt: skip
            workspace().edit(picked.dataset.id, by=owner()).relabel([doubt.clip_id], SEPARATOR.join(labels))
            st.rerun()
        if st.button("Keep all", key=f"several-keep-{key}", type="tertiary"):
            workspace().keep_label(picked.dataset.id, doubt.clip_id, SEPARATOR.join(clip.labels))
            st.rerun()


@st.cache_resource(max_entries=8, show_spinner="Doubting labels")
def _found(_judged: Judged, stamp: tuple[Any, ...]) -> LabelDoubts:
    from samplemind_core.evaluation.label_doubts import find_label_doubts

    return find_label_doubts(_judged.logits, _judged.targets, _judged.class_names, _judged.clip_ids)
