"""Maps against what they promise, and outliers that were planted."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.errors import ConfigError, DataError
from samplemind_core.evaluation.embedding_map import apartness, pca_map, turned, umap_map


def clusters(per: int = 20, dims: int = 12, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three bundles of directions, and the names of their members."""
    rng = np.random.default_rng(seed)
    centres = np.eye(dims)[:3] * 5.0
    vectors = np.concatenate([centre + 0.3 * rng.normal(size=(per, dims)) for centre in centres])
    return vectors, np.repeat(["kick", "snare", "tom"], per)


def test_pca_keeps_what_an_svd_says_it_keeps() -> None:
    vectors, _ = clusters()
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = directions - directions.mean(axis=0)
    strengths = np.linalg.svd(centred, compute_uv=False) ** 2
    for dims in (2, 3):
        found = pca_map(vectors, dims)
        assert found.points.shape == (len(vectors), dims)
        assert found.kept == pytest.approx(strengths[:dims].sum() / strengths.sum(), abs=1e-4)
        assert np.square(found.points).sum(axis=0) == pytest.approx(strengths[:dims], rel=1e-3)
    assert np.array_equal(pca_map(vectors, 2).points, pca_map(vectors, 2).points)


def test_equal_clips_lie_on_one_point() -> None:
    found = pca_map(np.ones((5, 4)), 3)
    assert np.allclose(found.points, 0)
    assert found.kept == 1.0


@pytest.mark.timeout(900)  # it compiles itself first
def test_umap_keeps_clusters_and_repeats_itself() -> None:
    pytest.importorskip("umap")
    vectors, names = clusters()
    first, again = umap_map(vectors, 2), umap_map(vectors, 2)
    assert np.array_equal(first.points, again.points)
    gaps = np.linalg.norm(first.points[:, None] - first.points[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    assert (names[gaps.argmin(axis=1)] == names).all()
    assert np.isfinite(umap_map(vectors[:6], 3).points).all()


@pytest.mark.parametrize("count", [3, 5])
def test_a_handful_of_clips_still_gets_a_map(count) -> None:
    vectors = np.random.default_rng(1).normal(size=(count, 5))
    assert np.isfinite(umap_map(vectors, 3).points).all()


def test_a_turned_map_lies_over_the_other() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=(30, 2))
    angle = 1.1
    spun = target @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * 3.0 + 7.0
    mirrored = spun * [-1, 1]
    assert np.allclose(turned(spun, target), target, atol=1e-4)
    assert np.allclose(turned(mirrored, target), target, atol=1e-4)
    assert np.isfinite(turned(np.zeros((4, 2)), target[:4])).all()


def test_planted_outliers_come_first() -> None:
    vectors, names = clusters()
    vectors[7] = np.eye(12)[9] * 4.0  # like nothing else
    names[25] = "tom"  # a snare that somebody filed under tom
    found = apartness(vectors, names)
    assert found.distance.argmax() == 7
    lonely = found.agreement.argsort(kind="stable")
    assert 25 in lonely[:2]
    assert found.agreement[25] == 0
    assert np.median(found.agreement) == 1


def test_equal_clips_are_no_outliers_of_each_other() -> None:
    vectors = np.repeat(np.eye(4), 30, axis=0)
    found = apartness(vectors, ["a"] * len(vectors))
    assert np.allclose(found.distance, 0, atol=1e-6)
    assert (found.agreement == 1).all()


def test_wrong_questions_are_explained() -> None:
    with pytest.raises(ConfigError, match="2 or 3"):
        pca_map(np.ones((5, 4)), 4)
    with pytest.raises(DataError, match="at least 3"):
        umap_map(np.ones((2, 4)), 2)


def test_what_lies_apart_is_kept_and_many_are_compared_alike(tmp_path, monkeypatch) -> None:
    from dataclasses import replace

    from samplemind_core.evaluation import embeddings as module
    from samplemind_core.evaluation.embedding_map import make_apartness, stored_apartness
    from samplemind_core.store import Checkpoint

    vectors, names = clusters()
    few = apartness(vectors, names)
    monkeypatch.setattr(module, "_MANY", 1)  # as with twenty thousand samples
    many = apartness(vectors, names)
    assert np.allclose(many.distance, few.distance, atol=1e-6)
    assert np.array_equal(many.agreement, few.agreement)
    empty = np.array([""] * len(names))
    asked = module.Embeddings(vectors.astype(np.float32), np.zeros((len(names), 3), np.float32),
                              np.arange(len(names)), names, empty, empty, empty, ("kick", "snare", "tom"))  # fmt: skip
    checkpoint = Checkpoint(1, "r1", "best", 3, "x", 0.5, 0.8, 1, 17.0)
    assert stored_apartness(tmp_path, checkpoint, "d1", "test", asked) is None
    made = make_apartness(tmp_path, checkpoint, "d1", "test", asked)
    kept = stored_apartness(tmp_path, checkpoint, "d1", "test", asked)
    assert kept is not None
    assert np.array_equal(kept.distance, made.distance)
    # Other weights or a corrected label: what was found is not true any more.
    assert stored_apartness(tmp_path, replace(checkpoint, created_at=18.0), "d1", "test", asked) is None
    corrected = replace(asked, labels=np.where(np.arange(len(names)) == 0, "snare", names))
    assert stored_apartness(tmp_path, checkpoint, "d1", "test", corrected) is None
