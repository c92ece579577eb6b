"""Sort the files of a batch into class folders: seen first, done after, taken back with one click."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.inference.sorting import DEFAULT_PATTERN, FIELDS, journals, undo
from samplemind_core.server import batch_url
from samplemind_core.store import Batch, Task
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, owner, workspace
from samplemind_core.ui.task_progress import task_progress

if TYPE_CHECKING:
    from samplemind_core.batches.sort_task import Preview


def sorting(batch: Batch) -> None:
    """Draw the choice of names and confidence, a preview, and what does it."""
    from samplemind_core.batches.sort_task import ZIP, submit, zip_path

    parts.section("Sort into folders")
    st.caption(
        "Copies, named by class; by the surest one where a file has several labels. Your own files are only read, "
        "nothing is ever overwritten."
    )
    folders = workspace().settings.server_folders
    ways = {"zip": "A zip to download"} | ({"folder": "A folder of this machine"} if folders else {})
    with st.container(border=True):
        way = st.segmented_control(
            "Where to", list(ways), format_func=lambda name: ways[name], default="zip", required=True, key="sort-way"
        )
        destination: Path | None = None
        if way == "folder":
            text = st.text_input("Path of the folder", key="sort-path", placeholder="/samples/sorted")
            destination = Path(text.strip()) if text.strip() else None
        left, right = st.columns(2)
        with left:
            pattern = st.text_input(
                "Name of a copy",
                DEFAULT_PATTERN,
                key="sort-pattern",
                help="Without the ending. " + " · ".join(f"`{{{name}}}` {what}" for name, what in FIELDS.items()),
            )
        with right:
            sure = st.slider("Only where at least this sure (%)", 0, 100, 50, key="sort-sure")
        if way == "folder" and destination is None:
            st.caption("Name a folder to see what would go where.")
            return
        seen = _foreseen(batch, destination, pattern.strip(), sure / 100)
        by_class = ", ".join(f"{parts.safe(name)} {count:,}" for name, count in seen.by_class.items()) or "none"
        st.markdown(
            f"**{words.plural(seen.num_copies, 'file')}** would be copied, {words.size(seen.num_bytes)}: {by_class}"
        )
        if seen.num_left:
            why = ", ".join(f"{reason.lower()} {count:,}" for reason, count in seen.left.items())
            st.caption(f"{words.plural(seen.num_left, 'file')} would stay: {why}.")
        if seen.examples:
            with st.expander("Names of some copies"):
                st.code("\n".join(seen.examples), language=None)
        label = "Make the zip" if way == "zip" else "Copy the files"
        if st.button(
            label, type="primary", icon=":material/drive_file_move:", key="sort-start", disabled=not seen.num_copies
        ):
            task = submit(
                workspace(), batch, destination, pattern=pattern.strip(), min_confidence=sure / 100, owner=owner()
            )
            st.session_state[f"sort-task-{batch.id}"] = task.id
            st.rerun()
    running = st.session_state.get(f"sort-task-{batch.id}")
    if running:
        task_progress(running, on_done=_done)
    if zip_path(workspace(), batch.id).exists():
        st.link_button("Download the zip", batch_url(batch.id, ZIP), icon=":material/download:", key="sort-zip")
    if destination is not None and destination.expanduser().is_dir() and not _being_sorted_into(destination):
        taking_back(batch, destination.expanduser())


def _foreseen(batch: Batch, destination: Path | None, pattern: str, min_confidence: float) -> Preview:
    """Return what sorting would do; planned again only when something that decides it has changed.

    A plan asks for the size of every file: with ten thousand of them that is too much for every click on the page.
    """
    from samplemind_core.batches.sort_task import plan, preview

    try:
        # Sorting and taking it back both write into the folder itself, not only below it.
        changed = None if destination is None else destination.expanduser().stat().st_mtime_ns
    except OSError:
        changed = None
    answered = workspace().store.answers.count(batch.id)
    asked = (batch.id, answered, str(destination), changed, pattern, min_confidence)
    if st.session_state.get("sort-foreseen-for") != asked:
        found = plan(workspace(), batch, destination, pattern=pattern, min_confidence=min_confidence)
        st.session_state["sort-foreseen"] = preview(found)
        st.session_state["sort-foreseen-for"] = asked
    seen: Preview = st.session_state["sort-foreseen"]
    return seen


def _being_sorted_into(destination: Path) -> bool:
    """Return whether a sorting into a folder is under way: what it still copies could not be taken back."""
    where = str(destination.expanduser().resolve())
    tasks = workspace().tasks.all(kind="sort", statuses=("queued", "running"))
    return any(task.params["destination"] == where for task in tasks)


def taking_back(batch: Batch, destination: Path) -> None:
    """Draw the button that removes the copies of the newest sorting into a folder, and what came of it."""
    undone = st.session_state.pop(f"sort-undone-{batch.id}", None)
    if undone is not None:
        st.success(f"{words.plural(undone.done, 'copy')} removed.", icon=":material/undo:")
        if undone.left:
            parts.facts(dict(undone.left))
    if journals(destination) and st.button("Take the last sorting back", icon=":material/undo:", key="sort-undo"):
        with error_boundary():
            st.session_state[f"sort-undone-{batch.id}"] = undo(destination)
            # What was copied is no longer there: the line that says so goes with it.
            st.session_state.pop(f"sort-task-{batch.id}", None)
            st.rerun()


def _done(task: Task) -> None:
    result = task.result or {}
    where = f" into {parts.safe(result['destination'])}" if result.get("destination") else ""
    st.markdown(
        f"**{words.plural(result.get('files', 0), 'file')}** copied{where}; {result.get('left', 0):,} stayed.",
        width="stretch",
    )
