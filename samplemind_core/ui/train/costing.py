"""What a run would cost on this machine, in one line of the form that starts it."""

from __future__ import annotations

import functools

import streamlit as st

from samplemind_core.config import RunConfig
from samplemind_core.data.cache import cache_file
from samplemind_core.settings import Settings
from samplemind_core.store import Dataset
from samplemind_core.store.records import ACTIVE
from samplemind_core.training.cost import Cost, CostMeter, Estimate, estimate
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import workspace

ASK_EVERY_S = 1.0


@functools.lru_cache(4)
def _meter(settings: Settings) -> CostMeter:
    return CostMeter(settings)


def with_enough_epochs(dataset: Dataset, config: RunConfig) -> RunConfig:
    """Return the settings as a run on the dataset takes them, and say so where few samples ask for more epochs."""
    num_train = _splits(dataset).get("train", 0)
    raised = config.for_clips(num_train)
    if raised.train.epochs > config.train.epochs:
        st.caption(
            f":material/trending_up: {words.plural(raised.train.epochs, 'epoch')} instead of "
            f"{config.train.epochs}, as {words.plural(num_train, 'training sample')} make few steps each: a run should "
            f"take {config.train.min_steps:,} (Least steps, under All settings; 0 leaves the epochs as they are)."
        )
    return raised


def cost_line(dataset: Dataset, config: RunConfig) -> None:
    """Say what a run with these settings will take here; measured now where nobody knows yet."""
    if workspace().settings.worker == "external":
        return  # it may train on quite another machine
    known = _ask(dataset, config)
    st.fragment(_line, run_every=ASK_EVERY_S if known == "measuring" else None)(dataset, config, known == "measuring")


def _line(dataset: Dataset, config: RunConfig, was_measuring: bool) -> None:
    answer = _ask(dataset, config)
    if was_measuring and answer != "measuring":
        st.rerun()  # without the timer
    if isinstance(answer, Cost):
        splits = _splits(dataset)
        found = estimate(
            answer,
            config,
            num_train=splits.get("train", 0),
            num_val=splits.get("val", 0),
            num_test=splits.get("test", 0),
            num_clips=dataset.num_clips + dataset.num_excluded,
        )
        text = estimate_words(found, early=config.train.early_stopping_patience is not None)
        if not cache_file(workspace().root, dataset.id, config.features).exists():
            text += " Spectrograms for this front end are made first."
        st.caption(f":material/timer: {parts.safe(text)}")
    elif answer == "measuring":
        st.caption(":material/timer: Measuring what this costs here, with a few real steps")
    else:
        st.caption(f":material/timer: What this costs here could not be measured: {parts.safe(answer)}")


def estimate_words(found: Estimate, *, early: bool = False) -> str:
    """Return an estimate as a sentence, such as "About 40 s (± 20 %) and 1.1 GB of memory, on cpu"."""
    most = "At most about" if early else "About"
    text = f"{most} {words.duration(_rounded(found.seconds))} (± {round(100 * found.spread, -1):.0f} %)"
    text += f" and {_memory(found.memory_bytes)} of memory"
    if found.gpu_memory_bytes is not None:
        text += f", {_memory(found.gpu_memory_bytes)} on the GPU"
    text += f", on {found.device}."
    return f"{text} Measured while another run trained: alone it is faster." if found.busy else text


def _memory(num_bytes: int) -> str:
    return words.size(float(f"{num_bytes:.2g}")).replace(".0 MB", " MB")


def _rounded(seconds: float) -> float:
    """Return seconds to two digits: more would promise what nobody knows."""
    return max(1.0, float(f"{seconds:.2g}"))


def _ask(dataset: Dataset, config: RunConfig) -> Cost | str:
    num_train = _splits(dataset).get("train", 0)
    if not num_train:
        return "The dataset has no training samples."
    busy = any(run.status in ACTIVE for run in workspace().runs())
    meter = _meter(workspace().settings)
    return meter.ask(
        config,
        num_train=num_train,
        num_classes=len(dataset.class_names),
        several_labels=dataset.multi_label,
        busy=busy,
    )


def _splits(dataset: Dataset) -> dict[str, int]:
    return _split_sizes(str(workspace().root), dataset.id, dataset.version)


@st.cache_data(max_entries=64, show_spinner=False)
def _split_sizes(root: str, dataset_id: str, version: int) -> dict[str, int]:
    del root, version  # only part of the key
    return workspace().store.datasets.split_sizes(dataset_id)
