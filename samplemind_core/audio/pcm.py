"""Plain 16- and 24-bit WAV files read without libsndfile: most samples are such files, and it costs a tenth.

Only a file whose header leaves no doubt is read here, with the numbers libsndfile gives for it;
every other one is for libsndfile to judge.
"""

from __future__ import annotations

import struct
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.container import Payload

_SUBTYPES = {16: "PCM_16", 24: "PCM_24"}


class PlainWav:
    """A WAV file of 16- or 24-bit integers.

    Parameters
    ----------
    stream : BinaryIO
        Seekable; closed by its owner.
    offset, frames : int
        Where the samples start, in bytes, and how many there are of each channel.
    samplerate, channels, bits : int
        As stored; ``samplerate`` in Hz.
    """

    format = "WAV"
    format_info = "WAV (Microsoft)"

    def __init__(self, stream: BinaryIO, offset: int, frames: int, samplerate: int, channels: int, bits: int) -> None:
        self._stream, self._offset, self._bytes = stream, offset, bits // 8
        self.samplerate, self.channels, self.frames = samplerate, channels, frames
        self.subtype = _SUBTYPES[bits]
        self._place = 0

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> NDArray[np.float32]:
        """Return the next frames (N, channels) in [-1, 1]; fewer at the end."""
        count = min(frames, self.frames - self._place) * self.channels
        self._stream.seek(self._offset + self._place * self.channels * self._bytes)
        data = self._stream.read(count * self._bytes)
        count = len(data) // (self.channels * self._bytes) * self.channels  # the file may have shrunk meanwhile
        if self._bytes == 2:
            samples = np.frombuffer(data, "<i2", count).astype(np.float32)
            samples *= np.float32(2**-15)
        else:
            wide = np.zeros((count, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8, 3 * count).reshape(-1, 3)
            samples = wide.view("<i4")[:, 0].astype(np.float32)
            samples *= np.float32(2**-31)
        self._place += count // self.channels
        return samples.reshape(-1, self.channels)

    def seek(self, frames: int) -> int:
        """Go to a frame."""
        self._place = min(max(frames, 0), self.frames)
        return self._place

    def close(self) -> None:
        """Do nothing: the stream is somebody else's."""


def open_plain(stream: BinaryIO, head: bytes, payload: Payload | None, num_bytes: int) -> PlainWav | None:
    """Return the sound of a plain WAV file, or None where libsndfile must look.

    Parameters
    ----------
    stream : BinaryIO
        The whole file.
    head : bytes
        Its first bytes.
    payload : Payload or None
        Where :func:`~samplemind_core.audio.container.find_payload` found its samples.
    num_bytes : int
        Length of the file.
    """
    if payload is None or payload.declared is None or payload.present != payload.declared or len(head) < 44:
        return None
    riff, riff_bytes, wave, fmt, size = struct.unpack("<4sI4s4sI", head[:20])
    tag, channels, rate_hz, bytes_per_s, frame_bytes, bits = struct.unpack("<HHIIHH", head[20:36])
    offset = payload.size_field + 4
    plain = (
        (riff, wave, fmt, size, tag) == (b"RIFF", b"WAVE", b"fmt ", 16, 1)
        and bits in _SUBTYPES
        and channels > 0
        and rate_hz > 0
        and frame_bytes == channels * bits // 8
        and bytes_per_s == rate_hz * frame_bytes
        and payload.present > 0
        and payload.present % frame_bytes == 0
        and offset + payload.present <= riff_bytes + 8 <= num_bytes + 1
    )
    return PlainWav(stream, offset, payload.present // frame_bytes, rate_hz, channels, bits) if plain else None
