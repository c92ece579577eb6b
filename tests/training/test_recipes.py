from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Memory, measured, tiny_config, tiny_data
from sklearn.metrics import f1_score

from samplemind_core.config import TrainConfig
from samplemind_core.training.averaging import add_to_mean, measure_batch_norms
from samplemind_core.training.balance import balanced_draw, class_weights
from samplemind_core.training.checkpoints import load_model, read_info
from samplemind_core.training.device import deterministic
from samplemind_core.training.monitor import macro_f1, rank
from samplemind_core.training.predictions import compute_logits
from samplemind_core.training.schedule import scheduled_lr
from samplemind_core.training.trainer import Trainer


def fit(folder: Path, config, data=None):
    memory = Memory()
    trainer = Trainer(config, data or tiny_data(config), folder, memory)
    return trainer.fit(), memory, trainer


def unbalanced(config, kept=(20, 6, 2)):
    """Return tiny data whose training clips are of unequal number."""
    data = tiny_data(config, per_class=40)
    rows = [data.train_rows[data.targets[data.train_rows] == index][:count] for index, count in enumerate(kept)]
    return replace(data, train_rows=np.sort(np.concatenate(rows)))


# -- classes of unequal size ---------------------------------------------------------------------


def test_class_weights_are_inverse_to_counts_and_average_one_over_clips() -> None:
    targets = torch.tensor([0] * 8 + [1] * 2 + [3] * 2)
    weights = class_weights(targets, 4)
    assert weights[2] == 0
    torch.testing.assert_close(weights[targets].mean(), torch.tensor(1.0))
    torch.testing.assert_close(weights[1] / weights[0], torch.tensor(4.0))


def test_a_balanced_draw_gives_every_class_its_share_and_no_clip_more_than_its_turn() -> None:
    targets = torch.tensor([0] * 50 + [1] * 7 + [2] * 3)[torch.randperm(60)]
    generator = torch.Generator().manual_seed(0)
    drawn = balanced_draw(targets, generator)
    assert torch.bincount(targets[drawn]).tolist() == [20, 20, 20]
    times = torch.bincount(drawn, minlength=60)
    assert times[targets == 0].max() == 1
    assert set(times[targets == 1].tolist()) <= {2, 3}
    assert set(times[targets == 2].tolist()) <= {6, 7}
    assert not torch.equal(drawn, balanced_draw(targets, generator))
    assert torch.bincount(targets[balanced_draw(targets[:58], generator)]).sum() == 58


def test_a_balanced_draw_leaves_no_class_with_clips_behind_its_rest() -> None:
    targets = torch.tensor([0, 0, 0, 0, 0, 2, 2])  # three and four in turn, whoever is lucky
    seen = {
        tuple(torch.bincount(targets[balanced_draw(targets, torch.Generator().manual_seed(seed))]).tolist())
        for seed in range(20)
    }
    assert seen == {(3, 0, 4), (4, 0, 3)}


def test_the_sampler_feeds_rare_classes_as_often(tmp_path: Path) -> None:
    config = tiny_config(class_balance="sampler", epochs=1)
    data = unbalanced(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    rows = trainer.order(1)
    assert len(rows) == len(data.train_rows)
    counts = np.bincount(data.targets[rows.numpy()])
    assert counts.max() - counts.min() <= 1
    assert set(rows.tolist()) <= set(data.train_rows.tolist())


def test_class_weights_enter_the_loss_and_only_there(tmp_path: Path) -> None:
    config = tiny_config(class_balance="weights", label_smoothing=0.1)
    data = unbalanced(config)
    trainer = Trainer(config, data, tmp_path, Memory())
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 2])
    soft = torch.nn.functional.one_hot(targets, 3).float() * 0.9 + 0.1 / 3
    weights = class_weights(torch.from_numpy(data.targets[data.train_rows]), 3)
    expected = -(soft * weights * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(trainer.objective.loss(logits, targets, 0.1), expected)
    # The same from blended labels.
    torch.testing.assert_close(
        trainer.objective.loss(logits, torch.nn.functional.one_hot(targets, 3).float(), 0.1), expected
    )


# -- averages of weights -------------------------------------------------------------------------


def test_the_mean_of_epochs_is_their_mean() -> None:
    torch.manual_seed(0)
    mean = torch.nn.Linear(3, 2)
    epochs = [torch.nn.Linear(3, 2) for _ in range(4)]
    for number, epoch in enumerate(epochs):
        add_to_mean(mean, epoch, number)
    torch.testing.assert_close(mean.weight, torch.stack([epoch.weight for epoch in epochs]).mean(0))


def test_batch_norms_are_measured_as_one_pass_over_everything_would() -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.BatchNorm2d(3))
    batches = [torch.randn(8, 3, 4, 4) * 2 + 1 for _ in range(5)]
    measure_batch_norms(net, lambda model, batch: model(batch), batches)
    everything = torch.cat(batches)
    norm = net[1]
    torch.testing.assert_close(norm.running_mean, everything.mean((0, 2, 3)), atol=1e-5, rtol=0)
    assert norm.momentum == 0.1
    assert not net.training
    assert not norm.training


