"""Facts about each clip's signal, measured once in one pass over the stored audio and kept beside the dataset.

What is kept is small (under 2 kB a clip): levels, silence, format, and the outline by which
:mod:`~samplemind_core.data.near_duplicates` finds copies. Waveforms are never held: memory does not
grow with the length of the collection. A clip's facts depend on its audio alone, so that relabelling
or a new split measures nothing again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.content_hash import NEWEST, HashKind, kind_of
from samplemind_core.audio.decode import AudioInfo, decode
from samplemind_core.config import FeatureConfig
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.near_duplicates import OUTLINE_SIZE, RATE_HZ, outline
from samplemind_core.errors import AudioError
from samplemind_core.files import DAMAGED, open_arrays, write_atomic
from samplemind_core.settings import NO_LIMITS
from samplemind_core.store.records import Clip

Progress = Callable[[int, int | None, str], None]

FULL_SCALE = 0.999
"""Level from which a sample counts as at full scale; 16-bit files reach 0.99997, 8-bit ones 0.992."""

CLIPPED_RUN = 3
"""Samples in a row at full scale from which they count as clipped."""

QUIET_DB = -60.0
"""Level below the peak under which the start and the end of a clip count as silence."""

VERSION = 1
_THREADS = 2
_AHEAD = 32

_BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 32, "DOUBLE": 64}
_TYPE = np.dtype(
    [
        ("content_hash", "S64"),
        ("encoding", "S32"),
        ("sample_rate_hz", "f4"),
        ("channels", "f4"),
        ("bit_depth", "f4"),
        ("duration_s", "f8"),
        ("peak", "f4"),
        ("rms", "f4"),
        ("dc_offset", "f4"),
        ("clipped", "i8"),
        ("longest_clip", "i8"),
        ("leading_s", "f4"),
        ("trailing_s", "f4"),
        ("cut_s", "f4"),
        ("cut_share", "f4"),
        ("readable", "?"),
    ]
)


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """The facts of a dataset's clips, row by row as they were asked for.

    Parameters
    ----------
    facts : structured ndarray, shape (N,)
        ``sample_rate_hz``, ``channels``, ``bit_depth`` (0 where the encoding has none), ``encoding``;
        ``duration_s``; ``peak``, ``rms`` and ``dc_offset`` of full scale, of the worst channel;
        ``clipped`` samples in runs at full scale and the ``longest_clip``; ``leading_s`` and
        ``trailing_s`` of silence; ``cut_s`` and ``cut_share`` (of energy) outside the default
        window; ``readable``.
    outlines : ndarray of float16, shape (N, OUTLINE_SIZE)
    """

    facts: NDArray[Any]
    outlines: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.facts)

    def __getitem__(self, name: str) -> NDArray[Any]:
        values: NDArray[Any] = self.facts[name]
        return values

    def of_rows(self, rows: Sequence[int]) -> Profiles:
        """Return the facts of some rows, in their order."""
        chosen = np.asarray(rows, dtype=np.int64)
        return Profiles(self.facts[chosen], self.outlines[chosen])

    @property
    def peak_db(self) -> NDArray[np.float64]:
        """Peak of each clip in dB of full scale; -120 for silence."""
        return decibels(self.facts["peak"])

    @property
    def rms_db(self) -> NDArray[np.float64]:
        """Level of each clip in dB of full scale; -120 for silence."""
        return decibels(self.facts["rms"])

    @property
    def crest_db(self) -> NDArray[np.float64]:
        """How far the peak of each clip lies above its level, in dB; 0 for silence."""
        crest: NDArray[np.float64] = self.peak_db - self.rms_db
        return crest


def decibels(amplitude: NDArray[Any]) -> NDArray[np.float64]:
    """Return amplitudes in dB of full scale, at least -120."""
    level: NDArray[np.float64] = 20.0 * np.log10(np.maximum(amplitude.astype(np.float64), 1e-6))
    return level


def profile_file(root: Path, dataset_id: str) -> Path:
    """Return where the facts of a dataset's clips are kept."""
    return dataset_folder(root, dataset_id) / "cache" / f"profile-{VERSION}.npz"


def profile_clips(
    root: Path,
    clips: Sequence[Clip],
    progress: Progress | None = None,
) -> Profiles:
    """Return the facts of clips of one dataset, measuring those that are not known yet.

    Parameters
    ----------
    root : Path
        The workspace folder.
    clips : sequence of Clip
        With audio files, all of one dataset.
    progress : callable, optional
        Called with (clips done, clips in all, what). If it raises, what was measured until then is
        kept for the next time.

    Raises
    ------
    StorageError
        If the workspace cannot be written.
    """
    if not clips:
        return Profiles(np.zeros(0, _TYPE), np.zeros((0, OUTLINE_SIZE), np.float16))
    folder = dataset_folder(root, str(clips[0].dataset_id))
    file = profile_file(root, str(clips[0].dataset_id))
    known = _load(file)
    places = {bytes(row["content_hash"]): place for place, row in enumerate(known.facts)}
    missing = list({clip.content_hash: clip for clip in clips if clip.content_hash.encode() not in places}.values())
    if missing:
        facts, outlines = np.zeros(len(missing), _TYPE), np.zeros((len(missing), OUTLINE_SIZE), np.float16)
        done = 0
        try:
            for place, (fact, shape) in enumerate(_measured(folder, missing)):
                facts[place], outlines[place] = fact, shape
                done = place + 1
                if progress is not None:
                    progress(done, len(missing), "Measuring clips")
        finally:
            known = Profiles(
                np.concatenate([known.facts, facts[:done]]), np.concatenate([known.outlines, outlines[:done]])
            )
            _save(file, known)
        places = {bytes(row["content_hash"]): place for place, row in enumerate(known.facts)}
    rows = np.array([places[clip.content_hash.encode()] for clip in clips])
    return Profiles(known.facts[rows], known.outlines[rows])


