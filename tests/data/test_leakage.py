from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.data.findings import Twin
from samplemind_core.data.leakage import measure_leakage, summaries
from samplemind_core.store import Clip


def clip(number: int, label: str, source: str, split: str = "train", digest: str = "") -> Clip:
    return Clip(
        row=number, name=f"{number}.wav", label=label, target=int(label == "b"), source=source, split=split,  # type: ignore[arg-type]
        content_hash=digest or f"h{number}", id=number,
    )  # fmt: skip


def packs(num_packs: int = 12, per_pack: int = 10) -> tuple[list[Clip], np.ndarray]:
    """Each pack has one class and a sound of its own, which says nothing about the class."""
    rng = np.random.default_rng(0)
    clips, features = [], []
    for pack in range(num_packs):
        centre = rng.normal(0, 1, 6)
        for _ in range(per_pack):
            clips.append(clip(len(clips), "ab"[pack % 2], f"pack{pack}", ("train", "val", "test")[pack % 3]))
            features.append(centre + rng.normal(0, 0.1, 6))
    return clips, np.array(features, np.float32)


def test_packs_that_leak_are_told_by_the_gap() -> None:
    clips, features = packs()
    found = measure_leakage(clips, [], features, repeats=2)
    assert found.naive is not None
    assert found.safe is not None
    assert found.naive.accuracy > 0.95
    assert found.safe.accuracy < 0.8
    assert found.gap == pytest.approx(found.naive.accuracy - found.safe.accuracy)
    assert found.gap_low is not None
    assert found.gap_low > 0
    assert "overstate accuracy by about" in found.sentence
    assert (found.twins_in_train, found.mates_in_train) == ((), ())


def test_features_that_hold_everywhere_leave_no_gap() -> None:
    clips, features = packs()
    features[:, 0] = [10.0 * (one.label == "b") for one in clips]
    found = measure_leakage(clips, [], features, repeats=1)
    assert found.gap == pytest.approx(0.0, abs=0.02)
    assert "overstate" not in found.sentence


def test_twins_and_mates_in_training_are_counted() -> None:
    clips = [
        clip(1, "a", "p"), clip(2, "a", "p", "test"), clip(3, "b", "q", "test", digest="h1"),
        clip(4, "b", "r", "test"), clip(5, "b", "5.wav"), clip(6, "b", "s", "test"),
    ]  # fmt: skip
    found = measure_leakage(clips, [Twin(4, 5, False, 0.99)], None)
    assert found.twins_in_train == (3, 4)
    assert found.mates_in_train == (2,)
    assert found.num_test == 4
    assert found.naive is None
    assert found.sentence.startswith("Of 4 test clips, 2 with a twin and 1 with a pack-mate in training.")


def test_clips_that_share_nothing_need_no_trial() -> None:
    clips = [clip(number, "ab"[number % 2], f"{number}.wav", ("train", "test")[number % 2]) for number in range(8)]
    found = measure_leakage(clips, [], np.zeros((8, 3), np.float32))
    assert found.naive is None
    assert "as honest as any" in found.sentence


def test_too_few_sources_are_said() -> None:
    clips = [clip(number, "ab"[number % 2], "pq"[number % 2]) for number in range(8)]
    found = measure_leakage(clips, [], np.zeros((8, 3), np.float32))
    assert found.naive is None
    assert "too few sources for an honest split" in found.sentence


@pytest.mark.parametrize("per_class", [1, 2, 3, 4])
def test_fewer_clips_a_class_than_folds_are_no_fault(per_class: int) -> None:
    # Two classes of a pack each: what a fold leaves out may be all there is of a class.
    clips = [clip(number, f"class{number // per_class}", f"pack{number % 4}") for number in range(4 * per_class)]
    clips.append(clip(99, "class0", "pack0", digest="h0"))
    found = measure_leakage(clips[: -1 if per_class > 1 else None], [], np.eye(len(clips), dtype=np.float32))
    assert found.sentence


def test_summaries_do_not_depend_on_the_batch() -> None:
    log_mel = np.random.default_rng(0).uniform(-80, 0, (600, 1, 32, 20)).astype(np.float16)
    rows = np.array([599, 3, 512])
    every = summaries(log_mel, np.arange(600))
    assert every.shape == (600, 48)
    np.testing.assert_allclose(summaries(log_mel, rows), every[rows], rtol=1e-5)
    assert summaries(log_mel, np.zeros(0, np.int64)).shape == (0, 48)
