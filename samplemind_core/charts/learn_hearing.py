"""The stages of the front end: the spectrum as it is, and the mel bands before the step to decibels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.signals import LOUDNESS, frequency_ticks
from samplemind_core.charts.style import Theme, axis, empty_figure, figure
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError

HEIGHT_PX = 240
_MOST_ROWS, _MOST_COLUMNS = 160, 200
_RANGE_DB = 80.0


def spectrum_figure(power: npt.ArrayLike, features: FeatureConfig, theme: Theme = "light") -> go.Figure:
    """Draw the power of an STFT in dB below its maximum, on a linear frequency axis.

    Parameters
    ----------
    power : array_like, shape (1 + n_fft // 2, frames)
    features : FeatureConfig
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the number of frequencies does not belong to the settings.
    """
    values = np.asarray(power, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != 1 + features.n_fft // 2:
        raise DataError(
            f"Expected a spectrum of {1 + features.n_fft // 2} frequencies, got shape {values.shape}.",
            "Pass the settings that it was made with.",
        )
    if not values.any():
        return empty_figure("There is no sound in this clip to draw.", theme, HEIGHT_PX)
    drawn = _pooled(values)
    level_db = np.maximum(10 * np.log10(np.maximum(drawn / drawn.max(), 1e-20)), -_RANGE_DB)
    hz = np.linspace(0, features.sample_rate_hz / 2, drawn.shape[0])
    loudest = features.sample_rate_hz * int(values.max(axis=1).argmax()) / features.n_fft
    alt = (
        f"Spectrum: {values.shape[0]:,} frequencies by {values.shape[1]:,} frames, evenly spaced in Hz; "
        f"loudest at {loudest:,.0f} Hz."
    )
    return figure(
        [_heatmap(level_db, _seconds(drawn, values, features), hz / 1_000, theme, "%{z:.0f} dB at %{y:.2f} kHz")],
        theme,
        alt,
        HEIGHT_PX,
        xaxis=axis(theme, "Time (s)", showgrid=False),
        yaxis=axis(theme, "Frequency (kHz)", showgrid=False),
    )


def mel_power_figure(mel: npt.ArrayLike, features: FeatureConfig, theme: Theme = "light") -> go.Figure:
    """Draw the power in mel bands as it is, before decibels: shares of the loudest cell.

    Parameters
    ----------
    mel : array_like, shape (n_mels, frames)
    features : FeatureConfig
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the number of bands does not belong to the settings.
    """
    values = np.asarray(mel, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != features.n_mels:
        raise DataError(
            f"Expected {features.n_mels} mel bands, got shape {values.shape}.",
            "Pass the settings that they were made with.",
        )
    if not values.any():
        return empty_figure("There is no sound in this clip to draw.", theme, HEIGHT_PX)
    shares = values / values.max()
    visible = float((shares > 0.01).mean())
    ticks_hz, tick_bands = frequency_ticks(features)
    alt = (
        f"Power in {values.shape[0]} mel bands by {values.shape[1]:,} frames: only {100 * visible:.1f} % of the "
        "cells reach a hundredth of the loudest."
    )
    seconds = np.arange(values.shape[1]) * (features.hop_length / features.sample_rate_hz)
    trace = _heatmap(shares, seconds, np.arange(features.n_mels), theme, "%{z:.1%} of the loudest")
    return figure(
        [trace],
        theme,
        alt,
        HEIGHT_PX,
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


def _pooled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the maxima of equal stretches: no more cells than a screen shows, and no peak lost."""
    rows = np.linspace(0, values.shape[0], min(_MOST_ROWS, values.shape[0]) + 1).astype(int)[:-1]
    columns = np.linspace(0, values.shape[1], min(_MOST_COLUMNS, values.shape[1]) + 1).astype(int)[:-1]
    return np.maximum.reduceat(np.maximum.reduceat(values, rows, axis=0), columns, axis=1)


def _seconds(
    drawn: npt.NDArray[np.float64], values: npt.NDArray[np.float64], features: FeatureConfig
) -> npt.NDArray[np.float64]:
    end_s = (values.shape[1] - 1) * features.hop_length / features.sample_rate_hz
    return np.linspace(0, end_s, drawn.shape[1])


def _heatmap(
    z: npt.NDArray[np.float64],
    x: npt.NDArray[Any],
    y: npt.NDArray[Any],
    theme: Theme,
    hover: str,
) -> go.Heatmap:
    return go.Heatmap(
        x=x.astype(np.float32),
        y=y.astype(np.float32),
        z=z.astype(np.float32),
        colorscale=[[i / 5, color] for i, color in enumerate(LOUDNESS[theme])],
        showscale=False,
        hovertemplate=f"{hover}, %{{x:.2f}} s<extra></extra>",
    )
