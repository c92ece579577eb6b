"""Bring datasets in, see what they hold, hear every sample."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store import Dataset
from samplemind_core.ui import parts, words
from samplemind_core.ui.adding import add_dataset
from samplemind_core.ui.browser import clip_browser, forget_filters
from samplemind_core.ui.findings import health_of, show_health
from samplemind_core.ui.history import show_history
from samplemind_core.ui.imports import running_imports
from samplemind_core.ui.overview import show_overview
from samplemind_core.ui.places import go
from samplemind_core.ui.splits import show_splits
from samplemind_core.ui.state import choose, choose_section, error_boundary, workspace

SECTIONS = {
    "overview": ":material/donut_small: Overview",
    "health": ":material/health_and_safety: Health",
    "samples": ":material/queue_music: Samples",
    "splits": ":material/call_split: Splits and sources",
    "history": ":material/history: History",
}


def main() -> None:
    datasets = workspace().datasets()
    parts.header("Data", "Samples and their labels, split once into train, validation and test.")
    running_imports()
    if datasets:
        with st.expander("Add a dataset", icon=":material/add:"):
            add_dataset()
    else:
        with st.container(border=True):
            add_dataset()
        return
    # A select box is known by what it shows: with counts in it, an edit would make it another one.
    options = {dataset.id: dataset.name for dataset in datasets}
    chosen = choose("Dataset", options, "dataset")
    show_dataset(next(dataset for dataset in datasets if dataset.id == chosen))


# -- one dataset ---------------------------------------------------------------------------------


def show_dataset(dataset: Dataset) -> None:
    if st.session_state.setdefault("data-shown", dataset.id) != dataset.id:
        # What was looked for in one dataset says nothing about another.
        st.session_state["data-shown"] = dataset.id
        forget_filters()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.header(dataset.name, anchor=False, width="stretch")
        if dataset.synthetic:
            parts.synthetic_badge()
        if st.button("Train on it", type="primary", icon=":material/model_training:", key="data-train"):
            go("train", new="1", dataset=dataset.id)
    excluded = f" · {dataset.num_excluded:,} excluded" if dataset.num_excluded else ""
    samples, classes = words.plural(dataset.num_clips, "sample"), words.plural(len(dataset.class_names), "class")
    sources = words.plural(workspace().store.datasets.count_sources(dataset.id), "source")
    found = health_of(dataset)
    health = "Not checked yet." if found is None else found.headline
    if found is not None and not found.fresh:
        health = f"{health.removesuffix('.')} (before the last change)."
    st.caption(f"Version {dataset.version} · {samples}{excluded} · {classes} · {sources} · {parts.safe(health)}")
    section = choose_section(SECTIONS)
    with error_boundary():
        if section == "health":
            show_health(dataset, found)
        elif section == "samples":
            findings = [(key, one.title) for key, one in found.open.items() if one.clips] if found else []
            clip_browser(dataset, findings, key=f"samples-{dataset.id}")
        elif section == "splits":
            show_splits(dataset, found)
        elif section == "history":
            show_history(dataset)
        else:
            show_overview(dataset)


with error_boundary():
    main()
