"""Drop samples in, get their class and how sure the answer is; thousands at once; corrections and history."""

from __future__ import annotations

from samplemind_core.ui import parts
from samplemind_core.ui.batches.history import history
from samplemind_core.ui.batches.reviewing import review
from samplemind_core.ui.batches.starting import many_files
from samplemind_core.ui.classification import classification
from samplemind_core.ui.starter import starter_option, train_your_own
from samplemind_core.ui.state import choose_section, error_boundary, workspace

VIEWS = {"sounds": "A few sounds", "many": "Many files", "review": "Corrections", "history": "History"}


def main() -> None:
    parts.header("Classify", "Drop samples here to hear what a trained network makes of them.")
    options = parts.checkpoint_options(workspace())
    trained = bool(options)
    options |= starter_option()
    if not options:
        parts.empty_state(
            "Answers will be here, once a network has been trained.",
            "Train one",
            "train",
            key="classify-train",
            icon=":material/model_training:",
        )
        return
    if not trained:
        train_your_own()
    view = choose_view()
    with error_boundary():
        if view == "many":
            many_files(options)
        elif view == "review":
            review()
        elif view == "history":
            history()
        else:
            classification(options, key="classify")


def choose_view() -> str:
    """Draw the four parts of the page; the one shown stands in the address."""
    waiting = workspace().store.corrections.count("waiting")
    names = VIEWS | ({"review": f"Corrections ({waiting:,})"} if waiting else {})
    return choose_section(names, key="classify-view", param="view", label="Part of the page")


with error_boundary():
    main()
