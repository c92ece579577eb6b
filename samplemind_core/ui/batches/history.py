"""What was classified, by which checkpoint, when and by whom; searched, opened again, deleted."""

from __future__ import annotations

import streamlit as st

from samplemind_core.store import Batch
from samplemind_core.ui import parts, words
from samplemind_core.ui.batches.results import open_batch
from samplemind_core.ui.state import error_boundary, workspace

SHOWN = 100


def history() -> None:
    """Draw the list of batches."""
    text = st.text_input("Search", key="history-text", placeholder="Part of a file's or a batch's name", width=360)
    found = workspace().store.answers.batches(text=text.strip(), limit=SHOWN)
    if not found:
        st.caption("Nothing fits." if text.strip() else "What is classified as many files is listed here.")
        return
    for batch in found:
        with st.container(border=True), error_boundary():
            _row(batch)
    if len(found) == SHOWN:
        st.caption(f"The newest {SHOWN}; search for older ones.")
    st.caption("Of a few sounds dropped on the page only the answers are kept, and only if that is wished.")


def _row(batch: Batch) -> None:
    done = workspace().store.answers.count(batch.id)
    files = words.plural(done, "file") if batch.num_files in {None, done} else f"{done:,} of {batch.num_files:,} files"
    about = batch.checkpoint
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            st.markdown(f"**{parts.safe(batch.title)}** · {files}")
            st.caption(
                f"{parts.safe(about.get('run', ''))}, epoch {about.get('epoch')} · {words.when(batch.created_at)}"
                + (f" · {parts.safe(batch.owner)}" if batch.owner else "")
            )
        if st.button("Open", key=f"history-open-{batch.id}"):
            open_batch(batch.id)
        with st.popover("Delete", icon=":material/delete:", key=f"history-delete-{batch.id}"):
            st.markdown("The answers and uploaded copies go; a folder of the machine stays as it is.")
            if st.button("Delete for good", type="primary", key=f"history-sure-{batch.id}"):
                from samplemind_core.batches.work import delete_batch

                delete_batch(workspace(), batch.id)
                st.rerun()
