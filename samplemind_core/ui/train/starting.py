"""A new run: its dataset, where its settings start from, what they change, and what is written beside it."""

from __future__ import annotations

import streamlit as st

from samplemind_core.config import PRESETS, RunConfig, apply_changes, parse_assignments
from samplemind_core.errors import NotFoundError
from samplemind_core.store import Dataset, Run
from samplemind_core.store.records import ACTIVE
from samplemind_core.training.control import MAX_NOTES, MAX_TAGS
from samplemind_core.ui import parts, words
from samplemind_core.ui.lr_finder import lr_finder_section
from samplemind_core.ui.places import link
from samplemind_core.ui.settings_form import settings_form
from samplemind_core.ui.state import choose, error_boundary, owner, workspace
from samplemind_core.ui.train.augmenting import choose_amount, what_it_hears
from samplemind_core.ui.train.costing import cost_line, with_enough_epochs
from samplemind_core.ui.train.differences import difference_table, differences
from samplemind_core.ui.train.window_advice import window_advice

FROM_RUN = "run"
"""What the choice of a start is called where settings come from another run, not from a preset."""


def new_run(cancellable: bool) -> None:
    """Draw the form of a new run; where it starts one, the page goes on with that."""
    datasets = {dataset.id: dataset for dataset in workspace().datasets()}
    left, right = st.columns([3, 2], vertical_alignment="bottom")
    with left:
        dataset_id = choose("Dataset", {one.id: parts.dataset_label(one) for one in datasets.values()}, "dataset")
    name = right.text_input("Name", placeholder="Given by itself when left empty", key="new-name", max_chars=100)
    dataset = datasets[dataset_id]
    dataset_health(dataset)
    origin = origin_run()
    start = choose_start(origin)
    config = None
    with error_boundary():
        config = settings_form(choose_amount(filled_in(start, origin)))
    if config is not None:
        window_advice(start, config, dataset)
        # What else helps to choose settings stands here: one call each, given the dataset and the settings as they are.
        lr_finder_section(dataset_id, config)
        what_changed(config, dataset, origin)
        what_it_hears(config, dataset)
    notes, tags = beside_it()
    if config is not None:
        cost_line(dataset, with_enough_epochs(dataset, config))
    with st.container(horizontal=True, vertical_alignment="center"):
        started = st.button("Start", type="primary", icon=":material/play_arrow:", key="start", disabled=config is None)
        if cancellable and st.button("Back to the runs", key="back"):
            for param in ("new", "set", "preset", "based_on"):
                st.query_params.pop(param, None)
            st.rerun()
        st.caption(queue_ahead(), width="content")
    if started and config is not None:
        with error_boundary():
            run = workspace().submit(
                dataset_id,
                config,
                name=name.strip() or None,
                owner=owner(),
                notes=notes,
                tags=tags,
                based_on=origin.id if origin else None,
            )
            for key in ("new-notes", "new-tags", "new-name"):
                st.session_state.pop(key, None)
            st.query_params.from_dict({"run": run.id})
            st.rerun()


# -- where it starts -----------------------------------------------------------------------------


def origin_run() -> Run | None:
    """Return the run that a link to this page names as the one to start from."""
    name = st.query_params.get("based_on")
    if not name:
        return None
    try:
        return workspace().run(name)
    except NotFoundError:
        st.caption(f"The link names the run “{parts.safe(name)}”, which is not here any more.")
        return None


def choose_start(origin: Run | None) -> RunConfig:
    """Return the settings to start from: those of a preset, or of the run that the link names."""
    titles = {name: preset.title for name, preset in PRESETS.items()}
    if origin is not None:
        titles = {FROM_RUN: f"As in {origin.name}"} | titles
    wanted = linked_start(origin)
    mark = (wanted, origin.id if origin else "")
    if wanted in titles and st.session_state.get("new-preset-followed") != mark:
        st.session_state["new-preset"], st.session_state["new-preset-followed"] = wanted, mark
    if st.session_state.get("new-preset") not in titles:
        st.session_state["new-preset"] = next(iter(titles))
    chosen = st.segmented_control(
        "Start from", list(titles), format_func=lambda key: titles.get(key, key), required=True, key="new-preset"
    )
    chosen = chosen or next(iter(titles))
    if origin is not None and chosen == FROM_RUN:
        st.caption(f"The settings of {parts.safe(origin.name)}, to change as you like.")
        return RunConfig.model_validate(origin.config)
    st.caption(PRESETS[chosen].summary)
    return PRESETS[chosen].config


def linked_start(origin: Run | None) -> str | None:
    """Return where the link says to start; None where it says nothing."""
    return st.query_params.get("preset") or (FROM_RUN if origin else None)


