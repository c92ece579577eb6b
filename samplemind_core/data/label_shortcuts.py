"""Whether any of several labels can be told without hearing: from lengths, levels, silence and formats alone.

As :mod:`~samplemind_core.data.shortcuts` asks of clips with one label. A label may hide among many
that are in order, so each is judged by itself, and all together by mean average precision. The small
model adds up what each fact says (naive Bayes on binned facts): one matrix product fits it to every
label, so that it can be fitted to shuffled facts a hundred times. That many labels are asked after
is paid for: a label counts as told only if it does better than the best of all does from shuffled facts in
95 % of the shuffles (P. H. Westfall and S. S. Young, "Resampling-Based Multiple Testing", 1993).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from samplemind_core.data.findings import FactWeight, Finding, LabelGuess, LabelShortcuts
from samplemind_core.data.label_scores import (
    Floats,
    Folds,
    Ints,
    Truth,
    clips_per_label,
    ends_around,
    groups_per_label,
    label_folds,
    precisions,
    resampled_precisions,
)
from samplemind_core.data.shortcuts import (
    LENGTH,
    MAX_CLIPS,
    MAX_P,
    MIN_CLIPS,
    OFFSET,
    PERMUTATIONS,
    SOME,
    STRONG,
    WORTH_NAMING,
    shuffled,
)
from samplemind_core.data.sources import counted, quoted

_SHUFFLES = 5
_MAX_BINS, _CLIPS_PER_BIN = 16, 25
_PRIOR = 5.0
"""Clips of the usual kind that every bin is thought to hold already, so that few clips say little."""

_NAMED = 3


def probe_label_shortcuts(
    names: Sequence[str],
    facts: Floats,
    labels: Sequence[str],
    truth: Truth,
    groups: Ints,
    *,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> LabelShortcuts | None:
    """Return how well each label can be told from facts, or None where there are too few clips to tell.

    Parameters
    ----------
    names : sequence of str, length F
    facts : ndarray, shape (N, F)
    labels : sequence of str, length C
    truth : ndarray of bool, shape (N, C)
        Which clip has which label. Labels that fewer than ten clips have, or lack, are left out, and
        so are those that fewer than two groups have, or lack, as long as there are others.
    groups : ndarray of int64, shape (N,)
        Clips of one group are never on both sides of a fold, unless no label is in two of them.
    permutations : int
        Shuffles to compare with: the facts of whole groups change places.
    seed : int
    progress : callable, optional
        Called with (steps done, steps in all).
    """
    rng = np.random.default_rng(seed)
    rows = np.arange(len(truth))
    if len(rows) > MAX_CLIPS:
        rows = np.sort(rng.choice(rows, MAX_CLIPS, replace=False))
    facts, truth = facts[rows], truth[rows]
    enough = clips_per_label(truth) >= MIN_CLIPS
    if not enough.any():
        return None
    groups = np.unique(groups[rows], return_inverse=True)[1]
    spread = groups_per_label(truth, groups)
    by_group = bool((enough & (spread >= 2)).any())
    asked = np.flatnonzero(enough & (spread >= 2)) if by_group else np.flatnonzero(enough)
    truth = truth[:, asked]
    folds = label_folds(truth, groups if by_group else np.arange(len(truth)), seed)
    bins, owner = _binned(facts)
    own = _answers(bins, owner, truth, folds)
    together = np.zeros_like(owner)
    chances = truth.mean(axis=0)
    found = precisions(own.sum(axis=0), truth)
    if progress is not None:
        progress(1, 1 + permutations)
    null = np.empty((permutations, len(asked)))
    for number in range(permutations):
        # Facts change places, not labels: the folds were dealt by labels, and must fit the shuffled sets as well.
        others = bins[shuffled(len(truth), groups, rng)]
        null[number] = precisions(_answers(others, together, truth, folds)[0], truth)
        if progress is not None:
            progress(2 + number, 1 + permutations)
    mean_ap, chance = float(found.mean()), float(chances.mean())
    # All labels together are one more question.
    *p_values, p_value = _adjusted(np.append(found, mean_ap), np.column_stack([null, null.mean(axis=1)])).tolist()
    alone = np.stack([precisions(one, truth) for one in own])
    lost = _lost(own, truth, found, folds, rng)
    skills = (found - chances) / (1 - chances)
    guesses = tuple(
        LabelGuess(
            label=labels[int(asked[place])],
            num_clips=int(truth[:, place].sum()),
            average_precision=float(found[place]),
            chance=float(chances[place]),
            p_value=p_values[place],
            told=p_values[place] <= MAX_P and bool(skills[place] >= SOME),
            fact=names[int(lost[:, place].argmax())],
        )
        for place in np.argsort(-skills, kind="stable")
    )
    weights = sorted(
        (FactWeight(name, float(alone[place].mean()), float(lost[place].mean())) for place, name in enumerate(names)),
        key=lambda weight: (-weight.importance, -weight.alone),
    )
    told = [skills[place] for place in range(len(asked)) if p_values[place] <= MAX_P]
    told += [(mean_ap - chance) / (1 - chance)] if p_value <= MAX_P else []
    best = max(told, default=0.0)
    low, high = ends_around(mean_ap, resampled_precisions([own.sum(axis=0)], truth, groups, seed)[:, 0])
    result = LabelShortcuts(
        verdict="strong" if best >= STRONG else "some" if best >= SOME else "none",
        mean_ap=mean_ap,
        low=low,
        high=high,
        chance=chance,
        p_value=p_value,
        labels=guesses,
        num_left_out=len(labels) - len(asked),
        facts=tuple(weights),
        by_group=by_group,
        sentence="",
    )
    return replace(result, sentence=_sentence(result))


def label_shortcut_findings(found: LabelShortcuts | None) -> list[Finding]:
    """Return the finding about labels that can be told without listening, if there are any."""
    if found is None or found.verdict == "none":
        return []
    told = [guess for guess in found.labels if guess.told]
    well = [guess for guess in told if _skill(guess) >= STRONG]
    how = "well" if found.verdict == "strong" else "in part"
    which = counted(len(well) or len(told), "label") if told else "Labels"
    others = f", {len(told) - len(well):,} more in part," * bool(well and len(told) > len(well))
    return [
        Finding(
            "shortcut",
            "warning" if found.verdict == "strong" else "note",
            f"{which} can be guessed {how}{others} without listening",
            found.sentence,
            "keep",
            subjects=tuple(guess.label for guess in told),
            evidence=tuple(
                f"average precision {100 * guess.average_precision:.0f} % (guessing: {100 * guess.chance:.0f} %), "
                f"mostly from {guess.fact}"
                for guess in told
            ),
        )
    ]


def _skill(guess: LabelGuess) -> float:
    """Return the share of the way from guessing to a perfect order."""
    return (guess.average_precision - guess.chance) / (1 - guess.chance)


# -- the small model -----------------------------------------------------------------------------


def _binned(facts: Floats) -> tuple[NDArray[np.float32], Ints]:
    """Return which bin of each fact a clip is in, as 0 and 1 (N, B), and the fact (B,) that a bin is of.

    A fact of few values has a bin for each, any other one bins of equally many clips.
    """
    most = int(np.clip(len(facts) // _CLIPS_PER_BIN, 2, _MAX_BINS))
    columns, owner = [], []
    for fact, values in enumerate(facts.T):
        kinds, place = np.unique(values, return_inverse=True)
        if len(kinds) > most:
            edges = np.unique(np.quantile(values, np.arange(1, most) / most))
            place = np.searchsorted(edges, values, side="right")
        inside = np.unique(place, return_inverse=True)[1]
        columns.append(np.eye(int(inside.max()) + 1, dtype=np.float32)[inside])
        owner += [fact] * columns[-1].shape[1]
    return np.concatenate(columns, axis=1), np.array(owner, dtype=np.int64)


def _answers(bins: NDArray[np.float32], owner: Ints, truth: Truth, folds: Folds) -> Floats:
    """Return what each owner of bins says for each label of clips that were not learnt from, (F, N, C)."""
    places = [np.flatnonzero(owner == one) for one in range(int(owner.max()) + 1)]
    answers = np.zeros((len(places), *truth.shape))
    targets = truth.astype(np.float32)
    for train, test in folds:
        weights = _weights(bins[train], targets[train])
        for one, place in enumerate(places):
            answers[one, test] = bins[np.ix_(test, place)] @ weights[place]
    return answers


def _weights(bins: NDArray[np.float32], targets: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return by how much a bin raises the log odds of a label, (B, C)."""
    num = len(targets)
    usual = np.clip(targets.mean(axis=0), 0.5 / num, 1 - 0.5 / num)
    share = (bins.T @ targets + _PRIOR * usual) / (bins.sum(axis=0)[:, None] + _PRIOR)
    share = np.clip(share, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(share / (1 - share)) - np.log(usual / (1 - usual)), dtype=np.float32)