def measure(
    source: Path | bytes, name: str = "", hashed: HashKind = NEWEST
) -> tuple[tuple[Any, ...], NDArray[np.float16]]:
    """Return the facts of one file, in the order of :class:`Profiles`' ``facts``, and its outline.

    ``hashed`` says which content hash leads them.

    Raises
    ------
    AudioError
        If it cannot be decoded.
    """
    levels = _Levels()
    features = FeatureConfig()
    decoded = decode(source, RATE_HZ, name=name, limits=NO_LIMITS, observe=levels.add, hashed=hashed)
    info, waveform = decoded.info, decoded.waveform
    amplitude = np.abs(waveform)
    loud = np.flatnonzero(amplitude > 10 ** (QUIET_DB / 20) * amplitude.max()) if amplitude.any() else np.zeros(0, int)
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(waveform))
    cut_s, cut_share = _cut(waveform, features)
    facts = (
        decoded.content_hash.encode(),
        info.encoding.encode(),
        info.sample_rate_hz,
        info.channels,
        _bit_depth(info),
        info.duration_s,
        levels.peak,
        levels.rms,
        levels.dc_offset,
        levels.clipped,
        levels.longest,
        first / RATE_HZ,
        (len(waveform) - last) / RATE_HZ,
        cut_s,
        cut_share,
        True,
    )
    return facts, outline(waveform)


def _bit_depth(info: AudioInfo) -> int:
    return _BITS.get(info.encoding, 0)


def _cut(waveform: NDArray[np.float32], features: FeatureConfig) -> tuple[float, float]:
    """Return seconds and share of energy that the default window leaves out."""
    size = round(features.duration_s * RATE_HZ)
    if len(waveform) <= size:
        return 0.0, 0.0
    energy = np.concatenate(([0.0], np.cumsum(np.square(waveform, dtype=np.float64))))
    kept = float((energy[size:] - energy[:-size]).max())
    total = float(energy[-1])
    return (len(waveform) - size) / RATE_HZ, 1.0 - kept / total if total > 0 else 0.0


@dataclass(slots=True)
class _Levels:
    """Levels of a file's own samples, gathered block by block."""

    frames: int = 0
    clipped: int = 0
    longest: int = 0
    _peak: float = 0.0
    _sum: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))
    _energy: NDArray[np.float64] = field(default_factory=lambda: np.zeros(1))

    def add(self, block: NDArray[np.float32]) -> None:
        if not len(block):
            return
        self.frames += len(block)
        amplitude = np.abs(block)
        self._peak = max(self._peak, float(amplitude.max()))
        self._sum = self._sum + block.sum(axis=0, dtype=np.float64)
        self._energy = self._energy + np.square(block, dtype=np.float64).sum(axis=0)
        # The top of 8 bits is 127/128; no other encoding ends there by chance three times in a row.
        for channel in np.flatnonzero(amplitude.max(axis=0) >= FULL_SCALE):
            runs = _runs(amplitude[:, channel] >= FULL_SCALE)
            runs = runs[runs >= CLIPPED_RUN]
            self.clipped += int(runs.sum())
            self.longest = max(self.longest, int(runs.max(initial=0)))

    @property
    def peak(self) -> float:
        return self._peak

    @property
    def rms(self) -> float:
        return float(np.sqrt(self._energy.max() / self.frames)) if self.frames else 0.0

    @property
    def dc_offset(self) -> float:
        return float(np.abs(self._sum).max() / self.frames) if self.frames else 0.0


def _runs(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the lengths of the runs of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    lengths: NDArray[np.int64] = edges[1::2] - edges[::2]
    return lengths


def _measured(folder: Path, clips: Sequence[Clip]) -> Iterator[tuple[tuple[Any, ...], NDArray[np.float16]]]:
    """Yield facts and outline of each clip in order; few clips are in memory at a time."""

    def work(clip: Clip) -> tuple[tuple[Any, ...], NDArray[np.float16]]:
        try:
            facts, shape = measure(folder / (clip.file or ""), clip.name, kind_of(clip.content_hash))
        except AudioError:  # damaged since its import: a fact about the clip, reported as such
            nothing = list(np.zeros((), _TYPE).item())
            return (clip.content_hash.encode(), *nothing[1:]), np.zeros(OUTLINE_SIZE, np.float16)
        # The clip's own hash leads: a file that was swapped meanwhile is not somebody else's sound.
        return (clip.content_hash.encode(), *facts[1:-1], facts[0] == clip.content_hash.encode()), shape

    with ThreadPoolExecutor(_THREADS, thread_name_prefix="profile") as pool:
        try:
            ahead = [pool.submit(work, clip) for clip in clips[:_AHEAD]]
            for start in range(0, len(clips), _AHEAD):
                batch = ahead
                ahead = [pool.submit(work, clip) for clip in clips[start + _AHEAD : start + 2 * _AHEAD]]
                for future in batch:
                    yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


def _load(file: Path) -> Profiles:
    try:
        with open_arrays(file) as stored:
            facts, outlines = stored["facts"], stored["outlines"]
        if facts.dtype == _TYPE and outlines.shape == (len(facts), OUTLINE_SIZE) and outlines.dtype == np.float16:
            return Profiles(facts, outlines)
    except DAMAGED:
        pass  # not there or not whole: measured again
    return Profiles(np.zeros(0, _TYPE), np.zeros((0, OUTLINE_SIZE), np.float16))


def _save(file: Path, profiles: Profiles) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, facts=profiles.facts, outlines=profiles.outlines)
    write_atomic(file, buffer.getvalue())
