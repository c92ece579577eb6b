"""What a checkpoint's confidence is worth: measured once, kept beside it as ``NAME.trust.safetensors``.

The file holds the prediction sets' thresholds, what tells the library from everything else, and the
training clips that serve as evidence. It belongs to one set of weights and one temperature; when
either changes it counts as missing and is made anew. Nothing in it is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.errors import CheckpointError, DataError, NotFoundError
from samplemind_core.evaluation.metrics import softmax
from samplemind_core.files import write_atomic
from samplemind_core.inference.conformal import ConformalSets, fit_sets
from samplemind_core.inference.novelty import Looks, Novelty, Taps, fit_novelty, look
from samplemind_core.training.temperature import MIN_CLIPS, fit_temperature

if TYPE_CHECKING:
    import torch

    from samplemind_core.data.dataset import ClipData
    from samplemind_core.models import AudioClassifier
    from samplemind_core.settings import Settings
    from samplemind_core.store import Checkpoint, Run, Store
    from samplemind_core.training.checkpoints import CheckpointInfo

Progress = Callable[[int, int | None, str], None]

VERSION = 1
KEY = "samplemind_trust"
COVERAGE = 0.9
ACCEPTED = 0.95
MAX_REFERENCE = 4_000
"""Training clips that are looked at; more would make every answer slower and hardly better."""

NUM_MADE, NUM_ALTERED = 480, 400
BATCH = 128
_ARRAYS = ("whitening", "centres", "spectra", "spectra_mean", "spectra_std", "made_weights", "scale")


@dataclass(frozen=True, eq=False)
class Trust:
    """What turns logits into confidence that includes "none of these", with sets and evidence.

    Attributes
    ----------
    digest : str
        Of the weights that this belongs to.
    temperature : float
        That the logits are divided by.
    sets : ConformalSets
    novelty : Novelty
    references : ndarray of float16, shape (M, E)
        Embeddings of training clips, of length 1.
    clip_ids, targets : ndarray of int64, shape (M,)
        Which clips these are, and their classes.
    measured : mapping
        On the test split, which nothing here was fitted on: ``num_clips``, ``coverage``,
        ``mean_set_size``, ``accepted``; and ``num_calibration``, the validation clips fitted on.
    """

    digest: str
    temperature: float
    sets: ConformalSets
    novelty: Novelty
    references: NDArray[np.float16]
    clip_ids: NDArray[np.int64]
    targets: NDArray[np.int64]
    measured: Mapping[str, Any] = field(default_factory=dict)

    def fits(self, digest: str, info: CheckpointInfo) -> bool:
        """Return whether this was made for these weights and this temperature."""
        calibrated = bool(info.calibrated_on) or info.temperature != 1.0
        same_temperature = not calibrated or abs(info.temperature - self.temperature) < 1e-9
        return digest == self.digest and same_temperature and len(self.sets.thresholds) == len(info.class_names)


@dataclass(frozen=True, eq=False)
class Seen:
    """What one pass through a network gives: ``logits`` (B, C), ``embeddings`` (B, E), ``looks``."""

    logits: NDArray[np.float64]
    embeddings: NDArray[np.float64]
    looks: Looks


def see(model: AudioClassifier, taps: Taps, log_mel: torch.Tensor, layout: torch.memory_format | None = None) -> Seen:
    """Run a network on spectrograms (B, 1, n_mels, frames) in dB and keep all that trust is judged from."""
    import torch

    with torch.inference_mode(), taps.listening() as heard:
        batch = log_mel if layout is None else log_mel.contiguous(memory_format=layout)
        embeddings = model.features(batch)
        logits = model.head(embeddings)
        looks = look(heard, embeddings, log_mel)
    return Seen(logits.double().cpu().numpy(), embeddings.double().cpu().numpy(), looks)


def trust_file(checkpoint: Path) -> Path:
    """Return where the trust of a checkpoint file is kept."""
    return checkpoint.with_name(f"{checkpoint.stem}.trust.safetensors")


def weights_digest(model: torch.nn.Module) -> str:
    """Return what tells one set of weights from another, whatever else their file says."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


# -- making --------------------------------------------------------------------------------------


