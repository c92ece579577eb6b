"""A network's view of the clips as a map: which lie together, which apart, coloured by what one wants to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import (
    LABEL_SIZE_PX,
    Theme,
    class_color,
    empty_figure,
    figure,
    palette,
    plural,
    run_color,
    safe,
    split_color,
)
from samplemind_core.errors import DataError

HEIGHT_PX = 520
MAX_GROUPS = 21
_SYMBOLS = ("circle", "diamond", "square", "cross", "x", "triangle-up", "star")
_SYMBOLS_3D = ("circle", "diamond", "square", "cross", "x", "circle-open", "diamond-open")


def map_figure(
    points: npt.ArrayLike,
    groups: Sequence[str],
    order: Sequence[str],
    clip_ids: npt.ArrayLike,
    hovers: Sequence[str],
    theme: Theme = "light",
    *,
    kind: str = "class",
    marked: int | None = None,
    what: str = "Map of embeddings",
) -> go.Figure:
    """Draw clips as points in two or three dimensions, one trace for each group.

    Colours are those that classes and splits have everywhere; groups also differ in their symbols, for
    readers who do not see all hues.

    Parameters
    ----------
    points : array_like, shape (N, 2) or (N, 3)
    groups : sequence of str, length N
        What each clip is coloured by.
    order : sequence of str
        All groups in the order of their colours; at most :data:`MAX_GROUPS` are drawn apart, the
        others together as "others".
    clip_ids : array_like of int, length N
        Come back as ``customdata`` of a chosen point.
    hovers : sequence of str, length N
        What a point says of itself; read as text, not markup.
    theme : {'light', 'dark'}
    kind : {'class', 'split', 'answer', 'found', 'other'}
        What the groups are, which decides their colours: answers are wrong or right; labels are found, missed,
        named wrongly, or neither there nor named.
    marked : int, optional
        Id of a clip that gets a ring.
    what : str
        What the figure shows, in its text alternative.

    Raises
    ------
    DataError
        If the lengths differ or the points have other than two or three coordinates.
    """
    places, ids, names = np.asarray(points, np.float32), np.asarray(clip_ids), np.asarray(groups, dtype=object)
    if places.ndim != 2 or places.shape[1] not in (2, 3) or not len(places) == len(ids) == len(names) == len(hovers):
        raise DataError(
            f"Expected points (N, 2 or 3) with N groups, ids and texts, got {places.shape}, "
            f"{len(names)}, {len(ids)}, {len(hovers)}.",
            "Take all of them from the same embeddings.",
        )
    if len(places) == 0:
        return empty_figure("The map appears here once there are clips.", theme, HEIGHT_PX)
    solid = places.shape[1] == 3
    texts = np.array([safe(text) for text in hovers], dtype=object)
    shown = list(dict.fromkeys(order))[:MAX_GROUPS]
    rest = ~np.isin(names, shown)
    traces = []
    for index, name in enumerate(shown):
        rows = np.flatnonzero(names == name)
        if len(rows):
            traces.append(
                _trace(places[rows], ids[rows], texts[rows], name, _color(kind, index, name, theme), index, solid)
            )
    if rest.any():
        rows = np.flatnonzero(rest)
        color = palette(theme).muted
        traces.append(_trace(places[rows], ids[rows], texts[rows], "others", color, 0, solid))
    if marked is not None and (ids == marked).any():
        traces.append(_ring(places[ids == marked][:1], theme, solid))
    counts = {name: int((names == name).sum()) for name in shown}
    largest = sorted((name for name in shown if counts[name]), key=lambda name: -counts[name])[:4]
    alt = f"{what}: {plural(len(places), 'clip')} in {3 if solid else 2} dimensions"
    if largest:
        alt += ", coloured by " + ", ".join(f"{name} ({counts[name]:,})" for name in largest)
        alt += " and others" if len(shown) > len(largest) or rest.any() else ""
    legend: dict[str, Any] = {"itemsizing": "constant", "font": {"size": LABEL_SIZE_PX, "color": palette(theme).text}}
    base: dict[str, Any] = {"showlegend": True, "hovermode": "closest", "margin": {"l": 8, "r": 8, "t": 36, "b": 8}}
    # Below the map: above it, on a narrow screen, the tools would lie on the names.
    legend |= {"orientation": "h", "x": 0, "xanchor": "left", "y": 0.0, "yanchor": "top", "bgcolor": "rgba(0,0,0,0)"}
    if solid:
        side = {
            "showticklabels": False,
            "title": {"text": ""},
            "gridcolor": palette(theme).border,
            "zeroline": False,
            "showbackground": False,
            "showspikes": False,
        }
        scene = {"xaxis": side, "yaxis": side, "zaxis": side, "aspectmode": "cube"}
        return figure(traces, theme, f"{alt}.", HEIGHT_PX, scene=scene, legend=legend, dragmode="turntable", **base)
    # The unit of both axes is the same; their numbers mean nothing by themselves.
    plain = {"showticklabels": False, "showgrid": False, "zeroline": False, "ticks": "", "title": {"text": ""}}
    return figure(
        traces,
        theme,
        f"{alt}.",
        HEIGHT_PX,
        xaxis=plain,
        yaxis=plain,
        legend=legend,
        # Streamlit lets a click choose a point only while dragging does not: the lasso is one of the tools above.
        dragmode="pan",
        clickmode="event+select",
        newselection={"line": {"color": palette(theme).text, "width": 1, "dash": "dot"}},
        **base,
    )


def _color(kind: str, index: int, name: str, theme: Theme) -> str:
    if kind == "split":
        return split_color(name, theme)
    if kind == "answer":
        # Right answers stay quiet, wrong ones stand out; their symbols differ too.
        return palette(theme).warm if index == 0 else palette(theme).muted
    if kind == "found":
        colors = palette(theme)
        return (colors.accent, colors.warm, colors.warm, colors.muted)[index]
    return run_color(index, theme) if kind == "other" else class_color(index, theme)


def _trace(
    places: npt.NDArray[np.float32],
    ids: npt.NDArray[np.int64],
    texts: npt.NDArray[Any],
    name: str,
    color: str,
    index: int,
    solid: bool,
) -> go.Scattergl | go.Scatter3d:
    size = 7 if len(places) < 500 else 5 if len(places) < 3_000 else 4
    shared: dict[str, Any] = {
        "mode": "markers",
        "name": safe(name, 24),
        # One number each: a list of lists costs more than all the rest, and arrays of arrays come back as mappings.
        "customdata": ids,
        "hovertext": texts,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }
    if solid:
        marker = {"size": size * 0.7, "color": color, "opacity": 0.8, "symbol": _SYMBOLS_3D[index % len(_SYMBOLS_3D)]}
        return go.Scatter3d(x=places[:, 0], y=places[:, 1], z=places[:, 2], marker=marker, **shared)
    marker = {"size": size, "color": color, "opacity": 0.8, "symbol": _SYMBOLS[index % len(_SYMBOLS)]}
    return go.Scattergl(
        x=places[:, 0],
        y=places[:, 1],
        marker=marker,
        selected={"marker": {"opacity": 1.0}},
        unselected={"marker": {"opacity": 0.15}},
        **shared,
    )


def _ring(place: npt.NDArray[np.float32], theme: Theme, solid: bool) -> go.Scattergl | go.Scatter3d:
    """Return a ring around one clip."""
    marker = {"size": 16, "symbol": "circle-open", "color": palette(theme).text, "line": {"width": 2}}
    shared: dict[str, Any] = {"mode": "markers", "showlegend": False, "hoverinfo": "skip"}
    if solid:
        x, y, z = place.T
        return go.Scatter3d(x=x, y=y, z=z, marker=marker | {"size": 9}, **shared)
    return go.Scattergl(x=place[:, 0], y=place[:, 1], marker=marker, **shared)
