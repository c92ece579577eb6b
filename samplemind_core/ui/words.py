"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import datetime


def percent(fraction: float | None, digits: int = 1) -> str:
    """Return ``91.4 %`` for 0.914; an en dash where there is no number."""
    return "–" if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.{digits}f} %"


def confidence(fraction: float | None) -> str:
    """Return a confidence, never rounded to a certainty that it is not: ``99.9 %``, ``< 0.1 %``."""
    if fraction is not None and 0.9995 <= fraction < 1:
        return "> 99.9 %"
    if fraction is not None and 0 < fraction < 0.0005:
        return "< 0.1 %"
    return percent(fraction)


def in_ten(fraction: float | None) -> str:
    """Return ``9 of 10`` for 0.9, ``19 of 20`` for 0.95; percent where no small number fits."""
    if fraction is None:
        return "–"
    for total in (10, 20, 100):
        if abs(fraction * total - round(fraction * total)) < 1e-9:
            return f"{round(fraction * total)} of {total}"
    return f"{percent(fraction)} of"


def plural(number: int, noun: str) -> str:
    """Return ``1 sample``, ``1,200 samples``, ``3 classes``, ``2 copies``."""
    if number != 1:
        if noun.endswith("y") and noun[-2] not in "aeiou":
            noun = f"{noun[:-1]}ies"
        else:
            noun += "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}"


def duration(seconds: float | None) -> str:
    """Return ``3.2 s``, ``4 min 10 s`` or ``2 h 5 min``."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(num_bytes: float) -> str:
    """Return ``1.4 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.0f} {unit}" if unit == "B" else f"{num_bytes:.1f} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.1f} TB"


def when(timestamp: float | None) -> str:
    """Return a moment in the machine's own time, as ``12 Mar, 14:05``."""
    if timestamp is None:
        return "–"
    moment = datetime.fromtimestamp(timestamp)
    return f"{moment.day} {moment:%b, %H:%M}"


def setting(name: str) -> str:
    """Return a setting's name as a label: ``early_stopping_patience`` becomes ``Early stopping patience``."""
    if name in _LABELS:
        return _LABELS[name]
    stem, _, unit = name.rpartition("_")
    if stem and unit in _UNITS:
        return f"{setting(stem)} ({_UNITS[unit]})"
    return name.replace("_", " ").capitalize()


def setting_at(path: str) -> str:
    """Return a setting's dotted path as a label: ``model.dropout`` becomes ``Network dropout``."""
    section, _, name = path.rpartition(".")
    # Width or dropout alone would not say of what; a label of its own ("First weights") does.
    return f"Network {setting(name).lower()}" if section == "model" and name not in _LABELS else setting(name)


_UNITS = {"s": "s", "ms": "ms", "hz": "Hz", "db": "dB", "mb": "MiB", "gib": "GiB"}


_LABELS = {
    "lr": "Learning rate",
    "min_steps": "Least steps",
    "init": "First weights",
    "members": "Networks side by side",
    "ema_decay": "EMA decay",
    "swa_share": "SWA share",
    "tta_views": "Views per sound",
    "warmup": "Warm-up (share)",
    "warmup_epochs": "Warm-up (epochs)",
    "monitor": "Best by",
    "optimizer": "Optimiser",
    "num_devices": "Devices",
    "grad_clip": "Gradient clipping",
    "sample_rate_hz": "Sample rate (Hz)",
    "duration_s": "Window (s)",
    "n_fft": "FFT size",
    "n_mels": "Mel bands",
    "fmin_hz": "Lowest frequency (Hz)",
    "fmax_hz": "Highest frequency (Hz)",
    "top_db": "Range (dB)",
    "time_shift_ms": "Time shift (ms)",
    "freq_shift_bins": "Frequency shift (bands)",
    "freq_mask_bins": "Frequency mask (bands)",
    "time_mask_ms": "Time mask (ms)",
    "gain_db": "Gain (dB)",
    "align": "Window starts at",
    "resample_semitones": "Pitch and tempo (semitones)",
    "warp_semitones": "Pitch alone (semitones)",
    "stretch_percent": "Tempo alone (%)",
    "eq_db": "EQ (dB)",
    "decay_db_s": "Decay (dB/s)",
    "room_s": "Room (s)",
    "noise_snr_db": "Noise below maximum (dB)",
    "band_limit_hz": "Low pass from (Hz)",
    "variants": "Variants of the waveform",
    "wave_pitch_semitones": "Variants: pitch and tempo (semitones)",
    "wave_shift_ms": "Variants: time shift (ms)",
    "wave_eq_db": "Variants: EQ (dB)",
    "wave_drive_db": "Variants: saturation (dB)",
    "wave_room_s": "Variants: room (s)",
    "wave_noise_db": "Variants: noise below sound (dB)",
    "wave_band_limit_hz": "Variants: low pass from (Hz)",
    "wave_layer_db": "Variants: second sound below (dB)",
    "wave_gain_db": "Variants: gain (dB)",
    "mixup_alpha": "Mixup (alpha)",
    "mixup_share": "Mixup (share of batches)",
    "mixup_until": "Mixup until (share of epochs)",
    "name": "Network",
}


def without_name(reason: str, name: str) -> str:
    """Return why a file could not be read, for a place beside its name: without repeating it."""
    from samplemind_core.audio.decode import printable

    steps = name.split("/")
    for first in range(len(steps)):  # an archive's entry is called by its path in it
        own = f"{printable('/'.join(steps[first:]))} "
        if reason.startswith(own):
            rest = reason.removeprefix(own)
            return rest[:1].upper() + rest[1:]
    return reason
