"""What the Classify page was given and what was answered: kept for the session, as rows and as CSV."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.files import inert
from samplemind_core.ui import words
from samplemind_core.ui.bringing import Given
from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result

KEPT_ANSWERS = 4


def answers(ref: str, given: Sequence[Given], *, keep_signals: bool) -> tuple[list[Result], float]:
    """Return one result per file and the seconds it took; answers are kept for the session."""
    run, checkpoint = workspace().resolve(ref)
    about = (run.id, checkpoint.id, checkpoint.epoch, checkpoint.created_at, keep_signals)
    asked = (about, tuple(item.id for item in given))
    kept: dict[Any, tuple[list[Result], float]] = st.session_state.setdefault("classified", {})
    if asked not in kept:
        with st.spinner(f"Listening to {words.plural(len(given), 'sample')}", show_time=True):
            classifier = workspace().classifier(ref)
            started = time.perf_counter()
            heard = iter(classifier.predict([one.item for one in given if not one.fault], keep_signals=keep_signals))
            results = [unheard(one.name, one.fault) if one.fault else next(heard) for one in given]
            while len(kept) >= KEPT_ANSWERS:
                kept.pop(next(iter(kept)))
            kept[asked] = results, time.perf_counter() - started
    return kept[asked]


def unheard(name: str, fault: str) -> Result:
    """Return the result of what never reached the classifier."""
    from samplemind_core.inference.classifier import Result

    return Result(name, error=fault)


def reasons(results: Sequence[Result]) -> list[tuple[str, str]]:
    """Return name and reason of each file that could not be read, for a list of two columns."""
    return [(result.name, words.without_name(result.error, result.name)) for result in results if result.error]


def agree(one: Result, other: Result) -> bool:
    """Return whether two checkpoints say the same: the same label, or the same set of labels."""
    return set(one.labels or (one.label,)) == set(other.labels or (other.label,))


def row(result: Result, other: Result | None = None, *, measured: bool = False) -> dict[str, Any]:
    """Return one line of the table; with the answer of another checkpoint, whether the two agree.

    ``measured`` says that the checkpoint gives prediction sets; without them the second answer is shown.
    """
    ranked = result.ranked()
    line: dict[str, Any] = {
        "File": Path(result.name).name,
        "Class": result.shown_label,
        "Confidence": result.confidence,
    }
    if other is not None:
        line |= {"Other": other.shown_label, "Other confidence": other.confidence}
    elif result.several_labels:
        line["Nearly"] = _nearly(result)
    elif measured:
        line["Could be"] = "" if result.is_none else " or ".join(result.prediction_set)
    else:
        line["Second"] = f"{ranked[1][0]} {words.confidence(ranked[1][1])}" if len(ranked) > 1 else ""
    note = "could not be read" if result.error else "too unsure to say" if result.undecided else ""
    if other is not None and not result.error and not agree(result, other):
        note = "they disagree"
    return line | {"Note": note}


def _nearly(result: Result) -> str:
    """Return the likeliest label that is not named."""
    rest = {name: share for name, share in result.probs.items() if name not in result.labels}
    name = max(rest, key=lambda name: rest[name] - result.thresholds[name], default="")
    return f"{name} {words.confidence(rest[name])}" if name else ""


def csv_text(results: Sequence[Result], others: Sequence[Result] | None = None) -> str:
    """Return the answers as CSV, with those of another checkpoint at the end of the lines."""
    from samplemind_core.inference.table import answer_columns, answer_row, share

    names = list(next((result.probs for result in results if result.probs), {}))
    several = any(result.several_labels for result in results)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        answer_columns(names, several_labels=several) + (["other_label", "other_confidence"] if others else [])
    )
    for place, result in enumerate(results):
        other = [inert(others[place].shown_label), share(others[place].confidence)] if others else []
        writer.writerow(answer_row(result, names, several_labels=several) + other)
    return text.getvalue()
