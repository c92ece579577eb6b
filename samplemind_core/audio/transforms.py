"""What happens to samples on their way: gain, pitch, tempo, codecs, old samplers, rooms and cuts.

Pure functions on batches of waveforms (B, T) float32; what is random comes from a generator, one row
of numbers per clip, so that a clip's result depends on its place in the batch and never on its
neighbours. None changes its input. All but :func:`mp3` run on any device without a loop over clips.
"""

from __future__ import annotations

import io
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.errors import AudioError, ConfigError

_VOCODER_FFT = 1_024
_LOUDEST_S = 0.05
_ORDER = 4
_MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


def gain(waveform: Tensor, gain_db: float) -> Tensor:
    """Return clips louder or quieter by ``gain_db`` dB, cut at full scale as every fixed-point file is."""
    return (require_batch(waveform) * math.pow(10.0, gain_db / 20.0)).clamp(-1.0, 1.0)


def pitch_shift(waveform: Tensor, sample_rate_hz: int, semitones: float) -> Tensor:
    """Return clips with all pitches moved by ``semitones``, of the same length and tempo.

    Stretched in time by a phase vocoder, then resampled back to the old length: transients soften,
    as they do in every sampler that works this way.
    """
    factor = 2.0 ** (semitones / 12.0)
    if not semitones:
        return require_batch(waveform)
    longer = time_stretch(waveform, 1.0 / factor)
    return _fitted(_resampled(longer, 1.0 / factor), waveform.shape[1])


def time_stretch(waveform: Tensor, rate: float) -> Tensor:
    """Return clips ``rate`` times as fast, at the same pitch; their length is divided by ``rate``.

    The phase vocoder of J. L. Flanagan and R. M. Golden (Bell System Technical Journal, 1966) with
    frames of 1,024 samples.

    Raises
    ------
    ConfigError
        If ``rate`` is not between 0.25 and 4.
    """
    clips = require_batch(waveform)
    _within("rate", rate, 0.25, 4.0, "1 leaves the tempo as it is")
    if rate == 1.0:
        return clips
    length = max(1, round(clips.shape[1] / rate))
    sounding = clips[:, : _sounding(clips)]
    hop = _VOCODER_FFT // 4
    window = torch.hann_window(_VOCODER_FFT, device=clips.device)
    # Two frames at least have to be left, however fast.
    room = max(_VOCODER_FFT, hop * (math.ceil(rate) + 1) - sounding.shape[1])
    padded = functional.pad(sounding, (0, room))
    spectrum = torch.stft(padded, _VOCODER_FFT, hop, window=window, pad_mode="constant", return_complex=True)
    num_frames = spectrum.shape[-1]
    steps = torch.arange(0, num_frames - 1, rate, device=clips.device)
    first = steps.long()
    share = steps - first
    # Each frame's size and phase once, not once for every step that looks at it.
    sizes, phases = spectrum.abs(), spectrum.angle()
    size = (1 - share) * sizes[..., first] + share * sizes[..., first + 1]
    expected = 2 * math.pi * hop * torch.arange(spectrum.shape[1], device=clips.device)[:, None] / _VOCODER_FFT
    turn = phases[..., 1:] - phases[..., :-1] - expected
    turn = turn - 2 * math.pi * torch.round(turn / (2 * math.pi)) + expected
    # Hundreds of turns add up: in single precision the phases would drift.
    total = torch.cumsum(turn[..., first[:-1]].double(), dim=-1)
    start = phases[..., :1].double()
    phase = torch.remainder(torch.cat([start, start + total], dim=-1), 2 * math.pi).float()
    sound = torch.istft(torch.polar(size, phase), _VOCODER_FFT, hop, window=window)
    return _fitted(sound, length)