def _lost(own: Floats, truth: Truth, found: Floats, folds: Folds, rng: np.random.Generator) -> Floats:
    """Return the average precision (F, C) lost when each fact is shuffled among the unseen clips."""
    every = own.sum(axis=0)
    blurred = np.zeros((len(own), truth.shape[1]))
    for fact, says in enumerate(own):
        for _ in range(_SHUFFLES):
            changed = every - says
            for _, test in folds:
                changed[test] += says[rng.permutation(test)]
            blurred[fact] += precisions(changed, truth) / _SHUFFLES
    return np.asarray(found - blurred)


def _adjusted(found: Floats, null: Floats) -> Floats:
    """Return the p-value (C,) of each question, adjusted for how many there are."""
    every = np.concatenate([found[None], null])
    middle, width = every.mean(axis=0), np.maximum(every.std(axis=0), 1e-9)
    best = ((null - middle) / width).max(axis=1)
    beaten = best[:, None] >= ((found - middle) / width)[None]
    return np.asarray((1 + beaten.sum(axis=0)) / (1 + len(null)))


# -- in words ------------------------------------------------------------------------------------


def _sentence(found: LabelShortcuts) -> str:
    where = "on sources it had not seen" if found.by_group else "on clips it had not seen"
    reached = f"a mean average precision of {100 * found.mean_ap:.0f} % (guessing: {100 * found.chance:.0f} %)"
    left = f" {counted(found.num_left_out, 'label')} with too few clips or sources to tell." * bool(found.num_left_out)
    if found.verdict == "none":
        return (
            f"Lengths, levels and file formats alone do not give the labels away: a small model gets {reached} "
            f"{where}.{left}"
        )
    told = [guess for guess in found.labels if guess.told]
    if not told:
        carried = [fact.name for fact in found.facts if fact.importance > WORTH_NAMING][:_NAMED] or [
            found.facts[0].name
        ]
        first = f"Without hearing anything, a small model gets {reached} {where}, mostly from {quoted(carried)}."
        return first + _advice(carried[0]) + left
    best = told[0]
    first = (
        f"Without hearing anything, a small model tells {quoted([best.label])} with an average precision of "
        f"{100 * best.average_precision:.0f} % (guessing: {100 * best.chance:.0f} %) {where}, mostly from "
        f"'{best.fact}'."
    )
    others = f" It also tells {quoted([guess.label for guess in told[1:]])}." * (len(told) > 1)
    return f"{first}{others} Over all labels it gets {reached}.{_advice(best.fact)}{left}"


def _advice(fact: str) -> str:
    if fact == LENGTH:
        return " How long a sound lasts can belong to its label; make sure it is not how somebody cut the files."
    if fact == OFFSET:
        return " Low sounds have an offset of their own; make sure it is not the recording's."
    return " A network can learn that in place of the sound. Make all clips alike in it, or mix sources."
