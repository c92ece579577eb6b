"""A workspace whose run names several labels, with stored answers that are all known; no training."""

from __future__ import annotations

import time

import numpy as np

from samplemind_core.config import build_config
from samplemind_core.store import Clip, Dataset, Epoch, Run
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint
from samplemind_core.training.predictions import Logits, write_logits
from samplemind_core.workspace import Workspace

NAMES = ("clap", "kick", "snare")
THRESHOLDS = (0.3, 0.5, 0.6)
RIGHT = ("kick", "kick+snare", "clap", "clap+snare", "snare", "kick", "clap+kick", "snare") * 2


def targets() -> np.ndarray:
    return np.array([[name in labels.split("+") for name in NAMES] for labels in RIGHT], dtype=np.uint8)


def answers(run_id: str) -> np.ndarray:
    """``s1`` misses the first kick and names a clap where there is none; ``s2`` is right about everything."""
    logits = np.where(targets(), 2.0, -2.0) + np.linspace(0.2, 0.0, len(RIGHT))[:, None]
    if run_id == "s1":
        logits[0, 1], logits[4, 0] = -3.0, 3.0
    return logits.astype(np.float32)


def add_several(space: Workspace) -> Workspace:
    """Add a dataset of 16 test clips with several labels and two finished runs."""
    from samplemind_core.models import build_model

    now = time.time()
    clips = [
        Clip(
            row=row,
            name=f"pack/{row:02d}.wav",
            label=labels.split("+")[0],
            labels=tuple(labels.split("+")),
            target=0,
            source=f"pack{row % 8}",
            split="test",
            content_hash=f"several{row}",
            file="x.wav",
            duration_s=0.3,
        )
        for row, labels in enumerate(RIGHT)
    ]
    found = Dataset("d9", "layers", "audio", NAMES, len(clips), 0, "p9", "a test", 0, now, multi_label=True)
    space.store.datasets.add(found, clips)
    ids = np.array([clip.id for clip in space.store.datasets.clips("d9", split="test")])
    config = build_config("quick", {"epochs": 2, "n_mels": 16, "duration_s": 0.4, "width": 0.25})
    health = {"verdict": "healthy", "title": "Healthy", "reason": "The loss falls."}
    for run_id, name in (("s1", "layers-one"), ("s2", "layers-two")):
        run = space.store.runs.add(Run(run_id, name, "d9", "queued", config.model_dump(mode="json"), "me", now, now))
        space.store.runs.claim({"host": "here"}, run.id)
        for number in (1, 2):
            measured = {**health, "probe_map": 0.5 + 0.1 * number, "val_map": 0.4 + 0.1 * number}
            epoch = Epoch(number, 1.0, 1.1, 0.5, 0.4, 0.001, 1.0, 100.0, measured, (0.5, 0.6, 0.7))
            space.store.runs.add_epoch(run.id, epoch)
        path = space.root / "runs" / run_id / "best.safetensors"
        model = build_model(config.model, len(NAMES), config.features)
        info = CheckpointInfo(
            class_names=NAMES,
            config=config,
            epoch=2,
            metrics={"val_loss": 1.1, "val_accuracy": 0.4},
            dataset={"id": "d9"},
            num_parameters=1,
            several_labels=True,
            label_thresholds=THRESHOLDS,
            thresholds_from={"dataset": "d9", "split": "val", "num_clips": 40,
                             "by_class": {"clap": 12, "kick": 20, "snare": 3}},
        )  # fmt: skip
        tensors = {f"model.{key}": value for key, value in model.state_dict().items()}
        num_bytes = save_checkpoint(path, tensors, info)
        values = {"kind": "best", "epoch": 2, "path": path.relative_to(space.root).as_posix(), "val_loss": 1.1,
                  "val_accuracy": 0.4, "num_bytes": num_bytes}  # fmt: skip
        checkpoint = space.store.runs.put_checkpoint(run_id, values)
        stored = path.with_name("test.npz")
        write_logits(stored, Logits(answers(run_id), targets(), ids, NAMES))
        space.store.runs.put_prediction(
            {
                "checkpoint_id": checkpoint.id,
                "epoch": 2,
                "dataset_id": "d9",
                "split": "test",
                "path": stored.relative_to(space.root).as_posix(),
                "num_clips": len(RIGHT),
                "accuracy": 0.9,
            }
        )
        space.store.runs.end(run_id, "finished", "All 2 epochs are done.")
    return space
