"""What a training process says of its memory and its GPU."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from samplemind_core.training import usage
from samplemind_core.training.usage import Usage, gpu_use


def fake_torch(initialized: bool = True) -> SimpleNamespace:
    cuda = SimpleNamespace(
        is_initialized=lambda: initialized,
        memory_reserved=lambda device: (1 + device) << 30,
        current_device=lambda: 1 if threading.current_thread() is threading.main_thread() else 0,
        get_device_properties=lambda device: SimpleNamespace(uuid=f"b0b-{device}"),
    )
    return SimpleNamespace(cuda=cuda)


def test_memory_is_told_and_a_gpu_only_where_it_trains_on_one(monkeypatch: pytest.MonkeyPatch) -> None:
    read = Usage()
    assert list(read.read()) == ["memory_bytes"]
    alone = read.read()["memory_bytes"]
    assert alone > 1 << 20
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE):
        read.with_children = True
        assert read.read()["memory_bytes"] > alone
    read.with_children = False
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # half imported, as another thread may find it
    assert list(read.read()) == ["memory_bytes"]
    monkeypatch.setitem(sys.modules, "torch", fake_torch(initialized=False))
    read.watch_gpu()
    assert list(read.read()) == ["memory_bytes"]


def test_a_gpu_is_asked_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setitem(sys.modules, "torch", fake_torch())
    monkeypatch.setattr(usage, "gpu_use", lambda gpu_id: asked.append(gpu_id) or 0.5)
    read = Usage()
    read.watch_gpu()
    # The heartbeat reads it in a thread of its own, in which another GPU is current.
    with ThreadPoolExecutor(1) as heartbeat:
        found = [heartbeat.submit(read.read).result() for _ in range(3)]
    assert asked == ["GPU-b0b-1"]
    assert {(row["gpu_memory_bytes"], row["gpu_use"]) for row in found} == {(2 << 30, 0.5)}


@pytest.mark.parametrize(
    ("answer", "found"),
    [("87\n", 0.87), ("", None), ("[N/A]\n", None), (subprocess.TimeoutExpired("x", 2), None)],
)
def test_nvidia_smi_may_answer_anything(monkeypatch: pytest.MonkeyPatch, answer: object, found: float | None) -> None:
    def run(command: list[str], **_: object) -> SimpleNamespace:
        assert "--id=GPU-b0b-1" in command
        if isinstance(answer, Exception):
            raise answer
        return SimpleNamespace(stdout=answer)

    monkeypatch.setattr(usage.shutil, "which", lambda name: name)
    monkeypatch.setattr(usage.subprocess, "run", run)
    assert gpu_use("GPU-b0b-1") == found
    monkeypatch.setattr(usage.shutil, "which", lambda name: None)
    assert gpu_use("GPU-b0b-1") is None
