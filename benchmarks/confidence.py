"""Whether confidence means what it says, on sources never heard: calibration, prediction sets, "none of these".

    python -m benchmarks.confidence --manifest PATH/MANIFEST.csv --group-column group \
        --classes kick,snare,hihat,clap,tom,cymbal --unknown digits=PATH/MANIFEST.csv --cache FOLDER

Fold k is tested, fold k + 1 chooses the epoch and is what temperature, sets and threshold are fitted
on, the rest is trained on. Clips of other labels in fold k are the "extra" unknowns. Networks and what
they saw are kept in the cache folder, so that trying another method costs seconds. ``--choose`` compares
methods on the validation folds and every other clip of the unknown sets; without it the figures of the
product's own method are printed, on the test folds and the clips of the unknown sets left over.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.machine import machine_line
from benchmarks.measure import table
from samplemind_core import Workspace, build_config
from samplemind_core.audio.features import LogMel
from samplemind_core.config import FeatureConfig, RunConfig
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.data.sources import ImportOptions
from samplemind_core.errors import NotFoundError
from samplemind_core.evaluation.calibration import adaptive_ece
from samplemind_core.evaluation.metrics import softmax
from samplemind_core.inference.conformal import fit_sets
from samplemind_core.inference.novelty import Looks, Novelty, Taps, fit_novelty
from samplemind_core.inference.outliers import altered_clips, synthetic_waveforms
from samplemind_core.inference.trust import ACCEPTED, COVERAGE, NUM_ALTERED, NUM_MADE, Seen, see
from samplemind_core.training.checkpoints import load_model
from samplemind_core.training.observer import Silent
from samplemind_core.training.temperature import fit_temperature
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

PARTS = ("logits", "embeddings", "layers", "spectra")
BATCH = 128


@dataclass(frozen=True)
class Fold:
    """What one network saw: parts by name, and the targets and sources of the clips it may know."""

    seen: dict[str, Seen]
    targets: dict[str, NDArray[np.int64]]
    sources: dict[str, NDArray[np.str_]]

    def probs(self, part: str, temperature: float = 1.0) -> NDArray[np.float64]:
        """Return the class probabilities of a part."""
        return softmax(self.seen[part].logits / temperature)

    @property
    def temperature(self) -> float:
        """Fitted on the validation fold."""
        return fit_temperature(self.seen["val"].logits, self.targets["val"])

    def novelty(self) -> Novelty:
        """Fit "none of these" as the product does."""
        return fit_novelty(
            self.seen["train"].looks,
            self.targets["train"],
            self.seen["val"].looks,
            self.seen["made"].looks,
            sure=self.probs("val", self.temperature).max(axis=1),
            accepted=ACCEPTED,
            exposed=self.seen["altered"].looks,
        )


# -- what the networks saw -----------------------------------------------------------------------


def simple_sounds(features: FeatureConfig) -> NDArray[np.float32]:
    """Return white noise, silence and sine tones of half the window to all of it, at several levels."""
    rng, size, rate = np.random.default_rng(77), features.num_samples, features.sample_rate_hz
    sounds = [np.zeros(size)]
    for number in range(90):
        length, level = round(size * (1.0, 0.75, 0.5)[number % 3]), (0.01, 0.1, 0.5)[number // 3 % 3]
        time_s = np.arange(length) / rate
        pitch_hz = 10 ** rng.uniform(np.log10(40.0), np.log10(0.4 * rate))
        sound = rng.normal(0, level / 3, length) if number < 45 else level * np.sin(2 * np.pi * pitch_hz * time_s)
        sounds.append(np.pad(sound, (0, size - length)))
    return np.stack(sounds).astype(np.float32)


def watch(model: torch.nn.Module, log_mel: NDArray[np.floating]) -> Seen:
    """Return what a network sees in spectrograms (N, 1, n_mels, frames)."""
    taps = Taps(model)
    batches = (np.array(log_mel[start : start + BATCH], np.float32) for start in range(0, len(log_mel), BATCH))
    parts = [see(model, taps, torch.from_numpy(batch)) for batch in batches]
    join = np.concatenate
    return Seen(
        join([part.logits for part in parts]),
        join([part.embeddings for part in parts]),
        Looks(join([part.looks.layers for part in parts]), join([part.looks.spectra for part in parts])),
    )


def prepare(
    folder: Path, config: RunConfig, clips: ClipData, targets: NDArray[np.int64], splits: dict[str, NDArray[np.int64]],
    class_names: tuple[str, ...], unknown: dict[str, ClipData],
) -> Fold:  # fmt: skip
    """Return what a fold's network saw, training it where the cache does not hold it."""
    checkpoint, kept = folder / "best.safetensors", folder / "seen.npz"
    if not checkpoint.exists():
        data = TrainingData(
            clips.log_mel, targets, splits["train"], splits["val"], class_names, {"fingerprint": "fold"}
        )
        Trainer(config, data, folder, Silent()).fit()
    if not kept.exists():
        model, _ = load_model(checkpoint)
        front_end, top_db = LogMel(config.features), config.features.top_db

        def spectrograms(sounds: NDArray[np.float32]) -> NDArray[np.float32]:
            pieces = [front_end(torch.from_numpy(sounds[i : i + 32])).numpy() for i in range(0, len(sounds), 32)]
            return np.concatenate(pieces)

        train = np.asarray(clips.log_mel[splits["train"]])[:, 0]
        parts: dict[str, NDArray[np.floating]] = {
            **{split: clips.log_mel[rows] for split, rows in splits.items()},
            **{name: data.log_mel[:] for name, data in unknown.items()},
            "made": spectrograms(synthetic_waveforms(config.features, NUM_MADE, seed=0)),
            "altered": altered_clips(train, NUM_ALTERED, 0, top_db)[:, None],
            "simple": spectrograms(simple_sounds(config.features)),
        }
        arrays = {}
        for name, log_mel in parts.items():
            seen = watch(model, log_mel)
            values = (seen.logits, seen.embeddings, seen.looks.layers, seen.looks.spectra)
            arrays |= {f"{name}.{part}": value.astype(np.float32) for part, value in zip(PARTS, values, strict=True)}
        np.savez(kept, **arrays)
    with np.load(kept) as file:
        held = {key: file[key].astype(np.float64) for key in file.files}
    names = sorted({key.rsplit(".", 1)[0] for key in held})
    found = {
        name: Seen(
            *(held[f"{name}.{part}"] for part in PARTS[:2]), Looks(*(held[f"{name}.{part}"] for part in PARTS[2:]))
        )
        for name in names
    }
    return Fold(
        found,
        {split: targets[rows] for split, rows in splits.items()},
        {split: clips.sources[rows].astype(str) for split, rows in splits.items()},
    )


