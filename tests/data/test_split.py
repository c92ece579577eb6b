from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from samplemind_core.data.split import assign_splits, choose_splits, merge_groups
from samplemind_core.errors import DataError, SplitError

FRACTIONS = (0.7, 0.15, 0.15)


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    size = draw(st.integers(3, 80))
    targets = draw(st.lists(st.integers(0, 4), min_size=size, max_size=size))
    groups = draw(st.lists(st.integers(0, draw(st.integers(3, 40))), min_size=size, max_size=size))
    groups[:3] = [0, 1, 2]
    return np.array(targets), np.array(groups)


@settings(max_examples=60, deadline=None)
@given(collections(), st.integers(0, 5))
def test_no_group_straddles_and_every_clip_is_assigned(case: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    targets, groups = case
    split = assign_splits(targets, groups, seed=seed)
    assert set(split) == {"train", "val", "test"}
    assert len(split) == len(targets)
    for group in np.unique(groups):
        assert len(set(split[groups == group])) == 1
    np.testing.assert_array_equal(split, assign_splits(targets, groups, seed=seed))


@settings(max_examples=80, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=5), st.integers(0, 3))
def test_clips_of_no_source_are_stratified(sizes: list[int], seed: int) -> None:
    sizes[0] += 5
    targets = np.repeat(np.arange(len(sizes)), sizes)
    split = assign_splits(targets, np.arange(len(targets)), seed=seed)
    for target, size in enumerate(sizes):
        counts = [int((split[targets == target] == side).sum()) for side in ("train", "val", "test")]
        assert counts[0] >= 1
        if size >= 3:
            assert min(counts) >= 1
        if size >= 7:
            np.testing.assert_allclose(counts, np.multiply(FRACTIONS, size), atol=1.0 + 1e-9)


def test_every_class_with_three_groups_reaches_every_split() -> None:
    # Class 2 is in just three of thirty groups, which a deal by size alone puts where it likes.
    for seed in range(10):
        rng = np.random.default_rng(seed)
        groups = np.repeat(np.arange(30), 10)
        targets = rng.integers(0, 2, 300)
        targets[[5, 105, 205]] = 2
        split = assign_splits(targets, groups, seed=seed)
        assert set(split[targets == 2]) == {"train", "val", "test"}


def test_a_huge_group_is_trained_on_and_the_others_are_tested() -> None:
    targets = np.tile([0, 1], 60)
    groups = np.where(np.arange(120) < 90, 0, np.arange(120) // 2)
    split = assign_splits(targets, groups, seed=0)
    assert set(split[:90]) == {"train"}
    assert {"val", "test"} <= set(split[90:])


def test_the_shares_are_kept_with_many_groups() -> None:
    rng = np.random.default_rng(1)
    targets, groups = rng.integers(0, 5, 3_000), rng.integers(0, 200, 3_000)
    split = assign_splits(targets, groups, seed=3, fractions=(0.6, 0.3, 0.1))
    for target in range(5):
        mine = split[targets == target]
        found = [(mine == side).mean() for side in ("train", "val", "test")]
        np.testing.assert_allclose(found, (0.6, 0.3, 0.1), atol=0.04)


def test_the_seed_changes_the_split() -> None:
    targets, groups = np.zeros(50, dtype=int), np.arange(50)
    assert (assign_splits(targets, groups, seed=0) != assign_splits(targets, groups, seed=1)).any()


def test_two_groups_are_too_few() -> None:
    with pytest.raises(SplitError, match="at least 3 sources"):
        assign_splits(np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1]), seed=0)


@pytest.mark.parametrize("fractions", [(0.5, 0.5, 0.0), (0.5, 0.2, 0.2), (1.2, -0.1, -0.1)])
def test_shares_that_are_none_are_refused(fractions: tuple[float, float, float]) -> None:
    with pytest.raises(DataError, match="three positive shares"):
        assign_splits(np.zeros(9, dtype=int), np.arange(9), seed=0, fractions=fractions)


def test_groups_merge_over_sources_and_identical_sound() -> None:
    groups = merge_groups(["a", "a", "b", None, None, "c"], ["1", "2", "2", "3", "3", "4"])
    assert groups.tolist() == [0, 0, 0, 3, 3, 5]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c", None]), st.sampled_from("1234567")), max_size=30))
def test_merging_joins_exactly_what_is_linked(rows: list[tuple[str | None, str]]) -> None:
    groups = merge_groups([source for source, _ in rows], [digest for _, digest in rows])
    linked = np.eye(len(rows), dtype=bool)
    for i, (source, digest) in enumerate(rows):
        for j, (other, same) in enumerate(rows):
            linked[i, j] |= digest == same or (source is not None and source == other)
    for _ in rows:
        linked = linked | (linked.astype(int) @ linked.astype(int) > 0)
    np.testing.assert_array_equal(groups[:, None] == groups[None, :], linked)


def _choose(labels: list[str], sources: list[str | None], **changes: object) -> tuple[list[str], list[str]]:
    arguments: dict = {
        "hashes": [str(i) for i in range(len(labels))],
        "given": [None] * len(labels),
        "grouping": "inferred",
        "seed": 0,
        "fractions": FRACTIONS,
    } | changes
    return choose_splits(labels, sources, **arguments)


def test_inferred_sources_give_way_only_where_a_class_has_too_few() -> None:
    labels = ["kick"] * 12 + ["clap"] * 6
    sources = [f"pack{i // 3}" for i in range(12)] + ["only"] * 6
    split, warnings = _choose(labels, sources)
    for pack in range(4):
        assert len(set(split[3 * pack : 3 * pack + 3])) == 1
    assert set(split[12:]) == {"train", "val", "test"}
    assert len(warnings) == 1
    assert "'clap'" in warnings[0]
    assert "'kick'" not in warnings[0]


def test_named_groups_are_never_broken_up() -> None:
    labels = ["kick"] * 12 + ["clap"] * 6
    sources = [f"pack{i // 3}" for i in range(12)] + ["only"] * 6
    split, warnings = _choose(labels, sources, grouping="given")
    assert set(split[12:]) == {"train"}
    assert any("No clips in test: 'clap'" in warning for warning in warnings)
    with pytest.raises(SplitError):
        _choose(labels, ["one"] * 18, grouping="given")


def test_a_given_split_is_kept_and_completed_from_train() -> None:
    labels = ["a", "b"] * 20
    given: list = ["train"] * 30 + ["test"] * 10
    split, warnings = _choose(labels, [None] * 40, given=given, grouping="none")
    assert split[30:] == ["test"] * 10
    assert split[:30].count("val") >= 2
    assert set(split[:30]) == {"train", "val"}
    assert "names no val clips" in warnings[0]


def test_a_given_split_that_leaks_is_told() -> None:
    given: list = ["train", "train", "val", "test"] * 2
    labels = ["a", "b"] * 4
    _, warnings = _choose(labels, ["x"] * 8, given=given, hashes=["same"] * 8, grouping="given")
    assert any("1 identical sound on more than one side" in warning for warning in warnings)
    assert any("1 source on more than one side" in warning for warning in warnings)


def test_a_given_split_without_training_clips_is_refused() -> None:
    with pytest.raises(SplitError, match="no training clips"):
        _choose(["a", "b"], [None, None], given=["val", "test"])
