"""Why a network answers as it does: where in time and frequency the evidence for a class lies.

Two independent answers, so that one can be checked by the other:

- *Integrated gradients* (M. Sundararajan, A. Taly, Q. Yan, "Axiomatic Attribution for Deep Networks",
  ICML 2017, arXiv:1703.01365) give every cell of the spectrogram its share of the score. The path
  starts at the floor of the spectrogram, that is silence: cells without sound get nothing, and the
  shares add up to the difference of the two scores, which is checked and reported.
- *Occlusion* (M. D. Zeiler, R. Fergus, ECCV 2014, arXiv:1311.2901) silences one stretch of time or
  one band of frequencies after the other and measures how much the answer weakens.

HiResCAM (R. L. Draelos, L. Carin, 2020, arXiv:2011.08891) is here as well: faithful where the last
maps are pooled linearly, but as coarse as these maps.

The score that is explained is the logarithm of the odds of the class against all others: it says why
this class *rather than another*, and unlike a probability it does not stand still near 100 %. Where a
checkpoint names several labels it is that of the label against its absence.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from samplemind_core.audio.window import fit_window
from samplemind_core.errors import ConfigError, NotFoundError
from samplemind_core.inference.classifier import Classifier
from samplemind_core.models import Ensemble

Method = Literal["integrated_gradients", "hires_cam"]
Floats = npt.NDArray[np.float32]
Odds = Callable[[Tensor, int], Tensor]

STEPS = 32
NUM_SLICES = 16
NUM_BANDS = 16
_BATCH = 16


@dataclass(frozen=True, eq=False)
class Slices:
    """What silencing parts of a sound does to an answer; row ``i`` of every array is the same part.

    Attributes
    ----------
    edges : ndarray of float, shape (K, 2)
        Where each part starts and ends: seconds of the window, or Hz.
    drop : ndarray of float32, shape (K,)
        How far the log odds of the class fall without the part; negative where they rise.
    prob : ndarray of float, shape (K,)
        Probability of the class without the part.
    """

    edges: npt.NDArray[np.float64]
    drop: Floats
    prob: npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Explanation:
    """Where the evidence for one class lies in a sound.

    Attributes
    ----------
    class_name : str
        The class that is explained; not necessarily the one that won.
    class_names : tuple of str
    probs : ndarray of float64, shape (C,)
        What the classifier says of the sound.
    window : ndarray of float32, shape (num_samples,)
        The part of the sound that the network sees.
    window_s : (start_s, end_s)
        Where that part lies in the sound; without the padding of a short one.
    log_mel : ndarray of float32, shape (n_mels, frames)
        In dB.
    evidence : ndarray of float32, shape (n_mels, frames)
        Share of each cell in the score: above 0 for the class, below 0 against it.
    score, silence_score : float
        Log odds of the class for the sound and for silence; the evidence adds up to their difference.
    times, bands : Slices
        Occlusion in time and in frequency.
    """

    class_name: str
    class_names: tuple[str, ...]
    probs: npt.NDArray[np.float64]
    window: Floats
    window_s: tuple[float, float]
    log_mel: Floats
    evidence: Floats
    score: float
    silence_score: float
    times: Slices
    bands: Slices

    @property
    def prob(self) -> float:
        """Probability of the class that is explained."""
        return float(self.probs[self.class_names.index(self.class_name)])

    @property
    def missing(self) -> float:
        """How much of the score the evidence does not account for, as a share: the error of the integral."""
        whole = self.score - self.silence_score
        return abs(float(self.evidence.sum()) - whole) / max(abs(whole), 1e-6)


def explain(
    classifier: Classifier,
    waveform: npt.NDArray[np.floating],
    class_name: str | None = None,
    *,
    method: Method = "integrated_gradients",
) -> Explanation:
    """Return where the evidence for a class lies in a sound.

    Parameters
    ----------
    classifier : Classifier
    waveform : ndarray, shape (T,)
        Mono, at ``classifier.info.features.sample_rate_hz``; of a longer one the window that the
        classifier would take is explained.
    class_name : str, optional
        The class that won by default.
    method : {'integrated_gradients', 'hires_cam'}
        How the evidence is measured. HiResCAM's adds up to nothing in particular.

    Raises
    ------
    NotFoundError
        If the classifier knows no such class.
    AudioError
        If the waveform is empty or not mono.
    """
    features = classifier.info.features
    window, start = fit_window(waveform, features)
    probs, log_mels = classifier.probabilities(window[None])
    name = classifier.class_names[int(probs[0].argmax())] if class_name is None else class_name
    target = class_index(classifier, name)
    log_mel = torch.from_numpy(log_mels).to(classifier.device)[:, None]
    floor = -features.top_db
    with frozen(classifier.model) as model:
        measure = _EVIDENCE.get(method)
        if measure is None:
            raise ConfigError(f"There is no method '{method}'.", f"Choose one of: {', '.join(_EVIDENCE)}.")
        odds_of = odds(classifier, name)
        evidence = measure(model, log_mel, target, floor, odds_of)
        ends = torch.cat([log_mel, torch.full_like(log_mel, floor)])
        score, silence = odds_of(model(ends), target).tolist()
        end = min(len(waveform), start + features.num_samples)
        # Beyond the end of a short sound lies only padding.
        num_frames = min(features.frames, 1 + -(-(end - start) // features.hop_length))
        times, bands = _occlude(model, log_mel, target, classifier, num_frames, odds_of)
    rate = features.sample_rate_hz
    return Explanation(
        class_name=name,
        class_names=classifier.class_names,
        probs=probs[0],
        window=window,
        window_s=(start / rate, end / rate),
        log_mel=log_mels[0],
        evidence=evidence.float().cpu().numpy(),
        score=score,
        silence_score=silence,
        times=times,
        bands=bands,
    )


def class_index(classifier: Classifier, class_name: str) -> int:
    """Return the place of a class in the logits; raise :class:`NotFoundError` if there is none."""
    if class_name not in classifier.class_names:
        raise NotFoundError(
            f"This checkpoint knows no class '{class_name}'.", f"Choose one of: {', '.join(classifier.class_names)}."
        )
    return classifier.class_names.index(class_name)


def log_odds(logits: Tensor, target: int) -> Tensor:
    """Return the log odds (B,) of one class against all others, from logits (B, C)."""
    others = torch.cat([logits[:, :target], logits[:, target + 1 :]], dim=1)
    return logits[:, target] - torch.logsumexp(others, dim=1)


def odds(classifier: Classifier, class_name: str) -> Odds:
    """Return what measures how much speaks for a class: above 0 the sound is called so.

    The log odds of the class against all others; where a checkpoint names several labels, those of the label
    against its absence, less those of the threshold from which on it is named.
    """
    if not classifier.info.several_labels:
        return log_odds
    share = classifier.info.thresholds[class_index(classifier, class_name)]
    at = math.log(share / (1.0 - share))
    return lambda logits, target: logits[:, target] - at


@contextmanager
def frozen(model: nn.Module) -> Iterator[nn.Module]:
    """Give the network for gradients towards its input: its weights collect none."""
    wanted = [parameter.requires_grad for parameter in model.parameters()]
    model.requires_grad_(False)
    try:
        with torch.enable_grad():
            yield model
    finally:
        for parameter, flag in zip(model.parameters(), wanted, strict=True):
            parameter.requires_grad_(flag)


def integrated_gradients(
    model: nn.Module, log_mel: Tensor, target: int, floor: float, odds_of: Odds = log_odds, steps: int = STEPS
) -> Tensor:
    """Return the share (n_mels, frames) of every cell in the log odds of a class.

    Parameters
    ----------
    model : nn.Module
        From log-mel (B, 1, n_mels, frames) to logits; in evaluation mode.
    log_mel : Tensor of float32, shape (1, 1, n_mels, frames)
        In dB.
    target : int
    floor : float
        Level of silence in dB, where the path starts.
    odds_of : callable
        From logits (B, C) and the target to log odds (B,); see :func:`odds`.
    steps : int
        Points on the path. They lie at the middles of equal parts, which integrates smooth curves to
        the second order.
    """
    change = log_mel - floor
    shares = (torch.arange(steps, device=log_mel.device, dtype=log_mel.dtype) + 0.5) / steps
    total = torch.zeros_like(log_mel)
    for part in torch.split(shares, _BATCH):
        points = (floor + part.view(-1, 1, 1, 1) * change).requires_grad_()
        (gradient,) = torch.autograd.grad(odds_of(model(points), target).sum(), points)
        total += gradient.sum(dim=0, keepdim=True)
    return (change * total / steps)[0, 0]


def hires_cam(model: nn.Module, log_mel: Tensor, target: int, floor: float, odds_of: Odds = log_odds) -> Tensor:
    """Return the HiResCAM map (n_mels, frames): last feature maps times their gradients, enlarged.

    Of an ensemble, the maps of all members are added.

    Parameters are those of :func:`integrated_gradients`; ``floor`` plays no part.

    Raises
    ------
    ConfigError
        If the network has no feature maps.
    """
    networks: list[nn.Module] = list(model.members) if isinstance(model, Ensemble) else [model]
    last: dict[int, Tensor] = {}

    def keep(place: int) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _inputs: object, output: object) -> None:
            if isinstance(output, Tensor) and output.ndim == 4:
                last[place] = output

        return hook

    handles = [
        module.register_forward_hook(keep(place))
        for place, network in enumerate(networks)
        for module in network.modules()
        if module is not network
    ]
    try:
        score = odds_of(model(log_mel.clone().requires_grad_()), target).sum()
    finally:
        for handle in handles:
            handle.remove()
    if not last:
        raise ConfigError("This network has no feature maps to look at.", "Use integrated gradients.")
    maps = list(last.values())
    gradients = torch.autograd.grad(score, maps)
    products = [(gradient * each).sum(dim=1, keepdim=True) for gradient, each in zip(gradients, maps, strict=True)]
    coarse = torch.stack(products).sum(dim=0).detach()
    return functional.interpolate(coarse, log_mel.shape[2:], mode="bilinear", align_corners=False)[0, 0]


_EVIDENCE = {"integrated_gradients": integrated_gradients, "hires_cam": hires_cam}


def _occlude(
    model: nn.Module, log_mel: Tensor, target: int, classifier: Classifier, num_frames: int, odds_of: Odds
) -> tuple[Slices, Slices]:
    """Return what silencing stretches of time and bands of frequencies does to the answer."""
    features = classifier.info.features
    num_mels = log_mel.shape[2]
    frames = _cuts(num_frames, NUM_SLICES)
    mels = _cuts(num_mels, NUM_BANDS)
    copies = log_mel.repeat(1 + len(frames) + len(mels), 1, 1, 1)
    floor = -features.top_db
    for row, (start, end) in enumerate(frames, start=1):
        copies[row, :, :, start:end] = floor
    for row, (start, end) in enumerate(mels, start=1 + len(frames)):
        copies[row, :, start:end] = floor
    with torch.no_grad():
        logits = torch.cat([model(part) for part in torch.split(copies, _BATCH)]).double()
    for_it = odds_of(logits, target)
    drop = (for_it[0] - for_it[1:]).float().cpu().numpy()
    several = classifier.info.several_labels
    shares = torch.sigmoid(logits) if several else torch.softmax(logits / classifier.info.temperature, dim=1)
    probs = shares[1:, target].cpu().numpy()
    frame_s = features.hop_length / features.sample_rate_hz
    cut = len(frames)
    times = Slices(np.array(frames) * frame_s, drop[:cut], probs[:cut])
    hz = band_edges_hz(classifier)
    bands = Slices(np.array([[hz[a], hz[b]] for a, b in mels]), drop[cut:], probs[cut:])
    return times, bands


def band_edges_hz(classifier: Classifier) -> npt.NDArray[np.float64]:
    """Return where the mel bands meet, in Hz, shape (n_mels + 1,): half way between their centres in mel."""
    from samplemind_core.audio.features import mel_frequencies

    features = classifier.info.features
    # Every second one of twice as many points lies between two centres.
    points = mel_frequencies(2 * features.n_mels + 3, features.fmin_hz, features.max_hz)
    return points[1::2]


def _cuts(length: int, parts: int) -> list[tuple[int, int]]:
    """Return start and end of at most ``parts`` runs of equal length (the last may be shorter)."""
    size = -(-length // min(parts, length))
    return [(start, min(start + size, length)) for start in range(0, length, size)]
