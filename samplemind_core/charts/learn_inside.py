"""Inside a network: its filters, the maps they draw, and what pooling, dropout and weight decay do."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.signals import LOUDNESS
from samplemind_core.charts.style import (
    LABEL_SIZE_PX,
    Theme,
    axis,
    class_color,
    figure,
    mix,
    note,
    palette,
    plural,
    safe,
    translucent,
)
from samplemind_core.errors import DataError

MOST_TILES = 16
_HIDDEN = {"visible": False, "fixedrange": True}


def filters_figure(filters: npt.ArrayLike, theme: Theme = "light") -> go.Figure:
    """Draw the first filters of a network as tiles: accent for positive weights, warm for negative ones.

    Parameters
    ----------
    filters : array_like, shape (channels, height, width)
        Height is frequency, from low to high; width is time.
    theme : {'light', 'dark'}
    """
    tiles = _tiles(filters)
    strength = np.abs(tiles).max(axis=(1, 2), keepdims=True)
    colors = palette(theme)
    alt = (
        f"{plural(len(tiles), 'filter')} of {tiles.shape[1]} by {tiles.shape[2]} weights, each a small pattern of "
        "frequency and time that its channel looks for."
    )
    scale = [[0.0, colors.warm], [0.5, colors.surface], [1.0, colors.accent]]
    return _mosaic(tiles / np.where(strength > 0, strength, 1.0), scale, (-1.0, 1.0), theme, alt, "weight %{z:.2f}")


def maps_figure(maps: npt.ArrayLike, title: str, theme: Theme = "light") -> go.Figure:
    """Draw what each channel of a stage makes of a sound, each tile from its own lowest to its highest value.

    Parameters
    ----------
    maps : array_like, shape (channels, bands, frames)
    title : str
        Name of the stage, for the text alternative.
    theme : {'light', 'dark'}
    """
    tiles = _tiles(maps)
    low, high = tiles.min(axis=(1, 2), keepdims=True), tiles.max(axis=(1, 2), keepdims=True)
    silent = int((high == low).sum())
    shown = (tiles - low) / np.where(high > low, high - low, 1.0)
    total = len(np.asarray(maps))
    of = f"{len(tiles)} of {total}" if total > len(tiles) else str(total)
    alt = f"{title}: {of} maps of {tiles.shape[1]} bands by {tiles.shape[2]} frames"
    alt += f"; {silent} of them found nothing in this sound." if silent else "."
    scale = [[i / 5, color] for i, color in enumerate(LOUDNESS[theme])]
    return _mosaic(shown, scale, (0.0, 1.0), theme, alt, "%{z:.0%} of its strongest answer")


def change_figure(titles: Sequence[str], changes: Sequence[float], theme: Theme = "light") -> go.Figure:
    """Draw how much each stage changes, from the picture that goes in to what is left after pooling.

    Parameters
    ----------
    titles : sequence of str
    changes : sequence of float
        0 not at all; 1 as much as the stage's own size.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    quiet = mix(colors.border, colors.muted, 0.35)
    bars = go.Bar(
        x=[100 * change for change in changes],
        y=list(range(len(titles))),
        orientation="h",
        marker={"color": [quiet] * (len(titles) - 1) + [colors.accent], "cornerradius": 4},
        text=[f"{100 * change:.0f} %" for change in changes],
        textposition="outside",
        cliponaxis=False,
        hovertext=[f"{safe(t)} changes by {100 * c:.0f} % of its size" for t, c in zip(titles, changes, strict=True)],
        hovertemplate="%{hovertext}<extra></extra>",
    )
    first, last = (f"{titles[place].lower()} by {100 * changes[place]:.0f} %" for place in (0, -1))
    alt = f"Change of each stage: {first}, {last}."
    ticks = {"tickmode": "array", "tickvals": list(range(len(titles))), "ticktext": [safe(title) for title in titles]}
    return figure(
        [bars],
        theme,
        alt,
        max(200, 36 * len(titles) + 64),
        bargap=0.3,
        dragmode=False,
        margin={"l": 8, "r": 48, "t": 8, "b": 8},
        xaxis=axis(theme, "Change (% of its size)", range=[0, 125], tickvals=[0, 50, 100], fixedrange=True),
        yaxis=axis(theme, "", range=[len(titles) - 0.5, -0.5], showgrid=False, fixedrange=True, **ticks),
    )


