"""Chapter 8: what a trained network looks for, and what it makes of one sound."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui import parts, words
from samplemind_core.ui.learn.lesson import Chapter, awake, choose_part, figure, hear, question, source
from samplemind_core.ui.learn.small import small_network
from samplemind_core.ui.learn.voices import Voice, choose_voice
from samplemind_core.ui.parts import section
from samplemind_core.ui.state import theme, workspace

if TYPE_CHECKING:
    from samplemind_core.config import FeatureConfig
    from samplemind_core.learn.inside import Floats, Inside
    from samplemind_core.models import AudioClassifier

PARTS = {
    "filters": "Filters",
    "maps": "Maps",
    "pooling": "Pooling",
    "dropout": "Dropout",
    "decay": "Weight decay",
}
DECAYS = (0.1, 0.3, 1.0)


@dataclass(frozen=True, eq=False)
class Opened:
    """A network to look into, the front end that feeds it and the classes it knows."""

    model: AudioClassifier
    features: FeatureConfig
    class_names: tuple[str, ...]


def draw() -> None:
    """Draw one part of a network's inside, for a chosen sound."""
    awake()
    left, right = st.columns(2)
    with left:
        network = _choose_network()
    with right:
        voice = choose_voice("inside", start="snare")
    part = choose_part("inside", PARTS)
    waveform = voice.at(network.features.sample_rate_hz)
    if part == "filters":
        _filters(network, waveform)
    elif part == "maps":
        _maps(network, voice)
    elif part == "pooling":
        _pooling(network, voice)
    elif part == "dropout":
        _dropout(network, voice)
    else:
        _decay()
    question(
        "inside",
        "The same hi-hat comes a little later in the file. Why does the network still call it a hi-hat?",
        (
            "It has learned every position by heart",
            "Pooling keeps what was found and lets go of when",
            "The loudness stays the same",
        ),
        1,
        (
            "There are far too many positions for that. Look at Pooling and move the sound.",
            "Yes. The maps move with the sound; the mean and the largest value over time hardly do.",
            "So does that of a noise. Look at Pooling and move the sound.",
        ),
    )


def _choose_network() -> Opened:
    options = {"": "A small network, trained here"}
    options |= {ref: name for ref, name in parts.checkpoint_options(workspace(), newest=10).items() if ":best" in ref}
    best = list(options)[1] if len(options) > 1 else ""
    ref = st.selectbox(
        "Network",
        list(options),
        index=list(options).index(best),
        format_func=lambda name: options.get(name, name),
        key="learn-inside-network",
    )
    if not ref:
        small = small_network()
        st.caption(
            f"Trained for {words.plural(len(small.history), 'epoch')} on made-up kits when this page was opened. From "
            f"kits that it never heard it names {words.percent(small.history[-1].val_accuracy, 0)} right."
        )
        return Opened(small.model, small.config.features, small.class_names)
    path = workspace().checkpoint_path(ref)
    return _opened(str(path), path.stat().st_mtime_ns if path.exists() else 0)


@st.cache_resource(max_entries=3, show_spinner="Opening the network")
def _opened(path: str, changed_ns: int) -> Opened:
    from samplemind_core.training.checkpoints import load_model

    model, info = load_model(Path(path))
    return Opened(model, info.features, info.class_names)


def _look(network: Opened, waveform: Floats) -> Inside:
    from samplemind_core.learn.inside import look_inside
    from samplemind_core.learn.stages import stages

    return look_inside(network.model, stages(waveform, network.features).log_mel)


def _filters(network: Opened, waveform: Floats) -> None:
    from samplemind_core.charts.learn_inside import filters_figure

    inside = _look(network, waveform)
    count, height, width = inside.filters.shape
    section(f"{words.plural(count, 'filter')} of {height} × {width} weights")
    st.markdown(
        "The first layer slides these small patterns over the picture. Where the picture looks like a pattern, its "
        "map lights up: an edge from quiet to loud is an **attack**, a level line is a **tone**, a plain patch is "
        "**noise**. Nobody drew them. Training did."
    )
    figure(filters_figure(inside.filters, theme()), key="inside-filters")
    frame_ms = 1_000 * network.features.hop_length / network.features.sample_rate_hz
    st.caption(
        f"One pattern covers {height} of {network.features.n_mels} bands and about {width * frame_ms:.0f} ms. "
        "One colour asks for loud, the other for quiet."
    )


def _maps(network: Opened, voice: Voice) -> None:
    from samplemind_core.charts.learn_inside import MOST_TILES, maps_figure

    inside = _look(network, voice.at(network.features.sample_rate_hz))
    titles = [layer.title for layer in inside.layers]
    chosen = st.select_slider("How deep", titles, value=titles[min(1, len(titles) - 1)], key="learn-inside-depth")
    layer = inside.layers[titles.index(chosen)]
    channels, bands, frames = layer.maps.shape
    section(f"{chosen}: {words.plural(channels, 'map')} of {bands} × {frames}")
    deep = titles.index(chosen)
    st.markdown(
        (
            "This is the picture that goes in. Move on to see what becomes of it.",
            "Each map shows where one pattern was found. They still look like the sound.",
        )[deep]
        if deep < 2
        else "Fewer points, more maps: each point now speaks for a larger stretch of the sound, and for a pattern of "
        "patterns. What it means is no longer drawn, it is learned."
    )
    figure(maps_figure(layer.maps, chosen, theme()), key="inside-maps")
    if channels > MOST_TILES:
        st.caption(f"The first {MOST_TILES} of {channels} maps.")
    best = int(inside.probs.argmax())
    hear(voice.waveform, voice.rate_hz, voice.name, key="inside-maps")
    st.caption(
        f"At the end {len(inside.embedding):,} numbers are left, and the answer: "
        f"{parts.safe(network.class_names[best])}, {words.confidence(float(inside.probs[best]))} sure."
    )


