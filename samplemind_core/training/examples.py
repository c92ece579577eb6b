"""What a network will hear of one clip: examples of its augmentation, to look at and to play."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.augment import augment
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.config import RunConfig
from samplemind_core.data.hearing import resynthesise
from samplemind_core.training.places import place_seed
from samplemind_core.training.variants import changed, needed, stacked

Floats = npt.NDArray[np.float32]

NUM_EXAMPLES = 5
_PEAK = 0.7


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One way in which a network may get a clip.

    Attributes
    ----------
    title : str
    log_mel : ndarray of float32, shape (n_mels, frames)
        dB in [-top_db, 0]; what the network gets.
    waveform : ndarray of float32, shape (num_samples,)
        Something to play.
    exact : bool
        Whether ``log_mel`` was computed from ``waveform``. If not, ``waveform`` was made from ``log_mel``, whose
        phases had to be guessed.
    """

    title: str
    log_mel: Floats
    waveform: Floats
    exact: bool


def augmented_examples(
    waveform: Floats, config: RunConfig, count: int = NUM_EXAMPLES, seed: int = 0
) -> tuple[Example, ...]:
    """Return a clip as it is, and as ``count`` epochs may have it.

    Made as in training, but for what takes a second clip: none is laid under this one or mixed with it.

    Parameters
    ----------
    waveform : ndarray of float32, shape (T,)
        Mono, at the configuration's sample rate.
    config : RunConfig
    count : int
        Number of changed examples.
    seed : int
        Other examples for another number.

    Raises
    ------
    EmptyAudioError, AudioError
        No samples; not of shape (T,).
    ConfigError
        If a setting is beyond what the front end has.
    """
    features = config.features
    settings = config.augment.model_copy(update={"wave_layer_db": 0.0})
    window = fit_window(waveform, features)[0]
    sounds = np.repeat(window[None], count, axis=0)
    made = np.zeros(count, dtype=bool)
    generator = torch.Generator().manual_seed(place_seed(seed, count))
    with torch.inference_mode():
        if settings.variants:
            sound = stacked([needed(waveform, settings, features)], settings, features)
            made = torch.rand(count, generator=generator).numpy() >= 1 / (settings.variants + 1)
            for row in np.flatnonzero(made).tolist():
                sounds[row] = changed(sound, settings, features, generator)[0].numpy()
        front_end = LogMel(features)
        before = front_end(torch.from_numpy(sounds))
        after = augment(before, settings, features, generator)
        plain = front_end(torch.from_numpy(window[None]))[0, 0].numpy()
    examples = [Example("As it is", plain, _loud(window), exact=True)]
    for row in range(count):
        exact = bool(torch.equal(before[row], after[row]))
        picture = after[row, 0].numpy()
        heard = sounds[row] if exact else resynthesise(picture, features)
        title = f"Epoch {row + 1}" + (", a variant" if made[row] else "")
        examples.append(Example(title, picture, _loud(heard), exact))
    return tuple(examples)


def _loud(waveform: Floats) -> Floats:
    """Return a waveform at one peak level: the network hears no other differences of level either."""
    peak = float(np.abs(waveform).max(initial=0.0))
    return (waveform * (_PEAK / peak if peak else 0.0)).astype(np.float32)
