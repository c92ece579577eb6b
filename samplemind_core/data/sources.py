"""What a folder, a zip archive or a manifest offers for import: candidates with labels, and what is left out and why.

Nothing is decoded here. Each candidate knows how to read its own bytes, within the limits, so that
a folder and an archive look the same to the importer.
"""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from samplemind_core.audio.decode import AUDIO_SUFFIXES, printable
from samplemind_core.errors import ArchiveError, DataError
from samplemind_core.settings import Limits
from samplemind_core.store.records import Reject, Split

Reader = Callable[[], bytes]
Grouping = Literal["none", "inferred", "given"]

MAX_LABEL = 200
MAX_LISTED = 20
"""Files of one unusable kind that are listed one by one; more become one row with a count."""

_FOREIGN = frozenset(
    (".m4a", ".mp4", ".mov", ".aac", ".wma", ".webm", ".mka", ".amr", ".ape", ".wv", ".aax", ".ac3", ".mp2", ".sd2")
)
"""Suffixes of sounds that the decoder refuses; it is asked all the same, as it can say what they are."""

_JUNK_NAMES = {".ds_store": ".DS_Store", "thumbs.db": "Thumbs.db", "desktop.ini": "desktop.ini"}
_MACOS_FOLDER = "__MACOSX"
_LAYOUT = "Expected one folder per class with audio files in it, such as kick/a.wav and snare/b.wav"


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What the person who imports decides.

    Parameters
    ----------
    label_column, group_column, split_column, path_column : str, optional
        Names of a manifest's columns where they are not ``label``, ``group`` (or ``source``),
        ``split`` and ``path``.
    labels_column : str, optional
        A manifest's column of several labels with ``|`` between them, which makes a multi-label dataset;
        ``labels`` by default where there is no column ``label``.
    flag_columns : tuple of str, optional
        Columns of 0 and 1, each named after a label, instead of one column of labels.
    classes : tuple of str, optional
        Classes to import; all by default.
    seed : int
        Seed of the split.
    fractions : tuple of float
        Shares of train, val and test.
    synthetic : bool
        Whether the sounds were made by this product.
    origin : str
        Where the sounds come from, in words; the name of the folder or file by default.
    name_rules : tuple, optional
        Take labels from file and folder names by these rules (:data:`samplemind_core.data.names.DEFAULT_RULES`)
        instead of from class folders. Files that no rule knows stay unlabelled: kept, counted, not
        trained on. A manifest's labels are taken as they are.
    """

    label_column: str | None = None
    group_column: str | None = None
    split_column: str | None = None
    path_column: str | None = None
    classes: tuple[str, ...] | None = None
    seed: int = 0
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15)
    synthetic: bool = False
    origin: str = ""
    name_rules: tuple[tuple[str, tuple[str, ...]], ...] | None = None
    labels_column: str | None = None
    flag_columns: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """One file that may become a clip.

    An empty ``label`` means that nobody knows; ``labels`` are all those of a clip in a multi-label dataset.
    ``read`` returns the file's bytes; it raises an ``AudioError`` if this file cannot be read and an
    ``ArchiveError`` if the whole archive must be refused.
    """

    name: str
    label: str
    read: Reader
    source: str | None = None
    split: Split | None = None
    fold: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()


@dataclass(slots=True)
class Found:
    """All that a source offers. ``grouping`` says how trustworthy the candidates' sources are."""

    candidates: list[Candidate]
    rejects: list[Reject]
    warnings: list[str] = field(default_factory=list)
    grouping: Grouping = "none"
    multi_label: bool = False


@dataclass(slots=True)
class Tree:
    """Files of a folder or archive by their relative posix names, and its folders, empty ones included."""

    title: str
    files: dict[str, Reader] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    rejects: list[Reject] = field(default_factory=list)


