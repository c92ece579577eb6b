"""A classifier whose reasons are known: it compares the level of two regions of the spectrogram."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, build_config
from samplemind_core.inference.classifier import Classifier
from samplemind_core.models.registry import AudioClassifier
from samplemind_core.settings import Limits
from samplemind_core.training.checkpoints import CheckpointInfo

LOW_HZ, HIGH_HZ = 300.0, 3_000.0
EARLY = slice(0, 6)  # frames that the network looks at


class Planted(AudioClassifier):
    """Class ``low`` where the first frames are loud about LOW_HZ, ``high`` where they are about HIGH_HZ."""

    title = summary = "A test"

    def __init__(self, features: FeatureConfig, bands: dict[str, slice]) -> None:
        super().__init__(features)
        self.bands = bands
        self.relu = nn.ReLU()
        self.head = nn.Linear(2, 2, bias=False)
        nn.init.eye_(self.head.weight)

    def embed(self, scaled: Tensor) -> Tensor:
        level = self.relu(scaled + 1.0)  # 0 at the floor, 2 at the maximum
        means = [level[:, 0, self.bands[name], EARLY].mean(dim=(1, 2)) for name in ("low", "high")]
        return 6.0 * torch.stack(means, dim=1)


def planted() -> tuple[Classifier, dict[str, slice]]:
    from samplemind_core.charts.signals import mel_band_centres_hz

    config = build_config("quick", {"duration_s": 0.5, "n_mels": 64, "n_fft": 1024, "hop_length": 256})
    centres = mel_band_centres_hz(config.features)
    bands = {}
    for name, hz in (("low", LOW_HZ), ("high", HIGH_HZ)):
        middle = int(np.abs(centres - hz).argmin())
        bands[name] = slice(middle - 2, middle + 3)
    model = Planted(config.features, bands).eval()
    info = CheckpointInfo(
        class_names=("high", "low")[::-1], config=config, epoch=1, metrics={}, dataset={}, num_parameters=4
    )
    return Classifier(model, info, torch.device("cpu"), Limits()), bands


def tones(low: float = 0.5, high: float = 0.1, seconds: float = 0.4, rate_hz: int = 22_050) -> np.ndarray:
    """A tone at LOW_HZ and one at HIGH_HZ, with a steady one between that means nothing."""
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    parts = ((low, LOW_HZ), (high, HIGH_HZ), (0.3, 1_000.0))
    return sum(size * np.sin(2 * np.pi * hz * t) for size, hz in parts).astype(np.float32)
