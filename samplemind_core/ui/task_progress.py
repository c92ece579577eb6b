"""Background tasks on a page, live: how far, how long still, Stop and Resume, and why one failed.

A task goes on when its viewer leaves; whoever comes back sees it where it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import streamlit as st

from samplemind_core.errors import SampleMindError
from samplemind_core.store import Task
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import error_boundary, show_error, workspace

OnDone = Callable[[Task], None]


def task_progress(task_id: str, *, on_done: OnDone | None = None) -> None:
    """Draw one task; nothing if it was dismissed.

    Parameters
    ----------
    task_id : str
    on_done : callable, optional
        Draws what to do with a finished task, such as a button that leads to its result. A line
        that says it is ready is drawn otherwise.
    """

    def find() -> list[Task]:
        found = workspace().tasks.find(task_id)
        return [] if found is None else [found]

    live_tasks(find, key=f"task-{task_id}", on_done=on_done)


def live_tasks(find: Callable[[], Sequence[Task]], *, key: str, on_done: OnDone | None = None) -> None:
    """Draw the tasks that ``find`` returns, every second anew while one is under way.

    The page runs anew when a task appears, ends or goes, so that it can show what came of it.

    Parameters
    ----------
    find : callable
        Returns the tasks to draw.
    key : str
        Unique on the page.
    on_done : callable, optional
        As for :func:`task_progress`.
    """
    workspace().tend()
    current = find()
    st.session_state[key] = _state(current)

    def draw() -> None:
        tasks = find()
        if _state(tasks) != st.session_state.get(key):
            st.rerun()
        for task in tasks:
            with st.container(border=True), error_boundary():
                _draw(task, on_done)

    # Without a task of one's own there is no hurry to notice somebody else's.
    st.fragment(draw, run_every=1 if any(task.active for task in current) else 5)()


def progress_line(task: Task) -> str:
    """Return how far a task is as one line: what, how many, and the time to go."""
    if task.status == "queued":
        return "Waiting for its turn"
    done, total = task.progress.get("done", 0), task.progress.get("total")
    line = str(task.progress.get("what") or "Starting")
    if total:
        line += f" · {done:,} of {total:,}"
    elif done:
        line += f" · {done:,}"
    eta_s = task.progress.get("eta_s")
    return line if eta_s is None else f"{line} · {words.duration(eta_s)} to go"


def _state(tasks: Sequence[Task]) -> list[tuple[str, str]]:
    return [(task.id, task.status) for task in tasks]


def _draw(task: Task, on_done: OnDone | None) -> None:
    if task.active:
        _active(task)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if task.status == "done":
            if on_done is None:
                took = words.duration((task.ended_at or 0.0) - (task.started_at or 0.0))
                st.markdown(f"**{parts.safe(task.title)}** is done, after {took}.", width="stretch")
            else:
                on_done(task)
        else:
            word = {"stopped": "was stopped", "interrupted": "was interrupted"}.get(task.status, "failed")
            st.markdown(f"**{parts.safe(task.title)}** {word}", width="stretch")
            if st.button("Resume", icon=":material/play_arrow:", key=f"resume-{task.id}"):
                workspace().tasks.resume(task.id)
                st.rerun()
        if st.button("Dismiss", key=f"dismiss-{task.id}"):
            workspace().tasks.dismiss(task.id)
            st.rerun()
    if task.error:
        show_error(SampleMindError(task.error.get("problem", ""), task.error.get("advice", "")))
        if task.error.get("detail"):
            parts.details(task.error["detail"])
    elif task.status == "stopped":
        st.caption("What is finished so far is kept; Resume goes on from there.")


def _active(task: Task) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{parts.safe(task.title)}**", width="stretch")
        if task.stop_requested:
            st.caption("Stopping", width="content")
        elif st.button("Stop", icon=":material/stop:", key=f"stop-{task.id}"):
            workspace().tasks.stop(task.id)
            st.rerun()
    total = task.progress.get("total")
    if task.status == "running" and total:
        st.progress(min(1.0, task.progress.get("done", 0) / total))
    st.caption(parts.safe(progress_line(task)))
