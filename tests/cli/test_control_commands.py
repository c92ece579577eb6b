"""What is done to a run from the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from samplemind_core import cli
from samplemind_core.config import RunConfig
from samplemind_core.settings import Settings
from samplemind_core.store import Dataset
from samplemind_core.workspace import Workspace

Call = Callable[..., Result]


@pytest.fixture
def space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace with one queued run, that the command line opens."""
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(tmp_path))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    workspace = Workspace(Settings(workspace=tmp_path, worker="external"))
    workspace.store.datasets.add(Dataset("d", "drums", "audio", ("a", "b"), 0, 0, "f", "test", 0, 1.0), [])
    workspace.submit("drums", RunConfig(), name="first")
    return workspace


def call(*arguments: str) -> dict[str, Any]:
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    answer: dict[str, Any] = json.loads(result.stdout)
    assert (result.exit_code == 0) is ("run" in answer), result.output
    return answer


def test_a_run_is_paused_and_resumed(space: Workspace) -> None:
    paused = call("stop", "first", "--pause")["run"]
    assert (paused["status"], paused["paused"]) == ("stopped", True)
    assert call("resume", "first")["run"]["status"] == "queued"
    assert "already" in call("resume", "first")["error"] or "queued" in call("resume", "first")["error"]


def test_a_run_is_described(space: Workspace) -> None:
    run = call("describe", "first", "--name", "better", "--tags", "a, b", "--notes", "It learns.")["run"]
    assert (run["name"], run["tags"], run["notes"]) == ("better", ["a", "b"], "It learns.")
    assert call("describe", "better", "--notes", "")["run"]["notes"] == ""


def test_a_run_is_deleted_and_restored(space: Workspace) -> None:
    assert call("delete", "first")["run"]["deleted_at"]
    assert space.runs() == []
    assert call("restore", "first")["run"]["deleted_at"] is None
    assert "not deleted" in call("restore", "first")["error"]


def test_only_a_finished_run_is_extended(space: Workspace) -> None:
    assert "only a finished one" in call("extend", "first", "--epochs", "3")["error"]


def test_people_get_a_sentence(space: Workspace) -> None:
    result = CliRunner().invoke(cli.app, ["delete", "first"])
    assert result.stdout.strip() == "first can be restored for 168 hours."
