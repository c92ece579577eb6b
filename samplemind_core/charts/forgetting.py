"""How many clips are learned and forgotten by epoch, and how sure a network was of one clip on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, mix, palette, plural, safe, split_color
from samplemind_core.errors import DataError

HEIGHT_PX = 280
CLIP_HEIGHT_PX = 220
NAMES = {
    "always": "always right",
    "learned": "learned",
    "forgotten": "forgotten",
    "never": "never right",
}


def forgetting_figure(
    epochs: Sequence[int], counts: Mapping[str, Sequence[int]], at: int, theme: Theme = "light"
) -> go.Figure:
    """Draw how many clips are always right, learned, forgotten and never right, stacked over the epochs.

    Parameters
    ----------
    epochs : sequence of int
    counts : mapping of str to sequence of int
        Clips of each group after each epoch; the groups are those of :data:`NAMES`.
    at : int
        The epoch that is looked at; marked by a line.
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If a group is missing or has another number of epochs.
    """
    for name in NAMES:
        if len(counts.get(name, ())) != len(epochs) or not epochs:
            raise DataError(f"Expected a count of '{name}' for each epoch.", "Pass all four groups.")
    colors = palette(theme)
    good = split_color("val", theme)
    shades = {
        "always": mix(good, colors.background, 0.65),
        "learned": good,
        "forgotten": colors.warm,
        "never": mix(colors.muted, colors.background, 0.45),
    }
    traces = [
        go.Scatter(
            x=list(epochs), y=list(counts[name]), name=title, mode="lines", stackgroup="all",
            line={"width": 0.5, "color": colors.background}, fillcolor=shades[name],
            hovertemplate=f"{title}: %{{y:,}}<extra></extra>",
        )
        for name, title in NAMES.items()
    ]  # fmt: skip
    place = list(epochs).index(at) if at in epochs else len(epochs) - 1
    total = sum(int(counts[name][place]) for name in NAMES)
    said = ", ".join(f"{int(counts[name][place]):,} {title}" for name, title in NAMES.items())
    few = {"dtick": 1} if epochs[-1] - epochs[0] <= 10 else {"nticks": 8}
    result = figure(
        traces,
        theme,
        f"{plural(total, 'validation clip')} after epoch {epochs[place]}: {said}.",
        HEIGHT_PX,
        hovermode="x unified",
        showlegend=True,
        # The order of the stack, from its top.
        legend={"orientation": "h", "traceorder": "normal", "x": 0, "y": 1.02, "yanchor": "bottom"},
        xaxis=axis(theme, "Epoch", showgrid=False, tickformat="d", **few)
        | {"unifiedhovertitle": {"text": "Epoch %{x}"}},
        yaxis=axis(theme, "Clips", range=[0, total], nticks=5),
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
    )
    line = {"color": colors.text, "width": 1.5}
    result.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="y domain", line=line)
    return result


def clip_curve_figure(
    epochs: Sequence[int], confidence: Sequence[float], right: Sequence[bool], label: str, at: int,
    theme: Theme = "light",
) -> go.Figure:  # fmt: skip
    """Draw how probable a network found a clip's own label, epoch by epoch.

    Parameters
    ----------
    epochs : sequence of int
    confidence : sequence of float
        Probability of the label, a fraction.
    right : sequence of bool
        Whether the label was the answer; marked by a full point.
    label : str
    at : int
        The epoch that is looked at.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    color = split_color("val", theme)
    said = ["right" if one else "wrong" for one in right]
    marker = {
        "size": 8,
        "color": [color if one else colors.background for one in right],
        "line": {"color": color, "width": 1.5},
    }
    trace = go.Scatter(
        x=list(epochs), y=[100 * value for value in confidence], mode="lines+markers", customdata=said,
        line={"color": color, "width": 2}, marker=marker,
        hovertemplate="epoch %{x}: %{y:.0f} %, %{customdata}<extra></extra>",
    )  # fmt: skip
    few = {"dtick": 1} if epochs[-1] - epochs[0] <= 10 else {"nticks": 8}
    result = figure(
        [trace],
        theme,
        f"Probability of {safe(label)} over {plural(len(epochs), 'epoch')}, "
        f"{100 * confidence[-1]:.0f} % at the end; right in {sum(map(bool, right))}.",
        CLIP_HEIGHT_PX,
        xaxis=axis(theme, "Epoch", showgrid=False, tickformat="d", **few),
        yaxis=axis(theme, f"{safe(label, 18)} (%)", range=[-4, 104], nticks=5),
    )
    line = {"color": colors.muted, "width": 1, "dash": "dot"}
    result.add_shape(type="line", x0=at, x1=at, y0=0, y1=1, yref="y domain", line=line, layer="below")
    return result
