"""Drop or record samples, get answers: used by the Classify page, and by Home once a network is trained."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import streamlit as st

from samplemind_core.errors import SampleMindError
from samplemind_core.evaluation.metrics import Evaluation
from samplemind_core.evaluation.multi_label import LabelEvaluation
from samplemind_core.starter import is_starter
from samplemind_core.store import Checkpoint, Run
from samplemind_core.store.records import ENDED
from samplemind_core.ui import measure, parts, words
from samplemind_core.ui.answers import agree, answers, csv_text, reasons, row
from samplemind_core.ui.batches.remembering import offer_correction, remember_answers, wish_to_remember
from samplemind_core.ui.bringing import Given, dropped, on_server
from samplemind_core.ui.one_sound import show_one
from samplemind_core.ui.starter import starter_provenance
from samplemind_core.ui.state import choose, error_boundary, workspace

ALONE = "none"
CONFIDENCES = {"Confidence", "Other confidence"}
SHOWN_REASONS = 20
"""Files that could not be read from which on their list is folded."""

_WAYS = {"drop": "Drop files", "record": "Record", "server": "On the server"}


def classification(options: Mapping[str, str], *, key: str) -> None:
    """Draw the choice of a checkpoint, ways to bring sounds, and the answers.

    Parameters
    ----------
    options : mapping of str to str
        Checkpoints: what is shown by reference; not empty.
    key : str
        Distinguishes the widgets of one page from another's.
    """
    # A run that goes on answers, too, but how far to trust it is measured at its end.
    ended = {run.id for run in workspace().runs() if run.status in ENDED}
    bests = [option for option in options if option.endswith(":best")]
    best = next((option for option in bests if option.partition(":")[0] in ended), bests[0] if bests else None)
    if len(options) > 1:
        left, right = st.columns(2)
        with left:
            ref = choose("Checkpoint", options, "checkpoint", default=best)
        others = {ALONE: "No other"} | {name: text for name, text in options.items() if name != ref}
        with right:
            second = choose("Compare with", others, "with", default=ALONE)
    else:
        ref, second = choose("Checkpoint", options, "checkpoint", default=best), ALONE
    run, checkpoint = workspace().resolve(ref)
    told = st.container()
    given: list[Given] = []
    with error_boundary():
        given = bring(key=key)
    remember = wish_to_remember(key=key)
    # Last, though it stands above: it loads the network, which takes seconds the first time, and sounds can be dropped
    # meanwhile.
    other = None
    with told:
        provenance(ref, run, checkpoint)
        if second != ALONE:
            other_run, other_checkpoint = workspace().resolve(second)
            provenance(second, other_run, other_checkpoint)
            other = (second, other_run)
    if len(given) == 1:
        show_one(ref, run, given[0], key=key, other=other)
        (result,) = answers(ref, given, keep_signals=True)[0]
        offer_correction(run, checkpoint, given[0], result, key=key)
        remember_answers(ref, run, checkpoint, given, [result], remember=remember)
    elif given:
        show_many(ref, run, checkpoint, given, key=key, other=other)
        results, _ = answers(ref, given, keep_signals=False)
        remember_answers(ref, run, checkpoint, given, results, remember=remember)


def bring(*, key: str) -> list[Given]:
    """Draw the ways to bring sounds and return what was brought.

    Raises
    ------
    SampleMindError
        If there are too many, or nothing where the server was told to look.
    """
    limits = workspace().settings.limits
    ways = [way for way in _WAYS if way != "server" or workspace().settings.server_folders]
    way = st.segmented_control(
        "Sounds", ways, default="drop", required=True, format_func=_WAYS.__getitem__, key=f"{key}-bring",
        label_visibility="collapsed",
    )  # fmt: skip
    if way == "record":
        recording = st.audio_input("Record a sound", key=f"{key}-recording")
        if recording is None:
            st.caption("Your browser asks for the microphone. What you record is analysed and not kept.")
            return []
        content = recording.getvalue()
        return [Given(hashlib.sha256(content).hexdigest(), "Recording", content)]
    if way == "server":
        text = st.text_input(
            "File or folder on the server", key=f"{key}-path", placeholder="/home/me/samples/new",
            help=f"A folder is read with all folders in it, up to {limits.max_uploads} sounds.",
        )  # fmt: skip
        return on_server(text, limits) if text.strip() else []
    # Any kind of file: one that is no sound gets a line that says what it is, which the widget's refusal does not.
    files = st.file_uploader(
        f"Samples, up to {limits.max_uploads} at once",
        accept_multiple_files=True,
        key=f"{key}-files",
        max_upload_size=limits.max_file_mb,
    )
    if not files:
        st.caption("WAV, AIFF, FLAC, MP3 and OGG, or a zip of them. What you drop here is analysed and not kept.")
        return []
    return dropped(files, limits)


def provenance(ref: str, run: Run, checkpoint: Checkpoint) -> None:
    """Say which checkpoint answers, what it was trained on, how good it is, and how far to trust it."""
    if is_starter(ref):
        starter_provenance()
        return
    dataset = next((item for item in workspace().datasets() if item.id == run.dataset_id), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        try:
            with st.spinner("Looking up its test accuracy"):
                tested = measure.evaluation(ref, "test")
            accuracy = how_good(tested)
        except SampleMindError as error:
            accuracy = f"test accuracy unknown: {error.problem}"
        trained = parts.safe(dataset.name) if dataset else "a dataset that is gone"
        st.caption(
            f"{parts.safe(run.name)}, epoch {checkpoint.epoch}, trained on {trained} · {accuracy}",
            width="content",
            help=_trusted(ref),
        )
        if dataset is not None and dataset.synthetic:
            parts.synthetic_badge()


def how_good(tested: Evaluation | LabelEvaluation) -> str:
    """Return a checkpoint's score on its test samples in words, with its interval."""
    samples = words.plural(tested.num_clips, "test sample")
    if isinstance(tested, Evaluation):
        low, high = tested.accuracy_interval
        return f"right on {words.percent(tested.accuracy)} of {samples} ({words.percent(low)} to {words.percent(high)})"
    low, high = tested.mean_ap_interval
    return (
        f"several labels per sample, mean average precision {words.percent(tested.mean_ap)} on {samples} "
        f"({words.percent(low)} to {words.percent(high)})"
    )


