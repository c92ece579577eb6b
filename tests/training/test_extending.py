"""A finished run that goes on for more epochs: its learning rate, its exactness, and when it may."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from samplemind_core.config import RunConfig, apply_changes, build_config, flatten
from samplemind_core.errors import ConfigError, JobError
from samplemind_core.settings import Settings
from samplemind_core.store import Clip, Dataset, Run, Store
from samplemind_core.training import control
from samplemind_core.training.schedule import planned_lr, scheduled_lr
from samplemind_core.training.trainer import Trainer
from tests.training.helpers import Memory, measured, tiny_config, tiny_data


def longer(config: RunConfig, epochs: int, *marks: int) -> RunConfig:
    return apply_changes(config, {"epochs": epochs}).model_copy(update={"extended_at": marks})


# -- the learning rate ---------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["onecycle", "cosine", "plateau", "constant"])
def test_what_was_planned_is_not_changed_by_an_extension(schedule: str) -> None:
    config = build_config("quick", {"epochs": 6, "schedule": schedule, "lr": 0.01, "warmup_epochs": 2})
    extended = longer(config, 10, 6, 8)
    before = [scheduled_lr(config.train, step, 6 * 5) for step in range(6 * 5)]
    assert [planned_lr(config, step, 5) for step in range(6 * 5)] == before
    assert [planned_lr(extended, step, 5) for step in range(6 * 5)] == before


@pytest.mark.parametrize(("schedule", "end"), [("onecycle", 0.01 / 2500), ("cosine", 0.0)])
def test_each_extension_is_a_tail_of_its_own(schedule: str, end: float) -> None:
    config = longer(build_config("quick", {"epochs": 6, "schedule": schedule, "lr": 0.01}), 10, 6, 8)
    for begin in (6, 8):
        rates = [planned_lr(config, step, 5) for step in range(begin * 5, (begin + 2) * 5)]
        assert rates[0] == pytest.approx(0.001)
        assert rates[-1] == pytest.approx(end, abs=1e-12)
        assert rates == sorted(rates, reverse=True)
        assert rates[4] > rates[5]  # falls within the epoch and over its border alike


@pytest.mark.parametrize("schedule", ["plateau", "constant"])
def test_other_schedules_go_on(schedule: str) -> None:
    config = longer(build_config("quick", {"epochs": 6, "schedule": schedule, "lr": 0.01}), 10, 6)
    assert {planned_lr(config, step, 5) for step in range(50)} == {0.01}


def test_an_extension_is_no_setting() -> None:
    config = longer(build_config("quick"), 30, 20)
    assert config.planned_epochs == 20
    assert "extended_at" not in flatten(config)
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


# -- training on ---------------------------------------------------------------------------------


def train(config: RunConfig, folder: Path, stop_when: Callable[[Memory], bool] | None = None) -> Memory:
    memory = Memory(stop_when)
    trainer = Trainer(config, tiny_data(config), folder, memory)
    if (folder / "last.safetensors").exists():
        trainer.restore(folder / "last.safetensors")
    memory.outcome = trainer.fit()  # type: ignore[attr-defined]
    return memory


@pytest.mark.parametrize(
    "changes", [{}, {"average": "swa", "schedule": "cosine"}, {"schedule": "plateau", "plateau_patience": 0}]
)
def test_an_extended_run_equals_one_that_was_never_cut(tmp_path: Path, changes: dict[str, Any]) -> None:
    config = tiny_config(**({"epochs": 2} | changes))
    extended = longer(config, 4, 2)
    whole = train(extended, tmp_path / "whole")
    train(config, tmp_path / "parts")
    steps = []

    def in_the_middle(memory: Memory) -> bool:
        steps.append(memory)
        return len(steps) > 8  # some steps into the extension

    stopped = train(extended, tmp_path / "parts", in_the_middle)
    assert stopped.outcome.status == "stopped"  # type: ignore[attr-defined]
    rest = train(extended, tmp_path / "parts")
    assert [epoch.epoch for epoch in (*stopped.epochs, *rest.epochs)] == [3, 4]
    assert [measured(epoch) for epoch in (*stopped.epochs, *rest.epochs)] == [measured(row) for row in whole.epochs[2:]]
    ours, theirs = (load_file(tmp_path / name / "last.safetensors") for name in ("parts", "whole"))
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_an_extension_has_its_own_patience(tmp_path: Path) -> None:
    config = tiny_config(epochs=9, early_stopping_patience=1, lr=1e-9, schedule="constant", ema_decay=0)
    first = train(config, tmp_path)
    done = first.epochs[-1].epoch
    assert done < 9
    more = train(longer(config, done + 2, done), tmp_path)
    assert more.epochs[0].epoch == done + 1
    assert math.isfinite(more.epochs[-1].val_loss)


# -- the queue -----------------------------------------------------------------------------------


@pytest.fixture
def finished(store: Store, tmp_path: Path) -> Callable[..., Run]:
    """Store a finished run of 20 epochs with its last checkpoint."""
    dataset = Dataset("d1", "drums", "audio", ("kick", "snare"), 0, 0, "f", "a test", 0, 1.0)
    clips: list[Clip] = []
    store.datasets.add(dataset, clips)

    def make(status: str = "finished", file: bool = True, **changes: Any) -> Run:
        config = build_config("quick", changes).model_dump(mode="json")
        run = store.runs.add(Run("r1", "first", "d1", status, config, "ada", 1.0, 1.0))  # type: ignore[arg-type]
        path = tmp_path / "runs" / "r1" / "last.safetensors"
        path.parent.mkdir(parents=True)
        if file:
            path.write_bytes(b"weights")
        values = {"kind": "last", "epoch": 14, "path": "runs/r1/last.safetensors", "val_loss": 1.0, "val_accuracy": 0.5}
        store.runs.put_checkpoint(run.id, values | {"num_bytes": 7})
        return run

    return make


def test_extending_queues_a_longer_run(store: Store, tmp_path: Path, finished: Callable[..., Run]) -> None:
    run = control.extend_run(store, Settings(workspace=tmp_path), finished(), 5, "ada")
    config = RunConfig.model_validate(run.config)
    assert (run.status, config.train.epochs, config.extended_at, run.progress["epochs"]) == ("queued", 19, (14,), 19)
    with pytest.raises(JobError, match="only a finished one"):
        control.extend_run(store, Settings(workspace=tmp_path), run, 5)


@pytest.mark.parametrize("status", ["stopped", "failed", "running"])
def test_only_a_finished_run_is_extended(
    store: Store, tmp_path: Path, finished: Callable[..., Run], status: str
) -> None:
    with pytest.raises(JobError, match=f"is {status}; only a finished one"):
        control.extend_run(store, Settings(workspace=tmp_path), finished(status), 5)


def test_an_extension_needs_weights_and_a_length_that_may_be(
    store: Store, tmp_path: Path, finished: Callable[..., Run]
) -> None:
    settings, run = Settings(workspace=tmp_path), finished(file=False)
    with pytest.raises(JobError, match="no last checkpoint"):
        control.extend_run(store, settings, run, 5)
    (tmp_path / "runs" / "r1" / "last.safetensors").write_bytes(b"weights")
    for epochs in (0, 10_000):
        with pytest.raises(ConfigError, match="epochs"):
            control.extend_run(store, settings, run, epochs if epochs else -14)
    assert store.runs.get("r1").status == "finished"
