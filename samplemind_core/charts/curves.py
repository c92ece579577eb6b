"""Learning curves: loss, accuracy and learning rate by epoch, for one run or several.

Rows are what the store keeps per epoch: mappings with ``epoch``, ``train_loss``, ``val_loss``,
``train_accuracy``, ``val_accuracy`` (fractions) and ``lr``. A value that is missing or not finite
leaves a gap in its curve, and the figure says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import plotly.graph_objects as go

from samplemind_core.charts.style import (
    HEIGHT_PX,
    LABEL_SIZE_PX,
    SPLIT_DASHES,
    SPLIT_NAMES,
    Theme,
    axis,
    empty_figure,
    figure,
    ink,
    note,
    palette,
    plural,
    run_color,
    safe,
    split_color,
)
from samplemind_core.errors import ConfigError, DataError

Rows = Sequence[Mapping[str, Any]] | Mapping[str, Sequence[Any]]
Metric = Literal["loss", "accuracy", "map"]

# Loss is in nats and drawn as it is; accuracy is a fraction and drawn in percent.
_TITLES: dict[str, str] = {"loss": "Loss (nats)", "accuracy": "Accuracy (%)", "map": "Mean average precision (%)"}
_NAMES: dict[str, str] = {"loss": "loss", "accuracy": "accuracy", "map": "mean average precision"}
_FACTORS: dict[str, float] = {"loss": 1.0, "accuracy": 100.0, "map": 100.0}
_HOVERS: dict[str, str] = {"loss": "%{y:.3f} nats", "accuracy": "%{y:.1f} %", "map": "%{y:.1f} %"}
_LABEL_GAP_PX = 15.0
_MAX_DIRECT_RUNS = 6

Curve = list[float | None]


def loss_figure(epochs: Rows, theme: Theme = "light", best_epoch: int | None = None) -> go.Figure:
    """Draw training and validation loss by epoch.

    Parameters
    ----------
    epochs : sequence of mappings, or mapping of columns
        One row per epoch, see the module's text.
    theme : {'light', 'dark'}
    best_epoch : int, optional
        The epoch whose checkpoint is kept as best; marked by a line.
    """
    return _split_figure(epochs, "loss", theme, best_epoch)


def accuracy_figure(epochs: Rows, theme: Theme = "light", best_epoch: int | None = None) -> go.Figure:
    """Draw training and validation accuracy by epoch, in percent; see :func:`loss_figure`."""
    return _split_figure(epochs, "accuracy", theme, best_epoch)


def map_figure(epochs: Rows, theme: Theme = "light", best_epoch: int | None = None) -> go.Figure:
    """Draw mean average precision by epoch, in percent; see :func:`loss_figure` and :func:`with_map`."""
    return _split_figure(epochs, "map", theme, best_epoch)


def with_map(epoch: Mapping[str, Any]) -> dict[str, Any]:
    """Return an epoch's row with ``train_map`` and ``val_map``, which are kept beside what its verdict rests on."""
    health = epoch.get("health") or {}
    return {**epoch, "train_map": health.get("probe_map"), "val_map": health.get("val_map")}


def learning_rate_figure(epochs: Rows, theme: Theme = "light") -> go.Figure:
    """Draw the learning rate by epoch on a logarithmic axis; see :func:`loss_figure`."""
    numbers = _epochs(epochs)
    rates = _curve(epochs, "lr", 1.0)
    positive: Curve = [rate if rate is not None and rate > 0 else None for rate in rates]
    if not _finite(positive):
        return empty_figure("The learning rate appears here after the first epoch.", theme)
    color = palette(theme).muted
    alt = f"Learning rate over {plural(len(numbers), 'epoch')}, from {_first(positive):.2g} to {_last(positive):.2g}."
    trace = _line(numbers, positive, color, "solid", "learning rate", "learning rate %{y:.3g}")
    result = figure(
        [trace],
        theme,
        alt,
        hovermode="x unified",
        xaxis=_epoch_axis(numbers, theme),
        yaxis=axis(theme, "Learning rate", type="log", **_rate_ticks(positive)),
    )
    _gap_note(result, _num_gaps([positive]), theme)
    return result


