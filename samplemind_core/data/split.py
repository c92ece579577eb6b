"""Train, validation and test sets that keep every source on one side and every class on all three.

A model that has heard a drum machine in training recognises it in the test set; a split by clip
would measure that memory. Groups (sources, merged where they share identical sound) are therefore
dealt as wholes, stratified by class in the spirit of iterative stratification (Sechidis et al.,
"On the Stratification of Multi-Label Data", ECML PKDD 2011); clips of several labels by that very method.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.sources import Grouping, counted, quoted
from samplemind_core.errors import DataError, SplitError
from samplemind_core.store.records import SPLITS, Split

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Cost of a class that is absent from train, val and test, against which any imbalance is small.
_ABSENT = np.array([1e6, 1e3, 2e3])
_RESTARTS = 6
_MANY_GROUPS = 3_000


def assign_splits(
    targets: Ints, groups: NDArray[Any], *, seed: int, fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
) -> NDArray[np.str_]:
    """Return the split of each clip: stratified by class, no group on two sides, the same for the same seed.

    Parameters
    ----------
    targets : ndarray of int, shape (N,)
        Class of each clip.
    groups : ndarray, shape (N,)
        Group of each clip, such as from :func:`merge_groups`.
    seed : int
        Seed of the order in which groups of equal size are dealt.
    fractions : tuple of float
        Shares of train, val and test; positive, with sum 1.

    Returns
    -------
    ndarray of str, shape (N,)
        ``train``, ``val`` or ``test``.

    Raises
    ------
    SplitError
        If there are fewer than three groups.
    DataError
        If the fractions are not shares.
    """
    shares, group_of = _checked(fractions, groups)
    classes, class_of = np.unique(targets, return_inverse=True)
    rng = np.random.default_rng(seed)
    sizes = np.bincount(group_of)
    whole = sizes[group_of] > 1
    wanted = shares[:, None] * np.bincount(class_of, minlength=len(classes))
    dealt = np.zeros((3, len(classes)))
    result = np.full(len(targets), -1, dtype=np.int64)
    if whole.any():
        present, local = np.unique(group_of[whole], return_inverse=True)
        table = _Table(local, class_of[whole], len(present), len(classes))
        singles = np.bincount(class_of[~whole], minlength=len(classes))
        sides = _deal(table, wanted, singles, rng)
        result[whole] = sides[local]
        np.add.at(dealt, (result[whole], class_of[whole]), 1)
    for target in rng.permutation(len(classes)):
        members = rng.permutation(np.flatnonzero(~whole & (class_of == target)))
        counts = _share_out(len(members), wanted[:, target] - dealt[:, target], dealt[:, target] > 0)
        result[members] = np.repeat(np.arange(3), counts)
        dealt[:, target] += counts
    _fill_empty(result, group_of, class_of)
    return np.asarray(SPLITS)[result]


def check_fractions(fractions: Sequence[float]) -> Floats:
    """Return the shares of train, val and test; raise :class:`DataError` if they are none."""
    shares = np.asarray(fractions, dtype=np.float64)
    if shares.shape != (3,) or not (shares > 0).all() or not np.isclose(shares.sum(), 1.0):
        raise DataError(
            f"Expected three positive shares with sum 1 for train, val and test, got {tuple(fractions)}.",
            "For example 0.7, 0.15, 0.15.",
        )
    return shares


def _checked(fractions: Sequence[float], groups: NDArray[Any]) -> tuple[Floats, Ints]:
    """Return the shares, and the group of each clip numbered from 0."""
    shares = check_fractions(fractions)
    names, group_of = np.unique(groups, return_inverse=True)
    if len(names) < 3:
        raise SplitError(
            f"Train, val and test need clips of at least 3 sources, or 3 different sounds, but there "
            f"{'is' if len(names) == 1 else 'are'} {len(names)} (in {counted(len(group_of), 'clip')}).",
            "Add other clips; copies of one sound count once, and so do all clips of one source.",
        )
    return shares, group_of.astype(np.int64)


def merge_groups(sources: Sequence[str | None], hashes: Sequence[str]) -> Ints:
    """Return a group per clip, so that clips of one source or of identical sound share it.

    Parameters
    ----------
    sources : sequence of str or None, length N
        Source of each clip; a clip without one is alone, apart from its copies.
    hashes : sequence of str, length N
        Content hash of each clip.

    Returns
    -------
    ndarray of int64, shape (N,)
        Groups numbered by their first clip.
    """
    parent = list(range(len(hashes)))

    def find(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, (source, digest) in enumerate(zip(sources, hashes, strict=True)):
        for key in (("hash", digest), ("source", source)):
            if key[1] is not None:
                other = find(first.setdefault((key[0], key[1]), i))
                mine = find(i)
                # The smaller index becomes the root, so numbering does not depend on the order of merging.
                parent[max(mine, other)] = min(mine, other)
    return np.asarray([find(i) for i in range(len(parent))], dtype=np.int64)


def choose_splits(
    labels: Sequence[str | tuple[str, ...]],
    sources: Sequence[str | None],
    hashes: Sequence[str],
    given: Sequence[Split | None],
    *,
    grouping: Grouping,
    seed: int,
    fractions: tuple[float, float, float],
) -> tuple[list[Split], list[str]]:
    """Return each clip's split and what is worth knowing about it; a clip's label may be a tuple of several.

    A split that a manifest gives is kept; what it lacks of val or test is taken from its training
    clips. Where sources were only inferred from folders or provenance, clips of classes with fewer
    than three sources are dealt one by one; named groups are never broken up.

    Raises
    ------
    SplitError
        If train, val and test cannot all have clips.
    """
    own = [(label,) if isinstance(label, str) else label for label in labels]
    if any(given):
        chosen, warnings = _complete(own, sources, hashes, [side or "train" for side in given], seed, fractions)
        warnings += _leaks(chosen, sources, hashes, grouping)
    else:
        groups, warnings = _groups(own, sources, hashes, grouping)
        chosen = list(_assign(own, groups, seed, fractions))
    warnings += _absences(own, chosen)
    return [side for name in chosen for side in SPLITS if side == name], warnings


def _assign(
    labels: Sequence[tuple[str, ...]], groups: Ints, seed: int, fractions: tuple[float, float, float]
) -> NDArray[np.str_]:
    if all(len(own) == 1 for own in labels):
        targets = np.unique([own[0] for own in labels], return_inverse=True)[1]
        return assign_splits(targets, groups, seed=seed, fractions=fractions)
    from samplemind_core.data.stratify import deal_labels

    shares, group_of = _checked(fractions, groups)
    return np.asarray(SPLITS)[deal_labels(labels, group_of, shares, np.random.default_rng(seed))]


def _groups(
    labels: Sequence[tuple[str, ...]], sources: Sequence[str | None], hashes: Sequence[str], grouping: Grouping
) -> tuple[Ints, list[str]]:
    groups = merge_groups(sources, hashes)
    if grouping != "inferred":
        return groups, []
    starved = _starved(labels, groups) & {
        label for own, source in zip(labels, sources, strict=True) if source is not None for label in own
    }
    if not starved:
        return groups, []
    loose = [None if starved.intersection(own) else source for own, source in zip(labels, sources, strict=True)]
    return merge_groups(loose, hashes), [
        f"{quoted(sorted(starved))}: fewer than 3 sources each, so these clips were split one by one. "
        "Clips of one source may be in train and test, and the scores of these classes may flatter."
    ]


def _starved(labels: Sequence[tuple[str, ...]], groups: Ints) -> set[str]:
    """Return the classes whose clips form fewer than three groups."""
    by_class: dict[str, set[int]] = {}
    for own, group in zip(labels, groups.tolist(), strict=True):
        for label in own:
            by_class.setdefault(label, set()).add(group)
    return {label for label, members in by_class.items() if len(members) < 3}


def _complete(
    labels: Sequence[tuple[str, ...]],
    sources: Sequence[str | None],
    hashes: Sequence[str],
    given: list[Split],
    seed: int,
    fractions: tuple[float, float, float],
) -> tuple[list[Any], list[str]]:
    """Return a given split with val and test taken from train where they are missing."""
    missing: list[Split] = [side for side in ("val", "test") if side not in given]
    train = [i for i, side in enumerate(given) if side == "train"]
    if not missing:
        if not train:
            raise SplitError("The manifest names no training clips.", "Mark some rows 'train', or drop the column.")
        return list(given), []
    groups = merge_groups([sources[i] for i in train], [hashes[i] for i in train])
    if len(np.unique(groups)) < 3:
        raise SplitError(
            f"The manifest names no {' and no '.join(missing)} clips, and its {len(train)} training clips come from "
            "too few sources to take some from.",
            "Mark rows for train, val and test, or drop the split column.",
        )
    found = _assign([labels[i] for i in train], groups, seed, fractions)
    chosen = list(given)
    for i, side in zip(train, found, strict=True):
        if side in missing:
            chosen[i] = side
    moved = ", ".join(f"{chosen.count(side)} as {side}" for side in missing)
    return chosen, [f"The manifest names no {' and no '.join(missing)} clips; taken from its training clips: {moved}."]


def _leaks(
    chosen: Sequence[str], sources: Sequence[str | None], hashes: Sequence[str], grouping: Grouping
) -> list[str]:
    warnings = []
    sides: dict[str, set[str]] = {}
    for digest, side in zip(hashes, chosen, strict=True):
        sides.setdefault(digest, set()).add(side)
    copies = sum(len(found) > 1 for found in sides.values())
    if copies:
        warnings.append(
            f"The given split has {counted(copies, 'identical sound')} on more than one side of train, val and test; "
            "its scores will flatter."
        )
    if grouping == "given":
        straddling: dict[str, set[str]] = {}
        for source, side in zip(sources, chosen, strict=True):
            if source is not None:
                straddling.setdefault(source, set()).add(side)
        names = sorted(source for source, found in straddling.items() if len(found) > 1)
        if names:
            warnings.append(
                f"The given split has {counted(len(names), 'source')} on more than one side of train, val and test: "
                f"{quoted(names, 5)}."
            )
    return warnings


def _absences(labels: Sequence[tuple[str, ...]], chosen: Sequence[str]) -> list[str]:
    present = {(label, side) for own, side in zip(labels, chosen, strict=True) for label in own}
    warnings = []
    for side in SPLITS:
        absent = sorted({label for own in labels for label in own if (label, side) not in present})
        if absent:
            warnings.append(f"No clips in {side}: {quoted(absent)}. More clips from more sources would mend it.")
    return warnings


class _Table:
    """Clips per group and class, stored sparsely: most groups know few classes."""

    def __init__(self, group_of: Ints, class_of: Ints, num_groups: int, num_classes: int) -> None:
        flat, counts = np.unique(group_of * num_classes + class_of, return_counts=True)
        groups, self.classes = flat // num_classes, flat % num_classes
        self.counts = counts.astype(np.float64)
        self.starts = np.searchsorted(groups, np.arange(num_groups + 1))
        self.sizes = np.bincount(group_of, minlength=num_groups)

    def __len__(self) -> int:
        return len(self.sizes)

    def row(self, group: int) -> tuple[Ints, Floats]:
        part = slice(self.starts[group], self.starts[group + 1])
        return self.classes[part], self.counts[part]


def _deal(table: _Table, wanted: Floats, singles: Ints, rng: np.random.Generator) -> Ints:
    """Return the side of each group: the best of several seeded greedy deals, each improved by moving groups."""
    best, best_cost = np.zeros(0, dtype=np.int64), np.inf
    many = len(table) > _MANY_GROUPS
    restarts = int(np.clip(_RESTARTS * 200 // len(table), 1, _RESTARTS))
    for _ in range(restarts):
        jitter = rng.random(len(table))
        order = np.lexsort((jitter, -table.sizes * (1 + 0.3 * jitter)))
        sides, dealt, holders = _greedy(table, order, wanted)
        # Among thousands of groups the greedy deal is already even; only an absent class is worth a pass.
        passes = (1 if _absence(holders, singles).any() else 0) if many else 4
        for _ in range(passes):
            if not _improve(table, rng.permutation(len(table)), sides, dealt, holders, wanted, singles):
                break
        cost = float(_imbalance(dealt, wanted).sum() + _absence(holders, singles).sum())
        if cost < best_cost:
            best, best_cost = sides, cost
    return best


def _greedy(table: _Table, order: Ints, wanted: Floats) -> tuple[Ints, Floats, Ints]:
    sides = np.empty(len(table), dtype=np.int64)
    dealt, holders = np.zeros_like(wanted), np.zeros(wanted.shape, dtype=np.int64)
    for group in order:
        classes, counts = table.row(group)
        side = int(_growth(counts, dealt[:, classes], wanted[:, classes]).argmin())
        sides[group] = side
        dealt[side, classes] += counts
        holders[side, classes] += 1
    return sides, dealt, holders


def _improve(
    table: _Table, order: Ints, sides: Ints, dealt: Floats, holders: Ints, wanted: Floats, singles: Ints
) -> bool:
    """Move groups to where they lower the cost, in place; return whether any moved."""
    moved = False
    for group in order:
        classes, counts = table.row(group)
        goal, here = wanted[:, classes], int(sides[group])
        dealt[here, classes] -= counts
        holders[here, classes] -= 1
        costs = _growth(counts, dealt[:, classes], goal)
        if not holders[:, classes].all():
            costs += [_absence(_with(holders[:, classes], side), singles[classes]).sum() for side in range(3)]
        best = int(costs.argmin())
        if costs[best] >= costs[here] - 1e-9:
            best = here
        sides[group] = best
        dealt[best, classes] += counts
        holders[best, classes] += 1
        moved |= best != here
    return moved


def _growth(counts: Floats, dealt: Floats, wanted: Floats) -> Floats:
    """Return what the imbalance (dealt - wanted)² / wanted grows by when a group goes to each side."""
    growth: Floats = (counts * (2 * (dealt - wanted) + counts) / wanted).sum(axis=1)
    return growth


def _with(holders: Ints, side: int) -> Ints:
    more = holders.copy()
    more[side] += 1
    return more


def _imbalance(dealt: Floats, wanted: Floats) -> Floats:
    return np.square(dealt - wanted) / wanted


def _absence(holders: Ints, singles: Ints) -> Floats:
    """Return the cost per class of sides without it, less what clips that are dealt later can still fill."""
    gaps = (holders == 0) * _ABSENT[:, None]
    gaps = np.sort(gaps, axis=0)[::-1]
    filled = np.arange(3)[:, None] < singles
    cost: Floats = np.where(filled, 0.0, gaps).sum(axis=0)
    return cost


def _share_out(count: int, lacking: Floats, has: NDArray[np.bool_]) -> Ints:
    """Return how many of ``count`` single clips go to each side, with at least one where a side has none."""
    need = np.maximum(lacking, 0.0)
    exact = need * (count / need.sum()) if need.sum() > 0 else np.array([count, 0.0, 0.0])
    counts: Ints = np.floor(exact).astype(np.int64)
    for side in np.argsort(counts - exact, kind="stable")[: count - counts.sum()]:
        counts[side] += 1
    for side in (0, 2, 1):  # a class that cannot be everywhere is learnt first, then tested
        if counts[side] == 0 and not has[side]:
            spare = counts - np.where(has, 0, 1)
            giver = int(spare.argmax())
            if spare[giver] > 0:
                counts[giver] -= 1
                counts[side] += 1
            elif side == 0 and counts.any():
                counts[int(counts.argmax())] -= 1
                counts[side] += 1
    return counts


def _fill_empty(sides: Ints, group_of: Ints, class_of: Ints) -> None:
    """Give a side without clips the group that is missed least where it was, in place."""
    for side in range(3):
        if (sides == side).any():
            continue
        best, best_cost = -1, np.inf
        for group in np.unique(group_of):
            members = group_of == group
            here = sides[members][0]
            stays = (sides == here) & ~members
            if not stays.any():
                continue
            orphans = len(set(class_of[members]) - set(class_of[stays]))
            cost = _ABSENT[here] * orphans + members.sum()
            if cost < best_cost:
                best, best_cost = group, cost
        sides[group_of == best] = side