class Sieve:
    """Says which names are worth reading, and keeps count of what is not.

    The odd file is listed by name; what operating systems and editors leave behind by the hundred
    is summed up, one row a kind.
    """

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str], list[str]] = {}

    def takes(self, name: str) -> bool:
        """Return whether a file of this relative name may be audio."""
        parts = name.split("/")
        base = parts[-1]
        stem, dot, ending = base.rstrip().rpartition(".")
        suffix = f".{ending}".lower() if stem and dot and ending else ""
        if _MACOS_FOLDER in parts:
            self._note(_MACOS_FOLDER, "macOS metadata, not samples.", name)
        elif base.lower() in _JUNK_NAMES:
            self._note(_JUNK_NAMES[base.lower()], "Left by the operating system, not a sample.", name)
        elif base.startswith("._"):
            self._note("._*", "macOS metadata, not a sample.", name)
        elif any(part.startswith(".") for part in parts[:-1]):
            self._note("files in hidden folders", "Lies in a hidden folder.", name)
        elif suffix in AUDIO_SUFFIXES or suffix in _FOREIGN:
            return True
        else:
            kind = f"*{printable(suffix)}" if suffix else "files without a suffix"
            self._note(kind, f"Not an audio file ({printable(suffix) or 'no suffix'}).", name)
        return False

    def rejects(self) -> Iterator[Reject]:
        """Yield a row per file, or one per kind where there are many."""
        for (kind, reason), names in self._kinds.items():
            if len(names) <= MAX_LISTED and kind not in {*_JUNK_NAMES.values(), _MACOS_FOLDER, "._*"}:
                yield from (Reject(name, reason) for name in names)
            else:
                yield Reject(f"{kind} ({counted(len(names), 'file')})", f"{reason} The first: {names[0]}")

    def _note(self, kind: str, reason: str, name: str) -> None:
        self._kinds.setdefault((kind, reason), []).append(name)


class Selection:
    """The classes that were asked for, with a count of what was passed over."""

    def __init__(self, classes: Iterable[str] | None) -> None:
        self._wanted = None if classes is None else set(classes)
        self._seen: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()

    def takes(self, label: str) -> bool:
        """Return whether a class was asked for."""
        self._seen[label] += 1
        if self._wanted is None or label in self._wanted:
            return True
        self._passed[label] += 1
        return False

    def rejects(self) -> Iterator[Reject]:
        """Yield one row per class that was not asked for.

        Raises
        ------
        DataError
            If a class was asked for that is not there.
        """
        missing = sorted((self._wanted or set()) - set(self._seen))
        if missing:
            raise DataError(
                f"There is no class {quoted(missing)} here.", f"The classes are: {quoted(sorted(self._seen))}."
            )
        for label, count in sorted(self._passed.items()):
            yield Reject(f"{label} ({counted(count, 'file')})", "Class not selected.")


@contextmanager
def open_source(
    source: Path, options: ImportOptions, limits: Limits, check: Callable[[], None] = lambda: None
) -> Iterator[Found]:
    """Yield what a folder, a zip or tar archive or a manifest (.csv) offers; files stay open inside the block.

    Parameters
    ----------
    source : Path
        A folder with one folder per class, the same as a zip or tar, or a CSV file that lists clips. A
        folder or archive with a ``manifest.csv`` at its root is read by that manifest.
    options : ImportOptions
        Columns and classes.
    limits : Limits
        Bounds on files and archives.
    check : callable
        Called between folders; raises to end the search.

    Raises
    ------
    DataError
        If the source is not there, cannot be read, or has no usable layout.
    ManifestError, ArchiveError
        If a manifest or an archive cannot be used.
    """
    from samplemind_core.data.archives import is_archive, open_archive
    from samplemind_core.data.folders import folder_lookup, read_file, scan_folder
    from samplemind_core.data.manifests import find_manifest, read_manifest

    shown = printable(source.name or str(source))
    try:
        is_folder, exists = source.is_dir(), source.exists()
    except (OSError, ValueError):
        is_folder = exists = False
    if not exists:
        raise DataError(f"There is no folder or file '{shown}'.", "Check the path.")
    if is_folder:
        try:
            manifest = find_manifest(os.listdir(source))  # noqa: PTH208 - names, undecodable ones included
        except OSError as error:
            raise DataError(f"The folder '{shown}' cannot be read: {error.strerror}.", "Check its rights.") from error
        if manifest is not None:
            source = source / manifest
        else:
            yield by_layout(scan_folder(source, limits.max_file_bytes, check), options)
            return
    if source.suffix.lower() == ".csv":
        read = partial(read_file, source, limits.max_file_bytes)
        yield read_manifest(read, printable(source.name), options, folder_lookup(source.parent, limits.max_file_bytes))
    elif is_archive(source):
        with open_archive(source, limits) as tree:
            yield _from_archive(tree, options)
    else:
        raise DataError(
            f"'{shown}' is neither a folder, a zip or tar archive nor a CSV manifest.",
            f"{_LAYOUT}; a zip or tar of that; or a CSV file with the columns path and label.",
        )