def overlay_figure(runs: Sequence[tuple[str, Rows]], metric: Metric, theme: Theme = "light") -> go.Figure:
    """Lay the curves of several runs over each other: a colour per run, validation dashed.

    Parameters
    ----------
    runs : sequence of (name, epochs)
        In a fixed order, which decides the colours.
    metric : {'loss', 'accuracy', 'map'}
    theme : {'light', 'dark'}

    Raises
    ------
    ConfigError
        If the metric is neither.
    """
    _check_metric(metric)
    colors = palette(theme)
    traces: list[Any] = []
    ends: list[tuple[float, str, str]] = []
    curves: list[Curve] = []
    all_numbers: list[int] = []
    direct = len(runs) <= _MAX_DIRECT_RUNS
    best: list[tuple[float, str]] = []
    num_gaps = 0
    for index, (name, epochs) in enumerate(runs):
        numbers, color = _epochs(epochs), run_color(index, theme)
        all_numbers += numbers
        drawn_before = len(curves)
        # Validation comes last and names the run; a run without it is named by its training curve.
        label: tuple[float, str, str] | None = None
        for split in ("train", "val"):
            values = _curve(epochs, f"{split}_{metric}", _FACTORS[metric])
            if not _finite(values):
                continue
            curves.append(values)
            hover = f"%{{fullData.name}}: {SPLIT_NAMES[split]} {_NAMES[metric]} {_HOVERS[metric]} in epoch %{{x}}"
            trace = _line(numbers, values, color, SPLIT_DASHES[split], safe(name), hover)
            trace.update(opacity=0.55 if split == "train" else 1.0)
            trace.line.width = 1.25 if split == "train" else 2.25
            # The legend, where there is one, lists each run once, by its validation curve.
            trace.showlegend = split == "val" and not direct
            traces.append(trace)
            label = (_last(values), safe(name, 16), color)
            if split == "val":
                pick = min if metric == "loss" else max
                best.append((pick(_finite(values)), name))
        ends += [label] if label else []
        num_gaps += _num_gaps(curves[drawn_before:])
    if not traces:
        return empty_figure("The curves of the chosen runs appear here after their first epoch.", theme)
    key_line = {"color": colors.muted, "width": 1.5}
    for split in ("train", "val"):
        line = key_line | {"dash": SPLIT_DASHES[split]}
        traces.append(
            go.Scatter(x=[None], y=[None], mode="lines", line=line, name=SPLIT_NAMES[split], hoverinfo="skip")
        )
        traces[-1].showlegend = True
    result = figure(
        traces,
        theme,
        _overlay_alt(len(runs), metric, best),
        height=HEIGHT_PX + 40,
        hovermode="closest",
        showlegend=True,
        xaxis=_epoch_axis(all_numbers, theme),
        yaxis=_metric_axis(metric, theme),
    )
    if direct:
        _label_ends(result, ends, curves, metric, HEIGHT_PX + 40, theme)
    _gap_note(result, num_gaps, theme)
    return result


def _split_figure(epochs: Rows, metric: Metric, theme: Theme, best_epoch: int | None) -> go.Figure:
    numbers = _epochs(epochs)
    curves = {split: _curve(epochs, f"{split}_{metric}", _FACTORS[metric]) for split in ("train", "val")}
    if not any(_finite(values) for values in curves.values()):
        if numbers:
            message = f"None of the {plural(len(numbers), 'epoch')} has a finite {_NAMES[metric]}."
        else:
            message = f"The {_NAMES[metric]} appears here after the first epoch."
        return empty_figure(message, theme)
    traces, ends = [], []
    for split, values in curves.items():
        if not _finite(values):
            continue
        name, color = SPLIT_NAMES[split], split_color(split, theme)
        traces.append(
            _line(numbers, values, color, SPLIT_DASHES[split], name, f"{name} {_NAMES[metric]} {_HOVERS[metric]}")
        )
        ends.append((_last(values), name, color))
    result = figure(
        traces,
        theme,
        _split_alt(numbers, curves, metric, best_epoch),
        hovermode="x unified",
        xaxis=_epoch_axis(numbers, theme),
        yaxis=_metric_axis(metric, theme),
    )
    _label_ends(result, ends, list(curves.values()), metric, HEIGHT_PX, theme)
    if best_epoch is not None:
        _mark_best(result, numbers, curves["val"], best_epoch, theme)
    _gap_note(result, _num_gaps(list(curves.values())), theme)
    return result


