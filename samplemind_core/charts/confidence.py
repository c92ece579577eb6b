"""How sure a model is of one clip, and how checkpoints fare class by class."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import (
    LABEL_SIZE_PX,
    Theme,
    axis,
    class_color,
    empty_figure,
    figure,
    ink,
    mix,
    note,
    palette,
    plural,
    run_color,
    safe,
)
from samplemind_core.errors import ConfigError, DataError

ClassMetric = Literal["precision", "recall", "f1", "average_precision"]

_TITLES: dict[str, str] = {
    "precision": "Precision (%)",
    "recall": "Recall (%)",
    "f1": "F1 (%)",
    "average_precision": "Average precision (%)",
}
_SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "pentagon", "star")
_MAX_CHECKPOINTS = 7


class ClassMetrics(Protocol):
    """What a class report must offer; ``evaluation.metrics.ClassReport`` does."""

    @property
    def label(self) -> str:
        """Name of the class."""

    @property
    def precision(self) -> float | None:
        """Share of the predictions that are right."""

    @property
    def recall(self) -> float | None:
        """Share of the clips that are found."""

    @property
    def f1(self) -> float | None:
        """Harmonic mean of the two."""


def confidence_figure(
    probs: npt.ArrayLike,
    class_names: Sequence[str],
    theme: Theme = "light",
    *,
    none: str | None = None,
    inside: Collection[str] | None = None,
) -> go.Figure:
    """Draw one clip's class probabilities as bars, largest first.

    Parameters
    ----------
    probs : array_like, shape (C,)
        Fractions.
    class_names : sequence of str, length C
    theme : {'light', 'dark'}
    none : str, optional
        The name among them that stands for none of the classes; it has no class colour.
    inside : collection of str, optional
        Names in the prediction set; the others are written in a muted tone.

    Raises
    ------
    DataError
        If the lengths differ or a probability lies outside [0, 1].
    """
    shares = np.asarray(probs, dtype=np.float64)
    if shares.shape != (len(class_names),):
        raise DataError(
            f"Expected one probability per class ({len(class_names)}), got shape {shares.shape}.",
            "Use the class names that are stored with the checkpoint.",
        )
    if shares.size == 0 or np.isnan(shares).any():
        return empty_figure("There is no confidence to show for this clip.", theme)
    # A little beyond the ends is rounding of float32 softmax; more is a caller passing logits.
    if shares.min() < -1e-6 or shares.max() > 1 + 1e-6:
        raise DataError(
            f"Expected probabilities from 0 to 1, got {shares.min():.3g} to {shares.max():.3g}.",
            "Pass the softmax of the logits.",
        )
    colors = palette(theme)
    order = np.argsort(-shares, kind="stable")
    names = [class_names[i] for i in order]
    quiet = mix(colors.border, colors.muted, 0.35)
    first = colors.text if names[0] == none else class_color(int(order[0]), theme)
    likely = set(names[:1] if inside is None else inside)
    paler = [
        mix(class_color(int(i), theme), colors.background, 0.45) if class_names[i] in likely else quiet for i in order
    ]
    bars = go.Bar(
        x=(100 * shares[order]).tolist(),
        y=list(range(len(order))),
        orientation="h",
        marker={
            "color": [first, *paler[1:]],
            "line": {"width": 0},
            "cornerradius": 4,
        },
        text=[percent(float(shares[i])) for i in order],
        textposition="outside",
        textfont={"size": LABEL_SIZE_PX, "color": [colors.text if name in likely else colors.muted for name in names]},
        cliponaxis=False,
        customdata=names,
        hovertext=[f"The model gives {safe(class_names[i])} {percent(float(shares[i]))}" for i in order],
        hovertemplate="%{hovertext}<extra></extra>",
        hoverlabel={"bgcolor": colors.surface},
    )
    top = names[0]
    alt = f"Confidence by class: {top} first with {percent(float(shares[order[0]]))}"
    if len(order) > 1:
        alt += f", then {names[1]} with {percent(float(shares[order[1]]))}"
    return figure(
        [bars],
        theme,
        alt + ".",
        max(160, 30 * len(order) + 64),
        bargap=0.32,
        dragmode=False,
        margin={"l": 8, "r": 52, "t": 8, "b": 8},
        xaxis=axis(theme, "Confidence (%)", range=[0, 100], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=class_axis(names, theme),
    )


def class_metric_figure(
    reports_by_name: Mapping[str, Sequence[ClassMetrics]], metric: ClassMetric = "recall", theme: Theme = "light"
) -> go.Figure:
    """Draw a metric per class for one to seven checkpoints, as dots on a common scale.

    Parameters
    ----------
    reports_by_name : mapping of str to sequence of class reports
        Per checkpoint one report per class, in the same order of classes. Where a report has
        ``recall_interval`` or ``precision_interval``, whiskers show it.
    metric : {'precision', 'recall', 'f1', 'average_precision'}
        The last only of reports that have it, on clips with several labels.
    theme : {'light', 'dark'}

    Raises
    ------
    ConfigError
        If the metric is unknown or there are more than seven checkpoints.
    DataError
        If the checkpoints report different classes.
    """
    if metric not in _TITLES:
        raise ConfigError(f"metric must be one of {', '.join(_TITLES)}, got {metric!r}.", "Choose one of these.")
    if len(reports_by_name) > _MAX_CHECKPOINTS:
        raise ConfigError(
            f"At most {_MAX_CHECKPOINTS} checkpoints fit one figure, got {len(reports_by_name)}.",
            "Choose fewer checkpoints.",
        )
    labels = [report.label for report in next(iter(reports_by_name.values()), ())]
    if not labels:
        return empty_figure("Metrics per class appear here once a checkpoint has been evaluated.", theme)
    for name, reports in reports_by_name.items():
        if [report.label for report in reports] != labels:
            raise DataError(
                f"Expected the classes {', '.join(labels)} from every checkpoint; '{name}' has others.",
                "Compare checkpoints that were trained on the same dataset.",
            )
    lanes = len(reports_by_name)
    height = len(labels) * max(34, 18 * lanes + 12) + (92 if lanes > 1 else 70)
    traces = []
    undefined: list[tuple[float, str]] = []
    for lane, (name, reports) in enumerate(reports_by_name.items()):
        offset = (lane - (lanes - 1) / 2) * 0.66 / lanes
        color = run_color(lane, theme)
        traces.append(_dots(name, reports, metric, offset, color, _SYMBOLS[lane], theme))
        undefined += [(i + offset, color) for i, report in enumerate(reports) if getattr(report, metric) is None]
    result = figure(
        traces,
        theme,
        _metric_alt(reports_by_name, metric),
        height,
        hovermode="closest",
        dragmode=False,
        showlegend=lanes > 1,
        margin={"l": 8, "r": 20, "t": 30 if lanes > 1 else 10, "b": 8},
        xaxis=axis(theme, _TITLES[metric], range=[-2, 102], tickvals=[0, 25, 50, 75, 100], fixedrange=True),
        yaxis=class_axis(labels, theme),
    )
    why = {"recall": "no clips", "precision": "never predicted", "f1": "no clips, never predicted"}.get(
        metric, "no clips"
    )
    for y, color in undefined:
        where = {"x": 0, "xref": "x", "y": y, "yref": "y", "xanchor": "left", "yanchor": "middle"}
        note(result, why, theme, **where)
        result.layout.annotations[-1].font.color = ink(color, theme) if lanes > 1 else palette(theme).muted
    return result


def _dots(
    name: str, reports: Sequence[ClassMetrics], metric: str, offset: float, color: str, symbol: str, theme: Theme
) -> go.Scatter:
    values = [getattr(report, metric) for report in reports]
    intervals = [getattr(report, f"{metric}_interval", None) for report in reports]
    whiskers = None
    if any(interval is not None for interval in intervals):
        reach = [
            (0.0, 0.0) if value is None or ends is None else (100 * (ends[1] - value), 100 * (value - ends[0]))
            for value, ends in zip(values, intervals, strict=True)
        ]
        whiskers = {
            "type": "data",
            "symmetric": False,
            "array": [up for up, _ in reach],
            "arrayminus": [down for _, down in reach],
            "thickness": 1.5,
            "width": 0,
            "color": mix(color, palette(theme).background, 0.45),
        }
    return go.Scatter(
        x=[None if value is None else 100 * value for value in values],
        y=[i + offset for i in range(len(reports))],
        mode="markers",
        name=safe(name, 24),
        marker={"color": color, "size": 9, "symbol": symbol, "line": {"width": 0}},
        error_x=whiskers,
        customdata=[report.label for report in reports],
        hovertext=[
            _dot_sentence(name, report.label, metric, value, ends)
            for report, value, ends in zip(reports, values, intervals, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def _dot_sentence(name: str, label: str, metric: str, value: float | None, ends: Any) -> str:
    if value is None:
        return ""
    word = "F1" if metric == "f1" else metric.replace("_", " ")
    between = "" if ends is None else f", 95 % interval {100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
    return f"{safe(name)}: {word} of {safe(label)} {100 * value:.1f} %{between}"


def _metric_alt(reports_by_name: Mapping[str, Sequence[ClassMetrics]], metric: str) -> str:
    name, reports = next(iter(reports_by_name.items()))
    defined = [(getattr(report, metric), report.label) for report in reports if getattr(report, metric) is not None]
    word = "F1" if metric == "f1" else metric.replace("_", " ").capitalize()
    start = f"{word} of {plural(len(reports), 'class')} for {plural(len(reports_by_name), 'checkpoint')}"
    if not defined:
        return f"{start}; undefined for every class of {name}."
    value, label = min(defined)
    return f"{start}; lowest in {name} for {label}, {100 * value:.0f} %."


def class_axis(names: Sequence[str], theme: Theme) -> dict[str, Any]:
    """Return a vertical axis with the classes from top to bottom."""
    ticks = {"tickmode": "array", "tickvals": list(range(len(names))), "ticktext": [safe(name, 18) for name in names]}
    down = {"range": [len(names) - 0.5, -0.5], "fixedrange": True, "showgrid": False, "ticksuffix": " "}
    look = {"tickfont": {"size": 13, "color": palette(theme).text}}
    return axis(theme, "Class", **ticks, **down, **look)


def percent(share: float) -> str:
    """Return a share in percent, never rounded to certainty."""
    whole = 100 * share
    if 0 < whole < 1:
        return "< 1 %"
    if 99 < whole < 100:
        # Never a promise of certainty that rounding made up.
        return f"{math.floor(whole * 10) / 10:.1f} %"
    return f"{whole:.0f} %"
