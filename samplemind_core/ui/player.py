"""Samples to click on: heard at once, without a rerun, one at a time over the page."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from samplemind_core.server import STATIC, asset_url

_JS = """
const player = import(new URL(%s, document.baseURI).href);
export default function (component) {
  player.then(module => module.mountPlayers(component)).catch(error => console.error(error));
  return () => player.then(module => module.unmount(component.parentElement));
}
"""
_CSS = (STATIC / "player.css").read_text()
_players = st.components.v2.component(
    "samplemind_player",
    html='<div class="sm-players"></div>',
    css=_CSS,
    js=_JS % json.dumps(asset_url("player.js")),
)


@dataclass(frozen=True)
class Sound:
    """Something to play.

    Attributes
    ----------
    src : str
        Address of the audio, or a ``data:`` URL.
    label : str
        What the button says it plays.
    details : tuple of str
        Up to three further columns of a list; what is right of the first disappears on narrow screens.
    reason : str
        Why it is in a list: a line of its own below its name, in full on every screen.
    peaks : tuple of float, optional
        Heights of the waveform in [0, 1]; without them they are measured in the browser.
    part_s : (start, end), optional
        Seconds of the sound to play, rather than all of it. Parts of one sound load it once.
    """

    src: str
    label: str
    details: tuple[str, ...] = ()
    peaks: tuple[float, ...] | None = None
    part_s: tuple[float, float] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Mark:
    """A stretch of a waveform with a colour and a name, such as a segment of one class."""

    start_s: float
    end_s: float
    color: str
    label: str


def wav_url(content: bytes) -> str:
    """Return bytes of a WAV file as a ``data:`` URL."""
    return f"data:audio/wav;base64,{base64.b64encode(content).decode()}"


def player(sound: Sound, *, key: str, marks: Sequence[Mark] = ()) -> None:
    """Draw one sample: its waveform and a play button. A click into the waveform plays from there.

    With ``marks`` the waveform is taller, and each marked stretch is drawn in its colour under its name.
    """
    row: dict[str, Any] = {"src": sound.src, "label": sound.label, "peaks": sound.peaks}
    if marks:
        row["marks"] = [[mark.start_s, mark.end_s, mark.color, mark.label] for mark in marks]
    _players(key=key, data=json.dumps([row]))


def player_list(sounds: Sequence[Sound], *, key: str) -> None:
    """Draw a list of samples. A click on a row plays it, space plays and stops, arrows move on."""
    rows = [
        {"src": s.src, "label": s.label, "details": s.details, "peaks": s.peaks, "part": s.part_s, "reason": s.reason}
        for s in sounds
    ]
    _players(key=key, data=json.dumps(rows))