def _pooling(network: Opened, voice: Voice) -> None:
    import numpy as np

    from samplemind_core.audio.window import fit_window
    from samplemind_core.charts.learn_inside import change_figure
    from samplemind_core.learn.inside import changes_when_later

    rate = network.features.sample_rate_hz
    later_ms = st.slider("The sound comes later by (ms)", 0, 300, 100, step=10, key="learn-inside-later")
    gap = np.zeros(round(later_ms * rate / 1_000), dtype=np.float32)
    waveform = voice.at(rate)[: network.features.num_samples]
    here = np.pad(waveform, (0, max(0, network.features.num_samples - len(waveform))))
    moved = np.concatenate([gap, here])[: network.features.num_samples]
    # Cut as they are: a network whose window waits for the onset would not notice at all.
    as_they_are = network.features.model_copy(update={"align": "none"})
    windows = np.stack([fit_window(x, as_they_are)[0] for x in (here, moved)])
    found = changes_when_later(network.model, windows, network.features)
    section("How much each stage notices")
    st.markdown(
        f"For the same sound {later_ms} ms later the picture changes by **{100 * found[0].change:.0f} %** of its "
        f"size, and what is left at the end by **{100 * found[-1].change:.0f} %**. After its last maps the network "
        "keeps, for each of them, only how strong it was: that is **pooling**. It asks *what*, and little about *when*."
    )
    figure(change_figure([c.title for c in found], [c.change for c in found], theme()), key="inside-pooling")
    hear(moved, rate, f"{voice.name}, {later_ms} ms later", key="inside-pooling")


def _dropout(network: Opened, voice: Voice) -> None:
    from samplemind_core.charts.learn_inside import dropout_figure
    from samplemind_core.learn.inside import dropout_probs
    from samplemind_core.learn.stages import stages

    on = st.toggle("Dropout", value=True, key="learn-inside-dropout")
    rate = st.slider(
        "Share that is dropped", 0.1, 0.9, 0.5, step=0.1, key="learn-inside-rate", disabled=not on, format="percent"
    )
    log_mel = stages(voice.at(network.features.sample_rate_hz), network.features).log_mel
    whole = dropout_probs(network.model, log_mel, 0.0, times=1)[0]
    probs = dropout_probs(network.model, log_mel, rate if on else 0.0)
    section(f"The same sound, asked {words.plural(len(probs), 'time')}")
    st.markdown(
        "While training, dropout hides a random share of what the network found, so that no answer may hang on a "
        "single detail. Each dot is an answer with other parts hidden; the line is the whole network. **When it is "
        "used, dropout is off**: the same sound always gets the same answer."
    )
    figure(dropout_figure(probs, whole, network.class_names, theme()), key="inside-dropout")
    best = int(whole.argmax())
    same = float((probs.argmax(axis=1) == best).mean())
    st.caption(
        f"{words.percent(same, 0)} of the answers are {parts.safe(network.class_names[best])}, as that of the whole "
        "network."
    )
    source(
        "N. Srivastava and others, Dropout: a simple way to prevent neural networks from overfitting, JMLR 2014",
        "https://jmlr.org/papers/v15/srivastava14a.html",
    )


def _decay() -> None:
    import numpy as np

    from samplemind_core.charts.learn_inside import weights_figure

    decay = st.select_slider("Weight decay", DECAYS, value=DECAYS[-1], key="learn-inside-decay")
    without, small = small_network(0.0), small_network(decay)
    plain, decayed = without.weights(), small.weights()
    section("Two small networks, trained alike but for the decay")
    lr = small.config.train.lr
    st.markdown(
        f"After each step weight decay shrinks every weight a little: at a learning rate of {lr:g} it is multiplied by "
        f"{1 - lr * decay:g}. Only weights that keep proving useful stay large, so the network does not build on "
        "coincidences."
    )
    figure(weights_figure(plain, decayed, theme()), key="inside-weights")
    with st.grid(2, min_column_width=180):
        shrunk = 1 - float(np.square(decayed).sum() / np.square(plain).sum())
        st.metric("Sum of squared weights", f"{words.percent(shrunk, 0)} less")
        st.metric(
            "Validation accuracy",
            words.percent(small.history[-1].val_accuracy, 0),
            delta=f"{words.percent(without.history[-1].val_accuracy, 0)} without decay",
            delta_color="off",
            delta_arrow="off",
        )
    source(
        "I. Loshchilov and F. Hutter, Decoupled weight decay regularization, ICLR 2019",
        "https://arxiv.org/abs/1711.05101",
    )


CHAPTER = Chapter(
    8,
    "inside",
    "Inside the CNN",
    "Small learned patterns slide over the picture, layer by layer, until only what they found is left.",
    6,
    draw,
)