def gather(arguments: argparse.Namespace) -> tuple[list[Fold], list[str]]:
    """Return all folds and the names of the unknown sets."""
    cache: Path = arguments.cache
    workspace = Workspace.open(cache / "workspace")
    config = build_config(arguments.preset)

    def load(manifest: Path, name: str, group: str | None) -> ClipData:
        try:
            dataset = workspace.dataset(name)
        except NotFoundError:
            dataset = workspace.import_dataset(manifest, name=name, options=ImportOptions(group_column=group))
        return load_clips(workspace.root, workspace.store, dataset, config.features)

    clips = load(arguments.manifest, "known", arguments.group_column)
    rows = workspace.store.datasets.clips(clips.dataset.id)
    unknown = {}
    for text in arguments.unknown:
        name, _, path = text.partition("=")
        unknown[name] = load(Path(path), name, None)
    class_names = tuple(sorted(arguments.classes.split(",")))
    labels = np.array([clip.label for clip in rows])
    numbers = np.array([clip.fold or clip.extra.get(arguments.fold_column, "") for clip in rows])
    known = np.isin(labels, class_names)
    targets = np.array([class_names.index(label) if label in class_names else -1 for label in labels])
    names = sorted(set(numbers.tolist()))
    folds = []
    for place, name in enumerate(names):
        following = names[(place + 1) % len(names)]
        test, val = numbers == name, numbers == following
        splits = {
            "train": np.flatnonzero(known & ~test & ~val),
            "val": np.flatnonzero(known & val),
            "test": np.flatnonzero(known & test),
            "extra": np.flatnonzero(~known & test),
            "extra-val": np.flatnonzero(~known & val),
        }
        started = time.perf_counter()
        folds.append(prepare(cache / f"fold-{place}", config, clips, targets, splits, class_names, unknown))
        print(f"fold {name}: {time.perf_counter() - started:.0f} s", flush=True)
    workspace.close()
    return folds, list(unknown)


