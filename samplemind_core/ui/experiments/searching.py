"""Hyper-parameter search on a page: planned, followed trial by trial, and what came of it."""

from __future__ import annotations

import streamlit as st

from samplemind_core.charts.search import best_so_far_figure, importance_figure, trials_figure
from samplemind_core.config import RunConfig
from samplemind_core.search.space import AUGMENT, Dimension, usual_dimensions
from samplemind_core.search.study import (
    OBJECTIVES,
    PRUNERS,
    Found,
    Objective,
    Plan,
    Pruner,
    TrialResult,
    num_trained_on,
    objectives_for,
)
from samplemind_core.search.work import KIND, MAX_TRIALS
from samplemind_core.store import Search, Task
from samplemind_core.ui import parts, words
from samplemind_core.ui.experiments.starting import choose_dataset, choose_settings, planned_epochs
from samplemind_core.ui.living_figure import living_figure
from samplemind_core.ui.places import go
from samplemind_core.ui.state import choose, error_boundary, owner, theme, workspace
from samplemind_core.ui.task_progress import live_tasks

_WHY_LOSS = "The loss also tells a good guess from a lucky one and is the steadier guide."
_WHY_PRECISION = (
    "Mean average precision: how well the samples of each label are ranked above all others, as the mean of the "
    "labels. The loss asks for probabilities that can be trusted, too. With val_map under Best by, runs keep that "
    "epoch, too."
)
_PRUNERS: dict[Pruner, str] = {
    "median": "Those below the median",
    "hyperband": "Most, in rounds (Hyperband)",
    "none": "None",
}
_STATES = {
    "complete": "completed",
    "pruned": "ended early",
    "failed": "failed",
    "running": "under way",
    "waiting": "waiting",
}
_USUAL = ("train.lr", "train.weight_decay", "model.dropout")


def searching() -> None:
    """Draw the section."""
    with st.container(border=True):
        parts.section("Search for better settings")
        st.caption(
            "Tries settings, learns from what came of them, and tries better ones. Trials are judged by validation "
            "samples; test samples take no part, so that what is found can still be tested honestly."
        )
        with error_boundary():
            _form()
    live_tasks(_open_tasks, key="search-tasks")
    _results()


# -- a new search --------------------------------------------------------------------------------


def _form() -> None:
    dataset = choose_dataset()
    config = choose_settings("search")
    dimensions = _ranges(config)
    first, second, third, last = st.columns(4)
    several = dataset.multi_label
    objective = first.selectbox(
        "Make better", objectives_for(several_labels=several), format_func=_title,
        key=f"search-objective{'-several' if several else ''}",
        help="The best epoch's, on validation samples. " + (_WHY_PRECISION if several else _WHY_LOSS),
    )  # fmt: skip
    judged = second.selectbox(
        "Judged by", [0, 3, 4, 5], format_func=lambda k: f"Mean of {k} folds" if k else "The validation split",
        key="search-folds",
        help="Folds are dealt from training and validation samples, whole sources each: steadier, and as many times "
        "as long.",
    )  # fmt: skip
    pruner = third.selectbox(
        "End early", list(PRUNERS), format_func=_PRUNERS.__getitem__, key="search-pruner",
        help="Trials that do worse than others did at the same epoch need not be finished.",
    )  # fmt: skip
    num_trials = last.number_input("Trials", 1, MAX_TRIALS, 30, key="search-trials")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Search", type="primary", icon=":material/travel_explore:", key="search-start"):
            plan = Plan(config, dimensions, objective, judged or 0, pruner)
            made = workspace().search(dataset.id, plan, num_trials, owner=owner())
            st.query_params["search"] = made.id
            st.rerun()
        folds = f" of {judged} trainings" if judged else ""
        sizes = workspace().store.datasets.split_sizes(dataset.id)
        epochs, why = planned_epochs(config, num_trained_on(sizes, judged or 0))
        trials = words.plural(num_trials, "trial")
        st.caption(f"{trials}{folds}, up to {epochs} each. The first is where you start. {why}".strip())


def _ranges(config: RunConfig) -> tuple[Dimension, ...]:
    """Draw which settings are searched and how far, and return them."""
    usual = usual_dimensions(config)
    chosen = st.multiselect(
        "Search over", list(usual), list(_USUAL), format_func=_label, key="search-over",
        help="Few settings are searched sooner than many. Any other setting can be searched on the command line.",
    )  # fmt: skip
    group = f"{config.preset}-{config.train.lr:g}-{config.train.batch_size}"
    with st.grid(3, min_column_width=240):
        return tuple(_range(usual[path], f"search-{group}-{path}") for path in chosen)


def _range(usual: Dimension, key: str) -> Dimension:
    with st.container(border=True):
        st.markdown(f"**{_label(usual.path)}**")
        if usual.choices:
            more = {8, 256} if usual.path == "train.batch_size" else set()
            options = [*sorted(more - set(usual.choices)), *usual.choices]
            picked = st.multiselect("One of", options, list(usual.choices), key=f"{key}-choices")
            return Dimension(usual.path, choices=tuple(picked))
        left, right = st.columns(2)
        low = left.number_input("From", value=usual.low, step=_step(usual.low), format="%g", key=f"{key}-low")
        high = right.number_input("To", value=usual.high, step=_step(usual.high), format="%g", key=f"{key}-high")
        return Dimension(usual.path, low, high, log=usual.log, integer=usual.integer)


def _title(objective: Objective) -> str:
    return OBJECTIVES[objective].capitalize()


