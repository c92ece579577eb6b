from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from helpers import Memory, measured, tiny_config, tiny_data
from safetensors.torch import load_file

from samplemind_core.errors import CheckpointError, NonFiniteLossError, StorageError, TrainingError
from samplemind_core.training import trainer as trainer_module
from samplemind_core.training.checkpoints import load_model, read_info
from samplemind_core.training.device import pick_precision
from samplemind_core.training.trainer import Trainer


def fit(folder: Path, config=None, data=None, memory: Memory | None = None):
    config = config or tiny_config()
    memory = memory or Memory()
    trainer = Trainer(config, data or tiny_data(config), folder, memory)
    return trainer.fit(), memory, trainer


def test_a_run_learns_and_leaves_its_best_checkpoint(tmp_path: Path) -> None:
    config = tiny_config(epochs=14)
    outcome, memory, _ = fit(tmp_path, config)
    assert outcome.status == "finished"
    assert [epoch.epoch for epoch in memory.epochs] == list(range(1, 15))
    best = min(memory.epochs, key=lambda epoch: epoch.val_loss)
    assert outcome.best_epoch == best.epoch
    assert best.val_accuracy > 0.9
    info = read_info(tmp_path / "best.safetensors")
    assert info.epoch == best.epoch
    assert info.metrics["val_loss"] == best.val_loss
    assert info.class_names == ("class 0", "class 1", "class 2")
    assert ("last", 14) in memory.checkpoints


def test_the_best_checkpoint_gives_the_validation_loss_it_was_chosen_for(tmp_path: Path) -> None:
    config = tiny_config()
    data = tiny_data(config)
    outcome, _memory, _ = fit(tmp_path, config, data)
    model, info = load_model(tmp_path / "best.safetensors")
    log_mel = torch.from_numpy(data.log_mel[data.val_rows]).float()
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(log_mel), torch.from_numpy(data.targets[data.val_rows]))
    assert loss.item() == pytest.approx(info.metrics["val_loss"], abs=1e-5)
    assert outcome.best_epoch == info.epoch


