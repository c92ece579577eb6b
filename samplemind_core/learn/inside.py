"""What happens inside a network: its filters, the maps they draw of a sound, pooling and dropout."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from samplemind_core.config import FeatureConfig, RunConfig, apply_changes
from samplemind_core.learn.kits import LESSON, PER_CLASS, UNSEEN_KIT, demo_clips

if TYPE_CHECKING:
    from torch import Tensor, nn

    from samplemind_core.models import AudioClassifier
    from samplemind_core.store.records import Epoch

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Layer:
    """A stage of the network and what it makes of one sound: ``maps`` (channels, bands, frames)."""

    title: str
    maps: Floats


@dataclass(frozen=True, eq=False)
class Inside:
    """One sound inside a network.

    ``filters`` (channels, height, width) of the first convolution; ``layers`` from the picture that
    goes in to the last maps; ``embedding`` (D,), what is left after pooling; ``probs`` (C,).
    """

    filters: Floats
    layers: tuple[Layer, ...]
    embedding: Floats
    probs: Floats


def look_inside(model: AudioClassifier, log_mel: Floats) -> Inside:
    """Return what every stage of a network makes of one picture (n_mels, frames) in dB.

    ``model`` is copied first: others may be using it. Of an ensemble, the stages are those of its first member.
    """
    import torch

    from samplemind_core.models import member_of

    network = copy.deepcopy(model).eval().cpu()
    seen: dict[str, Floats] = {}
    for title, module in _stages(member_of(network)):
        module.register_forward_hook(_keep(seen, title))
    with torch.inference_mode():
        features = network.features(torch.from_numpy(log_mel)[None, None])
        probs = torch.softmax(network.head(features), dim=1)
    first = next(weight for weight in network.parameters() if weight.ndim == 4)
    layers = [Layer("The picture", log_mel[None]), *(Layer(title, maps) for title, maps in seen.items())]
    return Inside(
        filters=first.detach()[:, 0].contiguous().numpy(),
        layers=tuple(layers),
        embedding=features[0].numpy(),
        probs=probs[0].numpy(),
    )


def _stages(network: AudioClassifier) -> list[tuple[str, nn.Module]]:
    """Return the network's convolution stages in order: its stem, where it has one, and its blocks."""
    children = dict(network.named_children())
    found = [("Stem", children["stem"])] if "stem" in children else []
    blocks = children["blocks"].children() if "blocks" in children else ()
    found += [(f"Block {number}", block) for number, block in enumerate(blocks, start=1)]
    return found or [(name.capitalize(), child) for name, child in children.items() if name != "head"]


def _keep(seen: dict[str, Floats], title: str) -> Callable[[nn.Module, object, Tensor], None]:
    def hook(_module: nn.Module, _inputs: object, output: Tensor) -> None:
        if output.ndim == 4:  # what is pooled or flattened is no map any more
            seen[title] = output[0].float().contiguous().numpy()

    return hook


@dataclass(frozen=True)
class Change:
    """How much a stage changes when the sound comes later: 0 not at all, 1 as much as its own size."""

    title: str
    change: float


def changes_when_later(model: AudioClassifier, windows: Floats, features: FeatureConfig) -> list[Change]:
    """Return how much each stage changes from the first sound of ``windows`` (2, num_samples) to the second.

    The change is the distance of the two, divided by the size of the first, from the picture (its
    height above the floor) over the maps to the embedding.
    """
    import torch

    from samplemind_core.audio.features import LogMel

    before, after = (
        look_inside(model, picture) for picture in LogMel(features)(torch.from_numpy(windows))[:, 0].numpy()
    )
    found = []
    for a, b in zip(before.layers, after.layers, strict=True):
        floor = -features.top_db if a.title == "The picture" else 0.0
        found.append(Change(a.title, _relative(a.maps - floor, b.maps - floor)))
    return [*found, Change("After pooling", _relative(before.embedding, after.embedding))]


def _relative(before: Floats, after: Floats) -> float:
    return float(np.linalg.norm(after - before) / max(float(np.linalg.norm(before)), 1e-9))


def dropout_probs(model: AudioClassifier, log_mel: Floats, rate: float, times: int = 40, seed: int = 0) -> Floats:
    """Return the probabilities (times, C) of one picture (n_mels, frames), each time with other units dropped.

    Only dropout is switched to training; batch norms stay as they are. ``rate`` 0 gives the same
    answer every time.
    """
    import torch
    from torch import nn

    from samplemind_core.learn.practice import lesson_turn

    network = copy.deepcopy(model).eval().cpu()
    for module in network.modules():
        if isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = rate
            module.train()
    batch = torch.from_numpy(log_mel)[None, None].repeat(times, 1, 1, 1)
    with lesson_turn(), torch.inference_mode():
        torch.manual_seed(seed)
        probs: Floats = torch.softmax(network(batch), dim=1).numpy()
    return probs


@dataclass(frozen=True, eq=False)
class SmallNetwork:
    """A network that was trained for a lesson, its settings and how it went."""

    model: AudioClassifier
    config: RunConfig
    class_names: tuple[str, ...]
    history: tuple[Epoch, ...]

    def weights(self) -> Floats:
        """Return the weights of all convolutions and the head in one row; biases and norms are left out."""
        rows = [weight.detach().flatten().numpy() for weight in self.model.parameters() if weight.ndim > 1]
        return np.concatenate(rows)


SMALL: dict[str, object] = {
    "train.epochs": 8,
    "train.batch_size": 32,
    "train.lr": 4e-3,
    "train.schedule": "onecycle",
    "model.width": 0.5,
}
"""Settings of the small network."""


USUAL_DECAY = 1e-2


@lru_cache(maxsize=8)
def small_network(weight_decay: float = USUAL_DECAY) -> SmallNetwork:
    """Train a small network on made-up kits, within seconds; kept for the process."""
    import torch

    from samplemind_core.learn.practice import Practice
    from samplemind_core.training.training_data import TrainingData

    clips = demo_clips(PER_CLASS)
    unseen = clips.sources >= UNSEEN_KIT
    config = apply_changes(RunConfig(features=LESSON), SMALL | {"train.weight_decay": weight_decay})
    data = TrainingData(
        log_mel=clips.log_mel,
        targets=clips.targets,
        train_rows=np.flatnonzero(~unseen),
        val_rows=np.flatnonzero(unseen),
        class_names=clips.class_names,
        description={"name": "Made-up kits", "synthetic": True},
    )
    practice = Practice(config, data)
    while practice.advance():
        pass
    return SmallNetwork(
        practice.evaluated.eval().to(memory_format=torch.contiguous_format),  # type: ignore[call-overload]
        config,
        clips.class_names,
        tuple(practice.history),
    )