def fit_trust(
    model: AudioClassifier,
    info: CheckpointInfo,
    clips: ClipData,
    device: torch.device,
    progress: Progress | None = None,
    coverage: float = COVERAGE,
) -> Trust:
    """Measure a checkpoint on the dataset that it was trained on.

    Training clips give the evidence, validation clips the thresholds, test clips only the figures
    that say how well it turned out.

    Raises
    ------
    DataError
        If there are too few validation clips to promise anything.
    """
    places = np.array([info.class_names.index(n) if n in info.class_names else -1 for n in clips.class_names] or [-1])
    # -1 picks the last place; such clips are left out below.
    targets = np.where(clips.targets >= 0, places[clips.targets], -1)
    rows = {split: clips.indices(split)[targets[clips.indices(split)] >= 0] for split in ("train", "val", "test")}
    if len(rows["val"]) < MIN_CLIPS or len(rows["train"]) < MIN_CLIPS:
        raise DataError(
            f"{len(rows['val'])} validation and {len(rows['train'])} training samples are too few to say how far "
            f"confidence can be trusted; {MIN_CLIPS} of each are needed.",
            "Import more samples and train again.",
        )
    rng = np.random.default_rng(0)
    for split in rows:
        if len(rows[split]) > MAX_REFERENCE:
            rows[split] = np.sort(rng.choice(rows[split], MAX_REFERENCE, replace=False))
    watcher = _Watcher(model, device, sum(map(len, rows.values())) + NUM_MADE + NUM_ALTERED, progress)
    seen = {split: watcher.clips(clips.log_mel, rows[split]) for split in rows}
    made, altered = _strangers(watcher, info, clips, rows["train"], rng)
    val_targets = targets[rows["val"]]
    calibrated = bool(info.calibrated_on) or info.temperature != 1.0
    temperature = info.temperature if calibrated else fit_temperature(seen["val"].logits, val_targets)
    val_probs = softmax(seen["val"].logits / temperature)
    sets = fit_sets(val_probs, val_targets, coverage)
    novelty = fit_novelty(
        seen["train"].looks,
        targets[rows["train"]],
        seen["val"].looks,
        made,
        sure=val_probs.max(axis=1),
        accepted=ACCEPTED,
        exposed=altered,
    )
    return Trust(
        digest=weights_digest(model),
        temperature=temperature,
        sets=sets,
        novelty=novelty,
        references=_unit(seen["train"].embeddings).astype(np.float16),
        clip_ids=clips.clip_ids[rows["train"]],
        targets=targets[rows["train"]],
        measured={"num_calibration": len(rows["val"])}
        | _measure(sets, novelty, temperature, seen["test"], targets[rows["test"]]),
    )


class _Watcher:
    """Runs a network over many spectrograms and reports how far it is."""

    def __init__(self, model: AudioClassifier, device: torch.device, total: int, progress: Progress | None) -> None:
        from samplemind_core.training.device import pick_memory_format

        self.model, self.device, self.total, self.progress = model, device, total, progress
        self.layout = pick_memory_format(device)
        self.taps = Taps(model)
        self.done = 0

    def clips(self, log_mel: NDArray[np.floating[Any]], rows: NDArray[np.int64]) -> Seen:
        """Return what the network sees in rows of (N, 1, n_mels, frames)."""
        import torch

        parts: list[Seen] = []
        for start in range(0, max(1, len(rows)), BATCH):
            batch = torch.from_numpy(np.array(log_mel[rows[start : start + BATCH]], np.float32)).to(self.device)
            parts.append(see(self.model, self.taps, batch, self.layout))
            self.done += len(batch)
            if self.progress is not None:
                self.progress(self.done, self.total, "Measuring how far confidence can be trusted")
        return Seen(
            np.concatenate([part.logits for part in parts]),
            np.concatenate([part.embeddings for part in parts]),
            Looks(
                np.concatenate([part.looks.layers for part in parts]),
                np.concatenate([part.looks.spectra for part in parts]),
            ),
        )


def _strangers(
    watcher: _Watcher, info: CheckpointInfo, clips: ClipData, rows: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Looks, Looks]:
    """Return how sounds that are in nobody's library look to the network: made by rule, and altered clips."""
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.inference.outliers import altered_clips, synthetic_waveforms

    front_end = LogMel(info.features)
    parts = []
    for start in range(0, NUM_MADE, BATCH):
        count = min(BATCH, NUM_MADE - start)
        waveforms = synthetic_waveforms(info.features, count, seed=start)
        parts.append(front_end(torch.from_numpy(waveforms)).numpy())
    made = np.concatenate(parts)
    few = np.sort(rng.choice(rows, min(len(rows), NUM_ALTERED), replace=False))
    altered = altered_clips(np.asarray(clips.log_mel[few])[:, 0], NUM_ALTERED, 0, info.features.top_db)[:, None]
    return (
        watcher.clips(made, np.arange(len(made))).looks,
        watcher.clips(altered, np.arange(len(altered))).looks,
    )


