"""The sections of the Diagnostics page. Each is a module with ``draw(picked)``, imported when somebody looks at it."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui.state import choose_section as choose_from

if TYPE_CHECKING:
    from samplemind_core.ui.diagnostics.picked import Picked


@dataclass(frozen=True)
class Section:
    """One question that the page answers.

    Attributes
    ----------
    slug : str
        Its name in the address and of its module in this package.
    title : str
        Its name on the page.
    needs_network : bool
        Whether it looks into a network, which the mean of several or a cross-validation is not.
    several : str
        The module that draws it where samples have several labels.
    """

    slug: str
    title: str
    needs_network: bool = False
    several: str = ""

    def draw(self, picked: Picked) -> None:
        """Draw the section for what was picked."""
        module = self.several if picked.several_labels else self.slug
        if self.needs_network and not picked.single:
            st.caption("This looks into one network. Choose a checkpoint above, not only a cross-validation.")
            return
        importlib.import_module(f"{__name__}.{module}").draw(picked)


SECTIONS: tuple[Section, ...] = (
    Section("overview", "Overview", several="several_overview"),
    Section("confusions", "Confusions", several="several_found"),
    Section("labels", "Labels", several="several_labels"),
    Section("calibration", "Calibration", several="several_calibration"),
    Section("thresholds", "Thresholds", several="several_thresholds"),
    Section("slices", "Slices", several="slices"),
    Section("embedding", "Map", needs_network=True, several="embedding"),
    Section("robustness", "Robustness", needs_network=True, several="several_robustness"),
    Section("why", "Why", needs_network=True, several="why"),
    Section("report", "Report", several="report"),
)


def choose_section() -> Section:
    """Draw the sections to choose from and return the chosen one, which stands in the address."""
    by_slug = {section.slug: section for section in SECTIONS}
    # Without icons: with them ten names take two rows on a usual screen.
    titles = {slug: section.title for slug, section in by_slug.items()}
    return by_slug[choose_from(titles, key="diagnostics-section")]
