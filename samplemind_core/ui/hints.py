"""What a word means, where it stands: a line or two, and the way to the chapter that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import streamlit as st

from samplemind_core.ui.places import link


@dataclass(frozen=True)
class Hint:
    """A word of the field: what it means in plain words, and the chapter that shows it."""

    word: str
    text: str
    chapter: str


HINTS: dict[str, Hint] = {
    "epoch": Hint(
        "Epoch", "Once through all training samples. The network hears them in batches and steps after each.", "batches"
    ),
    "loss": Hint(
        "Loss",
        "How wrong the answers are, in one number: small when the network gives the right class a high probability, "
        "large when it is sure of a wrong one. Lower is better.",
        "loss",
    ),
    "accuracy": Hint("Accuracy", "The share of samples that the network names right.", "loop"),
    "map": Hint(
        "Mean average precision",
        "Where samples have several labels: for each label, how well its samples are ranked above all others; then the "
        "mean over labels. It needs no threshold. 100 % is a perfect order.",
        "reading",
    ),
    "training": Hint(
        "Training",
        "Guess, hear how wrong that was, change every weight a little, and again, thousands of times.",
        "loop",
    ),
    "learning_rate": Hint(
        "Learning rate",
        "How far the weights move at each step. Too small, and nothing is learned; too large, and the loss jumps.",
        "learning-rate",
    ),
    "batch_size": Hint(
        "Batch size",
        "How many samples the network hears before each step: few are quick and noisy, many slow and sure.",
        "batches",
    ),
    "optimiser": Hint(
        "Optimiser", "The rule that turns slopes into steps. Adam and its kin suit most runs.", "optimisers"
    ),
    "overfitting": Hint(
        "Overfitting",
        "The network remembers its training samples instead of learning what they have in common: training gets "
        "better while validation gets worse.",
        "overfitting",
    ),
    "confusion_matrix": Hint(
        "Confusion matrix",
        "Rows are what samples are, columns what the network called them. The diagonal is right; every other cell is "
        "a kind of mistake.",
        "reading",
    ),
    "precision_recall": Hint(
        "Precision and recall",
        "Precision: of all that was called a kick, how much is one. Recall: of all kicks, how many were found.",
        "reading",
    ),
    "split": Hint(
        "Split and source",
        "Training samples are learned from, validation samples choose the checkpoint, test samples are kept for the "
        "end. All samples of one source, such as a pack, stay on one side, or the test would be too easy.",
        "reading",
    ),
    "log_mel": Hint(
        "What the network hears",
        "A picture of the sound: time to the right, pitch upwards, loudness as brightness. The network sees nothing "
        "else.",
        "hearing",
    ),
    "confidence": Hint(
        "Confidence",
        "How the network divides one whole between the classes. Near one it is sure, which is not the same as right.",
        "reading",
    ),
}  # fmt: skip


@cache
def chapters() -> frozenset[str]:
    """Return the slugs of the chapters there are, without importing any of them."""
    folder = Path(__file__).with_name("learn")
    return frozenset(path.stem.replace("_", "-") for path in folder.glob("*.py"))


def hint(concept: str, label: str = "What is this?", *, key: str = "") -> None:
    """Draw a small question mark that opens a word's meaning.

    Parameters
    ----------
    concept : str
        A key of :data:`HINTS`.
    label : str
        The word itself, where several hints stand in a row.
    key : str
        Tells two hints on the same concept apart on one page.
    """
    found = HINTS[concept]
    with st.popover(label, type="tertiary", icon=":material/help:", key=f"hint-{concept}{key}"):
        st.markdown(f"**{found.word}**")
        st.markdown(found.text)
        if found.chapter in chapters():
            link("learn", "See it move in Learn", chapter=found.chapter)


def hints(*concepts: str) -> None:
    """Draw several hints in a row, each under its own word."""
    with st.container(horizontal=True, gap="small"):
        for concept in concepts:
            hint(concept, HINTS[concept].word)


def section(title: str, concept: str, *, key: str = "") -> None:
    """Draw a heading inside a page, with a hint on what it is about."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(title, anchor=False, width="stretch")
        hint(concept, key=key)