def _measure(
    sets: ConformalSets, novelty: Novelty, temperature: float, seen: Seen, targets: NDArray[np.int64]
) -> dict[str, Any]:
    if len(targets) == 0:
        return {"num_clips": 0}
    probs = softmax(seen.logits / temperature)
    inside, none = sets.sets(probs), novelty.none(seen.looks)
    return {
        "num_clips": len(targets),
        "coverage": float(inside[np.arange(len(targets)), targets].mean()),
        "mean_set_size": float(inside.sum(axis=1).mean()),
        "accepted": float((none <= (1.0 - none) * probs.max(axis=1)).mean()),
    }


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    scaled: NDArray[np.float64] = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return scaled


# -- keeping -------------------------------------------------------------------------------------


def save_trust(path: Path, trust: Trust) -> None:
    """Write a trust file whole or not at all.

    Raises
    ------
    StorageError
        If it cannot be written.
    """
    from safetensors.numpy import save

    tensors = {f"novelty.{name}": np.ascontiguousarray(getattr(trust.novelty, name)) for name in _ARRAYS}
    tensors |= {
        "sets.thresholds": trust.sets.thresholds,
        "sets.num_clips": trust.sets.num_clips,
        "references": np.ascontiguousarray(trust.references),
        "clip_ids": np.ascontiguousarray(trust.clip_ids),
        "targets": np.ascontiguousarray(trust.targets),
    }
    about = {
        "version": VERSION,
        "digest": trust.digest,
        "temperature": trust.temperature,
        "coverage": trust.sets.coverage,
        "method": trust.sets.method,
        "made_bias": trust.novelty.made_bias,
        "measured": dict(trust.measured),
    }
    write_atomic(path, save(tensors, metadata={KEY: json.dumps(about)}))


def load_trust(path: Path) -> Trust:
    """Return what a trust file holds.

    Raises
    ------
    CheckpointError
        If it is missing, damaged or of a newer version.
    """
    from safetensors import SafetensorError, safe_open

    advice = "It is made anew when the checkpoint is next used."
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})[KEY])
            if about["version"] != VERSION:
                raise CheckpointError(f"'{path.name}' has format {about['version']}, expected {VERSION}.", advice)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        arrays = {name: tensors[f"novelty.{name}"] for name in _ARRAYS}
        return Trust(
            digest=about["digest"],
            temperature=float(about["temperature"]),
            sets=ConformalSets(
                float(about["coverage"]), about["method"], tensors["sets.thresholds"], tensors["sets.num_clips"]
            ),
            novelty=Novelty(made_bias=float(about["made_bias"]), **arrays),
            references=tensors["references"],
            clip_ids=tensors["clip_ids"],
            targets=tensors["targets"],
            measured=about["measured"],
        )
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"'{path.name}' cannot be read: {error}.", advice) from error


def read_trust(checkpoint: Path, model: torch.nn.Module, info: CheckpointInfo) -> Trust | None:
    """Return the trust beside a checkpoint, or None where there is none that belongs to it."""
    path = trust_file(checkpoint)
    if not path.exists():
        return None
    try:
        trust = load_trust(path)
    except CheckpointError:
        return None  # made anew, as the file itself can be: nothing of a person's is in it
    return trust if trust.fits(weights_digest(model), info) else None


def leave_trust(
    store: Store, settings: Settings, run: Run, checkpoint: Checkpoint, progress: Progress | None = None
) -> Trust | None:
    """Return the trust of a run's checkpoint, made and stored now if it is not there.

    None where the dataset is gone or too small to measure anything, and for a checkpoint that names several
    labels, whose thresholds say what trust does for one; the classifier works without.

    Raises
    ------
    CheckpointError
        If the checkpoint itself cannot be used.
    StorageError
        If the file cannot be written.
    """
    from samplemind_core.data.dataset import load_clips
    from samplemind_core.training.checkpoints import load_model
    from samplemind_core.training.device import pick_device

    path = settings.root / checkpoint.path
    device = pick_device(settings.device)
    model, info = load_model(path, device)
    if info.several_labels:
        return None
    found = read_trust(path, model, info)
    if found is not None:
        return found
    try:
        dataset = store.versions.at(store.datasets.get(run.dataset_id), run.dataset_version)
        clips = load_clips(settings.root, store, dataset, info.features, progress)
        trust = fit_trust(model, info, clips, device, progress)
    except (NotFoundError, DataError):
        return None
    save_trust(trust_file(path), trust)
    return trust
