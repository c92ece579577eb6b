"""Reading results: thresholds, calibration, the best of many, and two ways to split the same clips."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, mix, note, palette, safe, split_color, translucent

HEIGHT_PX = 280


class ReliabilityBin(Protocol):
    """What a bin of answers must offer; ``learn.reading.Bin`` does."""

    @property
    def confidence(self) -> float:
        """Mean confidence of its answers."""

    @property
    def accuracy(self) -> float:
        """Share of its answers that are right."""

    @property
    def num_clips(self) -> int:
        """Number of answers."""


def threshold_figure(
    thresholds: Sequence[float],
    precision: Sequence[float | None],
    recall: Sequence[float | None],
    current: float,
    label: str,
    theme: Theme = "light",
) -> go.Figure:
    """Draw precision and recall of one class by threshold, with the chosen one marked.

    Parameters
    ----------
    thresholds : sequence of float
        From 0 to 1.
    precision, recall : sequence of float or None
        Fractions; None where nothing is called so, or there is none.
    current : float
        The chosen threshold.
    label : str
        The class.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    traces = []
    shown = (("precision", precision, colors.accent, "solid"), ("recall", recall, colors.categorical[2], "dash"))
    for name, values, color, dash in shown:
        traces.append(
            go.Scatter(
                x=list(thresholds),
                y=[None if value is None else 100 * value for value in values],
                mode="lines",
                name=name,
                line={"color": color, "width": 2, "dash": dash, "shape": "hv"},
                hovertemplate=f"{name} %{{y:.0f}} % at %{{x:.2f}}<extra></extra>",
            )
        )
    place = int(np.argmin(np.abs(np.asarray(thresholds) - current)))
    at = [(name, values[place]) for name, values, *_ in shown]
    words = [f"{name} {'undefined' if value is None else f'{100 * value:.0f} %'}" for name, value in at]
    result = figure(
        traces,
        theme,
        f"Precision and recall of {label} by threshold; at {current:.2f}: {' and '.join(words)}.",
        HEIGHT_PX,
        showlegend=True,
        hovermode="x",
        dragmode=False,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, f"Threshold: call it {safe(label)} from this confidence on", range=[0, 1], fixedrange=True),
        yaxis=axis(theme, "Percent", range=[-3, 103], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
    )
    line = {"color": colors.text, "width": 1, "dash": "dot"}
    result.add_shape(type="line", x0=current, x1=current, y0=0, y1=1, yref="y domain", line=line)
    return result