def dropout_figure(
    probs: npt.ArrayLike, whole: npt.ArrayLike, class_names: Sequence[str], theme: Theme = "light"
) -> go.Figure:
    """Draw the answers of a network with parts of it dropped, a dot each, beside that of the whole network.

    Parameters
    ----------
    probs : array_like, shape (times, C)
        Fractions.
    whole : array_like, shape (C,)
        The answer without dropout.
    class_names : sequence of str, length C
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If the shapes do not fit.
    """
    rows, answer = np.asarray(probs, dtype=np.float64), np.asarray(whole, dtype=np.float64)
    if rows.ndim != 2 or rows.shape[1] != len(class_names) or answer.shape != (len(class_names),):
        raise DataError(
            f"Expected answers for {plural(len(class_names), 'class')}, got shapes {rows.shape} and {answer.shape}.",
            "Pass probabilities of the same network.",
        )
    colors = palette(theme)
    lanes = np.linspace(-0.28, 0.28, len(rows))
    traces = [
        go.Scatter(
            x=(100 * rows[:, index]).tolist(),
            y=(index + lanes).tolist(),
            mode="markers",
            marker={"color": translucent(class_color(index, theme), 0.45), "size": 6, "line": {"width": 0}},
            hovertemplate=f"{safe(name)} %{{x:.0f}} % with parts dropped<extra></extra>",
        )
        for index, name in enumerate(class_names)
    ]
    traces.append(
        go.Scatter(
            x=(100 * answer).tolist(),
            y=list(range(len(class_names))),
            mode="markers",
            marker={"color": colors.text, "size": 22, "symbol": "line-ns-open", "line": {"width": 2}},
            hovertemplate="%{x:.1f} % with the whole network<extra></extra>",
        )
    )
    best = int(answer.argmax())
    low, high = rows[:, best].min(), rows[:, best].max()
    agreed = float((rows.argmax(axis=1) == best).mean())
    alt = (
        f"{plural(len(rows), 'answer')} with dropout: {class_names[best]} gets between {100 * low:.0f} % and "
        f"{100 * high:.0f} %, and is the answer {100 * agreed:.0f} % of the time; the whole network gives it "
        f"{100 * answer[best]:.0f} %."
    )
    ticks = {
        "tickmode": "array",
        "tickvals": list(range(len(class_names))),
        "ticktext": [safe(n, 18) for n in class_names],
    }
    return figure(
        traces,
        theme,
        alt,
        max(220, 38 * len(class_names) + 64),
        dragmode=False,
        xaxis=axis(theme, "Confidence (%)", range=[-3, 103], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=axis(
            theme, "", range=[len(class_names) - 0.4, -0.6], showgrid=False, fixedrange=True, ticksuffix=" ", **ticks
        ),
    )


def weights_figure(without: npt.ArrayLike, decayed: npt.ArrayLike, theme: Theme = "light") -> go.Figure:
    """Draw how large the weights of two networks are: one trained without weight decay, one with it.

    Parameters
    ----------
    without, decayed : array_like, shape (N,)
    theme : {'light', 'dark'}
    """
    plain, small = np.asarray(without, dtype=np.float64), np.asarray(decayed, dtype=np.float64)
    colors = palette(theme)
    edge = float(np.quantile(np.abs(plain), 0.995))
    edges = np.linspace(-edge, edge, 61)
    middles = (edges[1:] + edges[:-1]) / 2
    traces = []
    for values, name, color, width in (
        (plain, "without decay", colors.muted, 1.5),
        (small, "with decay", colors.accent, 2.5),
    ):
        shares = np.histogram(values, edges)[0] / len(values)
        traces.append(
            go.Scatter(
                x=middles,
                y=100 * shares,
                mode="lines",
                name=name,
                line={"color": color, "width": width, "shape": "hvh"},
                fill="tozeroy" if color == colors.accent else None,
                fillcolor=translucent(color, 0.12),
                hovertemplate=f"{name}: %{{y:.1f}} % of the weights near %{{x:.2f}}<extra></extra>",
            )
        )
    alt = (
        f"Histogram of the weights: their spread is {plain.std():.3f} without weight decay and "
        f"{small.std():.3f} with it."
    )
    return figure(
        traces,
        theme,
        alt,
        260,
        showlegend=True,
        hovermode="closest",
        dragmode=False,
        margin={"l": 8, "r": 12, "t": 28, "b": 8},
        xaxis=axis(theme, "Weight", showgrid=False, fixedrange=True),
        yaxis=axis(theme, "Weights (%)", rangemode="tozero", nticks=5, fixedrange=True),
    )


def _tiles(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    tiles = np.asarray(values, dtype=np.float64)
    if tiles.ndim != 3 or 0 in tiles.shape:
        raise DataError(f"Expected tiles of shape (channels, height, width), got {tiles.shape}.", "Pass one sound's.")
    return tiles[:MOST_TILES]


def _mosaic(
    tiles: npt.NDArray[np.float64],
    scale: list[list[object]],
    ends: tuple[float, float],
    theme: Theme,
    alt: str,
    hover: str,
) -> go.Figure:
    """Return tiles in one heatmap, first at the top left, with a gap of background between them."""
    count, height, width = tiles.shape
    columns = min(count, 4)  # so that a tile stays legible on a phone
    rows = math.ceil(count / columns)
    # Gaps in proportion to the tile, so that 3 x 3 and 32 x 44 cells look alike.
    gap_y, gap_x = max(1, round(height / 12)), max(1, round(width / 12))
    canvas = np.full((rows * (height + gap_y) - gap_y, columns * (width + gap_x) - gap_x), np.nan)
    frames = []
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        top = (rows - 1 - row) * (height + gap_y)  # the heatmap's first row is at the bottom
        left = column * (width + gap_x)
        canvas[top : top + height, left : left + width] = tile
        frames.append({"x0": left - 0.5, "x1": left + width - 0.5, "y0": top - 0.5, "y1": top + height - 0.5})
    trace = go.Heatmap(
        z=canvas.astype(np.float32),
        zmin=ends[0],
        zmax=ends[1],
        colorscale=scale,
        showscale=False,
        hoverongaps=False,
        hovertemplate=f"{hover}<extra></extra>",
    )
    result = figure(
        [trace],
        theme,
        alt,
        110 * rows + 40,
        dragmode=False,
        margin={"l": 4, "r": 4, "t": 4, "b": 28},
        xaxis=dict(_HIDDEN),
        yaxis=dict(_HIDDEN),
        shapes=[{"type": "rect", "line": {"color": palette(theme).border, "width": 1}, **frame} for frame in frames],
    )
    note(
        result,
        "each tile: time to the right, pitch upwards",
        theme,
        x=0,
        y=0,
        xanchor="left",
        yanchor="top",
        yshift=-6,
        font={"size": LABEL_SIZE_PX, "color": palette(theme).muted},
    )
    return result