def _mark_best(result: go.Figure, numbers: list[int], values: Curve, best_epoch: int, theme: Theme) -> None:
    colors = palette(theme)
    line = {"color": colors.muted, "width": 1, "dash": "dot"}
    result.add_shape(type="line", x0=best_epoch, x1=best_epoch, y0=0, y1=1, yref="y domain", line=line, layer="below")
    late = bool(numbers) and best_epoch > (numbers[0] + numbers[-1]) / 2
    note(
        result,
        f"best: epoch {best_epoch}",
        theme,
        x=best_epoch,
        xref="x",
        y=1,
        yref="y domain",
        xanchor="right" if late else "left",
        yanchor="bottom",
        xshift=4 if late else -4,
    )
    value = dict(zip(numbers, values, strict=True)).get(best_epoch)
    if value is not None:
        ring = {"size": 9, "color": colors.background, "line": {"color": split_color("val", theme), "width": 2}}
        result.add_trace(
            go.Scatter(x=[best_epoch], y=[value], mode="markers", marker=ring, name="best epoch", hoverinfo="skip")
        )


def _line(numbers: list[int], values: Curve, color: str, dash: str, name: str, hover: str) -> go.Scatter:
    """Return one curve; where a point has no neighbour to be joined to, every point gets a marker."""
    padded = [None, *values, None]
    alone = any(value is not None and padded[i] is None and padded[i + 2] is None for i, value in enumerate(values))
    return go.Scatter(
        x=numbers,
        y=values,
        name=name,
        mode="lines+markers" if alone else "lines",
        line={"color": color, "width": 2, "dash": dash},
        marker={"color": color, "size": 6},
        connectgaps=False,
        hovertemplate=hover + "<extra></extra>",
    )


def _label_ends(
    result: go.Figure,
    ends: list[tuple[float, str, str]],
    curves: list[Curve],
    metric: Metric,
    height: int,
    theme: Theme,
) -> None:
    """Write each curve's name beside the plot at the height where it ends, pushed apart where two would overlap."""
    finite = [value for values in curves for value in _finite(values)]
    span = max(finite) - (0.0 if metric == "loss" else min(finite)) or 1.0
    # The true scale depends on the page; guessing it a little small keeps the labels apart.
    px_per_unit = (height - 100) / (1.15 * span)
    previous = -math.inf
    for y, text, color in sorted(ends):
        wanted = y * px_per_unit
        placed = max(wanted, previous + _LABEL_GAP_PX)
        previous = placed
        result.add_annotation(
            x=1,
            xref="paper",
            y=y,
            text=text,
            showarrow=False,
            xanchor="left",
            yanchor="middle",
            xshift=7,
            yshift=placed - wanted,
            font={"size": LABEL_SIZE_PX, "color": ink(color, theme)},
        )
    longest = max(len(text) for _, text, _ in ends)
    result.update_layout(margin_r=16 + 7 * longest, margin_t=24)


def _epoch_axis(numbers: list[int], theme: Theme) -> dict[str, Any]:
    # Left to itself Plotly puts a tick at epoch 2.5 when there are few.
    first, last = min(numbers), max(numbers)
    few = {"dtick": 1} if last - first <= 10 else {"nticks": 8}
    # A first epoch alone stands at the right, beside its labels.
    before, after = (0.01 * (last - first), 0.01 * (last - first)) if last > first else (1, 0.06)
    hover_title: dict[str, Any] = {
        "unifiedhovertitle": {"text": "Epoch %{x}"},
        "spikethickness": 1,
        "spikedash": "solid",
        "spikecolor": palette(theme).border,
    }
    return axis(
        theme, "Epoch", showgrid=False, tickformat="d", range=[first - before, last + after], **few, **hover_title
    )


