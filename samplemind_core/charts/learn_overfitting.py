"""Two curves that part and meet again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from samplemind_core.charts.curves import loss_figure
from samplemind_core.charts.style import Theme, palette

HEIGHT_PX = 320


def cure_figure(
    rows: Sequence[Mapping[str, Any]],
    before: Sequence[Mapping[str, Any]],
    num_epochs: int,
    theme: Theme = "light",
) -> go.Figure:
    """Draw the losses of a run over those of the try before it, on axes that stand still while it trains.

    Parameters
    ----------
    rows : sequence of mappings
        ``epoch``, ``train_loss`` and ``val_loss`` of each epoch so far.
    before : sequence of mappings
        The same of another run; its validation loss is drawn in grey.
    num_epochs : int
        Longest run, for the axis.
    theme : {'light', 'dark'}
    """
    best = min(rows, key=lambda row: row["val_loss"])["epoch"] if len(rows) > 2 else None
    result = loss_figure(list(rows), theme, best)
    result.update_layout(height=HEIGHT_PX)
    if not rows:
        return result
    if before:
        result.add_trace(
            go.Scatter(
                x=[row["epoch"] for row in before],
                y=[row["val_loss"] for row in before],
                mode="lines",
                name="validation, try before",
                line={"color": palette(theme).muted, "width": 1.5, "dash": "dash"},
                opacity=0.6,
                hovertemplate="validation loss of the try before %{y:.3f} nats<extra></extra>",
            )
        )
        result.layout.meta["alt"] += f" The try before ended at a validation loss of {before[-1]['val_loss']:.3f} nats."
    highest = max(row[name] for row in [*rows, *before] for name in ("train_loss", "val_loss"))
    result.update_xaxes(range=[0.6, num_epochs + 0.4])
    result.update_yaxes(range=[0, 1.08 * max(1.0, highest)])
    return result
