"""Imports as background tasks: started by a page, done by the task worker, resumed where they were."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from samplemind_core.data.importer import Resumable, check_name, import_dataset, import_demo
from samplemind_core.data.sources import ImportOptions
from samplemind_core.errors import DataError, NameTakenError, StorageError

if TYPE_CHECKING:
    from samplemind_core.store import Store, Task
    from samplemind_core.tasks import TaskContext, Tasks

KIND, DEMO_KIND = "import", "demo"
UPLOAD = "upload"
_CHUNK = 1 << 20
_MAX_NAME_BYTES = 200


def run(context: TaskContext) -> dict[str, Any]:
    """Import what the task names; the handler of ``import`` tasks."""
    params, workspace = context.params, context.workspace
    source = context.folder / UPLOAD / params["upload"] if "upload" in params else Path(params["source"])
    dataset = import_dataset(
        workspace.store,
        workspace.root,
        source,
        params["name"],
        options=options_from(params["options"]),
        limits=workspace.settings.limits,
        progress=context.progress,
        should_stop=context.should_stop,
        resumable=Resumable(context.folder / "work", context.task.id),
    )
    return {"dataset": dataset.id, "num_clips": dataset.num_clips, "num_rejected": dataset.num_rejected}


def run_demo(context: TaskContext) -> dict[str, Any]:
    """Make the demo dataset; the handler of ``demo`` tasks."""
    params, workspace = context.params, context.workspace
    dataset = import_demo(
        workspace.store,
        workspace.root,
        params["name"],
        params["per_class"],
        params["seed"],
        context.progress,
        context.should_stop,
        Resumable(context.folder / "work", context.task.id),
        layers=params.get("layers", False),
    )
    return {"dataset": dataset.id, "num_clips": dataset.num_clips, "num_rejected": dataset.num_rejected}


def submit_import(
    tasks: Tasks,
    store: Store,
    source: Path | Callable[[Path], str],
    name: str,
    options: ImportOptions | None = None,
    owner: str = "",
) -> Task:
    """Queue an import.

    Parameters
    ----------
    tasks, store
        Of the workspace.
    source : Path or callable
        What to import, or a function that puts it into the folder it is given and returns its name
        there, such as :func:`keep_upload` makes.
    name : str
        Name of the new dataset.
    options : ImportOptions, optional
    owner : str
        Who asked for it.

    Raises
    ------
    NameTakenError
        If a dataset has that name, or one that is being imported will have it.
    DataError
        If the name or the path cannot be used.
    StorageError
        If an upload cannot be kept.
    """
    name = free_name(tasks, store, name)
    params: dict[str, Any] = {"name": name, "options": asdict(options or ImportOptions())}
    if isinstance(source, Path):
        if not source.expanduser().exists():
            raise DataError(f"There is no folder or file '{source}'.", "Check the path.")
        return tasks.submit(KIND, name, params | {"source": str(source.expanduser().absolute())}, owner=owner)
    put = source
    return tasks.submit(KIND, name, params, owner=owner, prepare=lambda folder: {"upload": put(folder / UPLOAD)})


def submit_demo(
    tasks: Tasks,
    store: Store,
    name: str,
    per_class: int = 200,
    seed: int = 0,
    owner: str = "",
    *,
    layers: bool = False,
) -> Task:
    """Queue the making of the demo dataset; parameters and errors as for :func:`submit_import`."""
    name = free_name(tasks, store, name)
    params = {"name": name, "per_class": per_class, "seed": seed, "layers": layers}
    return tasks.submit(DEMO_KIND, name, params, owner=owner)


def free_name(tasks: Tasks, store: Store, name: str) -> str:
    """Return a dataset's name without blanks around it; raise if it cannot be used or will be taken."""
    name = check_name(store, name)
    for task in importing(tasks):
        if task.active and task.params["name"] == name:
            raise NameTakenError(f"A dataset named '{name}' is being imported.", "Choose another name.")
    return name


def importing(tasks: Tasks) -> list[Task]:
    """Return the imports that wait, go on, or have ended and were not dismissed, newest first."""
    return sorted(tasks.all(kind=KIND) + tasks.all(kind=DEMO_KIND), key=lambda task: -task.created_at)


def keep_upload(files: Mapping[str, BinaryIO]) -> Callable[[Path], str]:
    """Return a function that copies uploaded files into a folder, piece by piece.

    One archive stays as it is; several files lie side by side. Their names are only shown and used
    for labels: what cannot be a file's name is replaced.

    Parameters
    ----------
    files : mapping of str to BinaryIO
        Contents by name.
    """

    def put(folder: Path) -> str:
        one = len(files) == 1 and not _is_sound(next(iter(files)))
        target = folder if one else folder / "files"
        try:
            target.mkdir(parents=True)
            taken: set[str] = set()
            for name, content in files.items():
                safe = _file_name(name, taken)
                with (target / safe).open("wb") as copy:
                    content.seek(0)
                    shutil.copyfileobj(content, copy, _CHUNK)
        except OSError as error:
            raise StorageError(
                f"The upload could not be kept: {error.strerror or error}.",
                "Free some space in the workspace and try again.",
            ) from error
        return safe if one else "files"

    return put


def options_from(values: Mapping[str, Any]) -> ImportOptions:
    """Return the options that a task stores as JSON."""
    known = {field.name for field in fields(ImportOptions)}
    return ImportOptions(**{name: _tuples(value) for name, value in values.items() if name in known})


def _tuples(value: Any) -> Any:
    return tuple(_tuples(item) for item in value) if isinstance(value, list) else value


def _is_sound(name: str) -> bool:
    from samplemind_core.audio.decode import AUDIO_SUFFIXES

    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def _file_name(name: str, taken: set[str]) -> str:
    """Return a name that any file system takes, near to an uploaded file's and unlike those before it."""
    base = "".join(char if char.isprintable() and char not in '/\\:*?"<>|' else "_" for char in name).strip(". ")
    # Bytes, not characters: of some scripts a letter takes nine, and the end of a name holds its ending.
    path = Path((base or "file").encode()[-_MAX_NAME_BYTES:].decode(errors="ignore"))
    safe, number = path.name, 2
    while safe.casefold() in taken:
        safe, number = f"{path.stem}-{number}{path.suffix}", number + 1
    taken.add(safe.casefold())
    return safe
