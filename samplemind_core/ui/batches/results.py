"""One batch: how far it is, what came out, filtered and to hear, and what to do with it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn, get_args

import streamlit as st

from samplemind_core.charts.answers import class_counts_figure, confidence_histogram_figure
from samplemind_core.inference.table import NONE
from samplemind_core.server import answer_url, batch_url
from samplemind_core.store import Answer, AnswerFilter, Batch, Task
from samplemind_core.store.answers import AnswerSummary, Order
from samplemind_core.store.records import joined
from samplemind_core.ui import parts, words
from samplemind_core.ui.batches.correcting import correct_answers
from samplemind_core.ui.batches.sorting import sorting
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import error_boundary, theme, workspace
from samplemind_core.ui.task_progress import task_progress

if TYPE_CHECKING:
    from samplemind_core.batches.ranking import Suggestion

ROWS = 50
SUGGESTED = 20
SHOWN_REFUSED = 200
FAILED = "could not be read"
ORDERS: dict[Order, str] = {
    "position": "In order",
    "confidence": "Least sure first",
    "-confidence": "Surest first",
    "name": "By name",
    "label": "By class",
}
SET_SIZES = {0: "Any number of classes", 1: "One class", 2: "Two classes", 3: "Three or more"}
assert set(ORDERS) == set(get_args(Order))


def open_batch(batch_id: str) -> NoReturn:
    """Show a batch from now on; its address can be sent to somebody."""
    st.query_params["view"], st.query_params["batch"] = "many", batch_id
    st.rerun()


def show_batch(batch_id: str) -> None:
    """Draw a batch, live while it is being classified."""
    batch = workspace().store.answers.batch(batch_id)
    parts.section(batch.title)
    about = batch.checkpoint
    st.caption(
        f"Asked {parts.safe(about.get('run', ''))}, epoch {about.get('epoch')}, trained on "
        f"{parts.safe(about.get('dataset', ''))} · {words.when(batch.created_at)}"
        + (f" · by {parts.safe(batch.owner)}" if batch.owner else "")
    )
    if batch.task_id and workspace().tasks.find(batch.task_id):
        task_progress(batch.task_id, on_done=_done)
    summary = workspace().store.answers.summary(batch.id)
    if not summary.num_answers:
        st.caption("The first answers will be here in a moment.")
        not_heard(batch)
        return
    overview(batch, summary)
    with error_boundary():
        answers(batch, summary)
    not_heard(batch)
    if batch.kind != "page":
        with error_boundary():
            sorting(batch)


def _done(task: Task) -> None:
    took = words.duration((task.ended_at or 0.0) - (task.started_at or 0.0))
    result = task.result or {}
    failed = result.get("failed", 0)
    note = f", {failed:,} could not be read" if failed else ""
    st.markdown(f"**{words.plural(result.get('files', 0), 'file')}** in {took}{note}", width="stretch")


def class_names(batch: Batch, summary: AnswerSummary) -> list[str]:
    """Return the checkpoint's classes in its order, as far as the answers tell."""
    first = workspace().store.answers.page(batch.id, AnswerFilter(failed=False), limit=1)
    known = list(first[0].details.get("probs", {})) if first else []
    return known or sorted(name for name in summary.by_label if name)


def _num_in_sets(batch: Batch) -> int:
    """Return how many classes a prediction set may hold, 0 where there are no such sets."""
    first = workspace().store.answers.page(batch.id, AnswerFilter(failed=False), limit=1)
    return len(first[0].details.get("probs", {})) if first and first[0].set_size is not None else 0


def overview(batch: Batch, summary: AnswerSummary) -> None:
    """Draw how many files were called what, and how sure the answers are."""
    left, right = st.columns([3, 2])
    with left, st.container(border=True, height="stretch"):
        st.caption("Files by class")
        figure = class_counts_figure(summary.by_label, class_names(batch, summary), theme(), none=NONE)
        parts.figure(figure, key=f"batch-classes-{batch.id}")
    with right, st.container(border=True, height="stretch"):
        st.caption("How sure the answers are")
        parts.figure(confidence_histogram_figure(summary.histogram, theme()), key=f"batch-confidence-{batch.id}")
        st.caption("Take it as")
        with st.container(horizontal=True):
            for form in ("csv", "json", "parquet"):
                st.link_button(
                    form.upper() if form != "parquet" else "Parquet",
                    batch_url(batch.id, f"answers.{form}"),
                    icon=":material/download:",
                    key=f"batch-{form}",
                )


