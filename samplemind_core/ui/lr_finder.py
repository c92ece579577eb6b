"""A learning rate from a range test, on the way to a new run: started, watched, looked at, taken over."""

from __future__ import annotations

import math

import streamlit as st

from samplemind_core.charts.learn_rates import range_figure
from samplemind_core.config import PRESETS, RunConfig, apply_changes, flatten
from samplemind_core.store import Task
from samplemind_core.training.lr_finder import KIND, NUM_STEPS, LrCurve
from samplemind_core.ui import parts
from samplemind_core.ui.state import error_boundary, owner, theme, workspace
from samplemind_core.ui.task_progress import live_tasks


def lr_finder_section(dataset_id: str, config: RunConfig) -> None:
    """Draw the range test for these settings on a dataset, folded away until somebody looks.

    Parameters
    ----------
    dataset_id : str
    config : RunConfig
        The settings as the form has them; the test varies only their learning rate.
    """
    with st.expander("Find a learning rate", icon=":material/speed:", key="find-lr", on_change="rerun") as box:
        if not box.open:
            return
        st.caption(
            f"Trains a network of its own for up to {NUM_STEPS} steps, raising the learning rate a little with every "
            "step. Where the loss falls fastest is a good rate to start from. Nothing of it is kept but the curve."
        )
        with error_boundary():
            tasks = _tasks(dataset_id)
            if not (tasks and tasks[0].active) and st.button(
                "Run the range test" if not tasks else "Run it again", key="find-lr-start", icon=":material/play_arrow:"
            ):
                workspace().submit_find_lr(dataset_id, config, owner=owner())
                st.rerun()
            live_tasks(lambda: _going(dataset_id), key=f"find-lr-{dataset_id}")
            if tasks and tasks[0].status == "done":
                _result(tasks[0], config)


def _tasks(dataset_id: str) -> list[Task]:
    return [task for task in workspace().tasks.all(kind=KIND) if task.params.get("dataset") == dataset_id]


def _going(dataset_id: str) -> list[Task]:
    """Return the newest test of a dataset unless it is done; what it found is drawn across the whole width."""
    return [task for task in _tasks(dataset_id)[:1] if task.status != "done"]


def _result(task: Task, config: RunConfig) -> None:
    found = task.result or {}
    curve = LrCurve.from_dict(found["curve"])
    if not _alike(RunConfig.model_validate(found["config"]), config):
        st.caption("This test was made with other settings than those of the form now; run it again to compare.")
    parts.figure(
        range_figure(curve.lrs, curve.losses, curve.ends, curve.guessing, curve.suggestion, theme()),
        key=f"find-lr-figure-{task.id}",
    )
    if curve.suggestion is None:
        st.caption(
            "The loss never fell clearly, so that no rate can be named. Look at the labels of the dataset, or "
            "use larger batches."
        )
        return
    rate = short(curve.suggestion)
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(f"Use {rate:g}", key=f"find-lr-use-{task.id}", icon=":material/check:"):
            _fill_in(apply_changes(config, {"train.lr": rate}))
        st.caption(
            "Schedules that rise and fall stand a rate a few times higher: watch the first epochs.",
            width="content",
        )


def _fill_in(config: RunConfig) -> None:
    """Put settings into the form, by the link that it understands."""
    preset = config.preset if config.preset in PRESETS else next(iter(PRESETS))
    st.query_params["new"] = "1"
    st.query_params["preset"] = preset
    st.query_params["set"] = as_link(config, PRESETS[preset].config)
    st.rerun()


def as_link(config: RunConfig, start: RunConfig) -> str:
    """Return the settings that differ from where they start, as links to the Train page have them."""
    before = flatten(start)
    changed = {path: value for path, value in flatten(config).items() if path != "preset" and value != before[path]}
    return ",".join(f"{path}={'' if value is None else value}" for path, value in changed.items())


def short(rate: float) -> float:
    """Return a rate with two digits, as anyone would type it."""
    return round(rate, 1 - math.floor(math.log10(rate)))


def _alike(one: RunConfig, other: RunConfig) -> bool:
    """Return whether two settings would give the same test."""
    plain = {"lr": 1e-3, "epochs": 1}
    return all(
        a == b
        for a, b in (
            (one.features, other.features),
            (one.augment, other.augment),
            (one.model, other.model),
            (one.train.model_copy(update=plain), other.train.model_copy(update=plain)),
        )
    )
