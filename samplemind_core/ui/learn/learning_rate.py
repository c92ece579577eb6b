"""Chapter 5: how far to step."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.config import TrainConfig
from samplemind_core.ui.learn.bench import demo
from samplemind_core.ui.learn.lesson import Chapter, awake, figure, question, source
from samplemind_core.ui.learn.stage import stage
from samplemind_core.ui.parts import section
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.learn.rates import Contest, RangeFinder

FIXED = {"Too small": 1e-4, "About right": 0.1, "Too large": 10.0}
OWN = (1e-5, 1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0)
SCHEDULES = {"constant": "Constant", "plateau": "Plateau", "cosine": "Cosine", "onecycle": "One-cycle"}
STORIES = {
    "constant": "The same speed all the way, into the parking space too.",
    "plateau": "Full speed until the car makes no more headway, then half of it, and half of that.",
    "cosine": "Fast at first, slower and slower, and standing still exactly when the run ends.",
    "onecycle": "Rolls off gently, races in the middle, and creeps into the space at the end.",
}
NUM_EPOCHS, LR = 20, 1e-3


def draw() -> None:
    """Draw one network at several learning rates, the range finder, and the schedules."""
    awake()
    from samplemind_core.learn.rates import Contest

    st.markdown(
        "The gradient says which way. The **learning rate** says how far. Here is one network four times, on the "
        "same sounds in the same order, by plain gradient descent; only the step length differs. One of them is yours."
    )
    own = st.select_slider("Your learning rate", OWN, value=OWN[4], key="learn-rates-own", format_func=_rate)
    rates = FIXED | {"Yours": own}
    stage(
        "rates",
        own,
        lambda: Contest(demo(), rates),
        lambda contest: contest.step(),
        _contest,
        run="Train all four",
        pace=2,
    )
    _range()
    _schedules()
    question(
        "learning-rate",
        "A run's loss jumps up and down and ends above where it began. What do you try first?",
        ("More epochs", "A learning rate ten times smaller", "A larger network"),
        1,
        (
            "It would jump for longer. Steps that overshoot the valley do not get shorter by themselves.",
            "Yes. Steps that are too long leap over the valley. Divide by ten, look again, then fine-tune.",
            "A larger network with the same steps leaps just as far.",
        ),
    )


def _contest(contest: Contest) -> None:
    from samplemind_core.charts.learn_rates import contest_figure

    guessing = math.log(len(next(iter(contest.students.values())).sounds.class_names))
    curves = {name: student.val_losses for name, student in contest.students.items()}
    figure(contest_figure(curves, contest.num_steps, guessing, theme()), key="rates-contest")
    lines = []
    for name, student in contest.students.items():
        total = len(student.sounds.val_rows)
        state = "burst: its loss is no number any more" if student.burst else f"right on {student.num_right} of {total}"
        lines.append(f"{name}, {_rate(contest.rates[name])}: {state}")
    st.caption(" · ".join(lines))


def _range() -> None:
    from samplemind_core.learn.rates import RangeFinder

    section("The range finder")
    st.markdown(
        "How do you find a good rate without trying them all? Begin with a tiny one, raise it at every step, and watch "
        "the loss. Nothing happens, then it falls, then it explodes. A good rate lies where it falls fastest."
    )
    stage(
        "range", "range", lambda: RangeFinder(demo()), lambda finder: finder.step(), _found, run="Sweep", step=None,
        pace=3,
    )  # fmt: skip
    source("Smith, Cyclical learning rates for training neural networks, 2015", "https://arxiv.org/abs/1506.01186")


def _found(finder: RangeFinder) -> None:
    from samplemind_core.charts.learn_rates import range_figure
    from samplemind_core.learn.rates import HIGHEST_LR, LOWEST_LR

    guessing = math.log(len(finder.student.sounds.class_names))
    chart = range_figure(finder.rates, finder.losses, (LOWEST_LR, HIGHEST_LR), guessing, finder.suggestion, theme())
    figure(chart, key="rates-range")


def _schedules() -> None:
    from samplemind_core.charts.learn_rates import course_figure
    from samplemind_core.learn.rates import course, stalling_losses

    section("Schedules: parking a car")
    left, right = st.columns([2, 3], gap="large")
    with left:
        chosen = st.segmented_control(
            "Schedule", list(SCHEDULES), format_func=SCHEDULES.__getitem__, default="onecycle", required=True,
            key="learn-rates-schedule",
        )  # fmt: skip
        chosen = chosen or "onecycle"
        st.markdown(STORIES[chosen])
        warmup = TrainConfig().warmup
        if chosen == "onecycle":
            warmup = st.slider("Share of the run that speeds up", 0.05, 0.6, warmup, 0.05, key="learn-rates-warmup")
            source("Smith and Topin, Super-convergence, 2018", "https://arxiv.org/abs/1708.07120")
        elif chosen == "cosine":
            source("Loshchilov and Hutter, SGDR, 2017", "https://arxiv.org/abs/1608.03983")
        elif chosen == "plateau":
            st.caption("Drawn for an example loss that falls quickly and then stalls.")
    losses = stalling_losses(NUM_EPOCHS)
    courses = {}
    for name in SCHEDULES:
        drawn = course(name, NUM_EPOCHS, LR, warmup, losses)
        courses[name] = (drawn.epochs, drawn.rates)
    with right:
        figure(course_figure(courses, chosen, theme()), key="rates-course")


def _rate(lr: float) -> str:
    return f"{float(lr):.5f}".rstrip("0").rstrip(".")


CHAPTER = Chapter(
    5,
    "learning-rate",
    "Learning rate",
    "Too small and it never arrives; too large and it leaps over the valley. It is the one setting to get right.",
    6,
    draw,
)
