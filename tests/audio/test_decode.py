from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import soxr

from samplemind_core.audio.decode import AUDIO_SUFFIXES, decode, decode_all, probe, to_wav
from samplemind_core.errors import (
    AudioError,
    AudioLimitError,
    EmptyAudioError,
    NonFiniteAudioError,
    TruncatedAudioError,
    UnreadableAudioError,
)
from samplemind_core.settings import Limits

RATE = 22_050


def tone(num_samples: int = RATE // 4, hz: float = 440.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hz * np.arange(num_samples) / RATE)).astype(np.float32)


def written(samples: np.ndarray, format: str = "WAV", subtype: str = "PCM_16", rate: int = RATE) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, samples, rate, format=format, subtype=subtype)
    return buffer.getvalue()


LOSSLESS = [
    ("WAV", "PCM_U8", 1 / 100),
    ("WAV", "PCM_16", 1e-4),
    ("WAV", "PCM_24", 1e-6),
    ("WAV", "PCM_32", 1e-6),
    ("WAV", "FLOAT", 0.0),
    ("WAV", "DOUBLE", 0.0),
    ("WAV", "ALAW", 0.03),
    ("WAV", "ULAW", 0.03),
    ("WAVEX", "PCM_24", 1e-6),
    ("RF64", "PCM_16", 1e-4),
    ("W64", "PCM_16", 1e-4),
    ("AIFF", "PCM_24", 1e-6),
    ("AIFF", "FLOAT", 0.0),
    ("FLAC", "PCM_16", 1e-4),
    ("FLAC", "PCM_24", 1e-6),
    ("AU", "PCM_16", 1e-4),
    ("CAF", "PCM_16", 1e-4),
]


@pytest.mark.parametrize(("format", "subtype", "tolerance"), LOSSLESS)
def test_every_lossless_encoding_gives_its_samples(format: str, subtype: str, tolerance: float) -> None:
    result = decode(written(tone(), format, subtype), RATE)
    assert result.info.encoding == subtype
    assert result.waveform.dtype == np.float32
    assert result.waveform.shape == tone().shape
    assert np.abs(result.waveform - tone()).max() <= tolerance
    assert result.info.notes == ()


@pytest.mark.parametrize(
    ("format", "subtype", "rate"),
    [("OGG", "VORBIS", 22_050), ("OGG", "OPUS", 48_000), ("MP3", "MPEG_LAYER_III", 22_050)],
)
def test_lossy_encodings_give_the_same_sound(format: str, subtype: str, rate: int) -> None:
    samples = (0.5 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype(np.float32)
    result = decode(written(samples, format, subtype, rate), RATE)
    assert abs(len(result.waveform) - RATE) <= 2_500
    spectrum = np.abs(np.fft.rfft(result.waveform[:RATE]))
    assert abs(spectrum.argmax() * RATE / min(RATE, len(result.waveform)) - 440) < 3


def test_the_hash_is_of_the_sound(tmp_path: Path) -> None:
    pcm = np.rint(tone() * 32_767).astype(np.int16)
    wav, flac = written(pcm), written(pcm, "FLAC")
    path = tmp_path / "kick.wav"
    path.write_bytes(wav)
    hashes = {decode(source, rate).content_hash for source in (path, wav, flac) for rate in (RATE, 8_000)}
    assert len(hashes) == 1
    assert decode(written(tone(hz=441)), RATE).content_hash not in hashes
    assert decode(written(tone(), rate=44_100), RATE).content_hash not in hashes
    assert decode(written(np.stack([tone(), tone()], axis=1)), RATE).content_hash not in hashes


@pytest.mark.parametrize("rate", [8_000, 39_063, 44_100, 44_101, 96_000])
def test_resampling_keeps_length_and_pitch(rate: int) -> None:
    samples = (0.5 * np.sin(2 * np.pi * 1_000 * np.arange(rate) / rate)).astype(np.float32)
    result = decode(written(samples, subtype="FLOAT", rate=rate), RATE)
    assert abs(len(result.waveform) - RATE) <= 1
    expected = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(len(result.waveform)) / RATE)
    inner = slice(500, -500)
    assert np.abs(result.waveform - expected)[inner].max() < 1e-3
    assert result.info.duration_s == 1.0


