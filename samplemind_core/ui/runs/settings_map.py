"""What settings did to the result, over all runs that are listed or selected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from samplemind_core.training.run_list import RunSummary, differing_settings
from samplemind_core.ui import parts, words
from samplemind_core.ui.state import theme

_RESULTS = {
    "accuracy": ("Accuracy", "Accuracy (%)"),
    "loss": ("Loss", "Lowest loss"),
    "test": ("Test", "Test (%)"),
}
MAX_SETTINGS, SHOWN_AT_FIRST = 8, 4
_NAMED = 3


def settings_map(picked: Sequence[RunSummary], shown: Sequence[RunSummary]) -> None:
    """Draw the settings that differ against a result: over the selected runs, or over all where none are."""
    from samplemind_core.charts.parallel import parallel_figure

    runs = picked if len(picked) > 1 else shown
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.subheader("Settings against result", anchor=False, width="stretch")
            result = st.segmented_control(
                "Result", list(_RESULTS), format_func=lambda name: _RESULTS[name][0], required=True,
                default="accuracy", key="runs-result", label_visibility="collapsed",
            ) or "accuracy"  # fmt: skip
            place = st.container(width="content")
        ended = [one for one in runs if _value(one, result) is not None]
        columns = differing_settings(ended)
        groups = moving_together(columns)
        chosen = _choose(groups, columns, place)
        titles = {path: words.setting_at(path) for path in columns}
        values = [_value(one, result) for one in ended]
        chart = parallel_figure(
            {titles[path]: columns[path] for path in chosen}, (_RESULTS[result][1], values), theme(),
            lower_is_better=result == "loss",
        )  # fmt: skip
        parts.figure(chart, key="runs-settings-map")
        if len(ended) < 2 or not chosen:
            return
        notes = [
            f"The {len(ended):,} {'selected' if runs is picked else 'listed'} runs with a result.",
            "Drag along an axis to keep only some of them; double-click it to see all.",
        ]
        for path in chosen:
            if others := groups.get(path):
                names = ", ".join(titles[other].lower() for other in others[:_NAMED])
                more = f" and {len(others) - _NAMED} more" if len(others) > _NAMED else ""
                notes.append(f"{titles[path]} never changes without {names}{more}.")
        st.caption(parts.safe(" ".join(notes)))


def moving_together(columns: Mapping[str, Sequence[object]]) -> dict[str, list[str]]:
    """Return one setting of each set that splits the runs in the same way, with the others of its set.

    Where several settings always change together, as those of a preset do, no figure can tell which of them
    did it: one axis stands for all. The sets come in the order of how much they can show: first those whose
    values several runs share.
    """
    groups: dict[tuple[int, ...], list[str]] = {}
    for path, values in columns.items():
        first: dict[str, int] = {}
        groups.setdefault(tuple(first.setdefault(repr(value), len(first)) for value in values), []).append(path)
    ordered = sorted(groups, key=lambda pattern: -_shared(pattern))
    return {groups[pattern][0]: groups[pattern][1:] for pattern in ordered}


def _shared(pattern: Sequence[int]) -> int:
    """Return how many runs share their value with another run: what is different in every run says little."""
    return sum(count for count in Counter(pattern).values() if count > 1)


def _choose(groups: Mapping[str, Sequence[str]], columns: Mapping[str, Sequence[object]], place: Any) -> list[str]:
    first = list(groups)[:SHOWN_AT_FIRST]
    if len(columns) <= SHOWN_AT_FIRST:
        return list(groups)
    with place, st.popover("Settings", icon=":material/tune:"):
        return st.multiselect(
            "Settings", [*groups, *(path for path in columns if path not in groups)], default=first,
            format_func=words.setting_at, max_selections=MAX_SETTINGS, placeholder="Choose settings",
            key=f"runs-settings-{'-'.join(first)}", label_visibility="collapsed",
        )  # fmt: skip


def _value(one: RunSummary, result: str) -> float | None:
    if result == "loss":
        return one.best_val_loss
    share = one.best_val_accuracy if result == "accuracy" else one.test_accuracy
    return None if share is None else 100 * share