def filled_in(start: RunConfig, origin: Run | None) -> RunConfig:
    """Return the settings with those that a link to this page fills in (``set=lr=0.01,epochs=5``)."""
    given = st.query_params.get("set", "")
    chosen = st.session_state.get("new-preset")
    if not given or chosen != (linked_start(origin) or chosen):
        return start
    changed = apply_changes(start, parse_assignments(given.split(",")))
    names = ", ".join(one.sentence for one in differences(start, changed))
    if names:
        st.caption(f"Filled in: {parts.safe(names)}.")
    return changed


# -- what to know before starting ----------------------------------------------------------------


def dataset_health(dataset: Dataset) -> None:
    """Say in one line how sound the dataset is, with the way to its findings."""
    with st.container(horizontal=True, vertical_alignment="center"):
        line, icon = _health_line(str(workspace().root), dataset.id, dataset.version)
        st.caption(f"{icon} {parts.safe(line)}", width="content")
        link("data", "See its health", dataset=dataset.id, section="health")


@st.cache_data(ttl=20, max_entries=64, show_spinner=False)
def _health_line(root: str, dataset_id: str, version: int) -> tuple[str, str]:
    from samplemind_core.data.review import review

    del root, version  # only part of the key: an edited dataset is looked at anew
    dataset = workspace().dataset(dataset_id)
    found = review(workspace().root, workspace().store, dataset)
    if found is None:
        return "Its health was not checked yet.", ":material/help:"
    line = found.headline if found.fresh else f"{found.headline} It has changed since that was checked."
    severities = {finding.severity for finding in found.open.values()}
    icon = "error" if "error" in severities else "warning" if "warning" in severities else "check_circle"
    gap = found.report.leakage and found.report.leakage.gap
    if gap and gap > 0.01 and found.report.leakage and (found.report.leakage.gap_low or 0) > 0:
        line += f" A random split would flatter results by {100 * gap:.0f} points."
    return line, f":material/{icon}:"


def what_changed(config: RunConfig, dataset: Dataset, origin: Run | None) -> None:
    """Draw what differs from the settings of another run, to be chosen."""
    runs = workspace().runs()
    if origin is not None and all(run.id != origin.id for run in runs):
        runs = [origin, *runs]
    if not runs:
        return
    same = [run for run in runs if run.dataset_id == dataset.id]
    ordered = [*([origin] if origin else []), *same, *runs]
    options = {run.id: run.name for run in ordered}
    with st.expander("What did I change?", icon=":material/difference:", key="new-changes", on_change="rerun") as box:
        if not box.open:
            return
        chosen = st.selectbox(
            "Compared with",
            list(options),
            format_func=lambda key: options.get(key, key),
            key=f"new-compare-{origin.id if origin else dataset.id}",
        )
        other = next(run for run in ordered if run.id == chosen)
        rows = differences(RunConfig.model_validate(other.config), config)
        if other.dataset_id != dataset.id:
            st.caption("It was trained on another dataset.")
        elif other.dataset_version != dataset.version:
            st.caption(f"It was trained on version {other.dataset_version} of the dataset; now is {dataset.version}.")
        if rows:
            difference_table(rows, other.name, "New run")
        else:
            st.caption("Every setting is the same.")


def beside_it() -> tuple[str, list[str]]:
    """Draw the fields for notes and tags; return what they hold."""
    with st.expander("Notes and tags", icon=":material/edit_note:"):
        notes = st.text_area(
            "Notes", placeholder="What is this run to find out?", key="new-notes", max_chars=MAX_NOTES, height=90
        )
        return notes, tag_field((), key="new-tags")


def tag_field(chosen: tuple[str, ...], *, key: str) -> list[str]:
    """Draw a field for tags, offering those of other runs."""
    known = sorted({tag for run in workspace().runs() for tag in run.tags} | set(chosen))
    return st.multiselect(
        "Tags",
        known,
        default=list(chosen),
        key=key,
        accept_new_options=True,
        max_selections=MAX_TAGS,
        placeholder="Choose or type",
    )


def queue_ahead() -> str:
    """Say when a run that is started now would begin."""
    runs = workspace().runs()
    going = sum(run.status in ACTIVE for run in runs)
    waiting = sum(run.status == "queued" for run in runs)
    if not going + waiting:
        return "Nothing is training: it starts at once."
    busy = f"{words.plural(going, 'run')} training" if going else ""
    queued = f"{words.plural(waiting, 'run')} waiting" if waiting else ""
    return f"{', '.join(filter(None, [busy, queued]))}: it starts after {'that' if going + waiting == 1 else 'those'}."
