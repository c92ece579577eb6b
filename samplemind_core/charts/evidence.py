"""Why an answer came about: evidence over a spectrogram, what silencing parts does, and changes of loudness.

What speaks for a class, and what gets louder, is drawn in the accent colour; what speaks against it,
and what gets quieter, in the warm one. Words beside the figures and on hover say the same.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.signals import frequency_ticks, mel_band_centres_hz
from samplemind_core.charts.style import Theme, axis, figure, palette, safe, translucent
from samplemind_core.config import FeatureConfig
from samplemind_core.errors import DataError

HEIGHT_PX = 300
_CLEAR = "rgba(0,0,0,0)"


def evidence_figure(
    log_mel: npt.ArrayLike,
    evidence: npt.ArrayLike,
    features: FeatureConfig,
    class_name: str,
    theme: Theme = "light",
    end_s: float | None = None,
) -> go.Figure:
    """Draw where the evidence for a class lies, over a faint spectrogram.

    Parameters
    ----------
    log_mel : array_like, shape (M, F)
        In dB relative to the maximum.
    evidence : array_like, shape (M, F)
        Above 0 where it speaks for the class. Drawn averaged over neighbouring cells.
    features : FeatureConfig
    class_name : str
    theme : {'light', 'dark'}
    end_s : float, optional
        Where the sound ends and padding begins; the time axis stops there.

    Raises
    ------
    DataError
        If the two are not of shape (n_mels, F).
    """
    picture, weights = _pictures(log_mel, evidence, features)
    smooth = _smooth(weights)
    # One cell in two hundred may be stronger than the scale: a lone peak would hide all the others.
    scale = float(np.quantile(np.abs(smooth), 0.995)) or float(np.abs(smooth).max()) or 1.0
    shown = np.clip(smooth / scale, -1.0, 1.0)
    said = np.where(
        smooth > 0.02 * scale, "speaks for", np.where(smooth < -0.02 * scale, "speaks against", "is neutral to")
    )
    centres_hz = mel_band_centres_hz(features)
    band, frame = np.unravel_index(int(smooth.argmax()), smooth.shape)
    alt = (
        f"Evidence for {class_name} over the spectrogram: strongest around {centres_hz[band]:,.0f} Hz "
        f"at {frame * features.hop_length / features.sample_rate_hz:.2f} s."
    )
    hover = "%{customdata} " + safe(class_name) + " around %{text} Hz at %{x:.2f} s<extra></extra>"
    return _overlay(picture, shown, said, hover, features, theme, alt, end_s)


def gain_figure(
    gains_db: npt.ArrayLike,
    log_mel: npt.ArrayLike,
    features: FeatureConfig,
    theme: Theme = "light",
    end_s: float | None = None,
    what: str = "Change",
) -> go.Figure:
    """Draw what gets louder and what quieter, over a faint spectrogram.

    Parameters
    ----------
    gains_db : array_like, shape (M, F)
    log_mel : array_like, shape (M, F)
        Of the sound before the change.
    features, theme, end_s
        As for :func:`evidence_figure`.
    what : str
        What the figure shows, in its text alternative.

    Raises
    ------
    DataError
        If the two are not of shape (n_mels, F).
    """
    picture, gains = _pictures(log_mel, gains_db, features)
    scale = max(6.0, float(np.abs(gains).max()))
    said = np.array([[f"{value:+.0f} dB".replace("-", "−") for value in row] for row in gains])
    centres_hz = mel_band_centres_hz(features)
    parts = []
    for word, sign in (("louder", 1.0), ("quieter", -1.0)):
        band, frame = np.unravel_index(int((sign * gains).argmax()), gains.shape)
        peak = float(sign * gains[band, frame])
        if peak >= 0.5:
            at_s = frame * features.hop_length / features.sample_rate_hz
            parts.append(f"up to {peak:.0f} dB {word} around {centres_hz[band]:,.0f} Hz at {at_s:.2f} s")
    alt = f"{what}: {' and '.join(parts) or 'nothing that could be heard'}."
    hover = "%{customdata} around %{text} Hz at %{x:.2f} s<extra></extra>"
    return _overlay(picture, gains / scale, said, hover, features, theme, alt, end_s)


def occlusion_figure(
    edges: npt.ArrayLike,
    drop: npt.ArrayLike,
    prob: npt.ArrayLike,
    class_name: str,
    unit: Literal["s", "Hz"],
    theme: Theme = "light",
) -> go.Figure:
    """Draw how much an answer weakens when one part of the sound after the other is silenced.

    Parameters
    ----------
    edges : array_like, shape (K, 2)
        Where each part starts and ends, in ``unit``.
    drop : array_like, shape (K,)
        Fall of the log odds of the class.
    prob : array_like, shape (K,)
        Probability of the class without the part.
    class_name : str
    unit : {'s', 'Hz'}
        Stretches of time or bands of frequencies.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the lengths differ or there are no parts.
    """
    ends, falls, left = np.asarray(edges, float), np.asarray(drop, float), np.asarray(prob, float)
    if ends.shape != (len(falls), 2) or left.shape != falls.shape or len(falls) == 0:
        raise DataError(
            f"Expected edges (K, 2), drops (K,) and probabilities (K,), got {ends.shape}, {falls.shape}, {left.shape}.",
            "Take all three from one explanation.",
        )
    colors = palette(theme)
    names = [_span(start, end, unit) for start, end in ends]
    name = safe(class_name)
    hovers = [f"Without {span}: {name} {100 * value:.0f} %" for span, value in zip(names, left, strict=True)]
    worst = int(falls.argmax())
    alt = f"Without {names[worst]} the answer {class_name} weakens most, to {100 * left[worst]:.0f} %."
    along = ends.mean(axis=1) if unit == "s" else np.arange(len(ends))
    bars = go.Bar(
        x=along,
        y=falls,
        width=(ends[:, 1] - ends[:, 0]) * 0.9 if unit == "s" else 0.9,
        marker={"color": [colors.accent if fall >= 0 else colors.warm for fall in falls], "line": {"width": 0}},
        hovertext=hovers,
        hovertemplate="%{hovertext}<extra></extra>",
    )
    if unit == "s":
        across = axis(theme, "Silenced time (s)", showgrid=False)
    else:
        every = max(1, len(ends) // 6)
        places = list(range(0, len(ends), every))
        labels = [_hz(ends[place].mean()) for place in places]
        across = axis(
            theme, "Silenced frequencies (Hz)", showgrid=False, tickmode="array", tickvals=places, ticktext=labels
        )
    low, high = min(0.0, float(falls.min())), max(0.0, float(falls.max()))
    room = 0.08 * (high - low) or 1.0
    upright = axis(theme, "Answer weakens by", range=[low - room, high + room], nticks=5, zeroline=True)
    upright |= {"zerolinecolor": colors.muted, "zerolinewidth": 1}
    return figure([bars], theme, alt, 220, xaxis=across, yaxis=upright, dragmode=False)


def _pictures(
    log_mel: npt.ArrayLike, values: npt.ArrayLike, features: FeatureConfig
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    picture, weights = np.asarray(log_mel, np.float32), np.asarray(values, np.float32)
    if picture.ndim != 2 or picture.shape[0] != features.n_mels or weights.shape != picture.shape:
        raise DataError(
            f"Expected two pictures of shape ({features.n_mels}, frames), got {picture.shape} and {weights.shape}.",
            "Take both from one explanation.",
        )
    return picture, weights


def _overlay(
    picture: npt.NDArray[np.float32],
    shown: npt.NDArray[np.float32],
    said: npt.NDArray[np.str_],
    hover: str,
    features: FeatureConfig,
    theme: Theme,
    alt: str,
    end_s: float | None,
) -> go.Figure:
    colors = palette(theme)
    num_mels, num_frames = picture.shape
    times_s = (np.arange(num_frames) * (features.hop_length / features.sample_rate_hz)).astype(np.float32)
    bands = np.arange(num_mels, dtype=np.int16)
    ticks_hz, tick_bands = frequency_ticks(features)
    under = go.Heatmap(
        x=times_s,
        y=bands,
        z=picture,
        zmin=-features.top_db,
        zmax=0.0,
        colorscale=[[0.0, colors.background], [0.35, colors.background], [1.0, translucent(colors.muted, 0.55)]],
        showscale=False,
        hoverinfo="skip",
    )
    over = go.Heatmap(
        x=times_s,
        y=bands,
        z=shown,
        zmin=-1.0,
        zmax=1.0,
        colorscale=[
            [0.0, colors.warm],
            [0.25, translucent(colors.warm, 0.5)],
            [0.47, _CLEAR],
            [0.53, _CLEAR],
            [0.75, translucent(colors.accent, 0.5)],
            [1.0, colors.accent],
        ],
        showscale=False,
        customdata=said,
        text=np.repeat([[f"{hz:,.0f}"] for hz in mel_band_centres_hz(features)], num_frames, axis=1),
        hovertemplate=hover,
    )
    end = float(times_s[-1]) if end_s is None else min(float(times_s[-1]), max(end_s, 0.05))
    return figure(
        [under, over],
        theme,
        alt,
        HEIGHT_PX,
        xaxis=axis(theme, "Time (s)", showgrid=False, range=[0.0, end]),
        yaxis=axis(
            theme,
            "Frequency (Hz)",
            showgrid=False,
            tickmode="array",
            tickvals=tick_bands,
            ticktext=[_hz(hz) for hz in ticks_hz],
            range=[-0.5, num_mels - 0.5],
        ),
    )


def _smooth(picture: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return a picture averaged over about five bands and three frames: single cells flicker."""
    result = picture
    for size, side in (((1, 4, 6, 4, 1), 0), ((1, 2, 1), 1)):
        weights = np.array(size, np.float32) / sum(size)
        reach = len(size) // 2
        padding = [(reach, reach) if place == side else (0, 0) for place in (0, 1)]
        padded = np.pad(result, padding, mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, len(size), axis=side)
        result = (windows @ weights).astype(np.float32)
    return result


def _span(start: float, end: float, unit: str) -> str:
    return f"{start:.2f} to {end:.2f} s" if unit == "s" else f"{_hz(start)} to {_hz(end)} Hz"


def _hz(hz: float) -> str:
    return f"{hz / 1000:.3g}k" if hz >= 1_000 else f"{hz:.0f}"
