"""What the network hears: the waveform, the log-mel picture of it, and how the clips spread over classes."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import (
    SPLIT_NAMES,
    Theme,
    axis,
    empty_figure,
    figure,
    note,
    palette,
    plural,
    safe,
    split_color,
    text_on,
    translucent,
)
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import ConfigError, DataError

MAX_POINTS = 2_000

# Lightness runs one way from silence to the loudest cell; silence is the page's own colour.
LOUDNESS = {
    "light": ("#FBFBFD", "#DDDCF6", "#A9A7E8", "#6E6CD9", "#43389F", "#1A1446"),
    "dark": ("#111116", "#29225E", "#5A4BC0", "#A06BD8", "#F29A8B", "#FFE9B0"),
}
_ROUND_HZ = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000)
# Slaney's mel scale: linear up to 1 kHz, then 27 steps to each factor of 6.4.
_LINEAR_HZ_PER_MEL = 200.0 / 3.0
_BREAK_HZ = 1_000.0
_LOG_STEP = math.log(6.4) / 27.0


def waveform_figure(
    waveform: npt.ArrayLike,
    sample_rate_hz: int,
    window: tuple[float, float] | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a waveform, however long, by the extremes of at most 1,000 stretches.

    Parameters
    ----------
    waveform : array_like, shape (T,)
        Full scale is 1.
    sample_rate_hz : int
    window : (start_s, end_s), optional
        The part that the network sees; shaded.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the waveform has more than one dimension.
    ConfigError
        If the sample rate is not positive or the window ends before it starts.
    """
    samples = np.asarray(waveform, dtype=np.float32)
    if samples.ndim != 1:
        raise DataError(f"Expected a mono waveform of shape (samples,), got {samples.shape}.", "Mix it to mono.")
    if sample_rate_hz <= 0:
        raise ConfigError(f"sample_rate_hz must be positive, got {sample_rate_hz}.", "Pass the clip's own rate.")
    if window is not None and not window[0] <= window[1]:
        raise ConfigError(f"A window must end after it starts, got {window[0]} to {window[1]} s.", "Swap the ends.")
    if not np.isfinite(samples).any():
        return empty_figure("There is no sound in this clip to draw.", theme, 180)
    colors = palette(theme)
    times, heights = _envelope(samples, sample_rate_hz)
    duration_s, peak = len(samples) / sample_rate_hz, float(np.nanmax(np.abs(samples)))
    trace = go.Scatter(
        x=times,
        y=heights,
        mode="lines" if len(times) > 1 else "markers",
        line={"color": colors.accent, "width": 1},
        marker={"color": colors.accent, "size": 6},
        hovertemplate="amplitude %{y:.2f} at %{x:.3f} s<extra></extra>",
    )
    limit = max(1.0, peak) * 1.05
    alt = f"Waveform of {duration_s:.2f} s with a peak of {peak:.2f} of full scale"
    if window is not None:
        alt += f"; the network sees {window[0]:.2f} to {window[1]:.2f} s"
    end = max(duration_s, window[1] if window else 0.0)
    result = figure(
        [trace],
        theme,
        alt + ".",
        180,
        hovermode="x",
        margin={"l": 8, "r": 12, "t": 24 if window else 8, "b": 8},
        xaxis=axis(theme, "Time (s)", range=[min(0.0, window[0] if window else 0.0), end], showgrid=False),
        yaxis=axis(theme, "Amplitude", range=[-limit, limit], tickvals=[-1, 0, 1], fixedrange=True),
    )
    if window is not None:
        shade = {"fillcolor": translucent(colors.accent, 0.1), "line": {"width": 0}, "layer": "below"}
        result.add_shape(type="rect", x0=window[0], x1=window[1], y0=0, y1=1, yref="y domain", **shade)
        where = {"x": window[0], "xref": "x", "y": 1, "yref": "y domain", "xanchor": "left", "yanchor": "bottom"}
        note(result, "what the network sees", theme, **where)
    return result


