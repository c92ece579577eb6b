"""What a run will cost: a few real steps, measured once, multiplied honestly."""

from __future__ import annotations

import json
import subprocess
import time
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from samplemind_core.config import build_config
from samplemind_core.errors import ConfigError
from samplemind_core.settings import Settings
from samplemind_core.training import cost as cost_module
from samplemind_core.training.cost import Cost, CostMeter, ProbeFailedError, cost_key, estimate, run_probe
from samplemind_core.training.cost_probe import measure
from samplemind_core.ui.train.costing import estimate_words
from tests.training.helpers import tiny_config

MEASURED = Cost(0.1, 0.05, 0.001, 4.0, 500_000_000, None, "cpu (2 threads)", 32, 1_000_000)
SIZES = {"num_train": 320, "num_val": 100, "num_test": 100, "num_clips": 520}


def test_a_probe_takes_real_steps_of_that_network() -> None:
    config = tiny_config()
    found = measure({"config": config.model_dump(mode="json"), "batch_size": 8, "num_classes": 3, "device": "cpu"})
    assert 0 < found.step_s < 30
    assert 0 < found.clip_s < 5
    assert found.memory_bytes > 50_000_000
    assert (found.batch_size, found.gpu_memory_bytes) == (8, None)
    assert found.device.startswith("cpu")


def test_a_probe_asks_for_labels_as_the_dataset_has_them() -> None:
    config = tiny_config(loss="asymmetric", monitor="val_map")
    request = {"config": config.model_dump(mode="json"), "batch_size": 8, "num_classes": 3, "device": "cpu"}
    with pytest.raises(ConfigError, match="have one"):
        measure(request)
    assert measure(request | {"several_labels": True}).step_s > 0
    assert cost_key(config, 8, 3, "cpu") != cost_key(config, 8, 3, "cpu", several_labels=True)


def test_steps_epochs_and_judging_add_up() -> None:
    config = build_config("quick", {"epochs": 10})
    one = estimate(MEASURED, config, **SIZES)
    # Per epoch: ten steps, 100 validation clips and 256 probed ones, saving; before and after: start, judging.
    assert one.seconds == pytest.approx(4 + 10 * (10 * 0.1 + 0.356 + 0.1) + 0.4)
    twice = estimate(MEASURED, build_config("quick", {"epochs": 20}), **SIZES)
    assert twice.seconds - one.seconds == pytest.approx(10 * 1.456)
    assert one.spread == 0.2
    assert estimate(replace(MEASURED, spread=0.5), config, **SIZES).spread == 0.5


def test_spectrograms_are_held_where_it_trains() -> None:
    config = build_config("quick")
    data = 2 * 520 * 128 * 87 - 1_000_000
    assert estimate(MEASURED, config, **SIZES).memory_bytes == 500_000_000 + data
    on_gpu = estimate(replace(MEASURED, gpu_memory_bytes=2_000_000_000), config, **SIZES)
    assert (on_gpu.memory_bytes, on_gpu.gpu_memory_bytes) == (500_000_000, 2_000_000_000 + data)


@pytest.mark.parametrize(
    ("change", "same"),
    [({"epochs": 99}, True), ({"lr": 0.1}, True), ({"seed": 3}, True), ({"time_mask_ms": 80}, True),
     ({"time_mask_ms": 0}, False), ({"width": 2}, False), ({"n_mels": 64}, False), ({"optimizer": "sgd"}, False)],
)  # fmt: skip
def test_only_what_changes_a_step_is_measured_anew(change: dict[str, Any], same: bool) -> None:
    before, after = (cost_key(build_config("quick", values), 32, 6, "auto") for values in ({}, change))
    assert (before == after) is same
    assert cost_key(build_config("quick"), 16, 6, "auto") != before


def test_what_was_measured_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def probe(request: Any, started: Any) -> dict[str, Any]:
        asked.append(request)
        return asdict(MEASURED)

    monkeypatch.setattr(cost_module, "run_probe", probe)
    answer = settle(CostMeter(Settings(workspace=tmp_path)), busy=True)
    assert answer == replace(MEASURED, busy=True)
    assert asked[0]["batch_size"] == 20  # no batch is larger than the training split
    assert CostMeter(Settings(workspace=tmp_path)).ask(build_config("quick"), num_train=20, num_classes=6) == answer
    assert len(asked) == 1


def settle(meter: CostMeter, **more: Any) -> Any:
    deadline = time.monotonic() + 20
    while (answer := meter.ask(build_config("quick"), num_train=20, num_classes=6, **more)) == "measuring":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return answer


def test_a_failure_is_told_and_not_tried_over_and_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tries: list[int] = []

    def probe(request: Any, started: Any) -> dict[str, Any]:
        tries.append(1)
        raise ProbeFailedError("Memory ran out.")

    monkeypatch.setattr(cost_module, "run_probe", probe)
    meter = CostMeter(Settings(workspace=tmp_path))
    assert settle(meter) == settle(meter) == "Memory ran out."
    assert len(tries) == 1


@pytest.mark.parametrize(
    ("output", "code", "words"),
    [(b'{"problem": "Too large."}', 0, "Too large"), (b"", -9, "Memory ran out"), (b"", 1, "boom"),
     (subprocess.TimeoutExpired("x", 1), 0, "longer than")],
)  # fmt: skip
def test_a_probe_that_dies_says_why(
    monkeypatch: pytest.MonkeyPatch, output: bytes | Exception, code: int, words: str
) -> None:
    answers = [output, b""]

    def communicate(*_: Any, **__: Any) -> tuple[bytes, bytes]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer, b"Traceback\nboom"

    process = SimpleNamespace(communicate=communicate, returncode=code, kill=lambda: None)
    monkeypatch.setattr(cost_module.subprocess, "Popen", lambda *_, **__: process)
    with pytest.raises(ProbeFailedError, match=words):
        run_probe({})


def test_a_damaged_file_is_measured_anew(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    for content in (b"{", b"[]", json.dumps({"step_s": 1}).encode()):
        file.write_bytes(content)
        assert cost_module.read_cost(file) is None


def test_an_estimate_in_words() -> None:
    found = estimate(MEASURED, build_config("quick", {"epochs": 10}), **SIZES)
    assert estimate_words(found) == "About 19 s (± 20 %) and 510 MB of memory, on cpu (2 threads)."
    assert estimate_words(found, early=True).startswith("At most about 19 s")
    busy = replace(found, busy=True, gpu_memory_bytes=2_000_000_000)
    assert estimate_words(busy).endswith("2.0 GB on the GPU, on cpu (2 threads). Measured while another run trained: "
                                         "alone it is faster.")  # fmt: skip
