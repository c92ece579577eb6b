from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.data.findings import LabelScore, Leakage, Twin
from samplemind_core.data.leakage import measure_leakage
from samplemind_core.store import Clip

LABELS = ("clap", "kick", "noise")


def packs(num_packs: int = 12, per_pack: int = 8) -> tuple[list[Clip], np.ndarray, np.ndarray]:
    """Packs of a sound of their own, most clips of which have the same labels; truth (N, 3)."""
    rng = np.random.default_rng(0)
    sounds, usual = rng.normal(0, 1, (num_packs, 6)), rng.random((num_packs, 3)) < 0.5
    groups = np.repeat(np.arange(num_packs), per_pack)
    truth = usual[groups] ^ (rng.random((len(groups), 3)) < 0.05)
    clips = [
        Clip(row=row, name=f"{row}.wav", label=own[0], labels=own, target=0, source=f"pack{pack}",
             split=("train", "val", "test")[pack % 3], content_hash=f"h{row}", id=row)  # type: ignore[arg-type]
        for row, (pack, having) in enumerate(zip(groups, truth, strict=True))
        for own in [(*(name for name, has in zip(LABELS, having, strict=True) if has), "sound")]
    ]  # fmt: skip
    return clips, sounds[groups] + rng.normal(0, 0.1, (len(groups), 6)), truth


def scores(found: Leakage) -> tuple[LabelScore, LabelScore]:
    assert isinstance(found.naive, LabelScore)
    assert isinstance(found.safe, LabelScore)
    return found.naive, found.safe


def test_packs_that_leak_are_told_by_the_gap():
    clips, features, truth = packs()
    found = measure_leakage(clips, [], features.astype(np.float32), repeats=1)
    naive, safe = scores(found)
    assert naive.num_labels == 3  # what every clip has cannot be told apart
    assert naive.mean_ap > 0.85
    assert safe.mean_ap < truth.mean() + 0.25
    assert naive.low <= naive.mean_ap <= naive.high
    assert found.gap == pytest.approx(naive.mean_ap - safe.mean_ap)
    assert found.gap_low is not None
    assert found.gap_low > 0
    assert "overstate mean average precision by about" in found.sentence
    assert "each label" in found.baseline


def test_features_that_hold_everywhere_leave_no_gap():
    clips, features, truth = packs()
    features[:, :3] = 10.0 * truth
    found = measure_leakage(clips, [], features.astype(np.float32), repeats=1)
    assert found.gap == pytest.approx(0.0, abs=0.02)
    assert scores(found)[1].mean_ap > 0.97
    assert "overstate" not in found.sentence


def test_labels_that_cannot_be_judged_leave_the_counts():
    clips, features, _ = packs(6, 2)
    clips = [Clip(**{name: getattr(clip, name) for name in Clip.__dataclass_fields__} | {"labels": ("sound",)})
             for clip in clips]  # fmt: skip
    found = measure_leakage(clips, [Twin(0, 4, False, 0.99)], features.astype(np.float32))
    assert found.naive is None
    assert found.twins_in_train == (4,)
    assert "No label has enough clips and sources" in found.sentence
