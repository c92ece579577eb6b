"""How long the Diagnostics page takes: two checkpoints compared on 2,000 stored predictions.

    python -m benchmarks.diagnostics_page

The page runs as Streamlit runs it, without the browser. "First figure" is the time until the page has handed
over its first figure. Cold is the first visit of a fresh process with torch never imported; warm is any other.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.machine import machine_line
from samplemind_core.config import build_config
from samplemind_core.store import Clip, Dataset, Epoch, Run
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint
from samplemind_core.training.predictions import Logits, write_logits
from samplemind_core.workspace import Workspace

CLASSES = ("kick", "snare", "hihat", "clap", "tom", "cymbal")


def make(workspace: Workspace, num_clips: int) -> None:
    """Store a dataset, two runs of 30 epochs, their checkpoints and what they say of all clips."""
    rng = np.random.default_rng(0)
    now = time.time()
    targets = rng.integers(0, len(CLASSES), num_clips)
    clips = [
        Clip(
            row=row, name=f"pack{row % 97}/{row}.wav", label=CLASSES[target], target=int(target),
            source=f"pack{row % 97}", split="test", content_hash=f"hash{row}", file="x.wav",
            duration_s=float(rng.uniform(0.05, 3)), sample_rate_hz=44_100, extra={"maker": f"maker {row % 7}"},
        )
        for row, target in enumerate(targets.tolist())
    ]  # fmt: skip
    dataset = Dataset("d1", "drums", "audio", CLASSES, num_clips, 0, "p", "benchmark", 0, now)
    workspace.store.datasets.add(dataset, clips, [])
    ids = np.array([clip.id for clip in workspace.store.datasets.clips("d1")])
    config = build_config("quick", {"epochs": 30})
    run = Run("r1", "first", "d1", "finished", config.model_dump(mode="json"), "me", now, now, best_epoch=20)
    for number, name in ((1, "first"), (2, "second")):
        workspace.store.runs.add(replace(run, id=f"r{number}", name=name))
        for epoch in range(1, 31):
            loss = 1.0 / epoch
            workspace.store.runs.add_epoch(f"r{number}", Epoch(epoch, loss, loss + 0.1, 0.9, 0.88, 0.001, 1.0, 900.0))
        path = workspace.root / "runs" / f"r{number}" / "best.safetensors"
        info = CheckpointInfo(class_names=CLASSES, config=config, epoch=20, metrics={}, dataset={},
                              num_parameters=300_000, temperature=1.3)  # fmt: skip
        save_checkpoint(path, {}, info)
        checkpoint = workspace.store.runs.put_checkpoint(
            f"r{number}",
            {"kind": "best", "epoch": 20, "path": path.relative_to(workspace.root).as_posix(), "val_loss": 0.3,
             "val_accuracy": 0.9, "num_bytes": 1_200_000},
        )  # fmt: skip
        logits = rng.normal(scale=1.4, size=(num_clips, len(CLASSES))) + (3.5 + 0.3 * number) * np.eye(6)[targets]
        stored = workspace.root / f"{name}.npz"
        write_logits(stored, Logits(logits.astype(np.float32), targets, ids, CLASSES))
        workspace.store.runs.put_prediction(
            {"checkpoint_id": checkpoint.id, "epoch": 20, "dataset_id": "d1", "split": "test", "path": stored.name,
             "num_clips": num_clips}
        )  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=2_000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"SAMPLEMIND_WORKSPACE": folder, "SAMPLEMIND_WORKER": "external"}
        from streamlit.testing.v1 import AppTest

        from samplemind_core import server
        from samplemind_core.ui import parts
        from samplemind_core.ui.diagnostics import SECTIONS

        make(server.workspace(), arguments.clips)
        figures: list[float] = []
        drawn = parts.figure

        def figure(*given: object, **named: object) -> None:
            drawn(*given, **named)  # type: ignore[arg-type]
            figures.append(time.perf_counter())

        parts.figure = figure  # type: ignore[assignment]
        router = Path(server.__file__).with_name("router.py")
        print("\n| section | cold, s | warm, s | first figure, warm, s |\n|---|---:|---:|---:|")
        for section in SECTIONS:
            if section.needs_network:
                continue  # these load torch and say so
            app = AppTest.from_file(router, default_timeout=120)
            app.query_params |= {"a": "r1:best", "b": "r2:best", "section": section.slug}
            app.switch_page("../pages/diagnostics.py")
            whole, first = [], []
            for _ in range(arguments.rounds + 1):
                figures.clear()
                started = time.perf_counter()
                app.run()
                whole.append(time.perf_counter() - started)
                first.append(figures[0] - started if figures else whole[-1])
            assert not app.exception, app.exception
            warm = statistics.median(whole[1:])
            print(f"| {section.title} | {whole[0]:.2f} | {warm:.2f} | {statistics.median(first[1:]):.2f} |", flush=True)
        server.workspace().close()


if __name__ == "__main__":
    main()
