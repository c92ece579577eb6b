"""The sounds on the bench: made-up ones, or two classes of a dataset of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.learn.sounds import Sounds
    from samplemind_core.store import Dataset
    from samplemind_core.store.records import Split

MADE_UP = "Made-up kicks and hi-hats"
NUM_TRAIN, NUM_VAL = 32, 12
"""Of each class."""


@st.cache_resource(max_entries=6, show_spinner="Making the sounds")
def demo(class_names: tuple[str, ...] = ("kick", "hihat"), num_train: int = 64, num_val: int = 24) -> Sounds:
    """Return demo sounds, made once for all viewers."""
    from samplemind_core.learn.sounds import demo_sounds

    return demo_sounds(class_names, num_train, num_val)


def choose_sounds(key: str) -> tuple[Sounds, str]:
    """Offer the made-up sounds and every two classes of the datasets there are; return sounds and their name."""
    datasets = {dataset.id: dataset for dataset in workspace().datasets() if dataset.kind == "audio"}
    if not datasets:
        return demo(), "demo"
    left, *rest = st.columns([2, 1, 1])
    with left:
        options = ["", *datasets]
        chosen = st.selectbox(
            "Sounds",
            options,
            format_func=lambda name: datasets[name].name if name else MADE_UP,
            key=f"learn-{key}-from",
        )
    if not chosen:
        return demo(), "demo"
    dataset = datasets[chosen]
    pair = []
    for place, column in enumerate(rest):
        with column:
            names = [name for name in dataset.class_names if name not in pair]
            wanted = ("First class", "Second class")[place]
            pair.append(st.selectbox(wanted, names, key=f"learn-{key}-class-{place}-{chosen}"))
    return _own(dataset, pair[0], pair[1]), f"{dataset.id}-{pair[0]}-{pair[1]}"


def _own(dataset: Dataset, first: str, second: str) -> Sounds:
    files = []
    numbers: tuple[tuple[Split, int], ...] = (("train", NUM_TRAIN), ("val", NUM_VAL))
    for label in (first, second):
        for split, number in numbers:
            clips = workspace().store.datasets.clips(dataset.id, label=label, split=split, limit=number)
            files += [(str(workspace().clip_audio(clip)), label, split) for clip in clips if clip.file]
    return _read(tuple(files), (first, second))


@st.cache_resource(max_entries=6, show_spinner="Reading the sounds")
def _read(files: tuple[tuple[str, str, str], ...], class_names: tuple[str, str]) -> Sounds:
    from samplemind_core.learn.sounds import read_sounds

    return read_sounds([(Path(path), label, split) for path, label, split in files], class_names)
