"""Which checkpoints are looked at, and on which samples: all of it stands in the address."""

from __future__ import annotations

import streamlit as st

from samplemind_core.evaluation.out_of_fold import folds_ref, out_of_fold_file
from samplemind_core.store import Dataset
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import LETTERS, Picked, clips_of, pick
from samplemind_core.ui.diagnostics.waiting import answers_are_there
from samplemind_core.ui.hints import hint
from samplemind_core.ui.starter import starter_classes, starter_option
from samplemind_core.ui.state import choose, error_boundary, owner, workspace

SPLIT_WORDS = {"val": "Validation", "test": "Test", "all": "All samples"}
_NEWEST = 100
_MAX_UPLOAD_MB = 500
_IMPORTS = "diagnostics-imports"


def datasets() -> dict[str, str]:
    """Return the datasets that some checkpoint can be judged on, those that were trained on first."""
    store = workspace()
    trained = {run.dataset_id for run in store.runs() if store.checkpoints(run.id)}
    known = {(item.multi_label, name) for item in store.datasets() if item.id in trained for name in item.class_names}
    known |= {(False, name) for name in starter_classes()}
    found = [
        item
        for item in store.datasets()
        if item.id in trained or any((item.multi_label, name) in known for name in item.class_names)
    ]
    return {item.id: parts.dataset_label(item) for item in sorted(found, key=lambda item: item.id not in trained)}


def picking(options: dict[str, str]) -> Picked | None:
    """Draw the choice of samples and checkpoints and return what was picked; None while answers are computed.

    Parameters
    ----------
    options : dict of str to str
        From :func:`datasets`; not empty.
    """
    with st.container(border=True):
        left, right = st.columns([3, 2])
        with left:
            dataset = workspace().dataset(choose("Samples of", options, "dataset"))
        with right:
            split = choose("Measured on", _splits(dataset), "split", default="test", help=_SPLIT_HELP)
        refs = _checkpoints(dataset)
    if not answers_are_there(dataset, split, list(refs.values())):
        return None
    with st.spinner("Measuring on the same samples", show_time=True):
        picked = pick(dataset, split, refs, mean=len(refs) > 1 and st.query_params.get("mean") == "1")
    for note in picked.notes:
        st.caption(parts.safe(note))
    return picked


_SPLIT_HELP = "Choose between checkpoints by validation. The test split is for reporting, not for choosing."


def _splits(dataset: Dataset) -> dict[str, str]:
    folds = sorted({clip.fold for clip in clips_of(dataset).values() if clip.fold}, key=lambda name: (len(name), name))
    return SPLIT_WORDS | {f"fold:{name}": f"Fold {name}" for name in folds}


def _checkpoints(dataset: Dataset) -> dict[str, str]:
    """Draw a box for each checkpoint and return those that were chosen, by letter."""
    options = _options(dataset)
    wanted = [letter for letter in LETTERS.lower() if st.query_params.get(letter)]
    shown = max(2, st.session_state.get("diagnostics-shown", 2), *(LETTERS.lower().index(at) + 1 for at in wanted))
    columns = st.columns(2)
    with columns[0]:
        chosen = {"A": choose("Checkpoint A", options, "a")}
    for place, letter in enumerate(LETTERS[1:shown], 1):
        nothing = "None: look at A alone" if letter == "B" else "None"
        default = _other(dataset, options, chosen["A"]) if letter == "B" else ""
        with columns[place % 2]:
            more = {"": nothing} | options
            chosen[letter] = choose(f"Checkpoint {letter}", more, letter.lower(), default=default)
    refs: dict[str, str] = {}
    for letter, ref in chosen.items():
        if ref and ref not in refs.values():  # the same checkpoint twice is once
            refs[letter] = ref
    with st.container(horizontal=True, vertical_alignment="center"):
        if shown < min(len(LETTERS), len(options)) and st.button(
            "Another checkpoint", icon=":material/add:", type="tertiary", key="diagnostics-another"
        ):
            st.session_state["diagnostics-shown"] = shown + 1
            st.rerun()
        _import(dataset, next((letter for letter in LETTERS if letter not in refs), "A"))
        if len(refs) > 1:
            mean = st.toggle(
                "Their mean as well",
                value=st.query_params.get("mean") == "1",
                key="diagnostics-mean",
                help="Judges the average of their probabilities as one more model.",
            )
            st.query_params["mean"] = "1" if mean else "0"
        hint("split")
    return refs


def _import(dataset: Dataset, letter: str) -> None:
    """Draw where a checkpoint file can be brought in; it is picked as the next letter."""
    with st.popover("Import a checkpoint", icon=":material/upload_file:", type="tertiary"):
        st.caption("A .safetensors file that SampleMind wrote here or elsewhere. Nothing in it is run.")
        key = f"diagnostics-upload-{st.session_state.get(_IMPORTS, 0)}"
        upload = st.file_uploader(
            "Checkpoint file", "safetensors", key=key, max_upload_size=_MAX_UPLOAD_MB, label_visibility="collapsed"
        )
        if upload is not None and st.button("Import", key="diagnostics-import", type="primary"):
            with st.spinner("Checking the file", show_time=True), error_boundary():
                run = workspace().import_checkpoint(upload.getvalue(), upload.name, dataset.id, owner())
                st.query_params[letter.lower()] = f"{run.id}:best"
                st.session_state["diagnostics-shown"] = max(2, LETTERS.index(letter) + 1)
                st.session_state[_IMPORTS] = st.session_state.get(_IMPORTS, 0) + 1  # an empty box again
                st.rerun()


def _options(dataset: Dataset) -> dict[str, str]:
    """Return the checkpoints that know a class of this dataset, those that were trained on it first."""
    store = workspace()
    others = {item.id: item for item in store.datasets()}
    options = parts.checkpoint_options(store, dataset.id, newest=_NEWEST)
    for item in others.values():
        alike = item.multi_label == dataset.multi_label and set(item.class_names) & set(dataset.class_names)
        if item.id != dataset.id and alike:
            more = parts.checkpoint_options(store, item.id, newest=_NEWEST)
            options |= {ref: f"{label} · trained on {item.name}" for ref, label in more.items()}
    for run in store.runs(dataset.id)[:_NEWEST]:
        if out_of_fold_file(store.settings, run.id).exists():
            options[folds_ref(run.id)] = f"{run.name} · cross-validated"
    if not dataset.multi_label and set(starter_classes()) & set(dataset.class_names):
        options |= starter_option()
    return options


def _other(dataset: Dataset, options: dict[str, str], ref: str) -> str:
    """Return the best checkpoint of another run on the same dataset, the most useful thing to compare with."""
    alike = {f"{run.id}:best" for run in workspace().runs(dataset.id)} - {f"{ref.partition(':')[0]}:best"}
    return next((key for key in options if key in alike), "")


def measured_on(picked: Picked) -> str:
    """Return the samples in words: ``593 test samples``."""
    count = len(picked.models[0].judged.clip_ids)
    if picked.split.startswith("fold:"):
        return f"{words.plural(count, 'sample')} of fold {picked.split.removeprefix('fold:')}"
    word = {"val": "validation ", "test": "test ", "train": "training "}.get(picked.split, "")
    return words.plural(count, f"{word}sample")
