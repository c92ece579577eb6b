"""Why a sound was named as it was: seen, tried out and heard. Needs a checkpoint and a waveform, nothing else."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from samplemind_core.errors import SampleMindError
from samplemind_core.server import clip_url
from samplemind_core.ui import parts, words
from samplemind_core.ui.diagnostics.picked import stamp
from samplemind_core.ui.player import Sound, player_list, wav_url
from samplemind_core.ui.state import error_boundary, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.config import FeatureConfig
    from samplemind_core.evaluation.embeddings import Neighbour
    from samplemind_core.inference.counterfactual import Change, Counterfactual
    from samplemind_core.inference.explain import Explanation
    from samplemind_core.inference.masking import Decided


def why(ref: str, waveform: npt.NDArray[np.floating], *, key: str) -> None:
    """Draw why a checkpoint names a sound as it does.

    Parameters
    ----------
    ref : str
        A checkpoint, as :meth:`Workspace.resolve` takes it.
    waveform : ndarray, shape (T,)
        Mono, at the checkpoint's sample rate.
    key : str
        Unique on the page, and different for different sounds.
    """
    samples = np.ascontiguousarray(waveform, dtype=np.float32)
    asked = _Asked(ref, samples, key)

    def draw() -> None:
        with error_boundary():
            _draw(asked)

    # Choosing another class computes this part anew, not the page around it.
    st.fragment(draw)()


class _Asked:
    """A sound and who is asked about it; equal for equal sounds, so that answers are kept."""

    def __init__(self, ref: str, samples: npt.NDArray[np.float32], key: str) -> None:
        self.ref, self.samples, self.key = ref, samples, key
        self.stamp: tuple[Any, ...] = (*stamp(ref), hashlib.sha256(samples.tobytes()).hexdigest())

    @property
    def features(self) -> FeatureConfig:
        return workspace().classifier(self.ref).info.features

    @property
    def thresholds(self) -> dict[str, float] | None:
        """From where on each of several labels is named; None where a sound is given one."""
        info = workspace().classifier(self.ref).info
        return dict(zip(info.class_names, info.thresholds, strict=True)) if info.several_labels else None


def _draw(asked: _Asked) -> None:
    with st.spinner("Looking for the reasons", show_time=True):
        answered = _explain(asked, None, asked.stamp)
        names = list(answered.class_names)
        # Of several labels those come first that are named, the furthest above their thresholds before the others.
        beyond = answered.probs - np.array([(asked.thresholds or {}).get(name, 0.0) for name in names])
        likely = [names[place] for place in np.argsort(-beyond, kind="stable")]
        said = {
            name: f"{name} · {words.confidence(float(answered.probs[answered.class_names.index(name)]))}"
            for name in likely
        }
        wanted = st.session_state.get(f"{asked.key}-class") or likely[0]
        found = answered if wanted == answered.class_name else _explain(asked, wanted, asked.stamp)
        decided = _decide(asked, found, found.class_name, asked.stamp)
    st.selectbox(
        "Reasons for",
        likely,
        format_func=lambda name: said.get(name, name),
        key=f"{asked.key}-class",
        help="Any class: also what little speaks for one that did not win."
        if asked.thresholds is None
        else "Any label: each is a question of its own, also one that was not named.",
        width=320,
    )
    with st.grid(2, min_column_width=320):
        with st.container(border=True):
            _evidence(asked, found)
        with st.container(border=True):
            _hear(asked, found, decided)
    with st.grid(2, min_column_width=320):
        with st.container(border=True):
            _occlusion(asked, found, "time")
        with st.container(border=True):
            _occlusion(asked, found, "frequency")
    with st.container(border=True):
        _otherwise(asked, answered, likely)


def _evidence(asked: _Asked, found: Explanation) -> None:
    from samplemind_core.charts.evidence import evidence_figure

    parts.section(f"What speaks for {found.class_name}")
    end_s = found.window_s[1] - found.window_s[0]
    chart = evidence_figure(found.log_mel, found.evidence, asked.features, found.class_name, theme(), end_s)
    parts.figure(chart, key=f"{asked.key}-evidence")
    name = parts.safe(found.class_name)
    st.caption(
        f"Violet speaks for {name}, orange against it; grey is the sound itself. All of it adds up to the score, "
        f"{words.percent(found.missing)} of it is unaccounted for (integrated gradients, from silence to this sound)."
    )


def _hear(asked: _Asked, found: Explanation, decided: Decided) -> None:
    parts.section("Hear what decided")
    rate = asked.features.sample_rate_hz
    length = len(decided.kept)
    name = found.class_name
    sounds = [
        Sound(_wav(found.window[:length], rate), "The sound", (f"{name} {words.confidence(found.prob)}",)),
        Sound(_wav(decided.kept, rate), "What decided", (f"{name} {words.confidence(decided.kept_prob)}",)),
        Sound(_wav(decided.rest, rate), "The rest", (f"{name} {words.confidence(decided.rest_prob)}",)),
    ]
    player_list(sounds, key=f"{asked.key}-decided")
    energy = words.percent(decided.energy, 0)
    safe = parts.safe(name)
    if decided.enough:
        sure = words.confidence(decided.kept_prob)
        said = f"it is called {safe}, {sure} sure" if asked.thresholds is None else f"{safe} gets {sure}"
        line = f"{energy} of the energy is enough: alone {said}."
    else:
        line = (
            f"No part alone is called {safe} as surely as the whole. Nearest comes {energy} of the energy, with "
            f"{words.confidence(decided.kept_prob)}: here the whole sound decides."
        )
    rest = f"The rest alone is called {parts.safe(decided.rest_class or 'nothing')}."
    if decided.rest_class == name:
        rest = "The rest says the same, so there is more than one reason."
    st.caption(f"{line} {rest} Each was measured as a sound of its own; the two add up to the original.")


def _occlusion(asked: _Asked, found: Explanation, side: str) -> None:
    from samplemind_core.charts.evidence import occlusion_figure

    in_time = side == "time"
    parts.section("Without one moment" if in_time else "Without one band")
    slices = found.times if in_time else found.bands
    edges, drop, prob = slices.edges, slices.drop, slices.prob
    chart = occlusion_figure(edges, drop, prob, found.class_name, "s" if in_time else "Hz", theme())
    parts.figure(chart, key=f"{asked.key}-without-{side}")
    worst = int(drop.argmax())
    part = (
        f"{edges[worst, 0]:.2f} to {edges[worst, 1]:.2f} s"
        if in_time
        else f"{edges[worst, 0]:,.0f} to {edges[worst, 1]:,.0f} Hz"
    )
    name = parts.safe(found.class_name)
    st.caption(f"Without {part}, {name} falls from {words.confidence(found.prob)} to {words.confidence(prob[worst])}.")


def _otherwise(asked: _Asked, answered: Explanation, likely: list[str]) -> None:
    """Draw what the sound would need to be called something else, or to get one more label."""
    thresholds = asked.thresholds
    others = likely[1:]
    if thresholds is None:
        parts.section("What would it need to be called something else?")
    else:
        parts.section("What would it need to get one more label?")
        probs = dict(zip(answered.class_names, answered.probs.tolist(), strict=True))
        others = [name for name in likely if probs[name] < thresholds[name]]
    if not others:
        st.caption("It has all of them.")
        return
    key = f"{asked.key}-other"
    with st.container(horizontal=True, vertical_alignment="bottom"):
        other = st.selectbox("Another class", others, key=key, width=320)
        if st.button("Find the smallest change", key=f"{asked.key}-find", icon=":material/tune:"):
            st.session_state[f"{key}-asked"] = other
    if st.session_state.get(f"{key}-asked") != other:
        st.caption("Looks for the least change of loudness, in time and frequency, that makes this network say so.")
        return
    with st.spinner("Turning the knobs", show_time=True):
        found = _change(asked, other, asked.stamp)
    name = parts.safe(other)
    before = float(found.before[answered.class_names.index(other)])
    st.markdown(parts.safe(change_sentence(found)))
    left, right = st.columns(2)
    with left:
        from samplemind_core.charts.evidence import gain_figure

        end_s = answered.window_s[1] - answered.window_s[0]
        chart = gain_figure(found.gains_db, answered.log_mel, asked.features, theme(), end_s, f"Change towards {other}")
        parts.figure(chart, key=f"{asked.key}-gain")
        st.caption("Violet gets louder, orange quieter.")
    with right:
        rate = asked.features.sample_rate_hz
        sounds = [
            Sound(
                _wav(answered.window[: len(found.sound)], rate), "As it is", (f"{other} {words.confidence(before)}",)
            ),
            Sound(_wav(found.sound, rate), "Changed", (f"{other} {words.confidence(found.prob)}",)),
        ]
        near = _nearest(asked, other, asked.stamp)
        if near is not None:
            sounds.append(Sound(clip_url(near.clip_id), f"Nearest {other} it learnt from: {near.name}"))
        player_list(sounds, key=f"{asked.key}-changed-{other}")
        st.caption(
            f"This describes the network, not the instrument: to your ears the changed sound need not be a {name}. "
            "The percentages were measured on the sounds as they play."
        )


def change_sentence(found: Counterfactual) -> str:
    """Return what a counterfactual says, as a sentence or two."""
    what = " and ".join(_in_words(change) for change in found.changes) or "less than a decibel anywhere"
    name = found.class_name
    if found.reached:
        mean = f"On average the sound changes by {found.mean_gain_db:.1f} dB."
        return f"This network would call it {name} with {what}. {mean}"
    return (
        f"No change of loudness that was tried makes this network call it {name}. "
        f"The nearest it comes to is {words.confidence(found.prob)}, with {what}."
    )


def _in_words(change: Change) -> str:
    (low, high), (start, end) = change.band_hz, change.time_s
    word = "louder" if change.gain_db > 0 else "quieter"
    return f"{low:,.0f} to {high:,.0f} Hz {abs(change.gain_db):.0f} dB {word} from {start:.2f} to {end:.2f} s"


def _wav(samples: npt.NDArray[np.float32], rate_hz: int) -> str:
    from samplemind_core.audio.decode import to_wav

    return wav_url(to_wav(samples, rate_hz))


@st.cache_resource(max_entries=24, show_spinner=False)
def _explain(_asked: _Asked, class_name: str | None, stamp: tuple[Any, ...]) -> Explanation:
    from samplemind_core.inference.explain import explain

    return explain(workspace().classifier(_asked.ref), _asked.samples, class_name)


@st.cache_resource(max_entries=24, show_spinner=False)
def _decide(_asked: _Asked, _found: Explanation, class_name: str, stamp: tuple[Any, ...]) -> Decided:
    from samplemind_core.inference.masking import what_decided

    return what_decided(workspace().classifier(_asked.ref), _found)


@st.cache_resource(max_entries=24, show_spinner=False)
def _change(_asked: _Asked, class_name: str, stamp: tuple[Any, ...]) -> Counterfactual:
    from samplemind_core.inference.counterfactual import counterfactual

    return counterfactual(workspace().classifier(_asked.ref), _asked.samples, class_name)


@st.cache_resource(max_entries=24, show_spinner=False)
def _nearest(_asked: _Asked, class_name: str, stamp: tuple[Any, ...]) -> Neighbour | None:
    """Return the nearest training clip of a class that can be heard, or None."""
    store = workspace()
    try:
        found = store.nearest_training_clips(_asked.ref, _asked.samples, 1, label=class_name)
    except SampleMindError:
        return None  # the dataset is gone or has changed; the explanation stands without it
    return next((clip for clip in found if store.clip_audio(clip.clip_id) is not None), None)
