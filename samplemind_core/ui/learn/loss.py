"""Chapter 2: what an answer costs."""

from __future__ import annotations

import streamlit as st

from samplemind_core.ui.learn.lesson import Chapter, awake, figure, hear, question, source
from samplemind_core.ui.parts import section
from samplemind_core.ui.state import theme

CLASSES = ("kick", "snare", "hi-hat")


def draw() -> None:
    """Draw three probabilities to move, the loss they give, and the trap."""
    awake()
    from samplemind_core.charts.learn_loss import answer_loss_figure
    from samplemind_core.learn.loss import ANSWERS, cross_entropy, loss_curve

    probs = _probs(ANSWERS[1].probs)
    left, right = st.columns([2, 3], gap="large")
    with left:
        _sound()
        st.markdown("The network has heard this **kick**. Move what it answers; the three always add up to one.")
        for index, name in enumerate(CLASSES):
            st.slider(name.capitalize(), 0.0, 1.0, step=0.01, key=_key(index), on_change=_moved, args=(index,))
        with st.container(horizontal=True, gap="small"):
            for answer in ANSWERS:
                st.button(answer.name, key=f"learn-loss-{answer.name}", on_click=_set, args=(answer.probs,))
    loss = cross_entropy(probs)
    with right:
        curve = loss_curve()
        figure(answer_loss_figure(*curve, probs[0], loss, theme()), key="loss-curve")
        st.markdown(
            f"Only the probability of the **right** class counts: the loss is −log({probs[0]:.2f}) = **{loss:.2f}**. "
            "Being sure of the wrong thing costs far more than not knowing."
        )
    _trap(probs)
    question(
        "loss",
        "Two networks are both wrong about a kick. One was almost certain that it is a hi-hat, the other could not "
        "decide. Which one gets the larger loss?",
        ("Both the same: wrong is wrong", "The one that was almost certain", "The one that could not decide"),
        1,
        (
            "Accuracy counts that way, and learns nothing from it. Loss also asks how sure the answer was.",
            "Yes. It gave the right class almost no probability, and −log of almost nothing is large. That is what "
            "pushes a network to be careful.",
            "Move the sliders to both answers: the undecided one left more probability for the kick.",
        ),
    )


def _trap(probs: list[float]) -> None:
    from samplemind_core.charts.learn_loss import mistaken_loss_figure
    from samplemind_core.learn.loss import ANSWERS, cross_entropy, mistaken

    section("A trap: logits are not probabilities")
    st.markdown(
        "A network's last layer gives **logits**, any numbers at all; softmax turns them into probabilities. PyTorch's "
        "`CrossEntropyLoss` does that step by itself. Hand it probabilities, and it squeezes them a second time. "
        "Nothing crashes. The loss just hardly tells right from wrong any more:"
    )
    rows = [(answer.name, list(answer.probs)) for answer in ANSWERS] + [("Yours, above", probs)]
    chart = mistaken_loss_figure(
        [name for name, _ in rows],
        [cross_entropy(row) for _, row in rows],
        [mistaken(row) for _, row in rows],
        theme(),
    )
    figure(chart, key="loss-trap")
    perfect = mistaken([1.0, 0.0, 0.0])
    st.caption(
        f"With the mistake, even a perfect answer would still cost {perfect:.2f}: the network is told that it is wrong "
        "for ever. SampleMind's networks give logits, and softmax comes in only when an answer is shown."
    )
    source(
        "the input of CrossEntropyLoss in PyTorch's documentation",
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html",
    )


def _sound() -> None:
    from samplemind_core.audio.synth import CLASS_NAMES, voice

    kick = voice(CLASS_NAMES.index("kick"), 0)
    hear(kick.waveform, kick.sample_rate_hz, "A kick of the demo kit", key="loss")


def _key(index: int) -> str:
    return f"learn-loss-prob-{index}"


def _probs(start: tuple[float, ...]) -> list[float]:
    for index, prob in enumerate(start):
        st.session_state.setdefault(_key(index), prob)
    return [st.session_state[_key(index)] for index in range(len(start))]


def _set(probs: tuple[float, ...]) -> None:
    for index, prob in enumerate(probs):
        st.session_state[_key(index)] = prob


def _moved(index: int) -> None:
    from samplemind_core.learn.loss import rebalanced

    _set(tuple(rebalanced([st.session_state[_key(place)] for place in range(len(CLASSES))], index)))


CHAPTER = Chapter(
    2,
    "loss",
    "Loss",
    "One number says how wrong an answer was, and being sure of the wrong thing costs the most.",
    4,
    draw,
)
