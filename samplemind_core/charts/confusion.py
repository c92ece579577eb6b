"""Who is taken for whom: the confusion matrix, and what changed between two of them.

Colour is drawn by heatmaps, which fit their cells at any width; on top lie clear square
markers that take the clicks, because a click on a heatmap selects nothing in Streamlit. The
markers' ``customdata`` is ``[true name, predicted name, count]``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import (
    Theme,
    axis,
    empty_figure,
    figure,
    mix,
    palette,
    plural,
    safe,
    translucent,
)
from samplemind_core.errors import ConfigError, DataError

Mode = Literal["counts", "row_percent"]

# The faintest tint that still shows, so that one clip in a thousand does not look like none.
_FAINTEST = 0.08


def confusion_figure(
    matrix: npt.ArrayLike, class_names: Sequence[str], theme: Theme = "light", mode: Mode = "counts"
) -> go.Figure:
    """Draw a confusion matrix; right answers in the accent colour, errors in a warm one.

    Parameters
    ----------
    matrix : array_like of int, shape (C, C)
        Clips by true class (rows) and predicted class (columns).
    class_names : sequence of str, length C
    theme : {'light', 'dark'}
    mode : {'counts', 'row_percent'}
        What the cells say. Their colour always shows the share of the row, so that large classes
        do not outshine small ones; errors by its root.

    Raises
    ------
    DataError
        If the matrix is not C × C or holds negative or missing counts.
    ConfigError
        If the mode is unknown.
    """
    if mode not in ("counts", "row_percent"):
        raise ConfigError(f"mode must be 'counts' or 'row_percent', got {mode!r}.", "Choose one of the two.")
    counts = _checked(matrix, class_names)
    num_clips = int(counts.sum())
    if num_clips == 0:
        return empty_figure("The confusion matrix appears here once clips have been classified.", theme)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros(counts.shape), where=totals > 0)
    diagonal = np.eye(len(counts), dtype=bool)
    texts = np.where(
        counts == 0,
        "",
        [[_percent(share) for share in row] for row in shares] if mode == "row_percent" else _grouped(counts),
    )
    hovers = [
        [_cell_sentence(class_names, t, p, int(counts[t, p]), int(totals[t, 0])) for p in range(len(counts))]
        for t in range(len(counts))
    ]
    errors = np.where(diagonal, 0, counts)
    true, predicted = np.unravel_index(int(errors.argmax()), errors.shape)
    alt = f"Confusion matrix of {plural(num_clips, 'clip')}: {100 * counts.trace() / num_clips:.1f} % right"
    if errors.any():
        worst = plural(int(errors.max()), "clip")
        alt += f"; the most common error takes {class_names[int(true)]} for {class_names[int(predicted)]} ({worst})"
    title = "True class" if mode == "counts" else "True class (cells: % of its clips)"
    # Errors are small shares of a row; the root spreads them, so that the frequent ones stand out.
    strength = np.where(diagonal, shares, -np.sqrt(shares))
    return _grid(strength, counts, texts, hovers, class_names, theme, alt + ".", title)


def confusion_difference_figure(
    a: npt.ArrayLike, b: npt.ArrayLike, class_names: Sequence[str], theme: Theme = "light"
) -> go.Figure:
    """Draw how confusion changes from A to B on the same clips.

    The numbers are B's counts minus A's. The accent colour marks change for the better (more right
    answers, fewer errors), the warm colour change for the worse.

    Parameters
    ----------
    a, b : array_like of int, shape (C, C)
    class_names : sequence of str, length C
    theme : {'light', 'dark'}

    Raises
    ------
    DataError
        If a matrix is not C × C, holds negative counts, or the two do not count the same clips.
    """
    before, after = _checked(a, class_names), _checked(b, class_names)
    if (before.sum(axis=1) != after.sum(axis=1)).any():
        raise DataError(
            f"Expected two matrices of the same clips, got {before.sum()} and {after.sum()} clips in other classes.",
            "Evaluate both checkpoints on the same split.",
        )
    change = after - before
    if not before.any():
        return empty_figure("The difference appears here once clips have been classified.", theme)
    diagonal = np.eye(len(change), dtype=bool)
    gain = np.where(diagonal, change, -change)
    largest = max(1, int(np.abs(change).max()))
    texts = np.where(change == 0, "", [[f"{value:+,}".replace("-", "−") for value in row] for row in change.tolist()])
    hovers = [
        [_change_sentence(class_names, t, p, int(before[t, p]), int(after[t, p])) for p in range(len(change))]
        for t in range(len(change))
    ]
    right = int(change.trace())
    word = "more" if right > 0 else "fewer"
    alt = "Change of the confusion matrix from A to B: " + (
        f"{plural(abs(right), 'clip')} {word} right." if right else "as many clips right."
    )
    return _grid(gain / largest, change, texts, hovers, class_names, theme, alt, "True class (cells: B − A, clips)")


def _grid(
    strength: npt.NDArray[np.float64],
    counts: npt.NDArray[np.int64],
    texts: npt.NDArray[Any],
    hovers: list[list[str]],
    class_names: Sequence[str],
    theme: Theme,
    alt: str,
    row_title: str,
) -> go.Figure:
    """Return the figure; ``strength`` in [-1, 1] tints a cell: accent above 0, warm below."""
    colors = palette(theme)
    size = len(class_names)
    height = int(np.clip(40 * size + 110, 320, 620))
    cell_px = (height - 110) / size
    font_px = float(np.clip(cell_px * 0.36, 8, 14))
    visible = np.sign(strength) * (_FAINTEST + (1 - _FAINTEST) * np.abs(strength))
    # On a dark page the full hues are too bright for white numbers, the only ink that suits the other cells.
    depth = 0.3 if theme == "dark" else 0.0
    best, worst = mix(colors.accent, colors.background, depth), mix(colors.warm, colors.background, depth)
    places = list(range(size))
    heatmap = go.Heatmap(
        x=places,
        y=places,
        z=visible,
        zmin=-1,
        zmax=1,
        colorscale=[
            [0.0, worst],
            [0.5, colors.surface],
            [1.0, best],
        ],
        showscale=False,
        xgap=2,
        ygap=2,
        # Without a colour of its own the text contrasts with each cell, and a choice does not dim it.
        text=texts.tolist(),
        texttemplate="%{text}",
        textfont={"size": font_px},
        hoverinfo="skip",
    )
    cells = [(true, predicted) for true in places for predicted in places]
    markers = go.Scatter(
        x=[predicted for _, predicted in cells],
        y=[true for true, _ in cells],
        mode="markers",
        customdata=[
            [class_names[true], class_names[predicted], int(counts[true, predicted])] for true, predicted in cells
        ],
        hovertext=[hovers[true][predicted] for true, predicted in cells],
        hovertemplate="%{hovertext}<extra></extra>",
        marker={
            "symbol": "square",
            "size": 0.9 * cell_px,
            "color": "rgba(0,0,0,0)",
            "line": {"width": 0},
        },
        # A chosen cell keeps its colour and so do the others; the choice shows as a veil over the cell.
        selected={"marker": {"color": translucent(colors.text, 0.18), "opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )
    labels = [safe(name, 14 if size <= 10 else 10) for name in class_names]
    ticks: dict[str, Any] = {
        "tickmode": "array",
        "tickvals": places,
        "ticktext": labels,
        "showgrid": False,
        "range": [-0.5, size - 0.5],
        "constrain": "domain",
        "ticks": "",
    }
    down = {"range": [size - 0.5, -0.5], "constraintoward": "top", "scaleanchor": "x", "scaleratio": 1}
    slanted = {"tickangle": -40} if size > 6 or max(map(len, labels)) * 7 > cell_px * 1.4 else {"tickangle": 0}
    return figure(
        [heatmap, markers],
        theme,
        alt,
        height,
        hovermode="closest",
        # Any point of a cell answers, also where a wide page makes cells larger than their markers.
        hoverdistance=-1,
        clickmode="event+select",
        dragmode=False,
        xaxis=axis(theme, "Predicted class", **ticks, **slanted),
        yaxis=axis(theme, row_title, **(ticks | down)),
    )


def _checked(matrix: npt.ArrayLike, class_names: Sequence[str]) -> npt.NDArray[np.int64]:
    counts = np.asarray(matrix, dtype=np.float64)
    size = len(class_names)
    if counts.shape != (size, size) or size == 0:
        raise DataError(
            f"Expected a {size} × {size} matrix for {plural(size, 'class')}, got shape {counts.shape}.",
            "Use the class names of the same evaluation.",
        )
    if not (np.isfinite(counts).all() and (counts >= 0).all() and (counts == np.rint(counts)).all()):
        raise DataError("Expected counts of clips, got negative, missing or broken numbers.", "Pass raw counts.")
    return counts.astype(np.int64)


def _grouped(counts: npt.NDArray[np.int64]) -> list[list[str]]:
    return [[f"{count:,}" for count in row] for row in counts.tolist()]


def _percent(share: float) -> str:
    if 0 < share < 0.01:
        return "<1"
    return ">99" if 0.99 < share < 1 else f"{100 * share:.0f}"


def _cell_sentence(class_names: Sequence[str], true: int, predicted: int, count: int, total: int) -> str:
    name, other = safe(class_names[true]), safe(class_names[predicted])
    if total == 0:
        return f"There are no {name} clips"
    share = f"{count:,} of {plural(total, f'{name} clip')} ({100 * count / total:.0f} %)"
    return f"{share} recognised" if true == predicted else f"{share} taken for {other}"


def _change_sentence(class_names: Sequence[str], true: int, predicted: int, before: int, after: int) -> str:
    name, other = safe(class_names[true]), safe(class_names[predicted])
    what = "recognised" if true == predicted else f"taken for {other}"
    return f"{plural(before, f'{name} clip')} {what} by A, {after:,} by B"
