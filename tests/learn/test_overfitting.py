from __future__ import annotations

import numpy as np
import pytest
import torch

from samplemind_core.charts.learn_overfitting import cure_figure
from samplemind_core.config import apply_changes
from samplemind_core.errors import ConfigError
from samplemind_core.learn.cures import CURES, curve_rows, lesson_config, lesson_data
from samplemind_core.learn.kits import UNSEEN_KIT, demo_clips
from samplemind_core.learn.practice import Practice
from samplemind_core.learn.quiz_curves import RUNS, quiz_curves
from samplemind_core.training import health


def trained(cures=(), **changes) -> Practice:
    run = Practice(apply_changes(lesson_config(cures), changes), lesson_data(cures))
    while run.advance():
        pass
    return run


def test_without_cures_thirty_clips_are_memorised():
    data = lesson_data(())
    assert len(data.train_rows) == 30
    run = trained(epochs=25)
    last = run.history[-1]
    assert last.health["probe_accuracy"] > 0.95
    assert last.val_accuracy < 0.9
    assert last.val_loss > 5 * last.health["probe_loss"]


def test_more_clips_help():
    few, more = trained(epochs=10), trained(("more",), epochs=10)
    assert len(lesson_data(("more",)).train_rows) > 4 * len(lesson_data(()).train_rows)
    assert more.history[-1].val_loss < few.history[-1].val_loss


def test_validation_kits_are_never_trained_on():
    clips = demo_clips(48)
    for cures in ((), ("more",)):
        data = lesson_data(cures)
        assert (clips.sources[data.train_rows] < UNSEEN_KIT).all()
        assert (clips.sources[data.val_rows] >= UNSEEN_KIT).all()


def test_every_cure_changes_the_run():
    plain = lesson_config(())
    assert all(lesson_config((name,)) != plain for name in CURES)
    with pytest.raises(ConfigError, match="no cure"):
        lesson_config(("prayer",))


def test_a_lesson_repeats_itself_and_leaves_no_trace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    first = trained(("dropout",), epochs=2)
    torch.rand(3)
    second = trained(("dropout",), epochs=2)
    assert curve_rows(first.history) == curve_rows(second.history)
    assert torch.get_num_threads() == threads
    torch.random.set_rng_state(state)
    assert list(tmp_path.iterdir()) == []
    assert "2 epochs" in first.ending
    assert not first.advance()


def test_steps_of_a_lesson_are_those_of_a_run(tmp_path):
    """Stopping after each step changes nothing: the same losses as in one go."""
    from samplemind_core.training.trainer import Trainer
    from tests.training.helpers import Memory

    run = trained(epochs=2)
    config = lesson_config((), epochs=2)
    config = apply_changes(config, {"device": "cpu", "precision": "float32"})
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trainer = Trainer(config, lesson_data(()), tmp_path, Memory(), "cpu")
        trainer.fit()
    finally:
        torch.set_num_threads(threads)
    whole = trainer.history
    assert [epoch.val_loss for epoch in run.history] == [epoch.val_loss for epoch in whole]
    assert [epoch.train_loss for epoch in run.history] == [epoch.train_loss for epoch in whole]


def test_early_stopping_ends_a_lesson():
    run = trained(("stop",), **{"train.early_stopping_patience": 1, "epochs": 40, "lr": 0.03})
    assert "Stopped early" in run.ending
    assert len(run.history) < 40


@pytest.mark.parametrize("place", range(len(RUNS)))
def test_the_quiz_shows_runs_whose_verdict_is_the_answer(place):
    curve = quiz_curves()[place]
    assert curve.verdict == list(RUNS)[place]
    data = lesson_data(RUNS[curve.verdict][0])
    clips = demo_clips(48)
    shares = np.bincount(clips.targets[data.val_rows]) / len(data.val_rows)
    points = [
        health.Point(int(r["epoch"]), r["train_loss"], r["train_accuracy"], r["val_loss"], 0.0, r["val_accuracy"])
        for r in curve.rows
    ]
    assert [point.epoch for point in points] == list(range(1, len(points) + 1))
    verdict = health.assess(
        points,
        num_probe=len(data.train_rows),
        num_val=len(data.val_rows),
        class_shares=shares.tolist(),
        total_epochs=len(points),
    )
    # Without the stored noise of the validation loss a rise counts sooner; a healthy run may then look worse.
    assert verdict.verdict == curve.verdict or curve.verdict == "healthy"


def test_the_figure_shows_the_try_before():
    rows = [
        {"epoch": n, "train_loss": 1 / n, "val_loss": 1.2 - 0.1 * n, "train_accuracy": 0.5, "val_accuracy": 0.5}
        for n in (1, 2, 3)
    ]
    chart = cure_figure(rows, [row | {"val_loss": 2.0} for row in rows], 40, "dark")
    assert "try before" in chart.layout.meta["alt"]
    assert chart.data[-1].y == (2.0, 2.0, 2.0)
    assert "first epoch" in cure_figure([], [], 40).layout.meta["alt"]
