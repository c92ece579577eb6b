"""Which chapters a viewer has done: kept in the viewer's own browser, so several viewers never mix."""

from __future__ import annotations

import json
from collections.abc import Iterable

import streamlit as st

from samplemind_core.ui.state import owner

_DONE, _FORGET, _COMPONENT = "learn-done", "learn-forget", "learn-memory"

# What the browser keeps and what this session knows are joined; only what is new is told to the other side.
_JS = """
const read = name => { try { return JSON.parse(localStorage.getItem(name)) ?? []; } catch { return []; } };
const write = (name, done) => { try { localStorage.setItem(name, JSON.stringify(done)); } catch { /* a full disk */ } };
export default function ({ data, setStateValue }) {
  const { name, done, forget, chapter } = JSON.parse(data);
  if (globalThis.samplemindChapter !== undefined && globalThis.samplemindChapter !== chapter)
    document.querySelector('[data-testid=stMain]')?.scrollTo({ top: 0 });
  globalThis.samplemindChapter = chapter;
  const kept = forget ? [] : read(name).filter(slug => typeof slug === 'string');
  const joined = [...new Set([...kept, ...done])].sort();
  if (forget || joined.length !== kept.length) write(name, joined);
  if (joined.length !== done.length) setStateValue('done', JSON.stringify(joined));
}
"""
_memory = st.components.v2.component("samplemind_learn_memory", html="<span hidden></span>", js=_JS)


def done() -> set[str]:
    """Return the slugs of the chapters that this viewer has done."""
    return set(st.session_state.get(_DONE, ()))


def finish(slug: str) -> None:
    """Mark a chapter as done."""
    st.session_state[_DONE] = done() | {slug}


def forget() -> None:
    """Start over: no chapter is done."""
    st.session_state[_DONE] = set()
    st.session_state[_FORGET] = True
    for key in [key for key in st.session_state if str(key).startswith("learn-question-")]:
        del st.session_state[key]


def remember(known: Iterable[str], chapter: str) -> None:
    """Join with what the viewer's browser kept, of the chapters there are; draw this last on the page.

    ``chapter`` is the one shown: when it changes the browser goes back to the top.
    """
    slugs = set(known)

    def joined() -> None:
        st.session_state[_DONE] = done() | (_parsed(st.session_state[_COMPONENT]["done"]) & slugs)

    data = {
        # Viewers who sign in on one machine keep apart.
        "name": f"samplemind-learn:{owner()}",
        "done": sorted(done()),
        "forget": st.session_state.pop(_FORGET, False),
        "chapter": chapter,
    }
    _memory(key=_COMPONENT, data=json.dumps(data), default={"done": "[]"}, on_done_change=joined)


def _parsed(text: object) -> set[str]:
    """Return the slugs in what a browser sent, which may be anything."""
    try:
        found = json.loads(str(text))
    except ValueError:
        return set()
    return {slug for slug in found if isinstance(slug, str)} if isinstance(found, list) else set()
