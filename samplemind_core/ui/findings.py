"""The health report of a dataset: what was found, with the samples behind it to hear, and what can be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.server import clip_url
from samplemind_core.store import Clip, Dataset, Task
from samplemind_core.store.records import SEPARATOR
from samplemind_core.ui import parts, words
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import error_boundary, owner, workspace
from samplemind_core.ui.task_progress import live_tasks
from samplemind_core.ui.without_listening import show_without_listening

if TYPE_CHECKING:
    from samplemind_core.data.editing import Editor
    from samplemind_core.data.findings import Finding
    from samplemind_core.data.review import Review

CLIPS_PER_PAGE = 20
SETS_PER_PAGE = 5
SUBJECTS_SHOWN = 50
_SEVERITY: dict[str, tuple[str, str, parts.Color]] = {
    "error": ("Spoils results", ":material/error:", "red"),
    "warning": ("Look at it", ":material/warning:", "orange"),
    "note": ("Good to know", ":material/info:", "gray"),
}
_SPLIT_WORDS = {"train": "train", "val": "validation", "test": "test"}


def health_of(dataset: Dataset) -> Review | None:
    """Return what is known about the health of a dataset; None where it was never measured."""
    from samplemind_core.data.review import review

    return review(workspace().root, workspace().store, dataset)


def show_health(dataset: Dataset, found: Review | None) -> None:
    """Draw the findings, each with its samples and what can be done about it."""
    live_tasks(lambda: _tasks(dataset), key=f"health-tasks-{dataset.id}")
    if found is None:
        with st.container(border=True):
            st.markdown(
                "Look for copies, one sound under two labels, silence, clipping, packs on both sides of the split, "
                "and labels that could be guessed without listening."
            )
            _check(dataset, "Check this dataset", primary=True)
        return
    report = found.report
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{parts.safe(found.headline)}**", width="stretch")
        if not found.fresh:
            _check(dataset, "Check again", primary=False)
    measured = f"Measured {words.when(report.created_at)} in {words.duration(report.seconds)}"
    st.caption(measured + (". The dataset changed since; what was excluded is left out here." * (not found.fresh)))
    for key, finding in found.open.items():
        _finding(dataset, key, finding)
    if not found.open:
        st.caption("No finding is open.")
    show_without_listening(report)
    for note in report.notes:
        st.caption(parts.safe(note))
    _kept(dataset, found)


def _tasks(dataset: Dataset) -> list[Task]:
    newest = [task for task in workspace().tasks.all(kind="health") if task.params.get("dataset") == dataset.id][:1]
    return [task for task in newest if task.status != "done"]


def _check(dataset: Dataset, label: str, *, primary: bool) -> None:
    busy = any(task.status in ("queued", "running", "stopping") for task in _tasks(dataset))
    kind = "primary" if primary else "secondary"
    if st.button(label, type=kind, icon=":material/health_and_safety:", key="health-check", disabled=busy):  # type: ignore[arg-type]
        with error_boundary():
            params = {"dataset": dataset.id}
            workspace().tasks.submit("health", f"Checking {dataset.name}", params, owner=owner())
            st.rerun()


# -- one finding ---------------------------------------------------------------------------------


def _finding(dataset: Dataset, key: str, finding: Finding) -> None:
    word, icon, color = _SEVERITY[finding.severity]
    shown = st.query_params.get("look") == key
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(word, icon=icon, color=color)
            st.markdown(f"**{parts.safe(finding.title)}**", width="stretch")
            if st.button("Close" if shown else "Look", key=f"look-{key}"):
                if shown:
                    st.query_params.pop("look", None)
                else:
                    st.query_params["look"] = key
                st.rerun()
        if shown:
            st.markdown(parts.safe(finding.explanation))
            _actions(dataset, key, finding)
            if finding.clusters:
                _sets(dataset, key, finding)
            elif finding.clips:
                _clips(dataset, key, finding)
            elif finding.subjects:
                _subjects(finding)


def _actions(dataset: Dataset, key: str, finding: Finding) -> None:
    with st.container(horizontal=True):
        chosen = finding.suggested or finding.clips
        if finding.action == "exclude" and chosen:
            label = f"Exclude {words.plural(len(chosen), 'sample')}"
            _act(dataset, label, f"exclude-{key}", lambda editor: editor.exclude(chosen), primary=True)
        if finding.clusters and finding.action in ("group", "exclude"):
            label = "Keep each set in one source"
            _act(dataset, label, f"group-{key}", lambda editor: _group_sets(editor, finding), primary=False)
        if finding.clips and st.button("Open in Samples", key=f"open-{key}", icon=":material/queue_music:"):
            st.query_params.from_dict({"dataset": dataset.id, "section": "samples", "finding": key})
            st.rerun()
        if st.button("It is in order", key=f"keep-{key}", icon=":material/check:"):
            workspace().store.versions.keep(dataset.id, key, owner())
            st.query_params.pop("look", None)
            st.rerun()


def _act(dataset: Dataset, label: str, key: str, change: Callable[[Editor], object], *, primary: bool) -> None:
    if st.button(label, key=key, type="primary" if primary else "secondary"):
        with error_boundary():
            change(workspace().edit(dataset.id, by=owner(), base=dataset.version))
            st.rerun()


def _group_sets(editor: Editor, finding: Finding) -> None:
    """Give the clips of each set the source of its first one, so that a split keeps them together."""
    sources = {clip.id: clip.source for clip in workspace().store.datasets.clips(editor.dataset.id)}
    wanted = {clip: sources[cluster[0]] for cluster in finding.clusters for clip in cluster}
    editor.regroup(wanted, f"grouped {words.plural(len(finding.clusters), 'set')} of the same sound by source")


def _sets(dataset: Dataset, key: str, finding: Finding) -> None:
    page = _page(key, len(finding.clusters), SETS_PER_PAGE)
    shown = finding.clusters[page * SETS_PER_PAGE : (page + 1) * SETS_PER_PAGE]
    for number, cluster in enumerate(shown, start=page * SETS_PER_PAGE):
        clips = workspace().store.datasets.clips(dataset.id, ids=cluster)
        st.caption(f"Set {number + 1:,} of {len(finding.clusters):,}")
        player_list([_sound(clip, finding) for clip in clips], key=f"set-{key}-{number}")
        labels = sorted({SEPARATOR.join(clip.class_labels) for clip in clips if clip.label})
        with st.container(horizontal=True):
            if len(labels) > 1:
                for label in labels[:6]:
                    _relabel(dataset, f"All are {label}", f"label-{key}-{number}-{label}", cluster, label)
            if len(clips) > 1:
                copies = [clip.id for clip in clips[1:] if clip.id is not None]
                _exclude(dataset, "Keep the first only", f"first-{key}-{number}", copies)
            both = [clip.id for clip in clips if clip.id is not None]
            _exclude(dataset, "Exclude all of these", f"all-{key}-{number}", both)


def _relabel(dataset: Dataset, label: str, key: str, clips: Sequence[int], name: str) -> None:
    _act(dataset, label, key, lambda editor: editor.relabel(clips, name), primary=False)


def _exclude(dataset: Dataset, label: str, key: str, clips: Sequence[int]) -> None:
    _act(dataset, label, key, lambda editor: editor.exclude(clips), primary=False)


def _clips(dataset: Dataset, key: str, finding: Finding) -> None:
    page = _page(key, len(finding.clips), CLIPS_PER_PAGE)
    ids = finding.clips[page * CLIPS_PER_PAGE : (page + 1) * CLIPS_PER_PAGE]
    clips = {clip.id: clip for clip in workspace().store.datasets.clips(dataset.id, ids=ids)}
    ordered = [clips[clip_id] for clip_id in ids if clip_id in clips]
    player_list([_sound(clip, finding) for clip in ordered if clip.file], key=f"clips-{key}-{page}")
    parts.facts(
        {clip.name: f"{clip.shown_label}, {finding.evidence_of(clip.id or 0)}" for clip in ordered if not clip.file}
    )


def _sound(clip: Clip, finding: Finding) -> Sound:
    assert clip.id is not None
    split = _SPLIT_WORDS.get(clip.split, clip.split)
    # The reason is what somebody looks for here: it is never cut, and stays on a narrow screen.
    return Sound(
        clip_url(clip.id), clip.name, (clip.shown_label, split, clip.source), reason=finding.evidence_of(clip.id)
    )


def _subjects(finding: Finding) -> None:
    evidence = dict(zip(finding.subjects, finding.evidence, strict=False))
    parts.facts({subject: evidence.get(subject, "") or "–" for subject in finding.subjects[:SUBJECTS_SHOWN]})
    if len(finding.subjects) > SUBJECTS_SHOWN:
        st.caption(f"The first {SUBJECTS_SHOWN} of {len(finding.subjects):,}.")


def _page(key: str, total: int, per_page: int) -> int:
    num_pages = -(-total // per_page)
    return st.pagination(num_pages, key=f"page-{key}-{num_pages}") - 1 if num_pages > 1 else 0


# -- the rest of the report ----------------------------------------------------------------------


def _kept(dataset: Dataset, found: Review) -> None:
    if not found.kept:
        return
    authors = workspace().store.versions.kept(dataset.id)
    with st.expander(f"Found to be in order ({len(found.kept)})"):
        for key, finding in found.kept.items():
            with st.container(horizontal=True, vertical_alignment="center"):
                by = f" · {parts.safe(authors[key])}" if authors.get(key) else ""
                st.markdown(f"{parts.safe(finding.title)}{by}", width="stretch")
                if st.button("Open again", key=f"unkeep-{key}"):
                    workspace().store.versions.unkeep(dataset.id, key)
                    st.rerun()
