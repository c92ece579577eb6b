"""Everything about one classified sound: the answer, how far to trust it, the evidence, what sounds where."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import streamlit as st

from samplemind_core.config import RunConfig
from samplemind_core.errors import SampleMindError
from samplemind_core.server import clip_url, sound_url
from samplemind_core.starter import is_starter
from samplemind_core.store import Run
from samplemind_core.ui import parts, words
from samplemind_core.ui.answers import agree, answers
from samplemind_core.ui.bringing import Given
from samplemind_core.ui.hints import hint
from samplemind_core.ui.player import Mark, Sound, player, player_list
from samplemind_core.ui.several_answers import several_answer
from samplemind_core.ui.state import error_boundary, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.inference.classifier import Result
    from samplemind_core.inference.windows import Segment, Timeline

AT_ONCE_S = 60.0
"""Files up to this long are gone through without being asked."""

LISTED_SEGMENTS = 100
SHARED = 0.25
"""Second answers from this confidence on are worth a word of their own."""


def show_one(ref: str, run: Run, given: Given, *, key: str, other: tuple[str, Run] | None = None) -> None:
    """Draw everything about one file, as one or two checkpoints have it."""
    (result, *_), _ = answers(ref, [given], keep_signals=True)
    if result.error is not None:
        st.error(f"{parts.safe(given.name)}: {parts.safe(result.error)}", icon=":material/error:")
        return
    if other is None:
        left, right = st.columns([2, 3])
        with left, st.container(border=True, height="stretch"):
            st.caption(parts.safe(given.name))
            answer(result, key=key, starter=is_starter(run.id))
        with right, st.container(border=True, height="stretch"):
            _signals(run, result, key=key)
    else:
        with error_boundary():
            _compared(result, run, other, given, key=key)
        with st.container(border=True):
            _signals(run, result, key=key)
    _evidence(result, key=key)
    _timeline(ref, given, result, key=key)
    _reasons(ref, given, result, key=key)


def _compared(result: Result, run: Run, other: tuple[str, Run], given: Given, *, key: str) -> None:
    (second, *_), _ = answers(other[0], [given], keep_signals=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(parts.safe(given.name), width="content")
        if agree(result, second):
            st.badge("They agree", icon=":material/check:", color="green")
        else:
            st.badge("They disagree", icon=":material/compare_arrows:", color="orange")
    for column, one, its, place in zip(
        st.columns(2), (result, second), (run, other[1]), (key, f"{key}-other"), strict=True
    ):
        with column, st.container(border=True, height="stretch"):
            st.caption(parts.safe(its.name))
            answer(one, key=place, starter=is_starter(its.id))


def answer(result: Result, *, key: str, starter: bool = False) -> None:
    """Draw the class, how sure, the bars of every answer and what else it may be."""
    from samplemind_core.charts.confidence import confidence_figure
    from samplemind_core.inference.table import NONE

    if result.several_labels:
        several_answer(result, key=key)
        return
    st.metric(
        "Class",
        str(result.label),
        delta=f"{words.confidence(result.confidence)} sure",
        delta_color="off",
        delta_arrow="off",
    )
    if result.undecided:
        st.badge("Below the operating point", icon=":material/help:", color="orange")
    shares = result.answers()
    inside = () if result.is_none else result.prediction_set
    bars = confidence_figure(
        list(shares.values()),
        list(shares),
        theme(),
        none=None if result.none is None else NONE,
        inside=[*inside, str(result.label)] if result.prediction_set else None,
    )
    parts.figure(bars, key=f"{key}-confidence")
    st.markdown(parts.safe(in_words(result, starter=starter)))
    st.caption(f"Answered in {words.duration(result.seconds)}")
    hint("confidence", key=f"-{key}")


def in_words(result: Result, *, starter: bool = False) -> str:
    """Return what the answer promises, in a sentence or two."""
    best = max(result.probs, key=lambda name: result.probs[name])
    if result.none is None and starter:
        return (
            "The starter has heard synthesised drums only: it may be sure of a sound it knows nothing about. "
            "A network trained on your own samples can say how far its confidence holds."
        )
    if result.none is None:
        return (
            "How far this confidence can be trusted has not been measured: the run is still going, "
            "or its samples are too few or gone."
        )
    if result.is_none:
        return (
            "This sounds like nothing the network was trained on. "
            f"If it has to be one of its classes, {best} comes nearest."
        )
    share = words.in_ten(result.coverage)
    if len(result.prediction_set) == 1:
        text = f"{best.capitalize()}, and nothing else: answers like this are right in about {share} cases."
    else:
        names = ", ".join(result.prediction_set[:-1]) + f" or {result.prediction_set[-1]}"
        text = f"{names[0].upper()}{names[1:]}: the right class is among them in about {share} cases."
    (_, first), (second, share_of_second) = result.ranked()[:2]
    if share_of_second >= SHARED and second in result.probs and first < 1 - SHARED:
        text += f" A layer of {best} and {second} would look like this."
    return text


def _signals(run: Run, result: Result, *, key: str) -> None:
    from samplemind_core.charts.signals import log_mel_figure, waveform_figure

    if result.waveform is not None and result.sample_rate_hz:
        player(Sound(heard_url(result), result.name), key=f"{key}-player")
        figure = waveform_figure(result.waveform, result.sample_rate_hz, result.window_s, theme())
        parts.figure(figure, key=f"{key}-waveform")
    if result.log_mel is not None:
        features = RunConfig.model_validate(run.config).features
        parts.figure(log_mel_figure(result.log_mel, features, theme()), key=f"{key}-mel")
        st.caption("What the network sees: loudness by time and pitch.")
        hint("log_mel", key=f"-{key}")


def heard_url(result: Result) -> str:
    """Return the address of what was decoded, as a WAV that every browser plays."""
    from samplemind_core.audio.decode import to_wav

    assert result.waveform is not None
    assert result.sample_rate_hz is not None
    return sound_url(to_wav(result.waveform, result.sample_rate_hz))


def _evidence(result: Result, *, key: str) -> None:
    """Draw the training samples that are most alike, to hear."""
    sounds = []
    for near in result.nearest:
        try:
            clip = workspace().store.datasets.clip(near.clip_id)
        except SampleMindError:
            continue  # its dataset was deleted; the checkpoint stands without it
        if clip.file:
            details = (near.label, f"{words.percent(max(0.0, near.similarity), 0)} alike")
            sounds.append(Sound(clip_url(near.clip_id), clip.name, details))
    if not sounds:
        return
    with st.container(border=True):
        parts.section("Most alike in training")
        st.caption(
            "The training samples that the network hears as nearest."
            + (" Hear how far away they are." if result.is_none else "")
        )
        player_list(sounds, key=f"{key}-nearest")


def _reasons(ref: str, given: Given, result: Result, *, key: str) -> None:
    if result.waveform is None:
        return
    with st.expander("Why this answer", icon=":material/lightbulb:"):
        if st.toggle("Look for the reasons", key=f"{key}-why-on-{given.id}"):
            from samplemind_core.ui.why import why

            with error_boundary():
                why(ref, result.waveform, key=f"{key}-why-{given.id}")
        else:
            st.caption("Which moments and pitches decided, seen and heard. Takes a few seconds.")


# -- long files ----------------------------------------------------------------------------------


def _timeline(ref: str, given: Given, result: Result, *, key: str) -> None:
    if result.waveform is None or result.window_s is None or result.duration_s is None:
        return
    window_s = workspace().classifier(ref).info.features.duration_s
    if result.duration_s <= window_s + 0.1:
        return
    with st.container(border=True):
        parts.section("What sounds where")
        if result.duration_s > AT_ONCE_S and not st.session_state.get(f"{key}-through-{given.id}"):
            st.caption(f"The answer above is about one window of {words.duration(window_s)}.")
            st.button("Go through the whole file", key=f"{key}-through", icon=":material/timeline:",
                      on_click=lambda: st.session_state.update({f"{key}-through-{given.id}": True}))  # fmt: skip
            return
        with st.container(horizontal=True, vertical_alignment="bottom"):
            way = st.segmented_control(
                "Look",
                ["hits", "steps"],
                default="hits",
                required=True,
                format_func={"hits": "Hit by hit", "steps": "In even steps"}.__getitem__,
                key=f"{key}-way",
                help="Hit by hit cuts where something begins to sound. Even steps suit sounds without a clear start.",
            )
            min_s = st.number_input("Shortest segment (s)", 0.01, 10.0, 0.05, 0.05, key=f"{key}-min", width=180)
        timeline = _go_through(ref, given, result, str(way), float(min_s))
        _segments(timeline, heard_url(result), given, key=key)


def _go_through(ref: str, given: Given, result: Result, way: str, min_s: float) -> Timeline:
    from samplemind_core.inference.windows import analyse

    asked = (ref, given.id, way, min_s)
    kept: dict[Any, Timeline] = st.session_state.setdefault("timelines", {})
    if asked not in kept:
        with st.spinner("Going through the file", show_time=True):
            assert result.waveform is not None
            found = analyse(workspace().classifier(ref), result.waveform, way, min_s=min_s)  # type: ignore[arg-type]
            while len(kept) >= 4:
                kept.pop(next(iter(kept)))
            kept[asked] = found
    return kept[asked]


def _segments(timeline: Timeline, url: str, given: Given, *, key: str) -> None:
    if not timeline.segments:
        st.caption("There is nothing to hear in this file.")
        return
    marks = [Mark(one.start_s, one.end_s, _color(one, timeline.names), one.label) for one in timeline.segments]
    player(Sound(url, given.name), key=f"{key}-timeline", marks=marks)
    st.caption(
        f"{words.plural(len(timeline.segments), 'segment')}. A click into the waveform or on a row plays from there."
    )
    shown = timeline.segments[:LISTED_SEGMENTS]
    player_list(
        [
            Sound(
                url,
                one.label,
                (
                    f"{one.start_s:.2f} to {one.end_s:.2f} s",
                    words.confidence(one.confidence),
                    f"or {one.second} {words.percent(one.second_confidence, 0)}",
                ),
                part_s=(one.start_s, one.end_s),
            )
            for one in shown
        ],
        key=f"{key}-segments",
    )
    if len(timeline.segments) > len(shown):
        st.caption(f"The first {len(shown)} are listed; the table holds all.")
    st.download_button(
        "Download segments as CSV",
        segments_csv(given.name, timeline.segments),
        file_name="samplemind-segments.csv",
        mime="text/csv",
        icon=":material/download:",
        on_click="ignore",
        key=f"{key}-segments-csv",
    )


def segments_csv(name: str, segments: tuple[Segment, ...]) -> str:
    """Return the segments of a file as CSV."""
    from samplemind_core.inference.table import SEGMENT_COLUMNS, segment_row

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(SEGMENT_COLUMNS)
    writer.writerows(segment_row(name, one) for one in segments)
    return text.getvalue()


def _color(segment: Segment, names: tuple[str, ...]) -> str:
    from samplemind_core.charts.style import class_color, palette

    if segment.is_none or segment.label not in names:  # several labels have no colour of their own
        return palette(theme()).muted if segment.is_none else palette(theme()).accent
    return class_color(names.index(segment.label), theme())
