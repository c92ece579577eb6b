"""Where many files come from, and the button that has them classified in the background."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import streamlit as st

from samplemind_core.errors import DataError, SampleMindError
from samplemind_core.ui import words
from samplemind_core.ui.batches.results import open_batch, show_batch
from samplemind_core.ui.state import choose, error_boundary, owner, workspace

MAX_FILES = 1_000
"""Files of one upload; a browser gets slow beyond, and an archive has no such limit."""


def many_files(options: Mapping[str, str]) -> None:
    """Draw the choice of files, or the batch that the address names.

    Parameters
    ----------
    options : mapping of str to str
        Checkpoints: what is shown by reference; not empty.
    """
    chosen = st.query_params.get("batch")
    if chosen is not None:
        if st.button("Classify other files", icon=":material/arrow_back:", key="batch-other", type="tertiary"):
            del st.query_params["batch"]
            st.rerun()
        show_batch(chosen)
        return
    ref = choose("Checkpoint", options, "checkpoint", default=next((o for o in options if o.endswith(":best")), None))
    ways = {"archive": "An archive", "uploads": "Files"}
    if workspace().settings.server_folders:
        ways = {"folder": "A folder of this machine", **ways}
    way = st.segmented_control(
        "Where from",
        list(ways),
        format_func=lambda name: ways[name],
        default=next(iter(ways)),
        required=True,
        key="batch-way",
    )
    with error_boundary():
        if way == "folder":
            from_folder(ref)
        elif way == "archive":
            from_archive(ref)
        else:
            from_files(ref)


def from_folder(ref: str) -> None:
    """Draw the field for a path of the machine that the dashboard runs on."""
    path = st.text_input("Path of the folder", key="batch-path", placeholder="/samples/drums")
    st.caption("Subfolders included. The files stay where they are and are only read.")
    # Never disabled: what was typed arrives with the click, and a button that waits for it would swallow that click.
    if st.button("Classify the folder", type="primary", icon=":material/play_arrow:", key="batch-start"):
        from samplemind_core.batches.work import submit_batch

        if not path.strip():
            raise DataError("No folder was named.", "Type its path on this machine above, such as /samples/drums.")
        batch = submit_batch(workspace(), ref, kind="folder", origin=path.strip(), owner=owner())
        open_batch(batch.id)


def from_archive(ref: str) -> None:
    """Draw the uploader of one archive."""
    limit = workspace().settings.limits.max_archive_mb
    from samplemind_core.data.archives import ARCHIVE_SUFFIXES

    archive = st.file_uploader(
        "Archive",
        type=[suffix[1:] for suffix in ARCHIVE_SUFFIXES],
        key="batch-archive",
        max_upload_size=min(limit, 512),
    )
    if st.button(
        "Classify the archive",
        type="primary",
        icon=":material/play_arrow:",
        key="batch-start",
        disabled=archive is None,
    ):
        assert archive is not None
        from samplemind_core.batches.work import submit_batch
        from samplemind_core.inference.sorting import safe_file_name

        content: BinaryIO = archive

        def fill(own: Path) -> None:
            with (own / safe_file_name(archive.name)).open("wb") as out:
                shutil.copyfileobj(content, out)

        batch = submit_batch(workspace(), ref, kind="archive", origin=archive.name, owner=owner(), fill=fill)
        open_batch(batch.id)


def from_files(ref: str) -> None:
    """Draw the uploader of many files."""
    from samplemind_core.audio.decode import AUDIO_SUFFIXES

    files = st.file_uploader(
        f"Samples, up to {MAX_FILES:,} at once",
        type=sorted(suffix.lstrip(".") for suffix in AUDIO_SUFFIXES),
        accept_multiple_files=True,
        key="batch-files",
        max_upload_size=workspace().settings.limits.max_file_mb,
    )
    if len(files) > MAX_FILES:
        raise SampleMindError(
            f"{len(files):,} files were dropped; one upload takes {MAX_FILES:,}.", "Drop a zip instead."
        )
    if st.button(
        f"Classify {words.plural(len(files), 'file')}" if files else "Classify",
        type="primary",
        icon=":material/play_arrow:",
        key="batch-start",
        disabled=not files,
    ):
        from samplemind_core.batches.work import submit_batch

        batch = submit_batch(
            workspace(),
            ref,
            kind="uploads",
            origin=words.plural(len(files), "file"),
            owner=owner(),
            fill=lambda own: _write(files, own / "audio"),
        )
        open_batch(batch.id)


def _write(files: Sequence[Any], folder: Path) -> None:
    """Write uploads under names of their own; two of one name stay two."""
    from samplemind_core.inference.sorting import safe_file_name, unused

    for file in files:
        with unused(folder / safe_file_name(file.name)).open("wb") as out:
            shutil.copyfileobj(file, out)
