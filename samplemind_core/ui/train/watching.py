"""One run: where it stands, its live curves, and what is known about it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import streamlit as st

from samplemind_core.config import PRESETS, RunConfig, flatten
from samplemind_core.errors import NotFoundError
from samplemind_core.store import Checkpoint, Epoch, Run
from samplemind_core.store.records import ACTIVE, ENDED
from samplemind_core.ui import hints, parts, words
from samplemind_core.ui.epoch_scrubber import epoch_scrubber
from samplemind_core.ui.live_chart import MAX_GHOSTS, live_chart, live_numbers, live_recall, live_verdict, signal
from samplemind_core.ui.places import go
from samplemind_core.ui.run_report import report_button
from samplemind_core.ui.state import choose, error_boundary, workspace
from samplemind_core.ui.train.controlling import actions, deleted_runs, owner_badge, undo_bar
from samplemind_core.ui.train.differences import difference_table, differences
from samplemind_core.ui.train.remedies import draw_remedies

_AGAIN = "train-again"
GHOSTS_OFFERED = 50
TOLD = {"weights", "record"}
"""Kinds of events that are told in words; the others stand in the curves."""
SMOOTHING = {"Off": 0.0, "Light": 0.6, "Strong": 0.85}


def run_view(runs: list[Run]) -> None:
    """Draw the run that the address names, the one that is going or the newest.

    The browser follows a run that trains, and asks for the page anew when its status or its verdict changes;
    on a clock are only the facts at the end, every 15 seconds.
    """
    undo_bar()
    head = st.container()
    going = next((run.id for run in runs if run.status in ACTIVE), None)
    run_id = choose("Run", {run.id: parts.run_label(run) for run in runs}, "run", default=going)
    run = next(run for run in runs if run.id == run_id)
    with head:
        # Others may leave the queue, which moves this one.
        st.fragment(status, run_every=5 if run.status == "queued" else None)(run.id)
    live_numbers(run.id, key=f"numbers-{run.id}")
    charts(run, runs)
    # What else is known of a run stands here: one call each, given the run.
    epoch_scrubber(run)
    st.fragment(about, run_every=15 if run.status in ACTIVE else None)(run.id)
    deleted_runs()


def status(run_id: str) -> None:
    """Draw where a run stands, what the curves say, and what can be done."""
    if st.session_state.pop(_AGAIN, False):
        st.rerun()
    with error_boundary():
        run = workspace().run(run_id)
        with st.container(horizontal=True, vertical_alignment="center"):
            st.title(parts.safe(run.name), anchor=False, width="stretch")
            parts.status_badge(run, with_epoch=False)
            owner_badge(run)
            actions(run)
        latest = _latest(run)
        verdict = str(latest.health.get("verdict", "")) if latest else ""
        with st.container(horizontal=True, vertical_alignment="center"):
            live_verdict(
                run.id, signal(run.status, run.paused, verdict), key=f"verdict-{run.id}", on_change=_draw_page_again
            )
            if verdict:
                hints.hint("overfitting")
        ending(run)
        if latest is not None:
            draw_remedies(run, latest)


def _latest(run: Run) -> Epoch | None:
    epochs = workspace().epochs(run.id, max(0, int(run.progress.get("epoch", 0) or 0) - 2))
    return epochs[-1] if epochs else None


def _draw_page_again() -> None:
    """Have the whole page drawn, not only the part that the browser spoke to."""
    st.session_state[_AGAIN] = True


def charts(run: Run, runs: list[Run]) -> None:
    """Draw the curves of a run, the learning rate and the recall of each class."""
    ghosts, log, smoothing = chart_options(run, runs)
    extended = RunConfig.model_validate(run.config).extended_at
    shared: dict[str, Any] = {"ghosts": ghosts, "smoothing": smoothing, "extended": extended}
    left, right = st.columns(2)
    with left, st.container(border=True):
        hints.section("Loss", "loss")
        live_chart(run.id, "loss", key=f"loss-{run.id}", log=log, **shared)
    with right, st.container(border=True):
        if workspace().dataset(run.dataset_id).multi_label:
            hints.section("Mean average precision", "map")
            live_chart(run.id, "map", key=f"map-{run.id}", **shared)
        else:
            hints.section("Accuracy", "accuracy")
            live_chart(run.id, "accuracy", key=f"accuracy-{run.id}", **shared)
    names, counts = validation_classes(run)
    height = max(200, 22 * len(names) + 70)
    left, right = st.columns(2)
    with left, st.container(border=True):
        hints.section("Learning rate", "learning_rate")
        live_chart(run.id, "lr", key=f"lr-{run.id}", height=height, ghosts=ghosts)
    with right, st.container(border=True):
        hints.section("Recall of each class", "precision_recall")
        live_recall(run.id, names, counts, key=f"recall-{run.id}", height=height)


def chart_options(run: Run, runs: list[Run]) -> tuple[dict[str, str], bool, float]:
    """Draw how the curves are shown; return the runs behind them by id, whether loss is logarithmic, the smoothing."""
    others = {other.id: other.name for other in runs if other.id != run.id and other.best_epoch is not None}
    same = [other.id for other in runs if other.id in others and other.dataset_id == run.dataset_id]
    options = list(dict.fromkeys([*same, *others]))[:GHOSTS_OFFERED]
    if run.based_on in others and run.based_on not in options:
        options.append(run.based_on)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.multiselect(
            "Earlier runs behind the curves",
            options,
            # Who changes one thing of a run wants to see what came of it.
            default=[run.based_on] if run.based_on in options else [],
            format_func=lambda key: others.get(key, key),
            key=f"ghosts-{run.id}",
            max_selections=MAX_GHOSTS,
            placeholder="None",
        )
        smoothing = st.segmented_control(
            "Smoothing",
            list(SMOOTHING),
            default="Off",
            required=True,
            key="curve-smoothing",
            help="A running mean over the raw line, which stays behind it.",
        )
        log = st.toggle("Log scale", key="curve-log", help="Of the loss: equal ratios look equally large.")
    return {key: others[key] for key in chosen}, log, SMOOTHING[smoothing or "Off"]


def validation_classes(run: Run) -> tuple[list[str], list[int]]:
    """Return the classes of a run's dataset, in the order of their recalls, and their validation clips."""
    store = workspace().store
    dataset = store.versions.at(store.datasets.get(run.dataset_id), run.dataset_version)
    counts = _validation_counts(str(workspace().root), dataset.id, dataset.version)
    return list(dataset.class_names), [counts.get(name, 0) for name in dataset.class_names]


