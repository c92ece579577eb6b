"""Something that learns while you watch: run, stop, one step, start over.

The work is done in short slices between two pictures, one slice at a time in the whole process and on
one thread: a page that trains never keeps another viewer waiting for long. It ends with its page:
slices are drawn by a timer of the page, which dies with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

import streamlit as st

SLICE_S = 0.12
TICK_S = 0.3
AWAY_S = 5.0

T = TypeVar("T")
_desk = threading.Lock()


@dataclass
class Play:
    """What one viewer has on one stage."""

    settings: Hashable
    thing: Any
    running: bool = False
    over: bool = False
    seen_at: float = 0.0


def stage(
    key: str,
    settings: Hashable,
    build: Callable[[], T],
    advance: Callable[[T], bool],
    draw: Callable[[T], None],
    *,
    run: str = "Run",
    step: str | None = "One step",
    pace: int = 1_000,
) -> None:
    """Draw buttons and something that learns.

    Parameters
    ----------
    key : str
        Unique on the page.
    settings : hashable
        What it depends on; a change starts it anew.
    build : callable
        Makes it.
    advance : callable
        Moves it by one short step (at most about 50 ms); returns whether it can go on.
    draw : callable
        Draws it as it stands.
    run, step : str
        Labels; without ``step`` it only runs.
    pace : int
        Most steps between two pictures, where the eye is to follow.
    """
    play = _play(key, settings, build)
    if play.running and time.monotonic() - play.seen_at > AWAY_S:
        play.running = False  # the viewer has been elsewhere
    with st.container(horizontal=True):
        if play.running:
            st.button("Stop", icon=":material/stop_circle:", key=f"learn-{key}-stop", on_click=_set, args=(play, False))
        else:
            st.button(
                run,
                type="primary",
                icon=":material/play_arrow:",
                key=f"learn-{key}-run",
                disabled=play.over,
                on_click=_set,
                args=(play, True),
            )
        if step and not play.running:
            st.button(
                step,
                icon=":material/skip_next:",
                key=f"learn-{key}-step",
                disabled=play.over,
                on_click=_one,
                args=(play, advance),
            )
        st.button("Start over", icon=":material/replay:", key=f"learn-{key}-over", on_click=_drop, args=(key,))
    play.seen_at = time.monotonic()

    def picture() -> None:
        play.seen_at = time.monotonic()
        if play.running:
            _slice(play, advance, pace)
        draw(play.thing)
        if play.over and play.running:
            play.running = False
            st.rerun()

    st.fragment(picture, run_every=TICK_S if play.running else None)()


def slice_of(work: Callable[[], T]) -> T:
    """Do a short piece of arithmetic when no other viewer's is under way, on one thread."""
    import torch

    with _desk:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return work()
        finally:
            torch.set_num_threads(before)


def stop_all() -> None:
    """Stop whatever this viewer left running."""
    for value in st.session_state.values():
        if isinstance(value, Play):
            value.running = False


def _play(key: str, settings: Hashable, build: Callable[[], Any]) -> Play:
    name = f"learn-play-{key}"
    kept = st.session_state.get(name)
    if kept is None or kept.settings != settings:
        with st.spinner("Getting ready"):
            running = kept is not None and kept.running
            kept = Play(settings, slice_of(build), running=running, seen_at=time.monotonic())
        st.session_state[name] = kept
    return kept


def _slice(play: Play, advance: Callable[[Any], bool], pace: int) -> None:
    def work() -> None:
        end = time.perf_counter() + SLICE_S
        for _ in range(pace):
            if play.over or time.perf_counter() > end:
                break
            play.over = not advance(play.thing)

    slice_of(work)


def _one(play: Play, advance: Callable[[Any], bool]) -> None:
    play.over = not slice_of(lambda: advance(play.thing))


def _set(play: Play, running: bool) -> None:
    play.running, play.seen_at = running, time.monotonic()


def _drop(key: str) -> None:
    st.session_state.pop(f"learn-play-{key}", None)