def _metric_axis(metric: Metric, theme: Theme) -> dict[str, Any]:
    if metric == "loss":
        return axis(theme, _TITLES[metric], rangemode="tozero", nticks=6)
    return axis(theme, _TITLES[metric], autorangeoptions={"clipmin": -2, "clipmax": 102}, nticks=6)


def _split_alt(numbers: list[int], curves: dict[str, Curve], metric: Metric, best_epoch: int | None) -> str:
    parts = [
        f"{SPLIT_NAMES[split]} from {_shown(_first(values), metric)} to {_shown(_last(values), metric)}"
        for split, values in curves.items()
        if _finite(values)
    ]
    best = "" if best_epoch is None else f", best in epoch {best_epoch}"
    return f"{_NAMES[metric].capitalize()} over {plural(len(numbers), 'epoch')}: {' and '.join(parts)}{best}."


def _overlay_alt(num_runs: int, metric: Metric, best: list[tuple[float, str]]) -> str:
    start = f"{_NAMES[metric].capitalize()} curves of {plural(num_runs, 'run')}"
    if not best:
        return f"{start}, without validation."
    value, name = min(best) if metric == "loss" else max(best)
    return f"{start}; {name} reaches the best validation {_NAMES[metric]}, {_shown(value, metric)}."


def _shown(value: float, metric: Metric) -> str:
    return f"{value:.3f} nats" if metric == "loss" else f"{value:.1f} %"


def _num_gaps(curves: list[Curve]) -> int:
    """Return in how many epochs of a run one of its curves has a gap."""
    # A run without a validation split has no curve there at all, which is no gap.
    drawn = [values for values in curves if _finite(values)]
    return sum(any(value is None for value in row) for row in zip(*drawn, strict=True))


def _gap_note(result: go.Figure, num_gaps: int, theme: Theme) -> None:
    if num_gaps:
        text = f"{plural(num_gaps, 'epoch')} without a finite value"
        note(result, text, theme, x=0, y=0, xanchor="left", yanchor="bottom", xshift=4)


def _epochs(rows: Rows) -> list[int]:
    return [int(value) for value in _column(rows, "epoch")]


def _curve(rows: Rows, name: str, factor: float) -> Curve:
    values = [None if value is None else float(value) * factor for value in _column(rows, name)]
    return [value if value is not None and math.isfinite(value) else None for value in values]


def _column(rows: Rows, name: str) -> list[Any]:
    if not isinstance(rows, Mapping):
        return [row.get(name) for row in rows]
    length = len(rows.get("epoch", ()))
    values = list(rows[name]) if name in rows else [None] * length
    if len(values) != length:
        raise DataError(
            f"Expected a value of {name} for each of {length} epochs, got {len(values)}.",
            "Pass columns of equal length.",
        )
    return values


def _check_metric(metric: str) -> None:
    if metric not in _TITLES:
        raise ConfigError(f"metric must be one of {', '.join(_TITLES)}, got {metric!r}.", "Choose one of these.")


def _finite(values: Curve) -> list[float]:
    return [value for value in values if value is not None]


def _first(values: Curve) -> float:
    return _finite(values)[0]


def _last(values: Curve) -> float:
    return _finite(values)[-1]


def _rate_ticks(values: Curve) -> dict[str, Any]:
    """Return ticks at powers of ten, or at 1, 2 and 5 times these where the rates span little."""
    finite = _finite(values)
    least, most = math.log10(min(finite)), math.log10(max(finite))
    lowest, highest = math.floor(least), math.ceil(most)
    steps = (1,) if most - least > 2 else (1, 2, 5)
    ticks = [step * 10.0**power for power in range(lowest, highest + 1) for step in steps]
    texts = [f"{tick:.6f}".rstrip("0") if tick >= 9e-5 else f"{tick:.0e}".replace("e-0", "e−") for tick in ticks]
    return {"tickmode": "array", "tickvals": ticks, "ticktext": [text.rstrip(".") for text in texts]}
