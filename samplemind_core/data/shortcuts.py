"""Whether labels can be guessed without hearing: from lengths, levels, silence and file formats alone.

A network takes the easiest way to low loss. If kicks were recorded at 44.1 kHz and snares at 48 kHz,
that is easier than listening, and worthless tomorrow (R. Geirhos et al., "Shortcut learning in deep
neural networks", Nature Machine Intelligence 2, 2020). A small decision tree is given such facts
only and judged on sources that it was not fitted on.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.findings import FactWeight, Finding, Shortcuts
from samplemind_core.data.profile import Profiles
from samplemind_core.data.sources import quoted

LENGTH, OFFSET = "length", "DC offset"
PERMUTATIONS = 99
MAX_CLIPS = 4_000
STRONG, SOME = 0.5, 0.1
"""Share of the way from guessing to perfect from which a shortcut is called strong, and one at all."""

MAX_P = 0.05
_FOLDS, _DEPTH, _LEAF = 5, 6, 5
MIN_CLIPS = 2 * _FOLDS
WORTH_NAMING = 0.01
"""Balanced or average precision lost without a fact from which the fact is named."""

_SHUFFLES = 5
_RESAMPLES = 1_000

Folds = list[tuple[NDArray[np.int64], NDArray[np.int64]]]


def fact_table(profiles: Profiles) -> tuple[list[str], NDArray[np.float64]]:
    """Return the names of facts that are not content, and their values (N, F)."""
    encodings = np.unique(profiles["encoding"], return_inverse=True)[1]
    facts = {
        LENGTH: np.log(np.maximum(profiles["duration_s"], 1e-4)),
        "silence at the start": profiles["leading_s"],
        "silence at the end": profiles["trailing_s"],
        "peak level": profiles.peak_db,
        "sample rate": profiles["sample_rate_hz"],
        "bit depth": profiles["bit_depth"],
        "channels": profiles["channels"],
        "encoding": encodings,
        OFFSET: profiles["dc_offset"],
    }
    return list(facts), np.stack([np.asarray(values, dtype=np.float64) for values in facts.values()], axis=1)


def probe_shortcuts(
    names: Sequence[str],
    facts: NDArray[np.float64],
    labels: NDArray[Any],
    groups: NDArray[np.int64],
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Shortcuts | None:
    """Return how well labels can be guessed from facts, or None where there are too few clips to tell.

    Parameters
    ----------
    names : sequence of str, length F
    facts : ndarray, shape (N, F)
    labels : ndarray, shape (N,)
        Classes of fewer than ten clips are left out.
    groups : ndarray of int64, shape (N,)
        Clips of one group are never on both sides of a fold.
    permutations : int
        Shuffles to compare with: the facts of whole groups change places, since clips of one group are
        no independent witnesses.
    seed : int
    progress : callable, optional
        Called with (steps done, steps in all).
    """
    kinds, counts = np.unique(labels, return_counts=True)
    rows = np.flatnonzero(np.isin(labels, kinds[counts >= MIN_CLIPS]))
    rng = np.random.default_rng(seed)
    if len(rows) > MAX_CLIPS:
        rows = np.sort(rng.choice(rows, MAX_CLIPS, replace=False))
    if len(np.unique(labels[rows])) < 2:
        return None
    classes, targets = np.unique(labels[rows], return_inverse=True)
    facts = facts[rows]
    of_group = np.unique(groups[rows], return_inverse=True)[1]
    folds, by_group = _folds(targets, of_group, seed)
    chance = 1.0 / len(classes)
    total = 1 + permutations + len(names)
    predicted, lost = _predict(facts, targets, folds, rng)
    accuracy = _balanced(targets, predicted)
    low, high = _interval(targets, predicted, of_group, rng)
    if progress is not None:
        progress(1, total)
    as_good = 0
    for number in range(permutations):
        # Facts change places, not labels: the folds were dealt by labels, and must fit the shuffled sets as well.
        others = facts[shuffled(len(targets), of_group, rng)]
        as_good += _balanced(targets, _fold_predictions(others, targets, folds)) >= accuracy
        if progress is not None:
            progress(2 + number, total)
    weights = []
    for place, name in enumerate(names):
        alone = _balanced(targets, _fold_predictions(facts[:, [place]], targets, folds))
        weights.append(FactWeight(name, alone, float(lost[place])))
        if progress is not None:
            progress(2 + permutations + place, total)
    weights.sort(key=lambda weight: (-weight.importance, -weight.alone))
    p_value = (1 + as_good) / (1 + permutations)
    skill = (accuracy - chance) / (1 - chance)
    found = p_value <= MAX_P and skill >= SOME
    verdict = "strong" if found and skill >= STRONG else "some" if found else "none"
    return Shortcuts(
        verdict=verdict,  # type: ignore[arg-type]
        balanced_accuracy=accuracy,
        low=low,
        high=high,
        chance=chance,
        p_value=p_value,
        facts=tuple(weights),
        sentence=_sentence(verdict, accuracy, chance, weights, by_group),
    )


def shortcut_findings(shortcuts: Shortcuts | None) -> list[Finding]:
    """Return the finding about a shortcut, if there is one."""
    if shortcuts is None or shortcuts.verdict == "none":
        return []
    strong = shortcuts.verdict == "strong"
    return [
        Finding(
            "shortcut",
            "warning" if strong else "note",
            f"Labels can be guessed {'well' if strong else 'in part'} without listening",
            shortcuts.sentence,
            "keep",
            subjects=tuple(fact.name for fact in shortcuts.facts if fact.importance > WORTH_NAMING),
        )
    ]


def _folds(targets: NDArray[np.int64], groups: NDArray[np.int64], seed: int) -> tuple[Folds, bool]:
    """Return folds that keep groups whole where every class has groups for that, and whether they do."""
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    per_class = [len(np.unique(groups[targets == target])) for target in np.unique(targets)]
    by_group = min(per_class) >= 2
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # classes with fewer members than folds: known and fine
        if by_group:
            count = min(_FOLDS, max(2, min(per_class)))
            split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(targets, targets, groups)
        else:
            split = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(targets, targets)
        return [(train, test) for train, test in split if len(train) and len(test)], by_group


def _tree(facts: NDArray[np.float64], targets: NDArray[np.int64]) -> Any:
    from sklearn.tree import DecisionTreeClassifier

    tree = DecisionTreeClassifier(max_depth=_DEPTH, min_samples_leaf=_LEAF, class_weight="balanced", random_state=0)
    return tree.fit(facts, targets)


def _fold_predictions(facts: NDArray[np.float64], targets: NDArray[np.int64], folds: Folds) -> NDArray[np.int64]:
    predicted = np.full(len(targets), -1, dtype=np.int64)
    for train, test in folds:
        predicted[test] = _tree(facts[train], targets[train]).predict(facts[test])
    return predicted


def _predict(
    facts: NDArray[np.float64], targets: NDArray[np.int64], folds: Folds, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return predictions, and the balanced accuracy lost when each fact is shuffled among the unseen clips."""
    predicted = np.full(len(targets), -1, dtype=np.int64)
    blurred = np.full((facts.shape[1], _SHUFFLES, len(targets)), -1, dtype=np.int64)
    for train, test in folds:
        tree = _tree(facts[train], targets[train])
        predicted[test] = tree.predict(facts[test])
        for place in range(facts.shape[1]):
            for number in range(_SHUFFLES):
                changed = facts[test].copy()
                changed[:, place] = rng.permutation(changed[:, place])
                blurred[place, number, test] = tree.predict(changed)
    accuracy = _balanced(targets, predicted)
    lost = np.array([accuracy - np.mean([_balanced(targets, one) for one in several]) for several in blurred])
    return predicted, lost


