"""Labels that are probably wrong: heard, and accepted or kept."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.store import Dataset, Run, Task
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import Picked
from samplemind_core.ui.player import Sound, player
from samplemind_core.ui.state import owner, workspace
from samplemind_core.ui.task_progress import live_tasks

if TYPE_CHECKING:
    from samplemind_core.evaluation.judging import Judged
    from samplemind_core.evaluation.label_errors import LabelErrors, LabelIssue

PAGE = 10


def draw(picked: Picked) -> None:
    """Draw the section."""
    judged = witnesses(picked)
    if judged is not None:
        _issues(picked, judged)


def witnesses(picked: Picked) -> Judged | None:
    """Return the answers that labels are doubted by, saying where they are from; None where none are honest.

    Out-of-fold answers on all samples where a picked run has them, which is offered where it has not; the first
    model's on samples that it was not trained on otherwise.
    """
    runs = {
        model.run.id: model.run for model in picked.models if model.run and model.run.dataset_id == picked.dataset.id
    }
    run = next(iter(runs.values()), None)
    if run is not None:
        judged = _out_of_fold(run, picked)
        _cross_validation(run, done=judged is not None)
        if judged is not None:
            return judged
    if picked.split in ("all", "train") or picked.split.startswith("fold:"):
        st.caption("The model was trained on some of these samples and has learnt their labels, right or wrong.")
        return None
    judged = picked.models[0].judged
    count = words.plural(len(judged.clip_ids), "sample")
    st.caption(
        f"{'The' if run is None else 'Until then: the'} labels of the {count} picked above, doubted by the first "
        "model, which was not trained on them."
    )
    return judged


def said(judged: Judged) -> str:
    """Return what changes with any answer or label: a cross-validation may be done again on the same samples."""
    digest = hashlib.blake2b(judged.targets.tobytes())
    digest.update(judged.logits.tobytes())
    digest.update(judged.clip_ids.tobytes())
    return digest.hexdigest()


def _out_of_fold(run: Run, picked: Picked) -> Judged | None:
    from samplemind_core.errors import NotFoundError
    from samplemind_core.evaluation.out_of_fold import judge_out_of_fold

    store = workspace()
    try:
        return judge_out_of_fold(store.store, store.settings, run, picked.dataset, "all")
    except NotFoundError:
        return None


def _cross_validation(run: Run, *, done: bool) -> None:
    from samplemind_core.evaluation.out_of_fold import KIND, NUM_FOLDS

    def find() -> list[Task]:
        found = [task for task in workspace().tasks.all(kind=KIND) if task.params.get("run") == run.id]
        return [task for task in found[:1] if task.status != "done"]

    live_tasks(find, key="cross-validation")
    tasks = find()
    if done or (tasks and tasks[0].active):
        return
    seconds = NUM_FOLDS * sum(epoch.seconds for epoch in workspace().epochs(run.id))
    with st.container(border=True):
        parts.section("Ask networks that never heard the sample")
        st.markdown(
            f"To doubt the labels of all samples, {parts.safe(run.name)} is trained {NUM_FOLDS} times with the same "
            "settings, each time without a fifth of the sources. Every sample is then judged by the one that never "
            f"heard its source. That takes about {words.duration(seconds)} and goes on when you leave."
        )
        if not tasks and st.button(
            "Cross-validate", key="cross-validate", type="primary", icon=":material/call_split:"
        ):
            workspace().tasks.submit(KIND, f"Cross-validation of {run.name}", {"run": run.id}, owner=owner())
            st.rerun()


def _issues(picked: Picked, judged: Judged) -> None:
    errors = _found(judged, picked.dataset, (picked.stamp, said(judged)))
    kept = workspace().kept_labels(picked.dataset.id)
    open_issues = [issue for issue in errors.issues if issue.flagged and kept.get(issue.clip_id) != issue.label]
    with st.container(border=True):
        parts.section("Labels to listen to")
        share = errors.num_estimated / errors.num_clips
        st.markdown(
            f"About **{errors.num_estimated:,}** of {words.plural(errors.num_clips, 'label')} ({words.percent(share)}) "
            f"are probably wrong. {words.plural(len(open_issues), 'sample')} to listen to, the most doubtful first."
        )
        if not open_issues:
            st.caption("None is left to decide.")
            return
        pages = -(-len(open_issues) // PAGE)
        page = 1
        if pages > 1:
            page = st.pagination(pages, key="label-page")
        for issue in open_issues[(page - 1) * PAGE : page * PAGE]:
            _issue(picked, issue)
        st.caption("Accepting makes a new version of the dataset, which can be undone; keeping hides the suggestion.")


def _issue(picked: Picked, issue: LabelIssue) -> None:
    clip = picked.clips.get(issue.clip_id)
    if clip is None:
        return
    left, right = st.columns([3, 2], vertical_alignment="center")
    with left:
        st.markdown(
            f"**{parts.safe(issue.label)}** → **{parts.safe(issue.suggested)}**? Networks and other sounds of its kind "
            f"give {parts.safe(issue.suggested)} {words.confidence(issue.suggested_probability)} and "
            f"{parts.safe(issue.label)} {words.confidence(issue.label_probability)}."
        )
        if clip.file:
            player(Sound(clip_url(issue.clip_id), clip.name), key=f"label-{issue.clip_id}")
        else:
            st.caption(parts.safe(clip.name))
    with right, st.container(horizontal=True):
        if st.button(f"It is {issue.suggested}", key=f"accept-{issue.clip_id}", icon=":material/check:"):
            workspace().edit(picked.dataset.id, by=owner()).relabel([issue.clip_id], issue.suggested)
            st.rerun()
        if st.button(f"Keep {issue.label}", key=f"keep-{issue.clip_id}", type="tertiary"):
            workspace().keep_label(picked.dataset.id, issue.clip_id, issue.label)
            st.rerun()


@st.cache_resource(max_entries=8, show_spinner="Doubting labels")
def _found(_judged: Judged, _dataset: Dataset, stamp: tuple[Any, ...]) -> LabelErrors:
    from samplemind_core.evaluation.second_opinion import doubt_labels

    return doubt_labels(workspace().root, workspace().store, _dataset, _judged)
