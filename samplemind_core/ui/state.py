"""What every page starts from: the workspace, who is looking, the theme, and errors shown in place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Literal

import streamlit as st

from samplemind_core.errors import SampleMindError
from samplemind_core.server import workspace
from samplemind_core.ui.parts import safe

__all__ = ["choose", "choose_section", "error_boundary", "is_mine", "owner", "show_error", "theme", "workspace"]


def owner() -> str:
    """Return the name that stands beside what this viewer starts or stops; empty without a sign-in."""
    user = st.user.to_dict() if getattr(st.user, "is_logged_in", False) else {}
    return str(user.get("name") or user.get("email") or "")


def is_mine(run_owner: str) -> bool:
    """Return whether what somebody started was started by this viewer, or as the user of this machine."""
    from samplemind_core.workspace import machine_user

    return run_owner in ("", owner() or machine_user())


def theme() -> Literal["light", "dark"]:
    """Return which of the two looks the viewer's browser shows."""
    return "dark" if st.context.theme.type == "dark" else "light"


def show_error(error: SampleMindError) -> None:
    """Say what happened and what to do next."""
    parts = [safe(text) for text in (error.problem, error.advice) if text]
    st.error("\n\n".join(parts), icon=":material/error:")


@contextmanager
def error_boundary() -> Iterator[None]:
    """Show the product's own errors where they happen and keep the rest of the page; others surface."""
    try:
        yield
    except SampleMindError as error:
        show_error(error)


def choose(label: str, options: Mapping[str, str], param: str, *, default: str | None = None, help: str = "") -> str:
    """Draw a select box whose choice stands in the address, so that the page can be sent to somebody.

    Parameters
    ----------
    label : str
    options : mapping of str to str
        What is shown by what is chosen; not empty.
    param : str
        Query parameter.
    default : str, optional
        Choice where the address names none; the first otherwise.

    Returns
    -------
    str
        A key of ``options``.
    """
    key, followed = f"choose-{param}", f"choose-{param}-address"
    wanted = st.query_params.get(param)
    if wanted is not None and wanted not in options:
        st.caption(f"The link names “{wanted}”, which is not here any more.")
    _settle(options, key, followed, wanted, default)
    # Drawn from a copy: options may vanish between runs, and a select box keeps what it was told.
    choice = st.selectbox(
        label, list(options), format_func=lambda name: options.get(name, name), key=key, help=help or None
    )
    _to_address(param, choice, followed, options[choice])
    return choice


def choose_section(
    sections: Mapping[str, str], *, key: str = "", param: str = "section", label: str = "Section"
) -> str:
    """Draw the sections of a page to choose from; the chosen one stands in the address.

    Parameters
    ----------
    sections : mapping of str to str
        Titles by name; not empty. The first is where a reader starts.
    key : str, optional
        Of the widget; made from the sections by default.
    param : str
        Query parameter.
    label : str
        What a screen reader calls the choice.

    Returns
    -------
    str
        A key of ``sections``.
    """
    first = next(iter(sections))
    key = key or f"section-{first}-{len(sections)}"
    followed = f"{key}-address"
    _settle(sections, key, followed, st.query_params.get(param))
    chosen = st.segmented_control(
        label, list(sections), format_func=lambda name: sections[name], required=True, key=key,
        label_visibility="collapsed",
    )  # fmt: skip
    choice = chosen or first
    _to_address(param, choice, followed, sections[choice])
    return choice


def _settle(
    options: Mapping[str, str], key: str, followed: str, wanted: str | None, default: str | None = None
) -> None:
    """Say what a widget shall have chosen, before it is drawn.

    The browser knows a choice by what it shows. Where that changed meanwhile, as the status of a run does, what it
    sends is none of the options any more: the address still says which one is meant.
    """
    chosen: str | None = st.session_state.get(key)
    if wanted in options and (st.session_state.get(followed) != wanted or chosen not in options):
        # Somebody followed a link; or the choice is called something else now.
        st.session_state[key] = wanted
    elif chosen is None or chosen not in options:
        st.session_state[key] = default if default in options else next(iter(options))
    elif st.session_state.get(f"{followed}-shown") != options[chosen]:
        st.session_state[key] = chosen  # so that the browser is told what to show


def _to_address(param: str, choice: str, followed: str, shown: str) -> None:
    # Told only what is new: the browser takes it as the whole address, and a component may have changed that meanwhile.
    if st.query_params.get(param) != choice:
        st.query_params[param] = choice
    st.session_state[followed] = choice
    st.session_state[f"{followed}-shown"] = shown
