from __future__ import annotations

import numpy as np
import pytest
import torch

from samplemind_core.config import TrainConfig
from samplemind_core.errors import DataError
from samplemind_core.learn.gradient import PLACES, Probe, best_weight, descent, update
from samplemind_core.learn.sounds import NUM_TRAIN_KITS, demo_sounds, read_sounds
from samplemind_core.learn.student import Student

TRAIN = TrainConfig(epochs=8, batch_size=8, lr=1e-3, schedule="constant")


@pytest.fixture(scope="module")
def sounds():
    return demo_sounds(num_train=48, num_val=16)


def kit(name: str) -> int:
    return int(name.rsplit(" ", 1)[1])


def test_kits_never_straddle_the_split(sounds):
    assert {kit(sounds.names[row]) <= NUM_TRAIN_KITS for row in sounds.train_rows} == {True}
    assert {kit(sounds.names[row]) > NUM_TRAIN_KITS for row in sounds.val_rows} == {True}
    assert np.bincount(sounds.targets[sounds.train_rows]).tolist() == [24, 24]
    assert sounds.log_mel.shape == (64, *sounds.features.shape)


def test_a_student_learns_kicks_from_hats_within_a_lesson(sounds):
    student = Student(sounds, TRAIN)
    first = student.val_loss
    while student.step():
        pass
    assert len(student.lessons) == student.num_steps == 48
    assert student.num_right >= 15
    assert student.val_loss < 0.5 * first
    assert student.probs.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert not student.step()


def test_the_same_lesson_gives_the_same_numbers_and_leaves_the_generator_alone(sounds):
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    one, two = Student(sounds, TRAIN), Student(sounds, TRAIN)
    for _ in range(3):
        one.step()
    for _ in range(3):
        two.step()
    assert one.lessons == two.lessons
    assert torch.equal(before, torch.random.get_rng_state())


def test_a_burst_lesson_ends_before_the_weights_are_damaged(sounds):
    student = Student(sounds, TRAIN.model_copy(update={"optimizer": "sgd"}))
    steps = 0
    while student.step(lr=10.0 ** min(9, steps)) and steps < 40:
        steps += 1
    assert student.over
    assert student.burst
    assert all(torch.isfinite(weight).all() for weight in student.model.parameters())


def test_own_sounds_are_read_and_an_empty_split_is_refused(bursts):
    root = bursts(per_class=4)
    files = [(path, path.parent.name, "train") for path in sorted(root.rglob("*.wav"))]
    own = read_sounds([*files[:-1], (files[-1][0], files[-1][1], "val")], ("high", "low"))
    assert len(own.train_rows) == 7
    with pytest.raises(DataError, match="val"):
        read_sounds(files, ("high", "low"))


@pytest.mark.parametrize("place", PLACES)
def test_a_small_nudge_agrees_with_autograd_and_leaves_the_weight(sounds, place):
    student = Student(sounds, TRAIN)
    for _ in range(5):
        student.step()
    probe = Probe(student, place)
    # Both ways, as the loss is curved; a little, as it has kinks.
    assert np.mean([probe.slope(3e-4), probe.slope(-3e-4)]) == pytest.approx(probe.gradient, rel=0.05, abs=5e-4)
    assert probe.loss() == probe.start
    weights, losses = probe.sweep(1.0, 5)
    assert losses[2] == probe.start
    assert weights[2] == probe.value
    assert set(probe.layers()) == {"First", "Block 1", "Block 2", "Block 3", "Answer"}
    assert all(length > 0 for length in probe.layers().values())


def test_the_update_that_tutorials_show():
    done = update(0.5, 1e-3)
    assert done.gradient == pytest.approx(2.0)
    assert done.new == pytest.approx(0.498)


def test_gradients_that_pile_up_swing_and_cleared_ones_settle():
    settled, swinging = descent(True, 0.05), descent(False, 0.05)
    assert settled[-1] == pytest.approx(best_weight(), abs=1e-3)
    assert max(abs(weight - best_weight()) for weight in swinging[-20:]) > 0.2
    assert settled[1] == swinging[1]
