from __future__ import annotations

import pytest
import torch

from samplemind_core.charts.learn_batches import cloud_figure
from samplemind_core.config import TrainConfig
from samplemind_core.learn.batches import Batches
from samplemind_core.learn.sounds import demo_sounds
from samplemind_core.learn.student import Student


@pytest.fixture(scope="module")
def batches():
    student = Student(demo_sounds(num_train=64, num_val=4), TrainConfig(epochs=1, batch_size=8, lr=1e-3))
    for _ in range(3):
        student.step()
    before = {name: value.clone() for name, value in student.model.state_dict().items()}
    found = Batches(student)
    found.cloud(4)
    assert all(torch.equal(value, before[name]) for name, value in student.model.state_dict().items())
    return found


def test_a_batch_of_all_sounds_asks_for_the_exact_step(batches):
    cloud = batches.cloud(64)
    assert cloud.agreement == pytest.approx(1.0, abs=1e-4)
    assert cloud.along == pytest.approx(1.0, abs=5e-3)
    assert cloud.across == pytest.approx(0.0, abs=5e-3)
    assert cloud.steps_per_epoch == 1


def test_larger_batches_agree_more_take_fewer_steps_and_more_memory(batches):
    small, large = batches.cloud(4), batches.cloud(32)
    assert small.agreement < large.agreement < 1
    assert small.across.std() > large.across.std()
    assert (small.steps_per_epoch, large.steps_per_epoch) == (16, 2)
    # What is kept grows with the batch, apart from a few numbers of each layer.
    assert large.activation_bytes == pytest.approx(8 * small.activation_bytes, rel=0.1)


def test_the_figure_says_what_it_shows(batches):
    cloud = batches.cloud(8)
    chart = cloud_figure(cloud.along, cloud.across, (-1, 2, 3), 8, "dark")
    assert "batches of 8" in chart.layout.meta["alt"]
    chart.to_json()
