"""Chapter 7: from a waveform to the picture that the network gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.config import FeatureConfig
from samplemind_core.ui import words
from samplemind_core.ui.learn.lesson import Chapter, awake, figure, question, sound, source
from samplemind_core.ui.learn.voices import Voice, choose_voice
from samplemind_core.ui.parts import section
from samplemind_core.ui.player import Sound, player
from samplemind_core.ui.state import theme

if TYPE_CHECKING:
    from samplemind_core.learn.stages import Stages

N_FFT = (512, 1_024, 2_048, 4_096)
HOPS = (128, 256, 512)
MELS = (16, 32, 64, 128, 256)
DEFAULT = FeatureConfig()
MOVED = ("n_fft", "hop_length", "n_mels")


def draw() -> None:
    """Draw the four stages of a sound, with three settings to move."""
    awake()
    from samplemind_core.learn.stages import stages

    left, right = st.columns([2, 3], gap="large")
    with left:
        voice = choose_voice("hearing")
        features = _settings()
    with right:
        seen = stages(voice.at(features.sample_rate_hz), features)
        _shape(seen)
    first, second = st.columns(2), st.columns(2)
    slots = [_stage(column, number, seen) for number, column in enumerate((*first, *second))]
    with slots[0]:
        player(sound(seen.waveform, features.sample_rate_hz, voice.name), key="learn-hear-hearing-0")
    for number, made in enumerate(_sounds(voice.id, features, voice, seen), start=1):
        with slots[number]:
            player(made, key=f"learn-hear-hearing-{number}")
    st.caption(
        "The waveform is the sound itself. The other three are made again from nothing but what their stage keeps: "
        "phase is lost first, then fine pitch. What you do not hear there, the network never knew."
    )
    source(
        "mel scale after M. Slaney, Auditory Toolbox, 1998; phases found by the fast Griffin-Lim iteration, "
        "N. Perraudin and others, WASPAA 2013"
    )
    question(
        "hearing",
        "You choose half the hop. What happens to the picture?",
        ("It gets about twice as many frames", "It gets twice as many bands", "It tells pitches apart twice as finely"),
        0,
        (
            "Yes. The slices start twice as often, so there are twice as many of them, and training costs about twice "
            "as much. Whether that helps is a question for the validation set.",
            "The number of bands is a setting of its own. Move the hop above and watch the shape.",
            "That is up to the length of a slice: longer slices hold more cycles of each pitch.",
        ),
    )


def _settings() -> FeatureConfig:
    start = {"n_fft": (N_FFT, "Slice (FFT size)"), "hop_length": (HOPS, "Hop"), "n_mels": (MELS, "Mel bands")}
    chosen = {}
    for name, (options, label) in start.items():
        key = f"learn-hearing-{name}"
        st.session_state.setdefault(key, getattr(DEFAULT, name))
        chosen[name] = st.select_slider(label, options, key=key, help=FeatureConfig.model_fields[name].description)
    st.button("Back to the usual settings", icon=":material/replay:", key="learn-hearing-usual", on_click=_usual)
    return DEFAULT.model_copy(update=chosen)


def _usual() -> None:
    for name in MOVED:
        st.session_state[f"learn-hearing-{name}"] = getattr(DEFAULT, name)


def _shape(seen: Stages) -> None:
    features = seen.features
    channels, bands, frames = features.shape
    samples = features.num_samples
    section(f"What goes in: ({channels}, {bands}, {frames})")
    st.markdown(
        f"**{channels}** channel, because the sound is mono. **{bands}** mel bands, because you chose them. "
        f"**{frames}** frames, because {features.duration_s:g} s are {samples:,} samples, and a new slice starts every "
        f"{features.hop_length:,}: one at the beginning and {samples:,} ÷ {features.hop_length:,} more."
    )
    slice_ms, hop_ms = (1_000 * size / features.sample_rate_hz for size in (features.n_fft, features.hop_length))
    with st.grid(2, min_column_width=150):
        st.metric("A slice lasts", f"{slice_ms:.0f} ms", help="Two hits closer than this blur into one.")
        st.metric(
            "It tells apart",
            f"{features.sample_rate_hz / features.n_fft:.0f} Hz",
            help="Two pitches closer than this look like one.",
        )
        st.metric("A frame every", f"{hop_ms:.0f} ms")
        st.metric("Numbers in all", f"{channels * bands * frames:,}", help=f"The waveform has {samples:,}.")
    if seen.num_empty_bands:
        st.caption(
            f":material/warning: {words.plural(seen.num_empty_bands, 'mel band')} of {bands} stay empty: the slice is "
            "too short to tell pitches that low apart. Fewer bands or longer slices would fill them."
        )


def _stage(column: st.delta_generator.DeltaGenerator, number: int, seen: Stages) -> st.delta_generator.DeltaGenerator:
    from samplemind_core.charts.learn_hearing import HEIGHT_PX, mel_power_figure, spectrum_figure
    from samplemind_core.charts.signals import log_mel_figure, waveform_figure

    features = seen.features
    with column, st.container(border=True, height="stretch", gap="small"):
        title, words_ = (
            ("1 Waveform", "Air pressure over time. Pitch hides in how fast it swings."),
            ("2 Spectrum", "How much of every pitch each short slice holds. Pitch becomes visible."),
            ("3 Mel bands", "Pitches gathered as the ear does: fine below, coarse above. Hardly anything shows yet."),
            ("4 Decibels", "Loudness in steps that sound equal. This is what the network gets."),
        )[number]
        st.markdown(f"**{title}**")
        st.caption(words_)
        if number == 0:
            chart = waveform_figure(seen.waveform, features.sample_rate_hz, None, theme())
        elif number == 1:
            chart = spectrum_figure(seen.power, features, theme())
        elif number == 2:
            chart = mel_power_figure(seen.mel, features, theme())
        else:
            chart = log_mel_figure(seen.log_mel, features, theme())
            chart.data[0].showscale = False
        chart.update_layout(height=HEIGHT_PX)
        figure(chart, key=f"hearing-{number}")
        return st.container()


@st.cache_data(max_entries=30, show_spinner="Making each stage audible")
def _sounds(voice_id: str, features: FeatureConfig, _voice: Voice, _seen: Stages) -> list[Sound]:
    from samplemind_core.learn.stages import sounds

    made = sounds(_seen)
    rate = features.sample_rate_hz
    return [
        sound(made.from_power, rate, "From the spectrum alone"),
        sound(made.from_mel, rate, "From the mel bands alone"),
        sound(made.from_log_mel, rate, "From the picture alone"),
    ]


CHAPTER = Chapter(
    7,
    "hearing",
    "What the network hears",
    "A sound becomes a small picture, and what the picture leaves out the network can never learn.",
    5,
    draw,
)
