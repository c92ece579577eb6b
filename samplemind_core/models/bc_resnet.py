"""A very small network after BC-ResNet: two-dimensional features, most of the work done in one dimension.

B. Kim, S. Chang, J. Lee, D. Sung (2021), "Broadcasted residual learning for efficient keyword
spotting", Interspeech, arXiv:2106.04140. Its stem also strides over time here, since one-shots come
with twice the frames of a keyword.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models.registry import AudioClassifier, channels, kaiming, register

DROPOUT = 0.1


class SubSpectralNorm(nn.Module):
    """Batch norm with statistics of its own for each of several frequency bands (Chang et al. 2021, arXiv:2103.13620).

    Parameters
    ----------
    num_channels : int
    num_bands : int
        Must divide the height of the maps.
    """

    def __init__(self, num_channels: int, num_bands: int) -> None:
        super().__init__()
        self.num_bands = num_bands
        self.norm = nn.BatchNorm2d(num_channels * num_bands)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, C, H, W), normalised."""
        batch, num_channels, height, width = maps.shape
        bands = maps.reshape(batch, num_channels * self.num_bands, height // self.num_bands, width)
        normal: Tensor = self.norm(bands).reshape(batch, num_channels, height, width)
        return normal


class BroadcastBlock(nn.Module):
    """Frequency is looked at in two dimensions; time in one, after averaging over frequency, and added to every band.

    Parameters
    ----------
    num_in, num_out : int
        Where they differ or ``stride`` is 2, a 1 x 1 convolution comes first and there is no shortcut.
    height : int
        Of the maps that come in.
    stride : int
        Over frequency.
    dilation : int
        Over time.
    """

    def __init__(self, num_in: int, num_out: int, height: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.shortcut = num_in == num_out and stride == 1
        self.widen = (
            nn.Identity()
            if self.shortcut
            else nn.Sequential(
                nn.Conv2d(num_in, num_out, 1, bias=False), nn.BatchNorm2d(num_out), nn.ReLU(inplace=True)
            )
        )
        self.frequency = nn.Sequential(
            nn.Conv2d(num_out, num_out, (3, 1), (stride, 1), (1, 0), groups=num_out, bias=False),
            SubSpectralNorm(num_out, sub_bands(-(-height // stride))),
        )
        self.time = nn.Sequential(
            nn.Conv2d(
                num_out, num_out, (1, 3), padding=(0, dilation), dilation=(1, dilation), groups=num_out, bias=False
            ),
            nn.BatchNorm2d(num_out),
            nn.SiLU(inplace=True),
            nn.Conv2d(num_out, num_out, 1, bias=False),
            nn.Dropout2d(DROPOUT),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, num_out, ceil(H / stride), W)."""
        two = self.frequency(self.widen(maps))
        one = self.time(two.mean(dim=2, keepdim=True))
        out = two + one + maps if self.shortcut else two + one
        return torch.relu(out)


@register("bc_resnet")
class BCResNet(AudioClassifier):
    """Four stages of broadcast blocks: about 26,000 parameters at width 1 with six classes."""

    title = "BC-ResNet"
    summary = "The smallest, of depthwise convolutions; slower to train than its size suggests."
    stages: ClassVar[tuple[tuple[int, int, int], ...]] = ((16, 2, 1), (24, 2, 2), (32, 4, 2), (40, 4, 1))
    """Channels, blocks and stride over frequency of each stage; the dilation over time doubles from stage to stage."""

    def __init__(self, config: ModelConfig, num_classes: int, features: FeatureConfig) -> None:
        super().__init__(features)
        width = channels(32, config.width)
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 5, (4, 2), 2, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
        )
        height = -(-features.n_mels // 4)
        blocks: list[nn.Module] = []
        for number, (base, repeats, stage_stride) in enumerate(self.stages):
            num_out = channels(base, config.width)
            for repeat in range(repeats):
                stride = stage_stride if repeat == 0 else 1
                blocks.append(BroadcastBlock(width, num_out, height, stride, 2**number))
                width, height = num_out, -(-height // stride)
        self.blocks = nn.Sequential(*blocks)
        wide = channels(64, config.width)
        self.last = nn.Sequential(nn.Conv2d(width, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU(inplace=True))
        self.dropout = nn.Dropout(config.dropout)
        self.apply(kaiming)
        self.head = nn.Linear(2 * wide, num_classes)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, 128 x width): mean and maximum over time and frequency."""
        maps = self.last(self.blocks(self.stem(scaled))).float().flatten(2)
        pooled: Tensor = self.dropout(torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1))
        return pooled


def sub_bands(height: int) -> int:
    """Return into how many equal bands maps of a height are divided: the largest of 5, 4, 3, 2, 1 that fits."""
    return next(number for number in (5, 4, 3, 2, 1) if height % number == 0)
