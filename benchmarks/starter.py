"""Make the starter model that the package ships, and say how good it is.

    python -m benchmarks.starter --write
    python -m benchmarks.starter --card --manifest PATH/MANIFEST.csv --group-column group --real-name NAME

It is trained on synthesised drums only, in kits made from other seeds than the demo dataset's. Kits of the
last seeds are never trained on: they give the figure for sounds of the same kind. A manifest of real drums
gives the other figure, which is the one that matters to somebody with real samples; real sounds choose
nothing. ``--write`` puts the checkpoint and its card into ``samplemind_core/starter``; ``--card`` trains
nothing, measures the checkpoint that is there and writes its card. Training takes minutes on a GPU
(``--set device=cuda``) and an hour on two cores.
"""

from __future__ import annotations

import argparse
import csv
import json
import multiprocessing
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import machine_line
from samplemind_core import Workspace, build_config
from samplemind_core.audio.decode import to_wav
from samplemind_core.audio.synth import CLASS_NAMES, NUM_KITS, voice
from samplemind_core.config import AUGMENT_PRESETS, RunConfig, parse_assignments
from samplemind_core.data.sources import ImportOptions
from samplemind_core.files import write_atomic
from samplemind_core.starter import CARD, STARTER_FILE
from samplemind_core.training.checkpoints import load_tensors, read_info, save_checkpoint

FIRST_SEED = 1_000  # far from the seeds that people give the demo dataset
MAX_BYTES = 2_000_000


def settings(changes: dict[str, Any]) -> RunConfig:
    """Return how the starter is trained: the quick preset, hearing every sound as other packs might have it."""
    config = build_config("quick", {"epochs": 30, "train.batch_size": 64, "model.init": "random"} | changes)
    return config.model_copy(update={"augment": AUGMENT_PRESETS["strong"].config})


def make_kits(folder: Path, train: int, test: int, per_kit: int, skipped: int = 0) -> Path:
    """Write the sounds of ``train`` + 1 + ``test`` seeds after the first ``skipped``; return their manifest."""
    manifest = folder / "kits.csv"
    numbers = range(train + 1 + test)
    splits = ["train" if number < train else "val" if number == train else "test" for number in numbers]
    with manifest.open("w", newline="", encoding="utf-8") as file, multiprocessing.get_context("spawn").Pool() as pool:
        writer = csv.writer(file)
        writer.writerow(["path", "label", "group", "split"])
        first = FIRST_SEED + skipped
        jobs = [(folder, first + number, split, per_kit) for number, split in enumerate(splits)]
        for rows in pool.imap(make_seed, jobs):
            writer.writerows(rows)
    return manifest


def make_seed(job: tuple[Path, int, str, int]) -> list[tuple[str, str, str, str]]:
    """Write the sounds of one seed and return their rows of the manifest."""
    folder, seed, split, per_kit = job
    rows = []
    (folder / f"{seed}").mkdir()
    for index in range(NUM_KITS * per_kit):
        for target, label in enumerate(CLASS_NAMES):
            sound = voice(target, index, seed)
            name = f"{seed}/{label}-{index:04d}.wav"
            (folder / name).write_bytes(to_wav(sound.waveform, sound.sample_rate_hz))
            rows.append((name, label, f"{seed} {sound.source}", split))
    return rows


def train_starter(workspace: Workspace, config: RunConfig) -> Path:
    """Train on the synthesised drums and return the best checkpoint."""
    run = workspace.train(
        "Synthesised drums",
        config,
        name="made",
        listener=lambda kind, value: (
            print(f"epoch {value.epoch}: validation accuracy {value.val_accuracy:.1%}", flush=True)
            if kind == "epoch"
            else None
        ),
    )
    if run.status != "finished":
        raise SystemExit(f"The training ended otherwise: {run.end_reason}")
    return workspace.checkpoint_path("made")


