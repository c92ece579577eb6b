"""Which checkpoint is really better, on the same samples, and where and why they are wrong."""

from __future__ import annotations

from samplemind_core.ui import parts
from samplemind_core.ui.diagnostics import choose_section
from samplemind_core.ui.diagnostics.picking import datasets, picking
from samplemind_core.ui.diagnostics.verdict import verdict
from samplemind_core.ui.state import error_boundary


def main() -> None:
    parts.header("Diagnostics", "One checkpoint in depth, or several on the same samples.")
    options = datasets()
    if not options:
        parts.empty_state(
            "Confusions, per-class scores and comparisons will be here, once a network has been trained.",
            "Train one",
            "train",
            key="diagnostics-train",
            icon=":material/model_training:",
        )
        return
    picked = picking(options)
    if picked is None:
        return
    if len(picked.models) > 1:
        verdict(picked)
    section = choose_section()
    with error_boundary():
        section.draw(picked)


with error_boundary():
    main()
