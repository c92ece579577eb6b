"""Examples of augmentation: made as in training, and honest about what is played."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samplemind_core.audio.features import LogMel
from samplemind_core.config import AUGMENT_PRESETS, RunConfig, build_config
from samplemind_core.training.examples import NUM_EXAMPLES, augmented_examples

SMALL = {"n_mels": 32, "duration_s": 0.4}
RATE = 22_050


def hit() -> np.ndarray:
    time = np.arange(RATE // 4) / RATE
    return (0.3 * np.sin(2 * np.pi * 700 * time) * np.exp(-time / 0.05)).astype(np.float32)


def config_with(**changes: object) -> RunConfig:
    return build_config("tutorial", SMALL | changes)


def test_nothing_changed_is_played_as_it_is() -> None:
    config = config_with()
    examples = augmented_examples(hit(), config)
    assert len(examples) == 1 + NUM_EXAMPLES
    for one in examples:
        assert one.exact
        np.testing.assert_array_equal(one.log_mel, examples[0].log_mel)
        assert one.waveform.shape == (config.features.num_samples,)
        assert np.abs(one.waveform).max() == pytest.approx(0.7, rel=1e-5)


def test_changed_pictures_are_made_audible_and_said_to_be() -> None:
    config = config_with().model_copy(update={"augment": AUGMENT_PRESETS["strong"].config})
    first, *changed = augmented_examples(hit(), config)
    assert first.exact
    assert first.title == "As it is"
    for one in changed:
        assert not one.exact
        assert one.log_mel.shape == config.features.shape[1:]
        assert np.abs(one.log_mel - first.log_mel).max() > 1
        assert np.isfinite(one.waveform).all()
    again = augmented_examples(hit(), config)
    np.testing.assert_array_equal(again[3].log_mel, changed[2].log_mel)
    assert not np.array_equal(augmented_examples(hit(), config, seed=1)[3].log_mel, changed[2].log_mel)


def test_variants_are_heard_as_they_are() -> None:
    config = config_with(variants=16, wave_drive_db=20.0, wave_pitch_semitones=4.0, wave_layer_db=6.0)
    examples = augmented_examples(hit(), config, count=8)
    variants = [one for one in examples if "variant" in one.title]
    assert len(variants) >= 5
    for one in variants:
        assert one.exact
        picture = LogMel(config.features)(torch.from_numpy(one.waveform[None]))[0, 0].numpy()
        assert np.abs(picture - one.log_mel).max() < 0.1
        assert np.abs(one.log_mel - examples[0].log_mel).max() > 1
