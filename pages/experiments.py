"""Many trainings for one answer: settings judged fold by fold."""

from __future__ import annotations

from samplemind_core.ui import parts
from samplemind_core.ui.experiments.folds import cross_validation
from samplemind_core.ui.state import error_boundary, workspace


def main() -> None:
    parts.header("Experiments", "Many trainings for one answer. They go on when you leave this page.")
    if not workspace().datasets():
        parts.empty_state(
            "Cross-validations will be here, once there is a dataset to train on.",
            "Get a dataset",
            "data",
            key="experiments-dataset",
            icon=":material/library_music:",
        )
        return
    cross_validation()


with error_boundary():
    main()
