"""The part of the Data page that brings datasets in: demo sounds, uploads, folders of the machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from samplemind_core.audio.decode import AUDIO_SUFFIXES
from samplemind_core.data.archives import ARCHIVE_SUFFIXES
from samplemind_core.data.names import DEFAULT_RULES, Namer, Rules, format_rules, parse_rules
from samplemind_core.data.sources import ImportOptions, list_names
from samplemind_core.errors import DataError
from samplemind_core.ui import parts, words
from samplemind_core.ui.imports import start_demo, start_folder, start_upload
from samplemind_core.ui.state import error_boundary, workspace

MAX_UPLOAD_MB = 512
"""Largest archive that a browser hands over: it is held in memory meanwhile. Larger ones lie on the machine."""


def add_dataset() -> None:
    """Ask where the samples come from, and start."""
    ways = {"demo": "Demo sounds", "upload": "Archive", "files": "Single files"}
    if workspace().settings.server_folders:
        ways["folder"] = "Folder on this machine"
    # "folder" in a link says that somebody brings samples of their own; without folders of the machine, packed.
    wanted = st.query_params.get("add", "demo")
    way = st.segmented_control(
        "Where from",
        list(ways),
        format_func=lambda key: ways[key],
        default=wanted if wanted in ways else "upload" if wanted == "folder" else "demo",
        required=True,
        key="add-way",
    )
    if way == "demo":
        st.write("A drum kit that SampleMind synthesises itself: good for a first run, marked as synthetic.")
        if st.button("Make the demo dataset", type="primary", icon=":material/science:", key="make-demo"):
            with error_boundary():
                start_demo()
                st.rerun()
        st.write("Or layers of it: one to three voices at once, each sample with all their labels.")
        if st.button("Make the layered demo", icon=":material/layers:", key="make-layers"):
            with error_boundary():
                start_demo("layers", layers=True)
                st.rerun()
    elif way == "upload":
        _add_archive()
    elif way == "files":
        _add_files()
    elif way == "folder":
        _add_folder()


def _add_archive() -> None:
    limit = min(workspace().settings.limits.max_archive_mb, MAX_UPLOAD_MB)
    st.caption(
        "A zip or tar with one folder for each class, named after it. A CSV list inside, with path and label, wins."
    )
    archive = st.file_uploader(
        "Archive", type=[suffix[1:] for suffix in ARCHIVE_SUFFIXES], key="add-archive", max_upload_size=limit
    )
    name = st.text_input("Name", key="add-upload-name", max_chars=100, placeholder="As the archive")
    rules = _label_rules("upload", None if archive is None else lambda: _uploaded_names(archive.file_id, archive))
    options = _options("upload", rules)
    if st.button("Import", type="primary", icon=":material/download:", key="add-upload", disabled=archive is None):
        assert archive is not None
        with error_boundary():
            start_upload({archive.name: archive}, name.strip() or archive.name.split(".")[0], options)
            st.rerun()


def _add_files() -> None:
    limits = workspace().settings.limits
    st.caption(
        f"Up to {limits.max_uploads:,} sounds whose names say what they are, such as kick-01.wav. "
        "For more, pack them as a zip."
    )
    files: list[UploadedFile] = st.file_uploader(
        "Samples",
        type=[suffix[1:] for suffix in sorted(AUDIO_SUFFIXES)],
        accept_multiple_files=True,
        key="add-files",
        max_upload_size=limits.max_file_mb,
    )
    if len(files) > limits.max_uploads:
        st.error(
            f"{words.plural(len(files), 'file')} at once; at most {limits.max_uploads:,} are allowed.\n\n"
            "Pack them as a zip instead, or raise SAMPLEMIND_MAX_UPLOADS.",
            icon=":material/error:",
        )
        return
    name = st.text_input("Name", key="add-files-name", max_chars=100, placeholder="samples")
    rules = _label_rules("files", (lambda: [file.name for file in files]) if files else None)
    options = _options("files", rules)
    if st.button("Import", type="primary", icon=":material/download:", key="add-files-go", disabled=not files):
        with error_boundary():
            start_upload({file.name: file for file in files}, name.strip() or "samples", options)
            st.rerun()


def _add_folder() -> None:
    st.caption("A folder with one subfolder for each class, a zip or tar, or a CSV list with path and label.")
    path = st.text_input("Path", key="add-path", placeholder="/samples/drums")
    name = st.text_input("Name", key="add-folder-name", max_chars=100, placeholder="As the folder")
    rules = _label_rules("folder", (lambda: _folder_names(path.strip())) if path.strip() else None)
    options = _options("folder", rules)
    # Never disabled: what was typed arrives with the click, and a button that waits for it would swallow that click.
    if st.button("Import", type="primary", icon=":material/download:", key="add-folder"):
        with error_boundary():
            if not path.strip():
                raise DataError("No folder was named.", "Type its path on this machine above, such as /samples/drums.")
            source = Path(path.strip()).expanduser()
            start_folder(source, name.strip() or source.name.split(".")[0], options)
            st.rerun()


def _label_rules(way: str, names: Callable[[], list[str] | None] | None) -> Rules | None:
    """Ask where labels come from; with rules for names, show what they say about the files at hand."""
    if way != "files":
        ways = {"folders": "Folder names or a list", "names": "File names, by rules"}
        chosen = st.segmented_control(
            "Labels from",
            list(ways),
            format_func=lambda key: ways[key],
            default="folders",
            required=True,
            key=f"add-{way}-labels",
        )
        if chosen == "folders":
            return None
    with st.expander("Rules", expanded=way != "files"):
        text = st.text_area(
            "Words that name a class",
            format_rules(DEFAULT_RULES),
            key=f"add-{way}-rules",
            height=240,
            help="One class a line. A word counts where it stands alone: 808bd is 808 and bd, but shh is no hh. "
            "The file's name counts first, then its folders.",
        )
    with error_boundary():
        rules = parse_rules(text)
        namer = Namer(rules)
        if names is not None:
            _preview(namer, names())
        return rules
    return ()  # what is wrong was said; an import without rules is refused


def _preview(namer: Namer, names: list[str] | None) -> None:
    if names is None:
        st.caption("A list of samples is in there: its labels are taken as they are.")
        return
    proposal = namer.propose(names)
    unlabelled = proposal.unlabelled
    known = len(names) - len(unlabelled)
    st.caption(f"{known:,} of {words.plural(len(names), 'sample')} get a label from their names.")
    parts.facts({label: f"{count:,} · {examples}" for label, count, examples in proposal.table()})
    if unlabelled:
        shown = ", ".join(parts.safe(name) for name in unlabelled[:5]) + (" …" if len(unlabelled) > 5 else "")
        st.caption(f"{len(unlabelled):,} stay unlabelled, kept but not trained on: {shown}")
    if proposal.ambiguous:
        st.caption(f"{len(proposal.ambiguous):,} of these speak of more than one class.")


@st.cache_data(ttl=60, max_entries=8, show_spinner="Looking at the names")
def _folder_names(path: str) -> list[str] | None:
    return list_names(Path(path).expanduser(), workspace().settings.limits)


@st.cache_data(max_entries=8, show_spinner="Looking at the names")
def _uploaded_names(file_id: str, _file: UploadedFile) -> list[str] | None:
    """Return the names in an uploaded archive; ``file_id`` tells it from every other upload."""
    with tempfile.TemporaryDirectory(prefix="samplemind-") as folder:
        copy = Path(folder) / f"archive{Path(_file.name).suffix.lower()}"
        copy.write_bytes(_file.getbuffer())
        return list_names(copy, workspace().settings.limits)


def _options(way: str, rules: Rules | None) -> ImportOptions:
    """Ask for what few imports need, folded away."""
    with st.expander("Options"):
        classes = st.text_input(
            "Only these classes", key=f"add-{way}-classes", placeholder="All, or for example kick, snare"
        )
        group = label = several = flags = ""
        if way != "files":
            group = st.text_input(
                "Source column of the list",
                key=f"add-{way}-group",
                placeholder="group, or source",
                help="The column of a CSV list that names each sample's pack or recording. A split keeps these whole.",
            )
            label = st.text_input("Class column of the list", key=f"add-{way}-label", placeholder="label")
            several = st.text_input(
                "Column of several labels",
                key=f"add-{way}-labels-column",
                placeholder="labels",
                help="For samples that belong to several classes: a column such as kick|distorted. Such a dataset can "
                "be heard, checked and split; training learns each label by itself.",
            )
            flags = st.text_input(
                "Columns of 0 and 1",
                key=f"add-{way}-flags",
                placeholder="For example kick, distorted",
                help="The same with a column for each label: 1 where a sample has it.",
            )
        seed = st.number_input("Seed of the split", min_value=0, max_value=2**31 - 1, value=0, key=f"add-{way}-seed")
    wanted, flagged = (tuple(part.strip() for part in text.split(",") if part.strip()) for text in (classes, flags))
    return ImportOptions(
        name_rules=rules,
        classes=wanted or None,
        group_column=group.strip() or None,
        label_column=label.strip() or None,
        labels_column=several.strip() or None,
        flag_columns=flagged or None,
        seed=int(seed),
    )
