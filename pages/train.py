"""Start a run, watch it, stop it, resume it."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import PRESETS, Preset, RunConfig, apply_changes, flatten, parse_assignments
from samplemind_core.store import Checkpoint, Run
from samplemind_core.store.records import ACTIVE, RESUMABLE
from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.live_chart import live_chart, live_numbers
from samplemind_core.ui.places import go
from samplemind_core.ui.settings_form import settings_form
from samplemind_core.ui.state import choose, error_boundary, owner, workspace

WAITING = (*ACTIVE, "queued")


def main() -> None:
    datasets, runs = workspace().datasets(), workspace().runs()
    if not datasets:
        parts.header("Train")
        parts.empty_state(
            "Runs and their live curves will be here, once there is a dataset to train on.",
            "Get a dataset",
            "data",
            key="get-dataset",
            icon=":material/library_music:",
        )
        return
    if not runs or "new" in st.query_params:
        parts.header("New run", "A run trains one network on one dataset. It goes on when you leave this page.")
        new_run(cancellable=bool(runs))
        return
    run_view(runs)


# -- a new run -----------------------------------------------------------------------------------


def new_run(cancellable: bool) -> None:
    options = {dataset.id: parts.dataset_label(dataset) for dataset in workspace().datasets()}
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        dataset_id = choose("Dataset", options, "dataset")
    name = right.text_input("Name", placeholder="Given by itself when left empty", key="new-name", max_chars=100)
    chosen = PRESETS[choose_preset()]
    st.caption(chosen.summary)
    config = None
    with error_boundary():
        config = settings_form(filled_in(chosen))
    with st.container(horizontal=True):
        started = st.button("Start", type="primary", icon=":material/play_arrow:", key="start", disabled=config is None)
        if cancellable and st.button("Back to the runs", key="back"):
            del st.query_params["new"]
            st.rerun()
    if started and config is not None:
        with error_boundary():
            run = workspace().submit(dataset_id, config, name=name.strip() or None, owner=owner())
            show(run)


def choose_preset() -> str:
    """Return the preset to start from; a link may name another than the first."""
    wanted = st.query_params.get("preset")
    if wanted in PRESETS and st.session_state.get("new-preset-followed") != wanted:
        st.session_state["new-preset"] = st.session_state["new-preset-followed"] = wanted
    st.session_state.setdefault("new-preset", next(iter(PRESETS)))
    preset = st.segmented_control(
        "Start from", list(PRESETS), format_func=lambda key: PRESETS[key].title, required=True, key="new-preset"
    )
    return preset or next(iter(PRESETS))


def filled_in(preset: Preset) -> RunConfig:
    """Return the preset's settings, with those that a link to this page fills in (``set=lr=0.01,epochs=5``)."""
    given = st.query_params.get("set", "")
    if not given or st.query_params.get("preset", preset.name) != preset.name:
        return preset.config
    changed = apply_changes(preset.config, parse_assignments(given.split(",")))
    names = [f"{words.setting(path.split('.')[1])} {value}" for path, value in differences(preset.config, changed)]
    st.caption(f"Filled in: {parts.safe(', '.join(names))}.")
    return changed


def differences(before: RunConfig, after: RunConfig) -> list[tuple[str, str]]:
    """Return path and new value of every setting that differs."""
    a, b = flatten(before), flatten(after)
    return [(path, "off" if value is None else f"{value:g}" if isinstance(value, float) else str(value))
            for path, value in b.items() if value != a[path]]  # fmt: skip


def show(run: Run) -> None:
    st.query_params.from_dict({"run": run.id})
    st.rerun()


# -- one run -------------------------------------------------------------------------------------


def run_view(runs: list[Run]) -> None:
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
    st.fragment(about, run_every=5 if run.status in ACTIVE else None)(run.id)


def status(run_id: str) -> None:
    store = workspace()
    with error_boundary():
        store.tend()
        run = store.run(run_id)
        if (run.id, run.status) != st.session_state.get("train-seen"):
            st.rerun()
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title("Training", anchor=False, width="stretch")
            parts.status_badge(run)
            actions(run)
        epochs = store.epochs(run.id, max(0, int(run.progress.get("epoch", 0) or 0) - 2))
        if epochs:
            with st.container(horizontal=True, vertical_alignment="center"):
                parts.verdict(epochs[-1].health)
                hints.hint("overfitting")
        ending(run)


def actions(run: Run) -> None:
    store = workspace()
    if run.status in ("running", "queued") and st.button("Stop", icon=":material/stop_circle:", key="stop"):
        with error_boundary():
            store.stop(run.id, by=owner())
            st.rerun()
    if run.status in RESUMABLE and st.button("Resume", icon=":material/resume:", key="resume"):
        with error_boundary():
            store.resume(run.id, by=owner())
            st.rerun()
    if st.button("New run", type="primary", icon=":material/add:", key="new"):
        st.query_params.from_dict({"new": "1", "dataset": run.dataset_id})
        st.rerun()


def ending(run: Run) -> None:
    """Say where the run stands when there is nothing to watch."""
    if run.status == "queued":
        position = workspace().queue_position(run.id)
        ahead = "It starts next." if not position or position == 1 else f"It is number {position} in the queue."
        st.caption(f"Waiting for a worker. {ahead}")
    elif run.status == "stopping":
        st.caption("The run ends after its current batch and keeps what it has learned.")
    elif run.end_reason:
        st.caption(parts.safe(run.end_reason))
    if run.status == "failed" and run.error:
        kept = "What it learned up to its last checkpoint is kept." if workspace().checkpoints(run.id) else ""
        st.error(f"This run failed. {kept}".strip(), icon=":material/error:")
        parts.details(f"{run.error}\n\n{workspace().log_tail(run.id)}".strip())


def about(run_id: str) -> None:
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
                    "Dataset": dataset.name if dataset else run.dataset_id,
                    "Network": f"{config.model.name}{size}",
                    "Preset": PRESETS[config.preset].title if config.preset in PRESETS else config.preset,
                    "Device": run.device,
                    "Started by": run.owner,
                    "Started": words.when(run.started_at),
                    "Ended": words.when(run.ended_at),
                }
            )
        with right, st.container(border=True, height="stretch"):
            parts.section("Checkpoints")
            if not checkpoints:
                st.caption("The first one is written after the first epoch.")
            parts.facts({checkpoint_name(kept): checkpoint_words(kept) for kept in checkpoints})
            if checkpoints and st.button("Look closer", icon=":material/query_stats:", key="diagnose"):
                go("diagnostics", dataset=run.dataset_id, a=f"{run.id}:best")
        with st.expander("All settings"):
            parts.facts(flatten(config))
        log = store.log_tail(run.id)
        if log:
            parts.details(log, "Worker's log")


def checkpoint_name(checkpoint: Checkpoint) -> str:
    return f"{'Kept' if checkpoint.kind == 'epoch' else checkpoint.kind.capitalize()}, epoch {checkpoint.epoch}"


def checkpoint_words(checkpoint: Checkpoint) -> str:
    accuracy, loss = words.percent(checkpoint.val_accuracy), f"{checkpoint.val_loss:.3f}"
    return f"validation accuracy {accuracy}, loss {loss}, {words.size(checkpoint.num_bytes)}"


with error_boundary():
    main()
