"""Explanations against a network whose reasons are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from planted import EARLY, HIGH_HZ, LOW_HZ, planted, tones

from samplemind_core.audio.features import LogMel
from samplemind_core.charts.signals import mel_band_centres_hz
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import ConfigError, NotFoundError
from samplemind_core.inference.classifier import Classifier
from samplemind_core.inference.counterfactual import counterfactual
from samplemind_core.inference.explain import band_edges_hz, explain, hires_cam, log_odds
from samplemind_core.inference.masking import apply_gains, what_decided
from samplemind_core.models import build_model


def level_at(sound: np.ndarray, hz: float, rate_hz: int = 22_050) -> float:
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    middle = round(hz * len(sound) / rate_hz)
    return float(spectrum[middle - 2 : middle + 3].max())


def test_the_evidence_lies_where_it_was_planted() -> None:
    classifier, bands = planted()
    found = explain(classifier, tones())
    assert found.class_name == "low"
    assert found.prob == found.probs.max() > 0.6
    inside = np.zeros(found.evidence.shape, bool)
    inside[bands["low"], EARLY] = inside[bands["high"], EARLY] = True
    assert np.abs(found.evidence[~inside]).max() < 1e-6
    assert found.evidence[bands["low"], EARLY].sum() > 0 > found.evidence[bands["high"], EARLY].sum()
    # What speaks for one of two classes speaks against the other.
    other = explain(classifier, tones(), "high")
    assert np.allclose(other.evidence, -found.evidence, atol=1e-5)


def test_the_evidence_adds_up_to_the_score() -> None:
    classifier, _ = planted()
    found = explain(classifier, tones())
    assert found.missing < 0.02
    assert float(found.evidence.sum()) == pytest.approx(found.score - found.silence_score, rel=0.02)


@pytest.mark.parametrize("name", ["samplemind_cnn", "tutorial_cnn"])
def test_it_adds_up_for_real_networks_too(name) -> None:
    classifier, _ = planted()
    torch.manual_seed(0)
    config = classifier.info.config.model.model_copy(update={"name": name, "width": 0.5})
    classifier.model = build_model(config, 2, classifier.info.features).eval()
    before = [parameter.requires_grad for parameter in classifier.model.parameters()]
    found = explain(classifier, tones())
    assert found.missing < 0.05
    assert np.isfinite(found.evidence).all()
    silent = found.log_mel <= -classifier.info.features.top_db
    assert silent.any()
    assert (found.evidence[silent] == 0).all()
    assert [parameter.requires_grad for parameter in classifier.model.parameters()] == before
    assert all(parameter.grad is None for parameter in classifier.model.parameters())
    assert explain(classifier, tones(), method="hires_cam").evidence.shape == found.log_mel.shape


def test_a_cam_lights_up_where_the_maps_do() -> None:
    class Spot(torch.nn.Module):
        """The logit of class 0 is the mean of a pooled map."""

        def __init__(self) -> None:
            super().__init__()
            self.pool = torch.nn.AvgPool2d(4)

        def forward(self, log_mel):
            total = self.pool(log_mel + 80.0).mean(dim=(1, 2, 3))
            return torch.stack([total, torch.zeros_like(total)], dim=1)

    log_mel = torch.full((1, 1, 16, 24), -80.0)
    log_mel[..., 8:12, 4:8] = 0.0
    found = hires_cam(Spot(), log_mel, 0, -80.0).numpy()
    assert np.unravel_index(found.argmax(), found.shape) in [(8 + i, 4 + j) for i in range(4) for j in range(4)]
    assert found[0, -1] == 0
    with pytest.raises(ConfigError, match="no feature maps"):
        hires_cam(torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16 * 24, 2)), log_mel, 0, -80.0)


def test_silencing_what_matters_weakens_the_answer_most() -> None:
    classifier, _ = planted()
    found = explain(classifier, tones())
    low, high = found.bands.edges[found.bands.drop.argmax()]
    assert low <= LOW_HZ <= high
    low, high = found.bands.edges[found.bands.drop.argmin()]
    assert low <= HIGH_HZ <= high
    frame_s = classifier.info.features.hop_length / classifier.info.features.sample_rate_hz
    _, end = found.times.edges[found.times.drop.argmax()]
    assert end <= EARLY.stop * frame_s
    late = found.times.edges[:, 0] >= EARLY.stop * frame_s
    assert late.any()
    assert np.abs(found.times.drop[late]).max() < 1e-4
    # The parts lie side by side.
    assert np.allclose(found.times.edges[1:, 0], found.times.edges[:-1, 1])
    assert np.allclose(found.bands.edges[1:, 0], found.bands.edges[:-1, 1])
    # What is silenced ends with the sound, not with the padding.
    assert found.times.edges[-1, 1] == pytest.approx(found.window_s[1], abs=2 * frame_s)


def test_log_odds_are_those_of_the_softmax() -> None:
    logits = torch.tensor([[1.0, 2.0, -3.0]])
    prob = torch.softmax(logits, dim=1)[0, 1]
    assert log_odds(logits, 1)[0].item() == pytest.approx(torch.log(prob / (1 - prob)).item(), abs=1e-6)


def test_bands_meet_between_their_centres() -> None:
    classifier, _ = planted()
    edges, centres = band_edges_hz(classifier), mel_band_centres_hz(classifier.info.features)
    assert len(edges) == len(centres) + 1
    assert (edges[:-1] < centres).all()
    assert (centres < edges[1:]).all()


def test_gains_of_one_change_nothing_and_zero_silences() -> None:
    features = FeatureConfig(duration_s=0.5, n_mels=64, n_fft=1024, hop_length=256)
    window = np.zeros(features.num_samples, np.float32)
    window[:8_000] = np.random.default_rng(0).normal(size=8_000).astype(np.float32)
    same, silent = apply_gains(
        window, np.stack([np.ones((64, features.frames)), np.zeros((64, features.frames))]), features
    )
    assert np.allclose(same, window, atol=1e-4)
    assert np.abs(silent).max() == 0
    # A hop too wide to turn back is made denser.
    wide = features.model_copy(update={"hop_length": 1_000})
    assert np.allclose(apply_gains(window, np.ones((1, 64, wide.frames)), wide)[0], window, atol=1e-4)


def test_a_gain_in_one_band_moves_that_band() -> None:
    classifier, bands = planted()
    features = classifier.info.features
    window = np.zeros(features.num_samples, np.float32)
    sound = tones(0.3, 0.3, 0.5)
    window[: len(sound)] = sound
    gains = np.ones((1, 64, features.frames), np.float32)
    gains[:, bands["high"].start - 2 : bands["high"].stop + 2] = 0.1
    quieter = apply_gains(window, gains, features)[0]
    assert level_at(quieter, HIGH_HZ) / level_at(window, HIGH_HZ) == pytest.approx(0.1, rel=0.1)
    assert level_at(quieter, LOW_HZ) / level_at(window, LOW_HZ) == pytest.approx(1.0, rel=0.05)


def test_what_decided_is_heard_and_the_rest_is_the_rest() -> None:
    classifier, _ = planted()
    sound = tones()
    found = what_decided(classifier, explain(classifier, sound))
    assert np.allclose(found.kept + found.rest, sound, atol=1e-5)
    assert found.enough
    assert found.kept_prob > 0.6
    assert found.rest_prob < found.kept_prob
    assert 0 < found.cells < 0.5
    assert 0 < found.energy < 1
    early = slice(0, round(0.06 * 22_050))
    assert level_at(found.kept[early], LOW_HZ) > 5 * level_at(found.kept[early], 1_000.0)


def test_the_counterfactual_turns_the_planted_knobs() -> None:
    classifier, bands = planted()
    sound = tones()
    found = counterfactual(classifier, sound, "high")
    assert found.reached
    assert found.before.argmax() == classifier.class_names.index("low")
    assert found.after.argmax() == classifier.class_names.index("high")
    # The classifier says so of the very samples that are played.
    again = classifier.probabilities(
        np.pad(found.sound, (0, classifier.info.features.num_samples - len(found.sound)))[None]
    )
    assert np.allclose(again[0][0], found.after, atol=1e-2)
    low, high = (found.gains_db[bands[name], EARLY].mean() for name in ("low", "high"))
    assert high > 1.0
    assert low < high
    assert 0 < found.mean_gain_db < 12
    louder = max(found.changes, key=lambda change: change.gain_db)
    assert louder.band_hz[0] <= HIGH_HZ <= louder.band_hz[1]


def test_each_of_several_labels_is_explained_by_itself() -> None:
    one_label, bands = planted()
    at = 0.95
    info = one_label.info.model_copy(update={"several_labels": True, "label_thresholds": (at, at)})
    classifier = Classifier(one_label.model, info, one_label.device, one_label.limits)
    sound = tones(high=0.003)
    low, high = explain(classifier, sound, "low"), explain(classifier, sound, "high")
    # Above 0 it is named; what speaks for the other label says nothing of this one.
    assert low.prob > at > high.prob
    assert low.score > 0 > high.score
    others = np.ones(high.evidence.shape, bool)
    others[bands["high"], EARLY] = False
    assert np.abs(high.evidence[others]).max() < 1e-5
    assert high.missing < 0.05
    assert explain(one_label, sound, "high").evidence[bands["low"], EARLY].sum() < -0.5
    decided = what_decided(classifier, low)
    assert decided.enough
    assert decided.kept_prob >= 0.8 * low.prob
    found = counterfactual(classifier, sound, "high")
    assert found.reached
    assert found.prob >= at
    with pytest.raises(ConfigError, match="already"):
        counterfactual(classifier, sound, "low")


def test_a_change_that_is_not_allowed_to_be_large_enough_is_said_to_fail() -> None:
    classifier, _ = planted()
    found = counterfactual(classifier, tones(high=0.001), "high", max_gain_db=2.0, steps=20)
    assert not found.reached
    assert found.after[classifier.class_names.index("high")] < 0.5
    assert np.abs(found.gains_db).max() <= 2.0


def test_wrong_questions_are_explained() -> None:
    classifier, _ = planted()
    with pytest.raises(NotFoundError, match="no class 'kick'"):
        explain(classifier, tones(), "kick")
    with pytest.raises(ConfigError, match="already"):
        counterfactual(classifier, tones(), "low")
    with pytest.raises(ConfigError, match="no method"):
        explain(classifier, tones(), method="tea_leaves")  # type: ignore[arg-type]


def test_silence_is_explained_without_a_stumble() -> None:
    classifier, _ = planted()
    found = explain(classifier, np.zeros(4_000, np.float32))
    assert np.isfinite(found.evidence).all()
    decided = what_decided(classifier, found)
    assert np.isfinite([decided.kept_prob, decided.energy, decided.cells]).all()


def test_a_long_sound_is_explained_where_the_network_looks() -> None:
    classifier, _ = planted()
    features = classifier.info.features
    long = np.concatenate([np.zeros(features.num_samples, np.float32), tones()])
    found = explain(classifier, long)
    start, end = found.window_s
    # It looks from just before the sound, which lasts to the end of the file and fills less than the window.
    assert start == pytest.approx(features.duration_s, abs=0.02)
    assert end == pytest.approx(len(long) / features.sample_rate_hz)
    assert np.allclose(LogMel(features)(torch.from_numpy(found.window)[None])[0, 0].numpy(), found.log_mel, atol=1e-3)
