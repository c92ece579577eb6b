"""What differs between the settings of two runs, in words."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from samplemind_core.config import RunConfig, flatten
from samplemind_core.ui import words


@dataclass(frozen=True)
class Difference:
    """One setting that differs: its dotted path, its value before and after."""

    path: str
    before: Any
    after: Any

    @property
    def sentence(self) -> str:
        """The setting and its new value: ``Learning rate 0.01``."""
        return f"{words.setting(self.path.split('.')[-1])} {value_words(self.after)}"


def differences(before: RunConfig, after: RunConfig) -> list[Difference]:
    """Return every setting that differs, in the order of the settings; the preset's name is none."""
    old, new = flatten(before), flatten(after)
    return [
        Difference(path, old.get(path), value)
        for path, value in new.items()
        if path != "preset" and value != old.get(path)
    ]


def value_words(value: Any) -> str:
    """Return a setting's value as people read it."""
    if value is None:
        return "off"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def difference_table(rows: Sequence[Difference], before: str, after: str) -> None:
    """Draw differences as a quiet table of three columns.

    Parameters
    ----------
    rows : sequence of Difference
    before, after : str
        What the two columns are called.
    """
    head = "".join(
        f'<th style="text-align:left;font-weight:600;padding:0.2rem 1.2rem 0.2rem 0">{html.escape(name)}</th>'
        for name in ("Setting", before, after)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            f'<td style="padding:0.2rem 1.2rem 0.2rem 0;overflow-wrap:anywhere;{look}">{html.escape(text)}</td>'
            for text, look in (
                (words.setting(row.path.split(".")[-1]), ""),
                (value_words(row.before), "opacity:0.65"),
                (value_words(row.after), "font-weight:600"),
            )
        )
        + "</tr>"
        for row in rows
    )
    st.html(f'<table style="font-size:0.92rem;border-collapse:collapse"><tr>{head}</tr>{lines}</table>')