def reliability_figure(bins: Sequence[ReliabilityBin], theme: Theme = "light") -> go.Figure:
    """Draw how often answers are right by how sure they are; on the diagonal, confidence keeps its word.

    Parameters
    ----------
    bins : sequence of bins
        With equally many answers each.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    diagonal = go.Scatter(
        x=[0, 100],
        y=[0, 100],
        mode="lines",
        line={"color": colors.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    dots = go.Scatter(
        x=[100 * part.confidence for part in bins],
        y=[100 * part.accuracy for part in bins],
        mode="lines+markers",
        line={"color": translucent(colors.accent, 0.5), "width": 1.5},
        marker={"color": colors.accent, "size": 10},
        hovertext=[
            f"{part.num_clips} answers, {100 * part.confidence:.0f} % sure, {100 * part.accuracy:.0f} % right"
            for part in bins
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    boldest = max(bins, key=lambda part: part.confidence)
    result = figure(
        [diagonal, dots],
        theme,
        f"Accuracy by confidence in {len(bins)} bins; the surest answers are {100 * boldest.confidence:.0f} % sure and "
        f"{100 * boldest.accuracy:.0f} % right.",
        HEIGHT_PX + 40,
        dragmode=False,
        xaxis=axis(theme, "How sure (%)", range=[15, 103], fixedrange=True),
        yaxis=axis(theme, "How often right (%)", range=[-3, 108], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
    )
    note(result, "too modest", theme, x=0.03, y=0.97, xanchor="left", yanchor="top")
    note(result, "too sure", theme, x=0.97, y=0.05, xanchor="right", yanchor="bottom")
    return result


def best_of_figure(
    counts: Sequence[int], best: Sequence[float], truth: float, current: int, theme: Theme = "light"
) -> go.Figure:
    """Draw what is reported when the best of some equally good networks is picked by the test set.

    Parameters
    ----------
    counts : sequence of int
        Numbers of networks.
    best : sequence of float
        Mean accuracy of the best of each.
    truth : float
        What all of them reach on new clips.
    current : int
        The chosen number of networks.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    test = split_color("test", theme)
    curve = go.Scatter(
        x=list(counts),
        y=[100 * value for value in best],
        mode="lines",
        line={"color": test, "width": 2.5},
        hovertemplate="best of %{x}: %{y:.1f} % reported<extra></extra>",
    )
    here = dict(zip(counts, best, strict=True))[current]
    dot = go.Scatter(x=[current], y=[100 * here], mode="markers", marker={"color": test, "size": 11}, hoverinfo="skip")
    flat = go.Scatter(
        x=[counts[0], counts[-1]],
        y=[100 * truth] * 2,
        mode="lines",
        line={"color": colors.muted, "width": 1.5, "dash": "dot"},
        hovertemplate="truly %{y:.0f} %<extra></extra>",
    )
    result = figure(
        [flat, curve, dot],
        theme,
        f"The best of {current} networks scores {100 * here:.1f} % on the test set; all are truly right on "
        f"{100 * truth:.0f} %.",
        HEIGHT_PX,
        dragmode=False,
        xaxis=axis(theme, "Networks measured on the test set", showgrid=False, fixedrange=True),
        yaxis=axis(
            theme, "Accuracy (%)", range=[100 * truth - 4, min(102.0, 100 * max(best) + 4)], nticks=6, fixedrange=True
        ),
    )
    note(result, "the truth", theme, x=counts[-1], xref="x", y=100 * truth, yref="y", xanchor="right", yshift=-10)
    return result


def split_figure(
    random: Sequence[float], grouped: Sequence[float], theme: Theme = "light", what: str = "packs"
) -> go.Figure:
    """Draw the accuracy of one baseline under two splits of the same clips: a dot for each seed, a bar for the mean.

    Parameters
    ----------
    random, grouped : sequence of float
        Accuracies, one per seed.
    theme : {'light', 'dark'}
    what : str
        What is kept whole by the second split.
    """
    colors = palette(theme)
    rows = (
        ("clips at random", random, mix(colors.border, colors.muted, 0.5)),
        (f"whole {what}", grouped, colors.accent),
    )
    traces: list[go.Bar | go.Scatter] = []
    for place, (name, values, color) in enumerate(rows):
        mean = float(np.mean(values))
        traces.append(
            go.Bar(
                x=[100 * mean],
                y=[place],
                orientation="h",
                marker={"color": translucent(color, 0.55), "cornerradius": 4},
                text=[f"<b>{100 * mean:.1f} %</b>"],
                textposition="inside",
                insidetextanchor="start",
                textfont={"size": 16, "color": colors.text},
                hovertemplate=f"split by {name}: {100 * mean:.1f} % on average<extra></extra>",
            )
        )
        lanes: npt.NDArray[np.float64] = np.linspace(-0.16, 0.16, len(values))
        traces.append(
            go.Scatter(
                x=[100 * value for value in values],
                y=(place + lanes).tolist(),
                mode="markers",
                marker={"color": colors.text, "size": 6},
                hovertemplate="%{x:.1f} % in one of the splits<extra></extra>",
            )
        )
    ticks = {"tickmode": "array", "tickvals": [0, 1], "ticktext": [name for name, *_ in rows]}
    return figure(
        traces,
        theme,
        f"The same clips and baseline: {100 * np.mean(random):.1f} % when split at random, "
        f"{100 * np.mean(grouped):.1f} % when {what} "
        "stay whole.",
        210,
        bargap=0.35,
        dragmode=False,
        xaxis=axis(theme, "Accuracy (%)", range=[0, 103], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=axis(theme, "", range=[1.6, -0.6], showgrid=False, fixedrange=True, ticksuffix=" ", **ticks),
    )
