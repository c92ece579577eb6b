"""Files into folders by what they were called: planned, then copied beside a journal, and undone by it.

Originals are read and never moved. A copy never overwrites: a taken name gets a number. Every copy is
written down before it appears under its name, so that undoing removes what was made here, and only
while it is still what was made.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import string
import time
import unicodedata
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from samplemind_core.errors import ConfigError, DataError, NotFoundError, StoppedError, StorageError
from samplemind_core.files import make_folder, storage_error

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result

DEFAULT_PATTERN = "{class}/{name}"
FIELDS = {
    "class": "the class it was called",
    "name": "the file's own name, without its ending",
    "confidence": "the confidence in percent, 00 to 100",
    "folder": "the name of the folder it lies in",
    "number": "its number within the class, from 0001",
}
JOURNAL = ".samplemind-sorted-{stamp}.jsonl"
_PART = ".part"
_CHUNK = 1 << 20
# What some file system or shell refuses in a name; separators among them, so that a class cannot leave its folder.
_REFUSED = set('<>:"/\\|?*') | {chr(code) for code in range(32)} | {chr(127)}
_RESERVED = {"con", "prn", "aux", "nul", *(f"com{n}" for n in range(1, 10)), *(f"lpt{n}" for n in range(1, 10))}
_MAX_NAME_BYTES = 200
_MAX_SUFFIX_BYTES = 12

Progress = Callable[[int, int | None, str], None]
ShouldStop = Callable[[], bool]


@dataclass(frozen=True)
class Copy:
    """One file to copy: from ``source`` to ``target``, a relative path below the destination."""

    source: Path
    target: str
    label: str
    confidence: float
    num_bytes: int


@dataclass(frozen=True)
class SortPlan:
    """What sorting would do: nothing has been touched yet.

    Attributes
    ----------
    copies : tuple of Copy
        In the order of the results.
    left : tuple of (name, reason)
        Files that stay where they are, each with the reason.
    """

    copies: tuple[Copy, ...]
    left: tuple[tuple[str, str], ...]

    @property
    def num_bytes(self) -> int:
        """How much will be copied."""
        return sum(copy.num_bytes for copy in self.copies)

    def by_class(self) -> dict[str, int]:
        """Return how many files go to each class, most first."""
        counts: dict[str, int] = {}
        for copy in self.copies:
            counts[copy.label] = counts.get(copy.label, 0) + 1
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


@dataclass
class Sorted:
    """What sorting did, or undoing: how many files, and which were left alone and why."""

    journal: Path
    done: int = 0
    left: list[tuple[str, str]] = field(default_factory=list)


def plan_sorting(
    results: Iterable[Result],
    destination: Path,
    *,
    pattern: str = DEFAULT_PATTERN,
    min_confidence: float = 0.0,
    sources: Callable[[Result], Path] | None = None,
    journal: Path | None = None,
) -> SortPlan:
    """Return which file would be copied where, in names that are free now.

    Parameters
    ----------
    results : iterable of Result
        What the files were called; those without a label stay, those with several go by the surest.
    destination : Path
        Folder to sort into; need not exist.
    pattern : str
        Relative path of a copy without its ending, from :data:`FIELDS` in braces.
    min_confidence : float
        In [0, 1]; results below it stay.
    sources : callable, optional
        Gives the file of a result; its name is taken as the path by default.
    journal : Path, optional
        Of a sorting that ended early and is to go on: its copies keep their names.

    Raises
    ------
    ConfigError
        If the pattern is unknown in a field, leaves the destination, or gives every file one name.
    """
    fields = check_pattern(pattern)
    if not 0.0 <= min_confidence <= 1.0:
        raise ConfigError(f"Expected a confidence between 0 and 1, got {min_confidence:g}.", "50 % is 0.5.")
    made = {} if journal is None else _made(journal, destination)
    taken = {_alike(target) for target in made.values()}
    counts: dict[str, int] = {}
    copies: list[Copy] = []
    left: list[tuple[str, str]] = []
    for result in results:
        if result.error is not None:
            left.append((result.name, result.error))
            continue
        if result.several_labels and result.is_none:
            left.append((result.name, "No label reaches its threshold."))
            continue
        if result.label is None or result.confidence is None:
            left.append((result.name, "It was given no class."))
            continue
        if result.is_none:
            left.append((result.name, f"It is like nothing in the library ({100 * result.confidence:.0f} % sure)."))
            continue
        if result.confidence < min_confidence:
            left.append((result.name, f"{result.label}, but only {100 * result.confidence:.0f} % sure."))
            continue
        source = sources(result) if sources else Path(result.name)
        try:
            num_bytes = source.stat().st_size
        except OSError as error:
            left.append((result.name, f"It can no longer be read: {error.strerror or error}."))
            continue
        counts[result.label] = counts.get(result.label, 0) + 1
        values = {
            "class": result.label,
            "name": PurePosixPath(source.name).stem or source.name,
            "confidence": f"{min(100, int(result.confidence * 100)):02d}",
            "folder": source.parent.name or "top",
            "number": f"{counts[result.label]:04d}",
        }
        wanted = _fill(pattern, {name: values[name] for name in fields}, source.suffix)
        target = made.get(str(source)) or _free(wanted, destination, taken)
        taken.add(_alike(target))
        copies.append(Copy(source, target, result.label, result.confidence, num_bytes))
    return SortPlan(tuple(copies), tuple(left))


def check_destination(destination: Path, folders: Iterable[Path]) -> None:
    """Refuse a destination that is one of the folders that were classified, or lies inside one.

    Raises
    ------
    DataError
        If it does: the copies would be classified next time.
    """
    target = destination.expanduser().resolve()
    for folder in folders:
        if target.is_relative_to(folder.resolve()):
            raise DataError(
                f"'{destination}' lies inside '{folder}', which is classified.",
                "Choose a folder of its own for the copies.",
            )


def check_pattern(pattern: str) -> tuple[str, ...]:
    """Return the fields that a name pattern uses.

    Raises
    ------
    ConfigError
        If it has unknown fields or broken braces, is absolute, climbs with ``..``, or names all files alike.
    """
    known = ", ".join(f"{{{name}}}" for name in FIELDS)
    try:
        parts = list(string.Formatter().parse(pattern))
    except ValueError as error:
        raise ConfigError(f"The name pattern '{pattern}' has a broken brace: {error}.", f"Fields: {known}.") from None
    used = tuple(name for _, name, _, _ in parts if name is not None)
    strange = [name for name in used if name not in FIELDS]
    if strange or any(spec or conversion for _, _, spec, conversion in parts):
        what = ", ".join(f"{{{name}}}" for name in strange) or "a format"
        raise ConfigError(f"The name pattern has {what}, which it does not know.", f"Fields: {known}.")
    path = PurePosixPath(pattern.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts or pattern.endswith(("/", "\\")) or "\0" in pattern:
        raise ConfigError(
            f"The name pattern '{pattern}' does not stay below the destination.", f"For example {DEFAULT_PATTERN}."
        )
    if not {"name", "number"} & set(used):
        raise ConfigError(
            f"The name pattern '{pattern}' gives files of one class the same name.", "Add {name} or {number}."
        )
    return used


def sort_into(
    plan: SortPlan,
    destination: Path,
    *,
    journal: Path | None = None,
    progress: Progress | None = None,
    should_stop: ShouldStop | None = None,
) -> Sorted:
    """Copy the files of a plan and return what was done; the journal lies in the destination.

    With a ``journal`` from :func:`new_journal` a sorting that ended early goes on: the plan has to be made with the
    same one, and what it lists is not copied again.

    Raises
    ------
    StorageError
        If the destination has no room or cannot be written. What was copied until then is in the
        journal and can be undone.
    StoppedError
        If ``should_stop`` said so; the same holds.
    """
    make_folder(destination)
    journal = new_journal(destination) if journal is None else journal
    made = _made(journal, destination)
    free = shutil.disk_usage(destination).free
    num_bytes = sum(copy.num_bytes for copy in plan.copies if str(copy.source) not in made)
    if num_bytes > free:
        raise StorageError(
            f"The copies need {num_bytes / 1e6:,.0f} MB and '{destination}' has {free / 1e6:,.0f} MB free.",
            "Free some space, or sort fewer files.",
        )
    done = Sorted(journal)
    part = journal.with_suffix(_PART)  # of this sorting alone: another one may copy into the same folder
    goes_on = journal.exists()
    try:
        with journal.open("a" if goes_on else "x", encoding="utf-8") as log:
            # On a line of its own whatever a killed process left of the last one.
            log.write("\n" if goes_on else "")
            _note(log, {"sorted_into": destination.name, "at": time.time(), "files": len(plan.copies)})
            for index, copy in enumerate(plan.copies):
                if str(copy.source) in made:
                    done.done += 1
                    continue
                if should_stop is not None and should_stop():
                    raise StoppedError(
                        f"Stopped after {done.done} of {len(plan.copies)} files.",
                        "The copies made so far can be undone.",
                    )
                if progress is not None:
                    progress(index, len(plan.copies), "Copying")
                reason = _copy_one(copy, destination, part, log)
                if reason is None:
                    done.done += 1
                else:
                    done.left.append((str(copy.source), reason))
    except OSError as error:
        raise storage_error(Path(error.filename or destination / "copy"), error) from error
    finally:
        part.unlink(missing_ok=True)
    if progress is not None:
        progress(len(plan.copies), len(plan.copies), "Copying")
    return done


def undo(destination: Path, journal: Path | None = None) -> Sorted:
    """Remove the copies of one sorting, each only if it is still what was copied, and emptied folders.

    Parameters
    ----------
    destination : Path
        The folder that was sorted into.
    journal : Path, optional
        Which sorting; the newest that was not undone by default.

    Raises
    ------
    NotFoundError
        If nothing was sorted into this folder, or all of it was undone.
    StorageError
        If a copy cannot be removed; undoing again goes on from there.
    """
    if journal is None:
        found = journals(destination)
        if not found:
            raise NotFoundError(
                f"Nothing that was sorted into '{destination}' is left to undo.",
                "Name the folder that was sorted into.",
            )
        journal = found[-1]
    lines = list(_lines(journal))
    result = Sorted(journal)
    try:
        journal.with_suffix(_PART).unlink(missing_ok=True)
        for line in lines:
            if "copy" in line:
                reason = _remove(_below(destination, line["copy"]), line["sha256"])
                if reason is None:
                    result.done += 1
                else:
                    result.left.append((line["copy"], reason))
        for line in reversed(lines):
            if "folder" in line:
                _remove_empty(_below(destination, line["folder"]))
        journal.replace(journal.with_suffix(".undone"))
    except OSError as error:
        raise StorageError(
            f"'{error.filename or journal}' could not be removed: {error.strerror or error}.",
            "Close what uses it, then undo again.",
        ) from error
    return result


def journals(destination: Path) -> list[Path]:
    """Return the journals of sortings into a folder that were not undone, oldest first."""
    return sorted(destination.glob(JOURNAL.format(stamp="*")))


def write_zip(plan: SortPlan, file: IO[bytes] | Path, *, progress: Progress | None = None) -> list[tuple[str, str]]:
    """Write the copies of a plan as a zip, one file at a time; return what could not be read, with its reason.

    Audio hardly shrinks, so that files are stored as they are.
    """
    left: list[tuple[str, str]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
        for index, copy in enumerate(plan.copies):
            if progress is not None:
                progress(index, len(plan.copies), "Packing")
            try:
                with copy.source.open("rb") as source:
                    content = source.read()
            except OSError as error:
                left.append((str(copy.source), f"It can no longer be read: {error.strerror or error}."))
                continue
            archive.writestr(zipfile.ZipInfo(copy.target, time.localtime()[:6]), content)
    return left


# -- names ---------------------------------------------------------------------------------------


def safe_name(text: str) -> str:
    """Return ``text`` as one name that every common file system takes, never a path."""
    cleaned = "".join("_" if char in _REFUSED or not char.isprintable() else char for char in text).strip(" .")
    cleaned = cleaned.encode()[:_MAX_NAME_BYTES].decode(errors="ignore").rstrip(" .")
    if not cleaned:
        return "_"
    return f"_{cleaned}" if cleaned.split(".")[0].casefold() in _RESERVED else cleaned


def safe_file_name(name: str) -> str:
    """Return a file's name as :func:`safe_name` does; a long one is cut before its ending, which says what it is."""
    suffix = PurePosixPath(name).suffix
    if not 1 < len(suffix.encode()) <= _MAX_SUFFIX_BYTES:
        return safe_name(name)
    return f"{safe_name(name.removesuffix(suffix))}.{safe_name(suffix[1:])}"


