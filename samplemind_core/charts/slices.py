"""Accuracy by what clips share, with intervals; small slices are grey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, empty_figure, figure, mix, palette, plural, safe


class SliceLike(Protocol):
    """What a slice must offer; ``evaluation.slices.Slice`` does."""

    @property
    def value(self) -> str:
        """What the clips share."""

    @property
    def num_clips(self) -> int:
        """How many clips."""

    @property
    def accuracy(self) -> float:
        """Share that is right."""

    @property
    def interval(self) -> tuple[float, float]:
        """Interval of the accuracy."""

    @property
    def small(self) -> bool:
        """Whether there are too few clips to say much."""


def slice_figure(
    slices: Sequence[SliceLike], overall: float, theme: Theme = "light", most: int = 30, score: str = "Accuracy"
) -> go.Figure:
    """Draw the accuracy, or another score, of slices as dots with intervals, beside a line for all clips together.

    Parameters
    ----------
    slices : sequence of slices
        In the order they are drawn, from the top.
    overall : float
        Accuracy of all clips, as a fraction.
    theme : {'light', 'dark'}
    most : int
        Slices that are drawn at most.
    score : str
        What ``accuracy`` holds.
    """
    shown = list(slices[:most])
    if not shown:
        return empty_figure("There is nothing to slice these clips by.", theme)
    colors = palette(theme)
    inks = [mix(colors.muted, colors.background, 0.4) if one.small else colors.accent for one in shown]
    right = score == "Accuracy"
    sentences = [
        f"{safe(one.value, 60)}: {100 * one.accuracy:.1f} % "
        + (f"of {plural(one.num_clips, 'clip')} right " if right else f"on {plural(one.num_clips, 'clip')} ")
        + f"({100 * one.interval[0]:.0f} % to {100 * one.interval[1]:.0f} %)"
        for one in shown
    ]
    traces = [
        go.Scatter(
            x=[100 * end for end in one.interval], y=[place, place], mode="lines", hoverinfo="skip",
            line={"color": mix(ink, colors.background, 0.5), "width": 2},
        )
        for place, (one, ink) in enumerate(zip(shown, inks, strict=True))
    ]  # fmt: skip
    traces.append(
        go.Scatter(
            x=[100 * one.accuracy for one in shown],
            y=list(range(len(shown))),
            mode="markers",
            cliponaxis=False,  # on a narrow screen the room beside 0 and 100 % is less than half a dot
            marker={"color": inks, "size": 10, "line": {"width": 0}},
            hovertext=sentences,
            hovertemplate="%{hovertext}<extra></extra>",
        )
    )
    worst = next((one for one in shown if not one.small), shown[0])
    labels = [f"{safe(one.value, 24)} · {one.num_clips:,}" for one in shown]
    return figure(
        traces,
        theme,
        f"{score} by slice, {100 * overall:.1f} % over all clips; lowest for {worst.value} with "
        f"{100 * worst.accuracy:.1f} % of "
        f"{plural(worst.num_clips, 'clip')}.",
        26 * len(shown) + 76,
        dragmode=False,
        hovermode="closest",
        shapes=[{"type": "line", "x0": 100 * overall, "x1": 100 * overall, "y0": 0, "y1": 1, "yref": "paper",
                 "line": {"color": colors.muted, "width": 1, "dash": "dot"}}],
        xaxis=axis(theme, "Right (%)" if right else f"{score} (%)", range=[-1, 101], fixedrange=True),
        yaxis=axis(theme, "", tickmode="array", tickvals=list(range(len(shown))), ticktext=labels, showgrid=False,
                   range=[len(shown) - 0.5, -0.5], fixedrange=True, ticksuffix=" "),
    )  # fmt: skip
