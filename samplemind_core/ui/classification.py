"""Upload samples, get answers: used by the Classify page, and by Home once a network is trained."""

from __future__ import annotations

import csv
import io
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.config import RunConfig
from samplemind_core.errors import SampleMindError
from samplemind_core.store import Checkpoint, Run
from samplemind_core.ui import measure, parts, words
from samplemind_core.ui.player import Sound, player, wav_url
from samplemind_core.ui.state import choose, error_boundary, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result

# A sound travels to the browser inside the page; more than this of it would make the page heavy.
HEARD_S = 30.0


@dataclass(frozen=True)
class Upload:
    """One uploaded file. Its name is shown, never used as a path."""

    id: str
    name: str
    content: bytes


def classification(options: Mapping[str, str], *, key: str) -> None:
    """Draw the choice of a checkpoint, the uploader, and the answers.

    Parameters
    ----------
    options : mapping of str to str
        Checkpoints: what is shown by reference; not empty.
    key : str
        Distinguishes the widgets of one page from another's.
    """
    ref = choose("Checkpoint", options, "checkpoint", default=next((o for o in options if o.endswith(":best")), None))
    run, checkpoint = workspace().resolve(ref)
    provenance(ref, run, checkpoint)
    limits = workspace().settings.limits
    files = st.file_uploader(
        f"Samples, up to {limits.max_uploads} at once",
        type=_suffixes(),
        accept_multiple_files=True,
        key=f"{key}-files",
        max_upload_size=limits.max_file_mb,
    )
    if not files:
        st.caption("WAV, AIFF, FLAC, MP3 and OGG. What you drop here is analysed and not kept.")
        return
    if len(files) > limits.max_uploads:
        raise SampleMindError(
            f"{len(files)} files were dropped; one upload takes {limits.max_uploads}.",
            "Drop fewer, or classify a whole folder from the command line.",
        )
    uploads = [Upload(file.file_id, file.name, file.getvalue()) for file in files]
    if len(uploads) == 1:
        show_one(ref, run, uploads[0], key=key)
    else:
        show_many(ref, run, uploads, key=key)


def _suffixes() -> list[str]:
    from samplemind_core.audio.decode import AUDIO_SUFFIXES

    return sorted(suffix.lstrip(".") for suffix in AUDIO_SUFFIXES)


