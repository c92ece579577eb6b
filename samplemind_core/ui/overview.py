"""What a dataset holds: classes by split, where its samples came from, what was not imported."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store import Dataset
from samplemind_core.store.records import SPLITS
from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.state import theme, workspace

REJECTS_PER_PAGE = 20
SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}


def show_overview(dataset: Dataset) -> None:
    """Draw the numbers of a dataset, its classes by split, and what the import had to say."""
    counts = workspace().store.datasets.counts(dataset.id)
    sources = workspace().store.datasets.sources(dataset.id)
    with st.grid(4, min_column_width=130):
        st.metric("Samples", f"{dataset.num_clips:,}", border=True)
        st.metric("Classes", len(dataset.class_names), border=True)
        st.metric("Sources", f"{len(sources):,}", border=True, help="Packs, machines or recordings.")
        st.metric("Excluded", f"{dataset.num_excluded:,}", border=True, help="Set aside on this page; still stored.")
    rows = [row for by_label in sources.values() for row in by_label.values()]
    in_splits = {split: sum(row.get(split, 0) for row in rows) for split in SPLITS}
    st.caption(", ".join(f"{number:,} {SPLIT_WORDS[split]}" for split, number in in_splits.items()))
    st.caption(f"{parts.safe(dataset.origin)} · {words.when(dataset.created_at)} · split with seed {dataset.seed}")
    if dataset.multi_label:
        st.caption("Samples may have several labels here, and count under each. Training learns each label by itself.")
    balance, notes = st.columns([3, 2]) if dataset.warnings else (st.container(), None)
    with balance, st.container(border=True, height="stretch"):
        hints.section("Samples by class", "split")
        from samplemind_core.charts.signals import class_balance_figure

        parts.figure(class_balance_figure(counts, theme()), key=f"balance-{dataset.id}")
    if notes is not None:
        with notes, st.container(border=True, height="stretch"):
            parts.section("Noted at the import")
            for warning in dataset.warnings:
                st.markdown(f":material/warning: {parts.safe(warning)}")
    if dataset.num_rejected:
        _rejects(dataset)


def _rejects(dataset: Dataset) -> None:
    with st.expander(f"Not imported ({dataset.num_rejected:,})"):
        num_pages = -(-dataset.num_rejected // REJECTS_PER_PAGE)
        page = st.pagination(num_pages, key=f"page-rejects-{dataset.id}") if num_pages > 1 else 1
        store = workspace().store.datasets
        rows = store.rejects(dataset.id, limit=REJECTS_PER_PAGE, offset=(page - 1) * REJECTS_PER_PAGE)
        parts.facts({row.name: row.reason for row in rows})
