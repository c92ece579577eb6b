"""CSV manifests: one row a clip, with its path, label or labels, and optionally group, split and fold."""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import (
    Candidate,
    Found,
    Grouping,
    ImportOptions,
    Reader,
    Selection,
    label_fault,
    quoted,
)
from samplemind_core.errors import AudioError, ManifestError
from samplemind_core.store.records import SEPARATOR, Reject, Split

Lookup = Callable[[str], "tuple[str, Reader] | str"]

SPLIT_WORDS: dict[str, Split] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "testing": "test",
}
FLAG_WORDS = {"": False, "0": False, "0.0": False, "no": False, "false": False} | dict.fromkeys(
    ("1", "1.0", "yes", "true"), True
)
MAX_FOLD = 64
_SEPARATOR = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)
_ADVICE = "Expected a CSV file whose first line names its columns, path and label among them."


@dataclass(frozen=True, slots=True)
class _Columns:
    path: int
    labels: tuple[int, ...]
    how: Literal["one", "several", "flags"]
    group: int | None
    split: int | None
    fold: int | None
    grouping: Grouping


def find_manifest(names: Iterable[str]) -> str | None:
    """Return the name that is a manifest's (``manifest.csv`` in any case), or None."""
    return min((name for name in names if name.lower() == "manifest.csv"), default=None)


def read_manifest(read: Reader, title: str, options: ImportOptions, lookup: Lookup) -> Found:
    """Return the candidates that a manifest lists.

    Parameters
    ----------
    read : callable
        Returns the file's bytes: UTF-8 or UTF-16 with or without a byte order mark, else Windows-1252; separated
        by comma, semicolon or tab.
    title : str
        Its name, for messages.
    options : ImportOptions
        Names of columns, and the classes to take.
    lookup : callable
        From a relative path to (the file's one name, its reader), or to why it cannot be used.

    Raises
    ------
    ManifestError
        If it is not a table, or a column is missing; the columns that are there are named.
    """
    try:
        data = read()
    except AudioError as error:
        raise ManifestError(error.problem, _ADVICE) from None
    text, warnings = _decode(data, title)
    rows = _rows(text, title)
    header = next(rows, (0, []))[1]
    columns = _columns(header, title, options)
    found = Found([], [], warnings, columns.grouping, columns.how != "one")
    selection = Selection(options.classes)
    seen: dict[str, int] = {}
    special = {columns.path, *columns.labels, columns.group, columns.split, columns.fold}
    wants_split = False
    for line, cells in rows:
        while len(cells) > len(header) and not cells[-1].strip():
            cells.pop()  # of a table that is wider than its header: a spreadsheet ends each row with a separator
        name = printable(cells[columns.path]) if len(cells) > columns.path else ""
        shown = f"{name or '(no path)'} (line {line})"
        if len(cells) != len(header):
            found.rejects.append(Reject(shown, f"Has {len(cells)} cells where the header has {len(header)}."))
            continue
        labels, fault = _labels(cells, header, columns)
        if fault is None:
            labels = tuple(label for label in labels if selection.takes(label))
            if not labels:
                continue
        split = None
        if fault is None and columns.split is not None:
            word = cells[columns.split].strip()
            split = SPLIT_WORDS.get(word.casefold())
            wants_split |= bool(word)
            if word and split is None:
                fault = f"The split '{printable(word)}' is unknown; expected train, val or test."
        fold = cells[columns.fold].strip() or None if columns.fold is not None else None
        if fault is None and fold is not None and len(fold) > MAX_FOLD:
            fault = f"The fold has {len(fold)} characters; at most {MAX_FOLD} are allowed."
        target = fault or _locate(cells[columns.path], lookup)
        if isinstance(target, str):
            found.rejects.append(Reject(shown, target))
            continue
        key, read = target
        if key in seen:
            found.rejects.append(Reject(shown, f"The file is already listed in line {seen[key]}."))
            continue
        seen[key] = line
        group = cells[columns.group].strip() or None if columns.group is not None else None
        extra = {header[i]: cell for i, cell in enumerate(cells) if i not in special and cell and header[i]}
        several = labels if found.multi_label else ()
        found.candidates.append(Candidate(name, labels[0], read, group, split, fold, extra, several))
    if wants_split:
        _reject_unsplit(found)
    found.rejects += selection.rejects()
    if not any(candidate.source for candidate in found.candidates):
        found.grouping = "none"
    return found


def _reject_unsplit(found: Found) -> None:
    """Where a manifest decides the split, it must decide it for all: a guess could leak its test set."""
    without = [clip.name for clip in found.candidates if not clip.split]
    found.rejects += [Reject(name, "Has no split, though others do.") for name in without]
    found.candidates = [clip for clip in found.candidates if clip.split]


