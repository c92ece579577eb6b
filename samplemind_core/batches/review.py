"""Corrections: anybody says what a sound really is, somebody reviews it, and it becomes a clip.

The sound is copied when it is corrected, under the hash of its content, so that it is still there
when the upload is gone. What is accepted becomes training clips of a new version of a dataset.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from samplemind_core.audio.decode import AUDIO_SUFFIXES, decode
from samplemind_core.batches.work import answer_file, audio_folder
from samplemind_core.config import FeatureConfig, RunConfig
from samplemind_core.data.editing import NewClip
from samplemind_core.data.sources import label_fault
from samplemind_core.errors import DataError, JobError, NotFoundError
from samplemind_core.files import write_atomic
from samplemind_core.store.records import Answer, Correction, Run, Version

if TYPE_CHECKING:
    from samplemind_core.workspace import Workspace


@dataclass(frozen=True)
class Accepted:
    """What accepting corrections led to: a version, if anything changed, and what could not be taken in."""

    version: Version | None
    refused: tuple[tuple[str, str], ...]


def correct(
    workspace: Workspace,
    sound: Path | bytes,
    *,
    name: str,
    label: str,
    called: str | None = None,
    confidence: float | None = None,
    checkpoint: Mapping[str, Any] | None = None,
    by: str = "",
    note: str = "",
) -> Correction:
    """Put a sound into the review queue under what it really is.

    Parameters
    ----------
    sound : Path or bytes
        The file; copied.
    name : str
        What the file is called.
    label : str
        The right class, known to the checkpoint or new.
    called, confidence, checkpoint
        What the checkpoint said, and which it was.
    by : str
        Who says so.

    Raises
    ------
    DataError
        If ``label`` cannot name a class, or is what the checkpoint said.
    AudioError
        If the sound cannot be decoded.
    StorageError
        If it cannot be copied.
    """
    label = label.strip()
    fault = label_fault(label)
    if fault or not label.isprintable():
        raise DataError(
            f"{label[:60]!r} cannot name a class. {fault or ''}".strip(), "Choose a class or name a new one."
        )
    if label == called:
        raise DataError(f"'{name}' was called {label} already.", "Choose what it is instead.")
    content = sound if isinstance(sound, bytes) else sound.read_bytes()
    # Refused now, by whoever stands before it, rather than later by a reviewer.
    decode(content, FeatureConfig().sample_rate_hz, name=name, limits=workspace.settings.limits)
    digest = hashlib.sha256(content).hexdigest()
    suffix = PurePosixPath(name).suffix.lower()
    file = f"review/{digest[:32]}{suffix if suffix in AUDIO_SUFFIXES else '.audio'}"
    if not (workspace.root / file).exists():
        write_atomic(workspace.root / file, content)
    return workspace.store.corrections.add(
        Correction(
            id=0,
            name=name,
            label=label,
            called=called,
            confidence=confidence,
            content_hash=digest,
            file=file,
            by=by,
            at=time.time(),
            checkpoint=dict(checkpoint or {}),
            note=note,
        )
    )


def correct_answer(workspace: Workspace, batch_id: str, position: int, label: str, *, by: str = "") -> Correction:
    """Correct one file of a batch; see :func:`correct`.

    Raises
    ------
    NotFoundError
        If the file is gone.
    """
    batch = workspace.store.answers.batch(batch_id)
    answer = workspace.store.answers.answer(batch_id, position)
    return correct(
        workspace,
        answer_audio(workspace, answer),
        name=answer.name,
        label=label,
        called=answer.label,
        confidence=answer.confidence,
        checkpoint=batch.checkpoint,
        by=by,
    )


def answer_audio(workspace: Workspace, answer: Answer) -> Path:
    """Return the file of an answer; raise :class:`NotFoundError` where it is gone or was not kept."""
    batch = workspace.store.answers.batch(answer.batch_id or "")
    root = audio_folder(workspace.root, batch).resolve()
    path = answer_file(workspace.root, batch, answer.file or "").resolve()
    if answer.file is None or not path.is_relative_to(root) or not path.is_file():
        raise NotFoundError(f"'{answer.name}' is no longer there.", "Drop it once more.")
    return path


def accept(
    workspace: Workspace, ids: Collection[int], dataset: str, *, by: str = "", base: int | None = None
) -> Accepted:
    """Make training clips of corrections, as one new version of a dataset.

    They go to train only: a test set that takes in what the last model got wrong would no longer
    measure the same thing. A sound that the dataset holds already is relabelled where it is.

    Raises
    ------
    DataError, StorageError, VersionConflictError
        As :meth:`samplemind_core.data.editing.Editor.add`; also where two of them name one sound differently.
    JobError
        If somebody else decided about one of them meanwhile.
    """
    chosen = workspace.store.corrections.get(ids)
    _check_waiting(chosen)
    _check_agreed(chosen)
    sounds = {
        correction.id: NewClip(
            path=workspace.root / correction.file,
            name=correction.name,
            label=correction.label,
            source=f"corrections/{correction.content_hash[:12]}",
            extra={"corrected_by": correction.by, "called": correction.called},
        )
        for correction in chosen
    }
    editor = workspace.edit(dataset, by=by, base=base)
    version, refused = editor.add(
        workspace.root, list(sounds.values()), message=f"took in {len(sounds)} correction{'s' * (len(sounds) != 1)}"
    )
    bad = {id(sound) for sound, _ in refused}
    taken = [number for number, sound in sounds.items() if id(sound) not in bad]
    if taken:
        number = None if version is None else version.version
        workspace.store.corrections.settle(
            taken, "accepted", by, dataset_id=workspace.dataset(dataset).id, version=number
        )
    return Accepted(version, tuple((sound.name, reason) for sound, reason in refused))


def reject(workspace: Workspace, ids: Collection[int], *, by: str = "") -> None:
    """Turn corrections down; they stay on record."""
    _check_waiting(workspace.store.corrections.get(ids))
    workspace.store.corrections.settle(ids, "rejected", by)


def retrain(workspace: Workspace, dataset: str, like: str, *, owner: str = "") -> Run:
    """Queue a run on the newest version of a dataset with the settings of an earlier run.

    Parameters
    ----------
    dataset : str
        Name or id.
    like : str
        The run whose settings are used, and that the new one will be compared with.
    """
    old = workspace.run(like)
    return workspace.submit(dataset, RunConfig.model_validate(old.config), owner=owner)


def _check_agreed(corrections: Collection[Correction]) -> None:
    first: dict[str, Correction] = {}
    for correction in corrections:
        other = first.setdefault(correction.content_hash, correction)
        if other.label != correction.label:
            raise DataError(
                f"'{correction.name}' was corrected to {other.label} by {other.by or 'somebody'} and to "
                f"{correction.label} by {correction.by or 'somebody'}.",
                "Accept one of them and reject the other.",
            )


def _check_waiting(corrections: Collection[Correction]) -> None:
    decided = [correction for correction in corrections if correction.status != "waiting"]
    if decided:
        first = decided[0]
        raise JobError(
            f"'{first.name}' was {first.status} by {first.reviewed_by or 'somebody'}.", "Load the queue again."
        )
