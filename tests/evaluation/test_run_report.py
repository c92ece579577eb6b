"""A run's page opens without a network, shows names as text, and says what is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import CheckpointError, DataError
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.run_report import gather, run_report
from samplemind_core.store import Dataset, Epoch, Run
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint

EVIL = "<script>alert(1)</script>"
HEALTH = {"verdict": "overfitting", "title": "Overfitting", "reason": "Validation got worse since epoch 2."}


def a_run(**changes: Any) -> Run:
    config = build_config("quick", {"lr": 0.02}).model_dump(mode="json")
    values = {"id": "r1", "name": f"drums {EVIL}", "dataset_id": "d1", "status": "finished", "config": config}
    values |= {"owner": "ada", "created_at": 0.0, "queued_at": 0.0, "started_at": 60.0, "best_epoch": 2}
    values |= {"num_parameters": 123_456, "notes": f"note {EVIL}", "device": "cpu", "end_reason": "All done."}
    return Run(**values | changes)


def dataset(**changes: Any) -> Dataset:
    return Dataset("d1", "kits", "audio", ("kick", "snare"), 60, 0, "f" * 64, "a folder", 0, 0.0, **changes)


def epochs(num: int = 3) -> list[Epoch]:
    return [Epoch(i, 1.0 / i, 1.1 / i, 0.5, 0.4, 0.001, 2.0, 100.0, HEALTH) for i in range(1, num + 1)]


def judged(split: str) -> Judged:
    targets = np.array([0, 1] * 10)
    logits = np.where(np.arange(20) < 15, 4.0, -4.0)[:, None] * np.eye(2)[targets]
    return Judged(logits.astype(np.float32), targets, np.arange(20), np.array(["p"] * 20), ("kick", "snare"))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    info = CheckpointInfo(class_names=("kick", "snare"), config=build_config("quick"), epoch=2, metrics={}, dataset={},
                          num_parameters=1, temperature=1.25, versions={"torch": "9.9"})  # fmt: skip
    save_checkpoint(tmp_path / "best.safetensors", {}, info)
    return tmp_path / "best.safetensors"


def body(page: str) -> str:
    return page.split("</head>")[1]


def test_everything_known_stands_on_the_page(checkpoint: Path) -> None:
    page = run_report(gather(a_run(tags=("keep",)), dataset(), epochs(), checkpoint, judged))
    said = body(page)
    assert EVIL not in said
    assert "note &lt;script&gt;" in said
    assert not re.findall(r'(?:src|href)="http', said)
    assert page.count("Plotly.newPlot") >= 4
    for words in (
        "Overfitting: Validation got worse since epoch 2.",
        "Test accuracy",
        "75.0 % (95 % interval",
        "2 of 3",
        "By class, on 20 test clips",
        "Confusions",
        "The preset Quick, with these changes.",
        "<td>train.lr</td><td>0.004</td><td>0.02</td>",
        "Version of torch",
        "123,456",
        "keep",
        "f" * 64,
    ):
        assert words in said, words
    assert said.count('role="img" aria-label="') == said.count("<figure")


def test_without_test_clips_validation_is_shown_and_said(checkpoint: Path) -> None:
    def only_val(split: str) -> Judged:
        if split == "test":
            raise DataError("There are no test clips.", "Split anew.")
        return judged(split)

    said = body(run_report(gather(a_run(), dataset(), epochs(), checkpoint, only_val)))
    assert "There are no test clips." in said
    assert "By class, on 20 validation clips" in said
    assert "Test accuracy" not in said


def test_a_run_that_never_got_anywhere_has_a_page_too(tmp_path: Path) -> None:
    queued = a_run(status="failed", best_epoch=None, started_at=None, end_reason=None, num_parameters=None)
    said = body(run_report(gather(queued, dataset(synthetic=True), [], None, judged)))
    assert "no checkpoint" in said
    assert "synthetic" in said
    assert "Confusions" not in said
    said = body(run_report(gather(a_run(), dataset(), epochs(), tmp_path / "gone.safetensors", judged)))
    assert "no checkpoint" in said
    assert "Learning rate" in said


def test_nothing_can_be_judged_is_said_once_for_each_split(checkpoint: Path) -> None:
    def never(split: str) -> Judged:
        raise CheckpointError(f"Nothing for {split}.")

    said = body(run_report(gather(a_run(), dataset(), epochs(), checkpoint, never)))
    assert "Nothing for test." in said
    assert "Nothing for val." in said