def _envelope(
    samples: npt.NDArray[np.float32], sample_rate_hz: int
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return times in s and heights: the samples, or each stretch's lowest and highest."""
    if len(samples) <= MAX_POINTS:
        return (np.arange(len(samples)) / sample_rate_hz).astype(np.float32), samples
    edges = np.linspace(0, len(samples), MAX_POINTS // 2 + 1).astype(np.int64)
    # fmin and fmax pass over NaN, so that one broken sample does not hide its whole stretch.
    extremes = np.stack([np.fmin.reduceat(samples, edges[:-1]), np.fmax.reduceat(samples, edges[:-1])], axis=1)
    middles = (edges[:-1] + edges[1:]) / (2 * sample_rate_hz)
    return np.repeat(middles, 2).astype(np.float32), extremes.reshape(-1)


def log_mel_figure(log_mel: npt.ArrayLike, features: FeatureConfig, theme: Theme = "light") -> go.Figure:
    """Draw a log-mel spectrogram.

    Parameters
    ----------
    log_mel : array_like, shape (M, F)
        In dB relative to the clip's maximum, as the network sees it.
    features : FeatureConfig
        The settings that it was made with.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the shape is not (n_mels, F).
    """
    picture = np.asarray(log_mel, dtype=np.float32)
    if picture.ndim != 2 or picture.shape[0] != features.n_mels:
        raise DataError(
            f"Expected a log-mel of shape ({features.n_mels}, frames), got {picture.shape}.",
            "Pass one clip's picture with the settings that it was made with.",
        )
    finite = picture[np.isfinite(picture)]
    if finite.size == 0:
        return empty_figure("There is no picture of this clip to draw.", theme, 260)
    centres_hz = mel_band_centres_hz(features)
    num_frames = picture.shape[1]
    times_s = np.arange(num_frames) * (features.hop_length / features.sample_rate_hz)
    ticks_hz, tick_bands = frequency_ticks(features)
    heatmap = go.Heatmap(
        x=times_s.astype(np.float32),
        y=np.arange(features.n_mels, dtype=np.int16),
        z=picture,
        customdata=np.repeat(np.rint(centres_hz).astype(np.uint16)[:, None], num_frames, axis=1),
        zmin=min(-features.top_db, float(finite.min())),
        zmax=max(0.0, float(finite.max())),
        colorscale=[[i / 5, color] for i, color in enumerate(LOUDNESS[theme])],
        colorbar={
            "title": {"text": "Level (dB)", "side": "right", "font": {"size": 12, "color": palette(theme).muted}},
            "tickfont": {"size": 12, "color": palette(theme).muted},
            "thickness": 8,
            "outlinewidth": 0,
            "ticks": "",
            "nticks": 5,
            "x": 1.01,
            "xpad": 4,
        },
        hovertemplate="%{z:.0f} dB around %{customdata:,} Hz at %{x:.2f} s<extra></extra>",
    )
    loudest = np.unravel_index(int(np.where(np.isfinite(picture), picture, -np.inf).argmax()), picture.shape)
    alt = (
        f"Log-mel spectrogram of {num_frames * features.hop_length / features.sample_rate_hz:.2f} s; "
        f"loudest around {centres_hz[loudest[0]]:,.0f} Hz at {times_s[loudest[1]]:.2f} s."
    )
    return figure(
        [heatmap],
        theme,
        alt,
        260,
        xaxis=axis(theme, "Time (s)", showgrid=False),
        yaxis=axis(
            theme,
            "Frequency (Hz)",
            showgrid=False,
            tickmode="array",
            tickvals=tick_bands,
            ticktext=[f"{hz // 1000}k" if hz >= 1000 else str(hz) for hz in ticks_hz],
        ),
    )


def frequency_ticks(features: FeatureConfig) -> tuple[list[int], list[float]]:
    """Return round frequencies in Hz and where they lie among the bands, none closer than a line of text."""
    lowest_mel, highest_mel = hz_to_mel(features.fmin_hz), hz_to_mel(features.max_hz)
    per_band = (highest_mel - lowest_mel) / (features.n_mels + 1)
    ticks_hz: list[int] = []
    bands: list[float] = []
    for hz in reversed(_ROUND_HZ):
        band = (hz_to_mel(hz) - lowest_mel) / per_band - 1
        fits = not bands or bands[-1] - band >= 0.07 * features.n_mels
        if 0 <= band <= features.n_mels - 1 and fits:
            ticks_hz.append(hz)
            bands.append(band)
    return ticks_hz, bands


def hz_to_mel(frequency_hz: float) -> float:
    """Return a frequency on Slaney's mel scale (Auditory Toolbox, 1998)."""
    if frequency_hz < _BREAK_HZ:
        return frequency_hz / _LINEAR_HZ_PER_MEL
    return _BREAK_HZ / _LINEAR_HZ_PER_MEL + math.log(frequency_hz / _BREAK_HZ) / _LOG_STEP


def mel_to_hz(mel: float) -> float:
    """Return the frequency in Hz of a point on Slaney's mel scale."""
    break_mel = _BREAK_HZ / _LINEAR_HZ_PER_MEL
    if mel < break_mel:
        return mel * _LINEAR_HZ_PER_MEL
    return _BREAK_HZ * math.exp((mel - break_mel) * _LOG_STEP)


def mel_band_centres_hz(features: FeatureConfig) -> npt.NDArray[np.float64]:
    """Return the centre frequency of each mel band, shape (n_mels,), in Hz."""
    edges = np.linspace(hz_to_mel(features.fmin_hz), hz_to_mel(features.max_hz), features.n_mels + 2)
    return np.array([mel_to_hz(float(mel)) for mel in edges[1:-1]])


def class_balance_figure(counts: Mapping[str, Mapping[str, int]], theme: Theme = "light") -> go.Figure:
    """Draw the number of clips per class as bars, stacked by split.

    Parameters
    ----------
    counts : mapping of class name to mapping of split to number of clips
        Splits besides train, val and test are drawn in a muted colour.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If a count is negative.
    """
    names = list(counts)
    totals = [sum(counts[name].values()) for name in names]
    if any(number < 0 for splits in counts.values() for number in splits.values()):
        raise DataError("Expected numbers of clips per class and split, got a negative one.", "Count again.")
    if not any(totals):
        return empty_figure("The classes and their clips appear here after an import.", theme)
    colors = palette(theme)
    others = sorted({split for splits in counts.values() for split in splits} - set(SPLIT_NAMES))
    traces = []
    for split in [*SPLIT_NAMES, *others]:
        numbers = [counts[name].get(split, 0) for name in names]
        if not any(numbers):
            continue
        color, word = split_color(split, theme), SPLIT_NAMES.get(split, safe(split))
        traces.append(
            go.Bar(
                x=numbers,
                y=list(range(len(names))),
                orientation="h",
                name=word,
                marker={"color": color, "line": {"width": 1, "color": colors.background}},
                text=[f"{number:,}" if number else "" for number in numbers],
                textposition="inside",
                insidetextanchor="middle",
                constraintext="inside",
                textangle=0,
                textfont={"size": 12, "color": text_on(color, theme)},
                customdata=[[name, split] for name in names],
                hovertext=[
                    f"{plural(number, f'{safe(name)} clip')} of {total:,} in {word}"
                    for name, number, total in zip(names, numbers, totals, strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
                hoverlabel={"bgcolor": colors.surface},
            )
        )
    fewest, most = min(range(len(names)), key=totals.__getitem__), max(range(len(names)), key=totals.__getitem__)
    alt = (
        f"{plural(sum(totals), 'clip')} in {plural(len(names), 'class')}: "
        f"most in {names[most]} ({totals[most]:,}), fewest in {names[fewest]} ({totals[fewest]:,})."
    )
    result = figure(
        traces,
        theme,
        alt,
        max(200, 34 * len(names) + 96),
        barmode="stack",
        bargap=0.3,
        dragmode=False,
        showlegend=True,
        margin={"l": 8, "r": 44, "t": 30, "b": 8},
        uniformtext={"minsize": 10, "mode": "hide"},
        xaxis=axis(theme, "Clips", rangemode="tozero", tickformat=",d", nticks=6, fixedrange=True),
        yaxis=axis(
            theme,
            "Class",
            tickmode="array",
            tickvals=list(range(len(names))),
            ticktext=[safe(name, 18) for name in names],
            tickfont={"size": 13, "color": colors.text},
            range=[len(names) - 0.5, -0.5],
            showgrid=False,
            fixedrange=True,
            ticksuffix=" ",
        ),
    )
    for place, total in enumerate(totals):
        where = {"x": total, "xref": "x", "y": place, "yref": "y", "xanchor": "left", "xshift": 4}
        note(result, f"{total:,}", theme, **where)
    return result