def answers(batch: Batch, summary: AnswerSummary) -> None:
    """Draw the answers, filtered and paged by the database, each to hear and to correct."""
    parts.section("Answers")
    where, order = filters(batch, summary, _num_in_sets(batch))
    total = workspace().store.answers.count(batch.id, where)
    if not total:
        st.caption("No file fits these filters.")
        return
    pages = (total - 1) // ROWS + 1
    page = 1
    if pages > 1:
        page = int(
            st.number_input(
                f"Page of {pages:,}", 1, pages, key=f"batch-page-{batch.id}-{hash((where, order))}", width=160
            )
        )
    found = workspace().store.answers.page(batch.id, where, order=order, limit=ROWS, offset=(page - 1) * ROWS)
    hint = "" if batch.kind == "page" else " Click one to hear it; arrows go through the list."
    st.caption(f"{words.plural(total, 'file')}.{hint}")
    heard = [answer for answer in found if not answer.error]
    if heard and batch.kind == "page":
        _silent_list(heard)
    elif heard:
        player_list([sound(batch, answer) for answer in heard], key="batch-list")
    failed = [(answer.file or answer.name, answer.error) for answer in found if answer.error]
    if failed:
        with st.expander(f"Could not be read ({len(failed):,} on this page)", expanded=not heard):
            parts.facts_list([(name, words.without_name(reason, name)) for name, reason in failed])
    if any(answer.several_labels for answer in heard):
        st.caption("Each file counts, sorts and filters by its surest label. Corrections take one label per file.")
    elif heard and batch.kind != "page":
        correct_answers(batch, heard, class_names(batch, summary), title="Something is wrong here", key="wrong")
        worth_a_label(batch, class_names(batch, summary))


def not_heard(batch: Batch) -> None:
    """Draw what was not listened to: entries of an archive that were refused, and files that are no sounds."""
    from samplemind_core.batches.work import left_out

    refused = left_out(workspace().root, batch)
    if not refused:
        return
    with st.expander(f"Left out ({len(refused):,})", icon=":material/block:"):
        parts.facts_list([(row.name, row.reason) for row in refused[:SHOWN_REFUSED]])
        if len(refused) > SHOWN_REFUSED:
            st.caption(f"The first {SHOWN_REFUSED:,}.")


def worth_a_label(batch: Batch, names: Sequence[str]) -> None:
    """Draw the files that a label would help most with, to hear and to name."""
    found: list[Suggestion] = []
    with st.expander("Ten minutes for labelling?", icon=":material/lightbulb:"):
        if not st.toggle("Find the files most worth a label", key=f"worth-{batch.id}"):
            st.caption("Those that the network cannot decide about, each unlike the others.")
            return
        from samplemind_core.batches.ranking import suggest

        with error_boundary():
            with st.spinner("Looking for the files that teach most", show_time=True):
                found = suggest(workspace(), batch.id, SUGGESTED)
            if not found:
                st.caption("No file of this batch can be heard any more.")
                return
            player_list(
                [
                    Sound(
                        answer_url(batch.id, one.answer.position),
                        one.answer.file or one.answer.name,
                        (one.reason, f"{100 * one.uncertainty:.0f} % undecided"),
                    )
                    for one in found
                ],
                key="worth-list",
            )
    if found:
        correct_answers(batch, [one.answer for one in found], names, title="Say what they are", key="worth-label")


def _silent_list(found: Sequence[Answer]) -> None:
    """Draw answers whose sounds were not kept."""
    st.dataframe(
        {
            "File": [answer.name for answer in found],
            "Class": [joined(answer.labels) or NONE for answer in found],
            "Confidence": [words.confidence(answer.confidence) for answer in found],
        },
        hide_index=True,
        key="batch-table",
        alt="Answers by file",
    )


def sound(batch: Batch, answer: Answer) -> Sound:
    """Return a line of the list."""
    near = [name for name in answer.details.get("prediction_set") or [] if name != answer.label]
    among = "" if not answer.label or not near else f"or {near[0]}" if len(near) == 1 else f"one of {len(near) + 1}"
    details = (joined(answer.labels) or NONE, words.confidence(answer.confidence), among)
    return Sound(answer_url(batch.id, answer.position), answer.file or answer.name, details)


def filters(batch: Batch, summary: AnswerSummary, num_classes: int) -> tuple[AnswerFilter, Order]:
    """Draw what narrows the list down; ``num_classes`` is 0 where the checkpoint gives no prediction sets."""
    labels = [label or NONE for label in summary.by_label] + ([FAILED] if summary.num_failed else [])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        text = st.text_input("Name", key=f"batch-text-{batch.id}", placeholder="Part of a name", width=200)
        chosen = st.multiselect("Class", labels, key=f"batch-labels-{batch.id}", placeholder="All", width=280)
        order = st.selectbox(
            "Order", list(ORDERS), format_func=lambda name: ORDERS[name], key=f"batch-order-{batch.id}", width=190
        )
        low, high = st.slider("Confidence (%)", 0, 100, (0, 100), key=f"batch-sure-{batch.id}", width=220)
        size = 0
        if num_classes:
            size = st.selectbox(
                "Could be",
                list(SET_SIZES)[: num_classes + 1],
                format_func=lambda number: SET_SIZES[number],
                key=f"batch-sets-{batch.id}",
                width=200,
                help="How many classes it takes to hold the right one in the stated share of cases: the more, the "
                "harder the sound.",
            )
    classes = tuple(None if label == NONE else label for label in chosen if label != FAILED)
    only_failed = chosen == [FAILED]
    where = AnswerFilter(
        labels=classes if classes else None,
        min_confidence=low / 100 if low > 0 else None,
        max_confidence=high / 100 if high < 100 else None,
        set_sizes=tuple(range(3, num_classes + 1)) if size == max(SET_SIZES) else (size,) if size else None,
        failed=True if only_failed else False if classes else None,
        text=text.strip(),
    )
    return where, order
