"""A residual network that learns where to look: gated attention over time and frequency."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models.registry import AudioClassifier, channels, kaiming, register
from samplemind_core.models.samplemind_cnn import residual_stages, stem

NUM_HEADS = 4


class GatedAttentionPool(nn.Module):
    """Pool feature maps by weights that they give themselves, one set per head.

    Each head has its own share of the channels and its own weights, which add up to 1 over all points
    of time and frequency. The gate lets a head be silent about points that look alike otherwise.

    Parameters
    ----------
    num_channels : int
        A multiple of ``num_heads``.
    num_heads : int

    References
    ----------
    M. Ilse, J. M. Tomczak, M. Welling (2018), "Attention-based deep multiple instance learning", ICML,
    arXiv:1802.04712; over time and frequency after Y. Gong, Y.-A. Chung, J. Glass (2021), "PSLA",
    arXiv:2102.01243.
    """

    def __init__(self, num_channels: int, num_heads: int) -> None:
        super().__init__()
        hidden = max(16, num_channels // 2)
        self.num_heads = num_heads
        self.content = nn.Conv2d(num_channels, hidden, 1)
        self.gate = nn.Conv2d(num_channels, hidden, 1)
        self.score = nn.Conv2d(hidden, num_heads, 1, bias=False)  # softmax would not see a bias
        nn.init.zeros_(self.score.weight)  # attention starts as the mean

    def weights(self, maps: Tensor) -> Tensor:
        """Return (B, num_heads, H, W), each head's adding up to 1."""
        scores = self.score(torch.tanh(self.content(maps)) * torch.sigmoid(self.gate(maps))).float()
        return torch.softmax(scores.flatten(2), dim=2).view_as(scores)

    def forward(self, maps: Tensor) -> Tensor:
        """Return (B, C) of feature maps (B, C, H, W)."""
        batch, num_channels, height, width = maps.shape
        weights = self.weights(maps).reshape(batch, self.num_heads, 1, height * width)
        parts = maps.float().reshape(batch, self.num_heads, num_channels // self.num_heads, height * width)
        return (parts * weights).sum(dim=3).flatten(1)


@register("samplemind_attention")
class SampleMindAttention(AudioClassifier):
    """Residual stages, then gated attention beside the maximum: about 229,000 parameters with six classes.

    A second input channel tells each point its place on the mel axis (K. Koutini et al. 2019,
    arXiv:1909.02859): pooling over frequency would otherwise forget whether a sound was low or high.
    """

    title = "SampleMind attention"
    summary = "Residual network that learns which moments and bands decide: for sounds hidden in longer clips."

    def __init__(self, config: ModelConfig, num_classes: int, features: FeatureConfig) -> None:
        super().__init__(features)
        widths = [channels(base, config.width) for base in (16, 32, 64, 96)]
        self.stem = stem(2, widths[0])
        self.blocks = residual_stages(widths, (1, 1, 1))
        self.pool = GatedAttentionPool(widths[-1], NUM_HEADS)
        self.dropout = nn.Dropout(config.dropout)
        self.apply(kaiming)
        self.head = nn.Linear(2 * widths[-1], num_classes)

    def embed(self, scaled: Tensor) -> Tensor:
        """Return embeddings (B, 192 x width): attended mean, and maximum over time and frequency."""
        maps = self.blocks(self.stem(_with_place(scaled)))
        pooled = torch.cat([self.pool(maps), maps.float().amax(dim=(2, 3))], dim=1)
        dropped: Tensor = self.dropout(pooled)
        return dropped


def _with_place(scaled: Tensor) -> Tensor:
    """Return (B, 2, n_mels, frames): the spectrogram, and each point's place between -1 (lowest band) and 1."""
    place = torch.linspace(-1, 1, scaled.shape[2], device=scaled.device, dtype=scaled.dtype)
    return torch.cat([scaled, place.view(1, 1, -1, 1).expand_as(scaled)], dim=1)
