"""Drop samples in, get their class and how sure the answer is."""

from __future__ import annotations

from samplemind_core.ui import parts
from samplemind_core.ui.classification import classification
from samplemind_core.ui.state import error_boundary, workspace


def main() -> None:
    parts.header("Classify", "Drop samples here to hear what a trained network makes of them.")
    options = parts.checkpoint_options(workspace())
    if not options:
        parts.empty_state(
            "Answers will be here, once a network has been trained.",
            "Train one",
            "train",
            key="classify-train",
            icon=":material/model_training:",
        )
        return
    classification(options, key="classify")


with error_boundary():
    main()
