"""From a file or an upload to a mono waveform, within limits and with errors a musician can read.

The content decides, not the name: WAV (integer PCM, float, A-law, µ-law, ADPCM), RF64, W64, AIFF,
FLAC, Ogg Vorbis, Opus, MP3, AU and CAF. Bytes, seconds, channels and sample rate are bounded before
the first sample is decoded, and decoding goes block by block, so memory follows the resampled
waveform and never what a header claims.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import soundfile as sf
import soxr
from numpy.typing import NDArray

from samplemind_core.audio import container
from samplemind_core.audio.content_hash import NEWEST, ContentHash, HashKind
from samplemind_core.audio.pcm import PlainWav, open_plain
from samplemind_core.errors import (
    AudioError,
    AudioLimitError,
    EmptyAudioError,
    NonFiniteAudioError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from samplemind_core.settings import Limits

MAX_CHANNELS = 64
MIN_RATE_HZ, MAX_RATE_HZ = 1_000, 768_000

MAX_MISSING = 0.25
"""Share of the promised bytes that may be missing before a file counts as truncated.

Files of old samplers and editors claim a somewhat longer tail than they hold. What is there is
decoded and noted; a file that has lost more is refused.
"""

MAX_PEAK = 1e12
"""Peak beyond which 32-bit powers overflow; integers stored as floats stay well below it."""

CANCELLED_DB = -20.0
"""Level of the mono mix below the loudest channel from which the channels count as cancelling."""

_BLOCK_SAMPLES = 1 << 20
_SHORT_SAMPLES = 1 << 18
_KEPT_RESAMPLERS = 4
_UNKNOWN_FRAMES = 1 << 62
_CONTAINERS = {
    "WAV": (".wav", ".wave"),
    "WAVEX": (".wav", ".wave"),
    "RF64": (".wav", ".wave", ".rf64"),
    "W64": (".w64",),
    "AIFF": (".aif", ".aiff", ".aifc"),
    "FLAC": (".flac",),
    "OGG": (".ogg", ".oga", ".opus"),
    "MP3": (".mp3",),
    "MPEG": (".mp3",),
    "AU": (".au", ".snd"),
    "CAF": (".caf",),
}

AUDIO_SUFFIXES: frozenset[str] = frozenset(suffix for suffixes in _CONTAINERS.values() for suffix in suffixes)
"""Lower-case suffixes that file pickers offer and folder scans look for."""


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file holds, before mixing and resampling.

    Parameters
    ----------
    sample_rate_hz, channels, frames : int
        As stored. :func:`probe` gives the header's number of frames, :func:`decode` the decoded one.
    duration_s : float
        ``frames / sample_rate_hz``.
    container, encoding : str
        libsndfile's names, such as ``WAV`` and ``PCM_16``.
    num_bytes : int
        Size of the file.
    notes : tuple of str
        Sentences on what is odd though usable: a wrong suffix, a short tail, cancelling channels.
    """

    sample_rate_hz: int
    channels: int
    frames: int
    duration_s: float
    container: str
    encoding: str
    num_bytes: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A clip, ready for analysis.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        Mono, at the rate that was asked for; finite; may exceed ±1 where the file does.
    info : AudioInfo
        What the file holds.
    content_hash : str
        Of sample rate, channel count and the native float32 samples, see
        :mod:`~samplemind_core.audio.content_hash`: the same sound as WAV or FLAC, renamed or with other
        tags has the same hash. Empty where it was not asked for.
    """

    waveform: NDArray[np.float32]
    info: AudioInfo
    content_hash: str


def probe(source: Path | bytes, *, name: str = "", limits: Limits | None = None) -> AudioInfo:
    """Return what a file holds, from its header.

    Parameters
    ----------
    source : Path or bytes
        A regular file, or its content.
    name : str
        Name for messages and for noting a wrong suffix; the path's own by default.
    limits : Limits, optional
        Bounds on bytes and seconds; the environment's by default.

    Raises
    ------
    UnreadableAudioError
        Missing, not a regular file, not audio, or of a format that cannot be decoded.
    TruncatedAudioError, EmptyAudioError
        The header promises more than the file holds; no frames or channels.
    AudioLimitError
        Over the limit of bytes, seconds, channels or sample rate.
    """
    with _opened(source, name, limits or Limits()) as (_, info, _shown):
        return info


def decode(
    source: Path | bytes,
    sample_rate_hz: int,
    *,
    name: str = "",
    limits: Limits | None = None,
    observe: Callable[[NDArray[np.float32]], None] | None = None,
    hashed: HashKind | None = NEWEST,
) -> Decoded:
    """Return a file's mono waveform at ``sample_rate_hz``.

    Mono is the mean of the channels. Where the channels cancel (the mean lies over 20 dB below the
    loudest channel, as with one channel inverted) the loudest channel is taken and a note says so.
    Resampling is soxr's HQ; it is not applied when the rates agree.

    Parameters
    ----------
    source : Path or bytes
        A regular file, or its content.
    sample_rate_hz : int
        Rate of the waveform, in Hz.
    name : str
        Name for messages and for noting a wrong suffix; the path's own by default.
    limits : Limits, optional
        Bounds on bytes and seconds; the environment's by default.
    observe : callable, optional
        Given each block of the file's own samples, (frames, channels), once and in order, before they
        are mixed and resampled.
    hashed : {'blake3', 'sha256'}, optional
        Which content hash is wanted: that of what it is compared with, if any. None leaves it empty.

    Raises
    ------
    UnreadableAudioError, TruncatedAudioError, EmptyAudioError, AudioLimitError
        As :func:`probe`; also for damage that shows only while decoding.
    NonFiniteAudioError
        NaN or infinity among the samples.
    """
    sound = _begun(source, sample_rate_hz, name, limits or Limits(), observe, hashed)
    if isinstance(sound, Decoded):
        return sound
    sound.mixer.note(sound.block)
    return _resampled(_mixed(sound), sample_rate_hz)


def decode_all(
    sources: Iterable[tuple[Path | bytes, str]],
    sample_rate_hz: int,
    *,
    limits: Limits | None = None,
    hashed: HashKind | None = NEWEST,
) -> Iterator[Decoded | AudioError]:
    """Yield what :func:`decode` returns or raises for each file and its name, in order and to the last bit.

    Short files are all decoded, then all hashed, then all mixed, before the first of them is resampled:
    a processor that goes to and fro between these forgets for each the code of the others, which costs
    a fifth of the time. There should not be more than a few, as their samples wait in memory, at most a
    megabyte of each. A longer file does not wait: the next source is asked for when it is done with.
    """
    limits = limits or Limits()
    waiting: list[_Short | AudioError] = []
    for source, name in sources:
        try:
            sound = _begun(source, sample_rate_hz, name, limits, None, hashed)
        except AudioError as error:
            waiting.append(error)
            continue
        if isinstance(sound, _Short):
            waiting.append(sound)
            continue
        yield from _all_resampled(waiting, sample_rate_hz)
        yield sound
        del sound
    yield from _all_resampled(waiting, sample_rate_hz)


def _all_resampled(sounds: list[_Short | AudioError], sample_rate_hz: int) -> Iterator[Decoded | AudioError]:
    """Yield what becomes of files that were read, in order; the list is empty then."""
    for sound in sounds:
        if isinstance(sound, _Short):
            sound.mixer.note(sound.block)
    mixed: deque[_Short | AudioError] = deque()
    for sound in sounds:
        try:
            mixed.append(_mixed(sound) if isinstance(sound, _Short) else sound)
        except AudioError as error:
            mixed.append(error)
    sounds.clear()
    while mixed:
        mono = mixed.popleft()
        try:
            yield _resampled(mono, sample_rate_hz) if isinstance(mono, _Short) else mono
        except AudioError as error:
            yield error


@dataclass(frozen=True, slots=True)
class _Short:
    """A file whose samples are all read, (frames, channels) and once they are mixed (frames,), and their mixer."""

    block: NDArray[np.float32]
    info: AudioInfo
    shown: str
    mixer: _Mixer


class _Mixer:
    """Mixes a file's blocks to mono, and keeps what has to be known of all of them."""

    def __init__(
        self,
        info: AudioInfo,
        shown: str,
        observe: Callable[[NDArray[np.float32]], None] | None,
        hashed: HashKind | None,
    ) -> None:
        self._observe, self._shown = observe, shown
        self._digest = ContentHash(hashed, info.sample_rate_hz, info.channels) if hashed else None
        self._energy = np.zeros(info.channels)
        self._mono_energy = 0.0
        self.frames = 0

    def note(self, block: NDArray[np.float32]) -> None:
        """Count and hash the next block (frames, channels)."""
        self.frames += len(block)
        if self._digest is not None:
            self._digest.update(block)

    def mean(self, block: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the mean of the channels, (frames,), of a block that was noted."""
        if not np.isfinite(block).all():
            raise NonFiniteAudioError(
                f"{self._shown} holds samples that are not numbers (NaN or infinity, or too large for 32-bit float).",
                "Export it again from its project, or leave it out.",
            )
        if self._observe is not None:
            self._observe(block)
        if block.shape[1] == 1:
            return block[:, 0]
        self._energy += np.square(block, dtype=np.float64).sum(axis=0)
        mono: NDArray[np.float32] = block.mean(axis=1, dtype=np.float64).astype(np.float32)
        self._mono_energy += float(np.square(mono, dtype=np.float64).sum())
        return mono

    @property
    def content_hash(self) -> str:
        """The hash of all samples, empty where it was not asked for."""
        return "" if self._digest is None else self._digest.text

    @property
    def instead(self) -> int | None:
        """The loudest channel, where the channels cancel in the mix."""
        loudest = self._energy.max()
        cancelled = loudest > 0 and self._mono_energy < 10 ** (CANCELLED_DB / 10) * loudest
        return int(self._energy.argmax()) if len(self._energy) > 1 and cancelled else None


def _begun(
    source: Path | bytes,
    sample_rate_hz: int,
    name: str,
    limits: Limits,
    observe: Callable[[NDArray[np.float32]], None] | None,
    hashed: HashKind | None,
) -> _Short | Decoded:
    """Return a short file's samples, or all there is to a longer one."""
    with _opened(source, name, limits) as (sound, info, shown):
        mixer = _Mixer(info, shown, observe, hashed)
        if info.frames * info.channels <= _SHORT_SAMPLES:
            block = _read(sound, info.frames, shown)
            if len(block) == info.frames:
                return _Short(block, info, shown, mixer)
            sound.seek(0)

        def noted(block: NDArray[np.float32]) -> NDArray[np.float32]:
            mixer.note(block)
            return mixer.mean(block)

        waveform = _stream(sound, info, sample_rate_hz, noted, shown, limits)
        if mixer.frames == 0:
            raise _empty(shown)
        if info.container in ("WAV", "FLAC", "AIFF") and mixer.frames < info.frames * (1 - MAX_MISSING):
            raise _truncated(shown, f"{mixer.frames:,} of {info.frames:,} frames")
        if mixer.frames != info.frames:
            info = replace(info, frames=mixer.frames, duration_s=mixer.frames / info.sample_rate_hz)
        if (channel := mixer.instead) is not None:
            sound.seek(0)
            waveform = _stream(sound, info, sample_rate_hz, lambda block: block[:, channel], shown, limits)
        return _decoded(waveform, info, mixer, shown, sample_rate_hz)


def _mixed(sound: _Short) -> _Short:
    """Return a short file in mono, at its own rate."""
    mono = sound.mixer.mean(sound.block)
    if (channel := sound.mixer.instead) is not None:
        mono = sound.block[:, channel]
    return replace(sound, block=mono)


def _resampled(mono: _Short, sample_rate_hz: int) -> Decoded:
    """Return the waveform of a short file in mono."""
    waveform = mono.block
    if mono.info.sample_rate_hz != sample_rate_hz:
        waveform = _resamplers.whole(waveform, mono.info.sample_rate_hz, sample_rate_hz)
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    return _decoded(waveform, mono.info, mono.mixer, mono.shown, sample_rate_hz)


def _decoded(waveform: NDArray[np.float32], info: AudioInfo, mixer: _Mixer, shown: str, sample_rate_hz: int) -> Decoded:
    if (channel := mixer.instead) is not None:
        note = f"The channels cancel in a mono mix; channel {channel + 1} alone is used."
        info = replace(info, notes=(*info.notes, note))
    if waveform.size == 0:
        raise EmptyAudioError(
            f"{shown} is too short: {info.frames} frames at {info.sample_rate_hz:,} Hz are none at "
            f"{sample_rate_hz:,} Hz.",
            "Leave it out, or export a longer sample.",
        )
    if not np.abs(waveform).max() < MAX_PEAK:
        raise NonFiniteAudioError(
            f"{shown} holds samples beyond {MAX_PEAK:g} times full scale.", "Export it again at a normal level."
        )
    return Decoded(waveform, info, mixer.content_hash)


def to_wav(waveform: NDArray[np.floating[Any]], sample_rate_hz: int) -> bytes:
    """Return a waveform as a 16-bit PCM WAV file, which every browser plays.

    A waveform that exceeds ±1 is scaled down as a whole to a peak of 1; it is never clipped, and a
    quieter one is not touched.

    Parameters
    ----------
    waveform : ndarray of float, shape (T,)
        Mono, nominally in [-1, 1].
    sample_rate_hz : int
        Sample rate, in Hz.

    Raises
    ------
    AudioError
        If the waveform is not mono, is empty, or holds NaN or infinity.
    """
    samples = np.asarray(waveform, dtype=np.float64)
    if samples.ndim != 1:
        raise AudioError(f"Expected a mono waveform of shape (T,), got shape {samples.shape}.", "Mix it to mono first.")
    if samples.size == 0:
        raise EmptyAudioError("Expected a waveform with samples, got none.", "Choose another clip.")
    peak = float(np.abs(samples).max())
    if not np.isfinite(peak):
        raise NonFiniteAudioError("Expected a finite waveform, got NaN or infinity.", "Decode the clip again.")
    buffer = io.BytesIO()
    pcm = np.rint(samples * (32_767 / max(peak, 1.0))).astype(np.int16)
    sf.write(buffer, pcm, sample_rate_hz, format="WAV", subtype="PCM_16")
    return buffer.getvalue()


class _Source:
    """A stream for libsndfile's callbacks, which must not raise: a broken header asks for places before the start."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.read = stream.read
        self.tell = stream.tell

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._stream.seek(offset, whence)
        except (OSError, ValueError, OverflowError):
            return self._stream.tell()  # not where it was sent: libsndfile reports the failure itself


@contextmanager
def _opened(
    source: Path | bytes, name: str, limits: Limits
) -> Iterator[tuple[sf.SoundFile | PlainWav, AudioInfo, str]]:
    """Yield the open sound, its header's info and its name for messages, all limits checked."""
    shown = printable(name or (source.name if isinstance(source, Path) else "The upload"))
    suffix = os.path.splitext(name or (source.name if isinstance(source, Path) else ""))[1].lower()  # noqa: PTH122 - only text
    raw: BinaryIO = io.BytesIO(source) if isinstance(source, bytes) else _open_file(source, shown)
    with closing(raw):
        num_bytes = raw.seek(0, io.SEEK_END)
        if num_bytes == 0:
            raise EmptyAudioError(f"{shown} is an empty file (0 bytes).", "Copy or export it again.")
        if num_bytes > limits.max_file_bytes:
            raise AudioLimitError(
                f"{shown} has {num_bytes / 2**20:,.1f} MiB; at most {limits.max_file_mb} MiB are allowed.",
                "Cut it into single samples, or raise SAMPLEMIND_MAX_FILE_MB.",
            )
        notes: list[str] = []
        with closing(_prepared(raw, num_bytes, shown, notes)) as sound:
            info = _describe(sound, num_bytes, shown, limits)
            expected = _CONTAINERS[info.container]
            if suffix in AUDIO_SUFFIXES and suffix not in expected:
                notes.append(f"Named {suffix}, but its content is {info.container}; decoded as that.")
            yield sound, replace(info, notes=tuple(notes)) if notes else info, shown


def _open_file(path: Path, shown: str) -> BinaryIO:
    """Open a regular file without ever blocking on a pipe or a device."""
    advice = "Choose an audio file."
    try:
        mode = os.stat(path).st_mode  # noqa: PTH116 - Path.stat gives the same and hides nothing
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a pipe, socket or device"
            raise UnreadableAudioError(f"{shown} is {kind}, not a file.", advice)
        # The file may be swapped for a pipe between the two calls; O_NONBLOCK then returns at once.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        descriptor = os.open(path, flags)
        stream = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            stream.close()
            raise UnreadableAudioError(f"{shown} is not a regular file.", advice)
        return stream
    except FileNotFoundError:
        what = "is a link to a file that does not exist" if path.is_symlink() else "does not exist"
        raise UnreadableAudioError(f"{shown} {what}.", "Check the path.") from None
    except PermissionError:
        raise UnreadableAudioError(f"{shown} may not be read.", "Change its access rights.") from None
    except (OSError, ValueError) as error:
        loop = isinstance(error, OSError) and error.errno == errno.ELOOP
        reason = "a link that leads to itself" if loop else getattr(error, "strerror", None) or str(error)
        raise UnreadableAudioError(f"{shown} cannot be opened: {reason}.", "Check the path.") from None


def _prepared(raw: BinaryIO, num_bytes: int, shown: str, notes: list[str]) -> sf.SoundFile | PlainWav:
    """Return the sound to decode, once its header keeps its promises."""
    raw.seek(0)
    head = raw.read(container.HEAD_BYTES)
    if container.is_foreign(head):
        raise _unreadable(shown, raw, "")
    stream = raw
    payload = container.find_payload(raw, num_bytes)
    if payload is not None and payload.present:
        if payload.declared is None and head[:4] in (b"RIFF", b"RIFX"):
            raw.seek(0)
            data = bytearray(raw.read())
            container.close_open_sizes(data, payload)
            stream = io.BytesIO(data)
            notes.append(
                "The header leaves the length open, as a stream or a crashed recorder does; all of it is used."
            )
        elif payload.declared is not None and payload.present < payload.declared:
            held = f"{payload.present:,} of {payload.declared:,} bytes of sound"
            if payload.present < payload.declared * (1 - MAX_MISSING):
                raise _truncated(shown, held)
            notes.append(f"The end is missing: {held} are there and used.")
    elif head[:4] == b"OggS" and container.ogg_is_cut(raw, num_bytes):
        raise _truncated(shown, "only a part of the last page")
    if (plain := open_plain(raw, head, payload, num_bytes)) is not None:
        return plain
    stream.seek(0)
    try:
        if stream is raw and not isinstance(raw, io.BytesIO):
            # libsndfile reads the file itself, without coming back for every few thousand bytes.
            os.lseek(raw.fileno(), 0, os.SEEK_SET)
            return sf.SoundFile(raw.fileno(), closefd=False)
        return sf.SoundFile(_Source(stream))
    except RuntimeError as error:  # libsndfile's errors are RuntimeErrors
        raise _unreadable(shown, raw, _reason(error)) from None


def _describe(sound: sf.SoundFile | PlainWav, num_bytes: int, shown: str, limits: Limits) -> AudioInfo:
    if sound.format not in _CONTAINERS:
        raise UnreadableAudioError(
            f"{shown} is not in a supported format (it looks like {sound.format_info}).",
            "Convert it to WAV or FLAC and try again.",
        )
    rate, channels, frames = sound.samplerate, sound.channels, sound.frames
    if channels < 1 or frames < 1:
        raise _empty(shown)
    if channels > MAX_CHANNELS:
        raise AudioLimitError(
            f"{shown} has {channels} channels; at most {MAX_CHANNELS} are allowed.", "Export it in mono or stereo."
        )
    if not MIN_RATE_HZ <= rate <= MAX_RATE_HZ:
        raise AudioLimitError(
            f"{shown} claims a sample rate of {rate:,} Hz; expected {MIN_RATE_HZ:,} to {MAX_RATE_HZ:,} Hz.",
            "Its header is probably wrong: export it again.",
        )
    if frames >= _UNKNOWN_FRAMES:  # libsndfile can neither bound nor rewind such a FLAC stream
        raise UnreadableAudioError(
            f"{shown} is a {sound.format} stream whose header leaves its length open.",
            "Convert it to WAV and try again.",
        )
    if frames / rate > limits.max_clip_s:
        raise _too_long(shown, frames / rate, limits)
    return AudioInfo(rate, channels, frames, frames / rate, sound.format, sound.subtype, num_bytes)


class _Resamplers(threading.local):
    """Resamplers of this thread, kept: designing a filter takes as long as resampling a one-shot."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], soxr.ResampleStream] = {}

    def whole(self, mono: NDArray[np.float32], from_hz: int, to_hz: int) -> NDArray[np.float32]:
        """Return a short waveform (T,) at another rate: the same numbers as from a new resampler."""
        # Taken out while in use, so that one that failed is never met again.
        resampler = self._kept.pop((from_hz, to_hz), None)
        if resampler is None:
            resampler = soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32", quality="HQ")
        result: NDArray[np.float32] = resampler.resample_chunk(mono, last=True)
        resampler.clear()
        if len(self._kept) >= _KEPT_RESAMPLERS:
            del self._kept[next(iter(self._kept))]  # the one that was not used for longest
        self._kept[from_hz, to_hz] = resampler
        return result


_resamplers = _Resamplers()


def _stream(
    sound: sf.SoundFile | PlainWav,
    info: AudioInfo,
    sample_rate_hz: int,
    mix: Callable[[NDArray[np.float32]], NDArray[np.float32]],
    shown: str,
    limits: Limits,
) -> NDArray[np.float32]:
    """Return the mixed, resampled waveform, read block by block."""
    resampler: soxr.ResampleStream | None = None
    resamples = info.sample_rate_hz != sample_rate_hz
    parts: list[NDArray[np.float32]] = []
    frames, size = 0, _BLOCK_SAMPLES // sound.channels
    while True:
        block = _read(sound, size, shown)
        frames += len(block)
        if frames > limits.max_clip_s * info.sample_rate_hz:
            raise _too_long(shown, frames / info.sample_rate_hz, limits)
        mono = mix(block)
        last = len(block) == 0 or (len(block) < size and frames >= info.frames)
        if last and resamples and not parts and len(mono):
            # The same numbers as from a stream, for less.
            whole = soxr.resample(mono, info.sample_rate_hz, sample_rate_hz, quality="HQ")
            return np.ascontiguousarray(whole, dtype=np.float32)
        if resamples and resampler is None:
            resampler = soxr.ResampleStream(info.sample_rate_hz, sample_rate_hz, 1, dtype="float32", quality="HQ")
        parts.append(resampler.resample_chunk(mono, last=last) if resampler else mono)
        if last:
            whole = parts[0] if len(parts) == 1 else np.concatenate(parts)
            return np.ascontiguousarray(whole, dtype=np.float32)


def _read(sound: sf.SoundFile | PlainWav, size: int, shown: str) -> NDArray[np.float32]:
    """Return the next block, (frames, channels); empty at the end."""
    try:
        block: NDArray[np.float32] = sound.read(size, dtype="float32", always_2d=True)
        return block
    except RuntimeError as error:  # libsndfile's errors are RuntimeErrors
        raise TruncatedAudioError(
            f"{shown} is damaged or cut: decoding breaks off ({_reason(error)}).", "Copy or export it again."
        ) from None


def printable(name: str) -> str:
    """Return a file name as one line of text: control characters and bad bytes as escapes."""
    if name.isprintable():  # which no half of a surrogate pair is
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _reason(error: Exception) -> str:
    text = getattr(error, "error_string", "") or str(error)
    return text.removeprefix("Error : ").strip().rstrip(".")


def _unreadable(shown: str, raw: BinaryIO, reason: str) -> UnreadableAudioError:
    raw.seek(0)
    what, advice = container.looks_like(raw.read(container.HEAD_BYTES))
    if what:
        return UnreadableAudioError(f"{shown} cannot be decoded: it looks like {what}.", advice)
    return UnreadableAudioError(f"{shown} cannot be decoded: {reason or 'it is not audio'}.", advice)


def _empty(shown: str) -> EmptyAudioError:
    return EmptyAudioError(f"{shown} holds no sound: its header is there, but no samples.", "Copy or export it again.")


def _truncated(shown: str, held: str) -> TruncatedAudioError:
    return TruncatedAudioError(f"{shown} is cut off: it holds {held}.", "Copy, download or export it again.")


def _too_long(shown: str, duration_s: float, limits: Limits) -> AudioLimitError:
    return AudioLimitError(
        f"{shown} is {duration_s:,.1f} s long; at most {limits.max_clip_s:g} s are allowed.",
        "Cut it into single samples, or raise SAMPLEMIND_MAX_CLIP_S.",
    )
