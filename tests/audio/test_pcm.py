from __future__ import annotations

import io
import struct

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.audio import container, decode
from samplemind_core.audio.pcm import PlainWav, open_plain
from samplemind_core.errors import AudioError


def wav(bits: int = 16, channels: int = 1, frames: int = 500, rate_hz: int = 44_100) -> bytearray:
    full = 2 ** (bits - 1)
    samples = np.random.default_rng(bits + channels).integers(-full, full, (frames, channels))
    samples[:2] = [[-full], [full - 1]]
    raw = samples.astype("<i4").view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()
    frame_bytes = channels * bits // 8
    fmt = struct.pack("<HHIIHH", 1, channels, rate_hz, rate_hz * frame_bytes, frame_bytes, bits)
    chunks = b"fmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(raw)) + raw
    return bytearray(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)


def opened(data: bytes) -> PlainWav | None:
    stream = io.BytesIO(data)
    return open_plain(stream, data[:4_096], container.find_payload(stream, len(data)), len(data))


@pytest.mark.parametrize("bits", [16, 24])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_a_plain_wav_has_the_numbers_of_libsndfile(bits: int, channels: int) -> None:
    data = wav(bits, channels)
    theirs = sf.SoundFile(io.BytesIO(data))
    ours = opened(data)
    assert ours is not None
    for name in ("samplerate", "channels", "frames", "format", "subtype"):
        assert getattr(ours, name) == getattr(theirs, name)
    for size in (300, 10_000, 1):
        block, expected = ours.read(size), theirs.read(size, dtype="float32", always_2d=True)
        assert block.dtype == np.float32
        assert np.array_equal(block, expected)
    assert ours.seek(7) == theirs.seek(7) == 7
    assert np.array_equal(ours.read(9), theirs.read(9, dtype="float32", always_2d=True))


def test_chunks_around_the_samples_are_passed_over() -> None:
    data = wav()
    note = b"JUNK" + struct.pack("<I", 10) + b"0123456789"
    data[36:36] = note
    data += note
    struct.pack_into("<I", data, 4, len(data) - 8)
    ours = opened(data)
    assert ours is not None
    assert np.array_equal(ours.read(500), sf.read(io.BytesIO(data), dtype="float32", always_2d=True)[0])


@pytest.mark.parametrize(
    ("offset", "field"),
    [
        (4, struct.pack("<I", 20)),  # a RIFF that ends before its samples
        (20, struct.pack("<H", 3)),  # float
        (22, struct.pack("<H", 0)),  # no channels
        (24, struct.pack("<I", 0)),  # no rate
        (28, struct.pack("<I", 1)),  # bytes a second that do not fit
        (32, struct.pack("<H", 4)),  # frames of another size
        (34, struct.pack("<H", 12)),  # 12 bits
        (40, struct.pack("<I", 999)),  # half a frame
        (40, struct.pack("<I", 2_000)),  # more than there is
        (40, struct.pack("<I", 0xFFFFFFFF)),  # left open
    ],
)
def test_what_leaves_doubt_is_left_to_libsndfile(offset: int, field: bytes) -> None:
    data = wav()
    data[offset : offset + len(field)] = field
    assert opened(data) is None


@pytest.mark.parametrize("bits", [16, 24])
def test_decoding_does_not_depend_on_who_reads(bits: int, monkeypatch: pytest.MonkeyPatch) -> None:
    data = bytes(wav(bits, 2))
    ours = decode.decode(data, 22_050)
    monkeypatch.setattr(decode, "open_plain", lambda *_: None)
    theirs = decode.decode(data, 22_050)
    assert np.array_equal(ours.waveform, theirs.waveform)
    assert (ours.content_hash, ours.info) == (theirs.content_hash, theirs.info)


@pytest.mark.parametrize("position", range(0, 44, 3))
def test_a_damaged_header_gives_a_reason_and_never_a_traceback(position: int) -> None:
    for value in (0, 1, 127, 255):
        data = wav()
        data[position] = value
        try:
            decode.decode(bytes(data), 22_050)
        except AudioError as error:
            assert error.problem  # noqa: PT017 - either outcome is right, as long as it is one of ours
