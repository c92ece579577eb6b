"""A short course: how a network learns, with everything moving under the reader's fingers."""

from __future__ import annotations

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.learn import CHAPTERS, Chapter, memory, stage
from samplemind_core.ui.state import error_boundary

READING_WIDTH_PX = 960


def main() -> None:
    by_slug = {chapter.slug: chapter for chapter in CHAPTERS}
    wanted = st.query_params.get("chapter")
    with st.container(horizontal_alignment="center"), st.container(width=READING_WIDTH_PX):
        if wanted in by_slug:
            read(by_slug[wanted])
        else:
            if wanted is not None:
                st.caption("The link names a chapter that is not here. These are the ones there are.")
            contents()
    memory.remember(by_slug, wanted or "")


def contents() -> None:
    parts.header(
        "Learn how a network learns",
        "Short chapters, each with one idea to move, see and hear. Every number is computed while you watch, "
        "by the same code that trains your own networks.",
    )
    done = memory.done() & {chapter.slug for chapter in CHAPTERS}
    following = next((chapter for chapter in CHAPTERS if chapter.slug not in done), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        if following is None:
            st.caption("You have done every chapter.")
        else:
            label = f"Go on with {following.title.lower()}" if done else "Start with the first chapter"
            st.button(label, type="primary", icon=":material/play_arrow:", key="learn-next-open", on_click=show,
                      args=(following.slug,))  # fmt: skip
        if done:
            st.caption(f"{len(done)} of {words.plural(len(CHAPTERS), 'chapter')} done", width="content")
            st.button("Forget my progress", type="tertiary", key="learn-forget-all", on_click=memory.forget)
    with st.grid(2, min_column_width=320):
        for chapter in CHAPTERS:
            card(chapter, chapter.slug in done)


def card(chapter: Chapter, done: bool) -> None:
    with st.container(border=True, height="stretch", gap="small"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption(f"Chapter {chapter.number} · {words.plural(chapter.minutes, 'minute')}")
            if done:
                st.badge("Done", icon=":material/check:", color="green")
        st.subheader(chapter.title, anchor=False)
        st.markdown(chapter.idea)
        st.button(
            "Read again" if done else "Open",
            key=f"learn-open-{chapter.slug}",
            icon=":material/arrow_forward:",
            icon_position="right",
            on_click=show,
            args=(chapter.slug,),
        )


def read(chapter: Chapter) -> None:
    place = CHAPTERS.index(chapter)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("All chapters", type="tertiary", icon=":material/arrow_back:", key="learn-contents", on_click=show)
        st.caption(f"Chapter {chapter.number} · {words.plural(chapter.minutes, 'minute')}", width="content")
        if chapter.slug in memory.done():
            st.badge("Done", icon=":material/check:", color="green")
    st.title(chapter.title, anchor=False)
    st.subheader(chapter.idea, anchor=False)
    st.space("small")
    with error_boundary():
        chapter.draw()
    st.space("small")
    with st.container(horizontal=True, horizontal_alignment="distribute"):
        turn(place - 1, "learn-previous", ":material/arrow_back:", "left")
        turn(place + 1, "learn-next", ":material/arrow_forward:", "right")


def turn(place: int, key: str, icon: str, side: str) -> None:
    if not 0 <= place < len(CHAPTERS):
        if side == "left":
            st.button("All chapters", key=key, icon=icon, on_click=show)
        elif place:
            st.button("To the contents", key=key, icon=icon, icon_position="right", on_click=show)
        return
    chapter = CHAPTERS[place]
    st.button(
        f"{chapter.number} {chapter.title}",
        key=key,
        icon=icon,
        icon_position=side,  # type: ignore[arg-type]
        type="primary" if side == "right" else "secondary",
        on_click=show,
        args=(chapter.slug,),
    )


def show(slug: str = "") -> None:
    """Go to a chapter, or to the contents; whatever was running there ends."""
    stage.stop_all()
    st.query_params.pop("part", None)
    if slug:
        st.query_params["chapter"] = slug
    else:
        st.query_params.pop("chapter", None)


with error_boundary():
    main()
