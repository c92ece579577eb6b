"""Sounds with parts made quieter or louder in time and frequency, and "hear what decided".

Changes are made to the short-time spectrum of the original, with its own phases, and turned back by
overlap-add; nothing is synthesised. What a changed sound is called is always measured on its samples
by the classifier, never inferred from the mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from samplemind_core.audio.features import mel_frequencies
from samplemind_core.config import FeatureConfig
from samplemind_core.inference.classifier import Classifier
from samplemind_core.inference.explain import Explanation, Floats, class_index
from samplemind_core.store.records import joined

SHARES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)
"""Shares of the sounding cells that are tried, the fewest first."""

ENOUGH = 0.8
"""Share of the original probability that the kept part has to reach."""


@dataclass(frozen=True, eq=False)
class Decided:
    """A sound in two parts that add up to it: what decided, and the rest.

    Attributes
    ----------
    kept, rest : ndarray of float32, shape (T,)
        Without the padding of a short sound.
    kept_prob, rest_prob : float
        Probability of the explained class for each part alone, measured.
    rest_class : str
        What the rest alone is called; where a checkpoint names several labels, the explained one if it is
        still named, the others otherwise.
    enough : bool
        Whether the kept part alone is called by the class as surely as :data:`ENOUGH` asks.
    cells : float
        Share of the sounding cells of the spectrogram that were kept at half their level or more.
    energy : float
        Energy of the kept part as a share of the sound's.
    """

    kept: Floats
    rest: Floats
    kept_prob: float
    rest_prob: float
    rest_class: str
    enough: bool
    cells: float
    energy: float


def what_decided(classifier: Classifier, explanation: Explanation) -> Decided:
    """Return the least of a sound that is still called by the class, as audio, and what is left of it.

    The cells with the strongest evidence are kept, smoothed over neighbours so that the result is a
    sound and not a sparkle; of the shares in :data:`SHARES` the smallest is taken whose sound reaches
    :data:`ENOUGH` of the original probability, otherwise the one that comes closest.

    Parameters
    ----------
    classifier : Classifier
        The one that the explanation was made with.
    explanation : Explanation
    """
    features = classifier.info.features
    target = class_index(classifier, explanation.class_name)
    evidence = _smooth(np.maximum(explanation.evidence, 0.0))
    sounding = explanation.log_mel > -features.top_db + 1.0
    ranked = np.sort(np.where(sounding, evidence, 0.0)[sounding])[::-1] if sounding.any() else np.zeros(1, np.float32)
    masks = []
    for share in SHARES:
        edge = max(float(ranked[min(len(ranked) - 1, round(share * len(ranked)))]), 1e-12)
        # From half the threshold to the threshold the mask opens, so that no cell rings alone.
        masks.append(np.clip(2.0 * evidence / edge - 1.0, 0.0, 1.0))
    waves = apply_gains(explanation.window, np.stack(masks), features)
    probs = classifier.probabilities(waves)[0]
    wanted = ENOUGH * explanation.prob
    several = classifier.info.several_labels
    alike = several | (probs.argmax(axis=1) == explanation.probs.argmax())
    good = np.flatnonzero((probs[:, target] >= wanted) & alike)
    chosen = int(good[0]) if len(good) else int(probs[:, target].argmax())
    kept = waves[chosen]
    rest = explanation.window - kept
    rest_probs = classifier.probabilities(rest[None])[0][0]
    length = round((explanation.window_s[1] - explanation.window_s[0]) * features.sample_rate_hz)
    energy = float(np.square(kept, dtype=np.float64).sum())
    whole = float(np.square(explanation.window, dtype=np.float64).sum())
    return Decided(
        kept=kept[:length],
        rest=rest[:length],
        kept_prob=float(probs[chosen, target]),
        rest_prob=float(rest_probs[target]),
        rest_class=_called(classifier, rest_probs, target),
        enough=bool(len(good)),
        cells=float((masks[chosen] >= 0.5)[sounding].mean()) if sounding.any() else 0.0,
        energy=energy / whole if whole else 0.0,
    )


def _called(classifier: Classifier, probs: npt.NDArray[np.float64], target: int) -> str:
    names, thresholds = classifier.class_names, classifier.thresholds
    if thresholds is None:
        return names[int(probs.argmax())]
    if probs[target] >= thresholds[target]:
        return names[target]
    return joined(name for name, prob, at in zip(names, probs, thresholds, strict=True) if prob >= at)


def apply_gains(window: Floats, gains: npt.NDArray[np.floating], features: FeatureConfig) -> Floats:
    """Return a sound with its parts amplified or attenuated, once for every map of gains.

    Parameters
    ----------
    window : ndarray of float32, shape (T,)
        At ``features.sample_rate_hz``.
    gains : ndarray, shape (B, n_mels, frames)
        Factors on the amplitude by mel band and frame; between them they are interpolated.
    features : FeatureConfig

    Returns
    -------
    ndarray of float32, shape (B, T)
        Where all gains are 1, the sound itself.
    """
    spectrum, frame = spectrum_of(torch.from_numpy(window), features)
    factors = bins_of_bands(torch.from_numpy(np.asarray(gains, np.float32)), features, spectrum.shape[-1])
    sound = torch.istft(
        spectrum * factors, features.n_fft, frame, window=_hann(features), center=True, length=len(window)
    )
    result: Floats = sound.numpy().astype(np.float32)
    return result


def spectrum_of(window: Tensor, features: FeatureConfig) -> tuple[Tensor, int]:
    """Return the complex spectrum (n_fft // 2 + 1, frames) and its hop, dense enough to be turned back."""
    hop = min(features.hop_length, features.n_fft // 4)
    spectrum = torch.stft(
        window, features.n_fft, hop, window=_hann(features), center=True, pad_mode="constant", return_complex=True
    )
    return spectrum, hop


def bins_of_bands(values: Tensor, features: FeatureConfig, num_frames: int) -> Tensor:
    """Return values (B, n_mels, frames) by mel band as values (B, n_fft // 2 + 1, num_frames) by STFT bin.

    Each bin takes what lies at its frequency between the centres of two bands; below the first and
    above the last centre the outermost band holds.
    """
    centres = mel_frequencies(features.n_mels + 2, features.fmin_hz, features.max_hz)[1:-1]
    bins_hz = np.arange(1 + features.n_fft // 2) * (features.sample_rate_hz / features.n_fft)
    place = torch.from_numpy(np.interp(bins_hz, centres, np.arange(features.n_mels)).astype(np.float32))
    lower = place.floor().long()
    upper = (lower + 1).clamp(max=features.n_mels - 1)
    share = (place - lower).view(1, -1, 1)
    by_bin = values[:, lower] * (1 - share) + values[:, upper] * share
    if by_bin.shape[-1] == num_frames:
        return by_bin
    return functional.interpolate(by_bin, num_frames, mode="linear", align_corners=True)


def _hann(features: FeatureConfig) -> Tensor:
    return torch.hann_window(features.n_fft)


def _smooth(picture: Floats) -> Floats:
    """Return a picture (n_mels, frames) averaged over about five bands and three frames."""
    weights = [torch.tensor(kernel) / sum(kernel) for kernel in ([1.0, 4.0, 6.0, 4.0, 1.0], [1.0, 2.0, 1.0])]
    kernel = torch.outer(*weights)[None, None]
    smooth: Floats = functional.conv2d(torch.from_numpy(picture)[None, None], kernel, padding=(2, 1))[0, 0].numpy()
    return smooth