def _labels(cells: Sequence[str], header: Sequence[str], columns: _Columns) -> tuple[tuple[str, ...], str | None]:
    """Return the labels of a row, sorted, and what is wrong with them."""
    if columns.how == "one":
        label = cells[columns.labels[0]].strip()
        return (label,), label_fault(label)
    if columns.how == "several":
        labels = {part.strip() for part in cells[columns.labels[0]].split(SEPARATOR)} - {""}
        faults = [fault for label in sorted(labels) if (fault := label_fault(label))]
        return tuple(sorted(labels)), faults[0] if faults else None if labels else label_fault("")
    labels = set()
    for i in columns.labels:
        word = cells[i].strip()
        flag = word.casefold().replace(",", ".")  # half of the world writes 1,0
        if flag not in FLAG_WORDS:
            return (), f"The column '{printable(header[i])}' says '{printable(word)}'; expected 0 or 1."
        if FLAG_WORDS[flag]:
            labels.add(header[i])
    return tuple(sorted(labels)), None if labels else "Has no label: none of its label columns is 1."


def _locate(path: str, lookup: Lookup) -> tuple[str, Reader] | str:
    """Return the file that a path names: with either slash, blanks around it or none, accents as one sign or two."""
    if not path.strip():
        return "Has no path."
    fault = ""
    plain = path.strip().replace("\\", "/")
    # A table that was typed on one machine and files that were named on a Mac write one accent as one or two signs.
    accents = [unicodedata.normalize(form, plain) for form in ("NFC", "NFD")]
    for spelling in dict.fromkeys((path, path.strip(), plain, *accents)):
        pure = PurePosixPath(spelling)
        if pure.is_absolute() or ".." in pure.parts or spelling[1:3] in (":\\", ":/"):
            return "Leads out of the manifest's folder; paths must be relative to it."
        target = lookup(str(pure))
        if not isinstance(target, str):
            return target
        fault = fault or target
    return fault


def _columns(header: Sequence[str], title: str, options: ImportOptions) -> _Columns:
    places: dict[str, int] = {}
    for i, name in enumerate(header):
        if name and places.setdefault(name.casefold(), i) != i:
            raise ManifestError(f"{title} has two columns named '{printable(name)}'.", "Rename one of them.")

    def place(asked: str | None, *defaults: str) -> int | None:
        if asked is None:
            return next((places[name] for name in defaults if name in places), None)
        if asked.strip().casefold() not in places:
            raise missing(asked)
        return places[asked.strip().casefold()]

    def missing(name: str) -> ManifestError:
        return ManifestError(
            f"{title} has no column '{printable(name)}'; its columns are {quoted(header, 30) or 'none'}.",
            "Name the column to use (path, label, labels, group or split column), or rename it in the file.",
        )

    path = place(options.path_column, "path")
    if path is None:
        raise missing("path")
    asked = [options.label_column, options.labels_column, options.flag_columns]
    if sum(bool(one) for one in asked) > 1:
        raise ManifestError(
            "Labels were asked for from more than one kind of column.",
            "Name a column of one label, or one of several labels, or columns of 0 and 1.",
        )
    how: Literal["one", "several", "flags"] = "one"
    labels: tuple[int | None, ...]
    if options.flag_columns:
        how, labels = "flags", tuple(dict.fromkeys(place(name) for name in options.flag_columns))
    elif options.labels_column or (not options.label_column and "label" not in places and "labels" in places):
        how, labels = "several", (place(options.labels_column, "labels"),)
    else:
        labels = (place(options.label_column, "label"),)
    chosen = tuple(i for i in labels if i is not None)
    if not chosen:
        raise missing("label")
    faults = [(header[i], label_fault(header[i])) for i in chosen] if how == "flags" else []
    for name, fault in faults:
        if fault or SEPARATOR in name:
            raise ManifestError(f"The column '{printable(name)}' cannot name a label.", fault or "Take out the bar.")
    group = place(options.group_column, "group", "source")
    # A column named source may tell groups, or only where the whole set came from; one named group is meant.
    given = options.group_column is not None or "group" in places
    grouping: Grouping = "none" if group is None else "given" if given else "inferred"
    return _Columns(path, chosen, how, group, place(options.split_column, "split"), place(None, "fold"), grouping)


def _decode(data: bytes, title: str) -> tuple[str, list[str]]:
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encodings = ["utf-16"] if wide else ["utf-8-sig", "cp1252"]
    for encoding in encodings:
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            break
        note = f"{title} is not UTF-8; it was read as Windows-1252, so accents may be wrong."
        return text, [note] if encoding == "cp1252" else []
    raise ManifestError(f"{title} is not a text file.", _ADVICE)


def _rows(text: str, title: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the rows that are not blank; the header's cells are stripped.

    A first line ``sep=;`` is a spreadsheet's word for what separates the cells, and no row.
    """
    first = next((line for line in text.splitlines() if line.strip()), "")
    said = _SEPARATOR.fullmatch(first.strip(" "))
    delimiter = said[1] if said else max(",;\t", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    header = True
    line = 1
    try:
        for cells in reader:
            if said:
                said = None if cells else said
            elif any(cell.strip() for cell in cells):
                yield line, [cell.strip() for cell in cells] if header else cells
                header = False
            line = reader.line_num + 1
    except csv.Error as error:
        raise ManifestError(f"{title} is not a table: line {reader.line_num}: {error}.", _ADVICE) from None