def mp3(waveform: Tensor, sample_rate_hz: int, kbps: int) -> Tensor:
    """Return clips as they come back from an MP3 of about ``kbps`` kbit/s; aligned, of the same length.

    The encoder offers steps of quality rather than rates, so that the nearest one is taken.

    Raises
    ------
    ConfigError
        If ``kbps`` is not between 8 and 320.
    AudioError
        If the sample rate is none that MP3 knows.
    """
    import soundfile as sf

    clips = require_batch(waveform)
    _within("kbps", kbps, 8, 320, "128 is common")
    if sample_rate_hz not in _MP3_RATES_HZ:
        raise AudioError(
            f"MP3 knows no sample rate of {sample_rate_hz:,} Hz.",
            f"Use one of: {', '.join(map(str, _MP3_RATES_HZ))} Hz.",
        )
    # libsndfile maps its level linearly onto the bitrates of the MPEG version that the rate belongs to.
    low, high = (32, 320) if sample_rate_hz >= 32_000 else (8, 160) if sample_rate_hz >= 16_000 else (8, 64)
    level = min(0.99, max(0.0, (high - kbps) / (high - low)))
    results = []
    for clip in clips.cpu().numpy():
        buffer = io.BytesIO()
        with sf.SoundFile(
            buffer, "w", sample_rate_hz, 1, format="MP3", subtype="MPEG_LAYER_III",
            bitrate_mode="CONSTANT", compression_level=level,
        ) as file:  # fmt: skip
            file.write(clip)
        buffer.seek(0)
        decoded = sf.read(buffer, dtype="float32")[0]
        results.append(_aligned(decoded, clip))
    return torch.from_numpy(np.stack(results)).to(clips.device)


def low_pass(waveform: Tensor, sample_rate_hz: int, cutoff_hz: float) -> Tensor:
    """Return clips without what lies above ``cutoff_hz``: 24 dB per octave (Butterworth), no delay."""
    return _filtered(waveform, sample_rate_hz, cutoff_hz, 1)


def high_pass(waveform: Tensor, sample_rate_hz: int, cutoff_hz: float) -> Tensor:
    """Return clips without what lies below ``cutoff_hz``: 24 dB per octave (Butterworth), no delay."""
    return _filtered(waveform, sample_rate_hz, cutoff_hz, -1)


def old_sampler(waveform: Tensor, sample_rate_hz: int, rate_hz: int, bits: int) -> Tensor:
    """Return clips as a sampler of ``rate_hz`` and ``bits`` stores them: band-limited, then rounded.

    Raises
    ------
    ConfigError
        If the rate is above the clips' own or ``bits`` is not between 2 and 24.
    """
    clips = require_batch(waveform)
    _within("rate_hz", rate_hz, 1_000, sample_rate_hz, "Not above the clip's own")
    _within("bits", bits, 2, 24, "8 and 12 are the classics")
    slow = _resampled(clips, rate_hz / sample_rate_hz)
    steps = 2.0 ** (bits - 1)
    rounded = (slow * steps).round().clamp(-steps, steps - 1) / steps
    return _fitted(_resampled(rounded, sample_rate_hz / rate_hz), clips.shape[1])


def add_noise(waveform: Tensor, sample_rate_hz: int, noise_db: float, generator: torch.Generator) -> Tensor:
    """Return clips with white noise at ``noise_db`` dB relative to the power of their loudest 50 ms.

    The loudest moment is the reference, since the mean of a one-shot depends on how long its silence is.
    """
    clips = require_batch(waveform)
    size = loudest_power(clips, sample_rate_hz).sqrt() * math.pow(10.0, noise_db / 20.0)
    return clips + size[:, None] * _normal(clips.shape, generator, clips.device)


