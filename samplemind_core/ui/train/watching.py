"""One run: where it stands, its live curves, and what is known about it."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import PRESETS, RunConfig, flatten
from samplemind_core.errors import NotFoundError
from samplemind_core.store import Checkpoint, Run
from samplemind_core.store.records import ACTIVE
from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.live_chart import live_chart, live_numbers
from samplemind_core.ui.places import go
from samplemind_core.ui.state import choose, error_boundary, workspace
from samplemind_core.ui.train.controlling import actions, deleted_runs, owner_badge, undo_bar
from samplemind_core.ui.train.differences import difference_table, differences

WAITING = (*ACTIVE, "queued")


def run_view(runs: list[Run]) -> None:
    """Draw the run that the address names, the one that is going or the newest."""
    undo_bar()
    head = st.container()
    going = next((run.id for run in runs if run.status in ACTIVE), None)
    run_id = choose("Run", {run.id: parts.run_label(run) for run in runs}, "run", default=going)
    run = next(run for run in runs if run.id == run_id)
    st.session_state["train-seen"] = (run.id, run.status)
    with head:
        # Somebody else may resume a run that has ended; there is no hurry to notice.
        st.fragment(status, run_every=2 if run.status in WAITING else 10)(run.id)
    live_numbers(run.id, key=f"numbers-{run.id}")
    left, right = st.columns(2)
    with left, st.container(border=True):
        hints.section("Loss", "loss")
        live_chart(run.id, "loss", key=f"loss-{run.id}")
    with right, st.container(border=True):
        hints.section("Accuracy", "accuracy")
        live_chart(run.id, "accuracy", key=f"accuracy-{run.id}")
    # What else is known of a run stands here: one call each, given the run.
    st.fragment(about, run_every=15 if run.status in ACTIVE else None)(run.id)
    deleted_runs()


def status(run_id: str) -> None:
    """Draw where a run stands and what can be done to it."""
    store = workspace()
    with error_boundary():
        store.tend()
        run = store.run(run_id)
        if (run.id, run.status) != st.session_state.get("train-seen") or run.deleted_at is not None:
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title("Training", anchor=False, width="stretch")
            parts.status_badge(run)
            owner_badge(run)
            actions(run)
        epochs = store.epochs(run.id, max(0, int(run.progress.get("epoch", 0) or 0) - 2))
        if epochs:
            with st.container(horizontal=True, vertical_alignment="center"):
                parts.verdict(epochs[-1].health)
                hints.hint("overfitting")
        ending(run)


def ending(run: Run) -> None:
    """Say where the run stands when there is nothing to watch."""
    if run.status == "queued":
        position = workspace().queue_position(run.id)
        ahead = "It starts next." if not position or position == 1 else f"It is number {position} in the queue."
        st.caption(f"Waiting for a worker. {ahead}")
    elif run.status == "stopping":
        wish = "pauses" if run.paused else "ends"
        st.caption(f"The run {wish} after its current batch and keeps what it has learned.")
    elif run.end_reason:
        st.caption(parts.safe(run.end_reason))
    if run.status in ("failed", "interrupted"):
        kept = "What it learned up to its last checkpoint is kept." if workspace().checkpoints(run.id) else ""
        if run.status == "failed":
            st.error(f"This run failed. {kept}".strip(), icon=":material/error:")
        else:
            st.warning(f"This run was cut off. {kept}".strip(), icon=":material/power_off:")
        log = f"{run.error or ''}\n\n{workspace().log_tail(run.id)}".strip()
        if log:
            parts.details(log)


def about(run_id: str) -> None:
    """Draw what is known about a run: facts, checkpoints, what is written beside it, its settings and log."""
    store = workspace()
    with error_boundary():
        run = store.run(run_id)
        config = RunConfig.model_validate(run.config)
        dataset = next((item for item in store.datasets() if item.id == run.dataset_id), None)
        checkpoints = store.checkpoints(run.id)
        size = "" if run.num_parameters is None else f", {run.num_parameters:,} parameters"
        left, right = st.columns(2)
        with left, st.container(border=True, height="stretch"):
            parts.section("About this run")
            parts.facts(
                {
                    "Dataset": f"{dataset.name}, version {run.dataset_version}" if dataset else run.dataset_id,
                    "Network": f"{config.model.name}{size}",
                    "Preset": PRESETS[config.preset].title if config.preset in PRESETS else config.preset,
                    "Device": run.device,
                    "Started by": run.owner,
                    "Started": words.when(run.started_at),
                    "Ended": words.when(run.ended_at),
                }
                | ({"Tags": run.tags} if run.tags else {})
            )
            if run.notes:
                st.caption("Notes")
                st.text(run.notes)
        with right, st.container(border=True, height="stretch"):
            parts.section("Checkpoints")
            if not checkpoints:
                st.caption("The first one is written after the first epoch.")
            parts.facts({checkpoint_name(kept): checkpoint_words(kept) for kept in checkpoints})
            if checkpoints and st.button("Look closer", icon=":material/query_stats:", key="diagnose"):
                go("diagnostics", dataset=run.dataset_id, a=f"{run.id}:best")
        changed_from(run, config)
        with st.expander("All settings"):
            parts.facts(flatten(config))
        log = store.log_tail(run.id)
        if log:
            parts.details(log, "Worker's log")


def changed_from(run: Run, config: RunConfig) -> None:
    """Say which run's settings this one started from, and what it changed."""
    if run.based_on is None:
        return
    try:
        origin = workspace().run(run.based_on)
    except NotFoundError:
        return  # deleted for good since
    rows = differences(RunConfig.model_validate(origin.config), config)
    count = words.plural(len(rows), "setting") if rows else "nothing"
    with st.expander(f"Made from {parts.safe(origin.name)}: {count} changed", icon=":material/difference:"):
        if rows:
            difference_table(rows, origin.name, run.name)
        if st.button("See that run", key="see-origin"):
            go("train", run=origin.id)


def checkpoint_name(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint is called in a list."""
    return f"{'Kept' if checkpoint.kind == 'epoch' else checkpoint.kind.capitalize()}, epoch {checkpoint.epoch}"


def checkpoint_words(checkpoint: Checkpoint) -> str:
    """Return what a checkpoint reached, in words."""
    accuracy, loss = words.percent(checkpoint.val_accuracy), f"{checkpoint.val_loss:.3f}"
    return f"validation accuracy {accuracy}, loss {loss}, {words.size(checkpoint.num_bytes)}"