def unused(path: Path) -> Path:
    """Return a path, or it with a number where a file has it."""
    number, free = 1, path
    while os.path.lexists(free):
        number += 1
        free = path.with_name(f"{path.stem} ({number}){path.suffix}")
    return free


def _fill(pattern: str, values: dict[str, str], suffix: str) -> str:
    # Values first, so that a separator inside one cannot become a folder.
    filled = pattern.replace("\\", "/").format_map({name: safe_name(value) for name, value in values.items()})
    *folders, name = (safe_name(part) for part in PurePosixPath(filled).parts)
    return "/".join([*folders, name + "".join(char for char in suffix if char not in _REFUSED and char.isprintable())])


def _free(wanted: str, destination: Path, taken: set[str]) -> str:
    """Return ``wanted`` or it with a number: taken by no other copy, nor by a file."""
    stem, dot, suffix = wanted.rpartition(".")
    if not dot or "/" in suffix:
        stem, suffix = wanted, ""
    number = 1
    target = wanted
    while _alike(target) in taken or os.path.lexists(destination / target):
        number += 1
        target = f"{stem} ({number}){dot and '.'}{suffix}"
    return target


def _alike(target: str) -> str:
    """Return what names have in common that some file system takes for one: case, and how accents are written."""
    return unicodedata.normalize("NFC", target).casefold()


