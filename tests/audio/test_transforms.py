"""Every transform does what it says, to each clip of a batch as to the clip alone, and again the same."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from samplemind_core.audio import transforms as t
from samplemind_core.errors import AudioError, ConfigError

RATE = 22_050


def tone(hz: float = 440.0, seconds: float = 1.0, size: float = 0.5) -> Tensor:
    time = torch.arange(round(seconds * RATE)) / RATE
    return (size * torch.sin(2 * torch.pi * hz * time))[None]


def peak_hz(clips: Tensor) -> float:
    clip = clips[0].numpy() * np.hanning(clips.shape[1])
    return float(np.abs(np.fft.rfft(clip)).argmax() * RATE / len(clip))


def level_db(clips: Tensor) -> float:
    middle = clips[0, clips.shape[1] // 4 : -clips.shape[1] // 4]
    return float(20 * torch.log10(middle.square().mean().sqrt()))


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


CASES: dict[str, Callable[[Tensor], Tensor]] = {
    "gain": lambda w: t.gain(w, -6.0),
    "pitch_shift": lambda w: t.pitch_shift(w, RATE, 3.0),
    "time_stretch": lambda w: t.time_stretch(w, 1.25),
    "mp3": lambda w: t.mp3(w, RATE, 64),
    "low_pass": lambda w: t.low_pass(w, RATE, 2_000.0),
    "high_pass": lambda w: t.high_pass(w, RATE, 200.0),
    "old_sampler": lambda w: t.old_sampler(w, RATE, 12_000, 8),
    "lead_silence": lambda w: t.lead_silence(w, RATE, 0.1),
    "truncate": lambda w: t.truncate(w, RATE, 0.1),
}
RANDOM: dict[str, Callable[[Tensor, torch.Generator], Tensor]] = {
    "add_noise": lambda w, g: t.add_noise(w, RATE, -20.0, g),
    "reverb": lambda w, g: t.reverb(w, RATE, 0.5, -10.0, g),
}


@pytest.mark.parametrize("name", CASES)
def test_a_batch_is_what_its_clips_are_alone(name) -> None:
    clips = torch.cat([tone(110.0, 0.4), tone(3_000.0, 0.4, 0.9), torch.zeros(1, round(0.4 * RATE))])
    before = clips.clone()
    batch = CASES[name](clips)
    assert torch.equal(clips, before)
    assert batch.dtype == torch.float32
    assert torch.isfinite(batch).all()
    for row, clip in enumerate(clips):
        assert torch.allclose(batch[row], CASES[name](clip[None])[0], atol=1e-5)


@pytest.mark.parametrize("name", RANDOM)
def test_what_is_random_comes_from_the_generator(name) -> None:
    clips = torch.cat([tone(), tone(880.0), torch.zeros(1, RATE)])
    first, again = RANDOM[name](clips, seeded()), RANDOM[name](clips, seeded())
    assert torch.equal(first, again)
    assert not torch.equal(first, RANDOM[name](clips, seeded(1)))
    # A neighbour changes nothing, and silence stays silent.
    changed = torch.cat([tone(), tone(50.0), torch.zeros(1, RATE)])
    assert torch.equal(RANDOM[name](changed, seeded())[0], first[0])
    assert first[2].abs().max() == 0


def test_gain_is_decibels_and_full_scale_is_the_end() -> None:
    assert level_db(t.gain(tone(), -12.0)) == pytest.approx(level_db(tone()) - 12.0, abs=1e-3)
    assert t.gain(tone(), 20.0).abs().max() == 1.0


@pytest.mark.parametrize("semitones", [-12.0, -3.0, 2.0, 7.0])
def test_pitch_moves_and_length_does_not(semitones) -> None:
    shifted = t.pitch_shift(tone(440.0, 1.5), RATE, semitones)
    assert shifted.shape == tone(440.0, 1.5).shape
    assert peak_hz(shifted) == pytest.approx(440.0 * 2 ** (semitones / 12), rel=0.01)
    assert level_db(shifted) == pytest.approx(level_db(tone()), abs=1.0)
    assert torch.equal(t.pitch_shift(tone(), RATE, 0.0), tone())


@pytest.mark.parametrize("rate", [0.5, 0.8, 1.3, 2.0])
def test_tempo_changes_and_pitch_does_not(rate) -> None:
    stretched = t.time_stretch(tone(440.0, 1.5), rate)
    assert stretched.shape[1] == pytest.approx(1.5 * RATE / rate, abs=1)
    assert peak_hz(stretched) == pytest.approx(440.0, rel=0.01)
    assert level_db(stretched) == pytest.approx(level_db(tone()), abs=1.5)


def test_stretching_moves_what_happens_in_time() -> None:
    click = torch.zeros(1, RATE)
    click[0, RATE // 2] = 1.0
    assert int(t.time_stretch(click, 2.0)[0].abs().argmax()) == pytest.approx(RATE / 4, abs=600)


@pytest.mark.parametrize("length", [1, 100, RATE])
@pytest.mark.parametrize("rate", [0.25, 4.0])
def test_short_and_silent_clips_are_stretched_as_far_as_any(length: int, rate: float) -> None:
    clips = torch.zeros(2, length)
    clips[1, 0] = 1.0
    stretched = t.time_stretch(clips, rate)
    assert stretched.shape == (2, max(1, round(length / rate)))
    assert torch.isfinite(stretched).all()
    assert not stretched[0].any()


def test_mp3_comes_back_aligned_and_worse_at_lower_rates() -> None:
    noisy = tone() + 0.05 * torch.randn(1, RATE, generator=seeded())
    errors = []
    for kbps in (160, 64, 16):
        back = t.mp3(noisy, RATE, kbps)
        assert back.shape == noisy.shape
        assert float(np.corrcoef(back[0], noisy[0])[0, 1]) > 0.9
        errors.append(float((back - noisy).square().mean()))
    assert errors == sorted(errors)


@pytest.mark.parametrize(("function", "kept", "gone"), [(t.low_pass, 200.0, 8_000.0), (t.high_pass, 8_000.0, 200.0)])
def test_filters_keep_one_side_and_halve_the_power_at_the_edge(function, kept, gone) -> None:
    assert level_db(function(tone(kept), RATE, 1_000.0)) == pytest.approx(level_db(tone(kept)), abs=0.1)
    assert level_db(function(tone(gone), RATE, 1_000.0)) < level_db(tone(gone)) - 40
    assert level_db(function(tone(1_000.0), RATE, 1_000.0)) == pytest.approx(level_db(tone()) - 3.01, abs=0.1)
    octave = 2_000.0 if function is t.low_pass else 500.0
    assert level_db(function(tone(octave), RATE, 1_000.0)) == pytest.approx(level_db(tone()) - 24.1, abs=0.5)


def test_an_old_sampler_has_half_its_rate_and_few_steps() -> None:
    noise = 0.2 * torch.randn(1, RATE, generator=seeded())
    old = t.old_sampler(noise, RATE, 12_000, 12)
    spectrum = torch.fft.rfft(old[0]).abs()
    hz = torch.fft.rfftfreq(RATE, 1 / RATE)
    assert spectrum[hz > 6_200].square().mean() < 1e-3 * spectrum[hz < 5_800].square().mean()
    # Eight bits leave a hiss of a step's twelfth: about -59 dB relative to full scale.
    hiss = t.old_sampler(tone(440.0, size=0.9), RATE, RATE, 8) - tone(440.0, size=0.9)
    assert level_db(hiss) == pytest.approx(20 * np.log10(2 / 256 / np.sqrt(12)), abs=1.0)
    assert torch.allclose(t.old_sampler(tone(), RATE, RATE, 24), tone(), atol=1e-4)


def test_noise_is_measured_against_the_loudest_moment() -> None:
    clip = torch.cat([tone(440.0, 0.2), torch.zeros(1, RATE)], dim=1)
    noise = t.add_noise(clip, RATE, -20.0, seeded()) - clip
    assert level_db(noise) == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)) - 20.0, abs=0.3)


def test_a_room_decays_by_sixty_decibels_in_its_time() -> None:
    click = torch.zeros(1, 100)
    click[0, 0] = 1.0
    room = t.reverb(click, RATE, 0.5, -6.0, seeded())[0, 1:]
    left = torch.flip(torch.cumsum(torch.flip(room.square(), [0]), 0), [0])  # Schroeder's backward integral
    decay_db = 10 * torch.log10(left / left[0])
    at = int((decay_db < -30).nonzero()[0])
    assert at / RATE == pytest.approx(0.25, rel=0.1)
    assert float(10 * torch.log10(room.square().sum())) == pytest.approx(-6.0, abs=0.1)


def test_silence_and_cuts_are_where_they_should_be() -> None:
    late = t.lead_silence(tone(), RATE, 0.25)
    assert not late[0, : round(0.25 * RATE)].any()
    assert torch.equal(late[:, round(0.25 * RATE) :], tone())
    short = t.truncate(tone(), RATE, 0.1)
    assert short.shape[1] == round(0.1 * RATE)
    assert torch.equal(short[:, :1_000], tone()[:, :1_000])
    assert short[0, -1] == 0
    assert torch.equal(t.truncate(tone(), RATE, 5.0), tone())


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (lambda: t.gain(torch.zeros(5), 1.0), "shape"),
        (lambda: t.time_stretch(tone(), 9.0), "rate"),
        (lambda: t.mp3(tone(), 9_999, 64), "sample rate"),
        (lambda: t.mp3(tone(), RATE, 9_000), "kbps"),
        (lambda: t.low_pass(tone(), RATE, 20_000.0), "cutoff_hz"),
        (lambda: t.old_sampler(tone(), RATE, 48_000, 8), "rate_hz"),
        (lambda: t.old_sampler(tone(), RATE, 12_000, 1), "bits"),
        (lambda: t.reverb(tone(), RATE, 99.0, 0.0, seeded()), "rt60_s"),
        (lambda: t.lead_silence(tone(), RATE, -1.0), "silence_s"),
        (lambda: t.truncate(tone(), RATE, 0.0), "keep_s"),
    ],
)
def test_nonsense_is_refused(call, problem) -> None:
    with pytest.raises((AudioError, ConfigError), match=problem):
        call()