def _trusted(ref: str) -> str | None:
    """Return how the promises of a checkpoint turned out on its test samples."""
    try:
        with st.spinner("Measuring how far its confidence can be trusted", show_time=True):
            trust = workspace().classifier(ref).trust
    except SampleMindError:
        return None  # the answers below say it in full
    if workspace().classifier(ref).info.several_labels:
        return "It names every label that reaches its own threshold; thresholds were chosen on validation samples."
    if trust is None or not trust.measured.get("num_clips"):
        return "How far its confidence can be trusted has not been measured: there are too few samples, or none."
    measured = trust.measured
    return (
        f"Fitted on {words.plural(measured['num_calibration'], 'validation sample')}, then tried on "
        f"{words.plural(measured['num_clips'], 'test sample')} it never heard: the classes named hold the right one in "
        f"{words.percent(measured['coverage'])} ({words.percent(trust.sets.coverage, 0)} was asked for) with "
        f"{measured['mean_set_size']:.2f} classes on average, and {words.percent(measured['accepted'])} are taken for "
        "known sounds. Samples from elsewhere may differ more."
    )


def show_many(
    ref: str,
    run: Run,
    checkpoint: Checkpoint,
    given: Sequence[Given],
    *,
    key: str,
    other: tuple[str, Run] | None = None,
) -> None:
    """Draw a table of answers; a chosen row shows its file in full, to be corrected, too."""
    results, took = answers(ref, given, keep_signals=False)
    others = answers(other[0], given, keep_signals=False)[0] if other else None
    failed = sum(result.error is not None for result in results)
    strange = sum(result.is_none for result in results)
    note = f", {failed:,} could not be read" if failed else ""
    note += f", {strange:,} like nothing it knows" if strange else ""
    st.caption(
        f"{words.plural(len(results), 'sample')} in {words.duration(took)}{note}. "
        "Choose a row to look closer or to correct it."
    )
    places = list(range(len(results)))
    if others is not None:
        differing = [i for i in places if not results[i].error and not agree(results[i], others[i])]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(
                f"They disagree on {len(differing):,}" if differing else "They agree on all",
                icon=":material/compare_arrows:" if differing else ":material/check:",
                color="orange" if differing else "green",
            )
            if differing and st.toggle("Only these", key=f"{key}-differing"):
                places = differing
    measured = any(result.prediction_set for result in results)
    if any(result.several_labels for result in results):
        st.caption("Confidence is that of the surest label; each class is answered by itself.")
    rows = [row(results[i], others[i] if others else None, measured=measured) for i in places]
    table = {name: [item[name] for item in rows] for name in rows[0]}
    for name in CONFIDENCES & table.keys():  # "percent" writes as many digits as there are, another number in each row
        table[name] = [None if share is None else 100 * share for share in table[name]]
    sure = st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.1f %%")
    chosen = st.dataframe(
        table,
        hide_index=True,
        key=f"{key}-table",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            **dict.fromkeys(CONFIDENCES, sure),
            "File": st.column_config.TextColumn(width="medium"),
            "Could be": st.column_config.TextColumn(help="In 9 of 10 cases the right class is among these."),
        },
        alt="Answers by file",
    )
    st.download_button(
        "Download as CSV",
        csv_text(results, others),
        file_name="samplemind-answers.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{key}-csv",
    )
    if failed:
        with st.expander(f"Could not be read ({failed:,})", expanded=failed <= SHOWN_REASONS):
            parts.facts_list(reasons(results))
    selected = chosen["selection"]["rows"]
    if selected and selected[0] < len(places):
        with error_boundary():
            place = places[selected[0]]
            show_one(ref, run, given[place], key=f"{key}-one", other=other)
            offer_correction(run, checkpoint, given[place], results[place], key=f"{key}-one")
