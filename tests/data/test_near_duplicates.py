from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile as sf
import soxr

from samplemind_core.data.near_duplicates import OUTLINE_SIZE, RATE_HZ, candidates, compare, find_twins, onset, outline

NATIVE_HZ = 44_100


def drum(number: int, pitch_hz: float = 180.0) -> np.ndarray:
    """A hit of a drum at 44.1 kHz: the same shell for every number, other noise."""
    rng = np.random.default_rng(number)
    time_s = np.arange(NATIVE_HZ // 2) / NATIVE_HZ
    tone = np.sin(2 * np.pi * pitch_hz * time_s + rng.uniform(0, 6)) * np.exp(-time_s / 0.08)
    noise = rng.normal(0, 1, len(time_s)) * np.exp(-time_s / 0.05)
    return (0.3 * tone + 0.15 * noise).astype(np.float32)


def at_16k(waveform: np.ndarray, rate_hz: int = NATIVE_HZ) -> np.ndarray:
    return soxr.resample(waveform, rate_hz, RATE_HZ).astype(np.float32)


def coded(waveform: np.ndarray, kind: str, subtype: str) -> np.ndarray:
    buffer = io.BytesIO()
    extra = {"bitrate_mode": "CONSTANT", "compression_level": 0.8} if kind == "MP3" else {}
    sf.write(buffer, waveform, NATIVE_HZ, format=kind, subtype=subtype, **extra)
    buffer.seek(0)
    return sf.read(buffer, dtype="float32")[0]


COPIES = {
    "resampled": lambda x: (soxr.resample(x, NATIVE_HZ, 22_050), 22_050),
    "up": lambda x: (soxr.resample(x, NATIVE_HZ, 48_000), 48_000),
    "softer": lambda x: (x * 10 ** (-12 / 20), NATIVE_HZ),
    "louder": lambda x: (x * 10 ** (12 / 20), NATIVE_HZ),
    "tail cut": lambda x: (x[: int(0.5 * len(x))], NATIVE_HZ),
    "attack cut": lambda x: (x[300:], NATIVE_HZ),
    "silence before": lambda x: (np.concatenate([np.zeros(5_000, np.float32), x]), NATIVE_HZ),
    "MP3": lambda x: (coded(x, "MP3", "MPEG_LAYER_III"), NATIVE_HZ),
    "FLAC": lambda x: (coded(x, "FLAC", "PCM_16"), NATIVE_HZ),
    "Vorbis": lambda x: (coded(x, "OGG", "VORBIS"), NATIVE_HZ),
}


@pytest.mark.parametrize("kind", COPIES)
def test_a_copy_is_a_twin(kind: str) -> None:
    waveform = drum(1)
    copy, rate_hz = COPIES[kind](waveform)
    found = compare(at_16k(waveform), at_16k(copy, rate_hz), 0.45 * min(rate_hz, NATIVE_HZ))
    assert found is not None
    assert found.twins, found


def test_gain_and_shift_are_told() -> None:
    waveform = drum(1)
    late = np.concatenate([np.zeros(4_410, np.float32), 0.5 * waveform])
    found = compare(at_16k(waveform), at_16k(late))
    assert found is not None
    assert found.gain_db == pytest.approx(-6.02, abs=0.1)
    assert found.lag / RATE_HZ == pytest.approx(0.1, abs=1e-4)


def test_another_hit_of_the_same_drum_is_none() -> None:
    found = compare(at_16k(drum(1)), at_16k(drum(2)))
    assert found is None or not found.twins


def test_two_plain_tones_of_one_pitch_are_only_twins_if_their_clicks_agree() -> None:
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    tone = (np.sin(2 * np.pi * 55 * time_s) * np.exp(-time_s / 0.2)).astype(np.float32)
    clicks = [np.random.default_rng(seed).normal(0, 0.02, 160).astype(np.float32) for seed in (0, 1)]
    first, second = tone.copy(), tone.copy()
    first[:160] += clicks[0]
    second[:160] += clicks[1]
    found = compare(first, second)
    assert found is None or not found.twins
    again = compare(first, 0.5 * first)
    assert again is not None
    assert again.twins


def test_a_copy_turned_over_is_a_twin() -> None:
    found = compare(at_16k(drum(1)), -at_16k(drum(1)))
    assert found is not None
    assert found.correlation == pytest.approx(-1.0, abs=1e-3)
    assert found.twins


@pytest.mark.parametrize("waveform", [np.zeros(0, np.float32), np.zeros(5_000, np.float32), np.ones(3, np.float32)])
def test_next_to_nothing_is_nobodys_twin(waveform: np.ndarray) -> None:
    assert outline(waveform).shape == (OUTLINE_SIZE,)
    assert np.isfinite(outline(waveform)).all()
    assert compare(waveform, at_16k(drum(1))) is None
    assert compare(waveform, waveform) is None


def test_outlines_know_no_level_and_no_pause() -> None:
    waveform = at_16k(drum(3))
    later = np.concatenate([np.zeros(3_200, np.float32), 0.1 * waveform])
    assert onset(later) - onset(waveform) == 3_200
    assert outline(waveform).astype(float) @ outline(later).astype(float) == pytest.approx(1.0, abs=5e-3)
    assert outline(waveform).astype(float) @ outline(at_16k(drum(3, 900.0))).astype(float) < 0.98


def test_candidates_are_pairs_of_sounding_rows() -> None:
    rows = [outline(at_16k(drum(number))) for number in (1, 2, 1)] + [outline(np.zeros(9, np.float32))]
    pairs = candidates(np.stack(rows)).tolist()
    assert [0, 2] in pairs
    assert all(a < b < 3 for a, b in pairs)
    assert candidates(np.zeros((2, OUTLINE_SIZE), np.float16)).shape == (0, 2)


def test_twins_are_found_among_others() -> None:
    sounds = [at_16k(drum(number)) for number in range(12)]
    sounds.append(at_16k(COPIES["MP3"](drum(4))[0]))
    sounds.append(at_16k(COPIES["tail cut"](drum(7))[0]))
    steps: list[tuple[int, int]] = []
    found = find_twins(
        np.stack([outline(sound) for sound in sounds]),
        sounds.__getitem__,
        np.full(len(sounds), 7_000.0),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert sorted((a, b) for a, b, _ in found) == [(4, 12), (7, 13)]
    assert steps[-1][0] == steps[-1][1] > 0


def test_a_search_ends_when_progress_says_so() -> None:
    class Enough(Exception):
        pass

    def enough(done: int, total: int) -> None:
        raise Enough

    sounds = [at_16k(drum(number)) for number in range(3)]
    with pytest.raises(Enough):
        list(find_twins(np.stack([outline(x) for x in sounds]), sounds.__getitem__, np.full(3, 7e3), progress=enough))
