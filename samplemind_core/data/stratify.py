"""Splits and folds of clips with several labels: iterative stratification, with sources kept whole.

The rarest label is dealt first, since it can be placed least freely, and each group that holds it goes
where that label is wanted most (K. Sechidis, G. Tsoumakas and I. Vlahavas, "On the Stratification of
Multi-Label Data", ECML PKDD 2011). What is dealt here are whole groups (sources, copies of one sound),
the largest first. When only as few groups with a label are left as there are sides without it, those
sides get them. Ties are broken at random; the evenest of several deals counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Cost of a label that is absent from train, val and test, or from a fold, against which any imbalance is small.
_ABSENT, _ABSENT_FROM_FOLD = np.array([1e6, 1e3, 2e3]), 1e3
_DEALS, _DEALS_OF_FOLDS, _GROUPS_OF_ONE_DEAL = 8, 64, 2_000


def deal_folds(labels: Sequence[Sequence[str]], group_of: Ints, num_folds: int, rng: np.random.Generator) -> Ints:
    """Return the fold (N,) of each clip, each fold as large and with as much of each label as can be.

    Parameters are those of :func:`deal_labels`; at least as many groups as folds.
    """
    shares = np.full(num_folds, 1.0 / num_folds)
    # What every clip has makes uneven sizes cost as much as an uneven label.
    everyone = [(*own, "") for own in labels]
    return deal_labels(everyone, group_of, shares, rng, np.full(num_folds, _ABSENT_FROM_FOLD), _DEALS_OF_FOLDS)


def deal_labels(
    labels: Sequence[Sequence[str]],
    group_of: Ints,
    shares: Floats,
    rng: np.random.Generator,
    absent: Floats = _ABSENT,
    deals: int = _DEALS,
) -> Ints:
    """Return the side (from 0) of each clip, the same for all clips of a group.

    Parameters
    ----------
    labels : sequence of sequences of str, length N
        Labels of each clip.
    group_of : ndarray of int64, shape (N,)
        Group of each clip, numbered from 0; at least as many groups as sides.
    shares : ndarray of float64, shape (S,)
        Of the clips, and of those with each label, that each side shall get; sum 1.
    rng : Generator
        Breaks ties.
    absent : ndarray of float64, shape (S,)
        What it costs that a side has no clip with a label; by default of train, val and test.
    deals : int
        At most so many are tried, fewer of many groups; the evenest counts.
    """
    names = {name: place for place, name in enumerate(sorted({name for own in labels for name in own}))}
    sizes = np.bincount(group_of).astype(np.float64)
    table = np.zeros((len(sizes), len(names)))
    for group, own in zip(group_of, labels, strict=True):
        for name in own:
            table[group, names[name]] += 1
    wanted, room = shares[:, None] * table.sum(axis=0), shares * sizes.sum()
    best, best_cost = np.zeros(0, dtype=np.int64), np.inf
    for _ in range(int(np.clip(deals * _GROUPS_OF_ONE_DEAL // (8 * len(sizes)), 1, deals))):
        sides = _deal(table, sizes, wanted, room, rng)
        _fill_empty(sides, sizes, len(shares))
        dealt = np.stack([table[sides == side].sum(axis=0) for side in range(len(shares))])
        cost = float((np.square(dealt - wanted) / np.maximum(wanted, 1e-9)).sum() + (absent @ (dealt == 0)).sum())
        if cost < best_cost:
            best, best_cost = sides, cost
    return best[group_of]


def _deal(table: Floats, sizes: Floats, wanted: Floats, room: Floats, rng: np.random.Generator) -> Ints:
    lacking, room = wanted.copy(), room.copy()
    holds = np.zeros(wanted.shape, dtype=bool)
    sides = np.full(len(sizes), -1, dtype=np.int64)
    left = table.sum(axis=0)
    jitter = rng.random(len(sizes))
    order = np.lexsort((jitter, -sizes * (1 + 0.3 * jitter)))

    def put(group: int, side: int) -> None:
        sides[group] = side
        lacking[side] -= table[group]
        room[side] -= sizes[group]
        holds[side] |= table[group] > 0
        left[:] -= table[group]

    while left.any():
        label = int(np.where(left > 0, left, np.inf).argmin())
        members = order[(sides[order] < 0) & (table[order, label] > 0)]
        for number, group in enumerate(members):
            without = np.flatnonzero(~holds[:, label])
            choice = without if 0 < len(members) - number <= len(without) else np.arange(len(room))
            ties = rng.random(len(room))
            put(int(group), max(choice.tolist(), key=lambda side: (lacking[side, label], room[side], ties[side])))
    for group in order[sides[order] < 0]:  # of clips without any label
        put(int(group), int(room.argmax()))
    return sides


def _fill_empty(sides: Ints, sizes: Floats, num_sides: int) -> None:
    """Give a side without clips the smallest group of a side that has several, in place."""
    for side in range(num_sides):
        if not (sides == side).any():
            spare = np.flatnonzero(np.bincount(sides, minlength=num_sides)[sides] > 1)
            sides[spare[sizes[spare].argmin()]] = side
