"""Many trainings for one answer: settings judged fold by fold, and a search for better ones."""

from __future__ import annotations

from samplemind_core.ui import parts
from samplemind_core.ui.experiments.folds import cross_validation
from samplemind_core.ui.experiments.searching import searching
from samplemind_core.ui.state import choose_section, error_boundary, workspace

SECTIONS = {"folds": "Cross-validate", "search": "Search"}


def main() -> None:
    parts.header("Experiments", "Many trainings for one answer. They go on when you leave this page.")
    if not workspace().datasets():
        parts.empty_state(
            "Cross-validations and searches will be here, once there is a dataset to train on.",
            "Get a dataset",
            "data",
            key="experiments-dataset",
            icon=":material/library_music:",
        )
        return
    if choose_section(SECTIONS, label="Kind of experiment") == "search":
        searching()
    else:
        cross_validation()


with error_boundary():
    main()
