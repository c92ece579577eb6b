"""Windows that start at the onset: what they start at, and that silence before a sound makes no difference."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from samplemind_core.audio.window import crop_window, fit_window, onset
from samplemind_core.config import PRESETS, USUAL_FEATURES, FeatureConfig, RunConfig, build_config, fingerprint
from samplemind_core.data.dataset import fitted
from samplemind_core.inference.windows import analyse
from samplemind_core.store.records import Dataset

RATE = 8_000
ALIGNED = FeatureConfig(sample_rate_hz=RATE, duration_s=0.5, n_fft=256, hop_length=64, n_mels=16, align="onset")
PLAIN = ALIGNED.model_copy(update={"align": "none"})
BEFORE = 40  # samples in 5 ms
SIZE = ALIGNED.num_samples


def hit(seconds: float = 0.2, silence_s: float = 0.0, level: float = 0.8) -> NDArray[np.float32]:
    time = np.arange(round(seconds * RATE)) / RATE
    sound = level * np.cos(2 * np.pi * 500 * time) * np.exp(-time / (0.3 * seconds))
    return np.concatenate([np.zeros(round(silence_s * RATE)), sound]).astype(np.float32)


@pytest.mark.parametrize("silence_s", [0.0, 0.003, 0.1, 0.25, 0.5, 3.0])
@pytest.mark.parametrize("crop", ["loudest", "start"])
@pytest.mark.parametrize("seconds", [0.05, 0.3, 0.5, 0.9])
def test_a_window_starts_five_ms_before_the_sound(silence_s: float, crop: str, seconds: float) -> None:
    config = ALIGNED.model_copy(update={"crop": crop})
    window, start = fit_window(hit(seconds, silence_s), config)
    lead = round(silence_s * RATE)
    assert start == max(0, lead - BEFORE)
    sound = hit(seconds)[: SIZE - (lead - start)]
    np.testing.assert_array_equal(window[lead - start : lead - start + len(sound)], sound)
    assert not window[: lead - start].any()
    assert not window[lead - start + len(sound) :].any()


@given(
    st.integers(BEFORE, 4 * SIZE),
    st.integers(1, 2 * SIZE),
    st.floats(1e-4, 1.0),
    st.integers(0, 2**31),
)
def test_more_silence_changes_no_sample(silence: int, length: int, level: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    sound = (level * rng.standard_normal(length) * np.exp(-np.arange(length) / 400)).astype(np.float32)
    first = fit_window(np.concatenate([np.zeros(BEFORE, np.float32), sound]), ALIGNED)[0]
    later = fit_window(np.concatenate([np.zeros(silence, np.float32), sound]), ALIGNED)[0]
    np.testing.assert_array_equal(first, later)


def test_level_makes_no_difference_and_quiet_noise_is_no_onset() -> None:
    rng = np.random.default_rng(0)
    sound = hit(0.2, 0.3)
    noisy = sound + (0.8 * 10 ** (-50 / 20) * rng.uniform(-1, 1, len(sound))).astype(np.float32)
    for clip in (sound, 1e-3 * sound, noisy):
        assert fit_window(clip, ALIGNED)[1] == round(0.3 * RATE) - BEFORE
    hum = sound + np.float32(0.8 * 10 ** (-30 / 20))
    assert fit_window(hum, ALIGNED)[1] == 0


def test_silence_and_clicks() -> None:
    assert onset(np.zeros(10, np.float32), RATE) == 0
    assert onset(np.zeros(0, np.float32), RATE) == 0
    assert fit_window(np.zeros(10), ALIGNED)[1] == 0
    click = np.zeros(3 * SIZE, np.float32)
    click[-1] = 1.0
    window, start = fit_window(click, ALIGNED)
    assert start == 3 * SIZE - 1 - BEFORE
    assert window[BEFORE] == 1.0
    part, again = crop_window(click, ALIGNED)
    assert (len(part), again) == (BEFORE + 1, start)


def test_a_long_clip_keeps_its_loudest_part() -> None:
    clip = np.concatenate([hit(0.3, 0.2, level=0.1), np.zeros(4 * SIZE, np.float32), hit(0.3, level=0.9)])
    _, start = fit_window(clip, ALIGNED)
    assert start == len(clip) - len(hit(0.3)) - BEFORE
    _, start = fit_window(clip, ALIGNED.model_copy(update={"crop": "start"}))
    assert start == len(clip) - len(hit(0.3)) - BEFORE or start == round(0.2 * RATE) - BEFORE


def test_none_is_as_it_was() -> None:
    clip = hit(0.3, 0.2)
    window, start = fit_window(clip, PLAIN)
    assert start == 0
    np.testing.assert_array_equal(window[: len(clip)], clip[:SIZE])
    long = hit(0.3, 1.0)
    energy = np.concatenate(([0.0], np.cumsum(np.square(long, dtype=np.float64))))
    assert fit_window(long, PLAIN)[1] == int(np.argmax(energy[SIZE:] - energy[:-SIZE] >= energy[-1] * (1 - 1e-12)))


def test_what_is_stored_without_the_setting_is_found_again_and_not_aligned() -> None:
    stored = {name: value for name, value in FeatureConfig().model_dump().items() if name != "align"}
    assert FeatureConfig.model_validate(stored).align == "none"
    assert RunConfig.model_validate({"features": stored}).features == FeatureConfig()
    assert fingerprint(FeatureConfig()) != fingerprint(FeatureConfig(align="onset"))
    assert PRESETS["tutorial"].config.features.align == "none"
    assert USUAL_FEATURES.align == "onset"


def test_ready_made_spectrograms_stay_as_they_are() -> None:
    def dataset(kind: str) -> Dataset:
        stored = FeatureConfig().model_dump(mode="json")
        return Dataset("d", "d", kind, ("a", "b"), 9, 0, "", "", 0, 0.0, features=stored)  # type: ignore[arg-type]

    quick = build_config("quick")
    assert fitted(quick, dataset("audio"), 10_000) is quick
    ready = fitted(quick, dataset("features"), 10_000)
    assert ready.features == FeatureConfig()
    assert ready.model_copy(update={"features": quick.features}) == quick


class Listener:
    """Stands for a classifier: remembers the windows it is given."""

    can_refuse = False
    thresholds = None
    answer_names = ("a", "b")

    def __init__(self, features: FeatureConfig) -> None:
        self.info = SimpleNamespace(features=features)
        self.windows: list[NDArray[np.float32]] = []

    def scores(self, windows: NDArray[np.float32]) -> NDArray[np.float64]:
        self.windows += list(windows)
        return np.full((len(windows), 2), 0.5)


@pytest.mark.parametrize("way", ["hits", "steps"])
def test_windows_of_a_long_file_start_at_their_sounds(way: Any) -> None:
    clip = np.concatenate([hit(0.2, 0.3), np.zeros(RATE, np.float32), hit(0.2)])
    for config in (ALIGNED, PLAIN):
        listener = Listener(config)
        analyse(listener, clip, way)  # type: ignore[arg-type]
        starts = [int(np.abs(window).argmax()) for window in listener.windows if np.abs(window).max() > 0.7]
        assert starts
        if config.align == "onset":
            assert max(starts) <= BEFORE + 1
        elif way == "steps":
            assert max(starts) > BEFORE + 1


def test_import_prepares_what_quick_needs(workspace: Any, bursts: Any) -> None:
    from samplemind_core.data.cache import cache_file

    dataset: Dataset = workspace.import_dataset(bursts(per_class=3, sources=3), name="sounds")
    file: Path = cache_file(workspace.root, dataset.id, PRESETS["quick"].config.features)
    assert file.exists()
