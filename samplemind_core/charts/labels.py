"""Several labels: how sure a model is of each and from where on it is named; what thresholds do to each label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import plotly.graph_objects as go

from samplemind_core.charts.confidence import class_axis, percent
from samplemind_core.charts.style import (
    LABEL_SIZE_PX,
    Theme,
    axis,
    class_color,
    empty_figure,
    figure,
    mix,
    palette,
    safe,
)
from samplemind_core.errors import DataError

_TEXT = 0.25
"""How far a share's text reaches along the axis, on a narrow screen."""


class LabelCounts(Protocol):
    """What a label's report must offer; ``evaluation.multi_label.LabelReport`` does."""

    @property
    def label(self) -> str:
        """Name of the label."""

    @property
    def found(self) -> int:
        """Clips that have it and are given it."""

    @property
    def missed(self) -> int:
        """Clips that have it and are not given it."""

    @property
    def wrong(self) -> int:
        """Clips that do not have it and are given it."""


def label_confidence_figure(
    probs: Mapping[str, float], thresholds: Mapping[str, float], theme: Theme = "light"
) -> go.Figure:
    """Draw a bar for each label, the surest first, with a mark where it begins to be named.

    Parameters
    ----------
    probs : mapping of str to float
        Confidence of each label, a fraction, in the order that gives the classes their colours.
    thresholds : mapping of str to float
        From which confidence on each is named.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the two are not about the same labels.
    """
    if set(probs) != set(thresholds):
        raise DataError(
            f"Expected a threshold for each label ({', '.join(probs)}), got {', '.join(thresholds)}.",
            "Use the thresholds that are stored with the checkpoint.",
        )
    if not probs:
        return empty_figure("There is no confidence to show for this clip.", theme)
    colors = palette(theme)
    places = {name: place for place, name in enumerate(probs)}
    names = sorted(probs, key=lambda name: -probs[name])
    named = {name for name in names if probs[name] >= thresholds[name]}
    quiet = mix(colors.border, colors.muted, 0.35)
    bars = go.Bar(
        x=[100 * probs[name] for name in names],
        y=list(range(len(names))),
        orientation="h",
        marker={
            "color": [class_color(places[name], theme) if name in named else quiet for name in names],
            "line": {"width": 0},
            "cornerradius": 4,
        },
        customdata=names,
        hovertext=[f"{safe(name)}: {percent(probs[name])}, named from {percent(thresholds[name])}" for name in names],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverlabel={"bgcolor": colors.surface},
    )
    marks = go.Scatter(
        x=[100 * thresholds[name] for name in names],
        y=list(range(len(names))),
        mode="markers",
        marker={"symbol": "line-ns", "size": 20, "line": {"width": 2, "color": colors.text}},
        hovertext=[f"{safe(name)} is named from {percent(thresholds[name])}" for name in names],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverlabel={"bgcolor": colors.surface},
    )
    # Beyond the mark where that would stand in the text's way.
    ends = [
        max(probs[name], thresholds[name]) if thresholds[name] - probs[name] < _TEXT else probs[name] for name in names
    ]
    shares = go.Scatter(
        x=[100 * end for end in ends],
        y=list(range(len(names))),
        mode="text",
        text=[f"  {percent(probs[name])}" for name in names],
        textposition="middle right",
        textfont={"size": LABEL_SIZE_PX, "color": [colors.text if name in named else colors.muted for name in names]},
        cliponaxis=False,
        hoverinfo="skip",
    )
    said = ", ".join(f"{name} {percent(probs[name])}" for name in names if name in named)
    nearest = f"{names[0]} comes first with {percent(probs[names[0]])}"
    alt = f"Confidence by label. Named: {said}." if said else f"Confidence by label. None is named; {nearest}."
    return figure(
        [bars, marks, shares],
        theme,
        alt,
        max(160, 30 * len(names) + 64),
        bargap=0.32,
        dragmode=False,
        hovermode="closest",
        margin={"l": 8, "r": 52, "t": 8, "b": 8},
        xaxis=axis(theme, "Confidence (%)", range=[0, 100], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=class_axis(names, theme),
    )


def label_counts_figure(reports: Sequence[LabelCounts], theme: Theme = "light") -> go.Figure:
    """Draw for each label how many of its clips are found and missed, and how many others are given it.

    Parameters
    ----------
    reports : sequence of label reports
    theme : {'light', 'dark'}
    """
    if not reports:
        return empty_figure("Counts by label appear here once a checkpoint has been evaluated.", theme)
    colors = palette(theme)
    rows = list(range(len(reports)))
    parts = (
        ("found", [row.found for row in reports], colors.accent),
        ("missed", [row.missed for row in reports], mix(colors.muted, colors.background, 0.4)),
        ("named wrongly", [-row.wrong for row in reports], colors.warm),
    )
    traces = [
        go.Bar(
            x=counts,
            y=rows,
            orientation="h",
            name=name,
            marker={"color": color, "line": {"width": 0}, "cornerradius": 3},
            hovertext=[f"{safe(row.label)}: {abs(count):,} {name}" for row, count in zip(reports, counts, strict=True)],
            hovertemplate="%{hovertext}<extra></extra>",
        )
        for name, counts, color in parts
    ]
    left, right = max(row.wrong for row in reports), max(row.found + row.missed for row in reports)
    step = _tick(max(left, right, 1))
    ticks = list(range(-step * (left // step + (1 if left else 0)), right + step, step))
    worst = max(reports, key=lambda row: row.missed + row.wrong)
    return figure(
        traces,
        theme,
        f"Clips by label: most mistakes for {worst.label}, {worst.missed:,} missed and {worst.wrong:,} named wrongly.",
        max(180, 34 * len(reports) + 92),
        barmode="relative",
        bargap=0.36,
        dragmode=False,
        hovermode="closest",
        showlegend=True,
        margin={"l": 8, "r": 20, "t": 30, "b": 8},
        xaxis=axis(
            theme,
            "Samples",
            fixedrange=True,
            tickvals=ticks,
            ticktext=[f"{abs(tick):,}" for tick in ticks],
        ),
        yaxis=class_axis([row.label for row in reports], theme),
    )


def _tick(largest: int) -> int:
    """Return a round step that gives a few ticks."""
    step = 1
    while largest / step > 6:
        step = step * 5 if str(step)[0] == "1" and largest / step > 12 else step * 2
    return step