def _balanced(targets: NDArray[np.int64], predicted: NDArray[np.int64]) -> float:
    hits = np.bincount(targets, targets == predicted)
    return float((hits / np.bincount(targets)).mean())


def _interval(
    targets: NDArray[np.int64], predicted: NDArray[np.int64], groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of balanced accuracy by resampling groups."""
    num_groups, num_classes = int(groups.max()) + 1, int(targets.max()) + 1
    cell = groups * num_classes + targets
    total = np.bincount(cell, minlength=num_groups * num_classes).reshape(num_groups, num_classes)
    hits = np.bincount(cell, targets == predicted, minlength=num_groups * num_classes).reshape(total.shape)
    drawn = rng.multinomial(num_groups, np.full(num_groups, 1 / num_groups), size=_RESAMPLES)
    counts = drawn @ total
    recall = np.where(counts > 0, (drawn @ hits) / np.maximum(counts, 1), np.nan)
    low, high = np.quantile(np.nanmean(recall, axis=1), [0.025, 0.975])
    return float(low), float(high)


def shuffled(num_clips: int, groups: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the rows of clips (N,) dealt anew in the runs in which they lay: whole groups change places."""
    by_group = np.argsort(groups, kind="stable")
    parts = np.split(by_group, np.flatnonzero(np.diff(groups[by_group])) + 1)
    dealt = np.concatenate([rng.permutation(parts[place]) for place in rng.permutation(len(parts))])
    result = np.empty(num_clips, dtype=np.int64)
    result[by_group] = dealt
    return result


def _sentence(verdict: str, accuracy: float, chance: float, facts: Sequence[FactWeight], by_group: bool) -> str:
    reached = f"{100 * accuracy:.0f} % balanced accuracy (guessing: {100 * chance:.0f} %)"
    where = "on sources it had not seen" if by_group else "on clips it had not seen"
    if verdict == "none":
        return (
            f"Lengths, levels and file formats alone do not give the labels away: a small model gets {reached} {where}."
        )
    carried = [fact.name for fact in facts if fact.importance > WORTH_NAMING][:3] or [facts[0].name]
    sentence = f"Without hearing anything, a small model gets {reached} {where}, mostly from {quoted(carried)}."
    if carried[0] == LENGTH:
        sentence += " How long a sound lasts can belong to its class; make sure it is not how somebody cut the files."
    else:
        sentence += " A network can learn that in place of the sound. Make all classes alike in it, or mix sources."
    return sentence