def figures(workspace: Workspace, ref: str, dataset: str, split: str) -> dict[str, Any]:
    """Return what a card says of a checkpoint on some clips."""
    judged = workspace.judge(ref, dataset=dataset, split=split)
    found = workspace.evaluate(ref, dataset=dataset, split=split)
    low, high = found.accuracy_interval
    return {
        "num_clips": found.num_clips,
        "num_sources": len(set(judged.sources.tolist())),
        "accuracy": round(found.accuracy, 4),
        "accuracy_interval": [round(low, 4), round(high, 4)],
        "balanced_accuracy": round(found.balanced_accuracy, 4),
        "recall": {row.label: None if row.recall is None else round(row.recall, 3) for row in found.per_class},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="put checkpoint and card into the package")
    parser.add_argument("--train-seeds", type=int, default=60, help="sets of 24 kits to train on (60)")
    parser.add_argument("--test-seeds", type=int, default=2, help="sets of 24 kits that are never trained on (2)")
    parser.add_argument("--per-kit", type=int, default=4, help="sounds of each class in a kit (4)")
    parser.add_argument("--card", action="store_true", help="measure the shipped checkpoint and write its card")
    parser.add_argument("--set", action="append", default=[], dest="changes", help="a setting as key=value")
    parser.add_argument("--manifest", type=Path, help="real drums to measure on; they choose nothing")
    parser.add_argument("--group-column", default=None)
    parser.add_argument("--real-name", default="real drums", help="what the card calls them")
    given = parser.parse_args()
    config = settings(dict(parse_assignments(given.changes)))
    print(machine_line())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "kits").mkdir()
        # For a card the kits that are never trained on are enough, with one more seed, as a split needs something.
        train = 1 if given.card else given.train_seeds
        manifest = make_kits(folder / "kits", train, given.test_seeds, given.per_kit, given.train_seeds - train)
        workspace = Workspace.open(folder / "workspace")
        columns = ImportOptions(group_column="group", split_column="split", synthetic=True)
        workspace.import_dataset(manifest, name="Synthesised drums", options=columns)
        if given.card:
            path, judged = STARTER_FILE, "starter"
        else:
            path, judged = train_starter(workspace, config), "made"
        info = read_info(path)
        card: dict[str, Any] = {
            "name": "Starter: trained on synthesised drums only",
            "class_names": list(CLASS_NAMES),
            "trained_on": {
                "num_clips": given.train_seeds * NUM_KITS * given.per_kit * len(CLASS_NAMES),
                "num_kits": given.train_seeds * NUM_KITS,
                "what": "drum sounds that SampleMind makes by rule (audio/synth.py); no recording of anything",
            },
            "num_parameters": info.num_parameters,
            "held_out_kits": figures(workspace, judged, "Synthesised drums", "test"),
            "real": None,
        }
        if given.manifest is not None:
            options = ImportOptions(group_column=given.group_column, classes=CLASS_NAMES)
            workspace.import_dataset(given.manifest, name="real", options=options)
            card["real"] = {"name": given.real_name, **figures(workspace, judged, "real", "all")}
        print(json.dumps(card, indent=2))
        weights = {f"model.{name}": tensor for name, tensor in load_tensors(path, "model.", "cpu").items()}
        about = {"id": "", "name": "Synthesised drums", "synthetic": True, "num_clips": card["trained_on"]["num_clips"]}
        if given.write:
            STARTER_FILE.parent.mkdir(exist_ok=True)
            num_bytes = save_checkpoint(STARTER_FILE, weights, info.model_copy(update={"dataset": about}))
            print(f"{STARTER_FILE.name}: {num_bytes:,} bytes, at most {MAX_BYTES:,} are meant to be shipped")
            if num_bytes > MAX_BYTES:
                raise SystemExit("The starter is too large.")
        if given.write or given.card:
            write_atomic(CARD, (json.dumps(card, indent=2) + "\n").encode())
        workspace.close()


if __name__ == "__main__":
    main()
