"""What a network knows before its first step: nothing, or what the starter model learnt on synthesised drums."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import torch
from torch import Tensor

from samplemind_core.config import ModelConfig, RunConfig
from samplemind_core.data.names import Namer
from samplemind_core.errors import CheckpointError, ConfigError
from samplemind_core.models import AudioClassifier
from samplemind_core.models.ensemble import Ensemble
from samplemind_core.training.checkpoints import CheckpointInfo, load_tensors, read_info

STARTER = "samplemind_core.starter"
"""The module that knows the starter's file; by name, as it stands above this room."""

GRAIN = ("sample_rate_hz", "n_fft", "hop_length", "n_mels", "fmin_hz", "max_hz", "top_db")
"""What a pixel of the spectrogram means. The window's length and place may differ: the networks pool over time."""


def give_first_weights(
    model: AudioClassifier, config: RunConfig, class_names: Sequence[str], *, synthetic: bool = False
) -> str:
    """Give a fresh network what the starter learnt, where its settings ask for that.

    Everything below the head is taken over, and the head's rows of classes that mean the same by their
    names ("BD" is a kick: :data:`~samplemind_core.data.names.DEFAULT_RULES`); rows of other classes stay
    random. Every member of an ensemble gets the same.

    Parameters
    ----------
    model : AudioClassifier
        As :func:`~samplemind_core.models.build_model` made it from ``config.model``; changed in place.
    config : RunConfig
        ``config.model.init`` decides.
    class_names : sequence of str
        The classes of the head's rows, in order.
    synthetic : bool
        Whether the sounds are made by rule, as the starter's were: ``auto`` starts at random then, and also
        where less than half of the classes are drums by their names. On speech, filters that were made for
        drums cost a point of accuracy.

    Returns
    -------
    str
        What was done, as a sentence; empty where the network starts at random because that was asked for.

    Raises
    ------
    ConfigError
        If the starter was asked for by name and does not fit, or this copy of the package has none.
    """
    if config.model.init == "random":
        return ""
    if config.model.init == "auto" and synthetic:
        return "Started at random: the starter model has learnt from sounds that were made by the same rules as these."
    namer = Namer()
    meant = {name: namer.label(name)[0] for name in class_names}
    if config.model.init == "auto" and 2 * sum(map(bool, meant.values())) < len(meant):
        return "Started at random: by their names, most of these classes are no drums, which the starter model knows."
    try:
        path = importlib.import_module(STARTER).STARTER_FILE
        info = read_info(path)
        misfit = difference(config, info)
    except CheckpointError as error:
        misfit = f"this copy of SampleMind has no usable starter model ({error.problem.rstrip('.')})"
    if misfit:
        if config.model.init == "starter":
            raise ConfigError(
                f"The network cannot start from the starter model: {misfit}.", "Change that, or set init to 'random'."
            )
        return f"Started at random: {misfit}."
    known = _take_over(model, config.model, load_tensors(path, "model."), info, meant)
    shared = f" and its answers for {', '.join(known)}" if known else ""
    return f"Started from the starter model, trained on synthesised drums only: its filters{shared}."


def difference(config: RunConfig, info: CheckpointInfo) -> str:
    """Return in words why a checkpoint's weights are of no use for a network; empty where they fit."""
    theirs, ours = info.config.model, config.model
    if (ours.name, ours.width) != (theirs.name, theirs.width):
        return f"it is a {theirs.name} of width {theirs.width:g}, this is a {ours.name} of width {ours.width:g}"
    for name in GRAIN:
        wanted, found = getattr(config.features, name), getattr(info.features, name)
        if wanted != found:
            return f"it heard spectrograms with {name} {found:g}, these have {wanted:g}"
    return ""


@torch.no_grad()
def _take_over(
    model: AudioClassifier,
    config: ModelConfig,
    weights: dict[str, Tensor],
    info: CheckpointInfo,
    meant: dict[str, str],
) -> list[str]:
    """Copy the weights; return the names of the classes whose answers came along.

    ``meant`` says of each class, in order, which sound its name stands for.
    """
    body = {name: value for name, value in weights.items() if not name.startswith("head.")}
    members = list(model.members) if isinstance(model, Ensemble) else [model]
    for member in members:
        lacking, unknown = member.load_state_dict(body, strict=False)
        if unknown or any(not name.startswith("head.") for name in lacking):
            raise ConfigError(
                f"The starter model does not fit the network '{config.name}': {', '.join([*lacking, *unknown][:3])}.",
                "Set init to 'random'.",
            )
    rows = {name: row for row, name in enumerate(info.class_names)}
    known = []
    for ours, (name, sound) in enumerate(meant.items()):
        row = rows.get(name, rows.get(sound))
        if row is not None:
            known.append(name)
            model.head.weight[ours] = weights["head.weight"][row].repeat(len(members))
            model.head.bias[ours] = weights["head.bias"][row]
    return known
