"""Chapter 9: memorising, and what helps against it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.learn.lesson import Chapter, awake, figure, question, source
from samplemind_core.ui.learn.stage import stage
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.learn.practice import Practice

_TRIES, _QUIZ = "learn-overfitting-tries", ("overfitting", "underfitting", "healthy")
_TITLES = {"healthy": "Healthy", "overfitting": "Overfitting", "underfitting": "Underfitting"}
_KEPT = 6


@dataclass(frozen=True)
class Try:
    """A run that has ended: what was taken against memorising, and how it went."""

    cures: tuple[str, ...]
    rows: tuple[dict[str, float], ...]
    verdict: str


def draw() -> None:
    """Draw a network that memorises, the cures to take, and a quiz of real curves."""
    awake()
    from samplemind_core.learn.cures import CURES, lesson_config, lesson_data
    from samplemind_core.learn.practice import Practice

    chosen = st.pills(
        "Cures to take, alone or together",
        list(CURES),
        selection_mode="multi",
        format_func=lambda name: CURES[name].title,
        key="learn-overfitting-cures",
    )
    cures = tuple(name for name in CURES if name in (chosen or ()))
    for name in cures:
        st.caption(f"**{CURES[name].title}**: {CURES[name].why}")
    config = lesson_config(cures)

    with st.spinner("Making the clips, once"):
        data = lesson_data(cures)
    st.caption(_plan(cures))
    stage(
        "overfitting",
        cures,
        lambda: Practice(config, data),
        Practice.advance,
        lambda run: _picture(run, cures),
        run="Train",
        step=None,
    )
    _tries()
    _quiz()
    question(
        "overfitting",
        "Training loss still falls, validation loss has been rising for a while. What is the network learning?",
        ("The classes, ever better", "Its training clips by heart", "Nothing any more"),
        1,
        (
            "Then validation would get better too: those clips are of the same classes.",
            "Yes. What helps on the training clips alone is memory. Stop at the best epoch, or give it more to learn "
            "from than it can remember.",
            "The falling training loss says otherwise. It learns, only not what you want.",
        ),
    )


def _plan(cures: tuple[str, ...]) -> str:
    from samplemind_core.audio.synth import CLASS_NAMES
    from samplemind_core.learn.cures import FEW, MANY
    from samplemind_core.learn.kits import UNSEEN_KIT

    clips = (MANY if "more" in cures else FEW) * len(CLASS_NAMES)
    return (
        f"A network learns {words.plural(clips, 'clip')} from {UNSEEN_KIT} made-up kits and is asked about kits it has "
        "never heard. First train it without any cure and watch the two curves part."
    )


def _picture(run: Practice, cures: tuple[str, ...]) -> None:
    from samplemind_core.charts.learn_overfitting import cure_figure
    from samplemind_core.learn.cures import curve_rows
    from samplemind_core.models import count_parameters

    rows = curve_rows(run.history)
    tries: list[Try] = st.session_state.setdefault(_TRIES, [])
    before = next((item.rows for item in reversed(tries) if item.cures != cures), ())
    figure(cure_figure(rows, before, run.train_config.epochs, theme()), key="overfitting-curves")
    weights = count_parameters(run.model) / len(run.data.train_rows)
    if not rows:
        st.caption(f"The network has {weights:,.0f} weights for each training clip: room enough to remember them all.")
        return
    health = run.history[-1].health
    parts.verdict(health)
    now = rows[-1]
    with st.grid(3, min_column_width=130):
        st.metric("Training accuracy", words.percent(now["train_accuracy"], 0))
        st.metric("Validation accuracy", words.percent(now["val_accuracy"], 0))
        st.metric(
            "Validation loss", f"{now['val_loss']:.2f}", help="The lowest so far counts: that checkpoint is kept."
        )
    if run.ending:
        st.caption(run.ending)
        done = Try(cures, tuple(rows), str(health["title"]))
        if not any(item.cures == cures for item in tries):
            tries.append(done)
            del tries[:-_KEPT]


def _tries() -> None:
    from samplemind_core.learn.cures import CURES

    tries: list[Try] = st.session_state.get(_TRIES, [])
    if len(tries) < 2:
        return
    table = [
        {
            "Cures": ", ".join(CURES[name].title for name in item.cures) or "None",
            "Training": words.percent(item.rows[-1]["train_accuracy"], 0),
            "Validation": words.percent(item.rows[-1]["val_accuracy"], 0),
            "Best loss": f"{min(row['val_loss'] for row in item.rows):.2f}",
            "Last loss": f"{item.rows[-1]['val_loss']:.2f}",
            "Verdict": item.verdict,
        }
        for item in tries
    ]
    st.dataframe({name: [row[name] for row in table] for name in table[0]}, hide_index=True, alt="Your tries so far")


def _quiz() -> None:
    from samplemind_core.charts.curves import loss_figure
    from samplemind_core.learn.quiz_curves import quiz_curves

    parts.section("Read the curves")
    st.caption("Three real runs of made-up kits. Training is solid, validation dashed. What would you say?")
    for place, (column, curve) in enumerate(zip(st.columns(3), quiz_curves(), strict=True)):
        with column, st.container(border=True, height="stretch", gap="small"):
            chart = loss_figure(curve.rows, theme())
            chart.update_layout(height=220)
            chart.update_xaxes(nticks=5)
            figure(chart, key=f"overfitting-run-{place}")
            said = st.selectbox(
                f"Run {place + 1}",
                sorted(_QUIZ),
                index=None,
                format_func=_TITLES.__getitem__,
                placeholder="Your verdict",
                key=f"learn-overfitting-quiz-{place}",
            )
            if said == curve.verdict:
                st.markdown(f":green[:material/check_circle:] {curve.title}. {parts.safe(curve.reason)}")
            elif said is not None:
                st.markdown(":orange[:material/replay:] Look where the two curves start, and where they end.")
    source(
        "the rules of the verdict stand in training/health.py; the measure of a rise is generalisation loss, "
        "L. Prechelt, Early stopping: but when?, 1998"
    )


CHAPTER = Chapter(
    9,
    "overfitting",
    "Overfitting",
    "A network that remembers its clips looks brilliant in training and disappoints on the next pack.",
    6,
    draw,
)