def test_losses_are_averaged_over_clips_not_batches(tmp_path: Path) -> None:
    # 48 training clips in batches of 32: the second holds 16 and must weigh half as much.
    config = tiny_config("tutorial", dropout=0, batch_size=32, epochs=1, lr=1e-12, n_mels=32)
    data = tiny_data(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    losses = []
    model, step = trainer.model, trainer.train_step

    def watched(log_mel, targets):
        with torch.no_grad():
            losses.extend(
                torch.nn.functional.cross_entropy(model(log_mel), targets, reduction="none").double().tolist()
            )
        step(log_mel, targets)

    trainer.train_step = watched
    trainer.fit()
    assert len(losses) == 48
    epoch = trainer.history[0]
    assert epoch.train_loss == pytest.approx(np.mean(losses), abs=1e-4)
    assert epoch.train_loss != pytest.approx((np.mean(losses[:32]) + np.mean(losses[32:])) / 2, abs=1e-6)


def test_a_clip_that_is_left_alone_at_the_end_of_an_epoch_is_learnt_too(tmp_path: Path) -> None:
    # The maps of this network shrink to one point: batch norm refuses to measure one clip of them.
    config = tiny_config(duration_s=0.3, batch_size=47, epochs=1, mixup_alpha=0.2)
    data = tiny_data(config)
    assert len(data.train_rows) == 48
    trainer = Trainer(config, data, tmp_path, Memory())
    seen = []
    step = trainer.train_step
    trainer.train_step = lambda log_mel, targets: (seen.append(len(targets)), step(log_mel, targets))
    trainer.fit()
    assert seen == [47, 1]
    assert 0 <= trainer.history[0].train_accuracy <= 1
    alone = Trainer(config, data, tmp_path / "alone", Memory())
    alone.model.train()
    alone.train_step(*alone.feed.batch(torch.from_numpy(data.train_rows[:1])))
    assert alone.totals.clips == 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"preset": "tutorial", "n_mels": 32},
        {"optimizer": "sgd", "lr": 0.05, "average": "none"},
        {"optimizer": "rmsprop", "lr": 1e-3, "schedule": "cosine", "warmup_epochs": 1},
        {"average": "swa", "swa_share": 0.75, "monitor": "val_macro_f1"},
        {"class_balance": "sampler", "monitor": "val_accuracy"},
        {"class_balance": "weights", "average": "none", "deterministic": True},
        {"members": 2, "mixup_alpha": 0.3},
    ],
    ids=["quick", "tutorial", "sgd", "rmsprop", "swa", "sampler", "weights", "ensemble"],
)
@pytest.mark.parametrize("break_at", [(1, 2), (2, 0), (3, 4)])
def test_going_on_equals_never_having_stopped(tmp_path: Path, changes: dict, break_at: tuple[int, int]) -> None:
    changes = dict(changes)
    config = tiny_config(changes.pop("preset", "quick"), **changes)
    data = tiny_data(config)
    _, undisturbed, _ = fit(tmp_path / "whole", config, data)

    steps_before = (break_at[0] - 1) * 6 + break_at[1]
    stopped = Memory(lambda memory: len(memory.progress) == steps_before)
    outcome, _, _ = fit(tmp_path / "parts", config, data, stopped)
    assert outcome.status == "stopped"
    resumed = Memory()
    trainer = Trainer(config, data, tmp_path / "parts", resumed)
    trainer.restore(tmp_path / "parts" / "last.safetensors")
    assert trainer.fit().status == "finished"

    assert [measured(epoch) for epoch in stopped.epochs + resumed.epochs] == [
        measured(epoch) for epoch in undisturbed.epochs
    ]
    assert resumed.resumed is not None
    assert [epoch.epoch for epoch in resumed.resumed] == [epoch.epoch for epoch in stopped.epochs]
    for name in ("best", "last"):
        whole = load_file(tmp_path / "whole" / f"{name}.safetensors")
        parts = load_file(tmp_path / "parts" / f"{name}.safetensors")
        assert whole.keys() == parts.keys()
        for key, tensor in whole.items():
            assert torch.equal(tensor, parts[key]), key


def test_the_same_seed_gives_the_same_run_and_another_does_not(tmp_path: Path) -> None:
    _, first, _ = fit(tmp_path / "a")
    _, second, _ = fit(tmp_path / "b")
    _, other, _ = fit(tmp_path / "c", tiny_config(seed=1))
    assert [measured(epoch) for epoch in first.epochs] == [measured(epoch) for epoch in second.epochs]
    assert first.epochs[-1].train_loss != other.epochs[-1].train_loss


def test_training_leaves_the_callers_random_numbers_alone(tmp_path: Path) -> None:
    config = tiny_config(epochs=1)
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory())
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    trainer.fit()
    assert torch.equal(torch.rand(3), expected)


def test_streaming_from_the_map_equals_training_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, resident, trainer = fit(tmp_path / "a")
    assert trainer.feed.resident
    monkeypatch.setattr("samplemind_core.training.feed.fits", lambda num_bytes, device: False)
    config = tiny_config()
    data = tiny_data(config)
    path = tmp_path / "map.npy"
    np.save(path, data.log_mel)
    mapped = replace(data, log_mel=np.load(path, mmap_mode="r"))
    _, streamed, trainer = fit(tmp_path / "b", config, mapped)
    assert not trainer.feed.resident
    assert [measured(epoch) for epoch in resident.epochs] == [measured(epoch) for epoch in streamed.epochs]


