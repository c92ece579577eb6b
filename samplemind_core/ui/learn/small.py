"""The small network of the lessons, trained once for everybody who comes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import streamlit as st

if TYPE_CHECKING:
    from samplemind_core.learn.inside import SmallNetwork

_training = threading.Lock()


def small_network(weight_decay: float | None = None) -> SmallNetwork:
    """Return the small network, training it first if nobody has; says so meanwhile."""
    from samplemind_core.learn import inside

    # Two viewers who come at once wait for one training instead of starting two.
    with st.spinner("Training a small network, once: a few seconds", show_time=True), _training:
        return inside.small_network(inside.USUAL_DECAY if weight_decay is None else weight_decay)
