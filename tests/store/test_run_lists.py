"""Many runs at once: curves, scores, filters, the table for a spreadsheet, and how many questions that takes."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.store import Curve, Epoch, Run, Store
from samplemind_core.training.predictions import Logits, accuracy, write_logits
from samplemind_core.training.run_list import (
    RunFilter,
    RunSummary,
    differing_settings,
    matching,
    runs_csv,
    summarise,
)

Make = Callable[..., Run]
MakeEpoch = Callable[..., Epoch]


@pytest.fixture
def machine(tmp_path: Path) -> Settings:
    return Settings(workspace=tmp_path / "workspace", worker="external")


def judged(store: Store, run: Run, values: dict[str, Any], *, kind: str = "best", epoch: int = 2) -> None:
    """Store a prediction of a checkpoint of the run."""
    checkpoint = store.runs.put_checkpoint(
        run.id,
        {
            "kind": kind,
            "epoch": 2,
            "path": f"runs/{run.id}/{kind}",
            "val_loss": 0.5,
            "val_accuracy": 0.7,
            "num_bytes": 1,
        },
    )
    fixed = {"checkpoint_id": checkpoint.id, "epoch": epoch, "dataset_id": run.dataset_id, "split": "test"}
    store.runs.put_prediction(fixed | {"path": f"{run.id}-{kind}.npz", "num_clips": 4} | values)


def test_curves_come_by_run_in_order(store: Store, make_run: Make, make_epoch: MakeEpoch) -> None:
    first, second, empty = make_run(), make_run(), make_run()
    for number in (2, 1, 3):
        store.runs.add_epoch(first.id, make_epoch(number, val_loss=1.0 / number, val_accuracy=number / 10, seconds=2.0))
    store.runs.add_epoch(second.id, make_epoch(1, val_loss=0.25, val_accuracy=0.5, seconds=1.5))
    found = store.run_lists.curves()
    assert found[first.id] == Curve((1, 2, 3), (1.0, 0.5, 1.0 / 3), (0.1, 0.2, 0.3), 6.0)
    assert found[second.id] == Curve((1,), (0.25,), (0.5,), 1.5)
    assert empty.id not in found
    assert store.run_lists.curves([second.id]) == {second.id: found[second.id]}


def test_only_the_best_checkpoint_on_its_own_test_split_counts(store: Store, make_run: Make) -> None:
    right, stale, last, val, elsewhere = (make_run() for _ in range(5))
    judged(store, right, {"accuracy": 0.75})
    judged(store, stale, {"accuracy": 0.1}, epoch=1)  # the best checkpoint is another one by now
    judged(store, last, {"accuracy": 0.2}, kind="last")
    judged(store, val, {"accuracy": 0.3, "split": "val"})
    assert store.run_lists.test_accuracies() == {right.id: 0.75}
    assert elsewhere.id not in store.run_lists.test_accuracies()


def test_scores_of_older_predictions_are_worked_out_once(store: Store, make_run: Make, machine: Settings) -> None:
    good, gone = make_run(), make_run()
    logits = np.eye(2, dtype=np.float32)[[0, 1, 1, 0, 0]]
    said = Logits(logits, np.array([0, 1, 0, 0, -1]), np.arange(5), ("kick", "snare"))
    write_logits(machine.root / f"{good.id}-best.npz", said)
    assert accuracy(said) == 0.75
    for run in (good, gone):
        judged(store, run, {})
    scores = {one.run.id: one.test_accuracy for one in summarise(store, machine)}
    assert scores == {good.id: 0.75, gone.id: None}
    assert list(store.run_lists.unmeasured().values()) == [f"{gone.id}-best.npz"]
    (machine.root / f"{good.id}-best.npz").unlink()
    assert {one.test_accuracy for one in summarise(store, machine)} == {0.75, None}


def test_as_many_questions_for_one_run_as_for_many(
    store: Store, make_run: Make, make_epoch: MakeEpoch, machine: Settings
) -> None:
    asked: list[str] = []
    engine = store._database.engine
    event.listen(engine, "before_cursor_execute", lambda conn, cursor, statement, *rest: asked.append(statement))
    counts = []
    for num in (1, 6):
        for _ in range(num):
            run = make_run()
            store.runs.add_epoch(run.id, make_epoch(1))
            judged(store, run, {"accuracy": 0.5})
        asked.clear()
        summarise(store, machine)
        counts.append(len([statement for statement in asked if statement.lstrip().upper().startswith("SELECT")]))
    assert counts[0] == counts[1] <= 6


def summary(name: str = "wide net", losses: tuple[float, ...] = (), **changes: Any) -> RunSummary:
    config = build_config("quick", changes.pop("settings", {})).model_dump(mode="json")
    values = {"id": name, "status": "finished", "config": config, "owner": "ada"} | changes
    test = values.pop("test", None)
    accuracies = tuple(0.5 + 0.1 * place for place in range(len(losses)))
    run = Run(**{"name": name, "dataset_id": "d1", "created_at": 0.0, "queued_at": 0.0} | values)
    return RunSummary(run, "drums", Curve(tuple(range(1, len(losses) + 1)), losses, accuracies, 3.0), test)


def test_the_headline_is_that_of_the_best_checkpoint() -> None:
    one = summary(losses=(1.0, 0.4, 0.6))
    assert (one.best_val_loss, one.best_val_accuracy, one.num_epochs) == (0.4, 0.6, 3)
    assert (summary().best_val_loss, summary().best_val_accuracy, summary().num_epochs) == (None, None, 0)
    assert summary(losses=(float("nan"), 0.7)).best_val_loss == 0.7
    assert summary(losses=(1.0, 0.4, 0.6), best_epoch=3).best_val_accuracy == 0.7


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        (RunFilter(), ["wide net", "small"]),
        (RunFilter(text="WIDE dru"), ["wide net"]),
        (RunFilter(text="wide nothing"), []),
        (RunFilter(text="louder"), ["small"]),
        (RunFilter(statuses=("failed",)), ["small"]),
        (RunFilter(owners=("ada",), statuses=("failed",)), []),
        (RunFilter(tags=("keep", "other")), ["small"]),
        (RunFilter(datasets=("drums",)), ["wide net", "small"]),
        (RunFilter(datasets=("voices",)), []),
    ],
)
def test_filters(wanted: RunFilter, names: list[str]) -> None:
    small = summary("small", status="failed", owner="bob", notes="Louder\nclips", tags=("keep",))
    assert [one.run.name for one in matching([summary(), small], wanted)] == names


def test_only_settings_that_differ_are_compared() -> None:
    runs = [summary(settings={"lr": 0.01}), summary(settings={"lr": 0.1, "early_stopping_patience": 3})]
    assert differing_settings(runs) == {"train.lr": [0.01, 0.1], "train.early_stopping_patience": [None, 3]}
    assert differing_settings(runs[:1]) == {}
    older = summary()
    del older.run.config["train"]["seed"]
    assert differing_settings([summary(), older]) == {"train.seed": [0, None]}


def test_the_table_for_a_spreadsheet_holds_everything_and_no_formula() -> None:
    one = summary("=1+1", losses=(0.5,), test=0.75, tags=("a", "b"), notes="x, y")
    rows = list(csv.DictReader(io.StringIO(runs_csv([one, summary("plain")]))))
    assert rows[0]["name"] == "'=1+1"
    assert rows[0]["notes"] == "x, y"
    assert (rows[0]["best_val_loss"], rows[0]["test_accuracy"], rows[0]["tags"]) == ("0.5", "0.75", "a b")
    assert rows[0]["train.lr"] == "0.004"
    assert (rows[1]["best_val_loss"], rows[1]["test_accuracy"]) == ("", "")