# -- figures -------------------------------------------------------------------------------------


def auroc(known: NDArray[np.float64], strange: NDArray[np.float64]) -> float:
    """Return how often a strange sound scores above a known one (Mann and Whitney 1947)."""
    from scipy.stats import rankdata

    ranks = rankdata(np.concatenate([known, strange]))[len(known) :].sum()
    return float((ranks - len(strange) * (len(strange) + 1) / 2) / (len(known) * len(strange)))


def every_other(seen: Seen, first: int) -> Seen:
    """Return half of the sounds."""
    rows = np.arange(first, len(seen.logits), 2)
    return Seen(seen.logits[rows], seen.embeddings[rows], seen.looks.take(rows))


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def scorers(fold: Fold) -> dict[str, Callable[[Seen], NDArray[np.float64]]]:
    """Return the ways to say how strange a sound is, by name."""
    train, targets = fold.seen["train"], fold.targets["train"]
    stock, ours = _unit(train.embeddings), fold.novelty()
    means = np.stack([train.embeddings[targets == place].mean(axis=0) for place in np.unique(targets)])
    covariance = np.cov((train.embeddings - means[targets]).T)
    size = len(covariance)
    inverse = np.linalg.inv(0.9 * covariance + 0.1 * np.trace(covariance) / size * np.eye(size))
    centre = train.embeddings.mean(axis=0)
    rest = np.linalg.eigh(np.cov((train.embeddings - centre).T))[1][:, : -min(64, size // 2)]
    energy = lambda seen: np.logaddexp.reduce(seen.logits, axis=1)  # noqa: E731
    residual = lambda seen: np.linalg.norm((seen.embeddings - centre) @ rest, axis=1)  # noqa: E731
    weight = train.logits.max(axis=1).mean() / residual(train).mean()

    def mahalanobis(seen: Seen) -> NDArray[np.float64]:
        away = seen.embeddings[:, None] - means
        return np.einsum("bcd,bcd->bc", away @ inverse, away).min(axis=1)

    return {
        "softmax": lambda seen: -softmax(seen.logits).max(axis=1),
        "largest logit": lambda seen: -seen.logits.max(axis=1),
        "energy": lambda seen: -energy(seen),
        "10th nearest, embedding": lambda seen: -np.sort(_unit(seen.embeddings) @ stock.T, axis=1)[:, -10],
        "Mahalanobis, embedding": mahalanobis,
        "ViM": lambda seen: weight * residual(seen) - energy(seen),
        "layers from classes": lambda seen: ours._from_classes(seen.looks.layers),
        "spectrum from clips": lambda seen: ours._from_clips(seen.looks.spectra),
        "against made sounds": lambda seen: seen.looks.layers @ ours.made_weights,
        "ours: all three": lambda seen: ours.score(seen.looks),
    }


def choose(folds: list[Fold], unknown: Iterable[str]) -> None:
    """Print how methods do on the validation folds."""
    sets = [*unknown, "extra-val", "simple"]
    found: dict[str, dict[str, list[float]]] = {}
    for fold in folds:
        for name, score in scorers(fold).items():
            known = score(fold.seen["val"])
            for part in sets:
                strange = fold.seen[part] if part in ("extra-val", "simple") else every_other(fold.seen[part], 0)
                found.setdefault(name, {}).setdefault(part, []).append(auroc(known, score(strange)))
    print("\nAUROC on validation folds, half of the unknown sets\n")
    rows = [[name, *(f"{np.mean(values[part]):.3f}" for part in sets)] for name, values in found.items()]
    print(table(["score", *sets], rows))
    print("\nSets, calibrated on half of the validation sources and tried on the other half (mean of both ways)\n")
    rows = []
    for method in ("lac", "aps", "raps"):
        for per_class in (30, 10**9):
            held, sizes = [], []
            for fold in folds:
                probs, targets = fold.probs("val", fold.temperature), fold.targets["val"]
                names = np.unique(fold.sources["val"])
                half = np.isin(fold.sources["val"], np.random.default_rng(0).permutation(names)[: len(names) // 2])
                for part in (half, ~half):
                    fitted = fit_sets(probs[part], targets[part], COVERAGE, method, per_class)  # type: ignore[arg-type]
                    inside = fitted.sets(probs[~part])
                    held.append(inside[np.arange(len(inside)), targets[~part]].mean())
                    sizes.append(inside.sum(axis=1).mean())
            kind = "per class" if per_class < 10**9 else "common"
            rows.append([f"{method}, {kind}", f"{np.mean(held):.1%} ± {np.std(held):.1%}", f"{np.mean(sizes):.2f}"])
    print(table(["sets", "coverage", "classes"], rows))


def report(folds: list[Fold], unknown: Iterable[str]) -> None:
    """Print the figures of the product's own method on the test folds."""
    raw, scaled, shown, right, held, sizes = [], [], [], [], [], []
    lines, areas, refused, loudest, accepted = [], {}, {}, [], []
    for number, fold in enumerate(folds):
        temperature, targets = fold.temperature, fold.targets["test"]
        novelty, probs = fold.novelty(), fold.probs("test", temperature)
        none = novelty.none(fold.seen["test"].looks)
        correct = probs.argmax(axis=1) == targets
        raw.append(fold.probs("test").max(axis=1))
        scaled.append(probs.max(axis=1))
        shown.append(probs.max(axis=1) * (1 - none))
        right.append(correct)
        inside = fit_sets(fold.probs("val", temperature), fold.targets["val"], COVERAGE).sets(probs)
        held.append(inside[np.arange(len(inside)), targets])
        sizes.append(inside.sum(axis=1))
        taken = none <= (1 - none) * probs.max(axis=1)
        accepted.append(taken)
        known = novelty.score(fold.seen["test"].looks)
        for part in (*unknown, "extra", "simple"):
            strange = fold.seen[part] if part in ("extra", "simple") else every_other(fold.seen[part], 1)
            if len(strange.logits) == 0:
                continue
            areas.setdefault(part, []).append(auroc(known, novelty.score(strange.looks)))
            no, sure = novelty.none(strange.looks), softmax(strange.logits / temperature).max(axis=1)
            refused.setdefault(part, []).append(float((no > (1 - no) * sure).mean()))
            if part == "simple":
                loudest.append(float(((1 - no) * sure).max()))
        lines.append([str(number), f"{temperature:.2f}", f"{correct.mean():.1%}", f"{held[-1].mean():.1%}",
                      f"{sizes[-1].mean():.2f}", f"{taken.mean():.1%}"])  # fmt: skip
    print("\n" + table(["fold", "temperature", "accuracy", "sets hold", "classes", "taken for known"], lines))
    join = np.concatenate
    ece = [adaptive_ece(join(part), join(right)) for part in (raw, scaled)]
    known_only = join(accepted)
    kept = adaptive_ece(join(shown)[known_only], join(right)[known_only])
    print(f"\nECE, 15 bins of equal mass, all test clips: {ece[0]:.3f} before scaling, {ece[1]:.3f} after; "
          f"{kept:.3f} for the confidence shown, where the answer is a class")  # fmt: skip
    print(
        f"Sets at {COVERAGE:.0%}: hold the right class in {join(held).mean():.1%}, "
        f"{join(sizes).mean():.2f} classes on average"
    )
    print(f"Known clips taken for known: {join(accepted).mean():.1%}\n")
    rows = [
        [part, f"{np.mean(values):.3f}", " ".join(f"{value:.3f}" for value in values), f"{np.mean(refused[part]):.1%}"]
        for part, values in areas.items()
    ]
    print(table(["unknown", "AUROC", "by fold", "refused"], rows))
    print(f"\nNoise, silence and tones: the surest class was given {max(loudest):.1%}")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--fold-column", default="fold")
    parser.add_argument("--group-column", default=None)
    parser.add_argument("--classes", required=True)
    parser.add_argument("--unknown", action="append", default=[], help="NAME=MANIFEST of sounds of no class")
    parser.add_argument("--preset", default="quick")
    parser.add_argument("--cache", type=Path, required=True, help="folder of the networks and what they saw")
    parser.add_argument("--choose", action="store_true", help="compare methods on the validation folds")
    arguments = parser.parse_args()
    print(machine_line())
    folds, unknown = gather(arguments)
    (choose if arguments.choose else report)(folds, unknown)


if __name__ == "__main__":
    main()
