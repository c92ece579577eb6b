"""A loss landscape with optimizers on it: as a map, as a mountain, in fog; and their heights by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, figure, ink, mix, note, palette, run_color

View = Literal["map", "mountain", "fog"]
Paths = Mapping[str, npt.NDArray[np.float64]]
Grid = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]

SIGHT = 0.16
"""How far a walker sees in fog, as a share of the map."""


def landscape_figure(
    grid: Grid,
    paths: Paths,
    heights: Mapping[str, npt.NDArray[np.float64]],
    step: int,
    view: View,
    theme: Theme = "light",
) -> go.Figure:
    """Draw a landscape and how far each optimizer has come.

    Parameters
    ----------
    grid : (x (N,), y (M,), height (M, N))
    paths : mapping of name to places (S, 2)
    heights : mapping of name to heights (S,)
    step : int
        Shown up to this step.
    view : {'map', 'mountain', 'fog'}
    theme : {'light', 'dark'}
    """  # fmt: skip
    x, y, z = grid
    # Walls tower over everything else; what matters lies below.
    shown = np.log1p(z - z.min())
    alt = f"Loss landscape after {step} steps. " + "; ".join(
        f"{name} at {'nowhere on the map' if np.isnan(height[step]) else f'height {height[step]:.3f}'}"
        for name, height in heights.items()
    )
    if view == "mountain":
        return _mountain(x, y, shown, z.min(), paths, heights, step, alt, theme)
    colors = palette(theme)
    ground = _fogged(x, y, shown, paths, step) if view == "fog" else shown
    low, high = float(shown.min()), float(shown.max())
    traces: list[Any] = [
        go.Contour(
            x=x, y=y, z=ground, zmin=low, zmax=high, showscale=False, colorscale=_scale(theme), hoverinfo="skip",
            contours={"start": low, "end": high, "size": (high - low) / 14, "coloring": "heatmap"}, connectgaps=False,
            line={"width": 0.6, "color": mix(colors.border, colors.muted, 0.3)},
        )
    ]  # fmt: skip
    for index, (name, path) in enumerate(paths.items()):
        walked = path[: step + 1]
        color = run_color(index, theme)
        hover = name + " at %{x:.2f}, %{y:.2f}<extra></extra>"
        if view == "map":
            traces.append(go.Scatter(x=walked[:, 0], y=walked[:, 1], mode="lines", hoverinfo="skip",
                                     line={"color": color, "width": 2.2}))  # fmt: skip
        head = {"size": 13, "color": color, "line": {"width": 2, "color": colors.background}}
        traces.append(go.Scatter(x=walked[-1:, 0], y=walked[-1:, 1], mode="markers", hovertemplate=hover, marker=head))
    result = figure(
        traces, theme, alt + ".", 400, dragmode=False, margin={"l": 8, "r": 8, "t": 30, "b": 8},
        plot_bgcolor=colors.surface,
        xaxis=axis(theme, "One weight", range=[float(x[0]), float(x[-1])], fixedrange=True, showgrid=False),
        yaxis=axis(theme, "Another weight", range=[float(y[0]), float(y[-1])], fixedrange=True, showgrid=False),
    )  # fmt: skip
    _names(result, list(paths), theme)
    if view == "fog":
        note(result, "nobody sees further than this", theme, x=0.99, y=0.03, xanchor="right", yanchor="bottom")
    return result


def height_figure(heights: Mapping[str, npt.NDArray[np.float64]], step: int, theme: Theme = "light") -> go.Figure:
    """Draw the loss of each optimizer by step.

    Parameters
    ----------
    heights : mapping of name to heights (S,)
    step : int
        Shown up to this step.
    theme : {'light', 'dark'}
    """
    total = len(next(iter(heights.values()))) - 1
    start = float(next(iter(heights.values()))[0])
    traces = [
        go.Scatter(x=np.arange(step + 1), y=height[: step + 1], mode="lines",
                   line={"color": run_color(index, theme), "width": 2.2},
                   hovertemplate=f"{name}: %{{y:.3f}} after step %{{x}}<extra></extra>")
        for index, (name, height) in enumerate(heights.items())
    ]  # fmt: skip
    lowest = min(float(np.nanmin(height)) for height in heights.values())
    return figure(
        traces, theme, f"Loss of {len(heights)} optimizers over {step} steps.", 400, dragmode=False,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, "Step", range=[0, total], fixedrange=True, showgrid=False, nticks=6),
        yaxis=axis(theme, "Loss", range=[min(0.0, lowest), 1.15 * start], fixedrange=True, nticks=6),
    )  # fmt: skip


def _mountain(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], z: npt.NDArray[np.float64], lowest: float, paths: Paths,
    heights: Mapping[str, npt.NDArray[np.float64]], step: int, alt: str, theme: Theme,
) -> go.Figure:  # fmt: skip
    colors = palette(theme)
    surface = go.Surface(x=x, y=y, z=z, showscale=False, colorscale=_scale(theme), hoverinfo="skip", opacity=0.96,
                         contours={"z": {"show": True, "color": colors.border, "width": 1}})  # fmt: skip
    traces: list[Any] = [surface]
    lift = 0.03 * float(z.max() - z.min())
    for index, (name, path) in enumerate(paths.items()):
        inside = (np.abs(path[: step + 1, 0]) <= x[-1]) & (np.abs(path[: step + 1, 1]) <= y[-1])
        walked = np.where(inside[:, None], path[: step + 1], np.nan)
        above = np.log1p(np.maximum(heights[name][: step + 1] - lowest, 0.0)) + lift
        color = run_color(index, theme)
        traces.append(go.Scatter3d(x=walked[:, 0], y=walked[:, 1], z=above, mode="lines",
                                   line={"color": color, "width": 6}, hoverinfo="skip"))  # fmt: skip
        head = {"size": 6, "color": color}
        last = {"x": walked[-1:, 0], "y": walked[-1:, 1], "z": above[-1:]}
        traces.append(go.Scatter3d(**last, mode="markers", marker=head, hovertemplate=f"{name}<extra></extra>"))
    side = {"title": {"text": ""}, "showticklabels": False, "gridcolor": colors.border, "showbackground": False,
            "zeroline": False, "showspikes": False}  # fmt: skip
    result = figure(
        traces, theme, alt + ".", 400, margin={"l": 0, "r": 0, "t": 30, "b": 0},
        scene={"xaxis": side, "yaxis": side, "zaxis": side, "aspectratio": {"x": 1.25, "y": 1.0, "z": 0.6},
               "camera": {"eye": {"x": -1.1, "y": -1.35, "z": 0.95}}, "dragmode": "turntable"},
    )  # fmt: skip
    _names(result, list(paths), theme)
    return result


def _fogged(
    x: npt.NDArray[np.float64], y: npt.NDArray[np.float64], z: npt.NDArray[np.float64], paths: Paths, step: int
) -> npt.NDArray[np.float64]:
    """Return heights where some walker sees the ground now, and not a number elsewhere."""
    seen = np.zeros(z.shape, dtype=bool)
    for path in paths.values():
        place = path[step]
        if np.isfinite(place).all():
            across, along = (x - place[0]) / (x[-1] - x[0]), (y - place[1]) / (y[-1] - y[0])
            seen |= across[None, :] ** 2 + along[:, None] ** 2 <= (SIGHT / 2) ** 2
    return np.where(seen, z, np.nan)


def _names(result: go.Figure, names: list[str], theme: Theme) -> None:
    key = "  ".join(
        f'<span style="color:{ink(run_color(index, theme), theme)}">● {name}</span>' for index, name in enumerate(names)
    )
    note(result, key, theme, x=0, y=1, xanchor="left", yanchor="bottom", xshift=-34, yshift=4)


def _scale(theme: Theme) -> list[list[Any]]:
    """Return colours from the valley to the walls: deep, then ever closer to the page."""
    colors = palette(theme)
    shares = (0.45, 0.62, 0.75, 0.85, 0.93, 0.97)
    return [[index / 5, mix(colors.accent, colors.background, share)] for index, share in enumerate(shares)]