def list_names(source: Path, limits: Limits) -> list[str] | None:
    """Return the relative names of the sounds in a folder or archive, or None where a manifest lists them.

    Raises
    ------
    DataError
        If it is neither a folder nor a readable archive.
    """
    from samplemind_core.data.archives import open_archive
    from samplemind_core.data.folders import scan_folder
    from samplemind_core.data.manifests import find_manifest

    if not source.exists():
        raise DataError(f"There is no folder or file '{printable(str(source))}'.", "Check the path.")
    if source.suffix.lower() == ".csv":
        return None
    if source.is_dir():
        if find_manifest(os.listdir(source)) is not None:  # noqa: PTH208 - names, undecodable ones included
            return None
        return sorted(scan_folder(source, limits.max_file_bytes).files)
    with open_archive(source, limits) as tree:
        tops = {name.partition("/")[0] for name in tree.files}
        starts = ("", f"{next(iter(tops))}/") if len(tops) == 1 else ("",)
        if any(find_manifest(name.removeprefix(start) for name in tree.files) for start in starts):
            return None
        return [name for name in tree.files if not name.lower().endswith(".csv")]


def by_layout(tree: Tree, options: ImportOptions, usual_depth: int = 0) -> Found:
    """Return the candidates of a tree, labelled by their folders or, if asked for, by their names."""
    return by_folder(tree, options, usual_depth) if options.name_rules is None else by_names(tree, options)


def by_names(tree: Tree, options: ImportOptions) -> Found:
    """Return the candidates of a tree with labels that their names propose; unknown ones have none.

    The first folder below those that hold everything is the source (pack, machine).
    """
    from samplemind_core.data.names import Namer

    assert options.name_rules is not None
    depth = len(_common_root(tree.files))
    found = Found([], list(tree.rejects))
    selection = Selection(options.classes)
    proposal = Namer(options.name_rules).propose(tree.files)
    for name, read in tree.files.items():
        label = proposal.labels[name]
        if label and not selection.takes(label):
            continue
        parts = name.split("/")[depth:]
        source = parts[0] if len(parts) > 1 else None
        if source is not None:
            found.grouping = "inferred"
        found.candidates.append(Candidate(name, label, read, source))
    found.rejects += selection.rejects()
    if proposal.ambiguous:
        found.warnings.append(
            f"{counted(len(proposal.ambiguous), 'name')} of more than one class, left unlabelled: "
            f"{quoted(proposal.ambiguous, 5)}."
        )
    return found


def by_folder(tree: Tree, options: ImportOptions, usual_depth: int = 0) -> Found:
    """Return the candidates of a tree with one folder per class.

    The first folder is the class and a second one the source (pack, machine), so that clips of one
    pack stay on one side of the split. A folder that holds everything is stepped into; a warning
    says so where it lies deeper than ``usual_depth``.
    """
    prefix = _common_root(tree.files)
    found = Found([], list(tree.rejects))
    if len(prefix) > usual_depth:
        shown = "/".join(prefix) if len(prefix) <= 4 else f"{'/'.join(prefix[:2])}/…/{prefix[-1]}"
        found.warnings.append(f"Everything lies inside the folder '{shown}'; the folders in it are taken as classes.")
    selection = Selection(options.classes)
    loose = []
    for name, read in tree.files.items():
        parts = name.split("/")[len(prefix) :]
        if len(parts) < 2:
            loose.append(name)
            continue
        label, source = parts[0], parts[1] if len(parts) > 2 else None
        fault = label_fault(label)
        if fault:
            found.rejects.append(Reject(name, fault))
        elif selection.takes(label):
            found.candidates.append(Candidate(name, label, read, source))
            if source is not None:
                found.grouping = "inferred"
    if not found.candidates and loose:
        raise DataError(
            f"'{tree.title}' has no class folders: {counted(len(loose), 'audio file')} "
            f"{'lies' if len(loose) == 1 else 'lie'} directly in it.",
            f"{_LAYOUT}.",
        )
    found.rejects += [Reject(name, "Lies outside the class folders, so it has no class.") for name in loose]
    found.rejects += selection.rejects()
    labels = {candidate.label for candidate in found.candidates}
    depth = len(prefix) + 1
    tops = {parts[-1] for folder in tree.folders if len(parts := folder.split("/")) == depth and parts[:-1] == prefix}
    if options.classes is not None:
        tops &= set(options.classes)
    for top in sorted(tops - labels):
        found.warnings.append(f"The folder '{top}' holds no audio files, so it is not a class.")
    return found


