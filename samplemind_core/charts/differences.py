"""How far models are apart: intervals of their differences, and how often they give the same answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, empty_figure, figure, mix, palette, run_color, safe
from samplemind_core.errors import DataError

Row = tuple[str, str, float, tuple[float, float]]


def difference_figure(rows: Sequence[Row], theme: Theme = "light") -> go.Figure:
    """Draw differences with their intervals as dots on one scale, with a line where there is none.

    Parameters
    ----------
    rows : sequence of (score, model, difference, (low, high))
        Differences as fractions; equal models get equal colours.
    theme : {'light', 'dark'}
    """
    if not rows:
        return empty_figure("Differences appear here once two checkpoints are compared.", theme)
    colors = palette(theme)
    models = list(dict.fromkeys(model for _, model, _, _ in rows))
    labels = [f"{score} {model}" if len(models) > 1 else score for score, model, *_ in rows]
    traces = []
    for model in models:
        places = [place for place, row in enumerate(rows) if row[1] == model]
        values = [100 * rows[place][2] for place in places]
        color = run_color(models.index(model) + 1, theme)
        traces.append(
            go.Scatter(
                x=values,
                y=places,
                mode="markers",
                marker={"color": color, "size": 10, "line": {"width": 0}},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": [100 * rows[place][3][1] - value for place, value in zip(places, values, strict=True)],
                    "arrayminus": [
                        value - 100 * rows[place][3][0] for place, value in zip(places, values, strict=True)
                    ],
                    "thickness": 2,
                    "width": 0,
                    "color": mix(color, colors.background, 0.4),
                },
                hovertext=[_sentence(rows[place]) for place in places],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    reach = max(0.5, *(100 * abs(end) for *_, interval in rows for end in interval)) * 1.08
    return figure(
        traces,
        theme,
        "Differences with 95 % intervals: " + "; ".join(_sentence(row) for row in rows) + ".",
        max(150, 26 * len(rows) + 72),
        dragmode=False,
        hovermode="closest",
        shapes=[{"type": "line", "x0": 0, "x1": 0, "y0": 0, "y1": 1, "yref": "paper",
                 "line": {"color": colors.muted, "width": 1, "dash": "dot"}}],
        xaxis=axis(theme, "Difference from A (points)", range=[-reach, reach], fixedrange=True),
        yaxis=axis(
            theme, "", tickmode="array", tickvals=list(range(len(rows))), ticktext=[safe(each, 28) for each in labels],
            range=[len(rows) - 0.5, -0.5], fixedrange=True, showgrid=False, ticksuffix=" ",
            tickfont={"size": 13, "color": colors.text},
        ),
    )  # fmt: skip


def agreement_figure(shares: npt.ArrayLike, names: Sequence[str], theme: Theme = "light") -> go.Figure:
    """Draw how often each pair of models gives the same answer.

    Parameters
    ----------
    shares : array_like, shape (M, M)
        Fractions.
    names : sequence of str, length M
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the shape does not fit the names.
    """
    values = np.asarray(shares, dtype=np.float64)
    if values.shape != (len(names), len(names)):
        raise DataError(f"Expected {len(names)} × {len(names)} shares, got {values.shape}.", "Pass one name a model.")
    colors = palette(theme)
    places = list(range(len(names)))
    pairs = [(values[i, j], names[i], names[j]) for i in places for j in places if i < j]
    alt = "Share of equal answers: " + "; ".join(f"{a} and {b} {100 * share:.0f} %" for share, a, b in pairs) + "."
    lowest = min([share for share, *_ in pairs], default=0.0)
    ticks = {"tickmode": "array", "tickvals": places, "ticktext": [safe(n, 16) for n in names], "showgrid": False}
    return figure(
        [
            go.Heatmap(
                x=places, y=places, z=values, zmin=min(lowest, 0.9), zmax=1, showscale=False, xgap=2, ygap=2,
                colorscale=[[0, colors.surface], [1, mix(colors.accent, colors.background, 0.25)]],
                text=[[f"{100 * share:.0f} %" for share in row] for row in values], texttemplate="%{text}",
                hovertext=[
                    [f"{safe(names[i])} and {safe(names[j])} agree on {100 * values[i, j]:.1f} %" for j in places]
                    for i in places
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        ],
        theme,
        alt,
        int(np.clip(46 * len(names) + 70, 170, 360)),
        dragmode=False,
        xaxis=axis(theme, "", fixedrange=True, **ticks),
        yaxis=axis(theme, "", fixedrange=True, **(ticks | {"range": [len(names) - 0.5, -0.5]})),
    )  # fmt: skip


def _sentence(row: Row) -> str:
    score, model, value, (low, high) = row
    return f"{score} of {safe(model)} {100 * value:+.1f} points ({100 * low:+.1f} to {100 * high:+.1f})"
