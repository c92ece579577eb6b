"""The loss of one answer, and the trap of feeding probabilities as logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, ink, note, palette, safe


def answer_loss_figure(
    probs: npt.ArrayLike, losses: npt.ArrayLike, prob: float, loss: float, theme: Theme = "light"
) -> go.Figure:
    """Draw the loss by the probability of the right class, with one answer on the curve.

    Parameters
    ----------
    probs, losses : array_like, shape (N,)
        The curve; losses in nats.
    prob, loss : float
        The answer.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    curve = go.Scatter(
        x=probs,
        y=losses,
        mode="lines",
        line={"color": colors.accent, "width": 2.5},
        hovertemplate="probability %{x:.2f} costs %{y:.2f}<extra></extra>",
    )
    drop = go.Scatter(
        x=[prob, prob, 0],
        y=[0, loss, loss],
        mode="lines",
        line={"color": colors.muted, "width": 1, "dash": "dot"},
        hoverinfo="skip",
    )
    ring = {"size": 15, "color": colors.accent, "line": {"color": colors.background, "width": 3}}
    here = go.Scatter(
        x=[prob],
        y=[loss],
        mode="markers+text",
        marker=ring,
        text=[f"<b>{loss:.2f}</b>"],
        textposition="top right" if prob < 0.75 else "top center",
        textfont={"size": 16, "color": colors.text},
        hovertemplate="this answer: probability %{x:.2f}, loss %{y:.2f}<extra></extra>",
        cliponaxis=False,
    )
    alt = (
        "The loss falls from far above four, where the right class gets almost no probability, to zero where it gets "
        f"all. This answer gives it {prob:.2f}, which costs {loss:.2f}."
    )
    result = figure(
        [curve, drop, here],
        theme,
        alt,
        300,
        dragmode=False,
        xaxis=axis(theme, "Probability of the right class", range=[0, 1.02], fixedrange=True, showgrid=False),
        yaxis=axis(theme, "Loss (nats)", range=[0, 5], fixedrange=True, nticks=6),
    )
    note(result, "sure of the wrong thing", theme, x=0.05, y=0.97, xanchor="left", yanchor="top")
    note(result, "sure and right", theme, x=1, y=0.14, xanchor="right", yanchor="bottom")
    return result


def mistaken_loss_figure(
    names: Sequence[str], losses: Sequence[float], mistaken: Sequence[float], theme: Theme = "light"
) -> go.Figure:
    """Draw for each answer the loss as it should be, and as it is when probabilities are taken for logits.

    Parameters
    ----------
    names : sequence of str
        The answers, from top to bottom.
    losses, mistaken : sequence of float
        In nats.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    places = list(range(len(names)))
    lines = go.Scatter(
        x=[value for pair in zip(losses, mistaken, [None] * len(names), strict=True) for value in pair],
        y=[value for place in places for value in (place, place, None)],
        mode="lines",
        line={"color": colors.border, "width": 4},
        hoverinfo="skip",
    )
    right = go.Scatter(
        x=list(losses),
        y=places,
        mode="markers",
        marker={"size": 13, "color": colors.accent},
        hovertemplate="right: %{x:.2f}<extra></extra>",
    )
    wrong = go.Scatter(
        x=list(mistaken),
        y=places,
        mode="markers",
        marker={"size": 13, "color": colors.warm, "symbol": "diamond"},
        hovertemplate="probabilities taken for logits: %{x:.2f}<extra></extra>",
    )
    alt = "Loss of each answer, right and then with probabilities taken for logits: " + "; ".join(
        f"{name} {loss:.2f} and {other:.2f}" for name, loss, other in zip(names, losses, mistaken, strict=True)
    )
    result = figure(
        [lines, right, wrong],
        theme,
        alt + ".",
        62 * len(names) + 92,
        dragmode=False,
        margin={"l": 8, "r": 24, "t": 34, "b": 8},
        xaxis=axis(theme, "Loss (nats)", range=[0, max(*losses, *mistaken) * 1.12], fixedrange=True),
        yaxis=axis(theme, "", tickmode="array", tickvals=places, ticktext=[safe(name, 24) for name in names],
                   tickfont={"size": 13, "color": colors.text}, range=[len(names) - 0.4, -0.6], showgrid=False,
                   fixedrange=True, ticksuffix="  "),
    )  # fmt: skip
    for place, loss, other in zip(places, losses, mistaken, strict=True):
        for value, color, near in ((loss, colors.accent, other), (other, colors.warm, loss)):
            side = "right" if value < near else "left"
            result.add_annotation(
                x=value, y=place, text=f"{value:.2f}", showarrow=False, yshift=18,
                xanchor="center" if abs(loss - other) > 0.12 * max(*losses, *mistaken) else side,
                font={"size": 13, "color": ink(color, theme)},
            )  # fmt: skip
    key = {"x": 0, "y": 1, "yanchor": "bottom", "xanchor": "left", "yshift": 8}
    mark = f'<span style="color:{ink(colors.accent, theme)}">● right</span>'
    trap = f'<span style="color:{ink(colors.warm, theme)}">◆ with the mistake</span>'
    note(result, f"{mark}   {trap}", theme, **key)
    return result