def test_swa_is_the_mean_of_the_last_epochs_with_its_own_batch_norms(tmp_path: Path) -> None:
    config = tiny_config(average="swa", swa_share=0.5, epochs=4)
    data = tiny_data(config)
    seen = []
    trainer = Trainer(config, data, tmp_path, Memory())
    end = trainer._end_epoch

    def watching():
        seen.append([weight.detach().clone() for weight in trainer.model.parameters()])
        return end()

    trainer._end_epoch = watching
    trainer.fit()
    assert trainer.num_averaged == 2
    for mean, third, fourth in zip(trainer.averaged.parameters(), seen[2], seen[3], strict=True):
        torch.testing.assert_close(mean, (third + fourth) / 2)
    model, _ = load_model(tmp_path / "last.safetensors")
    log_mel = torch.from_numpy(data.log_mel[data.val_rows]).float()
    with torch.inference_mode():
        loss = torch.nn.functional.cross_entropy(model(log_mel), torch.from_numpy(data.targets[data.val_rows]))
    assert loss.item() == pytest.approx(trainer.history[-1].val_loss, abs=1e-5)


def test_before_its_share_begins_swa_judges_the_plain_weights(tmp_path: Path) -> None:
    _, averaged, _ = fit(tmp_path / "a", tiny_config(average="swa", swa_share=0.25))
    _, plain, _ = fit(tmp_path / "b", tiny_config(average="none"))
    assert [measured(epoch) for epoch in averaged.epochs[:3]] == [measured(epoch) for epoch in plain.epochs[:3]]
    assert averaged.epochs[3].val_loss != plain.epochs[3].val_loss
    assert averaged.epochs[3].train_loss == plain.epochs[3].train_loss


def test_configurations_from_before_the_choice_of_averages_mean_what_they_meant() -> None:
    assert TrainConfig.model_validate({"ema_decay": 0.995}).average == "ema"
    assert TrainConfig.model_validate({"ema_decay": 0.0}).average == "none"
    assert TrainConfig.model_validate({}).average == "none"
    assert TrainConfig.model_validate({"ema_decay": 0.9, "average": "none"}).average == "none"


# -- what is watched -----------------------------------------------------------------------------


def test_macro_f1_is_scikit_learns() -> None:
    generator = torch.Generator().manual_seed(0)
    for classes in (2, 3, 6):
        predicted = torch.randint(classes, (40,), generator=generator)
        targets = torch.randint(max(1, classes - 1), (40,), generator=generator)
        expected = f1_score(targets, predicted, average="macro", zero_division=0)
        assert macro_f1(predicted, targets, classes + 1) == pytest.approx(expected)


@pytest.mark.parametrize("monitor", ["val_loss", "val_accuracy", "val_macro_f1"])
def test_the_best_epoch_is_that_of_the_monitor(tmp_path: Path, monitor: str) -> None:
    outcome, memory, _ = fit(tmp_path, tiny_config(monitor=monitor, epochs=6))
    values = [rank(epoch, monitor) for epoch in memory.epochs]
    best = memory.epochs[values.index(max(values))]
    assert outcome.best_epoch == best.epoch
    info = read_info(tmp_path / "best.safetensors")
    assert info.epoch == best.epoch
    assert info.metrics["val_macro_f1"] == best.health["val_macro_f1"]
    assert monitor.removeprefix("val_").replace("macro_f1", "macro-F1") in outcome.reason


def test_equal_accuracy_is_decided_by_the_loss(tmp_path: Path) -> None:
    _, memory, _ = fit(tmp_path, tiny_config(epochs=1))
    first = replace(memory.epochs[0], val_accuracy=0.9, val_loss=0.5)
    assert rank(replace(first, val_loss=0.4), "val_accuracy") > rank(first, "val_accuracy")
    assert rank(replace(first, val_loss=0.4, val_accuracy=0.8), "val_accuracy") < rank(first, "val_accuracy")