def test_a_non_finite_loss_stops_before_the_weights_are_touched(tmp_path: Path) -> None:
    config = tiny_config(epochs=3)
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory())
    forward, calls = trainer._forward, []

    def broken(model, log_mel):
        calls.append(1)
        logits = forward(model, log_mel)
        return logits * math.inf if len(calls) == 3 else logits

    trainer._forward = broken
    before = []
    step = trainer.train_step

    def remembering(log_mel, targets):
        before.append({name: value.clone() for name, value in trainer.model.named_parameters()})
        step(log_mel, targets)

    trainer.train_step = remembering
    with pytest.raises(NonFiniteLossError, match=r"epoch 1, step 3.*ten times smaller"):
        trainer.fit()
    for name, value in trainer.model.named_parameters():
        assert torch.equal(value, before[-1][name])


def test_weights_that_a_slope_has_thrown_off_are_never_saved(tmp_path: Path) -> None:
    config = tiny_config(epochs=3)
    data = tiny_data(config)
    stop = Memory(lambda memory: len(memory.progress) == 3)
    trainer = Trainer(config, data, tmp_path, stop)
    trainer.fit()
    whole = (tmp_path / "last.safetensors").read_bytes()

    # The loss of the next step is a number, its gradient is not, and then somebody asks the run to stop.
    again = Trainer(config, data, tmp_path, Memory(lambda memory: len(memory.progress) == 1))
    again.restore(tmp_path / "last.safetensors")
    step = again.optimizer.step

    def thrown_off() -> None:
        step()
        torch.nn.init.constant_(again.model.head.weight, math.nan)

    again.optimizer.step = thrown_off
    with pytest.raises(NonFiniteLossError, match="became nan in epoch 1, step 5"):
        again.fit()
    assert (tmp_path / "last.safetensors").read_bytes() == whole


def test_early_stopping_ends_a_run_that_no_longer_improves(tmp_path: Path) -> None:
    config = tiny_config(
        "tutorial", n_mels=32, epochs=30, lr=1e-12, early_stopping_patience=2, early_stopping_after=4, dropout=0
    )
    # With a vanishing rate nothing improves but the batch statistics, and those settle.
    outcome, memory, trainer = fit(tmp_path, config)
    last, best = memory.epochs[-1].epoch, outcome.best_epoch
    assert outcome.status == "finished"
    assert 4 < last < 30
    assert last - best >= 2
    assert "Stopped early" in outcome.reason
    assert trainer.history[best - 1].val_loss == min(epoch.val_loss for epoch in memory.epochs)


def test_plateau_lowers_the_rate_and_says_so(tmp_path: Path) -> None:
    config = tiny_config(
        "tutorial", n_mels=32, epochs=12, lr=1e-12, plateau_patience=1, early_stopping_patience=None, dropout=0
    )
    _, memory, _ = fit(tmp_path, config)
    rates = [epoch.lr for epoch in memory.epochs]
    assert rates[-1] < rates[0]
    assert all(after in (pytest.approx(before), pytest.approx(before / 2)) for before, after in pairwise(rates))
    assert memory.events
    assert memory.events[0][0] == "lr"


def test_kept_epochs_and_their_names(tmp_path: Path) -> None:
    _, memory, _ = fit(tmp_path, tiny_config(save_every=2))
    assert {(kind, epoch) for kind, epoch in memory.checkpoints if kind == "epoch"} == {("epoch", 2), ("epoch", 4)}
    assert read_info(tmp_path / "epoch-0002.safetensors").epoch == 2


def test_a_full_disk_is_an_error_with_advice_and_the_old_checkpoint_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, trainer = fit(tmp_path)
    before = (tmp_path / "last.safetensors").read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        trainer.save_last()
    assert (tmp_path / "last.safetensors").read_bytes() == before
    assert not list(tmp_path.glob(".*.part"))


