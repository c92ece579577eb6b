"""Chapter 11: what to try next on your own data."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import streamlit as st

from samplemind_core.ui import parts
from samplemind_core.ui.learn.lesson import Chapter, question
from samplemind_core.ui.places import Place, go
from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.learn.next_steps import Standing, Step
    from samplemind_core.store import Run

MOST_RUNS = 20


def draw() -> None:
    """Draw what is worth doing next, each with a button that leads there with everything filled in."""
    from samplemind_core.learn.next_steps import next_steps

    datasets = workspace().datasets()
    finished = [run for run in workspace().runs() if run.status in ("finished", "stopped")][:MOST_RUNS]
    steps = next_steps(datasets, [_standing(run) for run in finished])
    if datasets:
        st.markdown("Made for what is in your workspace now. Each button opens its page with the settings filled in.")
    else:
        st.markdown("You have seen how it works. The rest is done with your own sounds.")
    with st.grid(2, min_column_width=320):
        for number, step in enumerate(steps):
            _card(step, first=number == 0)
    question(
        "from-here",
        "You change three settings at once, and the new run is better. What have you learned?",
        (
            "That all three settings help",
            "That the three together helped this once",
            "Nothing at all",
        ),
        1,
        (
            "One of them may even hurt, and the others make up for it. Change one thing at a time to find out.",
            "Yes. Keep it, and find out which one it was by changing one thing at a time.",
            "You do have a better run. You only cannot say why.",
        ),
    )


def _standing(run: Run) -> Standing:
    from samplemind_core.learn.next_steps import Standing

    last = workspace().epochs(run.id)[-1:]
    verdict = str(last[0].health.get("verdict", "")) if last else ""
    return Standing(run, verdict, bool(workspace().checkpoints(run.id)))


def _card(step: Step, *, first: bool) -> None:
    from samplemind_core.ui.learn import CHAPTERS

    known = {chapter.slug for chapter in CHAPTERS}
    with st.container(border=True, height="stretch", gap="small"):
        parts.section(parts.safe(step.title))
        st.markdown(parts.safe(step.why))
        with st.container(horizontal=True, vertical_alignment="center"):
            if st.button(
                step.button,
                type="primary" if first else "secondary",
                icon=":material/arrow_forward:",
                icon_position="right",
                key=f"learn-from-here-{step.name}",
            ):
                go(cast("Place", step.place), **step.query)
            if step.chapter in known:
                st.button(
                    "Why", type="tertiary", key=f"learn-from-here-why-{step.name}", on_click=_open, args=(step.chapter,)
                )


def _open(chapter: str) -> None:
    st.query_params["chapter"] = chapter


CHAPTER = Chapter(
    11,
    "from-here",
    "From here",
    "Change one thing, look at validation, listen to the mistakes, and keep what holds on new packs.",
    3,
    draw,
)
