"""Many files, one after the other: listed once, answered in order, each exactly once whatever dies in between.

The list of files is written down before the first is heard. Answers are stored a few at a time and
their number says where to go on, so that neither a stop nor a kill repeats or loses a file.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from samplemind_core.audio.decode import AUDIO_SUFFIXES
from samplemind_core.data.archives import open_archive
from samplemind_core.data.sources import Sieve, text_of
from samplemind_core.errors import AudioError, DataError, NotFoundError
from samplemind_core.files import make_folder, storage_error, write_atomic
from samplemind_core.inference.classifier import Classifier, Result
from samplemind_core.inference.sorting import safe_file_name, safe_name, unused
from samplemind_core.store.records import Answer, Batch, Reject

if TYPE_CHECKING:
    from samplemind_core.store import Checkpoint, Run
    from samplemind_core.tasks import TaskContext
    from samplemind_core.workspace import Workspace

Kind = Literal["uploads", "archive", "folder"]
CHUNK = 64
"""Answers stored in one transaction: what a kill may cost is hearing as many files again."""

_LIST = "files.jsonl"
_REFUSED, _LEFT_OUT = "refused.json", "left-out.json"  # of an archive; of the folder that is searched
_OWN = {"path", "label", "confidence"}  # columns of their own
Progress = Callable[[int, int | None, str], None]


def batch_folder(root: Path, batch_id: str) -> Path:
    """Return where a batch keeps uploads and what an archive held."""
    return root / "classified" / batch_id


def audio_folder(root: Path, batch: Batch) -> Path:
    """Return the folder that the ``file`` of a batch's answers starts from."""
    return Path(batch.origin) if batch.kind == "folder" else batch_folder(root, batch.id) / "audio"


def answer_file(root: Path, batch: Batch, file: str) -> Path:
    """Return the path that the ``file`` of an answer stands for, where bytes that are no text are escapes."""
    path = audio_folder(root, batch) / file
    if "\\x" in file and not path.exists():
        raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), file.encode())
        path = audio_folder(root, batch) / os.fsdecode(raw)
    return path


def checkpoint_facts(run: Run, checkpoint: Checkpoint, dataset: str) -> dict[str, Any]:
    """Return what a batch remembers of the checkpoint that answered, for when it is gone."""
    return {
        "run": run.name,
        "run_id": run.id,
        "kind": checkpoint.kind,
        "epoch": checkpoint.epoch,
        "dataset": dataset,
        "val_accuracy": checkpoint.val_accuracy,
    }


def submit_batch(
    workspace: Workspace,
    ref: str,
    *,
    kind: Kind,
    origin: str,
    title: str = "",
    owner: str = "",
    fill: Callable[[Path], None] | None = None,
) -> Batch:
    """Queue the classification of many files and return the batch they belong to.

    Parameters
    ----------
    ref : str
        Checkpoint, as ``RUN``, ``RUN:best`` or ``RUN:EPOCH``; its exact epoch is remembered.
    kind : {'uploads', 'archive', 'folder'}
        Files uploaded one by one, an archive, or a folder of this machine.
    origin : str
        Path of the folder, or the name of what was uploaded.
    fill : callable, optional
        Given the batch's own folder before the task starts, to put uploads into ``audio/`` or an
        archive beside it, under the name ``origin``.

    Raises
    ------
    NotFoundError
        If there is no such checkpoint or folder.
    StorageError
        If the uploads cannot be written.
    """
    run, checkpoint = workspace.resolve(ref)
    if kind == "folder":
        folder = Path(origin).expanduser()
        if not folder.is_dir():
            raise NotFoundError(f"'{origin}' is no folder of this machine.", "Check the path.")
        origin = str(folder.resolve())
    batch = Batch(
        id=uuid.uuid4().hex[:12],
        title=title or Path(origin).name or origin,
        kind=kind,
        origin=origin,
        owner=owner,
        created_at=time.time(),
        checkpoint=checkpoint_facts(run, checkpoint, workspace.dataset(run.dataset_id).name if run.dataset_id else ""),
        options={"ref": f"{run.id}:{checkpoint.epoch if checkpoint.kind == 'epoch' else checkpoint.kind}"},
    )
    own = batch_folder(workspace.root, batch.id)
    try:
        if fill is not None:
            make_folder(own / "audio")
            fill(own)
        workspace.store.answers.add(batch)
    except BaseException:
        shutil.rmtree(own, ignore_errors=True)
        raise
    task = workspace.tasks.submit("classify", f"Classify {batch.title}", {"batch": batch.id}, owner=owner)
    workspace.store.answers.describe(batch.id, task_id=task.id)
    return workspace.store.answers.batch(batch.id)


