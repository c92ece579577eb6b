"""Labels that are probably wrong: where a network that never heard a clip is surely of another opinion.

Confident learning counts, class by class, the clips whose probability of another class is as high as
that class's own clips usually get. A class that the network is generally unsure of is not suspected
for that alone. The counting is cleanlab's.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from filelock import FileLock

from samplemind_core.errors import DataError, StorageError
from samplemind_core.evaluation.metrics import check_logits, plain, softmax
from samplemind_core.files import make_folder, write_atomic


@dataclass(frozen=True)
class LabelIssue:
    """One clip by how doubtful its label is.

    Attributes
    ----------
    clip_id : int
    label, suggested : str
        What it is called and what the network would call it.
    quality : float
        0 (surely wrong) to 1 (surely right): how far the label's probability leads or trails.
    label_probability, suggested_probability : float
    flagged : bool
        Whether confident learning counts it among the wrong ones.
    """

    clip_id: int
    label: str
    suggested: str
    quality: float
    label_probability: float
    suggested_probability: float
    flagged: bool


@dataclass(frozen=True)
class LabelErrors:
    """What is known of the labels of some clips.

    Attributes
    ----------
    num_clips : int
    num_estimated : int
        How many labels are probably wrong.
    issues : tuple of LabelIssue
        All clips, the most doubtful first.
    """

    num_clips: int
    num_estimated: int
    issues: tuple[LabelIssue, ...]

    def as_dict(self, most: int | None = None) -> dict[str, Any]:
        """Return the fields as plain JSON types, with at most so many issues."""
        found = plain(asdict(self))
        return found | {"issues": found["issues"][:most]}


def find_label_errors(
    logits: npt.ArrayLike,
    targets: npt.ArrayLike,
    class_names: Sequence[str],
    clip_ids: npt.ArrayLike,
    second: npt.NDArray[np.float64] | None = None,
) -> LabelErrors:
    """Rank clips by how doubtful their labels are.

    Parameters
    ----------
    logits : array_like, shape (N, C)
        Of networks that were not trained on these clips; see :mod:`~samplemind_core.evaluation.out_of_fold`.
    targets : array_like of int, shape (N,)
    class_names : sequence of str, length C
    clip_ids : array_like of int, shape (N,)
    second : ndarray of float64, shape (N, C), optional
        Probabilities from another witness, averaged with the networks'; see
        :mod:`~samplemind_core.evaluation.second_opinion`.

    Raises
    ------
    DataError
        If there are no clips, the shapes disagree or fewer than two classes have clips.

    References
    ----------
    C. Northcutt, L. Jiang, I. Chuang (2021), "Confident learning: estimating uncertainty in dataset
    labels", Journal of Artificial Intelligence Research 70.
    """
    scores, labels = check_logits(logits, targets)
    present = np.unique(labels)
    if len(present) < 2:
        raise DataError("Expected clips of at least two classes.", "Labels are doubted in favour of another class.")
    # A class without clips has no usual probability to be held against; nothing is suspected to be of it.
    probs = softmax(scores[:, present])
    if second is not None:
        wide = np.zeros_like(scores)
        wide[:, : second.shape[1]] = second
        probs = (probs + wide[:, present]) / 2.0
    places = np.searchsorted(present, labels)
    # Takes seconds to import, and only this needs it.
    from cleanlab.count import compute_confident_joint
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_normalized_margin_for_each_label

    with warnings.catch_warnings():
        # It warns of classes with few clips; the page says how many there are.
        warnings.simplefilter("ignore", UserWarning)
        joint = compute_confident_joint(places, probs)
        flagged = find_label_issues(places, probs, confident_joint=joint, n_jobs=1)
    quality = get_normalized_margin_for_each_label(places, probs)
    rows = np.arange(len(labels))
    others = probs.copy()
    others[rows, places] = -1.0
    best = others.argmax(axis=1)
    order = np.lexsort((quality, ~flagged))
    ids = np.asarray(clip_ids)
    return LabelErrors(
        num_clips=len(labels),
        num_estimated=round(float(joint.sum() - joint.trace())),
        issues=tuple(
            LabelIssue(
                clip_id=int(ids[row]),
                label=class_names[labels[row]],
                suggested=class_names[present[best[row]]],
                quality=float(quality[row]),
                label_probability=float(probs[row, places[row]]),
                suggested_probability=float(probs[row, best[row]]),
                flagged=bool(flagged[row]),
            )
            for row in order.tolist()
        ),
    )


def read_kept_labels(root: Path, dataset_id: str) -> dict[int, str]:
    """Return the labels of a dataset that somebody listened to and kept, by clip id.

    Raises
    ------
    StorageError
        If the file that holds them is damaged.
    """
    path = _kept_file(root, dataset_id)
    if not path.exists():
        return {}
    try:
        return {int(clip_id): str(label) for clip_id, label in json.loads(path.read_text(encoding="utf-8")).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise StorageError(
            f"'{path.name}' cannot be read: {error}.", "Delete it to decide about labels anew."
        ) from error


def write_kept_label(root: Path, dataset_id: str, clip_id: int, label: str) -> None:
    """Remember that a clip's label is right; it is asked for again once the label changes.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    path = _kept_file(root, dataset_id)
    make_folder(path.parent)
    with FileLock(path.with_suffix(".lock")):
        kept = read_kept_labels(root, dataset_id) | {clip_id: label}
        write_atomic(path, json.dumps(kept, indent=1).encode())


def _kept_file(root: Path, dataset_id: str) -> Path:
    return root / "datasets" / dataset_id / "kept_labels.json"
