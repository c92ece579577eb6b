"""Gradients of batches around the gradient of all sounds, and what batches cost."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, note, palette


def cloud_figure(
    along: npt.ArrayLike, across: npt.ArrayLike, reach: tuple[float, float, float], size: int, theme: Theme = "light"
) -> go.Figure:
    """Draw where each batch would step, beside where all sounds together would.

    Parameters
    ----------
    along, across : array_like, shape (n,)
        Of the batches, in lengths of the gradient of all sounds.
    reach : (lowest along, highest along, highest across)
        What the map shows, the same for every batch size.
    size : int
        Sounds in a batch.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    x, y = np.asarray(along, dtype=float), np.asarray(across, dtype=float)
    gaps = np.full(len(x), np.nan)
    rays = go.Scatter(
        x=np.stack([np.zeros(len(x)), x, gaps], axis=1).ravel(),
        y=np.stack([np.zeros(len(y)), y, gaps], axis=1).ravel(),
        mode="lines",
        line={"color": colors.accent, "width": 1},
        opacity=0.35,
        hoverinfo="skip",
    )
    tips = go.Scatter(x=x, y=y, mode="markers", marker={"size": 9, "color": colors.accent, "opacity": 0.85},
                      hovertemplate="a batch: %{x:.2f} along, %{y:.2f} across<extra></extra>")  # fmt: skip
    goal = go.Scatter(
        x=[0, 1],
        y=[0, 0],
        mode="lines+markers",
        line={"color": colors.categorical[2], "width": 3},
        marker={"size": [0, 13], "symbol": "diamond"},
        hovertemplate="all sounds<extra></extra>",
    )
    result = figure(
        [rays, tips, goal], theme,
        f"Steps that {len(x)} batches of {size} would take. They spread {float(x.std()):.2f} along and "
        f"{float(y.std()):.2f} across, where the step of all sounds has length one.",
        340, dragmode=False, margin={"l": 8, "r": 12, "t": 26, "b": 8},
        xaxis=axis(theme, "Along the step of all sounds", range=[reach[0], reach[1]], fixedrange=True, showgrid=False,
                   zeroline=True, zerolinecolor=colors.border),
        yaxis=axis(theme, "Sideways", range=[-reach[2], reach[2]], fixedrange=True, showgrid=False, zeroline=True,
                   zerolinecolor=colors.border),
    )  # fmt: skip
    note(result, "◆ all sounds   ● one batch each", theme, x=0, y=1, xanchor="left", yanchor="bottom")
    return result
