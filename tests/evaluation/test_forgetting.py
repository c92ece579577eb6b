"""Learned, forgotten, never, always: by hand for a few clips, as rules for any."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from samplemind_core.errors import DataError
from samplemind_core.evaluation.forgetting import GROUPS, follow

# A column a clip: always right, learned for good, learned and forgotten and learned, never, forgotten at the end.
RIGHT = np.array(
    [
        [1, 0, 0, 0, 1],
        [1, 0, 1, 0, 1],
        [1, 1, 0, 0, 1],
        [1, 1, 1, 0, 0],
    ],
    dtype=bool,
)
EPOCHS = np.array([1, 2, 3, 4])


def names(found, epoch: int) -> list[str]:
    return [GROUPS[code] for code in found.codes[found.place(epoch)]]


def test_each_clip_stands_where_its_past_puts_it() -> None:
    found = follow(EPOCHS, RIGHT)
    assert names(found, 1) == ["always", "never", "never", "never", "always"]
    assert names(found, 2) == ["always", "never", "learned", "never", "always"]
    assert names(found, 3) == ["always", "learned", "forgotten", "never", "always"]
    assert names(found, 4) == ["always", "learned", "learned", "never", "forgotten"]
    assert found.counts.tolist() == [[2, 0, 0, 3], [2, 1, 0, 2], [2, 1, 1, 1], [1, 2, 1, 1]]
    assert found.times_forgotten[-1].tolist() == [0, 0, 1, 0, 1]
    assert found.stays[1].tolist() == [True, False, False, False, False]
    assert found.just(4).tolist() == [False, False, True, False, True]
    assert not found.just(1).any()


def test_members_come_with_what_is_new_first() -> None:
    found = follow(EPOCHS, RIGHT)
    assert found.members(4, "learned").tolist() == [2, 1]
    assert found.members(2, "forgotten").tolist() == []


def test_epochs_that_were_left_out_are_not_there() -> None:
    found = follow(np.array([1, 4]), RIGHT[[0, 3]])
    assert names(found, 4) == ["always", "learned", "learned", "never", "forgotten"]
    with pytest.raises(DataError, match="epoch 2"):
        found.place(2)


@pytest.mark.parametrize(("epochs", "shape"), [(2, (1, 3)), (0, (0, 3)), (2, (2,))])
def test_what_does_not_fit_is_refused(epochs: int, shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="row of answers"):
        follow(np.arange(epochs), np.zeros(shape, bool))


@given(arrays(bool, st.tuples(st.integers(1, 6), st.integers(1, 8))))
def test_every_clip_is_in_one_group_and_the_groups_agree_with_the_answers(right: np.ndarray) -> None:
    found = follow(np.arange(1, len(right) + 1), right)
    assert (found.counts.sum(axis=1) == right.shape[1]).all()
    assert (found.counts[:, :2].sum(axis=1) == right.sum(axis=1)).all()  # always and learned are those that are right
    assert (np.diff(found.counts[:, 0]) <= 0).all()  # nobody becomes "always"
    assert (np.diff(found.counts[:, 3]) <= 0).all()  # nobody becomes "never"
    for epoch in found.epochs.tolist():
        listed = [found.members(epoch, group) for group in GROUPS]
        assert sorted(np.concatenate(listed).tolist()) == list(range(right.shape[1]))