def delete_batch(workspace: Workspace, batch_id: str) -> None:
    """Forget a batch: its answers and uploads, never a folder of the machine."""
    batch = workspace.store.answers.batch(batch_id)
    task = workspace.tasks.find(batch.task_id) if batch.task_id else None
    if task is not None:
        workspace.tasks.dismiss(task.id)
    workspace.store.answers.delete(batch_id)
    shutil.rmtree(batch_folder(workspace.root, batch_id), ignore_errors=True)


def run(context: TaskContext) -> dict[str, Any]:
    """Do a task of the kind ``classify``: list the files, then hear those that have no answer yet."""
    workspace = context.workspace
    batch = _by_one_network(workspace, workspace.store.answers.batch(context.params["batch"]))
    classifier = workspace.classifier(batch.options["ref"])
    if batch.kind == "archive":
        _unpack(context, batch_folder(workspace.root, batch.id), batch.origin)
    root = audio_folder(workspace.root, batch)
    listing = batch_folder(workspace.root, batch.id) / _LIST
    if not listing.exists():
        write_listing(root, listing, progress=context.progress, check=context.check)
    total = sum(1 for _ in read_listing(listing))
    workspace.store.answers.describe(batch.id, num_files=total)
    if not total:
        raise DataError(
            f"No audio file was found in '{batch.title}'.", f"Known endings: {', '.join(sorted(AUDIO_SUFFIXES))}."
        )
    answer_all(context, batch, classifier, root, listing, total)
    summary = workspace.store.answers.summary(batch.id)
    return {"batch": batch.id, "files": summary.num_answers, "failed": summary.num_failed}


def _by_one_network(workspace: Workspace, batch: Batch) -> Batch:
    """Return the batch with the checkpoint that answers: the best of a run that went on is another one by now.

    Raises
    ------
    DataError
        If files were answered by the one before.
    """
    run, checkpoint = workspace.resolve(batch.options["ref"])
    before = batch.checkpoint.get("epoch")
    if checkpoint.epoch == before:
        return batch
    if workspace.store.answers.count(batch.id):
        raise DataError(
            f"The first files were answered by epoch {before} of run '{run.name}', whose {checkpoint.kind} checkpoint "
            f"is epoch {checkpoint.epoch} by now.",
            "Classify them anew, so that one network answers for all.",
        )
    facts = checkpoint_facts(run, checkpoint, str(batch.checkpoint.get("dataset", "")))
    workspace.store.answers.describe(batch.id, checkpoint=facts)
    return workspace.store.answers.batch(batch.id)


def answer_all(
    context: TaskContext, batch: Batch, classifier: Classifier, root: Path, listing: Path, total: int
) -> None:
    """Hear the files of a listing that have no answer yet and store what they were called."""
    answers = context.workspace.store.answers
    done = answers.count(batch.id)
    names = islice(read_listing(listing), done, None)
    paths = (root / name for name in islice(read_listing(listing), done, None))
    heard = classifier.stream(paths, expected=total - done)
    context.progress(done, total, "Classifying")
    while chunk := list(islice(zip(names, heard, strict=True), CHUNK)):
        answers.append(batch.id, [answer_of(result, done + index, name) for index, (name, result) in enumerate(chunk)])
        done += len(chunk)
        context.progress(done, total, "Classifying")
        if done < total:
            context.check()


def answer_of(result: Result, position: int, file: str) -> Answer:
    """Return what is kept of a result: everything but its signals."""
    return Answer(
        position=position,
        name=Path(text_of(file)).name,
        file=text_of(file),
        label=None if result.is_none else result.label,
        confidence=result.confidence,
        set_size=len(result.prediction_set) if result.none is not None else None,
        duration_s=result.duration_s,
        error=result.error,
        details={} if result.error else {name: value for name, value in result.as_dict().items() if name not in _OWN},
    )


