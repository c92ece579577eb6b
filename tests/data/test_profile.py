from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.data.profile import Profiles, measure, profile_clips, profile_file
from samplemind_core.errors import StoppedError, UnreadableAudioError
from samplemind_core.workspace import Workspace

RATE = 22_050
NAMES = (
    *("content_hash", "encoding", "sample_rate_hz", "channels", "bit_depth", "duration_s", "peak", "rms", "dc_offset"),
    *("clipped", "longest_clip", "leading_s", "trailing_s", "cut_s", "cut_share", "readable"),
)


def facts(waveform: np.ndarray, rate: int = RATE, subtype: str = "PCM_16", kind: str = "WAV") -> dict[str, object]:
    buffer = io.BytesIO()
    sf.write(buffer, waveform, rate, format=kind, subtype=subtype)
    return dict(zip(NAMES, measure(buffer.getvalue())[0], strict=True))


def sine(seconds: float = 0.5, level: float = 0.5) -> np.ndarray:
    return level * np.sin(2 * np.pi * 441 * np.arange(round(seconds * RATE)) / RATE)


def test_levels_and_format() -> None:
    found = facts(sine())
    assert (found["encoding"], found["sample_rate_hz"], found["channels"], found["bit_depth"]) == (
        b"PCM_16",
        RATE,
        1,
        16,
    )
    assert found["duration_s"] == pytest.approx(0.5)
    assert found["peak"] == pytest.approx(0.5, abs=1e-3)
    assert found["rms"] == pytest.approx(0.5 / np.sqrt(2), abs=1e-3)
    assert found["dc_offset"] == pytest.approx(0.0, abs=2e-3)
    assert (found["clipped"], found["longest_clip"], found["cut_s"], found["cut_share"]) == (0, 0, 0.0, 0.0)


def test_clipping_is_runs_at_full_scale_in_any_channel() -> None:
    clipped = np.clip(sine(level=2.0), -1, 1)
    found = facts(np.stack([np.zeros_like(clipped), clipped], axis=1))
    assert found["clipped"] > 1_000
    assert found["longest_clip"] >= 10
    single = sine(level=0.5)
    single[100] = 1.0
    assert facts(single)["clipped"] == 0


def test_the_worst_channel_counts_even_where_channels_cancel() -> None:
    left = sine() + 0.1
    found = facts(np.stack([left, -left], axis=1))
    assert found["dc_offset"] == pytest.approx(0.1, abs=1e-3)
    assert found["peak"] == pytest.approx(0.6, abs=1e-3)


def test_silence_around_a_sound() -> None:
    quiet = np.zeros(RATE // 4)
    found = facts(np.concatenate([quiet, sine(), quiet, quiet]))
    assert found["leading_s"] == pytest.approx(0.25, abs=0.002)
    assert found["trailing_s"] == pytest.approx(0.5, abs=0.002)
    assert facts(np.zeros(100))["peak"] == 0.0


def test_what_the_window_cuts() -> None:
    found = facts(np.concatenate([sine(2.0), 0.5 * sine(2.0)]))
    assert found["cut_s"] == pytest.approx(2.0, abs=0.01)
    assert found["cut_share"] == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize(
    ("subtype", "kind", "bits"), [("PCM_24", "WAV", 24), ("PCM_U8", "WAV", 8), ("VORBIS", "OGG", 0)]
)
def test_bit_depth(subtype: str, kind: str, bits: int) -> None:
    assert facts(sine(), subtype=subtype, kind=kind)["bit_depth"] == bits


def test_a_file_that_is_no_audio_is_refused() -> None:
    with pytest.raises(UnreadableAudioError):
        measure(b"not audio at all")


@pytest.fixture
def imported(workspace: Workspace, bursts: Callable[..., Path]) -> Workspace:
    workspace.import_dataset(bursts(per_class=5), name="d")
    return workspace


def profiles_of(workspace: Workspace, progress: object = None) -> Profiles:
    clips = workspace.store.datasets.clips(workspace.dataset("d").id)
    return profile_clips(workspace.root, clips, progress)  # type: ignore[arg-type]


def test_clips_are_measured_once(imported: Workspace) -> None:
    steps: list[int] = []
    first = profiles_of(imported, lambda done, total, what: steps.append(done))
    assert len(first) == steps[-1] == 10
    steps.clear()
    again = profiles_of(imported, lambda done, total, what: steps.append(done))
    assert steps == []
    assert (again.facts == first.facts).all()
    assert (again.outlines == first.outlines).all()
    assert first["readable"].all()
    assert first.peak_db.max() < 0.0
    assert (first.crest_db > 3.0).all()


def test_a_damaged_cache_is_measured_again(imported: Workspace) -> None:
    first = profiles_of(imported)
    profile_file(imported.root, imported.dataset("d").id).write_bytes(b"PK broken")
    assert (profiles_of(imported).facts == first.facts).all()


def test_measuring_goes_on_after_a_stop(imported: Workspace) -> None:
    def stop(done: int, total: int | None, what: str) -> None:
        if done == 4:
            raise StoppedError("Stopped.", "")

    with pytest.raises(StoppedError):
        profiles_of(imported, stop)
    totals: list[int | None] = []
    assert len(profiles_of(imported, lambda done, total, what: totals.append(total))) == 10
    assert totals[0] == 6


def test_a_file_damaged_since_its_import_is_a_fact_of_its_own(imported: Workspace) -> None:
    clips = imported.store.datasets.clips(imported.dataset("d").id)
    damaged, swapped = (imported.clip_audio(clip) for clip in clips[:2])
    assert damaged is not None
    assert swapped is not None
    damaged.write_bytes(b"gone")
    swapped.write_bytes(imported.clip_audio(clips[2]).read_bytes())  # type: ignore[union-attr]
    assert profiles_of(imported)["readable"].tolist() == [False, False] + [True] * 8
