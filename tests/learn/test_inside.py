from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from samplemind_core.charts.learn_inside import (
    MOST_TILES,
    change_figure,
    dropout_figure,
    filters_figure,
    maps_figure,
    weights_figure,
)
from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.errors import DataError
from samplemind_core.learn.inside import changes_when_later, dropout_probs, look_inside, small_network
from samplemind_core.learn.kits import demo_clips
from samplemind_core.models import MODELS, build_model

FEATURES = FeatureConfig(duration_s=0.75, n_mels=32)


@pytest.fixture(scope="module")
def clips():
    return demo_clips(48)


@pytest.mark.parametrize("name", ["samplemind_cnn", "tutorial_cnn"])
def test_looking_inside_shows_what_the_network_does(name, clips):
    torch.manual_seed(0)
    model = build_model(ModelConfig(name=name, width=0.25), 3, FEATURES).eval()
    log_mel = clips.log_mel[0, 0]
    inside = look_inside(model, log_mel)
    with torch.inference_mode():
        embedding = model.features(torch.from_numpy(log_mel)[None, None])
        probs = torch.softmax(model.head(embedding), 1)
    assert inside.embedding == pytest.approx(embedding[0].numpy(), abs=1e-5)
    assert inside.probs == pytest.approx(probs[0].numpy(), abs=1e-5)
    assert inside.layers[0].maps.shape == FEATURES.shape
    assert len(inside.layers) >= 4
    sizes = [layer.maps.shape[1] * layer.maps.shape[2] for layer in inside.layers]
    assert sizes == sorted(sizes, reverse=True)
    assert inside.filters.ndim == 3
    assert not any(module._forward_hooks for module in model.modules())


def test_every_registered_network_can_be_looked_into(clips):
    for name in MODELS:
        model = build_model(ModelConfig(name=name, width=0.25), 2, FEATURES).eval()
        assert look_inside(model, clips.log_mel[0, 0]).probs.sum() == pytest.approx(1, abs=1e-5)


def test_pooling_cares_less_about_when_than_the_picture_does(clips):
    network = small_network()
    waveform = clips.waveforms[3]
    later = np.concatenate([np.zeros(1_000, dtype=np.float32), waveform])[: len(waveform)]
    found = changes_when_later(network.model, np.stack([waveform, later]), FEATURES)
    assert found[0].title == "The picture"
    assert found[-1].change < 0.7 * found[0].change
    still = changes_when_later(network.model, np.stack([waveform, waveform]), FEATURES)
    assert max(change.change for change in still) == 0


def test_dropout_changes_answers_only_while_it_is_on(clips):
    model = small_network().model
    log_mel = clips.log_mel[1, 0]
    off = dropout_probs(model, log_mel, 0.0, times=5)
    assert (off == off[0]).all()
    assert off[0] == pytest.approx(look_inside(model, log_mel).probs, abs=1e-5)
    some, many = (dropout_probs(model, log_mel, rate, times=30).std() for rate in (0.1, 0.8))
    spread = [dropout_probs(model, log_mel, rate, times=30).std(axis=0).max() for rate in (0.1, 0.8)]
    assert spread[0] < spread[1]
    assert (some, many) == tuple(dropout_probs(model, log_mel, rate, times=30).std() for rate in (0.1, 0.8))
    assert not model.training


def test_weight_decay_makes_weights_smaller():
    without, with_decay = small_network(0.0), small_network(1.0)
    assert np.square(with_decay.weights()).sum() < 0.9 * np.square(without.weights()).sum()
    assert with_decay.history[-1].val_accuracy > 0.6


def test_figures_have_text_alternatives():
    rng = np.random.default_rng(0)
    assert "16 filters of 5 by 3" in filters_figure(rng.normal(size=(16, 5, 3)), "dark").layout.meta["alt"]
    chart = maps_figure(np.zeros((40, 4, 6)), "Block 1")
    assert f"{MOST_TILES} of 40 maps" in chart.layout.meta["alt"]
    assert len(chart.layout.shapes) == MOST_TILES
    assert "10 %" in change_figure(["The picture", "After pooling"], [0.5, 0.1]).layout.meta["alt"]
    probs = np.array([[0.2, 0.8], [0.6, 0.4]])
    assert "between 40 % and 80 %" in dropout_figure(probs, [0.3, 0.7], ["kick", "snare"]).layout.meta["alt"]
    assert "0.5" in weights_figure(rng.normal(size=100), 0.5 * rng.normal(size=10_000)).layout.meta["alt"]
    with pytest.raises(DataError, match="2 classes"):
        dropout_figure(probs, [1.0], ["kick", "snare"])
    with pytest.raises(DataError, match="tiles"):
        maps_figure(np.zeros((3, 0, 2)), "x")


def test_tiles_stand_in_reading_order():
    tiles = np.stack([np.full((2, 2), value) for value in (1.0, 2.0, 3.0, 4.0, 5.0)])
    z = filters_figure(tiles * np.array([[1, 1], [1, 0.5]])).data[0].z
    assert z.shape[1] == 4 * 2 + 3
    assert z[-1, 0] == 0.5 or z[-1, 1] == 0.5  # the tile's second row is its higher pitch, at the top
    assert math.isnan(z[0, -1])  # the fifth tile is alone in the lower row