# -- copying -------------------------------------------------------------------------------------


def _copy_one(copy: Copy, destination: Path, part: Path, log: IO[str]) -> str | None:
    """Copy one file; return why not, or None."""
    target = _below(destination, copy.target)
    for folder in reversed([parent for parent in target.relative_to(destination).parents if parent.name]):
        if not (destination / folder).exists():
            _note(log, {"folder": folder.as_posix()})
            (destination / folder).mkdir()
    try:
        source = copy.source.open("rb")
    except OSError as error:
        return f"It can no longer be read: {error.strerror or error}."
    digest = hashlib.sha256()
    with source, part.open("wb") as out:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            out.write(chunk)
    shutil.copystat(copy.source, part)
    _note(log, {"copy": copy.target, "sha256": digest.hexdigest(), "from": str(copy.source)})
    try:
        _appear(part, target)
    except FileExistsError:
        _note(log, {"taken": copy.target})
        return f"'{copy.target}' came into being meanwhile; it was not overwritten."
    return None


def _appear(part: Path, target: Path) -> None:
    """Give a finished copy its name, unless something has it."""
    try:
        os.link(part, target)
    except OSError as error:
        # Some network and memory-card file systems know no links.
        if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}:
            raise
        if os.path.lexists(target):
            raise FileExistsError(errno.EEXIST, "File exists", str(target)) from None
        part.replace(target)
        return
    part.unlink()


