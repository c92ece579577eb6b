"""The table of runs: a line each, with small curves, to sort by any column and to select from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from samplemind_core.charts.style import split_color
from samplemind_core.config import PRESETS
from samplemind_core.training.run_list import RunSummary
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import theme

MAX_SHOWN = 1_000
SPARK_POINTS = 40
_ROWS_HIGH, _ROW_PX = 12, 36
_ADDRESS = "pick"


def table(summaries: Sequence[RunSummary]) -> list[RunSummary]:
    """Draw runs as a table and return those that are selected; the selection stands in the address."""
    shown = list(summaries[:MAX_SHOWN])
    ids = [one.run.id for one in shown]
    wanted = [name for name in st.query_params.get(_ADDRESS, "").split(",") if name]
    # Rows are remembered by their place: another list of runs is another table.
    key = f"runs-table-{hash(tuple(ids)) & 0xFFFFFFFF:x}"
    chosen = st.dataframe(
        _frame(shown),
        key=key,
        hide_index=True,
        height=_ROW_PX * (min(len(shown), _ROWS_HIGH) + 1) + 2,
        row_height=_ROW_PX,
        on_select="rerun",
        selection_mode="multi-row",
        selection_default={"selection": {"rows": [ids.index(name) for name in wanted if name in ids]}},
        column_config=_columns(),
        placeholder="–",
        alt=f"A table of {words.plural(len(shown), 'run')}.",
    )
    if len(summaries) > MAX_SHOWN:
        st.caption(f"The newest {MAX_SHOWN:,} of {len(summaries):,} runs. Search or filter for older ones.")
    rows = [row for row in chosen["selection"]["rows"] if row < len(shown)]
    picked = [shown[row] for row in rows]
    address = ",".join(one.run.id for one in picked)
    if address != st.query_params.get(_ADDRESS, ""):
        if address:
            st.query_params[_ADDRESS] = address
        else:
            st.query_params.pop(_ADDRESS, None)
    return picked


def _frame(summaries: Sequence[RunSummary]) -> Any:
    import pandas as pd

    def column(values: list[Any]) -> Any:
        return pd.Series(values, dtype="float64")

    runs = [one.run for one in summaries]
    return pd.DataFrame(
        {
            "name": [run.name for run in runs],
            "status": [parts.status_word(run) for run in runs],
            "loss_curve": [_spark(one.curve.val_loss) for one in summaries],
            "loss": column([one.best_val_loss for one in summaries]),
            "accuracy_curve": [_spark(one.curve.val_accuracy) for one in summaries],
            "accuracy": column([_percent(one.best_val_accuracy) for one in summaries]),
            "test": column([_percent(one.test_accuracy) for one in summaries]),
            "epochs": [one.num_epochs for one in summaries],
            "minutes": column([one.curve.seconds / 60 or None for one in summaries]),
            "dataset": [f"{one.dataset} · version {one.run.dataset_version}" for one in summaries],
            "preset": [_preset(run.config.get("preset")) for run in runs],
            "parameters": column([run.num_parameters for run in runs]),
            "owner": [run.owner for run in runs],
            "created": pd.to_datetime([run.created_at for run in runs], unit="s"),
            "tags": [list(run.tags) for run in runs],
            "notes": [run.notes for run in runs],
        }
    )


_SEVERAL = "Where samples have several labels: the share that is given exactly its labels."


def _columns() -> dict[str, Any]:
    config = st.column_config
    color = split_color("val", theme())
    best = "Of the best checkpoint."
    return {
        "name": config.TextColumn("Run", pinned=True, width=180),
        "status": config.TextColumn("Status", width=95),
        "loss_curve": config.LineChartColumn("Validation loss", color=color, width=110),
        "loss": config.NumberColumn("Lowest", format="%.3f", width=80, help="The lowest validation loss of the run."),
        "accuracy_curve": config.LineChartColumn("Validation accuracy", color=color, width=150, y_min=0, y_max=1),
        "accuracy": config.NumberColumn(
            "Accuracy", format="%.1f %%", width=85, help=f"On validation clips. {best} {_SEVERAL}"
        ),
        "test": config.NumberColumn(
            "Test", format="%.1f %%", width=80, help=f"On test clips, where judged. {best} For reporting, not choosing."
        ),
        "epochs": config.NumberColumn("Epochs", width=75),
        "minutes": config.NumberColumn("Minutes", format="%.1f", width=80, help="Spent in training steps."),
        "dataset": config.TextColumn("Dataset", width=170),
        "preset": config.TextColumn("Preset", width=90),
        "parameters": config.NumberColumn("Parameters", format="compact", width=95),
        "owner": config.TextColumn("Started by", width=100),
        "created": config.DatetimeColumn("Created", format="distance", width=120),
        "tags": config.ListColumn("Tags", width=140),
        "notes": config.TextColumn("Notes", width=240),
    }


def _spark(values: Sequence[float]) -> list[float]:
    """Return a curve in at most so many points: its first, its last, and even steps between."""
    if len(values) <= SPARK_POINTS:
        return list(values)
    last = len(values) - 1
    return [values[round(place * last / (SPARK_POINTS - 1))] for place in range(SPARK_POINTS)]


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _preset(name: Any) -> str:
    return PRESETS[name].title if name in PRESETS else str(name or "")
