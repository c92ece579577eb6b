"""The sounds sorting themselves while a network learns, and the loss of its steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, class_color, figure, ink, note, palette, safe, split_color


def sorting_figure(
    prob: npt.ArrayLike,
    targets: npt.ArrayLike,
    class_names: Sequence[str],
    names: Sequence[str],
    followed: int | None = None,
    theme: Theme = "light",
) -> go.Figure:
    """Draw each sound as a dot: how far to the right says how much the network takes it for the second class.

    Parameters
    ----------
    prob : array_like, shape (N,)
        Probability of the second class.
    targets : array_like, shape (N,)
        0 or 1.
    class_names : sequence of two str
    names : sequence of str
        Of the sounds.
    followed : int, optional
        A sound to mark.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    x, truth = np.asarray(prob, dtype=float), np.asarray(targets)
    heights = np.empty(len(x))
    traces: list[Any] = []
    for target in (0, 1):
        rows = np.flatnonzero(truth == target)
        # Evenly spread over the class's own half, in an order that is not that of the kits.
        heights[rows] = (1 - target) + 0.12 + 0.76 * ((np.arange(len(rows)) * 0.618) % 1.0)
        traces.append(
            go.Scatter(
                x=x[rows],
                y=heights[rows],
                mode="markers",
                marker={"size": 14, "color": class_color(target, theme), "opacity": 0.85,
                        "line": {"width": 1, "color": colors.background}},
                customdata=[[names[int(row)]] for row in rows],
                hovertemplate="%{customdata[0]}: %{x:.0%} " + safe(class_names[1]) + "<extra></extra>",
                cliponaxis=False,
            )
        )  # fmt: skip
    if followed is not None:
        ring = {"size": 22, "color": "rgba(0,0,0,0)", "line": {"width": 2.5, "color": colors.text}}
        traces.append(
            go.Scatter(x=[x[followed]], y=[heights[followed]], mode="markers", marker=ring, hoverinfo="skip",
                       cliponaxis=False)
        )  # fmt: skip
    right = int(((x > 0.5) == truth).sum())
    alt = (
        f"{right} of {len(x)} sounds are on their own side: {safe(class_names[0])} on the left, "
        f"{safe(class_names[1])} on the right."
    )
    result = figure(
        traces,
        theme,
        alt,
        320,
        dragmode=False,
        margin={"l": 8, "r": 16, "t": 26, "b": 8},
        xaxis=axis(theme, "What the network answers", range=[-0.02, 1.02], fixedrange=True, showgrid=False,
                   tickmode="array", tickvals=[0, 0.5, 1],
                   ticktext=["", "cannot tell", ""]),
        yaxis=axis(theme, "", range=[0, 2], fixedrange=True, showgrid=False, tickmode="array", tickvals=[1.5, 0.5],
                   ticktext=[safe(name, 12) for name in class_names], ticksuffix="  ",
                   tickfont={"size": 13, "color": colors.text}),
    )  # fmt: skip
    for place, sign in ((0.5, "dot"), (None, "solid")):
        line = {"color": colors.border, "width": 1.5, "dash": sign}
        if place is None:
            result.add_shape(type="line", x0=0, x1=1, xref="paper", y0=1, y1=1, line=line, layer="below")
        else:
            result.add_shape(type="line", x0=place, x1=place, y0=0, y1=1, yref="paper", line=line, layer="below")
    for target, (place, anchor) in enumerate(((0.0, "left"), (1.0, "right"))):
        result.add_annotation(
            text=f"says {safe(class_names[target], 12)}", x=place, xref="paper", y=1, yref="paper", xanchor=anchor,
            yanchor="bottom", showarrow=False, font={"size": 12, "color": ink(class_color(target, theme), theme)},
        )  # fmt: skip
    return result


def steps_loss_figure(
    losses: Sequence[float],
    val_losses: Sequence[tuple[int, float]],
    num_steps: int,
    guessing: float,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the loss of each batch and of the sounds that are not trained on, by step.

    Parameters
    ----------
    losses : sequence of float
        Of the batches, in nats.
    val_losses : sequence of (step, float)
    num_steps : int
        Where the axis ends.
    guessing : float
        Loss of guessing at random; marked by a line.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    steps = list(range(1, len(losses) + 1))
    batch = go.Scatter(
        x=steps,
        y=list(losses),
        mode="lines+markers",
        line={"color": split_color("train", theme), "width": 1},
        marker={"size": 4},
        opacity=0.6,
        hovertemplate="batch of step %{x}: %{y:.2f}<extra></extra>",
    )
    others = go.Scatter(
        x=[step for step, _ in val_losses],
        y=[loss for _, loss in val_losses],
        mode="lines" if len(val_losses) > 1 else "markers",
        line={"color": split_color("val", theme), "width": 2.5, "dash": "dash"},
        hovertemplate="new sounds after step %{x}: %{y:.2f}<extra></extra>",
    )
    highest = max([guessing, *losses, *(loss for _, loss in val_losses)])
    result = figure(
        [batch, others],
        theme,
        f"Loss over {len(losses)} steps, on new sounds from {val_losses[0][1]:.2f} to {val_losses[-1][1]:.2f}.",
        320,
        dragmode=False,
        margin={"l": 8, "r": 12, "t": 26, "b": 8},
        xaxis=axis(theme, "Step", range=[0, num_steps * 1.01], fixedrange=True, showgrid=False, nticks=6),
        yaxis=axis(theme, "Loss (nats)", range=[0, min(highest, 4 * guessing) * 1.1], fixedrange=True, nticks=5),
    )
    result.add_shape(type="line", x0=0, x1=1, xref="paper", y0=guessing, y1=guessing, layer="below",
                     line={"color": colors.muted, "width": 1, "dash": "dot"})  # fmt: skip
    note(result, "guessing", theme, x=1, y=guessing, yref="y", xanchor="right", yanchor="bottom")
    names = (("batch", split_color("train", theme)), ("new sounds", split_color("val", theme)))
    key = "   ".join(f'<span style="color:{ink(color, theme)}">{name}</span>' for name, color in names)
    note(result, key, theme, x=0, y=1, xanchor="left", yanchor="bottom")
    return result
