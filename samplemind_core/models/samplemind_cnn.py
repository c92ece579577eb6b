"""The default family: residual networks that stride early, in three sizes."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models.registry import AudioClassifier, channels, kaiming, mean_max_pool, register


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (He et al. 2016), which is pooled and 1 x 1 where the shape changes."""

    def __init__(self, num_in: int, num_out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(num_in, num_out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(num_out),
            nn.ReLU(inplace=True),
            nn.Conv2d(num_out, num_out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(num_out),
        )
        self.shortcut = (
            nn.Identity()
            if stride == 1 and num_in == num_out
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(num_in, num_out, 1, bias=False),
                nn.BatchNorm2d(num_out),
            )
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, num_out, ceil(H / stride), ceil(W / stride))."""
        out: Tensor = self.relu(self.body(maps) + self.shortcut(maps))
        return out


def stem(num_in: int, num_out: int) -> nn.Sequential:
    """Return the first convolution, which strides by 4 bands and 2 frames.

    Neighbouring mel bands say nearly the same, and everything after it works on an eighth of the points.
    """
    return nn.Sequential(
        nn.Conv2d(num_in, num_out, 5, (4, 2), 2, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)
    )


def residual_stages(widths: list[int], depths: tuple[int, ...]) -> nn.Sequential:
    """Return stages of residual blocks, each halving both axes; ``widths`` has one more entry, that of the stem."""
    blocks = []
    for (num_in, num_out), depth in zip(pairwise(widths), depths, strict=True):
        blocks += [ResidualBlock(num_in if number == 0 else num_out, num_out, 2 if number == 0 else 1)
                   for number in range(depth)]  # fmt: skip
    return nn.Sequential(*blocks)


@register("samplemind_cnn")
class SampleMindCNN(AudioClassifier):
    """Residual network on (1, n_mels, frames): about 219,000 parameters at width 1 with six classes."""

    title = "SampleMind M"
    summary = "Small residual network with early strides: fast to train and accurate."
    widths: ClassVar[tuple[int, ...]] = (16, 32, 64, 96)
    depths: ClassVar[tuple[int, ...]] = (1, 1, 1)

    def __init__(self, config: ModelConfig, num_classes: int, features: FeatureConfig) -> None:
        super().__init__(features)
        widths = [channels(base, config.width) for base in self.widths]
        self.stem = stem(1, widths[0])
        self.blocks = residual_stages(widths, self.depths)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(kaiming)
        self.head = nn.Linear(2 * widths[-1], num_classes)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, 2 x the last stage's channels): mean and maximum over time."""
        pooled: Tensor = self.dropout(mean_max_pool(self.blocks(self.stem(scaled))))
        return pooled


@register("samplemind_s")
class SampleMindS(SampleMindCNN):
    """Half the channels: about 66,000 parameters at width 1 with six classes."""

    title = "SampleMind S"
    summary = "A third of the weights of SampleMind M: the quickest to train, for few classes or slow machines."
    widths = (8, 16, 32, 56)


@register("samplemind_l")
class SampleMindL(SampleMindCNN):
    """Wider, and two blocks in each later stage: about 1.2 million parameters at width 1 with six classes."""

    title = "SampleMind L"
    summary = "Five times the weights of SampleMind M: for many classes and thousands of sounds."
    widths = (24, 48, 96, 160)
    depths = (1, 2, 2)
