"""What a network with a known weakness withstands, label by label."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError, StoppedError
from samplemind_core.evaluation.changed_clips import sample_clips
from samplemind_core.evaluation.label_robustness import LabelRobustness, measure_label_robustness
from samplemind_core.evaluation.probes import PROBES
from samplemind_core.store import Clip

FEATURES = FeatureConfig(n_mels=32, duration_s=0.5, n_fft=1024, hop_length=256)
NAMES = ("high", "low", "never")
TARGETS = np.array([[row < 9, row % 3 > 0 or row == 9, False] for row in range(12)], dtype=np.uint8)


class HearsBands(torch.nn.Module):
    """Names what the upper bands hold, and what the lower ones do; the third label never."""

    def forward(self, log_mel):
        high = log_mel[:, 0, 18:].amax(dim=(1, 2)) + 40
        low = log_mel[:, 0, :12].amax(dim=(1, 2)) + 40
        return torch.stack([high, low, torch.full_like(low, -9.0)], dim=1) / 4


def windows() -> np.ndarray:
    t = np.arange(round(0.2 * FEATURES.sample_rate_hz)) / FEATURES.sample_rate_hz
    rows = np.zeros((12, FEATURES.num_samples), np.float32)
    for row, (high, low, _) in enumerate(TARGETS):
        sound = high * np.sin(2 * np.pi * (6_000 + 20 * row) * t) + low * np.sin(2 * np.pi * (150 + 5 * row) * t)
        rows[row, : len(t)] = 0.4 * np.hanning(len(t)) * (sound + 1e-2 * np.sin(2 * np.pi * 1_200 * t))
    return rows


def measured(probes: tuple[str, ...], **changes):
    chosen = [PROBES[name] for name in probes]
    groups = [f"pack {row % 6}" for row in range(12)]
    return measure_label_robustness(
        HearsBands(), FEATURES, windows(), TARGETS, (0.5, 0.5, 0.5), groups, probes=chosen, **changes
    )


def test_the_label_that_is_lost_is_told() -> None:
    clean, (low_pass, gain) = measured(("low_pass", "gain"))
    assert clean.mean_ap == 1.0
    assert clean.average_precision == (1.0, 1.0, None)
    assert clean.recall == (1.0, 1.0, None)
    worst = low_pass.steps[-1]
    assert worst.recall[0] < 0.5
    assert worst.recall[1] == 1.0
    assert worst.broken >= 5
    assert worst.fixed == 0
    assert worst.p_value == pytest.approx(2 * 0.5**worst.broken)
    # Each clip is measured against its own maximum, so that a quieter one is the same.
    quiet = next(step for step in gain.steps if step.level == -20)
    assert quiet.mean_ap == clean.mean_ap
    assert (quiet.difference, quiet.difference_interval, quiet.worse) == (0.0, (0.0, 0.0), False)

    labels = tuple(tuple(np.flatnonzero(row).tolist()) for row in TARGETS)
    found = LabelRobustness(
        1, "test", 12, 6, tuple(range(100, 112)), labels, NAMES, (0.5, 0.5, 0.5), clean, (low_pass, gain)
    )
    broken = found.broken_clips(worst)
    assert len(broken) == worst.broken
    assert {one.clip_id for one in broken} <= set(range(100, 109))
    assert all([name for name, _ in one.lost] == ["high"] and not one.wrong for one in broken)
    off = [0.5 - one.lost[0][1] for one in broken]
    assert off == sorted(off, reverse=True)
    assert found.broken_clips(clean) == []
    assert LabelRobustness.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_a_fall_has_an_interval_of_its_own() -> None:
    _, (sampler,) = measured(("old_sampler",))
    worst = sampler.worst
    # At 12 kHz nothing is left of the high tones; steps of four bits then fill the upper bands of all clips.
    assert worst.average_precision[0] < 1.0
    assert worst.difference < 0
    assert worst.difference_interval[0] <= worst.difference <= worst.difference_interval[1]
    assert worst.interval[0] <= worst.mean_ap <= worst.interval[1]
    assert worst.worse == (worst.difference_interval[1] < 0)


def test_a_stop_and_clips_without_labels() -> None:
    with pytest.raises(StoppedError):
        measured(("gain",), should_stop=lambda: True)
    with pytest.raises(DataError, match="at least one label"):
        measure_label_robustness(HearsBands(), FEATURES, windows(), np.zeros((12, 3)), (0.5,) * 3, probes=[])


def test_clips_with_several_labels_are_taken_once() -> None:
    def clip(row: int, labels: tuple[str, ...]) -> Clip:
        name = f"{row}"
        return Clip(
            row=row, name=name, label=labels[0], target=0, source="s", split="test", content_hash=name, labels=labels
        )

    clips = [clip(row, ("kick", "snare") if row % 2 else ("kick",)) for row in range(30)]
    clips.append(clip(30, ("clap",)))
    taken = sample_clips(clips, ("clap", "kick", "snare"), 9)
    assert len({found.row for found in taken}) == 9
    assert 30 in {found.row for found in taken}
    assert sum("snare" in found.labels for found in taken) >= 4
    assert taken == sample_clips(clips, ("clap", "kick", "snare"), 9)
    assert len(sample_clips(clips, ("clap", "kick", "snare"), 500)) == 31
