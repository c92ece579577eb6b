"""Chapter 3: which way to move each weight."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import words
from samplemind_core.ui.learn.bench import demo
from samplemind_core.ui.learn.lesson import Chapter, awake, figure, question, source
from samplemind_core.ui.learn.stage import slice_of
from samplemind_core.ui.parts import section
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.learn.gradient import Probe

PLACES = {"last": "Last layer", "middle": "Middle", "first": "First layer"}
NUDGES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001)
RATES = (0.001, 0.01, 0.05, 0.1)
REACH, STEPS_BEFORE = 1.2, 5


def draw() -> None:
    """Draw one weight to nudge, the update, and gradients that pile up."""
    awake()
    st.markdown(
        "Take one weight of a network that has just begun to learn. Push it a little: does the loss rise or fall? That "
        "slope is the weight's **gradient**."
    )
    left, right = st.columns([2, 3], gap="large")
    with left:
        place = st.segmented_control(
            "One weight", list(PLACES), format_func=PLACES.__getitem__, default="last", required=True,
            key="learn-gradient-place",
        )  # fmt: skip
        nudge = st.select_slider("Nudge it by", NUDGES, value=NUDGES[0], key="learn-gradient-nudge", format_func=str)
    probe = _probe(place or "last")
    slope = slice_of(lambda: probe.slope(nudge))
    with left:
        with st.grid(2, min_column_width=120):
            st.metric("Your nudge says", f"{slope:.4f}")
            st.metric("Autograd says", f"{probe.gradient:.4f}")
        off = abs(slope - probe.gradient)
        st.caption(
            f"They differ by {off:.4f}. Make the nudge smaller: over a short stretch every curve is a straight line."
        )
    with right:
        from samplemind_core.charts.learn_gradient import nudge_figure

        weights, losses = _sweep(place or "last")
        here = (probe.value, probe.start)
        after = (probe.value + nudge, here[1] + slope * nudge)
        figure(nudge_figure(weights, losses, here, probe.gradient, after, theme()), key="gradient-nudge")
    _backward(probe)
    _update()
    _zeroing()
    question(
        "gradient",
        "A weight's gradient is positive. Which way does the update move it?",
        ("Up: the gradient points the way", "Down: a larger weight would mean a larger loss", "It depends on the loss"),
        1,
        (
            "The gradient points uphill, to more loss. The update goes against it: that is the minus in the formula.",
            "Yes. The gradient is the slope of the loss, and the update walks downhill: old weight minus learning rate "
            "times gradient.",
            "The loss says how wrong the network is, not which way to turn. The sign of the gradient does.",
        ),
    )


def _backward(probe: Probe) -> None:
    from samplemind_core.charts.learn_gradient import layer_gradient_figure

    section("All weights at once")
    count = sum(gradient.numel() for gradient in probe.gradients.values())
    forward_s, both_s = slice_of(probe.costs_s)
    left, right = st.columns([2, 3], gap="large", vertical_alignment="center")
    with left:
        st.markdown(
            f"Nudging all {count:,} weights one by one would take {words.duration(count * forward_s)} on this machine. "
            f"**Backpropagation** gets every gradient in one walk back from the answer to the sound, layer by layer "
            f"with the chain rule: **{words.duration(both_s)}**, measured just now."
        )
        source(
            "Rumelhart, Hinton and Williams, Learning representations by back-propagating errors, Nature 1986",
            "https://doi.org/10.1038/323533a0",
        )
    with right:
        figure(layer_gradient_figure(probe.layers(), theme()), key="gradient-layers")


def _update() -> None:
    from samplemind_core.learn.gradient import update

    section("The update")
    left, right = st.columns([2, 3], gap="large", vertical_alignment="center")
    with left:
        lr = st.select_slider("Learning rate", RATES, key="learn-gradient-lr", format_func=str)
    done = update(lr=lr)
    with right:
        st.markdown(f"### {done.old:g} − {done.lr:g} × {done.gradient:.1f} = {done.new:.4g}")
        st.caption("Old weight minus learning rate times gradient: one step of plain gradient descent in PyTorch.")


def _zeroing() -> None:
    from samplemind_core.charts.learn_gradient import descent_figure
    from samplemind_core.learn.gradient import best_weight, descent

    section("Why gradients are zeroed")
    st.markdown(
        "PyTorch **adds** each new gradient to the one that is there. Unless it is cleared before every step, the "
        "weight is pushed by all the past at once, like a swing that nobody brakes."
    )
    cleared = st.toggle("Zero the gradients before each step", value=True, key="learn-gradient-zero")
    lr = RATES[2]
    paths = {zero: descent(zero, lr) for zero in (True, False)}
    figure(descent_figure(paths[cleared], paths[not cleared], best_weight(), cleared, theme()), key="gradient-zero")
    last, best = paths[cleared][-1], best_weight()
    st.caption(
        f"After {len(paths[cleared]) - 1} steps at learning rate {lr:g} the weight is {last:.3f}; {best:.3f} would be "
        "right. SampleMind's training zeroes them in every step."
    )


@st.cache_resource(max_entries=len(PLACES), show_spinner="Training a network for a few steps")
def _probe(place: str) -> Probe:
    from samplemind_core.config import TrainConfig
    from samplemind_core.learn.gradient import Probe
    from samplemind_core.learn.student import Student

    def build() -> Probe:
        student = Student(demo(), TrainConfig(epochs=1, batch_size=8, lr=1e-3, schedule="constant"))
        for _ in range(STEPS_BEFORE):
            student.step()
        return Probe(student, place)

    return slice_of(build)


@st.cache_data(max_entries=len(PLACES), show_spinner=False)
def _sweep(place: str) -> tuple[list[float], list[float]]:
    weights, losses = slice_of(lambda: _probe(place).sweep(REACH))
    return weights.tolist(), losses.tolist()


CHAPTER = Chapter(
    3,
    "gradient",
    "Gradient and backpropagation",
    "The gradient says for every weight which way is downhill, and how steep.",
    6,
    draw,
)
