"""Learning rates: losses side by side, the sweep of a range finder, and the rate along a run."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, ink, note, palette, run_color


def contest_figure(
    curves: Mapping[str, Sequence[tuple[int, float]]], num_steps: int, guessing: float, theme: Theme = "light"
) -> go.Figure:
    """Draw the validation loss of the same network at several learning rates.

    Parameters
    ----------
    curves : mapping of name to sequence of (step, loss)
    num_steps : int
        Where the axis ends.
    guessing : float
        Loss of guessing at random.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    top = 3.0 * guessing
    traces: list[Any] = []
    for index, (name, points) in enumerate(curves.items()):
        # What leaves the picture runs along its upper edge.
        shown = [min(loss, 0.985 * top) for _, loss in points]
        traces.append(go.Scatter(
            x=[step for step, _ in points], y=shown, mode="lines+markers" if len(points) < 2 else "lines",
            line={"color": run_color(index, theme), "width": 2.5}, customdata=[[loss] for _, loss in points],
            hovertemplate=f"{name}: %{{customdata[0]:.3g}} after step %{{x}}<extra></extra>",
        ))  # fmt: skip
    alt = "Loss on new sounds: " + ", ".join(
        f"{name} from {points[0][1]:.2f} to {points[-1][1]:.3g}" for name, points in curves.items()
    )
    result = figure(
        traces, theme, alt + ".", 330, dragmode=False, margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, "Step", range=[0, num_steps], fixedrange=True, showgrid=False, nticks=6),
        yaxis=axis(theme, "Loss on new sounds (nats)", range=[0, top], fixedrange=True, nticks=5),
    )  # fmt: skip
    result.add_shape(type="line", x0=0, x1=1, xref="paper", y0=guessing, y1=guessing, layer="below",
                     line={"color": colors.muted, "width": 1, "dash": "dot"})  # fmt: skip
    note(result, "guessing", theme, x=1, y=guessing, yref="y", xanchor="right", yanchor="bottom")
    key = "  ".join(
        f'<span style="color:{ink(run_color(index, theme), theme)}">● {name}</span>'
        for index, name in enumerate(curves)
    )
    note(result, key, theme, x=0, y=1, xanchor="left", yanchor="bottom", yshift=4)
    return result


def range_figure(
    rates: Sequence[float],
    losses: Sequence[float],
    ends: tuple[float, float],
    guessing: float,
    suggestion: float | None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the loss while the learning rate is raised, and the suggested rate.

    Parameters
    ----------
    rates, losses : sequence of float
        What was tried so far; losses in nats, smoothed.
    ends : (float, float)
        Lowest and highest rate of the sweep.
    guessing : float
        Loss of guessing at random.
    suggestion : float, optional
    theme : {'light', 'dark'}
    """  # fmt: skip
    colors = palette(theme)
    top = 2.5 * guessing
    curve = go.Scatter(
        x=list(rates), y=[min(loss, 0.985 * top) for loss in losses], mode="lines",
        line={"color": colors.accent, "width": 2.5}, hovertemplate="at %{x:.2g}: %{y:.2f}<extra></extra>",
    )  # fmt: skip
    powers = range(round(math.log10(ends[0])), round(math.log10(ends[1])) + 1)
    found = "" if suggestion is None else f" It falls fastest at {suggestion:.1e}."
    result = figure(
        [curve], theme, f"Loss while the learning rate rises, {len(rates)} steps so far.{found}", 280, dragmode=False,
        margin={"l": 8, "r": 12, "t": 28, "b": 8},
        xaxis=axis(theme, "Learning rate", type="log", range=[math.log10(end) for end in ends], fixedrange=True,
                   showgrid=False, tickmode="array", tickvals=[10.0**power for power in powers],
                   ticktext=[f"{10.0**power:g}" if power > -4 else f"1e−{-power}" for power in powers]),
        yaxis=axis(theme, "Loss (nats)", range=[0, top], fixedrange=True, nticks=5),
    )  # fmt: skip
    if suggestion is not None:
        line = {"color": colors.muted, "width": 1.5, "dash": "dot"}
        result.add_shape(type="line", x0=suggestion, x1=suggestion, y0=0, y1=1, yref="paper", line=line)
        note(result, f"falls fastest at {suggestion:.2g}", theme, x=math.log10(suggestion), xref="x", y=1,
             xanchor="center", yanchor="bottom")  # fmt: skip
    return result


def course_figure(
    courses: Mapping[str, tuple[Sequence[float], Sequence[float]]], chosen: str, theme: Theme = "light"
) -> go.Figure:
    """Draw the learning rate along a run for several schedules, one of them in front.

    Parameters
    ----------
    courses : mapping of name to (epochs, learning rates)
    chosen : str
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    traces = [
        go.Scatter(x=list(epochs), y=list(rates), mode="lines", hoverinfo="skip" if name != chosen else None,
                   line={"color": colors.accent if name == chosen else colors.border,
                         "width": 3 if name == chosen else 1.5},
                   hovertemplate=None if name != chosen else "epoch %{x:.1f}: %{y:.2g}<extra></extra>")
        for name, (epochs, rates) in sorted(courses.items(), key=lambda item: item[0] == chosen)
    ]  # fmt: skip
    rates = courses[chosen][1]
    return figure(
        traces, theme,
        f"Learning rate, schedule {chosen}: from {rates[0]:.2g}, at most {max(rates):.2g}, to {rates[-1]:.2g}.",
        280, dragmode=False,
        xaxis=axis(theme, "Epoch", fixedrange=True, showgrid=False, nticks=7),
        yaxis=axis(theme, "Learning rate", fixedrange=True, rangemode="tozero", nticks=5),
    )  # fmt: skip
