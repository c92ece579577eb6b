"""Cross-validation on a page: started, followed fold by fold, and its result."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from samplemind_core.charts.slices import slice_figure
from samplemind_core.evaluation.cross_validation import (
    KIND,
    SCORES,
    CrossValidation,
    FoldScore,
    finished_folds,
)
from samplemind_core.evaluation.label_folds import LABEL_SCORES, LabelFoldScore
from samplemind_core.evaluation.out_of_fold import NUM_FOLDS, By, folds_ref, num_trained_on, out_of_fold_file
from samplemind_core.store import Run, Task
from samplemind_core.tasks.jobs import task_folder
from samplemind_core.ui import parts, words
from samplemind_core.ui.experiments.starting import choose_dataset, choose_settings, planned_epochs
from samplemind_core.ui.places import go
from samplemind_core.ui.state import choose, error_boundary, owner, theme, workspace
from samplemind_core.ui.task_progress import live_tasks

_WAYS: dict[By, str] = {"auto": "Its own folds, else sources", "folds": "Its own folds", "groups": "Sources dealt anew"}
_SCORE_WORDS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "mean_ap": "Mean average precision",
    "micro_f1": "Micro F1",
    "exact": "Exactly right",
}
Folds = Sequence[FoldScore] | Sequence[LabelFoldScore]
_MOST_FOLDS = 50
_NEWEST = 50


def cross_validation() -> None:
    """Draw the section."""
    with st.container(border=True):
        parts.section("Cross-validate")
        st.caption(
            "Trains the same settings once per fold. Each fold is judged by the network that never heard its "
            "sources, so every sample is judged once, and the spread over folds shows how much luck is in a figure."
        )
        with error_boundary():
            _form()
    _going()
    _results()


def _form() -> None:
    dataset = choose_dataset()
    left, right = st.columns(2)
    by = left.selectbox(
        "Folds from", list(_WAYS), format_func=_WAYS.__getitem__, key="folds-by",
        help="A manifest may say which fold each sample belongs to. Otherwise whole sources are dealt into folds, "
        "stratified by class.",
    )  # fmt: skip
    num_folds = right.number_input(
        "Number of folds", 3, _MOST_FOLDS, NUM_FOLDS, key="folds-number",
        help="Where sources are dealt. With as many folds as sources, each source is left out once.",
    )  # fmt: skip
    config = choose_settings("folds")
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button("Cross-validate", type="primary", icon=":material/call_split:", key="folds-start"):
            workspace().cross_validate(dataset.id, config, num_folds=num_folds, by=by or "auto", owner=owner())
            st.rerun()
        epochs, why = planned_epochs(config, num_trained_on(dataset.num_clips, num_folds))
        st.caption(f"{num_folds} trainings of up to {epochs}, one after another. {why}".strip())


# -- while it goes -------------------------------------------------------------------------------


def _open_tasks() -> list[Task]:
    """Return the cross-validations of settings that are not done; those of a run are shown in Diagnostics."""
    return [task for task in workspace().tasks.all(kind=KIND) if "config" in task.params and task.status != "done"]


def _going() -> None:
    live_tasks(_open_tasks, key="folds-tasks")
    tasks = _open_tasks()
    if tasks:
        st.fragment(_so_far, run_every=2 if any(task.active for task in tasks) else None)()


def _so_far() -> None:
    """Draw the folds that are done of what is going on or was stopped."""
    store = workspace()
    for task in _open_tasks():
        with error_boundary():
            done = finished_folds(task_folder(store.settings, task.id))
            if done:
                epochs = int(task.params["config"]["train"]["epochs"])
                st.caption(f"{parts.safe(task.title)}: {_where(task, epochs, len(done))}")
                _table(done, key=f"folds-so-far-{task.id}")


def _where(task: Task, epochs: int, num_done: int) -> str:
    if not task.active:
        return f"{words.plural(num_done, 'fold')} done"
    fold, epoch = divmod(int(task.progress.get("done") or 0), max(1, epochs))
    return f"{words.plural(num_done, 'fold')} done, fold {max(fold, num_done) + 1} in epoch {epoch + 1}"


# -- what came of it -----------------------------------------------------------------------------


def _results() -> None:
    store = workspace()
    runs = [run for run in store.runs() if out_of_fold_file(store.settings, run.id).exists()][:_NEWEST]
    if not runs:
        return
    names = {dataset.id: dataset.name for dataset in store.datasets()}
    with st.container(border=True):
        parts.section("Results")
        options = {
            run.id: f"{run.name} · {names.get(run.dataset_id, '')} · {words.when(run.created_at)}" for run in runs
        }
        run = store.run(choose("Cross-validation", options, "folds"))
        with error_boundary():
            found = _figures(run)
            if found is not None:
                _result(run, found)


def _figures(run: Run) -> CrossValidation | None:
    file = out_of_fold_file(workspace().settings, run.id)
    return _read(str(file), file.stat().st_mtime_ns, run.id) if file.exists() else None


@st.cache_resource(max_entries=16, show_spinner="Drawing sources for the interval")
def _read(path: str, stamp: int, run_id: str) -> CrossValidation | None:
    return workspace().cross_validation(run_id)


def _result(run: Run, found: CrossValidation) -> None:
    with st.container(horizontal=True):
        for score in found.scores:
            low, high = found.intervals[score]
            st.metric(
                f"{_SCORE_WORDS[score]}, mean ± sd",
                f"{100 * found.mean(score):.1f} ± {100 * found.sd(score):.1f} %",
                border=True,
                help=f"Over {words.plural(len(found.folds), 'fold')}. "
                f"{words.percent(found.pooled[score])} over all samples at once; "
                f"95 % interval {words.percent(low)} to {words.percent(high)}, drawing whole sources "
                f"({found.num_sources:,} of them).",
            )
    st.markdown(_sentence(found))
    score = found.scores[0]
    chart = slice_figure([_Bar(fold) for fold in found.folds], found.pooled[score], theme(), score=_SCORE_WORDS[score])
    parts.figure(chart, key=f"folds-{run.id}")
    if found.several_labels:
        st.caption(
            "The labels of a fold are named by the thresholds that its network chose on the fold that chose its epoch; "
            "those of all samples at once by the mean of these thresholds, as in Diagnostics."
        )
    _table(found.folds, key=f"folds-table-{run.id}")
    with st.container(horizontal=True):
        if st.button("Look closer", icon=":material/query_stats:", key="folds-diagnose"):
            go("diagnostics", dataset=run.dataset_id, a=folds_ref(run.id), split="all")
        st.download_button(
            "Download as CSV", _csv(found.folds), f"{run.name}-folds.csv", "text/csv", icon=":material/download:",
            on_click="ignore", key="folds-csv",
        )  # fmt: skip


def _sentence(found: CrossValidation) -> str:
    score = found.scores[0]
    low, high = found.intervals[score]
    said = (
        f"a mean average precision of **{words.percent(found.pooled[score])}** is reached"
        if found.several_labels
        else f"**{words.percent(found.pooled[score])}** are named right"
    )
    of = "On" if found.several_labels else "Of"
    return (
        f"{of} all {words.plural(found.num_clips, 'sample')}, each judged by the network that never heard its source, "
        f"{said} (95 % interval {words.percent(low)} to {words.percent(high)}, drawing whole sources)."
    )


class _Bar:
    """A fold as the figure of slices takes it."""

    small = False

    def __init__(self, fold: FoldScore | LabelFoldScore) -> None:
        self.value, self.num_clips = f"Fold {fold.name}", fold.num_clips
        self.accuracy, self.interval = fold.score, fold.interval or (fold.score, fold.score)


def _scores(folds: Folds) -> tuple[str, ...]:
    return LABEL_SCORES if folds and isinstance(folds[0], LabelFoldScore) else SCORES


def _table(folds: Folds, *, key: str) -> None:
    share = st.column_config.NumberColumn(format="%.1f %%")
    st.dataframe(
        {
            "Fold": [fold.name for fold in folds],
            "Samples": [fold.num_clips for fold in folds],
            **{_SCORE_WORDS[score]: [_percent(getattr(fold, score)) for fold in folds] for score in _scores(folds)},
        },
        hide_index=True,
        column_config={_SCORE_WORDS[score]: share for score in _scores(folds)},
        key=key,
        alt="Scores by fold",
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _csv(folds: Folds) -> str:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["fold", "num_clips", *_scores(folds)])
    writer.writerows([fold.name, fold.num_clips, *(getattr(fold, score) for score in _scores(folds))] for fold in folds)
    return text.getvalue()
