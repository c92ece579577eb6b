"""How far file facts alone get at guessing labels, without listening: of one label per sample, or of several."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.hints import HINTS

if TYPE_CHECKING:
    from samplemind_core.data.findings import FactWeight, HealthReport, LabelShortcuts, Shortcuts

_MODEL = "of a small model that knows only lengths, levels and formats, on {} that it was not trained on."
_ROW_PX, _ROWS_SHOWN = 35, 10
MIN_POINTS = 0.05
"""Percentage points below which a fact is not missed."""


def show_without_listening(report: HealthReport) -> None:
    """Draw what lengths, levels and formats alone tell of labels; nothing where it was not measured."""
    from samplemind_core.data.findings import LabelShortcuts

    probe = report.shortcuts
    if probe is None:
        return
    with st.container(border=True):
        parts.section("Without listening")
        st.markdown(parts.safe(probe.sentence))
        if isinstance(probe, LabelShortcuts):
            _several(probe)
        else:
            _one(probe)
        parts.facts({fact.name[:1].upper() + fact.name[1:]: _worth(fact) for fact in probe.facts[:5]})


def _worth(fact: FactWeight) -> str:
    points = 100 * fact.importance
    less = f"{points:.1f} points less without it" if points >= MIN_POINTS else "no less without it"
    return f"{words.percent(fact.alone)} alone; {less}"


def _one(probe: Shortcuts) -> None:
    helped = f"Balanced accuracy {_MODEL.format('sources')}"
    _metrics(probe.balanced_accuracy, helped, probe.chance, "One class of all.", probe.p_value)


def _several(probe: LabelShortcuts) -> None:
    helped = f"Mean average precision {_MODEL.format('sources' if probe.by_group else 'samples')} {HINTS['map'].text}"
    guessing = "The share of samples that have a label, on average over labels."
    _metrics(probe.mean_ap, helped, probe.chance, guessing, probe.p_value)
    st.dataframe(
        [
            {
                "Label": guess.label,
                "Mostly from": guess.fact if guess.told else "–",
                "File facts": round(100 * guess.average_precision),
                "Guessing": round(100 * guess.chance),
                "p-value": guess.p_value,
                "Samples": guess.num_clips,
            }
            for guess in probe.labels
        ],
        hide_index=True,
        height="content" if len(probe.labels) <= _ROWS_SHOWN else _ROW_PX * (1 + _ROWS_SHOWN),
        alt="How well each label can be guessed without listening, the best first",
        column_config={
            "Mostly from": st.column_config.TextColumn(
                "Mostly from", help="Of labels that are told better than from shuffled facts, and by enough to matter."
            ),
            "File facts": st.column_config.NumberColumn(
                "File facts", format="%d %%", help="Average precision of this label from file facts alone."
            ),
            "Guessing": st.column_config.NumberColumn(
                "Guessing", format="%d %%", help="The share of samples that have this label."
            ),
            "p-value": st.column_config.NumberColumn(
                "p-value", format="%.3f", help="Against shuffled facts; that there are several labels is paid for."
            ),
        },
    )


def _metrics(score: float, meaning: str, chance: float, guessing: str, p_value: float) -> None:
    with st.grid(3, min_column_width=140):
        st.metric("File facts alone", words.percent(score), border=True, help=meaning)
        st.metric("By guessing", words.percent(chance), border=True, help=guessing)
        st.metric("p-value", f"{p_value:.3f}", border=True, help="How often shuffled facts tell as much.")
