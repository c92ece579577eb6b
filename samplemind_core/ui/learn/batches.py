"""Chapter 6: how many sounds to hear before each step."""

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
    from samplemind_core.learn.batches import Batches, Cloud

COMPARED = (4, 32, 512)
NUM_TRAIN, STEPS_BEFORE = 512, 6


def draw() -> None:
    """Draw the gradients of batches of a chosen size, and what three sizes cost."""
    awake()
    from samplemind_core.charts.learn_batches import cloud_figure
    from samplemind_core.learn.batches import SIZES

    st.markdown(
        f"An **epoch** is once through all {NUM_TRAIN} training sounds. A **batch** is how many of them the network "
        "hears before it takes a step. A small batch is an opinion poll of few people: quick, cheap, and noisy."
    )
    size = st.select_slider("Batch size", SIZES, value=COMPARED[0], key="learn-batches-size")
    cloud, widest = _cloud(size), _cloud(SIZES[0])
    left, right = st.columns([3, 2], gap="large", vertical_alignment="center")
    with left:
        reach = (
            min(-0.3, 1.1 * float(widest.along.min())),
            max(1.5, 1.1 * float(widest.along.max())),
            1.1 * float(abs(widest.across).max()),
        )
        figure(cloud_figure(cloud.along, cloud.across, reach, size, theme()), key="batches-cloud")
    with right, st.grid(2, min_column_width=130):
        st.metric("Steps per epoch", f"{cloud.steps_per_epoch:,}")
        st.metric("One step", words.duration(cloud.seconds_per_step))
        st.metric("One epoch", words.duration(cloud.steps_per_epoch * cloud.seconds_per_step))
        st.metric("Memory for a step", words.size(cloud.activation_bytes))
    st.markdown(
        f"Each dot is the step that one batch of {size} asks for; the diamond is what all {NUM_TRAIN} sounds together "
        f"ask for. They point the same way to **{cloud.agreement:.2f}**, where one is full agreement and zero is none."
    )
    _table()
    _device()
    question(
        "batches",
        "You double the batch size. What happens to an epoch?",
        (
            "Twice as many steps, each less noisy",
            "Half as many steps, each less noisy and larger in memory",
            "Nothing: an epoch is an epoch",
        ),
        1,
        (
            "An epoch hears every sound once, whatever the batch: larger batches mean fewer of them.",
            "Yes. Fewer, surer steps. That is why a larger batch often takes a larger learning rate, or more epochs.",
            "The same sounds are heard, but the weights move half as often.",
        ),
    )


def _table() -> None:
    section("Three sizes side by side")
    clouds = [_cloud(size) for size in COMPARED]
    st.dataframe(
        {
            "Batch": [str(cloud.size) for cloud in clouds],
            "Steps per epoch": [f"{cloud.steps_per_epoch:,}" for cloud in clouds],
            "Time per epoch": [words.duration(cloud.steps_per_epoch * cloud.seconds_per_step) for cloud in clouds],
            "Memory for a step": [words.size(cloud.activation_bytes) for cloud in clouds],
            "Agreement": [f"{cloud.agreement:.2f}" for cloud in clouds],
        },
        hide_index=True,
        alt="Steps, time, memory and agreement of three batch sizes",
    )
    st.caption(
        f"Measured on one thread of this machine's processor. A batch of {COMPARED[-1]} hears every sound before it "
        "moves: no noise, and a single step in an epoch."
    )


def _device() -> None:
    import torch

    _, middle, large = (_cloud(size) for size in COMPARED)
    ratio = large.seconds_per_step / middle.seconds_per_step
    st.markdown(
        f"On the processor, a step with {large.size} sounds took **{ratio:.1f} times** as long as one with "
        f"{middle.size}. A graphics processor does thousands of things at once: there, a large batch takes hardly "
        "longer than a small one until all of it is busy, so large batches pay."
    )
    if torch.cuda.is_available():
        st.caption(f"Your own runs train on this machine's {torch.cuda.get_device_name()}.")
    else:
        st.caption("Your own runs train on the processor here: torch sees no graphics processor in this machine.")
    source(
        "NVIDIA, GPU performance background",
        "https://docs.nvidia.com/deeplearning/performance/dl-performance-gpu-background/index.html",
    )


@st.cache_resource(max_entries=1, show_spinner=False)
def _batches() -> Batches:
    from samplemind_core.config import TrainConfig
    from samplemind_core.learn.batches import Batches
    from samplemind_core.learn.student import Student

    sounds = demo(num_train=NUM_TRAIN)
    with st.spinner("Training a network for a few steps"):

        def build() -> Batches:
            student = Student(sounds, TrainConfig(epochs=1, batch_size=8, lr=1e-3, schedule="constant"))
            for _ in range(STEPS_BEFORE):
                student.step()
            return Batches(student)

        return slice_of(build)


@st.cache_resource(max_entries=16, show_spinner="Measuring batches")
def _cloud(size: int) -> Cloud:
    batches = _batches()
    return slice_of(lambda: batches.cloud(size))


CHAPTER = Chapter(
    6,
    "batches",
    "Batches and epochs",
    "Few sounds per step are quick and noisy, many are slow and sure.",
    4,
    draw,
)
