"""The loss along one weight, the gradient by layer, and the path of a weight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, ink, note, palette


def nudge_figure(
    weights: npt.ArrayLike,
    losses: npt.ArrayLike,
    here: tuple[float, float],
    gradient: float,
    nudged: tuple[float, float],
    theme: Theme = "light",
) -> go.Figure:
    """Draw the loss along one weight, the line that autograd's gradient gives, and a nudge.

    Parameters
    ----------
    weights, losses : array_like, shape (N,)
        The curve.
    here, nudged : (weight, loss)
        Where the weight stands, and where the nudge took it.
    gradient : float
        Slope at ``here``.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    x, y = np.asarray(weights), np.asarray(losses)
    span = float(y.max() - y.min()) or 1.0
    curve = go.Scatter(x=x, y=y, mode="lines", line={"color": colors.accent, "width": 2.5},
                       hovertemplate="weight %{x:.3f}, loss %{y:.4f}<extra></extra>")  # fmt: skip
    tangent = go.Scatter(x=x, y=here[1] + gradient * (x - here[0]), mode="lines", hoverinfo="skip",
                         line={"color": colors.categorical[2], "width": 1.5, "dash": "dash"})  # fmt: skip
    secant_y = here[1] + (nudged[1] - here[1]) / (nudged[0] - here[0]) * (x - here[0])
    secant = go.Scatter(x=x, y=secant_y, mode="lines", hoverinfo="skip",
                        line={"color": colors.warm, "width": 1.5, "dash": "dot"})  # fmt: skip
    points = go.Scatter(
        x=[here[0], nudged[0]],
        y=[here[1], nudged[1]],
        mode="markers",
        marker={
            "size": [14, 12],
            "color": [colors.accent, colors.warm],
            "line": {"color": colors.background, "width": 2},
        },
        hovertemplate="weight %{x:.4f}, loss %{y:.5f}<extra></extra>",
    )
    alt = (
        f"Loss along one weight. At {here[0]:.3f} it is {here[1]:.4f} with slope {gradient:.4f}; nudged to "
        f"{nudged[0]:.4f} it is {nudged[1]:.4f}."
    )
    low, high = float(y.min()) - 0.15 * span, float(y.max()) + 0.15 * span
    result = figure(
        [tangent, secant, curve, points],
        theme,
        alt,
        320,
        dragmode=False,
        margin={"l": 8, "r": 12, "t": 28, "b": 8},
        xaxis=axis(theme, "The weight", range=[float(x[0]), float(x[-1])], fixedrange=True, showgrid=False),
        yaxis=axis(theme, "Loss (nats)", range=[low, high], fixedrange=True, nticks=6),
    )
    key = "   ".join(
        f'<span style="color:{ink(color, theme)}">{text}</span>'
        for color, text in ((colors.categorical[2], "– – autograd"), (colors.warm, "··· your nudge"))
    )
    note(result, key, theme, x=0, y=1, xanchor="left", yanchor="bottom")
    return result


def layer_gradient_figure(lengths: Mapping[str, float], theme: Theme = "light") -> go.Figure:
    """Draw how much each layer is asked to change, from the sound to the answer.

    Parameters
    ----------
    lengths : mapping of layer to length of its gradient
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    names, values = list(lengths), list(lengths.values())
    bars = go.Bar(x=names, y=values, marker={"color": colors.accent, "cornerradius": 4}, width=0.55,
                  text=[f"{value:.2f}" for value in values], textposition="outside", cliponaxis=False,
                  hovertemplate="%{x}: %{y:.3f}<extra></extra>")  # fmt: skip
    alt = "Length of the gradient by layer: " + ", ".join(f"{k} {v:.2f}" for k, v in lengths.items()) + "."
    return figure(
        [bars], theme, alt, 240, dragmode=False, margin={"l": 8, "r": 8, "t": 24, "b": 8},
        xaxis=axis(theme, "Layer, from the sound to the answer", fixedrange=True, showgrid=False),
        yaxis=axis(theme, "Gradient", fixedrange=True, rangemode="tozero", nticks=4),
    )  # fmt: skip


def descent_figure(
    path: Sequence[float], other: Sequence[float], best: float, cleared: bool, theme: Theme = "light"
) -> go.Figure:
    """Draw one weight by step, with gradients cleared or piling up; the other way is drawn faintly.

    Parameters
    ----------
    path, other : sequence of float
        The weight by step, in the way that was chosen and in the other one.
    best : float
        Where the error is zero.
    cleared : bool
        Whether ``path`` has its gradients cleared.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    steps = list(range(len(path)))
    color = colors.accent if cleared else colors.warm
    faint = go.Scatter(x=steps, y=list(other), mode="lines", hoverinfo="skip",
                       line={"color": colors.border, "width": 2})  # fmt: skip
    shown = go.Scatter(x=steps, y=list(path), mode="lines", line={"color": color, "width": 2.5},
                       hovertemplate="after step %{x}: weight %{y:.3f}<extra></extra>")  # fmt: skip
    everything = [*path, *other, best]
    room = 0.1 * (max(everything) - min(everything))
    result = figure(
        [faint, shown], theme,
        f"The weight over {len(path) - 1} steps with gradients {'cleared' if cleared else 'piling up'}: from "
        f"{path[0]:.3f} to {path[-1]:.3f}, where {best:.3f} would be right.",
        260, dragmode=False,
        xaxis=axis(theme, "Step", fixedrange=True, showgrid=False, nticks=7),
        yaxis=axis(theme, "The weight", fixedrange=True, nticks=5,
                   range=[min(everything) - room, max(everything) + room]),
    )  # fmt: skip
    result.add_shape(type="line", x0=0, x1=1, xref="paper", y0=best, y1=best, layer="below",
                     line={"color": colors.muted, "width": 1, "dash": "dot"})  # fmt: skip
    note(result, "no error here", theme, x=1, y=best, yref="y", xanchor="right", yanchor="bottom")
    return result
