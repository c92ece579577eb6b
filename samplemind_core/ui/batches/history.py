"""What was classified, by which checkpoint, when and by whom; searched, opened again, deleted."""

from __future__ import annotations

import streamlit as st

from samplemind_core.inference.table import NONE
from samplemind_core.store import Batch
from samplemind_core.store.answers import Tally
from samplemind_core.ui import parts, words
from samplemind_core.ui.batches.results import open_batch
from samplemind_core.ui.state import error_boundary, workspace

SHOWN = 100
SHOWN_CLASSES = 6


def history() -> None:
    """Draw the list of batches."""
    text = st.text_input(
        "Search", key="history-text", placeholder="Part of a file's name, a class, a run, a person", width=400
    )
    found = workspace().store.answers.batches(text=text.strip(), limit=SHOWN)
    if not found:
        st.caption("Nothing fits." if text.strip() else "What is classified as many files is listed here.")
        return
    tallies = workspace().store.answers.tally([batch.id for batch in found])
    for batch in found:
        with st.container(border=True), error_boundary():
            _row(batch, tallies.get(batch.id, Tally({}, 0)))
    if len(found) == SHOWN:
        st.caption(f"The newest {SHOWN}; search for older ones.")
    st.caption("Of a few sounds dropped on the page only the answers are kept, and only if that is wished.")


def _row(batch: Batch, tally: Tally) -> None:
    done = tally.num_answers
    title = f"**{parts.safe(batch.title)}**"
    if batch.kind != "page":
        of = f"{done:,} of " if batch.num_files not in {None, done} else ""
        title += f" · {of}{words.plural(batch.num_files or done, 'file')}"
    about = batch.checkpoint
    with st.container(horizontal=True, vertical_alignment="center"):
        with st.container(width="stretch"):
            st.markdown(title)
            st.caption(
                f"{parts.safe(about.get('run', ''))}, epoch {about.get('epoch')} · {words.when(batch.created_at)}"
                + (f" · {parts.safe(batch.owner)}" if batch.owner else "")
            )
            if done:
                st.caption(parts.safe(_called(tally)))
        if st.button("Open", key=f"history-open-{batch.id}"):
            open_batch(batch.id)
        with st.popover("Delete", icon=":material/delete:", key=f"history-delete-{batch.id}"):
            st.markdown("The answers and uploaded copies go; a folder of the machine stays as it is.")
            if st.button("Delete for good", type="primary", key=f"history-sure-{batch.id}"):
                from samplemind_core.batches.work import delete_batch

                delete_batch(workspace(), batch.id)
                st.rerun()


def _called(tally: Tally) -> str:
    """Return what the files were called, the most frequent first."""
    counts = [(label or NONE, count) for label, count in tally.by_label.items()]
    shown = [f"{name} {count:,}" for name, count in counts[:SHOWN_CLASSES]]
    if len(counts) > SHOWN_CLASSES:
        shown.append(f"other {sum(count for _, count in counts[SHOWN_CLASSES:]):,}")
    if tally.num_failed:
        shown.append(f"could not be read {tally.num_failed:,}")
    return ", ".join(shown)
