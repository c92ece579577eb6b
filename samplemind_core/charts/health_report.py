"""Figures of a dataset's health: what a random split pretends, what gives labels away, what sources hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from samplemind_core.charts.style import (
    Theme,
    axis,
    class_color,
    empty_figure,
    figure,
    palette,
    plural,
    safe,
)

MAX_SOURCES = 25
_ROW_PX, _FRAME_PX = 22, 72


Interval = tuple[float, float, float]
"""An accuracy and the ends of its 95 % interval, as fractions."""


def leakage_figure(naive: Interval | None, whole: Interval | None, theme: Theme = "light") -> go.Figure:
    """Draw the accuracy of a quick baseline under random and under group-safe splits.

    Parameters
    ----------
    naive, whole : tuple of float, or None
        Accuracy and the ends of its interval: folds dealt by clip, and with groups kept whole.
    theme : {'light', 'dark'}
    """
    if naive is None or whole is None:
        return empty_figure("What a random split would pretend was not measured.", theme, 150)
    colors = palette(theme)
    rows = (("groups kept whole", whole, colors.accent), ("random by clip", naive, colors.muted))
    traces = [
        go.Scatter(
            x=[middle],
            y=[name],
            error_x={
                "type": "data",
                "array": [high - middle],
                "arrayminus": [middle - low],
                "color": color,
                "thickness": 2,
                "width": 6,
            },
            mode="markers+text",
            marker={"color": color, "size": 11},
            text=[f"{100 * middle:.1f} %"],
            textposition="top center",
            hovertemplate=f"{name}: {100 * middle:.1f} %, 95 % interval {100 * low:.1f} to {100 * high:.1f} %"
            "<extra></extra>",
        )
        for name, (middle, low, high), color in rows
    ]
    lowest, highest = min(naive[1], whole[1]), max(naive[2], whole[2])
    room = max(0.02, 0.15 * (highest - lowest))
    return figure(
        traces,
        theme,
        f"Accuracy of a quick baseline: {100 * naive[0]:.1f} % with a random split, {100 * whole[0]:.1f} % with "
        "groups kept whole.",
        150,
        xaxis=axis(theme, "Accuracy of a quick baseline", range=[lowest - room, highest + room], tickformat=".0%"),
        yaxis=axis(theme, "", showgrid=False, range=[-0.6, 1.7], fixedrange=True),
    )


def shortcut_figure(alone: Mapping[str, float], chance: float, theme: Theme = "light") -> go.Figure:
    """Draw how well each fact alone tells the label, beside what guessing would give.

    Parameters
    ----------
    alone : mapping
        Balanced accuracy by the name of the fact.
    chance : float
        Balanced accuracy of guessing.
    theme : {'light', 'dark'}
    """
    if not alone:
        return empty_figure("There were too few clips to look for shortcuts.", theme, 150)
    colors = palette(theme)
    ordered = sorted(alone, key=lambda name: alone[name])
    bars = go.Bar(
        x=[alone[name] for name in ordered],
        y=[safe(name) for name in ordered],
        orientation="h",
        marker={"color": [colors.warm if alone[name] > chance + 0.1 else colors.muted for name in ordered]},
        hovertemplate="%{y} alone: %{x:.0%} balanced accuracy<extra></extra>",
    )
    best = ordered[-1]
    result = figure(
        [bars],
        theme,
        f"The most telling fact is {safe(best)}: {100 * alone[best]:.0f} % balanced accuracy alone; guessing: "
        f"{100 * chance:.0f} %.",
        _FRAME_PX + _ROW_PX * len(ordered),
        xaxis=axis(theme, "Balanced accuracy with this fact alone", range=[0, 1.03], tickformat=".0%"),
        yaxis=axis(theme, "", showgrid=False, fixedrange=True),
        bargap=0.35,
        margin={"l": 8, "r": 12, "t": 24, "b": 8},
    )
    result.add_vline(x=chance, line={"color": colors.text, "dash": "dot", "width": 1})
    result.add_annotation(
        x=chance, y=1, yref="paper", text="guessing", showarrow=False, xanchor="left", xshift=4, yanchor="bottom",
        font={"color": colors.muted},
    )  # fmt: skip
    return result


def sources_figure(
    counts: Mapping[str, Mapping[str, int]], class_names: Sequence[str], theme: Theme = "light"
) -> go.Figure:
    """Draw how many clips of each class the largest sources hold.

    Parameters
    ----------
    counts : mapping
        ``{source: {class: clips}}``.
    class_names : sequence of str
        All classes, in the order of their colours.
    theme : {'light', 'dark'}
    """
    sizes = {source: sum(inside.values()) for source, inside in counts.items()}
    if not any(sizes.values()):
        return empty_figure("There are no clips to count.", theme)
    largest = sorted(sizes, key=lambda source: (-sizes[source], source))[:MAX_SOURCES]
    shown = largest[::-1]
    traces = [
        go.Bar(
            x=[counts[source].get(name, 0) for source in shown],
            y=list(range(len(shown))),  # not the names: shortened, two of them may be alike
            customdata=[safe(source) for source in shown],
            name=safe(name, 24),
            orientation="h",
            marker={"color": class_color(index, theme)},
            hovertemplate=f"%{{customdata}}: %{{x:,}} of {safe(name)}<extra></extra>",
        )
        for index, name in enumerate(class_names)
    ]
    rest = len(sizes) - len(shown)
    more = f"; {plural(rest, 'smaller source')} not shown" if rest else ""
    return figure(
        traces,
        theme,
        f"Clips per class in {plural(len(shown), 'source')}, the largest first{more}.",
        _FRAME_PX + 30 + _ROW_PX * len(shown),
        barmode="stack",
        bargap=0.3,
        showlegend=True,
        xaxis=axis(theme, f"Clips{more}"),
        yaxis=axis(
            theme,
            "",
            showgrid=False,
            fixedrange=True,
            tickvals=list(range(len(shown))),
            ticktext=[safe(source, 28) for source in shown],
        ),
    )