def test_another_runs_checkpoint_is_refused(tmp_path: Path) -> None:
    config = tiny_config()
    fit(tmp_path, config)
    last = tmp_path / "last.safetensors"
    other = tiny_config(dropout=0.1)
    with pytest.raises(CheckpointError, match="does not belong to this run"):
        Trainer(other, tiny_data(other), tmp_path, Memory()).restore(last)
    data = tiny_data(config)
    elsewhere = replace(data, description=data.description | {"fingerprint": "other"})
    with pytest.raises(CheckpointError, match="does not belong"):
        Trainer(config, elsewhere, tmp_path, Memory()).restore(last)
    with pytest.raises(CheckpointError, match="does not belong"):
        Trainer(config, data, tmp_path, Memory()).restore(tmp_path / "best.safetensors")


def test_impossible_data_is_refused_before_training(tmp_path: Path) -> None:
    config = tiny_config()
    data = tiny_data(config)
    with pytest.raises(TrainingError, match="validation split has no clips"):
        Trainer(config, replace(data, val_rows=np.array([], dtype=np.int64)), tmp_path, Memory())
    with pytest.raises(TrainingError, match="shape"):
        Trainer(tiny_config(n_mels=24), data, tmp_path, Memory())


def test_progress_counts_steps_and_estimates_the_rest(tmp_path: Path) -> None:
    _, memory, _ = fit(tmp_path, tiny_config(epochs=2))
    assert [(row["epoch"], row["step"]) for row in memory.progress] == [(e, s) for e in (1, 2) for s in range(1, 7)]
    assert memory.progress[-1]["eta_s"] == 0
    assert all(row["eta_s"] >= 0 and row["clips_per_s"] > 0 for row in memory.progress)


def test_health_compares_like_with_like(tmp_path: Path) -> None:
    config = tiny_config(mixup_alpha=1.0, dropout=0.5, epochs=6)
    _, memory, _ = fit(tmp_path, config)
    last = memory.epochs[-1]
    # Mixup and dropout raise the running loss; the probe, in evaluation mode, shows what was learned.
    assert last.health["probe_loss"] < last.train_loss
    assert last.health["verdict"] in {"healthy", "overfitting", "underfitting", "not_learning"}
    assert last.health["reason"]


def test_losses_of_a_tiny_run_are_those_on_record(tmp_path: Path) -> None:
    """Guards against silent drift. To renew: run this test and copy the values it prints."""
    _, memory, _ = fit(tmp_path, tiny_config(epochs=6, average="none", mixup_alpha=0, precision="float32"))
    found = [round(epoch.val_loss, 4) for epoch in memory.epochs]
    print(found)
    assert found == pytest.approx(RECORDED_VAL_LOSSES, abs=5e-3)


RECORDED_VAL_LOSSES = [1.1233, 1.1407, 1.1023, 0.8172, 0.6031, 0.4799]


def test_saves_now_and_then_inside_long_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "SAVE_LAST_EVERY_S", -1.0)
    seen = []
    config = tiny_config(epochs=1)
    trainer = Trainer(config, tiny_data(config), tmp_path, Memory(lambda memory: seen.append(_step(tmp_path)) or False))
    trainer.fit()
    assert [step for step in seen if step is not None] == [1, 2, 3, 4, 5]


def _step(folder: Path) -> int | None:
    path = folder / "last.safetensors"
    return read_info(path).state["step"] if path.exists() else None


@pytest.mark.parametrize(("generation", "expected"), [(7, torch.float32), (8, torch.bfloat16), (9, torch.bfloat16)])
def test_only_gpus_with_bfloat16_of_their_own_use_it_unasked(
    monkeypatch: pytest.MonkeyPatch, generation: int, expected: torch.dtype
) -> None:
    asked = []

    def properties(device: torch.device) -> SimpleNamespace:
        asked.append(device)
        return SimpleNamespace(major=generation)

    monkeypatch.setattr(torch.cuda, "get_device_properties", properties)
    monkeypatch.setattr(torch.version, "hip", None)
    second = torch.device("cuda:1")
    assert pick_precision("auto", second) == expected
    assert asked == [second]
    assert pick_precision("bfloat16", second) == torch.bfloat16
