"""Where to draw the line: precision against recall, ROC, and accuracy against coverage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from samplemind_core.charts.style import Theme, axis, class_color, empty_figure, figure, palette, run_color, safe

Floats = npt.NDArray[np.float64]
_HEIGHT_PX = 360
# More points than this do not show, and cost the browser time.
_MAX_POINTS = 400


class Curves(Protocol):
    """One class against all others; ``evaluation.thresholds.ClassCurves`` is one."""

    @property
    def label(self) -> str:
        """Name of the class."""

    @property
    def thresholds(self) -> Floats:
        """From the strictest to the laxest."""

    @property
    def precision(self) -> Floats:
        """Share of the accepted clips that are of the class."""

    @property
    def recall(self) -> Floats:
        """Share of the class's clips that are accepted."""

    @property
    def false_positive_rate(self) -> Floats:
        """Share of the other clips that are accepted."""

    @property
    def average_precision(self) -> float | None:
        """Area under precision against recall."""

    @property
    def auc(self) -> float | None:
        """Area under the ROC curve."""


def precision_recall_figure(curves: Sequence[Curves], class_names: Sequence[str], theme: Theme = "light") -> go.Figure:
    """Draw precision against recall of each class, at every threshold on its probability."""
    return _class_figure(curves, class_names, theme, roc=False)


def roc_figure(curves: Sequence[Curves], class_names: Sequence[str], theme: Theme = "light") -> go.Figure:
    """Draw recall against the share of other clips that are let in, at every threshold."""
    return _class_figure(curves, class_names, theme, roc=True)


def _class_figure(curves: Sequence[Curves], class_names: Sequence[str], theme: Theme, *, roc: bool) -> go.Figure:
    defined = [one for one in curves if (one.auc if roc else one.average_precision) is not None]
    if not defined:
        return empty_figure("These curves need clips of at least two classes.", theme)
    traces, facts = [], []
    for one in defined:
        rows = _thin(len(one.thresholds))
        recall, other = one.recall[rows], (one.false_positive_rate if roc else one.precision)[rows]
        area = one.auc if roc else one.average_precision
        facts.append(f"{one.label} {area:.3f}")
        word = "of the others" if roc else "precision"
        traces.append(
            go.Scatter(
                x=100 * (other if roc else recall),
                y=100 * (recall if roc else other),
                mode="lines",
                name=f"{safe(one.label, 16)} {area:.3f}",
                line={"color": class_color(list(class_names).index(one.label), theme), "width": 2,
                      "shape": "hv" if roc else "linear"},
                hovertext=[
                    f"{safe(one.label)} from {100 * threshold:.1f} % on: recall {100 * hit:.1f} %, "
                    f"{100 * value:.1f} % {word}"
                    for threshold, hit, value in zip(one.thresholds[rows], recall, other, strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    what = "ROC curves by class, area under each" if roc else "Precision against recall by class, average precision"
    x, y = ("Others let in (%)", "Recall (%)") if roc else ("Recall (%)", "Precision (%)")
    return figure(
        traces,
        theme,
        f"{what}: {', '.join(facts)}.",
        _HEIGHT_PX,
        dragmode=False,
        showlegend=True,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, x, range=[-1, 101], fixedrange=True),
        yaxis=axis(theme, y, range=[-1, 102], fixedrange=True),
    )


def risk_coverage_figure(
    curves: Mapping[str, tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]],
    theme: Theme = "light",
    chosen: tuple[float, float] | None = None,
) -> go.Figure:
    """Draw how right the given answers are by how many are given, the least certain refused first.

    Parameters
    ----------
    curves : mapping of str to (coverage, accuracy, thresholds), each array_like of shape (K,)
        Fractions.
    theme : {'light', 'dark'}
    chosen : (coverage, accuracy), optional
        An operating point to mark.
    """
    if not curves:
        return empty_figure("Accuracy against coverage appears here once clips have been classified.", theme)
    colors = palette(theme)
    traces, facts, lowest = [], [], 1.0
    for place, (name, parts) in enumerate(curves.items()):
        coverage, accuracy, thresholds = (np.asarray(part, dtype=np.float64) for part in parts)
        rows = _thin(len(coverage))
        # The first few answers jump between 0 and 100 %, which says nothing.
        settled = accuracy[coverage >= min(0.1, float(coverage[-1]))]
        lowest = min(lowest, float(settled.min()))
        at_90 = int(np.searchsorted(coverage, 0.9 - 1e-9))
        facts.append(
            f"{name} {100 * (accuracy[min(at_90, len(accuracy) - 1)]):.1f} % at 90 % coverage, "
            f"{100 * accuracy[-1]:.1f} % at all"
        )
        traces.append(
            go.Scatter(
                x=100 * coverage[rows],
                y=100 * accuracy[rows],
                mode="lines",
                name=safe(name, 24),
                line={"color": run_color(place, theme), "width": 2.5},
                hovertext=[
                    f"{safe(name)}: answering {100 * share:.1f} % of the clips, those of at least "
                    f"{100 * threshold:.1f} % confidence, "
                    f"{100 * right:.1f} % are right"
                    for share, right, threshold in zip(coverage[rows], accuracy[rows], thresholds[rows], strict=True)
                ],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )
    if chosen is not None:
        traces.append(
            go.Scatter(
                x=[100 * chosen[0]], y=[100 * chosen[1]], mode="markers", showlegend=False,
                marker={"color": colors.background, "size": 13, "line": {"color": colors.text, "width": 2.5}},
                hovertext=[f"Chosen: {100 * chosen[0]:.1f} % answered, {100 * chosen[1]:.1f} % of them right"],
                hovertemplate="%{hovertext}<extra></extra>",
            )
        )  # fmt: skip
    return figure(
        traces,
        theme,
        "Accuracy of the answers that are given: " + "; ".join(facts) + ".",
        _HEIGHT_PX,
        dragmode=False,
        showlegend=len(curves) > 1,
        margin={"l": 8, "r": 12, "t": 30, "b": 8},
        xaxis=axis(theme, "Clips that get an answer (%)", range=[0, 101], fixedrange=True),
        yaxis=axis(theme, "Answers that are right (%)", range=[max(0.0, 100 * lowest - 2), 100.5], fixedrange=True),
    )


def _thin(count: int) -> npt.NDArray[np.int64]:
    return np.unique(np.linspace(0, count - 1, min(count, _MAX_POINTS)).round().astype(np.int64))
