"""The starter model on pages: offered where a checkpoint is chosen, and what to expect of it."""

from __future__ import annotations

import streamlit as st

from samplemind_core.errors import NotFoundError
from samplemind_core.starter import STARTER, STARTER_NAME, starter_card
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import go
from samplemind_core.ui.state import workspace


def starter_option() -> dict[str, str]:
    """Return the starter as a choice among checkpoints; empty where this copy has none."""
    return {f"{STARTER}:best": STARTER_NAME} if starter_classes() else {}


def starter_classes() -> tuple[str, ...]:
    """Return the classes that the starter knows; empty where this copy has none."""
    try:
        return starter_card().class_names
    except NotFoundError:
        return ()


def starter_provenance() -> None:
    """Say what the starter was trained on and how often it is right, on real drums too."""
    card = starter_card()
    heard = card.held_out_kits
    line = f"Knows {', '.join(card.class_names)} · right on {words.percent(heard.accuracy)} of synthesised drums"
    if card.real is not None:
        line += f" in kits it never heard, on {words.percent(card.real.accuracy)} of real ones"
    recalls = [
        f"{name} {words.percent(share, 0)}" for name, share in (card.real or heard).recall.items() if share is not None
    ]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(
            parts.safe(line),
            width="content",
            help=f"Trained on {card.num_clips:,} sounds in {card.num_kits} kits, all made by rule. Found right, by "
            f"class{' on real drums' if card.real else ''}: {', '.join(recalls)}. How far its confidence can be "
            "trusted on your samples has not been measured.",
        )
        parts.synthetic_badge()


def train_your_own() -> None:
    """Say what stands in for a network of one's own, and lead to one."""
    has_data = bool(workspace().datasets())
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(
            "No network has been trained here yet. Until then the starter model answers: it has only ever heard "
            "synthesised drums. One that is trained on your own samples knows your classes and does better on them.",
            width="stretch",
        )
        label, place = ("Train one", "train") if has_data else ("Get a dataset", "data")
        if st.button(label, key="classify-train", icon=":material/model_training:"):
            go(place)  # type: ignore[arg-type]  # one of the two above
