"""Bring datasets in, see what they hold, hear every sample."""

from __future__ import annotations

from typing import cast

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.store import Clip, Dataset
from samplemind_core.store.records import SPLITS, Split
from samplemind_core.ui import parts, words
from samplemind_core.ui.adding import add_dataset
from samplemind_core.ui.imports import running_imports
from samplemind_core.ui.places import go
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import choose, error_boundary, theme, workspace

CLIPS_PER_PAGE = 50
REJECTS_PER_PAGE = 20
SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}


def main() -> None:
    datasets = workspace().datasets()
    parts.header("Data", "Samples with a label each, split once into train, validation and test.")
    running_imports()
    if datasets:
        with st.expander("Add a dataset", icon=":material/add:"):
            add_dataset()
    else:
        with st.container(border=True):
            add_dataset()
        return
    options = {dataset.id: parts.dataset_label(dataset) for dataset in datasets}
    chosen = choose("Dataset", options, "dataset")
    show_dataset(next(dataset for dataset in datasets if dataset.id == chosen))


# -- one dataset ---------------------------------------------------------------------------------


def show_dataset(dataset: Dataset) -> None:
    counts = workspace().store.datasets.counts(dataset.id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(dataset.name, anchor=False, width="stretch")
        if dataset.synthetic:
            parts.synthetic_badge()
        if st.button("Train on it", type="primary", icon=":material/model_training:", key="data-train"):
            go("train", new="1", dataset=dataset.id)
    with st.grid(3, min_column_width=150):
        st.metric("Samples", f"{dataset.num_clips:,}", border=True)
        st.metric("Classes", len(dataset.class_names), border=True)
        st.metric("Not imported", f"{dataset.num_rejected:,}", border=True)
    in_splits = {split: sum(row.get(split, 0) for row in counts.values()) for split in SPLITS}
    st.caption(", ".join(f"{number:,} {SPLIT_WORDS[split]}" for split, number in in_splits.items()))
    st.caption(f"{parts.safe(dataset.origin)} · {words.when(dataset.created_at)} · split with seed {dataset.seed}")
    balance, notes = st.columns([3, 2]) if dataset.warnings else (st.container(), None)
    with balance, st.container(border=True, height="stretch"):
        parts.section("Samples by class")
        from samplemind_core.charts.signals import class_balance_figure

        parts.figure(class_balance_figure(counts, theme()), key=f"balance-{dataset.id}")
    if notes is not None:
        with notes, st.container(border=True, height="stretch"):
            parts.section("Worth knowing")
            for warning in dataset.warnings:
                st.markdown(f":material/warning: {parts.safe(warning)}")
    if dataset.num_rejected:
        rejects(dataset)
    clips(dataset)


def rejects(dataset: Dataset) -> None:
    with st.expander(f"Not imported ({dataset.num_rejected:,})"):
        page = pages("rejects", dataset, dataset.num_rejected, REJECTS_PER_PAGE)
        store = workspace().store.datasets
        rows = store.rejects(dataset.id, limit=REJECTS_PER_PAGE, offset=(page - 1) * REJECTS_PER_PAGE)
        parts.facts({row.name: row.reason for row in rows})


def clips(dataset: Dataset) -> None:
    parts.section("Samples")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        label = st.selectbox(
            "Class", ["", *dataset.class_names], format_func=lambda name: name or "All classes", key="clip-label"
        )
        split = st.selectbox(
            "Split", ["", *SPLITS], format_func=lambda name: SPLIT_WORDS.get(name, "All splits"), key="clip-split"
        )
        text = st.text_input("Search", type="search", key="clip-text", placeholder="Name or source")
    chosen = cast("Split | None", split or None)
    store = workspace().store.datasets
    total = store.count_clips(dataset.id, split=chosen, label=label or None, text=text.strip() or None)
    if not total:
        st.caption("No sample fits this filter.")
        return
    page = pages(f"clips-{label}-{split}-{text}", dataset, total, CLIPS_PER_PAGE)
    first = (page - 1) * CLIPS_PER_PAGE
    rows = store.clips(
        dataset.id, split=chosen, label=label or None, text=text.strip() or None, limit=CLIPS_PER_PAGE, offset=first
    )
    hint = (
        "Click to play; space plays, arrows move." if dataset.kind == "audio" else "These are spectrograms; no audio."
    )
    st.caption(f"{first + 1:,} to {first + len(rows):,} of {words.plural(total, 'sample')}. {hint}")
    if dataset.kind == "audio":
        player_list([sound(clip) for clip in rows], key="clip-list")
    else:
        parts.facts({clip.name: f"{clip.label}, {SPLIT_WORDS[clip.split]}" for clip in rows})


def sound(clip: Clip) -> Sound:
    assert clip.id is not None
    length = "" if clip.duration_s is None else words.duration(clip.duration_s)
    return Sound(clip_url(clip.id), clip.name, (clip.label, SPLIT_WORDS[clip.split], length))


def pages(what: str, dataset: Dataset, total: int, per_page: int) -> int:
    num_pages = -(-total // per_page)
    if num_pages < 2:
        return 1
    # The filter is part of the key: another one begins at its first page.
    return st.pagination(num_pages, key=f"page-{what}-{dataset.id}-{num_pages}")


with error_boundary():
    main()
