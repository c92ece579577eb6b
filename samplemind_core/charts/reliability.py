"""Whether confidence means what it says: reliability, and how sure the answers are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, empty_figure, figure, mix, palette, plural, run_color, safe


class Bin(Protocol):
    """Clips of similar confidence; ``evaluation.calibration.ReliabilityBin`` is one."""

    @property
    def num_clips(self) -> int:
        """How many clips."""

    @property
    def confidence(self) -> float:
        """Mean confidence."""

    @property
    def accuracy(self) -> float:
        """Share that is right."""

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the accuracy."""


def reliability_figure(
    bins_by_name: Mapping[str, Sequence[Bin]], theme: Theme = "light", *, label: str | None = None
) -> go.Figure:
    """Draw accuracy against confidence; on the diagonal, confidence means what it says.

    Parameters
    ----------
    bins_by_name : mapping of str to sequence of bins
        One line a model, or before and after calibration.
    theme : {'light', 'dark'}
    label : str, optional
        The bins are about having this label, or with "" any label, instead of about being right.
    """
    right = "right" if label is None else "have it" if label == "" else f"are {safe(label)}"
    if not any(bins_by_name.values()):
        return empty_figure("Reliability appears here once clips have been classified.", theme)
    colors = palette(theme)
    traces: list[go.Scatter] = [
        go.Scatter(
            x=[0, 100], y=[0, 100], mode="lines", line={"color": colors.muted, "width": 1, "dash": "dot"},
            hoverinfo="skip", showlegend=False,
        )
    ]  # fmt: skip
    for place, (name, bins) in enumerate(bins_by_name.items()):
        color = run_color(place, theme)
        traces.append(
            go.Scatter(
                x=[100 * one.confidence for one in bins],
                y=[100 * one.accuracy for one in bins],
                mode="lines+markers",
                name=safe(name, 24),
                line={"color": mix(color, colors.background, 0.35), "width": 2},
                marker={"color": color, "size": 9, "symbol": ("circle", "diamond", "square", "triangle-up")[place % 4]},
                error_y={
                    "type": "data", "symmetric": False, "thickness": 1.5, "width": 0,
                    "color": mix(color, colors.background, 0.5),
                    "array": [100 * (one.interval[1] - one.accuracy) for one in bins],
                    "arrayminus": [100 * (one.accuracy - one.interval[0]) for one in bins],
                },
                hovertext=[
                    f"{safe(name)}: {plural(one.num_clips, 'clip')} with {100 * one.confidence:.1f} % confidence, "
                    f"{100 * one.accuracy:.1f} % of them {right}"
                    for one in bins
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    gaps = "; ".join(
        f"{name}: {100 * sum(one.num_clips * (one.confidence - one.accuracy) for one in bins) / _total(bins):+.1f} %"
        for name, bins in bins_by_name.items()
        if bins
    )
    lowest = min(min(one.confidence, one.interval[0]) for bins in bins_by_name.values() for one in bins)
    start = max(0.0, 10 * np.floor(10 * lowest) - 2)
    return figure(
        traces,
        theme,
        f"Accuracy against confidence in bins of equally many clips; mean confidence minus accuracy {gaps}.",
        340,
        dragmode=False,
        showlegend=len(bins_by_name) > 1,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, "Confidence (%)", range=[start, 102], fixedrange=True),
        yaxis=axis(theme, f"{right[0].upper()}{right[1:]} (%)", range=[start, 102], fixedrange=True),
    )


def confidence_histogram_figure(
    confidences_by_name: Mapping[str, npt.ArrayLike], theme: Theme = "light", num_bins: int = 20
) -> go.Figure:
    """Draw how many answers are given with how much confidence.

    Parameters
    ----------
    confidences_by_name : mapping of str to array_like, shape (N,)
    theme : {'light', 'dark'}
    num_bins : int
        Of equal width between 0 and 100 %.
    """
    if not confidences_by_name:
        return empty_figure("Confidence appears here once clips have been classified.", theme)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    traces, facts = [], []
    for place, (name, given) in enumerate(confidences_by_name.items()):
        sure = np.clip(np.asarray(given, dtype=np.float64), 0, 1)
        counts, _ = np.histogram(sure, edges)
        shares = 100 * counts / max(1, len(sure))
        facts.append(f"{name}: {100 * np.mean(sure >= 0.9):.0f} % above 90 %")
        traces.append(
            go.Bar(
                x=(100 * (edges[:-1] + edges[1:]) / 2).tolist(),
                y=shares.tolist(),
                name=safe(name, 24),
                marker={"color": run_color(place, theme), "line": {"width": 0}},
                hovertext=[
                    f"{safe(name)}: {plural(int(count), 'clip')} ({share:.1f} %) with {100 * low:.0f} % to "
                    f"{100 * high:.0f} %"
                    for count, share, low, high in zip(counts, shares, edges[:-1], edges[1:], strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    return figure(
        traces,
        theme,
        "How many clips are answered with how much confidence; " + "; ".join(facts) + ".",
        340,
        dragmode=False,
        showlegend=len(traces) > 1,
        bargap=0.08,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, "Confidence (%)", range=[0, 100], fixedrange=True),
        yaxis=axis(theme, "Clips (%)", fixedrange=True, rangemode="tozero"),
    )


def _total(bins: Sequence[Bin]) -> int:
    return sum(one.num_clips for one in bins)