def case_collisions(names: Iterable[str]) -> list[list[str]]:
    """Return the names that differ only in case or in how accents are encoded, as groups of two or more."""
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(unicodedata.normalize("NFKC", name).casefold(), []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def label_fault(label: str) -> str | None:
    """Return why a text cannot name a class, or None."""
    if not label.strip():
        return "Has no label."
    if len(label) > MAX_LABEL:
        return f"The class name has {len(label)} characters; at most {MAX_LABEL} are allowed."
    if any(unicodedata.category(char) == "Cc" for char in label):
        return f"The class name '{printable(label)}' holds control characters."
    return None


def text_of(name: str) -> str:
    """Return a file system's name as text that any database takes: undecodable bytes become escapes."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def counted(count: int, noun: str) -> str:
    """Return ``1 file`` or ``2,000 files``."""
    return f"{count:,} {noun}{'' if count == 1 else 's' if not noun.endswith('s') else 'es'}"


def quoted(names: Iterable[str], limit: int = 10) -> str:
    """Return names in quotes, the first few of many."""
    shown = [f"'{printable(name)}'" for name in names]
    more = f" and {len(shown) - limit} more" if len(shown) > limit else ""
    return ", ".join(shown[:limit]) + more


def _from_archive(tree: Tree, options: ImportOptions) -> Found:
    from samplemind_core.data.manifests import find_manifest

    tops = {name.partition("/")[0] for name in tree.files}
    starts = ["", f"{next(iter(tops))}/"] if len(tops) == 1 else [""]
    for start in starts:
        manifest = find_manifest(name.removeprefix(start) for name in tree.files if name.startswith(start))
        if manifest is not None:
            return _by_archive_manifest(tree, start + manifest, start, options)
    tree.files = {name: read for name, read in tree.files.items() if not name.lower().endswith(".csv")}
    if not tree.files and tree.rejects:
        reasons = "; ".join(f"{row.name}: {row.reason.rstrip('.')}" for row in tree.rejects[:3])
        raise ArchiveError(f"'{tree.title}' holds nothing that can be imported. {reasons}.", f"{_LAYOUT}.")
    return by_layout(tree, options, usual_depth=1)  # many programs pack the folder itself


def _by_archive_manifest(tree: Tree, manifest: str, start: str, options: ImportOptions) -> Found:
    from samplemind_core.data.manifests import read_manifest

    used = {manifest}

    def lookup(path: str) -> tuple[str, Reader] | str:
        read = tree.files.get(start + path)
        if read is None:
            return "Is not in the archive."
        used.add(start + path)
        return path, read

    found = read_manifest(tree.files[manifest], printable(manifest), options, lookup)
    found.rejects[:0] = tree.rejects
    unlisted = [name for name in tree.files if name not in used]
    if unlisted:
        reason = f"Not in the manifest, or of a class that was not selected. The first: {unlisted[0]}"
        found.rejects.append(Reject(f"{counted(len(unlisted), 'file')} of the archive", reason))
    return found


def _common_root(names: Iterable[str]) -> list[str]:
    """Return the folders that hold everything and are not themselves the only class."""
    paths = [name.split("/") for name in names]
    prefix: list[str] = []
    while paths and all(len(path) > 1 and path[0] == paths[0][0] for path in paths):
        inner = {path[1] for path in paths if len(path) > 2}
        if len(inner) < 2 and any(len(path) == 2 for path in paths):
            break
        prefix.append(paths[0][0])
        paths = [path[1:] for path in paths]
    return prefix
