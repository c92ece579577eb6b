"""Chapter 1: guess, feedback, adjust, repeat."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.learn.bench import choose_sounds
from samplemind_core.ui.learn.lesson import Chapter, awake, figure, hear, question
from samplemind_core.ui.learn.stage import stage
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.learn.sounds import Sounds
    from samplemind_core.learn.student import Student

EPOCHS, BATCH, LR = 8, 8, 1e-3


def draw() -> None:
    """Draw a network that learns to tell two classes apart, step by step or running."""
    awake()
    st.markdown(
        "A child learns animals this way: it points and says “dog”, somebody says “no, a cat”, and the next guess is "
        "a little better. A network does the same with sounds. This one is real, tiny, and knows nothing yet."
    )
    sounds, name = choose_sounds("loop")
    follow = _follow(sounds, name)
    stage(
        "loop",
        name,
        lambda: _student(sounds),
        lambda student: student.step(),
        lambda student: _show(student, follow),
        run="Let it learn",
        pace=2,
    )
    question(
        "loop",
        "The network has just said “hi-hat” to a kick. What makes its next answer better?",
        (
            "Somebody corrects the rule that led to the mistake",
            "Every weight moves a little in the direction that would have made this loss smaller",
            "The network stores the kick, to recognise it next time",
        ),
        1,
        (
            "There is no rule anywhere that a person could correct: only weights, and a number that says how wrong "
            "they were.",
            "Yes. Guess, loss, a small change of all weights, and again. There is nothing else in training.",
            "Then it would fail on every sound that it has not stored. The dots above are sounds it never trains on, "
            "and they sort themselves all the same.",
        ),
    )


def _student(sounds: Sounds) -> Student:
    from samplemind_core.config import TrainConfig
    from samplemind_core.learn.student import Student

    train = TrainConfig(epochs=EPOCHS, batch_size=BATCH, optimizer="adamw", lr=LR, schedule="constant")
    return Student(sounds, train)


def _follow(sounds: Sounds, name: str) -> int:
    """Let a sound be chosen and heard; return its place among the validation sounds."""
    left, right = st.columns([2, 3], gap="large", vertical_alignment="bottom")
    names = [sounds.names[row] for row in sounds.val_rows]
    with left:
        chosen = st.selectbox(
            "Follow one sound", range(len(names)), format_func=lambda place: names[place], key=f"learn-loop-of-{name}"
        )
    with right:
        row = sounds.val_rows[chosen]
        hear(sounds.waveforms[row], sounds.features.sample_rate_hz, names[chosen], key="loop")
    return int(chosen)


def _show(student: Student, follow: int) -> None:
    from samplemind_core.charts.learn_loop import sorting_figure, steps_loss_figure

    sounds = student.sounds
    rows = sounds.val_rows
    left, right = st.columns([3, 2], gap="large")
    with left:
        names = [sounds.names[row] for row in rows]
        chart = sorting_figure(student.probs[:, 1], sounds.targets[rows], sounds.class_names, names, follow, theme())
        figure(chart, key="loop-sorting")
    with right:
        losses = [lesson.loss for lesson in student.lessons]
        guessing = math.log(len(sounds.class_names))
        figure(steps_loss_figure(losses, student.val_losses, student.num_steps, guessing, theme()), key="loop-loss")
    answer = student.probs[follow]
    st.markdown(
        f"After **{words.plural(len(student.lessons), 'step')}**: right on **{student.num_right} of {len(rows)}** "
        f"sounds of kits it never trained on. The ringed sound is “{parts.safe(sounds.class_names[answer.argmax()])}” "
        f"to it, {words.confidence(float(answer.max()))} sure."
    )
    _cards(student)


def _cards(student: Student) -> None:
    """Draw what the last step did, in three words."""
    with st.grid(3, min_column_width=220):
        lesson = student.lessons[-1] if student.lessons else None
        texts = {
            "1 Guess": f"It heard {len(lesson.rows)} training sounds and named {lesson.num_right} of them right."
            if lesson
            else "It hears a handful of training sounds and answers.",
            "2 Feedback": f"The loss says how wrong that was: **{lesson.loss:.3f}**."
            if lesson
            else "One number, the loss, says how wrong that was.",
            "3 Adjust": f"All {student.num_weights:,} weights moved, by {lesson.moved:.5f} on average."
            if lesson
            else f"All {student.num_weights:,} weights move a little.",
        }
        for title, line in texts.items():
            with st.container(border=True, height="stretch", gap="small"):
                st.markdown(f"**{title}**")
                st.caption(line)


CHAPTER = Chapter(
    1,
    "loop",
    "The loop",
    "A network learns by guessing, hearing how wrong it was, and changing itself a little. Thousands of times.",
    4,
    draw,
)
