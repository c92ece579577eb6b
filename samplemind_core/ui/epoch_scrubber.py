"""Slide through the epochs of a run: which validation samples it learned, forgot and never learned, to hear."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.config import FeatureConfig, RunConfig
from samplemind_core.server import clip_url
from samplemind_core.store import Clip, Run
from samplemind_core.store.records import ACTIVE
from samplemind_core.ui import parts, words
from samplemind_core.ui.living_figure import living_figure
from samplemind_core.ui.player import Sound, player_list
from samplemind_core.ui.state import error_boundary, theme, workspace

if TYPE_CHECKING:
    from samplemind_core.evaluation.forgetting import Forgetting, Group
    from samplemind_core.training.clip_record import ClipHistory

PER_PAGE = 10
_TITLES: dict[Group, str] = {
    "learned": "Learned",
    "forgotten": "Forgotten",
    "never": "Never right",
    "always": "Always right",
}
_MEANINGS: dict[Group, str] = {
    "learned": "Right now, and wrong in an epoch before.",
    "forgotten": "Wrong now, and right in an epoch before. What is forgotten often is hard, odd or mislabelled.",
    "never": "Wrong in every epoch so far. Listen for a wrong label, damage, or a kind that training never heard.",
    "always": "Right in every epoch so far.",
}


def epoch_scrubber(run: Run) -> None:
    """Draw the section of a run, folded until somebody looks."""
    with st.expander(
        "What became of each sample", icon=":material/timeline:", key=f"scrubber-{run.id}", on_change="rerun"
    ) as box:
        if box.open:
            st.fragment(_scrubber)(run.id)


def _scrubber(run_id: str) -> None:
    from samplemind_core.evaluation.forgetting import follow

    with error_boundary():
        run = workspace().run(run_id)
        history = workspace().clip_history(run_id)
        if history is None:
            going = run.status in (*ACTIVE, "queued")
            st.caption(
                "This fills once the first epoch is done."
                if going
                else "Nothing was noted of this run: it ended before its first epoch, or an older version trained it."
            )
            return
        found = follow(history.epochs, history.right)
        st.caption(
            f"{words.plural(len(history.rows), 'validation sample')}, none of which is trained on. "
            "Learned is right now and wrong before; forgotten is wrong now and right before."
        )
        chart = st.container()
        epoch = _slider(run_id, [int(number) for number in history.epochs])
        with chart:
            _chart(found, epoch, run_id)
        group = _numbers(found, epoch, run_id)
        _samples(run, history, found, epoch, group)


def _slider(run_id: str, epochs: Sequence[int]) -> int:
    if len(epochs) == 1:
        return epochs[0]
    key = f"scrub-{run_id}"
    if st.session_state.get(key) not in (None, *epochs):
        del st.session_state[key]  # a resumed run began anew
    return st.select_slider("Epoch", epochs, value=epochs[-1], key=key)


def _chart(found: Forgetting, epoch: int, run_id: str) -> None:
    from samplemind_core.charts.forgetting import forgetting_figure
    from samplemind_core.evaluation.forgetting import GROUPS

    counts = {str(name): column.tolist() for name, column in zip(GROUPS, found.counts.T, strict=True)}
    living_figure(forgetting_figure(found.epochs.tolist(), counts, epoch, theme()), key=f"scrub-chart-{run_id}")


def _numbers(found: Forgetting, epoch: int, run_id: str) -> Group:
    """Draw how large each group is and how that changed in this epoch; return the one to look into."""
    from samplemind_core.evaluation.forgetting import GROUPS

    place = found.place(epoch)
    with st.grid(4, min_column_width=120):
        for name, title in _TITLES.items():
            number = int(found.counts[place, GROUPS.index(name)])
            before = int(found.counts[place - 1, GROUPS.index(name)]) if place else number
            st.metric(
                title, f"{number:,}", number - before or None, border=True, help=_MEANINGS[name],
                delta_color="off", delta_description="in this epoch" if number != before else None,
            )  # fmt: skip
    chosen = st.segmented_control(
        "Samples", list(_TITLES), format_func=lambda name: _TITLES[name], required=True, default="forgotten",
        key=f"scrub-group-{run_id}", label_visibility="collapsed",
    )  # fmt: skip
    return chosen or "forgotten"


def _samples(run: Run, history: ClipHistory, found: Forgetting, epoch: int, group: Group) -> None:
    members = found.members(epoch, group)
    if not len(members):
        st.caption(f"No sample is {_TITLES[group].lower()} after epoch {epoch}.")
        return
    st.caption(_summary(found, epoch, group))
    num_pages = -(-len(members) // PER_PAGE)
    key = f"{run.id}-{epoch}-{group}"
    page = st.pagination(num_pages, key=f"scrub-page-{key}") if num_pages > 1 else 1
    places = members[(page - 1) * PER_PAGE : page * PER_PAGE].tolist()
    clips = workspace().store.datasets.clips_at(run.dataset_id, history.rows[places].tolist())
    shown = {place: clips[int(history.rows[place])] for place in places if int(history.rows[place]) in clips}
    told = {place: _told(history, found, epoch, place) for place in shown}
    sounds = [
        Sound(clip_url(clip.id or 0), clip.name, told[place]) for place, clip in shown.items() if clip.file
    ]  # fmt: skip
    if sounds:
        player_list(sounds, key=f"scrub-list-{key}-{page}")
    parts.facts({clip.name: ", ".join(told[place]) for place, clip in shown.items() if not clip.file})
    _closer(run, history, epoch, shown)


def _summary(found: Forgetting, epoch: int, group: Group) -> str:
    from samplemind_core.evaluation.forgetting import GROUPS

    place = found.place(epoch)
    changed = found.just(epoch) & (found.codes[place] == GROUPS.index(group))
    number = int(changed.sum())
    if group not in ("learned", "forgotten"):
        return _MEANINGS[group]
    if not number:
        return f"{_MEANINGS[group]} None of them in this epoch."
    stay = int((changed & found.stays[place]).sum())
    later = f", {stay:,} of them for good" if group == "learned" and place < len(found.epochs) - 1 else ""
    return f"{_MEANINGS[group]} {words.plural(number, 'sample')} in this epoch{later}."


def _told(history: ClipHistory, found: Forgetting, epoch: int, at: int) -> tuple[str, ...]:
    """Return what is said beside a sample: its label, the answer, and how it came to that."""
    place = found.place(epoch)
    label = history.class_names[history.targets[at]]
    sure = words.percent(float(history.confidence[place, at]), 0)
    called = history.class_names[history.called[place, at]]
    answer = f"right, {sure} sure" if found.right[place, at] else f"called {called}, {label} {sure}"
    times = int(found.times_forgotten[place, at])
    past = "just now" if found.just(epoch)[at] else ""
    if times:
        often = "once" if times == 1 else "twice" if times == 2 else f"{times} times"
        past = f"{past}, forgotten {often}".removeprefix(", ")
    return tuple(part for part in (label, answer, past) if part)


def _closer(run: Run, history: ClipHistory, epoch: int, shown: dict[int, Clip]) -> None:
    """Draw one sample up close: how sure the network was of its label in each epoch, and what it looks like."""
    from samplemind_core.charts.forgetting import clip_curve_figure
    from samplemind_core.charts.signals import log_mel_figure

    key = f"scrub-closer-{run.id}"
    if st.session_state.get(key) not in (None, *shown):
        st.session_state[key] = None
    at = st.selectbox(
        "Look closer at", list(shown), format_func=lambda place: shown[place].name if place in shown else "",
        index=None, key=key, placeholder="Choose a sample",
    )  # fmt: skip
    if at is None:
        return
    clip, label = shown[at], history.class_names[history.targets[at]]
    left, right = st.columns(2)
    with left:
        curve = clip_curve_figure(
            history.epochs.tolist(), history.confidence[:, at].tolist(), history.right[:, at].tolist(), label, epoch,
            theme(),
        )  # fmt: skip
        parts.figure(curve, key=f"{key}-curve")
        st.caption(f"How probable the network found {parts.safe(label)}; full points were right.")
    with right, error_boundary():
        if not clip.file:
            st.caption("Its dataset holds spectrograms without sound.")
            return
        features: FeatureConfig = RunConfig.model_validate(run.config).features
        heard = workspace().hear(clip.id or 0, features)
        parts.figure(log_mel_figure(heard.log_mel, features, theme()), key=f"{key}-log-mel")
        st.caption("What the network sees of it.")