def loudest_power(waveform: Tensor, sample_rate_hz: int) -> Tensor:
    """Return the mean power (B,) of the loudest 50 ms of clips (B, T)."""
    length = min(waveform.shape[1], max(1, round(_LOUDEST_S * sample_rate_hz)))
    return functional.avg_pool1d(waveform.square()[:, None], length, max(1, length // 4)).amax(dim=(1, 2))


def reverb(waveform: Tensor, sample_rate_hz: int, rt60_s: float, wet_db: float, generator: torch.Generator) -> Tensor:
    """Return clips in a room: exponentially decaying noise, ``wet_db`` dB relative to the direct sound.

    J. A. Moorer's model of late reverberation (Computer Music Journal 3(2), 1979): the tail falls by
    60 dB in ``rt60_s``, each clip has a room of its own, and the result is longer by the tail.

    Raises
    ------
    ConfigError
        If ``rt60_s`` is not between 0.02 and 10.
    """
    clips = require_batch(waveform)
    _within("rt60_s", rt60_s, 0.02, 10.0, "Rooms have 0.3, halls 2")
    tail = max(1, round(rt60_s * sample_rate_hz))
    decay = 10.0 ** (-3.0 * torch.arange(tail, device=clips.device) / tail)
    room = _normal((len(clips), tail), generator, clips.device) * decay
    room = room / room.square().sum(dim=1, keepdim=True).sqrt() * 10.0 ** (wet_db / 20.0)
    size = clips.shape[1] + tail
    wet: Tensor = torch.fft.irfft(torch.fft.rfft(clips, size) * torch.fft.rfft(room, size), size)
    return functional.pad(clips, (0, tail)) + wet


def lead_silence(waveform: Tensor, sample_rate_hz: int, silence_s: float) -> Tensor:
    """Return clips that begin with ``silence_s`` seconds of digital silence; longer by as much."""
    _within("silence_s", silence_s, 0.0, 60.0, "Half a second is much")
    return functional.pad(require_batch(waveform), (round(silence_s * sample_rate_hz), 0))


def truncate(waveform: Tensor, sample_rate_hz: int, keep_s: float, fade_s: float = 0.005) -> Tensor:
    """Return the first ``keep_s`` seconds of clips, faded out at the end over ``fade_s``.

    Raises
    ------
    ConfigError
        If nothing would be left.
    """
    clips = require_batch(waveform)
    keep, fade = round(keep_s * sample_rate_hz), round(fade_s * sample_rate_hz)
    if keep < 1:
        raise ConfigError(f"Expected keep_s above 0, got {keep_s:g}.", "Keep at least some milliseconds.")
    if keep >= clips.shape[1]:
        return clips
    fade = min(fade, keep)
    ramp = torch.ones(keep, device=clips.device)
    if fade:
        ramp[keep - fade :] = torch.linspace(1.0, 0.0, fade, device=clips.device)
    return clips[:, :keep] * ramp


def require_batch(waveform: Tensor) -> Tensor:
    """Return clips (B, T); raise :class:`AudioError` if they are of another shape."""
    if waveform.ndim != 2 or waveform.shape[1] == 0:
        raise AudioError(
            f"Expected waveforms of shape (B, T), got {tuple(waveform.shape)}.", "Add the batch dimension."
        )
    return waveform


def _within(name: str, value: float, low: float, high: float, advice: str) -> None:
    if not low <= value <= high:
        raise ConfigError(f"Expected {name} from {low:g} to {high:g}, got {value:g}.", f"{advice}.")


def _sounding(clips: Tensor) -> int:
    """Return the number of samples up to the last one of a batch that is not silent; at least 1."""
    heard = clips.abs().amax(dim=0).nonzero()
    return int(heard[-1]) + 1 if len(heard) else 1


def _fitted(clips: Tensor, length: int) -> Tensor:
    """Return clips cut or padded at the end to a length."""
    short = length - clips.shape[1]
    return functional.pad(clips, (0, short)) if short > 0 else clips[:, :length]


def _resampled(clips: Tensor, factor: float) -> Tensor:
    """Return clips with ``factor`` times as many samples, band-limited by cutting or padding their spectrum."""
    margin = 512  # the spectrum wraps around: what rings past the end must not come back at the start
    size = clips.shape[1] + 2 * margin
    new = max(2, round(size * factor))
    spectrum = torch.fft.rfft(functional.pad(clips, (margin, margin)))
    bins = new // 2 + 1
    spectrum = _fitted(spectrum, bins) if spectrum.shape[1] < bins else spectrum[:, :bins]
    sound: Tensor = torch.fft.irfft(spectrum, new) * (new / size)
    start = round(margin * new / size)
    return sound[:, start : start + max(1, round(clips.shape[1] * factor))]


def _filtered(waveform: Tensor, sample_rate_hz: int, cutoff_hz: float, side: int) -> Tensor:
    clips = require_batch(waveform)
    _within("cutoff_hz", cutoff_hz, 1.0, sample_rate_hz / 2, "Not above half the sample rate")
    size = 2 * clips.shape[1]  # room for the response to ring out instead of wrapping around
    hz = torch.fft.rfftfreq(size, 1.0 / sample_rate_hz, device=clips.device)
    ratio = (hz / cutoff_hz).clamp(min=1e-9)
    response = (1.0 + ratio ** (side * 2 * _ORDER)).rsqrt()
    sound: Tensor = torch.fft.irfft(torch.fft.rfft(clips, size) * response, size)
    return sound[:, : clips.shape[1]]


def _normal(shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device).to(device)


def _aligned(decoded: np.ndarray, original: np.ndarray) -> np.ndarray:
    """Return a decoded clip without the encoder's delay, where the decoder did not remove it, in the old length."""
    reach = min(2_400, len(original) - 1, len(decoded) - 1)
    size = len(decoded) + len(original)
    spectrum = np.fft.rfft(decoded, size) * np.conj(np.fft.rfft(original, size))
    likeness = np.fft.irfft(spectrum, size)[: reach + 1]
    delay = int(likeness.argmax()) if likeness.max() > 0 else 0
    result = np.zeros(len(original), np.float32)
    part = decoded[delay : delay + len(original)]
    result[: len(part)] = part
    return result