# -- the files -----------------------------------------------------------------------------------


def write_listing(root: Path, listing: Path, *, progress: Progress, check: Callable[[], None]) -> None:
    """Write the audio files below a folder, sorted, one JSON string a line; beside it, what was left out and why."""
    part = listing.with_suffix(".part")
    make_folder(listing.parent)
    refused: list[Reject] = []
    try:
        with part.open("w", encoding="ascii") as out:
            for count, name in enumerate(walk_audio(root, refused), 1):
                out.write(json.dumps(name) + "\n")
                if count % 1_000 == 0:
                    progress(count, None, "Looking for audio files")
                    check()
            out.flush()
            os.fsync(out.fileno())
        _refuse(listing.with_name(_LEFT_OUT), refused)
        part.replace(listing)
    except OSError as error:
        raise storage_error(listing, error) from error


def read_listing(listing: Path) -> Iterator[str]:
    """Yield the paths of a listing."""
    with listing.open(encoding="ascii") as lines:
        for line in lines:
            yield json.loads(line)


def walk_audio(root: Path, refused: list[Reject] | None = None) -> Iterator[str]:
    """Yield relative paths of files that may be sounds, folder by folder in the order of their names.

    Links are not followed, hidden folders not searched. What is no sound by its name, and what is no file,
    is added to ``refused``, as an import lists it: by name, or summed up where a kind comes by the hundred.
    """
    refused, sieve = [] if refused is None else refused, Sieve()

    def closed(error: OSError) -> None:
        refused.append(Reject(_shown(Path(error.filename), root), f"Cannot be opened: {error.strerror}."))

    for folder, folders, files in os.walk(root, onerror=closed):
        for name in sorted(folders):
            if name.startswith(".") or name == "__MACOSX":
                refused.append(Reject(f"{_shown(Path(folder, name), root)}/", "A hidden or system folder."))
            elif Path(folder, name).is_symlink():
                refused.append(Reject(_shown(Path(folder, name), root), "A link; links are not followed."))
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name != "__MACOSX")
        for name in sorted(files):
            path = Path(folder, name)
            shown = _shown(path, root)
            if path.is_symlink():
                refused.append(Reject(shown, "A link; links are not followed."))
            elif not path.is_file():
                refused.append(Reject(shown, "A pipe, socket or device, not a file."))
            elif sieve.takes(shown):
                yield path.relative_to(root).as_posix()
    refused += sieve.rejects()


def left_out(root: Path, batch: Batch) -> list[Reject]:
    """Return what of a batch's folder, uploads or archive was not listened to, and why; empty until it is known."""
    found = []
    for name in (_REFUSED, _LEFT_OUT):
        try:
            rows = json.loads((batch_folder(root, batch.id) / name).read_bytes())
        except (OSError, ValueError):
            continue
        found += [Reject(str(file), str(reason)) for file, reason in rows]
    return found


def _refuse(path: Path, refused: Sequence[Reject]) -> None:
    write_atomic(path, json.dumps([(reject.name, reject.reason) for reject in refused]).encode())


def _shown(path: Path, root: Path) -> str:
    return text_of(path.relative_to(root).as_posix())


def _unpack(context: TaskContext, own: Path, name: str) -> None:
    """Unpack the sounds of an archive into ``audio/``, whole or not at all; what is refused is told in a file."""
    done = own / _REFUSED
    if done.exists():
        return
    refused: list[Reject] = []
    into = own / "audio"
    shutil.rmtree(into, ignore_errors=True)
    make_folder(into)
    with open_archive(own / safe_file_name(name), context.workspace.settings.limits) as tree:
        refused += tree.rejects
        wanted = [path for path in sorted(tree.files) if not path.lower().endswith(".csv")]
        for count, path in enumerate(wanted):
            context.progress(count, len(wanted), "Unpacking")
            context.check()
            *folders, file = path.split("/")
            # Two names of an archive may be one here: neither takes the other's place.
            target = unused(into.joinpath(*map(safe_name, folders), safe_file_name(file)))
            try:
                content = tree.files[path]()
            except AudioError as error:
                refused.append(Reject(text_of(path), str(error)))
                continue
            make_folder(target.parent)
            write_atomic(target, content)
    _refuse(done, refused)
