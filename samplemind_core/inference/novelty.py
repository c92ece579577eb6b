"""None of these: how far a sound lies from everything in the library.

Three looks at a sound, none of which a confident logit can talk over:

* how far the network's layers lie from those of the nearest class (class means with one shared
  covariance: K. Lee et al., "A simple unified framework for detecting out-of-distribution samples
  and adversarial attacks", NeurIPS 2018), over the mean and maximum of every block, since early
  layers still know what a late one has learnt to ignore;
* how far its spectrum lies from its nearest training clips (Y. Sun et al., "Out-of-distribution
  detection with deep nearest neighbors", ICML 2022, here on level, spread and peak of each mel band);
* whether it looks more like noise, tones and silence than like the library: a logistic regression
  against sounds made by rule (after outlier exposure: D. Hendrycks et al., ICLR 2019).

The first two are added, the larger of that and the third counts. The threshold is where 95 % of
the validation clips are accepted. Energy, maximum logit, softmax, plain nearest neighbours of the
embedding and ViM were measured and found worse; ``benchmarks/confidence.py`` prints them.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

    from samplemind_core.models import AudioClassifier

Floats = NDArray[np.float64]
Array = NDArray[np.floating[Any]]

NEIGHBOURS = 5
SHRINKAGE = 0.1
"""Share of a round covariance mixed into the measured one, which has more directions than clips."""

MAX_SURE = 0.99
"""A probability stays within 0.005 of certainty: nothing here was measured any finer."""

_TINY = 1e-6


class Taps:
    """Listen to a network's blocks while it works: mean and maximum of each over time and frequency.

    Hooks stay for the network's life but keep something only inside :meth:`listening`, and for the
    thread that opened it: pages of several people share one network. Of an ensemble, the first member is
    listened to.
    """

    def __init__(self, model: AudioClassifier) -> None:
        self._local = threading.local()
        from samplemind_core.models import member_of

        network = member_of(model)
        stages: list[torch.nn.Module] = []
        for name in ("stem", "blocks"):
            stage = getattr(network, name, None)
            if stage is not None:
                stages += list(stage.children()) if name == "blocks" else [stage]
        for stage in stages:
            stage.register_forward_hook(self._hear)
        self.num_stages = len(stages)

    @contextmanager
    def listening(self) -> Iterator[list[torch.Tensor]]:
        """Yield a list that fills with one tensor (B, 2 x channels) per block as the network runs."""
        heard: list[torch.Tensor] = []
        self._local.heard = heard
        try:
            yield heard
        finally:
            self._local.heard = None

    def _hear(self, module: object, inputs: object, maps: torch.Tensor) -> None:
        import torch

        heard = getattr(self._local, "heard", None)
        if heard is not None and maps.ndim == 4:
            if len(heard) == self.num_stages:
                heard.clear()  # that was another view of the sound; the last is the sound as it is
            plain = maps.float()
            # The same maxima as amax, which takes several times as long over maps with their channels last.
            peaks = torch.nn.functional.adaptive_max_pool2d(plain, 1)[..., 0, 0]
            heard.append(torch.cat([plain.mean(dim=(2, 3)), peaks], dim=1))


@dataclass(frozen=True, eq=False)
class Looks:
    """What novelty is judged from; row ``i`` of every array is the same sound.

    ``layers`` (B, D) float64: each block's pooled maps scaled to length 1, side by side; ``spectra``
    (B, 3 x n_mels) float64 in dB: mean, spread and peak of each band.
    """

    layers: Floats
    spectra: Floats

    def __len__(self) -> int:
        return len(self.layers)

    def take(self, rows: NDArray[np.int64]) -> Looks:
        """Return some of the sounds."""
        return Looks(self.layers[rows], self.spectra[rows])


def look(heard: list[torch.Tensor], embedding: torch.Tensor, log_mel: torch.Tensor) -> Looks:
    """Return what novelty is judged from.

    Parameters
    ----------
    heard : list of Tensor (B, 2 x channels)
        From :class:`Taps`; a network without blocks gives none, and its embedding stands in.
    embedding : Tensor (B, E)
    log_mel : Tensor (B, 1, n_mels, frames)
    """
    import torch

    parts = [torch.nn.functional.normalize(part.double(), dim=1) for part in (heard or [embedding])]
    bands = log_mel[:, 0]
    means = bands.mean(dim=2, keepdim=True)
    spread = (bands - means).square_().mean(dim=2).sqrt_()  # a tenth of the time of torch.std, and as exact
    spectra = torch.cat([means[..., 0], spread, bands.amax(dim=2)], dim=1).double()
    return Looks(torch.cat(parts, dim=1).cpu().numpy(), spectra.cpu().numpy())


@dataclass(frozen=True, eq=False)
class Novelty:
    """What tells the library from the rest of the world, fitted once per checkpoint.

    Attributes
    ----------
    whitening : ndarray (D, D), centres : ndarray (C, D)
        The shared covariance as a square root of its inverse, and the class means in that space.
    spectra : ndarray (M, S), spectra_mean, spectra_std : ndarray (S,)
        Standardised spectra of training clips.
    made_weights : ndarray (D,), made_bias : float
        Logistic regression against sounds made by rule.
    scale : ndarray of float64, shape (8,)
        Means and deviations that bring the looks to one scale, the threshold and the slope.
    """

    whitening: Array
    centres: Array
    spectra: Array
    spectra_mean: Array
    spectra_std: Array
    made_weights: Array
    made_bias: float
    scale: Floats

    def score(self, looks: Looks) -> Floats:
        """Return how strange each sound is, shape (B,); 0 is the threshold."""
        m, s, km, ks, om, os, threshold, _ = self.scale
        far = (np.log(self._from_classes(looks.layers)) - m) / s + (np.log(self._from_clips(looks.spectra)) - km) / ks
        made = (looks.layers @ self.made_weights + self.made_bias - om) / os
        strange: Floats = np.maximum(far / np.sqrt(2.0), made) - threshold
        return strange

    def none(self, looks: Looks) -> Floats:
        """Return the probability of "none of these", shape (B,); one half at the threshold."""
        sure = 1.0 / (1.0 + np.exp(-self.scale[7] * np.clip(self.score(looks), -50.0, 50.0)))
        capped: Floats = 0.5 + (sure - 0.5) * MAX_SURE
        return capped

    @cached_property
    def _whitening(self) -> Floats:
        return np.array(self.whitening, np.float64)

    @cached_property
    def _centres(self) -> _Points:
        return _Points(self.centres)

    @cached_property
    def _clips(self) -> _Points:
        return _Points(self.spectra)

    def _from_classes(self, layers: Floats) -> Floats:
        distances = self._centres.squared_distances(product(layers, self._whitening))
        far: Floats = np.sqrt(np.maximum(distances.min(axis=1), 0.0)) + _TINY
        return far

    def _from_clips(self, spectra: Floats) -> Floats:
        placed = (spectra - self.spectra_mean) / self.spectra_std
        distances = self._clips.squared_distances(placed)
        place = min(NEIGHBOURS, distances.shape[1]) - 1
        far: Floats = np.sqrt(np.maximum(np.partition(distances, place, axis=1)[:, place], 0.0)) + _TINY
        return far


def fit_novelty(
    train: Looks,
    targets: NDArray[np.int64],
    validation: Looks,
    made: Looks,
    *,
    sure: Floats | None = None,
    accepted: float = 0.95,
    exposed: Looks | None = None,
) -> Novelty:
    """Fit on training clips, set the threshold on validation clips.

    Parameters
    ----------
    train : Looks
        Of training clips.
    targets : ndarray of int64
        Their classes.
    validation : Looks
        Of clips that the network has not trained on.
    made : Looks
        Of sounds made by rule, which the logistic regression learns to tell apart.
    sure : ndarray of float64, optional
        Largest class probability of each validation clip, the classes among themselves; 1 by
        default. "None of these" also wins over classes that share what is left of the probability,
        so the threshold allows for it.
    accepted : float
        Share of the validation clips for which "none of these" is not the answer.
    exposed : Looks, optional
        Further sounds that are not in the library; with ``made`` they set how fast probability
        rises beyond the threshold.
    """
    from sklearn.linear_model import LogisticRegression

    present = np.unique(targets)
    means = np.stack([train.layers[targets == place].mean(axis=0) for place in present])
    centred = train.layers - means[np.searchsorted(present, targets)]
    covariance = centred.T @ centred / len(centred)
    size = len(covariance)
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * np.trace(covariance) / size * np.eye(size)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance + _TINY * np.trace(covariance) / size * np.eye(size)))
    mean, std = train.spectra.mean(axis=0), train.spectra.std(axis=0) + 0.1

    learner = LogisticRegression(C=10.0, class_weight="balanced", max_iter=500)
    learner.fit(np.concatenate([train.layers, made.layers]), np.r_[np.zeros(len(train)), np.ones(len(made))])
    fitted = Novelty(
        whitening=whitening.astype(np.float32),
        centres=(means @ whitening).astype(np.float32),
        spectra=((train.spectra - mean) / std).astype(np.float16),
        spectra_mean=mean.astype(np.float32),
        spectra_std=std.astype(np.float32),
        made_weights=learner.coef_[0].astype(np.float32),
        made_bias=float(learner.intercept_[0]),
        scale=np.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0, 0.0, 1.0]),
    )
    classes, clips = np.log(fitted._from_classes(validation.layers)), np.log(fitted._from_clips(validation.spectra))
    rule = validation.layers @ fitted.made_weights + fitted.made_bias
    scale = [v for part in (classes, clips, rule) for v in (float(part.mean()), float(part.std()) + _TINY)]
    scaled = _with_scale(fitted, [*scale, 0.0, 1.0])
    known = scaled.score(validation)
    threshold = float(np.quantile(known, accepted))
    strangers = [scaled.score(looks) for looks in (made, exposed) if looks is not None and len(looks)]
    slope = _slope(known - threshold, np.concatenate(strangers) - threshold)
    if sure is not None:
        # none > (1 - none) x sure, where none is the logistic function of slope x (score - threshold)
        threshold = float(np.quantile(known - np.log(sure) / slope, accepted))
    return _with_scale(fitted, [*scale, threshold, slope])


def _with_scale(novelty: Novelty, scale: list[float]) -> Novelty:
    return replace(novelty, scale=np.array(scale))


def _slope(known: Floats, strange: Floats) -> float:
    """Return how steeply probability rises, by maximum likelihood with both sides weighing the same."""
    slopes = np.geomspace(0.5, 20.0, 60)
    loss = [np.logaddexp(0, k * known).mean() + np.logaddexp(0, -k * strange).mean() for k in slopes]
    return float(slopes[int(np.argmin(loss))])


class _Points:
    """Points (M, D) that the distance of many others is asked from: widened and squared once."""

    def __init__(self, points: Array) -> None:
        self._points = np.array(points, np.float64)
        self._squares = np.square(self._points).sum(axis=1)

    def squared_distances(self, others: Array) -> Floats:
        """Return squared distances (B, M) from ``others`` (B, D)."""
        distances: Floats = (
            np.square(others).sum(axis=1)[:, None] + self._squares - 2.0 * product(others, self._points.T)
        )
        return distances


def product(a: Array, b: Array) -> Array:
    """Return the matrix product of two arrays of one type, with torch's threads.

    NumPy's own keep a core busy waiting for the next product, which files to be decoded need.
    """
    import torch

    return torch.matmul(torch.from_numpy(a), torch.from_numpy(b)).numpy()
