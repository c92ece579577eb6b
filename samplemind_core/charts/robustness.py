"""What an answer withstands: all changes at a glance, and one of them step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from samplemind_core.charts.style import (
    Theme,
    axis,
    class_color,
    empty_figure,
    figure,
    note,
    palette,
    safe,
    translucent,
)
from samplemind_core.errors import DataError


def withstood_figure(
    titles: Sequence[str],
    labels: Sequence[Sequence[str]],
    accuracies: Sequence[Sequence[float]],
    clean: float,
    clean_interval: tuple[float, float],
    theme: Theme = "light",
    score: str = "Accuracy",
) -> go.Figure:
    """Draw the accuracy, or another score, at every level of every change, one row for each, the most harmful on top.

    Parameters
    ----------
    titles : sequence of str, length P
        What is changed.
    labels : sequence of sequence of str
        Levels of each change in words.
    accuracies : sequence of sequence of float
        Fractions, as many as there are levels.
    clean : float
        Accuracy on the unchanged clips, drawn as a line with its interval.
    clean_interval : (low, high)
    theme : {'light', 'dark'}
    score : str
        What the fractions are.

    Raises
    ------
    DataError
        If the lengths differ.
    """
    if not len(titles) == len(labels) == len(accuracies) or any(
        len(some) != len(other) or not some for some, other in zip(labels, accuracies, strict=False)
    ):
        raise DataError("Expected as many accuracies as levels for every change.", "Take them from one measurement.")
    if not titles:
        return empty_figure("What the network withstands appears here once it was measured.", theme)
    order = sorted(range(len(titles)), key=lambda row: min(accuracies[row]))
    colors = palette(theme)
    said = "{:.1f} % right" if score == "Accuracy" else score.lower() + " {:.1f} %"
    lines, points = (
        [],
        go.Scatter(x=[], y=[], mode="markers", hovertemplate="%{hovertext}<extra></extra>", showlegend=False),
    )
    x: list[float] = []
    y: list[int] = []
    hover: list[str] = []
    custom: list[list[int]] = []
    for place, row in enumerate(order):
        shares = list(accuracies[row])
        lines.append(
            go.Scatter(
                x=[min(*shares, clean), max(*shares, clean)],
                y=[place, place],
                mode="lines",
                line={"color": translucent(colors.muted, 0.4), "width": 2},
                hoverinfo="skip",
            )
        )
        for level, (label, share) in enumerate(zip(labels[row], shares, strict=True)):
            x.append(100 * share)
            y.append(place)
            hover.append(f"{safe(titles[row])} {safe(label)}: {said.format(100 * share)}")
            custom.append([row, level])
    for line in lines:
        line.x = [100 * share for share in line.x]
    low, high = clean_interval
    points.update(
        x=x,
        y=y,
        hovertext=hover,
        customdata=custom,
        marker={
            "size": 10,
            "color": [colors.warm if share < 100 * low else colors.accent for share in x],
            "symbol": ["diamond" if share < 100 * low else "circle" for share in x],
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    worst = order[0]
    level = int(np.argmin(accuracies[worst]))
    alt = (
        f"{score} under {len(titles)} changes, {100 * clean:.1f} % without any: worst under {titles[worst]} "
        f"{labels[worst][level]} with {100 * accuracies[worst][level]:.1f} %."
    )
    result = figure(
        [*lines, points],
        theme,
        alt,
        max(240, 34 * len(titles) + 80),
        hovermode="closest",
        clickmode="event+select",
        dragmode=False,
        margin={"l": 8, "r": 16, "t": 28, "b": 8},
        xaxis=axis(theme, f"{score} (%)", range=[0, 102]),
        yaxis=axis(
            theme,
            "",
            tickmode="array",
            tickvals=list(range(len(order))),
            ticktext=[safe(titles[row], 22) for row in order],
            range=[len(order) - 0.5, -0.5],
            showgrid=False,
            ticksuffix=" ",
        ),
    )
    result.add_shape(
        type="rect", x0=100 * low, x1=100 * high, y0=0, y1=1, yref="y domain",
        fillcolor=translucent(colors.accent, 0.12), line={"width": 0}, layer="below",
    )  # fmt: skip
    result.add_shape(
        type="line", x0=100 * clean, x1=100 * clean, y0=0, y1=1, yref="y domain",
        line={"color": colors.accent, "width": 1.5},
    )  # fmt: skip
    note(result, "clean", theme, x=100 * clean, xref="x", y=1, yref="y domain", xanchor="center", yanchor="bottom")
    return result


def withstood_curve_figure(
    labels: Sequence[str],
    accuracy: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    recall: Mapping[str, Sequence[float | None]],
    clean_at: int,
    theme: Theme = "light",
    title: str = "",
    score: str = "Accuracy",
    by_class: str = "Right, and found per class",
) -> go.Figure:
    """Draw accuracy and each class's recall, or other scores, along the levels of one change.

    Parameters
    ----------
    labels : sequence of str, length L
        The levels in words, the clean clip among them.
    accuracy : sequence of float, length L
    intervals : sequence of (low, high), length L
        95 % intervals of the accuracy.
    recall : mapping of class name to sequence of float or None, length L
        In the order of the classes' colours.
    clean_at : int
        Which of the levels is the clean clip.
    theme : {'light', 'dark'}
    title : str
        What is changed.
    score, by_class : str
        What the thick line is, and the title of the axis, which the thin ones share.

    Raises
    ------
    DataError
        If the lengths differ.
    """
    if not len(labels) == len(accuracy) == len(intervals) or any(len(row) != len(labels) for row in recall.values()):
        raise DataError("Expected as many accuracies, intervals and recalls as levels.", "Take them from one curve.")
    colors = palette(theme)
    places = list(range(len(labels)))
    right, found = (" right", " found") if score == "Accuracy" else ("", "")
    traces = [
        go.Scatter(
            x=places + places[::-1],
            y=[100 * high for _, high in intervals] + [100 * low for low, _ in intervals][::-1],
            fill="toself",
            fillcolor=translucent(colors.accent, 0.14),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
        )
    ]
    for index, (name, shares) in enumerate(recall.items()):
        if all(share is None for share in shares):
            continue
        traces.append(
            go.Scatter(
                x=places,
                y=[None if share is None else 100 * share for share in shares],
                mode="lines+markers",
                name=safe(name, 18),
                line={"color": class_color(index, theme), "width": 1.5},
                marker={"size": 5, "symbol": ("circle", "square", "diamond", "cross", "x", "star")[index % 6]},
                hovertemplate=f"{safe(name)}: %{{y:.0f}} %{found}<extra></extra>",
            )
        )
    traces.append(
        go.Scatter(
            x=places,
            y=[100 * share for share in accuracy],
            mode="lines+markers",
            name="all",
            line={"color": colors.accent, "width": 3},
            marker={"size": 8},
            hovertemplate=f"all: %{{y:.1f}} %{right}<extra></extra>",
        )
    )
    worst = int(np.argmin(accuracy))
    ends = f"{100 * accuracy[clean_at]:.1f} % clean, {100 * accuracy[worst]:.1f} % at {labels[worst]}"
    alt = f"{score} under {title or 'a change'}: {ends}."
    result = figure(
        traces,
        theme,
        alt,
        340,
        showlegend=True,
        hovermode="x unified",
        margin={"l": 8, "r": 12, "t": 44, "b": 8},
        xaxis=axis(
            theme, title, tickmode="array", tickvals=places, ticktext=[safe(label) for label in labels], showgrid=False
        ),
        yaxis=axis(theme, f"{by_class} (%)", range=[0, 103]),
    )
    result.add_vline(x=clean_at, line={"color": colors.muted, "width": 1, "dash": "dot"})
    return result
