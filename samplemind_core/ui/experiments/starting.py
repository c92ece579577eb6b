"""What every experiment starts from: a dataset and the settings of a run."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import PRESETS, RunConfig
from samplemind_core.store import Dataset
from samplemind_core.ui import parts, words
from samplemind_core.ui.settings_form import settings_form
from samplemind_core.ui.state import choose, workspace


def choose_dataset() -> Dataset:
    """Draw the choice of a dataset and return it; its id stands in the address."""
    options = {dataset.id: parts.dataset_label(dataset) for dataset in workspace().datasets()}
    return workspace().dataset(choose("Dataset", options, "dataset"))


def choose_settings(key: str) -> RunConfig:
    """Draw the choice of a preset and the form of its settings, and return them.

    Raises
    ------
    ConfigError
        Naming every setting that cannot be used as it stands.
    """
    st.session_state.setdefault(f"{key}-preset", next(iter(PRESETS)))
    name = st.segmented_control(
        "Start from", list(PRESETS), format_func=lambda name: PRESETS[name].title, required=True, key=f"{key}-preset"
    )
    preset = PRESETS[name or next(iter(PRESETS))]
    st.caption(preset.summary)
    return settings_form(preset.config)


def planned_epochs(config: RunConfig, num_clips: int) -> tuple[str, str]:
    """Return how many epochs a training on so many clips has, and a sentence on why where the form says fewer."""
    epochs = config.for_clips(num_clips).train.epochs
    why = f"{config.train.epochs} would be few steps on so few samples: Least steps asks for more."
    return words.plural(epochs, "epoch"), why if epochs > config.train.epochs else ""
