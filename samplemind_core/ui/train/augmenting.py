"""How much a new run changes its training clips, chosen with one control, and what the network then hears."""

from __future__ import annotations

import random
from typing import Any

import streamlit as st

from samplemind_core.config import AUGMENT_PRESETS, RunConfig, fingerprint
from samplemind_core.store import Dataset
from samplemind_core.ui import parts
from samplemind_core.ui.player import Sound, player, wav_url
from samplemind_core.ui.state import error_boundary, theme, workspace

AS_GIVEN = "given"
"""What the choice of an amount is called that is none of those on offer."""

_PICTURE_HEIGHT = 190


def choose_amount(start: RunConfig) -> RunConfig:
    """Draw the choice of how much is changed; return ``start`` with it."""
    titles = {name: preset.title for name, preset in AUGMENT_PRESETS.items()}
    given = next((name for name, preset in AUGMENT_PRESETS.items() if preset.config == start.augment), AS_GIVEN)
    if given == AS_GIVEN:
        titles = {AS_GIVEN: "As given"} | titles
    chosen = st.segmented_control(
        "Augmentation",
        list(titles),
        format_func=lambda name: titles.get(name, name),
        default=given,
        required=True,
        key=f"new-amount-{start.preset}-{fingerprint(start)[:8]}",
        help="Random changes to training clips, so that a network learns what makes a kick a kick in any pack. "
        "Validation and test clips are never changed. Each number can be changed under All settings.",
    )
    if chosen is None or chosen == AS_GIVEN:
        st.caption("The amounts that these settings came with; see them under All settings.")
        return start
    st.caption(AUGMENT_PRESETS[chosen].summary)
    return start.model_copy(update={"augment": AUGMENT_PRESETS[chosen].config})


def what_it_hears(config: RunConfig, dataset: Dataset) -> None:
    """Draw augmented examples of one of the dataset's training clips, folded away until asked for."""
    with st.expander(
        "What the network will hear", icon=":material/hearing:", key="new-hearing", on_change="rerun"
    ) as box:
        if not box.open:
            return
        if dataset.kind != "audio":
            st.caption("This dataset holds ready-made spectrograms: there is no sound to play.")
            return
        with error_boundary():
            _examples(config, dataset)


def _examples(config: RunConfig, dataset: Dataset) -> None:
    clip = _clip(dataset)
    if clip is None:
        st.caption("The dataset has no training clips.")
        return
    rolls = st.session_state.setdefault("new-hearing-rolls", 0)
    clip_id, name, label = clip
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{parts.safe(name)}** ({parts.safe(label)})", width="content")
        if st.button("Another sample", icon=":material/shuffle:", key="new-hearing-other"):
            st.session_state["new-hearing-clip"] = (dataset.id, random.randrange(2**31))
            st.rerun()
        if st.button("Other changes", icon=":material/casino:", key="new-hearing-again"):
            st.session_state["new-hearing-rolls"] = rolls + 1
            st.rerun()
    # Only what decides the examples: another learning rate makes no new ones.
    settings = RunConfig(features=config.features, augment=config.augment).model_dump_json()
    examples = _made(str(workspace().root), clip_id, settings, rolls)
    with st.grid(3, min_column_width=240):
        for number, (title, log_mel, wav, exact) in enumerate(examples):
            with st.container(border=True):
                st.markdown(f"**{title}**" + ("" if exact else " · made from the picture"))
                parts.figure(_picture(log_mel, config), key=f"new-hearing-{number}")
                player(Sound(wav, f"{name}, {title.lower()}"), key=f"new-hearing-sound-{number}")
    st.caption(_honestly(config, all(exact for *_, exact in examples)))


def _honestly(config: RunConfig, exact: bool) -> str:
    """Say what can be trusted of what is played and shown."""
    said = ["Examples of what single epochs may hold; each epoch makes its own."]
    if not exact:
        said.append(
            "Most changes are made to the picture, which knows no phases. What plays is made back from it and "
            "sounds rougher than the picture is: trust your eyes, and the sound as it is."
        )
    if config.augment.mixup_alpha or (config.augment.variants and config.augment.wave_layer_db):
        said.append("Second samples, mixed in or laid underneath, are not shown.")
    if not config.augment.enabled and not config.augment.variants:
        said.append("With these settings nothing is changed.")
    return " ".join(said)


def _picture(log_mel: Any, config: RunConfig) -> Any:
    from samplemind_core.charts.signals import log_mel_figure

    figure = log_mel_figure(log_mel, config.features, theme())
    figure.update_layout(height=_PICTURE_HEIGHT)
    figure.update_traces(showscale=False)
    return figure


def _clip(dataset: Dataset) -> tuple[int, str, str] | None:
    """Return id, name and label of the training clip that is shown; the same until another is asked for."""
    datasets = workspace().store.datasets
    chosen = st.session_state.get("new-hearing-clip", ("", 0))
    number = chosen[1] if chosen[0] == dataset.id else 0
    count = datasets.count_clips(dataset.id, split="train")
    if not count:
        return None
    clip = datasets.clips(dataset.id, split="train", limit=1, offset=number % count)[0]
    return clip.id or 0, clip.name, clip.label


@st.cache_data(max_entries=16, ttl=3600, show_spinner="Making examples")
def _made(root: str, clip_id: int, settings: str, rolls: int) -> list[tuple[str, Any, str, bool]]:
    """Return title, picture, address of the sound and whether that is exact, of each example."""
    from samplemind_core.audio.decode import to_wav

    del root  # only part of the key
    config = RunConfig.model_validate_json(settings)
    rate = config.features.sample_rate_hz
    return [
        (one.title, one.log_mel, wav_url(to_wav(one.waveform, rate)), one.exact)
        for one in workspace().augmented(clip_id, config, rolls)
    ]
