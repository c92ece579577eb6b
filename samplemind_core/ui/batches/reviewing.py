"""The queue of corrections: heard, accepted into a dataset or turned down, then trained on and compared."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from samplemind_core.inference.table import NONE
from samplemind_core.server import sound_url
from samplemind_core.store import Correction, Run
from samplemind_core.ui import parts, words
from samplemind_core.ui.places import go, link
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import choose, error_boundary, owner, workspace

SHOWN = 100


def review() -> None:
    """Draw what waits for review, and what the accepted ones led to."""
    waiting = workspace().store.corrections.all(status="waiting")
    if waiting:
        queue(waiting)
    else:
        st.caption("Nothing waits for review. Corrections are sent from any answer: “That is wrong”.")
    accepted = workspace().store.corrections.all(status="accepted")
    if accepted:
        with error_boundary():
            retraining(accepted)
    settled = [*accepted, *workspace().store.corrections.all(status="rejected")]
    if settled:
        with st.expander(f"Decided ({len(settled):,})"):
            _table(sorted(settled, key=lambda row: -(row.reviewed_at or 0.0))[:SHOWN])


def queue(waiting: Sequence[Correction]) -> None:
    """Draw the corrections that wait, to hear and to decide about."""
    parts.section(f"Waiting for review ({len(waiting):,})")
    shown = waiting[:SHOWN]
    sounds = [sound for correction in shown if (sound := _sound(correction)) is not None]
    player_list(sounds, key="review-list")
    if len(waiting) > SHOWN:
        st.caption(f"The first {SHOWN} of {len(waiting):,}; the others follow once these are decided.")
    datasets = {
        row.id: parts.dataset_label(row)
        for row in workspace().datasets()
        if row.kind == "audio" and not row.multi_label
    }
    if not datasets:
        st.caption("Make a dataset first: accepted corrections become training samples of it.")
        return
    names = {row.id: f"{row.name} · {row.label}" for row in shown}
    with st.container(border=True):
        chosen = st.multiselect(
            "Corrections",
            list(names),
            default=list(names),
            format_func=lambda number: names.get(number, ""),
            key=f"review-chosen-{len(waiting)}-{shown[0].id}",
        )
        dataset = choose("Take them into", datasets, "into", default=_usual(shown, datasets))
        st.caption(
            "They become training samples of a new version; a sound that is in the dataset already gets its new class "
            "where it is."
        )
        with st.container(horizontal=True):
            if st.button("Accept", type="primary", icon=":material/check:", key="review-accept", disabled=not chosen):
                _accept(chosen, dataset)
            if st.button("Turn down", icon=":material/close:", key="review-reject", disabled=not chosen):
                from samplemind_core.batches.review import reject

                with error_boundary():
                    reject(workspace(), chosen, by=owner())
                    st.rerun()
    said = st.session_state.pop("review-said", None)
    if said:
        st.warning(said, icon=":material/warning:")


def _accept(chosen: Sequence[int], dataset: str) -> None:
    from samplemind_core.batches.review import accept

    with error_boundary():
        done = accept(workspace(), chosen, dataset, by=owner())
        if done.refused:
            lines = "; ".join(f"{parts.safe(name)}: {parts.safe(reason)}" for name, reason in done.refused)
            st.session_state["review-said"] = f"Not taken in: {lines}"
        st.rerun()


def _usual(shown: Sequence[Correction], datasets: dict[str, str]) -> str | None:
    """Return the dataset that the answering checkpoint was trained on, if it is still there."""
    runs = {run.id: run.dataset_id for run in workspace().runs()}
    trained = (runs.get(str(row.checkpoint.get("run_id"))) for row in shown)
    return next((dataset for dataset in trained if dataset in datasets), None)


def retraining(accepted: Sequence[Correction]) -> None:
    """Draw the button that trains with the corrections, and then the way to the comparison."""
    newest = max(accepted, key=lambda row: row.reviewed_at or 0.0)
    dataset = next((row for row in workspace().datasets() if row.id == newest.dataset_id), None)
    if dataset is None:
        return
    runs = {run.id: run for run in workspace().runs(dataset.id)}
    finished = [run for run in runs.values() if run.status == "finished"]
    before = runs.get(str(newest.checkpoint.get("run_id"))) or next(iter(reversed(finished)), None)
    if before is None:
        return
    mine = [row for row in accepted if row.dataset_id == dataset.id]
    later = [run for run in runs.values() if run.id != before.id and run.created_at > (newest.reviewed_at or 0.0)]
    parts.section("Train with them")
    with st.container(border=True):
        if not later:
            st.markdown(
                f"**{parts.safe(dataset.name)}** holds {words.plural(len(mine), 'accepted correction')}. "
                f"A new run like **{parts.safe(before.name)}** shows whether they help."
            )
            label = f"Retrain with {words.plural(len(mine), 'correction')}"
            if st.button(label, type="primary", icon=":material/model_training:", key="review-retrain"):
                from samplemind_core.batches.review import retrain

                started = retrain(workspace(), dataset.id, before.id, owner=owner())
                go("train", run=started.id)
            return
        _outcome(before, later[0])


def _outcome(before: Run, after: Run) -> None:
    if after.status != "finished":
        st.markdown(f"**{parts.safe(after.name)}** is {parts.status_word(after).lower()}.")
        link("train", "Watch it", run=after.id)
        return
    with st.spinner("Comparing on the same test samples"), error_boundary():
        compared = workspace().compare(f"{before.name}:best", f"{after.name}:best")
        st.markdown(parts.safe(compared.sentence))
    link("diagnostics", "See the comparison", a=f"{before.id}:best", b=f"{after.id}:best", dataset=after.dataset_id)


def _sound(correction: Correction) -> Sound | None:
    from samplemind_core.audio.decode import decode, to_wav
    from samplemind_core.errors import AudioError

    path = workspace().root / correction.file
    try:
        wav = to_wav(decode(path, 44_100, name=correction.name).waveform, 44_100)
    except AudioError:
        return None
    called = f"{correction.called or NONE} → {correction.label}"
    who = f"{correction.by or 'somebody'}, {words.when(correction.at)}"
    return Sound(sound_url(wav), correction.name, (called, who))


def _table(rows: Sequence[Correction]) -> None:
    st.dataframe(
        {
            "File": [row.name for row in rows],
            "Was called": [row.called or NONE for row in rows],
            "Is": [row.label for row in rows],
            "Said by": [row.by for row in rows],
            "Decision": [row.status for row in rows],
            "By": [row.reviewed_by or "" for row in rows],
            "When": [words.when(row.reviewed_at) for row in rows],
        },
        hide_index=True,
        key="review-table",
        alt="Corrections that were decided about",
    )
