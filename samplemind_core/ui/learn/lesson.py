"""What every chapter is made of: its place in the course, figures, sounds, sources, the question at its end."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui.learn import memory
from samplemind_core.ui.living_figure import living_figure
from samplemind_core.ui.parts import safe
from samplemind_core.ui.player import Sound, player, wav_url
from samplemind_core.ui.state import choose_section

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import plotly.graph_objects as go

__all__ = ["Chapter", "awake", "choose_part", "figure", "hear", "question", "sound", "source"]


@dataclass(frozen=True)
class Chapter:
    """One idea, to move, to see and where it helps to hear.

    Attributes
    ----------
    number : int
        Place in the course, from 1.
    slug : str
        Name in the address; the module's name with hyphens.
    title : str
    idea : str
        The one sentence to keep.
    minutes : int
        About how long it takes.
    draw : callable
        Draws the chapter below its title.
    """

    number: int
    slug: str
    title: str
    idea: str
    minutes: int
    draw: Callable[[], None]


def awake() -> None:
    """Import torch, saying so the first time: it takes seconds, and the page should not look stuck."""
    if "torch" not in sys.modules:
        with st.spinner("Waking up the network library, once"):
            importlib.import_module("torch")


def figure(chart: go.Figure, *, key: str, alt: str = "") -> None:
    """Draw a figure that follows controls and training in place, with its text alternative.

    ``alt`` replaces the alternative that the figure brings in ``layout.meta["alt"]``.
    """
    living_figure(chart, key=f"learn-figure-{key}", alt=alt)


def sound(waveform: npt.NDArray[np.floating], sample_rate_hz: int, label: str, *details: str) -> Sound:
    """Return a waveform (T,) as something that a player can play."""
    from samplemind_core.audio.decode import to_wav

    return Sound(wav_url(to_wav(waveform, sample_rate_hz)), label, details)


def hear(waveform: npt.NDArray[np.floating], sample_rate_hz: int, label: str, *, key: str) -> None:
    """Draw a player of a waveform (T,), under its name."""
    st.caption(safe(label))
    player(sound(waveform, sample_rate_hz, label), key=f"learn-hear-{key}")


def source(text: str, url: str = "") -> None:
    """Say where a claim comes from that is not computed here."""
    st.caption(f"Source: [{text}]({url})" if url else f"Source: {text}")


def question(key: str, text: str, options: Sequence[str], right: int, why_by_option: Sequence[str]) -> None:
    """Ask what the chapter was about; the right answer marks the chapter as done.

    Parameters
    ----------
    key : str
        The chapter's slug.
    text : str
        The question.
    options : sequence of str
        Answers to choose from.
    right : int
        Index of the right one.
    why_by_option : sequence of str
        What to say to each choice: why it is right, or what speaks against it.
    """
    explained: Mapping[str, str] = dict(zip(options, why_by_option, strict=True))
    with st.container(border=True):
        st.subheader("One question", anchor=False)
        # Kept over page switches: an answer is part of what a viewer has done here.
        answer = st.radio(text, options, index=None, key=f"learn-question-{key}", persist_state="session")
        if answer is None:
            return
        is_right = answer == options[right]
        if is_right:
            memory.finish(key)
        icon = ":green[:material/check_circle:]" if is_right else ":orange[:material/replay:]"
        with st.container(key=f"learn-answer-{options.index(answer)}-{'right' if is_right else 'wrong'}"):
            st.markdown(f"{icon} {explained[answer]}")


def choose_part(key: str, titles: Mapping[str, str]) -> str:
    """Offer the parts of a chapter, one shown at a time; the address names it, so that it can be linked to.

    Parameters
    ----------
    key : str
        The chapter's slug.
    titles : mapping of str to str
        What is shown by part; the first is where a reader starts.

    Returns
    -------
    str
        A key of ``titles``.
    """
    return choose_section(titles, key=f"learn-{key}-part", param="part", label="Part of the chapter")
