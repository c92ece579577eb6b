"""How long the Runs page takes with 1,000 runs of 20 epochs, and how many questions it asks the database.

    python -m benchmarks.runs_page
    python -m benchmarks.runs_page --keep FOLDER      leaves a workspace to look at

The page's script runs as Streamlit runs it, without the browser, the router included. "Table" is the size of the
message with the table. On a machine that is busy otherwise, the CPU seconds are those to read.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from sqlalchemy import event, insert

from benchmarks.machine import machine_line
from samplemind_core.config import build_config
from samplemind_core.store import Clip, Dataset, Epoch, Run
from samplemind_core.store.tables import EpochRow
from samplemind_core.workspace import Workspace

CLASSES = ("kick", "snare", "hihat", "clap", "tom", "cymbal")
OWNERS = ("ada", "grace", "lynn")
STATUSES = ("finished", "finished", "finished", "stopped", "failed", "interrupted")


def make(workspace: Workspace, num_runs: int, num_epochs: int) -> None:
    """Store runs whose settings, curves and scores differ, on three datasets."""
    rng = np.random.default_rng(0)
    now = time.time()
    for number in range(3):
        clip = Clip(0, "a.wav", "kick", 0, "pack", "test", "hash", "a.wav")
        dataset = Dataset(f"d{number}", f"drums {number + 1}", "audio", CLASSES, 1, 0, "p", "benchmark", 0, now)
        workspace.store.datasets.add(dataset, [clip], [])
    epochs = []
    for number in range(num_runs):
        lr, width = float(rng.choice([1e-4, 3e-4, 1e-3, 3e-3, 1e-2])), float(rng.choice([0.5, 1.0, 2.0]))
        dropout = round(float(rng.uniform(0, 0.6)), 2)
        settings = {"epochs": num_epochs, "lr": lr, "model.width": width, "model.dropout": dropout, "seed": number % 5}
        config = build_config(("quick", "tutorial")[number % 2], settings)
        status, owner = STATUSES[number % len(STATUSES)], OWNERS[number % len(OWNERS)]
        created = now - 3600.0 * (num_runs - number)
        run = Run(
            f"r{number}", f"run {number:04d}", f"d{number % 3}", status, config.model_dump(mode="json"), owner,
            created, created, best_epoch=num_epochs, num_parameters=int(290_000 * width),
            tags=("keep",) if number % 10 == 0 else (), notes="louder clips" if number % 7 == 0 else "",
        )  # fmt: skip
        workspace.store.runs.add(run)
        floor = 0.25 + 0.12 * abs(np.log10(lr) + 2.7) + 0.1 * dropout - 0.04 * width
        for epoch in range(1, num_epochs + 1):
            loss = float(floor + 1.5 * np.exp(-epoch / 4) + rng.normal(scale=0.02))
            accuracy = float(np.clip(1.0 - 0.5 * loss, 0, 1))
            epochs.append(
                {"run_id": run.id} | Epoch(epoch, 0.8 * loss, loss, accuracy, accuracy, lr, 2.0, 900.0).as_dict()
            )
        checkpoint = workspace.store.runs.put_checkpoint(
            run.id,
            {"kind": "best", "epoch": num_epochs, "path": f"runs/{run.id}/best", "val_loss": loss,
             "val_accuracy": accuracy, "num_bytes": 1_200_000},
        )  # fmt: skip
        workspace.store.runs.put_prediction(
            {"checkpoint_id": checkpoint.id, "epoch": num_epochs, "dataset_id": run.dataset_id, "split": "test",
             "path": f"{run.id}.npz", "num_clips": 100, "accuracy": round(accuracy - 0.02, 3)}
        )  # fmt: skip
    with workspace.store._database.write() as session:
        session.execute(insert(EpochRow), epochs)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[100, 1_000])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--keep", type=Path, help="make the workspace of the first size here and end")
    arguments = parser.parse_args()
    if arguments.keep:
        make(Workspace.open(arguments.keep), arguments.runs[0], arguments.epochs)
        return
    print(machine_line())
    print("\n| runs | what is done | script, s | of CPU, s | questions | table, kB |\n|---:|---|---:|---:|---:|---:|")
    for num_runs in arguments.runs:
        with tempfile.TemporaryDirectory() as folder:
            os.environ |= {"SAMPLEMIND_WORKSPACE": folder, "SAMPLEMIND_WORKER": "external"}
            _measure(num_runs, arguments.epochs, arguments.rounds)


def _measure(num_runs: int, num_epochs: int, rounds: int) -> None:
    from streamlit.testing.v1 import AppTest

    from samplemind_core import server

    server.workspace.cache_clear()
    workspace = server.workspace()
    make(workspace, num_runs, num_epochs)
    asked: list[str] = []
    event.listen(
        workspace.store._database.engine, "before_cursor_execute",
        lambda connection, cursor, statement, *rest: asked.append(statement),
    )  # fmt: skip
    router = Path(server.__file__).with_name("router.py")
    visits = {
        "first visit": {},
        "again": {},
        "searched": {"q": "keep"},
        "three selected": {"pick": "r1,r2,r3"},
    }
    app = None
    for what, query in visits.items():
        seconds: list[float] = []
        cpu: list[float] = []
        for _ in range(1 if what == "first visit" else rounds):
            if app is None or query:
                app = AppTest.from_file(router, default_timeout=120)
                app.query_params |= query
                app.switch_page("../pages/runs.py")
            asked.clear()
            started, busy = time.perf_counter(), time.process_time()
            app.run()
            seconds.append(time.perf_counter() - started)
            cpu.append(time.process_time() - busy)
            assert not app.exception, app.exception
        questions = sum(statement.lstrip().upper().startswith("SELECT") for statement in asked)
        sent = app.dataframe[0].proto.ByteSize() / 1e3
        print(
            f"| {num_runs:,} | {what} | {statistics.median(seconds):.2f} | {statistics.median(cpu):.2f} "
            f"| {questions} | {sent:,.0f} |",
            flush=True,
        )
    workspace.close()
    server.workspace.cache_clear()


if __name__ == "__main__":
    main()
