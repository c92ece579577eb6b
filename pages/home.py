"""What somebody needs next: a dataset, a run, its curves, or an answer about a sample."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store.records import ACTIVE
from samplemind_core.ui import parts
from samplemind_core.ui.classification import classification
from samplemind_core.ui.imports import running_imports, start_demo
from samplemind_core.ui.live_chart import live_chart, live_numbers
from samplemind_core.ui.places import go
from samplemind_core.ui.state import error_boundary, workspace


def main() -> None:
    store = workspace()
    datasets, runs = store.datasets(), store.runs()
    going = [run for run in runs if run.status in ACTIVE] or [run for run in runs if run.status == "queued"]
    answering = parts.checkpoint_options(store, newest=20)
    if not datasets:
        first_dataset()
    elif going:
        watch(going[0].id)
    elif answering:
        ask(answering)
    else:
        parts.header("Train your first classifier", "The dataset is ready. Training takes minutes, and you can watch.")
        running_imports(lead_on=False)
        parts.empty_state(
            f"**{parts.safe(datasets[0].name)}** holds {datasets[0].num_clips:,} samples "
            f"of {len(datasets[0].class_names)} classes.",
            "Train on it",
            "train",
            key="home-train",
            icon=":material/model_training:",
        )


def first_dataset() -> None:
    parts.header(
        "Turn a folder of samples into a classifier",
        "SampleMind learns what your samples sound like, shows how well it knows them, and names new ones.",
    )
    running_imports()
    left, right = st.columns(2)
    with left, st.container(border=True, height="stretch"):
        parts.section("Try it with made-up sounds")
        st.write("A small drum kit that SampleMind synthesises. It is ready within a minute.")
        if st.button("Make the demo dataset", type="primary", icon=":material/science:", key="home-demo"):
            with error_boundary():
                start_demo()
                st.rerun()
    with right, st.container(border=True, height="stretch"):
        parts.section("Bring your own")
        st.write("A folder with one subfolder for each class, the same as a zip archive, or a CSV list.")
        if st.button("Bring a folder", icon=":material/folder_open:", key="home-bring"):
            go("data", add="folder")


def watch(run_id: str) -> None:
    run = workspace().run(run_id)
    st.fragment(title, run_every=2)(run.id, run.status)
    live_numbers(run.id, key=f"home-numbers-{run.id}")
    left, right = st.columns(2)
    with left, st.container(border=True):
        parts.section("Loss")
        live_chart(run.id, "loss", key=f"home-loss-{run.id}")
    with right, st.container(border=True):
        several = workspace().dataset(run.dataset_id).multi_label
        parts.section("Mean average precision" if several else "Accuracy")
        live_chart(run.id, "map" if several else "accuracy", key=f"home-accuracy-{run.id}")


def title(run_id: str, seen: str) -> None:
    workspace().tend()
    run = workspace().run(run_id)
    if run.status != seen:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(run.name, anchor=False, width="stretch")
        parts.status_badge(run)
        if st.button("Open", icon=":material/open_in_full:", key="home-open"):
            go("train", run=run.id)


def ask(options: dict[str, str]) -> None:
    parts.header("What is this sample?", "Drop one here, or several at once.")
    classification(options, key="home")


with error_boundary():
    main()