def _step(value: float | None) -> float:
    return float(f"1e{f'{value:e}'.split('e')[1]}") if value else 0.05


def _label(path: str) -> str:
    return "Augmentation" if path == AUGMENT else words.setting(path.split(".")[1])


# -- what came of it -----------------------------------------------------------------------------


def _open_tasks() -> list[Task]:
    return [task for task in workspace().tasks.all(kind=KIND) if task.status != "done"]


def _results() -> None:
    store = workspace().store
    searches = store.searches.all(50)
    if not searches:
        return
    names = {dataset.id: dataset.name for dataset in workspace().datasets()}
    options = {
        one.id: f"{one.name} · {names.get(one.dataset_id, '')} · {words.when(one.created_at)}" for one in searches
    }
    with st.container(border=True):
        parts.section("What was found")
        search = store.searches.get(choose("Search", options, "search"))
        task = workspace().tasks.find(search.task_id) if search.task_id else None
        st.fragment(_found, run_every=2 if task is not None and task.active else None)(search.id)


def _found(search_id: str) -> None:
    """Draw a search as it is now; called every other second while it goes on."""
    with error_boundary():
        search = workspace().store.searches.get(search_id)
        found = _read(str(workspace().root), search.id, workspace().store.searches.num_entries(search.id))
        title = _title(found.plan.objective)
        _best(search, found, title)
        labels = {one.path: _label(one.path) for one in found.plan.dimensions}
        minimise = found.plan.minimises
        living_figure(
            best_so_far_figure(found.trials, title, minimise=minimise, theme=theme()), key=f"search-history-{search.id}"
        )
        if sum(trial.state == "complete" for trial in found.trials) > 1:
            left, right = st.columns([3, 2])
            with left:
                st.markdown("**Settings of completed trials**")
                living_figure(
                    trials_figure(found.trials, labels, title, minimise=minimise, theme=theme()),
                    key=f"search-trials-{search.id}",
                )
            with right:
                st.markdown("**Which settings mattered**")
                living_figure(
                    importance_figure(found.importance, labels, theme()), key=f"search-importance-{search.id}"
                )
        if found.trials:
            _table(found, title, labels)


@st.cache_resource(max_entries=8, show_spinner=False)
def _read(root: str, search_id: str, num_entries: int) -> Found:
    return workspace().search_results(search_id)


def _best(search: Search, found: Found, title: str) -> None:
    ended = [trial for trial in found.trials if trial.state in ("complete", "pruned", "failed")]
    pruned = sum(trial.state == "pruned" for trial in ended)
    failed = sum(trial.state == "failed" for trial in ended)
    notes = [f"{len(ended):,} of {words.plural(search.num_trials, 'trial')} done"]
    notes += [f"{pruned:,} ended early"] if pruned else []
    notes += [f"{failed:,} failed"] if failed else []
    judged = f"mean of {found.plan.num_folds} folds" if found.plan.num_folds else "validation split"
    st.caption(f"{', '.join(notes)} · {title.lower()}, {judged}")
    best = found.best
    if best is None:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.metric(f"Best {title.lower()}", _value(best, found), border=True, width="content",
                  help=f"Trial {best.number + 1}. The best of many looks better than it is: test it once.")  # fmt: skip
        first = found.trials[0]
        if first.value is not None and first.number != best.number:
            st.metric("Where the search started", _value(first, found), border=True, width="content")
    chosen = ", ".join(f"{_label(path)} {_short(value)}" for path, value in best.settings.items())
    st.markdown(f"The best trial has {parts.safe(chosen)}.")
    with st.container(horizontal=True):
        if st.button(
            "Train with the best settings", type="primary", icon=":material/model_training:", key="search-train"
        ):
            changes = ",".join(f"{path}={value}" for path, value in found.best_changes().items())
            go("train", new="1", dataset=search.dataset_id, preset=found.plan.config.preset, set=changes)
        task = workspace().tasks.find(search.task_id) if search.task_id else None
        if (task is None or task.status == "done") and st.button(
            "Try 10 more", icon=":material/add:", key="search-more"
        ):
            workspace().extend_search(search.id, 10, owner=owner())
            st.rerun()


def _table(found: Found, title: str, labels: dict[str, str]) -> None:
    best = found.best
    rows = sorted(found.trials, key=lambda trial: -trial.number)
    share = not found.plan.minimises
    st.dataframe(
        {
            "Trial": [trial.number + 1 for trial in rows],
            "State": [
                "best" if best is not None and trial.number == best.number else _STATES[trial.state] for trial in rows
            ],
            title: [None if trial.value is None else 100 * trial.value if share else trial.value for trial in rows],
            **{label: [_short(trial.settings.get(path)) for trial in rows] for path, label in labels.items()},
            "Time": [words.duration(trial.seconds) for trial in rows],
            "Note": [trial.error or "" for trial in rows],
        },
        hide_index=True,
        column_config={title: st.column_config.NumberColumn(format="%.1f %%" if share else "%.4f")},
        key="search-table",
        alt="Trials and their settings",
    )


def _value(trial: TrialResult, found: Found) -> str:
    return f"{trial.value:.4f}" if found.plan.minimises else words.percent(trial.value)


def _short(value: object) -> str:
    if not isinstance(value, float):
        return "" if value is None else str(value)
    text = f"{value:.3g}"
    # Rates are read beside the fields of the form, which write no powers of ten.
    return text if "e" not in text or abs(value) < 1e-9 else f"{float(text):.12f}".rstrip("0").rstrip(".")
