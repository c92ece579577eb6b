"""A set of bad and odd files, each judged by what its manifest says of it.

The manifest (CSV) lists files beside it: ``path`` (or ``path_quoted``, percent-encoded, where a name
is not text), ``expected`` (``decode``, ``refuse`` or ``either``), ``expected_frames``,
``expected_channels``, ``sample_rate``, ``what`` and ``reason``. Sounds are decoded; archives (label
``archive``, or folders ``archives`` and ``layouts``) are imported into a workspace of their own,
and what came of it is judged by name. Everything is bounded: a file that takes longer than
``--seconds``, or writes anywhere but into the workspace, fails.
"""

from __future__ import annotations

import argparse
import csv
import os
import re
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np

from benchmarks.machine import peak_memory_mib
from samplemind_core.audio.decode import Decoded, decode
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.config import FeatureConfig
from samplemind_core.data.importer import import_dataset
from samplemind_core.errors import AudioError, SampleMindError
from samplemind_core.settings import Limits
from samplemind_core.store import Dataset, Reject, Store

CONFIG = FeatureConfig()
LIMITS = Limits()
PLANTED = ("evil", "pwned")
"""Parts of names of files that must never appear anywhere."""

Row = Mapping[str, str]


@dataclass
class Imported:
    """What became of an archive: a dataset with what was left out, or the reason why not."""

    dataset: Dataset | None
    rejects: list[Reject]
    reason: str = ""
    labels: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """All that a person is told, in small letters."""
        warnings = self.dataset.warnings if self.dataset else ()
        rows = [f"{row.name}: {row.reason}" for row in self.rejects]
        return "\n".join([*warnings, *rows, self.reason]).lower()

    @property
    def count(self) -> int:
        """Clips of the dataset."""
        return self.dataset.num_clips if self.dataset else 0


