"""Where the pages are: one list for the navigation, links and jumps."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NoReturn

import streamlit as st

Place = Literal["home", "data", "train", "runs", "experiments", "diagnostics", "learn", "classify", "system"]
PAGES = Path(__file__).resolve().parents[2] / "pages"

_ICONS: dict[Place, str] = {
    "home": ":material/home:",
    "data": ":material/library_music:",
    "train": ":material/model_training:",
    "runs": ":material/table_rows:",
    "experiments": ":material/science:",
    "diagnostics": ":material/query_stats:",
    "learn": ":material/school:",
    "classify": ":material/graphic_eq:",
    "system": ":material/memory:",
}
_GROUPS: dict[str, tuple[Place, ...]] = {
    "": ("home",),
    "Build": ("data", "train", "runs", "experiments"),
    "Understand": ("diagnostics", "learn"),
    "Use": ("classify",),
    "Machine": ("system",),
}


def navigation() -> dict[str, list[st.Page]]:
    """Return the pages by section, as ``st.navigation`` takes them."""
    return {section: [_page(place) for place in places] for section, places in _GROUPS.items()}


def go(place: Place, **query: str) -> NoReturn:
    """Leave for another page, with query parameters that say what to show there."""
    st.switch_page(PAGES / f"{place}.py", query_params=query)


def link(place: Place, label: str, **query: str) -> None:
    """Draw a link to another page."""
    st.page_link(PAGES / f"{place}.py", label=label, icon=_ICONS[place], query_params=query)


def _page(place: Place) -> st.Page:
    return st.Page(
        PAGES / f"{place}.py",
        title=place.capitalize(),
        icon=_ICONS[place],
        # The default page answers at "/", without a path of its own.
        url_path=None if place == "home" else place,
        default=place == "home",
    )