def _remove(target: Path, sha256: str) -> str | None:
    """Remove a copy; return why not, or None."""
    if target.is_symlink() or not target.is_file():
        return "It is no longer there."
    digest = hashlib.sha256()
    with target.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    if digest.hexdigest() != sha256:
        return "It was changed since and stays."
    target.unlink()
    return None


def _remove_empty(folder: Path) -> None:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
            raise


def _below(destination: Path, relative: str) -> Path:
    """Return a path of the plan or the journal, which must not lead out of the destination."""
    path = PurePosixPath(relative)
    if path.is_absolute() or ".." in path.parts:
        raise StorageError(f"'{relative}' leads out of '{destination}'.", "The journal was changed; undo by hand.")
    return destination.joinpath(*path.parts)


def new_journal(destination: Path) -> Path:
    """Return where the journal of a sorting that begins now shall lie."""
    stamp = time.strftime("%Y%m%d-%H%M%S")
    number = 0
    while (path := destination / JOURNAL.format(stamp=f"{stamp}-{number:02d}")).exists():
        number += 1
    return path


def _note(log: IO[str], line: dict[str, Any]) -> None:
    log.write(json.dumps(line, ensure_ascii=True) + "\n")
    log.flush()
    os.fsync(log.fileno())


def _lines(journal: Path) -> Iterator[dict[str, Any]]:
    taken: set[str] = set()
    found: dict[str, dict[str, Any]] = {}
    with journal.open(encoding="utf-8") as file:
        for text in file:
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                continue  # the last line of a killed process; its copy had not appeared yet
            if "taken" in line:
                taken.add(line["taken"])
            # A copy that was noted but had not appeared is noted again when its sorting goes on.
            found[line.get("copy") or text] = line
    # A name that somebody else took is not ours to remove, even if it holds the same sound.
    yield from (line for line in found.values() if line.get("copy") not in taken)


def _made(journal: Path, destination: Path) -> dict[str, str]:
    """Return the copies that a journal lists and that are there, by the file that each was made from."""
    if not journal.exists():
        return {}
    copies = [line for line in _lines(journal) if "copy" in line]
    return {line["from"]: line["copy"] for line in copies if _below(destination, line["copy"]).is_file()}
