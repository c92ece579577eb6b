"""Checkpoints that stand alone: safetensors weights with everything needed to use them as JSON.

Nothing is ever unpickled. A checkpoint holds ``model.*`` tensors, the weights that were evaluated;
``last`` adds ``raw.*`` (weights in training, where a moving average is evaluated) and
``optimizer.*``, with counters in the metadata, so that a resumed run equals one that never stopped.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator, model_validator

from samplemind_core.config import FeatureConfig, RunConfig, validation_faults
from samplemind_core.errors import CheckpointError
from samplemind_core.files import write_atomic

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from samplemind_core.models import AudioClassifier

FORMAT_VERSION = 3  # 2: calibrated_on and operating_point; 3: several_labels and label_thresholds
KEY = "samplemind"
UNCHOSEN = 0.5
"""Probability from which on a label is named where no threshold was chosen for it."""

_LIBRARIES = ("torch", "numpy", "safetensors", "soundfile", "soxr")


class CheckpointInfo(BaseModel):
    """What a checkpoint says of itself.

    ``metrics`` are those of ``epoch`` on the validation split; ``temperature`` divides the logits
    (1 until calibrated) and ``calibrated_on`` says on what it was fitted (dataset, split, num_clips);
    ``operating_point`` is how sure an answer must be to be given, where somebody chose that
    (``refuse_below`` and what it was chosen by). ``several_labels`` says that each class is answered by
    itself, through a sigmoid; a label is then named from its ``label_thresholds`` on, in the order of the
    classes (0.5 until chosen), and ``thresholds_from`` says what these were chosen on. ``state`` is what
    resuming needs and empty except in ``last``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    class_names: tuple[str, ...]
    config: RunConfig
    epoch: Annotated[int, Field(ge=0, lt=2**31)]
    metrics: dict[str, FiniteFloat]
    dataset: dict[str, Any]
    num_parameters: Annotated[int, Field(ge=0, lt=2**63)]
    temperature: float = Field(1.0, gt=0, allow_inf_nan=False)
    calibrated_on: dict[str, Any] = {}
    operating_point: dict[str, Any] = {}
    several_labels: bool = False
    label_thresholds: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = ()
    thresholds_from: dict[str, Any] = {}
    versions: dict[str, str] = {}
    state: dict[str, Any] = {}

    @field_validator("class_names")
    @classmethod
    def _at_least_two(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(names) < 2 or len(set(names)) != len(names):
            raise ValueError("expected at least two different class names")
        return names

    @field_validator("operating_point")
    @classmethod
    def _threshold_is_a_share(cls, point: dict[str, Any]) -> dict[str, Any]:
        threshold = point.get("refuse_below", 0.0)
        if isinstance(threshold, bool) or not isinstance(threshold, int | float) or not 0 <= threshold <= 1:
            raise ValueError("expected refuse_below between 0 and 1")
        return point

    @model_validator(mode="after")
    def _a_threshold_per_class(self) -> Self:
        if self.label_thresholds and len(self.label_thresholds) != len(self.class_names):
            raise ValueError("expected one label threshold per class")
        return self

    @property
    def thresholds(self) -> tuple[float, ...]:
        """From which probability on each label is named; empty where a clip has one label."""
        return (self.label_thresholds or (UNCHOSEN,) * len(self.class_names)) if self.several_labels else ()

    @property
    def refuse_below(self) -> float | None:
        """The calibrated confidence below which no answer is given; None where nobody chose one."""
        return self.operating_point.get("refuse_below")

    @property
    def features(self) -> FeatureConfig:
        """The front end that the network was trained with."""
        return self.config.features


def library_versions() -> dict[str, str]:
    """Return the versions of what shapes a checkpoint's numbers."""
    versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
    return versions | {"python": platform.python_version()}


def save_checkpoint(path: Path, tensors: Mapping[str, Tensor], info: CheckpointInfo) -> int:
    """Write a checkpoint whole or not at all; return its size in bytes.

    Raises
    ------
    StorageError
        If it cannot be written; a checkpoint already there stays.
    """
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(plain, metadata={KEY: info.model_dump_json()})
    write_atomic(path, content)
    return len(content)


def read_info(path: Path) -> CheckpointInfo:
    """Return what a checkpoint says of itself, without loading its weights or torch.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, not ours or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    advice = "Choose a .safetensors checkpoint that SampleMind wrote, or train again."
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError:
        raise CheckpointError(f"There is no checkpoint '{path.name}'.", advice) from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"'{path.name}' is not a readable checkpoint: {error}.", advice) from error
    if KEY not in metadata:
        raise CheckpointError(f"'{path.name}' holds weights but not SampleMind's description of them.", advice)
    try:
        content = json.loads(metadata[KEY])
        version = content.get("format_version", 0)
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise CheckpointError(
                f"'{path.name}' has checkpoint format {version}, this version reads up to {FORMAT_VERSION}.",
                "Use the newer SampleMind that wrote it.",
            )
        return CheckpointInfo.model_validate(content)
    except ValidationError as error:
        faults = "; ".join(validation_faults(error))
        raise CheckpointError(f"'{path.name}' describes itself wrongly: {faults}.", advice) from error
    except (ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"'{path.name}' describes itself wrongly: {error}.", advice) from error


def rewrite_info(path: Path, info: CheckpointInfo) -> int:
    """Replace what a checkpoint says of itself, leaving its tensors byte for byte; return its size in bytes.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged, not a checkpoint, or the one that the package brings along.
    StorageError
        If it cannot be written; the checkpoint stays as it was.
    """
    require_own(path)
    read_info(path)  # refuses what is not ours
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    header["__metadata__"] |= {KEY: info.model_dump_json()}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)  # tensors begin on a multiple of eight bytes
    whole = len(text).to_bytes(8, "little") + text + content[8 + length :]
    write_atomic(path, whole)
    return len(whole)


def require_own(path: Path) -> None:
    """Raise :class:`CheckpointError` for the checkpoint that the package brings along, which nobody adjusts."""
    if Path(__file__).resolve().parents[1] in path.resolve().parents:
        raise CheckpointError(
            f"'{path.name}' came with SampleMind and stays as it is.", "Train a network of your own to adjust it."
        )


def load_tensors(path: Path, prefix: str, device: str | torch.device = "cpu") -> dict[str, Tensor]:
    """Return the tensors under a prefix, without it."""
    from safetensors import safe_open

    with safe_open(path, framework="pt", device=str(device)) as file:
        return {name.removeprefix(prefix): file.get_tensor(name) for name in file.keys() if name.startswith(prefix)}  # noqa: SIM118


def load_model(path: Path, device: str | torch.device = "cpu") -> tuple[AudioClassifier, CheckpointInfo]:
    """Return the network of a checkpoint in evaluation mode, and what the checkpoint says of itself.

    Raises
    ------
    CheckpointError
        If the file is not usable, its weights do not fit its own description, or are not all numbers.
    """
    import torch

    from samplemind_core.models import build_model

    info = read_info(path)
    with torch.device("meta"):
        # What a file says of its network may be untrue: memory is taken for the weights that it holds only.
        sketch = build_model(info.config.model, len(info.class_names), info.features)
    if misfits := _misfits(path, sketch):
        more = f" and {len(misfits) - 3} more" if len(misfits) > 3 else ""
        raise CheckpointError(
            f"The weights in '{path.name}' do not fit its network '{info.config.model.name}': "
            f"{', '.join(misfits[:3])}{more}.",
            "The file is damaged or was edited; train again or take another checkpoint.",
        )
    weights = load_tensors(path, "model.")
    if not all(bool(torch.isfinite(tensor.float()).all()) for tensor in weights.values()):
        raise CheckpointError(
            f"The weights in '{path.name}' are not all numbers: the network diverged, or the file is damaged.",
            "Take an earlier checkpoint, or train again with a smaller learning rate.",
        )
    model = build_model(info.config.model, len(info.class_names), info.features)
    model.set_views(info.config.train.tta_views)
    model.load_state_dict(weights)
    return model.to(device).eval(), info


def _misfits(path: Path, model: AudioClassifier) -> list[str]:
    """Return in words which weights of a file are not those of a network."""
    from safetensors import safe_open

    wanted = {f"model.{name}": list(tensor.shape) for name, tensor in model.state_dict().items()}
    with safe_open(path, framework="pt") as file:
        names = [name for name in file.keys() if name.startswith("model.")]  # noqa: SIM118
        found = {name: file.get_slice(name).get_shape() for name in names}
    faults = [f"{name} is missing" for name in wanted.keys() - found.keys()]
    faults += [f"{name} is unknown" for name in found.keys() - wanted.keys()]
    faults += [
        f"{name} has shape {found[name]}, not {shape}"
        for name, shape in wanted.items()
        if found.get(name, shape) != shape
    ]
    return sorted(faults)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return an optimizer's state as named tensors and JSON values."""
    import torch

    tensors: dict[str, Tensor] = {}
    values: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor):
                tensors[f"optimizer.{index}.{name}"] = value
            else:
                values[f"{index}.{name}"] = value
    return tensors, values


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], values: Mapping[str, Any]
) -> None:
    """Undo :func:`optimizer_tensors`; ``tensors`` come without their ``optimizer.`` prefix."""
    state: dict[int, dict[str, Any]] = {}
    for key, value in {**tensors, **values}.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    # Fused optimizers walk weights and their moments by memory, so both need the same layout.
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if hasattr(value, "shape") and value.shape == parameter.shape:
                moments[name] = parameter.detach().clone().copy_(value)
