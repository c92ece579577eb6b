"""Which files of a batch would help the next network most, if somebody said what they are.

A label helps where the network wavers (margin sampling: T. Scheffer, C. Decomain, S. Wrobel, "Active
hidden Markov models for information extraction", IDA 2001) and where it stands for many others that
are like it (core-sets: O. Sener, S. Savarese, "Active learning for convolutional neural networks: a
core-set approach", ICLR 2018). Asking for the most uncertain files alone asks for twenty copies of one
odd sound; asking for the most different alone asks for sounds that the network knows well.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.batches.work import answer_file, batch_folder
from samplemind_core.errors import ConfigError
from samplemind_core.files import make_folder, write_atomic
from samplemind_core.inference.table import NONE
from samplemind_core.store.records import Answer, AnswerFilter, Batch

if TYPE_CHECKING:
    from pathlib import Path

    from samplemind_core.workspace import Workspace

POOL = 400
"""Files that are looked at once more, the most uncertain of the batch: some seconds of work."""

MAX_BUDGET = 100
ALIKE = 1e-3
"""Distance of unit embeddings below which two files are one sound: labelling both teaches nothing more."""

_FILE, _VERSION = "ranking.json", 1
_BLOCK = 32
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Suggestion:
    """A file worth labelling.

    ``uncertainty`` is 1 minus the margin between its two most probable answers: 1 where the network
    cannot tell them apart, 0 where it is sure. ``reason`` names the two.
    """

    answer: Answer
    uncertainty: float
    reason: str


def suggest(
    workspace: Workspace, batch_id: str, budget: int = 20, *, progress: Progress | None = None
) -> list[Suggestion]:
    """Return the files of a batch that are most worth a label, the most useful first.

    The :data:`POOL` most uncertain files are embedded with the batch's own checkpoint, and picked
    from by :func:`spread`. The order is kept in the batch's folder until the batch has more
    answers; a smaller budget is the beginning of a larger one. Files that are gone are left out, and
    sounds that somebody has corrected.

    Parameters
    ----------
    budget : int
        Files that somebody has time for, from 1 to :data:`MAX_BUDGET`. Fewer are returned where the
        others repeat them.
    progress : callable, optional
        Called with files looked at, all of them, and a word for it.

    Raises
    ------
    ConfigError
        If the budget is out of range.
    NotFoundError
        If there is no such batch, or its checkpoint is gone.
    """
    if not 1 <= budget <= MAX_BUDGET:
        raise ConfigError(f"Expected a budget from 1 to {MAX_BUDGET} files, got {budget}.", "20 is a good start.")
    batch = workspace.store.answers.batch(batch_id)
    kept = batch_folder(workspace.root, batch_id) / _FILE
    num_answers = workspace.store.answers.count(batch_id)
    positions = _read(kept, num_answers)
    if positions is None:
        positions = _rank(workspace, batch, progress)
        make_folder(kept.parent)
        about = {"version": _VERSION, "num_answers": num_answers, "positions": positions}
        write_atomic(kept, json.dumps(about).encode())
    known = {correction.content_hash for correction in workspace.store.corrections.all()}
    ranked = (workspace.store.answers.answer(batch_id, position) for position in positions)
    answers = islice((answer for answer in ranked if not known or _hash(workspace, batch, answer) not in known), budget)
    return [Suggestion(answer, uncertainty(answer), _reason(answer)) for answer in answers]


def uncertainty(answer: Answer) -> float:
    """Return 1 minus the margin between the two most probable answers, "none of these" among them."""
    first, second = ([*(share for _, share in _ranked(answer)), 0.0, 0.0])[:2]
    return 1.0 - (first - second)


def spread(uncertainties: NDArray[np.float64], embeddings: NDArray[np.float64], budget: int) -> list[int]:
    """Pick uncertain points that are far from each other, one after the other.

    The first is the most uncertain; each further one has the largest product of its uncertainty
    and its distance to the nearest that was picked. With equal uncertainties this is farthest-first
    traversal, which covers all points within twice the smallest radius that is possible (T. Gonzalez,
    "Clustering to minimize the maximum intercluster distance", 1985). What lies within
    :data:`ALIKE` of a picked one is not picked.

    Parameters
    ----------
    uncertainties : ndarray of float64, shape (N,)
        In [0, 1].
    embeddings : ndarray of float64, shape (N, E)
        Of length 1.
    budget : int

    Returns
    -------
    list of int
        Rows, at most ``budget``, in the order in which they were picked.
    """
    picked: list[int] = []
    distance = np.full(len(embeddings), np.inf)
    worth = uncertainties.copy()
    while len(picked) < min(budget, len(embeddings)):
        best = int(np.argmax(np.where(distance > ALIKE, worth, -1.0)))
        if distance[best] <= ALIKE:
            break
        picked.append(best)
        squared = 2.0 - 2.0 * embeddings @ embeddings[best]
        distance = np.minimum(distance, np.sqrt(np.maximum(squared, 0.0)))
        distance[best] = 0.0
        worth = uncertainties * distance
    return picked


def _rank(workspace: Workspace, batch: Batch, progress: Progress | None) -> list[int]:
    answers = workspace.store.answers.iterate(batch.id, AnswerFilter(failed=False))
    # nlargest keeps POOL of them, however many there are; earlier files win ties.
    pool = heapq.nlargest(POOL, answers, key=uncertainty)
    pool, embeddings = _embed(workspace, batch, pool, progress)
    rows = spread(np.array([uncertainty(answer) for answer in pool]), embeddings, MAX_BUDGET)
    return [pool[row].position for row in rows]


def _embed(
    workspace: Workspace, batch: Batch, pool: Sequence[Answer], progress: Progress | None
) -> tuple[list[Answer], NDArray[np.float64]]:
    """Return those of the answers whose files are still there, and their embeddings (N, E) of length 1."""
    import torch

    classifier = workspace.classifier(batch.options["ref"])
    heard: list[Answer] = []
    parts: list[NDArray[np.float64]] = []
    for start in range(0, len(pool), _BLOCK):
        block = pool[start : start + _BLOCK]
        if progress is not None:
            progress(start, len(pool), "Comparing the files")
        paths = [answer_file(workspace.root, batch, answer.file or "") for answer in block]
        results = classifier.predict(paths, keep_signals=True)
        good = [(answer, result.log_mel) for answer, result in zip(block, results, strict=True) if result.error is None]
        if not good:
            continue
        log_mel = torch.from_numpy(np.stack([picture for _, picture in good if picture is not None])[:, None])
        with torch.inference_mode():
            embedded = classifier.model.features(log_mel.to(classifier.device)).double().cpu().numpy()
        heard += [answer for answer, _ in good]
        parts.append(embedded / np.maximum(np.linalg.norm(embedded, axis=1, keepdims=True), 1e-12))
    return heard, np.concatenate(parts) if parts else np.zeros((0, 1))


def _hash(workspace: Workspace, batch: Batch, answer: Answer) -> str | None:
    """Return the hash that a correction of this file has; None if it is gone."""
    try:
        content = answer_file(workspace.root, batch, answer.file or "").read_bytes()
    except OSError:
        return None
    return hashlib.sha256(content).hexdigest()


def _ranked(answer: Answer) -> list[tuple[str, float]]:
    shares: dict[str, Any] = dict(answer.details.get("probs") or {})
    none = answer.details.get("none")
    if none is not None:
        shares[NONE] = none
    return sorted(shares.items(), key=lambda item: -item[1])


def _reason(answer: Answer) -> str:
    return " or ".join(f"{name} ({100 * share:.0f} %)" for name, share in _ranked(answer)[:2])


def _read(kept: Path, num_answers: int) -> list[int] | None:
    try:
        about = json.loads(kept.read_bytes())
    except (OSError, ValueError):
        return None  # made anew
    if not isinstance(about, dict) or (about.get("version"), about.get("num_answers")) != (_VERSION, num_answers):
        return None
    return [int(position) for position in about["positions"]]
