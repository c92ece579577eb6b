"""What a search for settings found: the best so far, trials across their settings, and which settings mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import plotly.graph_objects as go

from samplemind_core.charts.parallel import decades, posts
from samplemind_core.charts.style import (
    LABEL_SIZE_PX,
    Theme,
    axis,
    empty_figure,
    figure,
    mix,
    palette,
    plural,
    safe,
)

MAX_AXES = 8


class TrialLike(Protocol):
    """What a trial must offer; ``search.study.TrialResult`` does."""

    @property
    def number(self) -> int:
        """Its place in the search."""

    @property
    def state(self) -> str:
        """complete, pruned, failed, running or waiting."""

    @property
    def value(self) -> float | None:
        """What it reached."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Its settings by path."""


def best_so_far_figure(trials: Sequence[TrialLike], title: str, *, minimise: bool, theme: Theme = "light") -> go.Figure:
    """Draw every trial's value and the best so far.

    Parameters
    ----------
    trials : sequence of trials
    title : str
        What the value is; what is made large is a share, and drawn in percent.
    minimise : bool
        Whether less is better.
    theme : {'light', 'dark'}
    """
    colors = palette(theme)
    scale = 1.0 if minimise else 100.0
    done = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    pruned = [trial for trial in trials if trial.state == "pruned" and trial.value is not None]
    if not done:
        return empty_figure("The first trial is under way.", theme)
    best: list[float] = []
    for trial in done:
        assert trial.value is not None
        best.append(trial.value if not best else min(best[-1], trial.value) if minimise else max(best[-1], trial.value))
    # A trial that diverged, or ended early, would squeeze all others into a line: what lies outside is drawn as a small
    # triangle at the edge that it left by.
    values = sorted(scale * (trial.value or 0.0) for trial in done)
    low, high = values[0], values[-1]
    if minimise:
        high = min(high, values[len(values) // 2] + 3 * (values[len(values) // 2] - low) + 1e-3)
    pad = 0.08 * (high - low) or 0.05 * abs(high) or 0.01
    bottom, top = low - pad, high + pad
    # The legend shows the symbol of the first.
    pruned.sort(key=lambda trial: not bottom <= scale * (trial.value or 0.0) <= top)
    ends = [*(trial.number + 1 for trial in done), max(len(trials), done[-1].number + 1)]
    traces = [
        go.Scatter(
            x=[trial.number + 1 for trial in shown],
            y=[min(max(scale * (trial.value or 0.0), bottom), top) for trial in shown],
            customdata=[scale * (trial.value or 0.0) for trial in shown],
            mode="markers",
            name=name,
            marker={
                "color": color,
                "size": size,
                "symbol": [_symbol(scale * (trial.value or 0.0), bottom, top, symbol) for trial in shown],
            },
            cliponaxis=False,
            hovertemplate=f"Trial %{{x}}, {name}: %{{customdata:.4g}}<extra></extra>",
        )
        for shown, name, color, size, symbol in (
            (done, "completed", mix(colors.accent, colors.background, 0.35), 8, "circle"),
            (pruned, "ended early", colors.muted, 7, "x-thin-open"),
        )
        if shown
    ]
    traces.append(
        go.Scatter(
            x=ends, y=[scale * value for value in [*best, best[-1]]], mode="lines", name="best so far",
            line={"color": colors.accent, "width": 2, "shape": "hv"}, hoverinfo="skip",
        )
    )  # fmt: skip
    return figure(
        traces,
        theme,
        f"{title} by trial, {plural(len(trials), 'trial')}; the best so far is {scale * best[-1]:.4g}.",
        xaxis=axis(theme, "Trial", tick0=0, dtick=max(1, math.ceil(len(trials) / 10)), rangemode="tozero"),
        yaxis=axis(theme, title if minimise else f"{title} (%)", range=[bottom, top]),
        hovermode="closest",
        showlegend=True,
        margin={"l": 8, "r": 12, "t": 36, "b": 8},
    )


def trials_figure(
    trials: Sequence[TrialLike], labels: Mapping[str, str], title: str, *, minimise: bool, theme: Theme = "light"
) -> go.Figure:
    """Draw completed trials as lines through their settings, coloured by what they reached.

    Parameters
    ----------
    trials : sequence of trials
    labels : mapping of str to str
        Names of the settings by path, in the order of the axes; at most :data:`MAX_AXES` are drawn.
    title : str
        What the value is.
    minimise : bool
    theme : {'light', 'dark'}
    """
    done = [trial for trial in trials if trial.state == "complete" and trial.value is not None]
    if len(done) < 2:
        return empty_figure("Two completed trials are needed to compare their settings.", theme)
    colors = palette(theme)
    scale = 1.0 if minimise else 100.0
    values = [scale * (trial.value or 0.0) for trial in done]
    axes = [_axis(labels[path], [trial.settings.get(path) for trial in done]) for path in list(labels)[:MAX_AXES]]
    # The worst of a search can be worse by far: colours are for telling the good ones apart.
    ranked = sorted(values, reverse=not minimise)
    good, poor = ranked[0], ranked[max(1, len(ranked) * 3 // 4 - 1)]
    if good == poor:
        # Wide enough for the single precision of the graphics card, which draws no line at all otherwise.
        poor = good + (1 if minimise else -1) * max(1e-3 * abs(good), 1e-6)
    faint = mix(colors.background, colors.muted, 0.45)
    trace = go.Parcoords(
        line={
            "color": values,
            "colorscale": [[0, colors.accent], [1, faint]] if minimise else [[0, faint], [1, colors.accent]],
            "cmin": min(good, poor),
            "cmax": max(good, poor),
        },
        dimensions=[*axes, {"label": "Reached" if minimise else "Reached (%)", "values": values}],
        labelfont={"size": LABEL_SIZE_PX, "color": colors.text},
        tickfont={"size": LABEL_SIZE_PX - 1, "color": colors.muted},
        rangefont={"size": 1, "color": "rgba(0,0,0,0)"},
        unselected={"line": {"opacity": 0.1}},
    )
    return figure(
        [trace],
        theme,
        f"{plural(len(done), 'completed trial')} across {plural(len(axes), 'setting')}; strong lines have the best "
        f"{title.lower()}.",
        360,
        margin={"l": 72, "r": 56, "t": 48, "b": 24},
        shapes=posts(len(axes) + 1, theme),
    )


def importance_figure(importance: Mapping[str, float], labels: Mapping[str, str], theme: Theme = "light") -> go.Figure:
    """Draw which settings made the best trials good, as shares.

    Parameters
    ----------
    importance : mapping of str to float
        Share of each setting by path, the largest first.
    labels : mapping of str to str
        Names by path.
    theme : {'light', 'dark'}
    """
    if not importance:
        return empty_figure("Which settings matter is said after ten completed trials.", theme, 160)
    colors = palette(theme)
    names = [safe(labels.get(path, path), 28) for path in importance]
    shares = [100 * share for share in importance.values()]
    top = next(iter(importance))
    trace = go.Bar(
        x=shares, y=names, orientation="h", marker={"color": colors.accent, "line": {"width": 0}},
        text=[f"{share:.0f} %" for share in shares], textposition="outside", cliponaxis=False,
        textfont={"size": LABEL_SIZE_PX, "color": colors.muted},
        hovertemplate="%{y}: %{x:.0f} %<extra></extra>",
    )  # fmt: skip
    return figure(
        [trace],
        theme,
        f"{labels.get(top, top)} mattered most, {100 * importance[top]:.0f} %.",
        34 * len(names) + 70,
        bargap=0.45,
        xaxis=axis(theme, "Share in what made the best trials good (%)", range=[0, 110], fixedrange=True),
        yaxis=axis(theme, "", autorange="reversed", showgrid=False, fixedrange=True, ticksuffix=" "),
    )


def _axis(label: str, values: Sequence[Any]) -> dict[str, Any]:
    """Return one axis of the parallel coordinates: a number, its logarithm where it spans decades, or choices."""
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        numbers = [float(value) for value in values]
        low, high = min(numbers), max(numbers)
        if low > 0 and high / low >= 20:
            return {
                "label": safe(label, 22),
                "values": [math.log10(value) for value in numbers],
                **decades(low, high),
                "range": [math.log10(low), math.log10(high)],
            }
        if len(set(numbers)) > 6 or low == high or not all(number.is_integer() for number in numbers):
            return {"label": safe(label, 22), "values": numbers}
        values = numbers
    known = sorted({_word(value) for value in values}, key=lambda word: (len(word), word))
    return {
        "label": safe(label, 22),
        "values": [known.index(_word(value)) for value in values],
        "tickvals": list(range(len(known))),
        "ticktext": known,
    }


def _symbol(value: float, bottom: float, top: float, inside: str) -> str:
    return "triangle-down-open" if value < bottom else "triangle-up-open" if value > top else inside


def _word(value: Any) -> str:
    return "off" if value is None else f"{value:g}" if isinstance(value, int | float) else str(value)
