"""What would a sound need to be called something else: the smallest change of loudness in time and frequency.

A counterfactual in the sense of S. Wachter, B. Mittelstadt, C. Russell, "Counterfactual Explanations
without Opening the Black Box", Harvard JL&T 31(2), 2018: of the changes that lead to the other
answer, a small one. Here a change is a smooth map of gains in dB on the original's own spectrum, so
the result can be heard, and no more than a few bands and moments have to be named to describe it.

It says what *this network* would need. That a changed kick is called a snare does not make it one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from samplemind_core.audio.features import AMIN
from samplemind_core.audio.window import fit_window
from samplemind_core.errors import ConfigError
from samplemind_core.inference.classifier import Classifier
from samplemind_core.inference.explain import Floats, Odds, band_edges_hz, class_index, frozen, odds
from samplemind_core.inference.masking import apply_gains

MAX_GAIN_DB = 24.0
STEPS = 80
_GRID = (12, 16)
_STRENGTHS = np.linspace(0.1, 1.0, 10)


@dataclass(frozen=True, eq=False)
class Change:
    """The largest connected change: what it does to which frequencies, and when."""

    gain_db: float
    band_hz: tuple[float, float]
    time_s: tuple[float, float]


@dataclass(frozen=True, eq=False)
class Counterfactual:
    """A sound changed towards another class.

    Attributes
    ----------
    class_name : str
        The class that was aimed at.
    reached : bool
        Whether the changed sound is called by it.
    prob : float
        Probability of that class for the changed sound.
    before, after : ndarray of float64, shape (C,)
        Probabilities of the sound and of the changed sound, both measured on their samples.
    gains_db : ndarray of float32, shape (n_mels, frames)
        The change.
    mean_gain_db : float
        Mean size of the change where there is sound.
    sound : ndarray of float32, shape (T,)
        The changed sound, without padding.
    changes : tuple of Change
        Its largest louder and its largest quieter part.
    """

    class_name: str
    reached: bool
    prob: float
    before: npt.NDArray[np.float64]
    after: npt.NDArray[np.float64]
    gains_db: Floats
    mean_gain_db: float
    sound: Floats
    changes: tuple[Change, ...]


def counterfactual(
    classifier: Classifier,
    waveform: npt.NDArray[np.floating],
    class_name: str,
    *,
    max_gain_db: float = MAX_GAIN_DB,
    steps: int = STEPS,
) -> Counterfactual:
    """Return a small change of loudness in time and frequency that leads to another class.

    Gains on a coarse grid follow the gradient of the class's log odds,
    held small by an L1 penalty where there is sound. What was found is then weakened as far as the
    changed *sound* is still called by the class.

    Parameters
    ----------
    classifier : Classifier
    waveform : ndarray, shape (T,)
        At ``classifier.info.features.sample_rate_hz``.
    class_name : str
        What the sound should be called.
    max_gain_db : float
        No part gets louder or quieter than that.
    steps : int
        Of the search.

    Raises
    ------
    NotFoundError
        If the classifier knows no such class.
    ConfigError
        If the sound is called that already.
    AudioError
        If the waveform is empty or not mono.
    """
    features = classifier.info.features
    target = class_index(classifier, class_name)
    window, start = fit_window(waveform, features)
    (before,), log_mels = classifier.probabilities(window[None])
    thresholds = classifier.thresholds
    if _is_called(before[None], target, thresholds)[0]:
        raise ConfigError(f"This sound is called {class_name} already.", "Choose another class.")
    sounding = torch.from_numpy(log_mels > -features.top_db + 1.0).float()
    with frozen(classifier.model) as model:
        found = _search(model, classifier, window, sounding, target, odds(classifier, class_name), max_gain_db, steps)
    # Interpolation and overlapping frames blur what the search planned; only what is heard counts.
    tried = _STRENGTHS[:, None, None] * found[None]
    sounds = apply_gains(window, 10.0 ** (tried / 20.0), features)
    probs, _ = classifier.probabilities(sounds)
    good = np.flatnonzero(_is_called(probs, target, thresholds))
    chosen = int(good[0]) if len(good) else int(probs[:, target].argmax())
    gains = tried[chosen].astype(np.float32)
    length = min(len(waveform) - start, features.num_samples)
    heard = sounding[0].numpy() > 0
    return Counterfactual(
        class_name=class_name,
        reached=bool(len(good)),
        prob=float(probs[chosen, target]),
        before=before,
        after=probs[chosen],
        gains_db=gains,
        mean_gain_db=float(np.abs(gains[heard]).mean()) if heard.any() else 0.0,
        sound=sounds[chosen][:length],
        changes=_changes(gains, heard, classifier),
    )


def _is_called(
    probs: npt.NDArray[np.float64], target: int, thresholds: npt.NDArray[np.float64] | None
) -> npt.NDArray[np.bool_]:
    """Return which answers (B, C) name a class (B,): as the only one, or as one of several labels."""
    return np.asarray(probs.argmax(axis=1) == target if thresholds is None else probs[:, target] >= thresholds[target])


def _search(
    model: nn.Module,
    classifier: Classifier,
    window: Floats,
    sounding: Tensor,
    target: int,
    odds_of: Odds,
    max_gain_db: float,
    steps: int,
) -> Floats:
    """Return gains in dB (n_mels, frames): the smallest seen that reach the class, or those that come closest."""
    features, device = classifier.info.features, classifier.device
    level_db = _band_levels_db(classifier, window)
    weights = (sounding / sounding.sum().clamp(min=1.0)).to(device)
    grid = torch.zeros(1, 1, *_GRID, device=device, requires_grad=True)
    optimizer = torch.optim.Adam([grid], lr=0.15)
    best: Tensor | None = None
    closest = torch.zeros_like(level_db)
    best_cost, best_odds = float("inf"), -float("inf")
    for _ in range(steps):
        gains = max_gain_db * functional.interpolate(
            torch.tanh(grid), level_db.shape[1:], mode="bilinear", align_corners=True
        )
        changed_db = level_db + gains[0]
        log_mel = (changed_db - changed_db.amax()).clamp(min=-features.top_db)
        for_it = odds_of(model(log_mel[None]), target)[0]
        cost = (gains.abs() * weights).sum()
        now_odds, now_cost = for_it.item(), cost.item()
        if now_odds > 0.0 and now_cost < best_cost:
            best, best_cost = gains.detach()[0], now_cost
        if now_odds > best_odds:
            closest, best_odds = gains.detach()[0], now_odds
        optimizer.zero_grad()
        # Past a log odds of about 1 the class is safe and only smallness counts.
        (functional.softplus(1.0 - for_it) + 0.15 * cost).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    found: Floats = (closest if best is None else best)[0].cpu().numpy()
    return found


def _band_levels_db(classifier: Classifier, window: Floats) -> Tensor:
    """Return the level (1, n_mels, frames) in dB before anything is cut off: quiet cells may be raised into sight.

    A gain that is smooth over frequency moves a band's level by its own dB, so that the search needs
    no spectrum; what the changed sound is called is measured afterwards anyway.
    """
    features = classifier.info.features
    spectrum = torch.stft(
        torch.from_numpy(window).to(classifier.device),
        features.n_fft,
        features.hop_length,
        window=torch.hann_window(features.n_fft, device=classifier.device),
        center=True,
        pad_mode="constant",
        return_complex=True,
    )
    power = classifier.front_end.filters @ spectrum.abs().square()
    return 10.0 * power.clamp(min=AMIN).log10()[None]


def _changes(gains: Floats, heard: npt.NDArray[np.bool_], classifier: Classifier) -> tuple[Change, ...]:
    """Return where the strongest louder and quieter parts lie, each out to half of its peak."""
    features = classifier.info.features
    edges_hz = band_edges_hz(classifier)
    frame_s = features.hop_length / features.sample_rate_hz
    found = []
    for sign in (1.0, -1.0):
        size = np.where(heard, sign * gains, 0.0)
        band, frame = np.unravel_index(int(size.argmax()), size.shape)
        peak = float(size[band, frame])
        if peak < 1.0:
            continue  # nobody would hear less than a decibel
        start, end = _around(size[band] >= peak / 2, int(frame))
        # Over that time, not at the peak's moment alone: what reverses later is no part of it.
        over_time = size[:, start:end].mean(axis=1)
        low, high = _around(over_time >= over_time[band] / 2, int(band))
        span_hz = (float(edges_hz[low]), float(edges_hz[high]))
        found.append(Change(sign * peak, span_hz, (start * frame_s, end * frame_s)))
    return tuple(sorted(found, key=lambda change: -abs(change.gain_db)))


def _around(inside: npt.NDArray[np.bool_], place: int) -> tuple[int, int]:
    """Return first and one past last of the run of True values around a place."""
    outside = np.flatnonzero(~inside)
    before, after = outside[outside < place], outside[outside > place]
    return int(before[-1]) + 1 if len(before) else 0, int(after[0]) if len(after) else len(inside)
