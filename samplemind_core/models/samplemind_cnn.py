"""The default network: small, residual, strided early."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models.registry import AudioClassifier, channels, kaiming, mean_max_pool, register


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a pooled 1 x 1 shortcut (He et al. 2016, variant D of 2019)."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(num_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_out, num_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(stride, ceil_mode=True),
            nn.Conv2d(num_in, num_out, 1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, num_out, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.relu(self.body(maps) + self.shortcut(maps))
        return out


@register("samplemind_cnn")
class SampleMindCNN(AudioClassifier):
    """Residual network on (1, n_mels, frames): about 219,000 parameters at width 1 with six classes.

    The first convolution strides by 4 bands and 2 frames: neighbouring mel bands say nearly the
    same, and everything after it works on an eighth of the points.
    """

    title = "SampleMind CNN"
    summary = "Small residual network with early strides: fast to train and accurate."

    def __init__(self, config: ModelConfig, num_classes: int, features: FeatureConfig) -> None:
        super().__init__(features)
        widths = [channels(base, config.width) for base in (16, 32, 64, 96)]
        self.stem = nn.Sequential(
            nn.Conv2d(1, widths[0], 5, (4, 2), 2, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)
        )
        self.blocks = nn.Sequential(*(ResidualBlock(a, b, stride=2) for a, b in pairwise(widths)))
        self.dropout = nn.Dropout(config.dropout)
        self.apply(kaiming)
        self.head = nn.Linear(2 * widths[-1], num_classes)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, 192 x width)."""
        pooled: Tensor = self.dropout(mean_max_pool(self.blocks(self.stem(scaled))))
        return pooled