# -- schedule, repeatability ---------------------------------------------------------------------


def test_cosine_rises_in_a_straight_line_then_falls_to_nothing() -> None:
    config = TrainConfig(schedule="cosine", lr=1.0, epochs=10, warmup_epochs=2)
    rates = [scheduled_lr(config, step, 100) for step in range(100)]
    rises = np.diff(rates[:21])
    assert np.allclose(rises, rises[0])
    assert rates[20] == 1.0 == max(rates)
    assert all(np.diff(rates[20:]) < 0)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    plain = TrainConfig(schedule="cosine", lr=1.0, epochs=10)
    assert scheduled_lr(plain, 0, 100) == 1.0
    whole = TrainConfig(schedule="cosine", lr=1.0, epochs=2, warmup_epochs=50)
    assert 0 < scheduled_lr(whole, 0, 4) < scheduled_lr(whole, 3, 4) <= 1.0


def test_deterministic_mode_is_on_inside_and_as_before_outside() -> None:
    before = torch.are_deterministic_algorithms_enabled()
    with deterministic(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
    assert torch.are_deterministic_algorithms_enabled() == before
    with deterministic(False):
        assert torch.are_deterministic_algorithms_enabled() == before


# -- several looks at a sound --------------------------------------------------------------------


def test_views_are_used_where_a_checkpoint_is_judged_and_where_it_is_loaded(tmp_path: Path) -> None:
    config = tiny_config(tta_views=3)
    data = tiny_data(config)
    _, several, trainer = fit(tmp_path / "a", config, data)
    _, once, _ = fit(tmp_path / "b", tiny_config(), data)
    assert [epoch.train_loss for epoch in several.epochs] == [epoch.train_loss for epoch in once.epochs]
    assert [epoch.val_loss for epoch in several.epochs] != [epoch.val_loss for epoch in once.epochs]
    model, info = load_model(tmp_path / "a" / "best.safetensors")
    assert model.views == 3
    logits = torch.from_numpy(compute_logits(tmp_path / "a" / "best.safetensors", data.log_mel, data.val_rows))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.targets[data.val_rows]))
    assert loss.item() == pytest.approx(info.metrics["val_loss"], abs=1e-5)
    assert trainer.history[info.epoch - 1].val_loss == info.metrics["val_loss"]


# -- several networks, and taking up again -------------------------------------------------------


@pytest.mark.parametrize("several", [False, True], ids=["one label", "several labels"])
def test_the_loss_of_an_ensemble_is_the_mean_of_its_members_losses(tmp_path: Path, several: bool) -> None:
    config = tiny_config(members=3, label_smoothing=0.1)
    data = tiny_data(config)
    if several:
        data = replace(data, targets=np.eye(3, dtype=np.int64)[data.targets])
    trainer = Trainer(config, data, tmp_path, Memory())
    logits = torch.randn(4, 3, 3)
    targets = torch.tensor([[1, 1, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]]) if several else torch.tensor([0, 1, 2, 2])
    each = [trainer.objective.loss(logits[:, member], targets, 0.1) for member in range(3)]
    torch.testing.assert_close(trainer._loss(logits, targets), torch.stack(each).mean())


def test_an_ensemble_is_judged_by_its_mean_in_its_run_and_when_it_is_loaded(tmp_path: Path) -> None:
    config = tiny_config(members=2, average="swa", swa_share=0.5, tta_views=2, epochs=2)
    data = tiny_data(config)
    _, memory, _ = fit(tmp_path, config, data)
    logits = torch.from_numpy(compute_logits(tmp_path / "last.safetensors", data.log_mel, data.val_rows))
    loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(data.targets[data.val_rows]))
    assert loss.item() == pytest.approx(memory.epochs[-1].val_loss, abs=1e-5)


def test_a_run_that_stopped_early_is_not_trained_on_when_it_is_taken_up_again(tmp_path: Path) -> None:
    config = tiny_config(
        "tutorial", n_mels=32, epochs=20, lr=1e-12, early_stopping_patience=2, early_stopping_after=2, dropout=0
    )
    assert "Stopped early" in fit(tmp_path, config)[0].reason
    again = Memory()
    trainer = Trainer(config, tiny_data(config), tmp_path, again)
    trainer.restore(tmp_path / "last.safetensors")
    assert "Stopped early" in trainer.fit().reason
    assert again.epochs == []
