"""How smooth the map of Diagnostics is with many samples: arranging, the figure, and a browser that clicks on it.

    python -m benchmarks.embedding_map --clips 20000 [--umap] [--browser]

The points are made: bundles of directions as a trained network leaves them, in six classes and two hundred sources.
``--umap`` adds UMAP, which the task worker computes once (minutes). ``--browser`` starts a dashboard and has headless
Chromium draw, click and lasso the map; without a GPU, WebGL is then emulated by the processor.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.machine import machine_line
from samplemind_core.config import build_config
from samplemind_core.evaluation.embedding_map import apartness, pca_map, umap_map
from samplemind_core.evaluation.embeddings import embeddings_file
from samplemind_core.settings import Settings
from samplemind_core.store import Clip, Dataset, Run
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint
from samplemind_core.training.predictions import Logits, write_logits
from samplemind_core.workspace import Workspace

CLASSES = ("kick", "snare", "hihat", "clap", "tom", "cymbal")
DIMS = 128


def vectors_of(targets: npt.NDArray[np.int64], sources: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """Return embeddings (N, 128): a bundle for each class, a drift for each source, and noise."""
    rng = np.random.default_rng(0)
    centres = 4.0 * rng.normal(size=(len(CLASSES), DIMS)) / np.sqrt(DIMS)
    drifts = 1.5 * rng.normal(size=(int(sources.max()) + 1, DIMS)) / np.sqrt(DIMS)
    noise = rng.normal(size=(len(targets), DIMS)) / np.sqrt(DIMS)
    return np.maximum(centres[targets] + drifts[sources] + noise + 0.1, 0).astype(np.float32)


def make(workspace: Workspace, num_clips: int) -> npt.NDArray[np.float32]:
    """Store a dataset, a run, its answers and embeddings of all clips; return the embeddings."""
    rng = np.random.default_rng(1)
    now = time.time()
    targets, sources = rng.integers(0, len(CLASSES), num_clips), rng.integers(0, 200, num_clips)
    clips = [
        Clip(
            row=row, name=f"pack{source:03d}/{CLASSES[target]}-{row:05d}.wav", label=CLASSES[target],
            target=int(target), source=f"pack{source:03d}", split="test", content_hash=f"hash{row}", file="x.wav",
            duration_s=0.4, sample_rate_hz=44_100,
        )
        for row, (target, source) in enumerate(zip(targets.tolist(), sources.tolist(), strict=True))
    ]  # fmt: skip
    workspace.store.datasets.add(
        Dataset("d1", "drums", "audio", CLASSES, num_clips, 0, "p", "benchmark", 0, now), clips, []
    )
    ids = np.array([clip.id for clip in workspace.store.datasets.clips("d1")])
    config = build_config("quick", {"epochs": 1})
    workspace.store.runs.add(
        Run("r1", "first", "d1", "finished", config.model_dump(mode="json"), "me", now, now, best_epoch=1)
    )
    path = workspace.root / "runs" / "r1" / "best.safetensors"
    info = CheckpointInfo(class_names=CLASSES, config=config, epoch=1, metrics={}, dataset={}, num_parameters=1)
    save_checkpoint(path, {}, info)
    checkpoint = workspace.store.runs.put_checkpoint(
        "r1",
        {"kind": "best", "epoch": 1, "path": path.relative_to(workspace.root).as_posix(), "val_loss": 0.3,
         "val_accuracy": 0.9, "num_bytes": 1_200_000},
    )  # fmt: skip
    logits = (rng.normal(scale=1.4, size=(num_clips, 6)) + 4.0 * np.eye(6)[targets]).astype(np.float32)
    stored = workspace.root / "test.npz"
    write_logits(stored, Logits(logits, targets, ids, CLASSES))
    workspace.store.runs.put_prediction(
        {"checkpoint_id": checkpoint.id, "epoch": 1, "dataset_id": "d1", "split": "test", "path": stored.name,
         "num_clips": num_clips}
    )  # fmt: skip
    vectors = vectors_of(targets, sources)
    file = embeddings_file(workspace.root, checkpoint, "d1")
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, vectors=vectors, logits=logits, clip_ids=ids, class_names=np.array(CLASSES),
             made_from=np.array([checkpoint.created_at]))  # fmt: skip
    return vectors


def timed(work: Callable[[], Any], rounds: int = 3) -> tuple[float, Any]:
    """Return the median seconds of some rounds, and what the last returned."""
    taken, found = [], None
    for _ in range(rounds):
        started = time.perf_counter()
        found = work()
        taken.append(time.perf_counter() - started)
    return statistics.median(taken), found


def arranging(vectors: npt.NDArray[np.float32], *, umap: bool) -> None:
    """Print what is computed once for a map."""
    labels = np.array(["a"] * len(vectors))
    print("\n| computed once, then kept | seconds |\n|---|---:|")
    for name, work in (
        ("PCA, 2-D", lambda: pca_map(vectors, 2)),
        ("PCA, 3-D", lambda: pca_map(vectors, 3)),
        ("neighbours of all, for outliers", lambda: apartness(vectors, labels)),
    ):
        print(f"| {name} | {timed(work)[0]:.2f} |", flush=True)
    for dims in (2, 3) if umap else ():
        print(f"| UMAP, {dims}-D | {timed(lambda dims=dims: umap_map(vectors, dims), 1)[0]:.0f} |", flush=True)


def figures(workspace: Workspace, vectors: npt.NDArray[np.float32]) -> None:
    """Print what a figure costs on the server, and how large it is."""
    import gzip

    from samplemind_core.charts.embedding import map_figure

    clips = workspace.clips("d1")
    ids = np.array([clip.id for clip in clips])
    labels, hovers = [clip.label for clip in clips], [f"{clip.name}: {clip.label}, called kick" for clip in clips]
    print("\n| figure | built, s | as JSON, s | MB | MB compressed |\n|---|---:|---:|---:|---:|")
    for dims in (2, 3):
        points = pca_map(vectors, dims).points
        built, chart = timed(lambda points=points: map_figure(points, labels, CLASSES, ids, hovers))
        written, text = timed(chart.to_json)
        packed = len(gzip.compress(text.encode(), 6))
        print(f"| {dims}-D | {built:.2f} | {written:.2f} | {len(text) / 1e6:.1f} | {packed / 1e6:.2f} |", flush=True)


def browser(folder: str) -> None:
    """Print how long the page takes to draw the map and to answer a click, a lasso and another colour."""
    from playwright.sync_api import sync_playwright

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "app.py", "--server.port", str(port),
               "--server.address", "127.0.0.1", "--server.headless", "true"]  # fmt: skip
    environment = dict(os.environ, SAMPLEMIND_WORKSPACE=folder, SAMPLEMIND_WORKER="external")
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with sync_playwright() as playwright:
            program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
            chromium = playwright.chromium.launch(
                executable_path=program, args=["--no-sandbox", "--enable-unsafe-swiftshader"]
            )
            page = chromium.new_page(viewport={"width": 1440, "height": 1100})
            page.set_default_timeout(120_000)
            _open(page, f"http://127.0.0.1:{port}/diagnostics?a=r1:best&b=&section=overview")
            print("\n| in the browser | seconds |\n|---|---:|")
            for name, seconds in _clicks(page):
                print(f"| {name} | {seconds:.2f} |", flush=True)
            chromium.close()
    finally:
        server.terminate()
        server.wait()


def _open(page: Any, address: str) -> None:
    from playwright.sync_api import Error

    deadline = time.monotonic() + 60
    while True:
        try:
            page.goto(address)
            break
        except Error:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
    page.get_by_role("radio", name="Map", exact=True).wait_for()
    _quiet(page)


def _quiet(page: Any) -> None:
    page.locator('.stApp[data-test-script-state="notRunning"]').wait_for()


_DRAWN = """([dims]) => {
    const box = document.querySelector('.st-key-map-pca-' + dims + ' .js-plotly-plot');
    return box && box._fullData && box.querySelector(dims === 2 ? 'canvas' : '.gl-container canvas, canvas') &&
        box._fullData.length > 0 && !document.querySelector('[data-testid=stSkeleton]');
}"""
_POINT = """() => {
    const box = document.querySelector('.st-key-map-pca-2 .js-plotly-plot');
    const {xaxis, yaxis} = box._fullLayout, trace = box._fullData[0], at = 17, place = box.getBoundingClientRect();
    return {x: place.x + xaxis._offset + xaxis.d2p(trace.x[at]), y: place.y + yaxis._offset + yaxis.d2p(trace.y[at])};
}"""


def _clicks(page: Any) -> list[tuple[str, float]]:
    found = []

    def after(what: str, act: Callable[[], Any], then: Callable[[], Any]) -> None:
        started = time.perf_counter()
        act()
        then()
        found.append((what, time.perf_counter() - started))

    def drawn(dims: int) -> None:
        page.wait_for_function(_DRAWN, arg=[dims])

    after("from pressing Map to 2-D drawn, first time", page.get_by_role("radio", name="Map", exact=True).click,
          lambda: drawn(2))  # fmt: skip
    _quiet(page)
    page.locator(".st-key-map-pca-2 .js-plotly-plot").scroll_into_view_if_needed()
    time.sleep(1)
    box = page.locator(".st-key-map-pca-2 .js-plotly-plot")
    place = page.evaluate(_POINT)
    label = page.locator(".st-key-map-pca-2 .hoverlayer .hovertext").first
    after("from pointing at a sample to its name", lambda: page.mouse.move(place["x"], place["y"]), label.wait_for)
    one = page.get_by_text("1 sample chosen")
    after("from a click to the sample below the map", lambda: page.mouse.click(place["x"], place["y"]), one.wait_for)
    _quiet(page)
    box.hover()
    box.locator('[data-title="Lasso Select"]').click()
    frame = box.bounding_box()
    middle = (frame["x"] + 0.5 * frame["width"], frame["y"] + 0.55 * frame["height"])

    def lasso() -> None:
        page.mouse.move(middle[0] - 150, middle[1] - 120)
        page.mouse.down()
        for dx, dy in ((150, -120), (150, 120), (-150, 120), (-150, -120)):
            page.mouse.move(middle[0] + dx, middle[1] + dy, steps=6)

    many = page.get_by_text("The first 50 are listed.")
    after("to draw a lasso around about a third, in 24 movements", lasso, lambda: None)
    after("from letting go to the samples inside it", page.mouse.up, many.wait_for)
    _quiet(page)
    solid = page.get_by_role("radio", name="3-D", exact=True)
    after("from pressing 3-D to the map in 3-D", solid.click, lambda: drawn(3))
    _quiet(page)
    flat = page.get_by_role("radio", name="2-D", exact=True)
    after("and back to 2-D", flat.click, lambda: drawn(2))
    _quiet(page)
    return found


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--umap", action="store_true")
    parser.add_argument("--browser", action="store_true")
    arguments = parser.parse_args()
    print(machine_line())
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Settings(workspace=Path(folder), worker="external"))
        vectors = make(workspace, arguments.clips)
        figures(workspace, vectors)
        workspace.close()
        if arguments.browser:
            browser(folder)
        arranging(vectors, umap=arguments.umap)


if __name__ == "__main__":
    main()
