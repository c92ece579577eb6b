"""Pack-mates as witnesses: what they find that networks which never heard the pack cannot."""

from __future__ import annotations

import numpy as np

from samplemind_core.evaluation.label_errors import find_label_errors
from samplemind_core.evaluation.second_opinion import band_levels, second_opinion, second_opinion_on


def packs(num_packs: int = 8, per_class: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return features (N, 4), true targets and packs: classes lie apart within a pack, and packs lie apart."""
    rng = np.random.default_rng(seed)
    features, targets, pack = [], [], []
    for number in range(num_packs):
        place = rng.normal(0, 6, 4)
        for target in range(2):
            features.append(place + (2 * target - 1) * np.array([3.0, 3.0, 0, 0]) + rng.normal(0, 0.3, (per_class, 4)))
            targets += [target] * per_class
            pack += [number] * per_class
    return np.concatenate(features).astype(np.float32), np.array(targets), np.array(pack)


def test_pack_mates_find_what_strangers_cannot() -> None:
    features, true, pack = packs(seed=1)
    flipped = np.random.default_rng(1).permutation(len(true))[:10]
    labels = true.copy()
    labels[flipped] = 1 - labels[flipped]
    # Networks that never heard a pack: they have two of eight packs upside down, and are sure of it.
    margin = np.where(pack < 2, -3.0, 2.0) * (2 * true - 1)
    logits = np.stack([-margin / 2, margin / 2], axis=1)
    ids = np.arange(len(true))
    second = second_opinion(features, labels, [str(i) for i in ids], 2)
    alone = find_label_errors(logits, labels, "ab", ids)
    together = find_label_errors(logits, labels, "ab", ids, second)

    def found(errors) -> int:
        return len({issue.clip_id for issue in errors.issues[: len(flipped)]} & set(flipped.tolist()))

    assert found(alone) == 0  # the honest mistakes stand before the wrong labels
    assert found(together) >= 5


def test_a_copy_does_not_vouch_for_its_own_label() -> None:
    features, true, _ = packs(num_packs=1, per_class=20)
    labels, hashes = true.copy(), [str(i) for i in range(len(true))]
    # Four copies of one sound of class 1 that are all called 0.
    wrong = np.arange(20, 24)
    features[wrong] = features[20]
    labels[wrong] = 0
    apart = second_opinion(features, labels, hashes, 2)
    for row in wrong:
        hashes[row] = "same"
    together = second_opinion(features, labels, hashes, 2)
    assert apart is not None
    assert together is not None
    assert apart[wrong, 0].mean() > 0.5 > 0.2 > together[wrong, 0].mean()


def test_each_row_is_a_probability_and_an_absent_class_has_none() -> None:
    features, true, _ = packs(num_packs=2)
    probs = second_opinion(features, np.where(true, 3, 0), [str(i) for i in range(len(true))], 5)
    assert probs is not None
    np.testing.assert_allclose(probs.sum(axis=1), 1.0)
    assert probs[:, [1, 2, 4]].max() == 0.0


def test_too_few_clips_have_no_witnesses() -> None:
    assert second_opinion(np.zeros((6, 2), np.float32), np.array([0, 0, 0, 1, 1, 1]), list("abcdef"), 2) is None
    assert second_opinion(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), [], 2) is None


def test_levels_of_bands() -> None:
    log_mel = np.random.default_rng(0).uniform(-80, 0, (3, 1, 4, 9)).astype(np.float16)
    found = band_levels(log_mel, np.array([2, 0]))
    bands = log_mel[2, 0].astype(np.float32)
    assert found.shape == (2, 12)
    np.testing.assert_allclose(found[0], np.concatenate([bands.mean(1), bands.std(1), bands.max(1)]), rtol=1e-5)


def test_clips_of_a_dataset_and_of_another(workspace, bursts) -> None:
    dataset = workspace.import_dataset(bursts(per_class=6), name="bursts")
    clips = workspace.clips("bursts")
    ids = np.array([clip.id for clip in clips])[::-1].copy()
    targets = np.array([clip.target for clip in clips])[::-1].copy()
    probs = second_opinion_on(workspace.root, workspace.store, dataset, ids, targets)
    assert probs is not None
    assert probs.shape == (len(clips), int(targets.max()) + 1)
    assert (probs.argmax(axis=1) == targets).mean() > 0.8
    assert second_opinion_on(workspace.root, workspace.store, dataset, ids + 10_000, targets) is None
