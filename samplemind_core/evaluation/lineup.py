"""Several models before the same clips: classes matched by name, and one model made of several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from samplemind_core.errors import DataError
from samplemind_core.evaluation.judging import Judged
from samplemind_core.evaluation.metrics import softmax
from samplemind_core.ranking import sigmoid

# A class that a model does not know gets this much less than its least likely one: about 1e-13 of it.
_NEVER = 30.0
_MEAN = "mean("


def mean_members(ref: str) -> list[str]:
    """Return the references inside ``mean(REF, REF…)``; empty for a reference to one checkpoint."""
    text = ref.strip()
    if not (text.startswith(_MEAN) and text.endswith(")")):
        return []
    return [member.strip() for member in text.removeprefix(_MEAN)[:-1].split(",") if member.strip()]


def mean_ref(refs: Sequence[str]) -> str:
    """Return the reference to the mean of several checkpoints; the inverse of :func:`mean_members`."""
    return f"{_MEAN}{', '.join(refs)})"


def mean_of(members: Sequence[Judged]) -> Judged:
    """Return an ensemble's answers: the mean of its members' probabilities, as logarithms.

    Parameters
    ----------
    members : sequence of Judged
        On the same dataset and split; classes may come in any order.

    Raises
    ------
    DataError
        If there is no member, or no clip that all of them could name.

    References
    ----------
    B. Lakshminarayanan, A. Pritzel, C. Blundell (2017), "Simple and scalable predictive uncertainty
    estimation using deep ensembles", NeurIPS.
    """
    aligned, _ = line_up(members)
    if aligned[0].several_labels:
        return _mean_of_labels(aligned)
    probs = np.mean([softmax(member.logits) for member in aligned], axis=0)
    # Far below float32's smallest step around 1, so that no logit is minus infinity.
    return replace(aligned[0], logits=np.log(np.maximum(probs, 1e-30)).astype(np.float32))


def _mean_of_labels(members: Sequence[Judged]) -> Judged:
    """Return the mean probability of each label, as its log odds, with the mean of the members' thresholds."""
    probs = np.mean([sigmoid(member.logits) for member in members], axis=0)
    probs = np.clip(probs, 1e-12, 1 - 1e-12)
    thresholds = np.mean([member.thresholds for member in members], axis=0)
    odds = np.log(probs / (1 - probs)).astype(np.float32)
    return replace(members[0], logits=odds, thresholds=tuple(thresholds.tolist()))


def line_up(judged: Sequence[Judged]) -> tuple[list[Judged], tuple[str, ...]]:
    """Return several models' answers on the clips that all can name, in the same order, with the same classes.

    A model keeps all its own classes as possible answers: one that says "shaker" of a kick is wrong,
    also where the others have never heard of shakers.

    Parameters
    ----------
    judged : sequence of Judged
        On the same dataset and split.

    Returns
    -------
    list of Judged
        In the given order; ``class_names`` are those of the first and then what the others add.
    tuple of str
        What had to be left out or filled in, as sentences that call the models A, B, C…

    Raises
    ------
    DataError
        If nothing was given or no clip is left, or if models that name several labels know different ones.
    """
    if not judged:
        raise DataError("Expected at least one checkpoint, got none.", "Choose a checkpoint.")
    class_names = tuple(dict.fromkeys(name for one in judged for name in one.class_names))
    _check_labels(judged, class_names)
    ids = [one.clip_ids for one in judged]
    if all(one.class_names == class_names and np.array_equal(one.clip_ids, ids[0]) for one in judged):
        return list(judged), ()
    shared = ids[0]
    for others in ids[1:]:
        shared = shared[np.isin(shared, others)]
    if not len(shared):
        raise DataError(
            "There is no clip that all of these checkpoints could name; they know "
            + " / ".join(", ".join(one.class_names) for one in judged)
            + ".",
            "Compare checkpoints that have classes in common with these clips.",
        )
    return [_placed(one, class_names, shared) for one in judged], _differences(judged, class_names, len(shared))


def _check_labels(judged: Sequence[Judged], class_names: tuple[str, ...]) -> None:
    """Refuse models with different labels: a label that one does not know is not one that it denies."""
    if any(one.several_labels for one in judged) and any(set(one.class_names) != set(class_names) for one in judged):
        raise DataError(
            "These checkpoints know different labels: "
            + " / ".join(", ".join(one.class_names) for one in judged)
            + ".",
            "Compare checkpoints that were trained on the same labels.",
        )


def _placed(one: Judged, class_names: tuple[str, ...], clip_ids: np.ndarray) -> Judged:
    order = np.argsort(one.clip_ids, kind="stable")
    rows = order[np.searchsorted(one.clip_ids, clip_ids, sorter=order)]
    own = one.logits[rows]
    columns = [class_names.index(name) for name in one.class_names]
    logits = np.repeat(own.min(axis=1, keepdims=True) - _NEVER, len(class_names), axis=1).astype(np.float32)
    logits[:, columns] = own
    if one.several_labels:  # the same classes, in another order
        targets = np.zeros((len(rows), len(class_names)), one.targets.dtype)
        targets[:, columns] = one.targets[rows]
    else:
        targets = np.array(columns)[one.targets[rows]]
    own_thresholds = dict(zip(one.class_names, one.thresholds, strict=False))
    return replace(
        one,
        logits=logits,
        targets=targets,
        thresholds=tuple(own_thresholds[name] for name in class_names) if own_thresholds else (),
        clip_ids=clip_ids,
        sources=one.sources[rows],
        class_names=class_names,
    )


def _differences(judged: Sequence[Judged], class_names: tuple[str, ...], num_shared: int) -> tuple[str, ...]:
    notes = []
    for letter, one in zip("ABCDEFGHIJKLMNOPQRSTUVWXYZ", judged, strict=False):
        if missing := [name for name in class_names if name not in one.class_names]:
            notes.append(f"{letter} does not know {', '.join(missing)}.")
    largest = max(len(one.clip_ids) for one in judged)
    if largest > num_shared:
        left = f"{largest - num_shared:,} more clips carry" if largest - num_shared > 1 else "1 more clip carries"
        notes.append(f"Compared on the {num_shared:,} clips that all can name; {left} a class that not all know.")
    return tuple(notes)
