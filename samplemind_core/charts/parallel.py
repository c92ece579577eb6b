"""Settings of many runs against what came out: one line a run, one axis a setting."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from samplemind_core.charts.style import (
    FONT_FAMILY,
    LABEL_SIZE_PX,
    Theme,
    empty_figure,
    figure,
    mix,
    palette,
    plural,
    safe,
)
from samplemind_core.errors import DataError

HEIGHT_PX = 380
MAX_AXES = 8
_MAX_WORDS = 12
_RATIO = 20.0


def parallel_figure(
    settings: Mapping[str, Sequence[Any]],
    result: tuple[str, Sequence[float | None]],
    theme: Theme = "light",
    *,
    lower_is_better: bool = False,
) -> go.Figure:
    """Draw runs as lines over their settings to their result, coloured by it.

    Numbers get a scale, logarithmic where they are spread over more than a factor of twenty; words and
    switches get a place each. Runs without a result are left out. The viewer narrows runs down by
    dragging along an axis.

    Parameters
    ----------
    settings : mapping of str to sequence
        Title of each axis, and the value of each run; None where a run has none. At most eight are drawn.
    result : (str, sequence of float or None)
        Title and value of what came out; None where there is none yet.
    theme : {'light', 'dark'}
    lower_is_better : bool
        Whether the accent marks the lowest results.

    Raises
    ------
    DataError
        If the columns have different lengths.
    """
    title, values = result
    for name, column in settings.items():
        if len(column) != len(values):
            raise DataError(
                f"Expected a value of {name} for each of {len(values)} runs, got {len(column)}.",
                "Pass columns of equal length.",
            )
    kept = [place for place, value in enumerate(values) if value is not None and math.isfinite(value)]
    if len(kept) < 2:
        return empty_figure("Two runs with a result show what a setting does.", theme, HEIGHT_PX)
    axes = [
        _axis(name, [column[place] for place in kept])
        for name, column in settings.items()
        if len({repr(column[place]) for place in kept}) > 1
    ]
    if not axes:
        return empty_figure("These runs have the same settings.", theme, HEIGHT_PX)
    results = [float(values[place] or 0.0) for place in kept]
    colors = palette(theme)
    faint, strong = mix(colors.accent, colors.background, 0.82), colors.accent
    scale = [[0.0, strong], [1.0, faint]] if lower_is_better else [[0.0, faint], [1.0, strong]]
    best = min(results) if lower_is_better else max(results)
    font = {"family": FONT_FAMILY, "size": LABEL_SIZE_PX}
    trace = go.Parcoords(
        dimensions=[*axes[:MAX_AXES], {"label": safe(title), "values": results, **_range(results)}],
        line={"color": results, "colorscale": scale, "cmin": min(results), "cmax": max(results)},
        labelangle=-16,
        labelfont=font | {"color": colors.text},
        tickfont=font | {"color": colors.muted},
        rangefont=font | {"color": "rgba(0,0,0,0)"},
        unselected={"line": {"color": colors.muted, "opacity": 0.06}},
    )
    shown = ", ".join(axis["label"] for axis in axes[:MAX_AXES])
    alt = f"{plural(len(kept), 'run')} over {shown} to {title}; the best reaches {best:.4g}."
    margin = {"l": 64, "r": 40, "t": 72, "b": 20}
    return figure([trace], theme, alt, HEIGHT_PX, margin=margin, shapes=posts(len(axes[:MAX_AXES]) + 1, theme))


def posts(num_axes: int, theme: Theme) -> list[dict[str, Any]]:
    """Return lines where parallel axes stand: Plotly's own are black on any ground."""
    places = [place / max(1, num_axes - 1) for place in range(num_axes)]
    line = {"color": palette(theme).border, "width": 1}
    return [
        {"type": "line", "xref": "paper", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": line,
         "layer": "below"}
        for x in places
    ]  # fmt: skip


def decades(lowest: float, highest: float) -> dict[str, Any]:
    """Return the ticks of a logarithmic axis: powers of ten, and its ends where it holds fewer than two of them.

    Plotly draws a tick beyond the axis's end above its title.
    """
    low, high = math.log10(lowest), math.log10(highest)
    powers = [float(power) for power in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    places = powers if len(powers) > 1 else sorted({low, *powers, high})
    return {"tickvals": places, "ticktext": [f"{float(f'{10**place:.2g}'):g}" for place in places]}


def _axis(name: str, values: list[Any]) -> dict[str, Any]:
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return {"label": safe(name, 20), **_numbers([float(value) for value in values])}
    present = sorted({_word(value) for value in values}, key=_natural)
    shown = [safe(word, 14) for word in present]
    if len(present) > _MAX_WORDS:  # more names than an axis has room for: places without them
        shown = [word if place in (0, len(present) - 1) else "" for place, word in enumerate(shown)]
    places = {word: place for place, word in enumerate(present)}
    return {
        "label": safe(name, 20),
        "values": [places[_word(value)] for value in values],
        "tickvals": list(places.values()),
        "ticktext": shown,
    }


def _numbers(values: list[float]) -> dict[str, Any]:
    lowest, highest = min(values), max(values)
    different = sorted(set(values))
    log = lowest > 0 and highest / lowest > _RATIO
    drawn = [math.log10(value) for value in values] if log else values
    few = {"tickvals": sorted(set(drawn)), "ticktext": [f"{value:g}" for value in different]}
    if len(different) <= 6:
        return {"values": drawn, **few}
    if not log:
        return {"values": drawn, **_range(values)}
    return {"values": drawn, **decades(lowest, highest)}


def _range(values: list[float]) -> dict[str, Any]:
    """Return a range that a single value does not collapse."""
    lowest, highest = min(values), max(values)
    return {"range": [lowest, highest] if highest > lowest else [lowest - 0.5, highest + 0.5]}


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def _natural(word: str) -> tuple[int, float, str]:
    """Sort numbers as numbers, and words after them."""
    try:
        return 0, float(word), word
    except ValueError:
        return 1, 0.0, word
