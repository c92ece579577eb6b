"""The sounds that chapters look at: made-up ones, or some of your own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from samplemind_core.ui.state import workspace

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from samplemind_core.store import Clip

MADE_UP = ("kick", "snare", "hihat", "clap", "tom", "cymbal")
OWN_DATASETS, OWN_PER_CLASS = 3, 3


@dataclass(frozen=True, eq=False)
class Voice:
    """One sound: ``waveform`` (T,) float32 at ``rate_hz``; ``id`` names it, ``label`` is its class."""

    id: str
    name: str
    label: str
    waveform: npt.NDArray[np.float32]
    rate_hz: int

    def at(self, rate_hz: int) -> npt.NDArray[np.float32]:
        """Return the waveform (T,) at another rate."""
        import numpy as np
        import soxr

        if rate_hz == self.rate_hz:
            return self.waveform
        resampled: npt.NDArray[np.float32] = soxr.resample(self.waveform, self.rate_hz, rate_hz).astype(np.float32)
        return resampled


def choose_voice(key: str, *, start: str = "snare") -> Voice:
    """Offer made-up sounds and a few of each class of your datasets; return the chosen one."""
    made = {f"made-up:{label}": f"Made-up {label}" for label in MADE_UP}
    own = _own()
    options = made | {f"clip:{number}": text for number, text in own.items()}
    name = st.selectbox(
        "Sound",
        list(options),
        index=list(options).index(f"made-up:{start}"),
        format_func=lambda option: options.get(option, option),
        key=f"learn-{key}-voice",
    )
    kind, _, which = name.partition(":")
    return _read(int(which)) if kind == "clip" else _made(which)


def _own() -> dict[int, str]:
    """Return the first sounds of each class of the newest datasets: what is shown by clip id."""
    found = {}
    for dataset in [item for item in workspace().datasets() if item.kind == "audio"][:OWN_DATASETS]:
        for label in dataset.class_names:
            for clip in workspace().store.datasets.clips(dataset.id, label=label, limit=OWN_PER_CLASS):
                if clip.id is not None and clip.file:
                    found[clip.id] = f"{dataset.name} · {label} · {clip.name.rpartition('/')[2]}"
    return found


@st.cache_resource(max_entries=12, show_spinner=False)
def _made(label: str) -> Voice:
    from samplemind_core.audio.synth import CLASS_NAMES, voice

    made = voice(CLASS_NAMES.index(label), 0)
    return Voice(f"made-up:{label}", f"Made-up {label}", label, made.waveform, made.sample_rate_hz)


def _read(clip_id: int) -> Voice:
    from samplemind_core.audio.decode import decode

    clip: Clip = workspace().store.datasets.clip(clip_id)
    path = workspace().clip_audio(clip)
    assert path is not None
    rate = min(clip.sample_rate_hz or 44_100, 48_000)
    waveform = decode(path, rate, name=clip.name, limits=workspace().settings.limits).waveform
    return Voice(f"clip:{clip_id}:{clip.content_hash}", clip.name.rpartition("/")[2], clip.label, waveform, rate)
