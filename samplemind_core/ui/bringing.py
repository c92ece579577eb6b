"""What somebody brings to be classified: sounds, archives of them, and files that are neither, each with its reason."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import streamlit as st

from samplemind_core.errors import AudioError, NotFoundError, SampleMindError
from samplemind_core.settings import Limits

if TYPE_CHECKING:
    from samplemind_core.inference.hearing import Item

UNPACKED_FILES = 4
"""Archives may unpack to as many times the size of one file: what they hold stays in memory while the page is open."""


class Upload(Protocol):
    """A file as the browser sent it."""

    file_id: str
    name: str

    def getvalue(self) -> bytes:
        """Return its content."""


@dataclass(frozen=True)
class Given:
    """One file to classify: uploaded, recorded, or on the server. Its name is shown, never used as a path.

    ``id`` differs where the content may. ``fault`` says why it cannot be listened to at all.
    """

    id: str
    name: str
    source: bytes | Path
    fault: str | None = None

    @property
    def item(self) -> Item:
        """As the classifier takes it."""
        return self.source if isinstance(self.source, Path) else (self.name, self.source)


def dropped(files: Iterable[Upload], limits: Limits) -> list[Given]:
    """Return what was dropped, with what archives hold in their place.

    An archive that cannot be used, and each entry that is refused, becomes a line with its reason.

    Raises
    ------
    SampleMindError
        If there are more sounds than one upload takes.
    """
    from samplemind_core.data.archives import is_archive_name
    from samplemind_core.inference.sorting import safe_file_name

    kept: dict[str, list[Given]] = st.session_state.get("opened-archives", {})
    opened: dict[str, list[Given]] = {}
    given: list[Given] = []
    for file in files:
        if not is_archive_name(file.name):
            given.append(Given(file.file_id, file.name, file.getvalue()))
            continue
        if file.file_id not in kept:
            with tempfile.TemporaryDirectory(prefix="samplemind-") as folder:
                path = Path(folder, safe_file_name(file.name))
                path.write_bytes(file.getvalue())
                kept = {**kept, file.file_id: opened_archive(path, file.file_id, limits)}
        opened[file.file_id] = kept[file.file_id]
        given += opened[file.file_id]
    st.session_state["opened-archives"] = opened
    if len(given) > limits.max_uploads:
        raise SampleMindError(
            f"{len(given):,} files were dropped; one upload takes {limits.max_uploads:,}.",
            "Drop fewer, or choose “Many files” on the Classify page.",
        )
    return given


def opened_archive(path: Path, id: str, limits: Limits) -> list[Given]:
    """Return the sounds in an archive and a line for each entry that is none; one line if it is of no use at all."""
    from samplemind_core.data.archives import open_archive

    bounds: dict[str, Any] = {"max_unpacked_mb": min(limits.max_unpacked_mb, UNPACKED_FILES * limits.max_file_mb)}
    found: list[Given] = []

    def add(name: str, content: bytes, fault: str | None) -> None:
        found.append(Given(f"{id}/{len(found)}", f"{path.name}/{name}", content, fault))

    try:
        with open_archive(path, limits.model_copy(update=bounds)) as tree:
            sounds = {name: read for name, read in tree.files.items() if not name.lower().endswith(".csv")}
            num_all = len(sounds) + len(tree.rejects)
            if num_all > limits.max_uploads:
                raise SampleMindError(
                    f"{path.name} holds {num_all:,} files; one upload takes {limits.max_uploads:,}.",
                    "Choose “Many files” on the Classify page.",
                )
            for name, read in sounds.items():
                try:
                    add(name, read(), None)
                except AudioError as error:
                    add(name, b"", str(error))
            for reject in tree.rejects:
                add(reject.name, b"", reject.reason)
    except SampleMindError as error:
        return [Given(id, path.name, b"", str(error))]
    return found or [Given(id, path.name, b"", "There is no sound in it.")]


def on_server(text: str, limits: Limits) -> list[Given]:
    """Return the sounds that a path of the server names: a file, those in an archive, or in a folder and below.

    Raises
    ------
    NotFoundError
        If nothing is there.
    SampleMindError
        If there are more than one upload takes.
    """
    from samplemind_core.audio.decode import AUDIO_SUFFIXES
    from samplemind_core.data.archives import is_archive_name

    place = Path(text.strip()).expanduser()
    try:
        if place.is_file() and is_archive_name(place.name):
            return opened_archive(place, f"{place}:{place.stat().st_mtime_ns}", limits)
        if place.is_dir():
            named = (file for file in place.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
            found = sorted(file for file in named if file.is_file())
        else:
            found = [place] if place.exists() else []
        given = [
            Given(f"{file}:{file.stat().st_mtime_ns}", file.name, file) for file in found[: limits.max_uploads + 1]
        ]
    except OSError as error:
        raise NotFoundError(f"'{place}' cannot be read: {error.strerror or error}.", "Check its rights.") from error
    if not given:
        raise NotFoundError(f"There is no sound at '{place}' on the server.", "Check the path.")
    if len(given) > limits.max_uploads:
        raise SampleMindError(
            f"There are more than {limits.max_uploads} sounds in '{place}'.",
            "Choose a smaller folder, or classify it as a batch or from the command line.",
        )
    return given