def provenance(ref: str, run: Run, checkpoint: Checkpoint) -> None:
    """Say which checkpoint answers, what it was trained on and how good it is."""
    dataset = next((item for item in workspace().datasets() if item.id == run.dataset_id), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        try:
            with st.spinner("Looking up its test accuracy"):
                tested = measure.evaluation(ref, "test")
            low, high = tested.accuracy_interval
            accuracy = (
                f"right on {words.percent(tested.accuracy)} of {words.plural(tested.num_clips, 'test sample')} "
                f"({words.percent(low)} to {words.percent(high)})"
            )
        except SampleMindError as error:
            accuracy = f"test accuracy unknown: {error.problem}"
        trained = parts.safe(dataset.name) if dataset else "a dataset that is gone"
        st.caption(
            f"{parts.safe(run.name)}, epoch {checkpoint.epoch}, trained on {trained} · {accuracy}", width="content"
        )
        if dataset is not None and dataset.synthetic:
            parts.synthetic_badge()


def _answers(ref: str, uploads: Sequence[Upload], *, keep_signals: bool) -> tuple[list[Result], float]:
    """Return one result per upload and the seconds it took; answers are kept for the session."""
    run, checkpoint = workspace().resolve(ref)
    about = (run.id, checkpoint.id, checkpoint.epoch, checkpoint.created_at, keep_signals)
    asked = (about, tuple(upload.id for upload in uploads))
    # The detail of one file beside the list of all: two answers are enough to keep.
    kept: dict[Any, tuple[list[Result], float]] = st.session_state.setdefault("classified", {})
    if asked not in kept:
        with st.spinner(f"Listening to {words.plural(len(uploads), 'sample')}", show_time=True):
            classifier = workspace().classifier(ref)
            started = time.perf_counter()
            results = classifier.predict([(item.name, item.content) for item in uploads], keep_signals=keep_signals)
            if len(kept) >= 2:
                kept.pop(next(iter(kept)))
            kept[asked] = results, time.perf_counter() - started
    return kept[asked]


def show_one(ref: str, run: Run, upload: Upload, *, key: str) -> None:
    """Draw everything about one file."""
    (result, *_), _ = _answers(ref, [upload], keep_signals=True)
    if result.error is not None:
        st.error(f"{parts.safe(upload.name)}: {parts.safe(result.error)}", icon=":material/error:")
        return
    from samplemind_core.charts.confidence import confidence_figure
    from samplemind_core.charts.signals import log_mel_figure, waveform_figure
    from samplemind_core.inference.classifier import NONE

    left, right = st.columns([2, 3])
    with left, st.container(border=True, height="stretch"):
        st.caption(parts.safe(upload.name))
        st.metric(
            "Class",
            str(result.label),
            delta=f"{words.confidence(result.confidence)} sure",
            delta_color="off",
            delta_arrow="off",
        )
        answers = result.answers()
        bars = confidence_figure(
            list(answers.values()), list(answers), theme(), none=None if result.none is None else NONE
        )
        parts.figure(bars, key=f"{key}-confidence")
        st.caption(f"Answered in {words.duration(result.seconds)}")
    with right, st.container(border=True, height="stretch"):
        if result.waveform is not None and result.sample_rate_hz:
            hear(result, key=f"{key}-player")
            window = result.window_s
            figure = waveform_figure(result.waveform, result.sample_rate_hz, window, theme())
            parts.figure(figure, key=f"{key}-waveform")
        if result.log_mel is not None:
            features = RunConfig.model_validate(run.config).features
            parts.figure(log_mel_figure(result.log_mel, features, theme()), key=f"{key}-mel")
            st.caption("What the network sees: loudness by time and pitch.")


def hear(result: Result, *, key: str) -> None:
    """Draw a player of what was decoded, which every browser can play."""
    from samplemind_core.audio.decode import to_wav

    assert result.waveform is not None
    assert result.sample_rate_hz is not None
    heard = result.waveform[: round(HEARD_S * result.sample_rate_hz)]
    player(Sound(wav_url(to_wav(heard, result.sample_rate_hz)), result.name), key=key)
    if len(heard) < len(result.waveform):
        st.caption(f"The first {HEARD_S:.0f} s can be heard here.")


def show_many(ref: str, run: Run, uploads: Sequence[Upload], *, key: str) -> None:
    """Draw a table of answers; a chosen row shows its file in full."""
    results, took = _answers(ref, uploads, keep_signals=False)
    failed = sum(result.error is not None for result in results)
    note = f", {failed:,} could not be read" if failed else ""
    st.caption(f"{words.plural(len(results), 'sample')} in {words.duration(took)}{note}. Choose a row to look closer.")
    rows = [row(result) for result in results]
    table = {name: [item[name] for item in rows] for name in rows[0]}
    chosen = st.dataframe(
        table,
        hide_index=True,
        key=f"{key}-table",
        on_select="rerun",
        selection_mode="single-row",
        column_config={
            "Confidence": st.column_config.ProgressColumn(min_value=0, max_value=1, format="percent"),
            "File": st.column_config.TextColumn(width="medium"),
            "Note": st.column_config.TextColumn(width="small"),
        },
        alt="Answers by file",
    )
    st.download_button(
        "Download as CSV",
        csv_text(results),
        file_name="samplemind-answers.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{key}-csv",
    )
    if failed:
        with st.expander(f"Could not be read ({failed:,})", expanded=failed < 6):
            parts.facts({result.name: result.error for result in results if result.error is not None})
    selected = chosen["selection"]["rows"]
    if selected and selected[0] < len(uploads):
        with error_boundary():
            show_one(ref, run, uploads[selected[0]], key=key)


def row(result: Result) -> dict[str, Any]:
    """Return one line of the table."""
    ranked = result.ranked()
    second = f"{ranked[1][0]} {words.confidence(ranked[1][1])}" if len(ranked) > 1 else ""
    return {
        "File": result.name,
        "Class": result.label or "",
        "Confidence": result.confidence,
        "Second": second,
        "Note": "could not be read" if result.error else "",
    }


def csv_text(results: Sequence[Result]) -> str:
    """Return the answers as CSV, a column for each class; values that spreadsheets would run are quoted."""
    names = list(next((result.probs for result in results if result.probs), {}))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", "label", "confidence", *(f"p_{name}" for name in names), "error"])
    for result in results:
        probs = [f"{result.probs[name]:.6f}" if result.probs else "" for name in names]
        confidence = "" if result.confidence is None else f"{result.confidence:.6f}"
        writer.writerow([_inert(result.name), result.label or "", confidence, *probs, result.error or ""])
    return text.getvalue()


def _inert(name: str) -> str:
    return f"'{name}" if name[:1] in {"=", "+", "-", "@", "\t", "\r"} else name
