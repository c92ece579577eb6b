"""Small pieces that several pages show: titles, badges, empty states, descriptions of runs."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import streamlit as st

from samplemind_core.ui import words
from samplemind_core.ui.places import Place, go

if TYPE_CHECKING:
    import plotly.graph_objects as go_figures

    from samplemind_core.store import Dataset, Run
    from samplemind_core.workspace import Workspace

Color = Literal["red", "orange", "blue", "green", "gray", "primary"]

# Zooming by the wheel would hold up the page that is being scrolled.
_MAP_TOOLS = {
    "displayModeBar": True,
    "displaylogo": False,
    "modeBarButtonsToRemove": ["toImage", "autoScale2d", "zoomIn2d", "zoomOut2d"],
}

_STATUS: dict[str, tuple[str, str, Color]] = {
    "queued": ("Queued", ":material/schedule:", "gray"),
    "running": ("Running", ":material/bolt:", "primary"),
    "stopping": ("Stopping", ":material/hourglass_bottom:", "gray"),
    "finished": ("Finished", ":material/check:", "green"),
    "stopped": ("Stopped", ":material/stop:", "gray"),
    "failed": ("Failed", ":material/error:", "red"),
    "interrupted": ("Interrupted", ":material/power_off:", "orange"),
}
_PAUSED: tuple[str, str, Color] = ("Paused", ":material/pause:", "gray")
_GOOD = {"healthy", "converged", "good"}
_BAD = {"unstable", "diverging", "divergence", "diverged", "failed", "non_finite"}
_EARLY = {"too_early", "unknown", ""}


def header(title: str, caption: str = "") -> None:
    """Draw a page's title and one line on what it is for."""
    st.title(title, anchor=False)
    if caption:
        st.caption(caption)


def section(title: str) -> None:
    """Draw a heading inside a page."""
    st.subheader(title, anchor=False)


def empty_state(line: str, button: str, place: Place, *, key: str, icon: str) -> None:
    """Say in one line what will be here, with the one button that gets there."""
    with st.container(border=True, horizontal_alignment="center", gap="medium"):
        st.space("small")
        st.markdown(line, text_alignment="center")
        if st.button(button, key=key, type="primary", icon=icon):
            go(place)
        st.space("small")


def status_badge(run: Run, *, with_epoch: bool = True) -> None:
    """Draw a run's status as a word with an icon, and how far it is where nothing else says so."""
    word, icon, color = _PAUSED if run.paused and run.status == "stopped" else _STATUS[run.status]
    progress = run.progress
    if with_epoch and run.status == "running" and progress.get("epoch"):
        word = f"{word} · epoch {progress['epoch']}/{progress.get('epochs', '?')}"
    st.badge(word, icon=icon, color=color)


def status_word(run: Run) -> str:
    """Return a run's status as one word."""
    return (_PAUSED if run.paused and run.status == "stopped" else _STATUS[run.status])[0]


def verdict(health: Mapping[str, Any]) -> None:
    """Draw what the curves say about a run: a badge, and the reason in plain words."""
    name = str(health.get("verdict", ""))
    if not name:
        return
    if name in _GOOD:
        icon, color = ":material/check_circle:", "green"
    elif name in _BAD:
        icon, color = ":material/error:", "red"
    elif name in _EARLY:
        icon, color = ":material/hourglass_empty:", "gray"
    else:
        icon, color = ":material/warning:", "orange"
    title = str(health.get("title") or name.replace("_", " ").capitalize())
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(title, icon=icon, color=color)  # type: ignore[arg-type]
        if health.get("reason"):
            st.caption(str(health["reason"]), width="stretch")


def run_label(run: Run) -> str:
    """Return a run as one line of a select box."""
    return f"{run.name} · {status_word(run).lower()} · {words.when(run.created_at)}"


def dataset_label(dataset: Dataset) -> str:
    """Return a dataset as one line of a select box."""
    samples, classes = words.plural(dataset.num_clips, "sample"), words.plural(len(dataset.class_names), "class")
    return f"{dataset.name} · {samples}, {classes}"


def synthetic_badge() -> None:
    """Mark sounds that this product made itself."""
    st.badge(
        "Synthetic",
        icon=":material/science:",
        color="gray",
        help="These sounds were made by SampleMind to try things out. Accuracy on them says little about real samples.",
    )


def figure(
    chart: go_figures.Figure,
    *,
    key: str,
    on_click: Callable[[], None] | None = None,
    select: Literal["points", "all"] = "points",
    picture: str = "",
) -> None:
    """Draw a figure as it was designed, with its text alternative.

    ``on_click`` is called when a point is chosen; ``st.session_state[key]`` then holds the selection.
    With ``select="all"`` points can be lassoed and boxed too, and the tools for it are shown. ``picture`` is the
    name, without ending, under which the viewer may save the figure: a PNG that the browser makes.
    """
    tools: dict[str, Any] = {"displayModeBar": False} if select == "points" else _MAP_TOOLS
    if picture:
        save = {"format": "png", "filename": picture, "scale": 3}
        tools = {"displaylogo": False, "modeBarButtons": [["toImage"]], "toImageButtonOptions": save}
    st.plotly_chart(
        chart,
        theme=None,
        key=key,
        alt=chart.layout.meta["alt"],
        config=tools,
        on_select="ignore" if on_click is None else on_click,
        selection_mode="points" if select == "points" else ("points", "box", "lasso"),
    )


def details(text: str, label: str = "Technical detail") -> None:
    """Fold technical text away, with a copy button."""
    with st.expander(label):
        st.code(text, language=None, wrap_lines=True)


def facts(rows: Mapping[str, Any]) -> None:
    """Draw names and values as a quiet list in two columns."""
    facts_list(list(rows.items()))


def facts_list(rows: Sequence[tuple[str, Any]]) -> None:
    """Draw names and values as a quiet list in two columns; names may come more than once."""
    lines = "".join(
        f'<dt style="opacity:0.65">{html.escape(str(name))}</dt>'
        f'<dd style="margin:0;min-width:0;overflow-wrap:anywhere">{html.escape(_text(value))}</dd>'
        for name, value in rows
    )
    style = "display:grid;grid-template-columns:minmax(7rem,max-content) minmax(0,1fr);gap:0.45rem 1.5rem"
    st.html(f'<dl style="{style};margin:0;padding:0;font-size:0.92rem">{lines}</dl>')


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:,g}"
    return "–" if value is None or value == "" else str(value)


def safe(text: str) -> str:
    """Return a name for use inside Markdown, where none of it is meant as markup."""
    # Names come from people and files.
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~$:-])", r"\\\1", text).replace("\n", " ")


def checkpoint_options(store: Workspace, dataset_id: str | None = None, *, newest: int = 100) -> dict[str, str]:
    """Return the checkpoints of the newest runs: what is shown by reference (``run:best``)."""
    options = {}
    several = {dataset.id for dataset in store.datasets() if dataset.multi_label}
    for run in store.runs(dataset_id)[:newest]:
        for checkpoint in store.checkpoints(run.id):
            ref = f"{run.id}:{checkpoint.epoch if checkpoint.kind == 'epoch' else checkpoint.kind}"
            kind = "kept" if checkpoint.kind == "epoch" else checkpoint.kind
            accuracy = words.percent(checkpoint.val_accuracy)
            reached = f"all labels right on {accuracy}" if run.dataset_id in several else f"validation {accuracy}"
            options[ref] = f"{run.name} · {kind}, epoch {checkpoint.epoch} · {reached}"
    return options
