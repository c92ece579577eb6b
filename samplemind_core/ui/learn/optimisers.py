"""Chapter 4: ways of walking downhill."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import streamlit as st

from samplemind_core.ui.learn.lesson import Chapter, awake, figure, question, source
from samplemind_core.ui.learn.stage import stage
from samplemind_core.ui.state import theme

RATES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.5)
VIEWS = {"map": "Map", "mountain": "Mountain", "fog": "Fog"}


@dataclass
class Showing:
    """How much of a race has been shown."""

    step: int = 0


def draw() -> None:
    """Draw five optimizers racing over a landscape."""
    awake()
    from samplemind_core.learn.race import LANDSCAPES, NUM_STEPS

    st.markdown(
        "You stand on a mountain in thick fog and want to go down. All you can feel is the slope under your feet. That "
        "is training. **Optimisers** differ in what they make of the slopes they have felt so far."
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        ground = st.segmented_control(
            "Landscape", list(LANDSCAPES), format_func=lambda key: LANDSCAPES[key].title, default="ravine",
            required=True, key="learn-race-ground",
        )  # fmt: skip
        view = st.segmented_control(
            "View", list(VIEWS), format_func=VIEWS.__getitem__, default="map", required=True, key="learn-race-view"
        )
    chosen = LANDSCAPES[ground or "ravine"]
    lr = st.select_slider(
        "Learning rate, the same for all", RATES, value=chosen.lr, format_func=str, key=f"learn-race-lr-{ground}"
    )
    st.caption(chosen.story)

    def advance(showing: Showing) -> bool:
        showing.step += 1
        return showing.step < NUM_STEPS

    stage(
        "race",
        (ground, lr),
        Showing,
        advance,
        lambda showing: _show(ground or "ravine", lr, showing.step, cast("View", view or "map")),
        run="Race",
        step="One step",
        pace=3,
    )
    with st.expander("What each one does"):
        st.markdown(
            "- **SGD** takes one step against the slope it feels now.\n"
            "- **Momentum** is a heavy ball: it keeps rolling the way it was going.\n"
            "- **RMSprop** takes smaller steps where slopes have been steep, larger ones where they have been gentle.\n"
            "- **Adam** does both: it rolls, and it measures its steps.\n"
            "- **AdamW** is Adam with a pull of every weight towards zero, which keeps networks simple. SampleMind's "
            "quick preset uses it."
        )
        source("Kingma and Ba, Adam, 2015", "https://arxiv.org/abs/1412.6980")
        source("Loshchilov and Hutter, Decoupled weight decay regularization, 2019", "https://arxiv.org/abs/1711.05101")
    question(
        "optimisers",
        "In the ravine, plain SGD drops to the floor at once and then hardly moves along it. Why is Adam quicker?",
        (
            "It sees the whole map",
            "It scales its steps by how steep each direction has been: small across, large along",
            "It uses a larger learning rate",
        ),
        1,
        (
            "Nobody sees the map: look at the view in fog. Adam only remembers the slopes that it has felt.",
            "Yes. Across the ravine slopes are steep, so it divides its steps there by a lot; along the floor they are "
            "gentle, and it hardly divides them at all.",
            "All of them use the same learning rate here. What differs is what each one does with it.",
        ),
    )


View = Literal["map", "mountain", "fog"]


def _show(ground: str, lr: float, step: int, view: View) -> None:
    from samplemind_core.charts.learn_race import height_figure, landscape_figure
    from samplemind_core.learn.race import LANDSCAPES, race

    run = race(ground, lr)
    left, right = st.columns([3, 2], gap="large")
    with left:
        grid = LANDSCAPES[ground].grid()
        # A figure in space and a flat one are two figures: Plotly cannot turn one into the other in place.
        key = "race-space" if view == "mountain" else "race-map"
        figure(landscape_figure(grid, run.paths, run.heights, step, view, theme()), key=key)
    with right:
        figure(height_figure(run.heights, step, theme()), key="race-heights")
    standing = run.standing(step)
    best, worst = standing[0], standing[-1]
    last = "has left the map" if math.isnan(worst[1]) else f"is at {worst[1]:.3f}"
    if step:
        st.markdown(f"After **{step} steps**, {best[0]} is lowest at **{best[1]:.3f}**; {worst[0]} {last}.")
    else:
        st.markdown(f"All five start at the same place, at a loss of **{best[1]:.3f}**.")


CHAPTER = Chapter(
    4,
    "optimisers",
    "Optimisers",
    "All of them walk downhill in fog. They differ in what they remember of the way.",
    5,
    draw,
)