def main() -> None:
    """Print the verdicts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True, help="the CSV file, beside the files it lists")
    parser.add_argument("--seconds", type=int, default=30, help="longest time for one file (30)")
    parser.add_argument("--verbose", action="store_true", help="print every row")
    options = parser.parse_args()
    base = options.manifest.resolve().parent
    with options.manifest.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    latest: dict[str, str] = {}
    for row in rows:
        if row["reason"] == "as above":  # the nearest row that expects the same
            row["reason"] = latest.get(row["expected"], "")
        latest[row["expected"]] = row["reason"]
    before = _strange_files(base)
    exceptions = []
    with tempfile.TemporaryDirectory(prefix="samplemind-nasty-") as folder:
        for number, row in enumerate(rows):
            fault, came = _judged(base, row, Path(folder) / str(number), options.seconds)
            new = _strange_files(base) - before
            if new:
                fault, before = f"wrote {', '.join(sorted(new))}", before | new
            if fault:
                exceptions.append(f"{_shown(row)} ({row['what']}): {fault}; {came}")
            if options.verbose:
                print(f"{'-' if fault else 'ok':>3} {row['expected']:>7} {_shown(row)}: {came}")
    print(f"{len(rows) - len(exceptions)} of {len(rows)} as expected; peak memory {peak_memory_mib():,.0f} MiB")
    for line in exceptions:
        print(f"  {line}")
    raise SystemExit(1 if exceptions else 0)


def _judged(base: Path, row: Row, root: Path, seconds: int) -> tuple[str, str]:
    """Return (what is wrong, if anything; what came)."""
    name = os.fsdecode(unquote_to_bytes(row["path_quoted"])) if row.get("path_quoted") else row["path"]
    folder = name.partition("/")[0]
    try:
        with _time_limit(seconds):
            if folder in ("archives", "layouts"):
                return _judge_import(base, name, row, root)
            return _judge_sound(base / name, row)
    except TimeoutError:
        return f"takes more than {seconds} s", "no end"
    except Exception as error:  # any other error is what this benchmark looks for
        return "a traceback", repr(error)


# -- sounds --------------------------------------------------------------------------------------


def _judge_sound(path: Path, row: Row) -> tuple[str, str]:
    try:
        decoded = decode(path, CONFIG.sample_rate_hz, limits=LIMITS)
    except AudioError as error:
        came = f"refused: {error}"
        named = path.name.isprintable() is False or path.name in str(error) or "\\x" in str(error)
        if not named:
            return "the reason does not name the file", came
        if row["expected"] == "decode" and not _may_refuse(row):
            return "expected to be decoded", came
        return "", came
    info = decoded.info
    came = (
        f"decoded {info.frames} frames, {info.channels} channels at {info.sample_rate_hz} Hz {list(info.notes) or ''}"
    )
    if row["expected"] == "refuse":
        return "expected to be refused", came
    return _decode_fault(decoded, row), came


def _decode_fault(decoded: Decoded, row: Row) -> str:
    info = decoded.info
    low, high = _frame_range(row)
    if not low <= info.frames <= high:
        return f"expected {low:,} to {high:,} frames" if low != high else f"expected {low:,} frames"
    if row["expected_channels"] and info.channels != int(row["expected_channels"]):
        return f"expected {row['expected_channels']} channels"
    window, _ = fit_window(decoded.waveform, CONFIG)
    import torch

    log_mel = LogMel(CONFIG)(torch.from_numpy(window)[None]).numpy()
    if not (np.isfinite(decoded.waveform).all() and np.isfinite(log_mel).all()):
        return "numbers that are not finite"
    if "antiphase" in row["path"] and not np.any(np.abs(decoded.waveform) > 1e-3):
        return "its channels cancel to silence"
    return ""


def _frame_range(row: Row) -> tuple[int, int]:
    """Return the frames that are allowed, with the tolerances and alternatives that the reason states."""
    if not row["expected_frames"]:
        return 1, 1 << 62
    frames, reason = int(row["expected_frames"]), row["reason"]
    if span := re.search(r"\((\d+) to (\d+)\)", reason):
        return int(span[1]), int(span[2])
    if tolerance := re.search(r"frames \+-(\d+)", reason):
        return frames - int(tolerance[1]), frames + int(tolerance[1])
    if other := re.search(r"(\d+) at the stated input rate", reason):
        return min(frames, int(other[1])), max(frames, int(other[1]))
    return frames, frames


def _may_refuse(row: Row) -> bool:
    return "refuse" in row["reason"]


# -- archives and folders ------------------------------------------------------------------------


def _judge_import(base: Path, name: str, row: Row, root: Path) -> tuple[str, str]:
    source = base / name
    if source.suffix == ".txt":
        source = _link_maze(base, root / "source")
    result = _import(source, root / "workspace")
    came = f"{result.count} samples" if result.dataset else f"refused: {result.reason}"
    if result.rejects:
        came += f", {len(result.rejects)} not imported: {result.rejects[0].name}: {result.rejects[0].reason}"
    left = [path.name for path in (root / "workspace" / "datasets").glob("*") if not path.name.startswith(".")]
    if len(left) != (1 if result.dataset else 0):
        return "a refused import left something", came
    check = _CHECKS.get(Path(name).name)
    if check is not None:
        return check(result), came
    if row["expected"] == "decode" and result.dataset is None:
        return "expected to be imported", came
    if row["expected"] == "refuse" and result.dataset is not None and not result.rejects:
        return "expected to be refused, or its entries", came
    return "", came


def _import(source: Path, root: Path) -> Imported:
    store = Store(f"sqlite:///{root / 'samplemind.db'}")
    try:
        dataset = import_dataset(store, root, source, "set", limits=LIMITS)
        return Imported(dataset, store.datasets.rejects(dataset.id), labels=dataset.class_names)
    except SampleMindError as error:
        return Imported(None, [], str(error))
    finally:
        store.close()


def _link_maze(base: Path, folder: Path) -> Path:
    """Make the folder of links, a pipe and a device that cannot be stored as files."""
    sounds = sorted((base / "format").glob("control*.wav")), sorted((base / "shape").glob("stereo*.wav"))
    for label, found in zip(("kick", "snare"), sounds, strict=True):
        (folder / label).mkdir(parents=True)
        shutil.copy(found[0], folder / label / "a.wav")
    # Splitting needs three sounds; the maze itself has two.
    for number, path in enumerate(sorted((base / "shape").glob("rate-*.wav"))[:4]):
        shutil.copy(path, folder / ("kick", "snare")[number % 2] / f"more-{number}.wav")
    (folder / "self").symlink_to(".")
    (folder / "snare" / "up").symlink_to("../kick")
    (folder / "etc").symlink_to("/etc")
    (folder / "kick" / "dangling.wav").symlink_to("missing.wav")
    (folder / "kick" / "zero.wav").symlink_to("/dev/zero")
    os.mkfifo(folder / "kick" / "fifo.wav")
    return folder


def _says(result: Imported, *words: str) -> str:
    missing = [word for word in words if word not in result.told]
    return f"nothing is said of '{missing[0]}'" if missing else ""


def _holds(count: int, labels: int, *words: str) -> Callable[[Imported], str]:
    """Expect so many samples of so many classes, and these words among what is told."""

    def check(result: Imported) -> str:
        if (result.count, len(result.labels)) != (count, labels):
            return f"expected {count} samples of {labels} classes"
        return _says(result, *words)

    return check


def _tells(*words: str) -> Callable[[Imported], str]:
    return lambda result: _says(result, *words)


def _refuses(*words: str) -> Callable[[Imported], str]:
    return lambda result: "expected to be refused" if result.dataset else _says(result, *words)


def _maze(result: Imported) -> str:
    names = {row.name for row in result.rejects}
    hidden = {"self", "snare/up", "etc", "kick/dangling.wav", "kick/zero.wav", "kick/fifo.wav"} - names
    return f"nothing is said of {sorted(hidden)}" if hidden or result.count < 2 else ""


_CHECKS: dict[str, Callable[[Imported], str]] = {
    "absolute-path.zip": _tells("evil-absolute.wav", "absolute path"),
    "bad-crc.zip": _tells("crc"),
    "case-collision.zip": _tells("differ only in case"),
    "cp437-name.zip": _holds(5, 2),
    "encrypted-zipcrypto.zip": _tells("encrypted"),
    "lying-size.zip": _tells("200 to 1"),
    "macos-junk.zip": _holds(4, 2, "macos"),
    "nested.zip": _tells("inside the archive"),
    "symlink-entry.zip": _tells("link"),
    "tar-traversal-and-links.tar.gz": _tells("evil-tar.wav", "out of the archive", "link"),
    "traversal-backslash.zip": _tells("evil.wav"),
    "traversal-dotdot.zip": _tells("evil", "out of the archive"),
    "truncated.zip": _refuses("zip"),
    "class-with-one-file.zip": _tells("fewer than 3"),
    "empty-class.zip": _tells("holds no audio"),
    "files-at-root.zip": _refuses("folder per class"),
    "one-bad-file-among-good.zip": _holds(4, 2, "cannot be decoded"),
    "one-class-only.zip": _refuses("at least two classes"),
    "same-sound-many-copies.zip": _tells("cop"),
    "same-sound-two-classes.zip": _tells("label"),
    "strange-class-names.zip": lambda result: "" if len(result.labels) == 2 else "expected 2 classes",
    "symlink-loop.txt": _maze,
}


# -- bounds --------------------------------------------------------------------------------------


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    def expire(*_: object) -> None:
        raise TimeoutError

    assert threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGALRM, expire)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _strange_files(base: Path) -> set[str]:
    """Return what hostile entries would have written, wherever they might have put it."""
    places = (Path("/tmp"), Path("/"), Path.cwd(), Path.cwd().parent, base, base.parent, Path.home())
    found = set()
    for place in places:
        with os.scandir(place) as entries:
            found |= {entry.path for entry in entries if any(word in entry.name for word in PLANTED)}
    return found


def _shown(row: Row) -> str:
    return row.get("path_quoted") or row["path"]


if __name__ == "__main__":
    main()
