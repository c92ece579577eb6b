"""A task on a page: how far it is, Stop, Resume, why it failed, and Dismiss."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from samplemind_core.store import Task
from samplemind_core.workspace import Workspace


def page() -> None:
    from samplemind_core.ui.task_progress import task_progress

    task_progress("t1")


@pytest.fixture
def task(space: Workspace) -> Task:
    return space.store.tasks.add(Task("t1", "count", "Count *all*", {}, "queued", "", 1.0, 1.0))


def look() -> AppTest:
    return AppTest.from_function(page, default_timeout=20).run()


def test_a_queued_task_waits_and_is_stopped(space: Workspace, task: Task) -> None:
    app = look()
    assert "Waiting for its turn" in app.caption[0].value
    app.button(key="stop-t1").click().run()
    assert space.tasks.get("t1").status == "stopped"
    app.run()
    assert "was stopped" in app.markdown[0].value
    app.button(key="resume-t1").click().run()
    assert space.tasks.get("t1").status == "queued"


def test_a_running_task_shows_how_far_and_how_long(space: Workspace, task: Task) -> None:
    space.store.tasks.claim({"host": "elsewhere"})
    progress = {"done": 1500, "total": 6000, "what": "Reading samples", "eta_s": 65.0}
    space.store.tasks.heartbeat("t1", {"host": "elsewhere"}, progress)
    app = look()
    assert app.caption[0].value == "Reading samples · 1,500 of 6,000 · 1 min 5 s to go"
    app.button(key="stop-t1").click().run()
    assert any(item.value == "Stopping" for item in app.caption)


def test_a_failed_task_says_why_and_is_dismissed(space: Workspace, task: Task) -> None:
    claimed = space.store.tasks.claim({"host": "elsewhere"})
    assert claimed is not None
    space.store.tasks.end(claimed, "failed", error={"problem": "No [room].", "advice": "Make some.", "detail": "boom"})
    app = look()
    assert not app.exception
    assert "No \\[room\\].\n\nMake some." in app.error[0].value
    assert app.code[0].value == "boom"
    app.button(key="dismiss-t1").click().run()
    assert space.tasks.find("t1") is None
    assert not app.markdown


def test_a_finished_task_says_so(space: Workspace, task: Task) -> None:
    claimed = space.store.tasks.claim({"host": "elsewhere"})
    assert claimed is not None
    space.store.tasks.end(claimed, "done", result={})
    assert "is done" in look().markdown[0].value