@st.cache_data(max_entries=64, show_spinner=False)
def _validation_counts(root: str, dataset_id: str, version: int) -> dict[str, int]:
    del root  # only part of the key
    store = workspace().store
    clips = store.versions.clips(store.versions.at(store.datasets.get(dataset_id), version))
    return dict(Counter(clip.label for clip in clips if clip.split == "val" and not clip.excluded))


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
        reason = run.end_reason.replace("Stopped on request", "Paused") if run.paused else run.end_reason
        st.caption(parts.safe(reason))
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
        several = dataset is not None and dataset.multi_label
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
            for event in store.events(run.id):
                if event.kind in TOLD:
                    st.caption(parts.safe(event.message))
            if run.notes:
                st.caption("Notes")
                st.text(run.notes)
        with right, st.container(border=True, height="stretch"):
            parts.section("Checkpoints")
            if not checkpoints:
                ended = run.status in ENDED
                st.caption("It left none." if ended else "The first one is written after the first epoch.")
            parts.facts({checkpoint_name(kept): checkpoint_words(kept, several=several) for kept in checkpoints})
            with st.container(horizontal=True):
                if checkpoints and st.button("Look closer", icon=":material/query_stats:", key="diagnose"):
                    go("diagnostics", dataset=run.dataset_id, a=f"{run.id}:best")
                report_button(run, key="run-report")
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


def checkpoint_words(checkpoint: Checkpoint, *, several: bool = False) -> str:
    """Return what a checkpoint reached, in words; ``several`` says that samples have several labels."""
    accuracy, loss = words.percent(checkpoint.val_accuracy), f"{checkpoint.val_loss:.3f}"
    what = "all labels right on" if several else "validation accuracy"
    return f"{what} {accuracy}, loss {loss}, {words.size(checkpoint.num_bytes)}"