def test_mono_is_the_mean_of_the_channels() -> None:
    left, right = tone(hz=440), tone(hz=1_000)
    result = decode(written(np.stack([left, right], axis=1), subtype="FLOAT"), RATE)
    assert np.allclose(result.waveform, (left + right) / 2, atol=1e-6)
    assert result.info.channels == 2
    assert result.info.notes == ()


def test_cancelling_channels_are_not_analysed_as_silence() -> None:
    result = decode(written(np.stack([tone(), -tone()], axis=1), subtype="FLOAT"), RATE)
    assert np.array_equal(result.waveform, tone())
    assert "cancel" in result.info.notes[0]


def test_long_files_are_read_in_blocks_without_a_seam() -> None:
    samples = np.tile(tone(RATE), 60)  # more than one block
    result = decode(written(samples, subtype="FLOAT"), RATE)
    assert np.array_equal(result.waveform, samples)
    assert np.array_equal(
        decode(written(samples, subtype="FLOAT"), 8_000).waveform, soxr.resample(samples, RATE, 8_000)
    )


@pytest.mark.parametrize("container", ["wav", "aiff", "au", "caf", "w64", "rf64"])
def test_a_cut_file_is_truncated(container: str) -> None:
    data = written(tone(), container.upper())
    with pytest.raises(TruncatedAudioError, match="cut off"):
        decode(data[: len(data) // 2], RATE)
    with pytest.raises(TruncatedAudioError, match="cut off"):
        probe(data[: len(data) // 2])


def test_a_cut_flac_or_ogg_is_truncated() -> None:
    noise = np.random.default_rng(0).standard_normal(50_000).astype(np.float32) * 0.1
    for format, subtype in (("FLAC", "PCM_16"), ("OGG", "VORBIS")):
        data = written(noise, format, subtype)
        with pytest.raises(TruncatedAudioError):
            decode(data[: len(data) * 2 // 3], RATE)


def test_a_short_tail_is_noted_and_what_is_there_is_used() -> None:
    data = written(tone())
    result = decode(data[:-400], RATE)
    assert len(result.waveform) == len(tone()) - 200
    assert "end is missing" in result.info.notes[0]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_streaming_header_is_not_a_truncated_file(size: int) -> None:
    data = bytearray(written(tone()))
    struct.pack_into("<I", data, 4, size)
    struct.pack_into("<I", data, 40, size)
    result = decode(bytes(data), RATE)
    assert len(result.waveform) == len(tone())
    assert "length open" in result.info.notes[0]
    assert result.content_hash == decode(written(tone()), RATE).content_hash


def test_a_flac_stream_of_unknown_length_is_refused_saying_so() -> None:
    data = bytearray(written(tone(), "FLAC"))
    # STREAMINFO: the low 4 bits of byte 21 and the next 4 bytes are the number of frames.
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    with pytest.raises(UnreadableAudioError, match="length open"):
        decode(bytes(data), RATE)


def test_a_header_that_claims_the_moon_allocates_nothing() -> None:
    data = bytearray(written(tone(), "FLAC"))
    data[21] |= 0x0F
    data[22:26] = b"\xff" * 4
    with pytest.raises(AudioLimitError, match="s long"):
        decode(bytes(data), RATE)
    data = bytearray(written(tone(), "RF64"))
    struct.pack_into("<Q", data, 28, 1 << 60)
    with pytest.raises(TruncatedAudioError):
        decode(bytes(data), RATE)


@pytest.mark.parametrize("data", [b"", written(tone(0)), written(tone(0), "AIFF"), written(tone(9))[:44]])
def test_no_samples_is_empty(data: bytes) -> None:
    for read in (probe, lambda source: decode(source, RATE)):
        with pytest.raises(EmptyAudioError):
            read(data)


def test_too_short_for_one_sample_is_empty() -> None:
    with pytest.raises(EmptyAudioError, match="too short"):
        decode(written(tone(1), rate=192_000), 8_000)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_never_come_through(value: float) -> None:
    samples = tone()
    samples[100] = value
    with pytest.raises(NonFiniteAudioError):
        decode(written(samples, subtype="FLOAT"), RATE)


@pytest.mark.parametrize("peak", [1e300, 1e20])
def test_samples_that_overflow_powers_are_refused(peak: float) -> None:
    with pytest.raises(NonFiniteAudioError):
        decode(written(tone().astype(np.float64) * peak, subtype="DOUBLE"), RATE)


def test_a_peak_above_one_is_kept() -> None:
    assert decode(written(tone() * 8, subtype="FLOAT"), RATE).waveform.max() == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "web page"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(range(256)), "JPEG"),
        (b"PK\x03\x04" + bytes(range(256)), "zip archive"),
        (b"kick drum, recorded on Tuesday\n" * 10, "text file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\0\0\0\x20ftypM4A " + bytes(range(256)), "convert|Convert"),
        (b"\x1a\x45\xdf\xa3" + bytes(range(256)), "WebM"),
        (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(range(256)), "WMA"),
        (b"MThd" + bytes(range(256)), "MIDI"),
        (bytes(1_000), "zeros"),
        (b"\x01", "cannot be decoded"),
    ],
)
def test_what_is_no_sound_is_refused_saying_what_it_looks_like(data: bytes, words: str) -> None:
    with pytest.raises(UnreadableAudioError, match=words) as caught:
        decode(data, RATE, name="kick.wav")
    assert "kick.wav" in caught.value.problem
    assert caught.value.advice


@pytest.mark.parametrize("size", [12, 20, 36])
def test_a_cut_header_is_refused(size: int) -> None:
    with pytest.raises(AudioError):
        decode(written(tone())[:size], RATE)


def test_content_decides_and_a_wrong_suffix_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "kick.mp3"
    path.write_bytes(written(tone()))
    assert probe(path).container == "WAV"
    assert ".mp3" in decode(path, RATE).info.notes[0]
    assert decode(written(tone()), RATE, name="KICK.WAV").info.notes == ()


def test_limits_hold_before_decoding() -> None:
    data = written(tone())
    with pytest.raises(AudioLimitError, match=r"at most 0\.1 s"):
        decode(data, RATE, limits=Limits(max_clip_s=0.1))
    with pytest.raises(AudioLimitError, match="MiB"):
        decode(bytes((1 << 20) + 1), RATE, limits=Limits(max_file_mb=1))
    with pytest.raises(AudioLimitError, match="65 channels"):
        probe(written(np.zeros((10, 65), np.float32)))
    with pytest.raises(AudioLimitError, match="sample rate of 1 Hz"):
        probe(written(tone(), rate=1))


@pytest.mark.parametrize(
    "name", [b"-h.wav", b"a\nb.wav", b" kick .wav", b"%s{0}.wav", b"$(touch pwned).wav", "キック.wav".encode()]
)
def test_odd_names_are_only_names(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(written(tone()))
    assert decode(path, RATE).info.frames == len(tone())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux keeps names that are not UTF-8")
def test_a_name_that_is_not_utf8_is_shown_escaped(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xe9\xff\n.wav")
    path.write_bytes(written(tone()))
    assert decode(path, RATE).info.frames == len(tone())
    path.write_bytes(b"text, not sound")
    with pytest.raises(UnreadableAudioError) as caught:
        decode(path, RATE)
    assert caught.value.problem.startswith(r"\xe9\xff\n.wav")
    caught.value.problem.encode()


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices have paths on POSIX only")
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    fifo, loop, dangling = tmp_path / "fifo.wav", tmp_path / "loop.wav", tmp_path / "dangling.wav"
    os.mkfifo(fifo)
    loop.symlink_to(loop)
    dangling.symlink_to(tmp_path / "nowhere.wav")
    expected = {tmp_path: "folder", fifo: "pipe", Path("/dev/zero"): "device", loop: "link", dangling: "link"}
    for path, words in expected.items():
        with pytest.raises(UnreadableAudioError, match=words):
            probe(path)
    with pytest.raises(UnreadableAudioError, match="does not exist"):
        probe(tmp_path / "none.wav")
    with pytest.raises(UnreadableAudioError):
        probe(Path("nul\0.wav"))


def test_random_bytes_after_any_magic_raise_only_audio_errors() -> None:
    rng = np.random.default_rng(0)
    whole = [written(tone(2_000), format) for format in ("WAV", "AIFF", "FLAC", "CAF", "AU")]
    whole += [written(tone(2_000), "OGG", "VORBIS"), written(tone(2_000), "MP3", "MPEG_LAYER_III")]
    for data in whole:
        for _ in range(60):
            broken = bytearray(data)
            for position in rng.integers(0, 60, 4):
                broken[position] = rng.integers(256)
            try:
                result = decode(bytes(broken), 8_000, limits=Limits(max_clip_s=5))
            except AudioError:
                continue
            assert np.isfinite(result.waveform).all()


def test_to_wav_round_trips() -> None:
    result = decode(to_wav(tone(), RATE), RATE)
    assert result.info.encoding == "PCM_16"
    assert np.abs(result.waveform - tone()).max() < 1e-4


def test_to_wav_scales_down_and_never_clips() -> None:
    loud = tone() * 6
    back = decode(to_wav(loud, RATE), RATE).waveform
    assert np.abs(back - loud / np.abs(loud).max()).max() < 1e-4
    quiet = decode(to_wav(tone() / 100, RATE), RATE).waveform
    assert np.abs(quiet - tone() / 100).max() < 1e-4


@pytest.mark.parametrize("waveform", [np.zeros(0), np.zeros((2, 5)), np.array([0.0, np.nan])])
def test_to_wav_refuses_what_is_no_clip(waveform: np.ndarray) -> None:
    with pytest.raises(AudioError):
        to_wav(waveform, RATE)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".wav", ".flac", ".aif", ".ogg", ".opus", ".mp3"} <= AUDIO_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in AUDIO_SUFFIXES)


def test_decoding_loads_neither_torch_nor_librosa() -> None:
    code = (
        "import sys, samplemind_core.audio.decode, samplemind_core.audio.window, samplemind_core.audio.synth;"
        "sys.exit(bool({'torch', 'librosa', 'scipy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_resampler_that_is_kept_gives_the_numbers_of_a_new_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(3):
        for rate_hz in (44_100, 48_000, 39_063, 8_000, 96_000, 11_025):
            samples = rng.uniform(-0.5, 0.5, int(rng.integers(1, 30_000))).astype(np.float32)
            result = decode(written(samples, subtype="FLOAT", rate=rate_hz), RATE).waveform
            assert np.array_equal(result, soxr.resample(samples, rate_hz, RATE, quality="HQ"))


def test_files_decoded_together_give_what_each_gives_alone(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.uniform(-0.5, 0.5, 400_000).astype(np.float32)
    cut = written(tone())
    files: list[tuple[Path | bytes, str]] = [
        (written(noise[:20_000], "FLAC", rate=44_100), "short.flac"),
        (written(noise, rate=48_000), "long.wav"),
        (b"not a sound", "broken.wav"),
        (written(np.stack([noise[:9_000], -noise[:9_000]], axis=1), subtype="FLOAT"), "cancelling.wav"),
        (written(noise[:200_000].reshape(-1, 2), rate=96_000), "stereo.wav"),
        (cut[:-400], "tail.wav"),
        (cut[: len(cut) // 2], "cut.wav"),
        (written(noise[:30_000], "OGG", "VORBIS", 32_000), "lossy.wav"),
        (written(np.array([0.1, np.inf], np.float32), subtype="FLOAT"), "infinite.wav"),
        (written(noise[:100], rate=96_000), "click.wav"),
        (tmp_path / "none.wav", "none.wav"),
    ]
    together = list(decode_all(files, RATE))
    assert [isinstance(sound, AudioError) for sound in together].count(True) == 4
    for (source, name), sound in zip(files, together, strict=True):
        if isinstance(sound, AudioError):
            with pytest.raises(type(sound)) as alone:
                decode(source, RATE, name=name)
            assert str(alone.value) == str(sound)
            continue
        decoded = decode(source, RATE, name=name)
        assert np.array_equal(sound.waveform, decoded.waveform)
        assert (sound.info, sound.content_hash) == (decoded.info, decoded.content_hash)
    assert {sound.content_hash for sound in decode_all(files[:2], RATE, hashed=None)} == {""}


def test_long_files_do_not_wait_for_each_other() -> None:
    short, long = written(tone()), written(np.tile(tone(RATE), 13), rate=RATE)
    asked: list[str] = []

    def sources() -> Iterator[tuple[bytes, str]]:
        for name, data in (("a", short), ("b", long), ("c", b"not a sound"), ("d", short), ("e", long), ("f", short)):
            asked.append(name)
            yield data, name

    together = decode_all(sources(), RATE)
    for last in "bbeeef":  # what has been asked for by the time that a, b, c, d, e and f are there
        next(together)
        assert asked[-1] == last
    assert next(together, None) is None
