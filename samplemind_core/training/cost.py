"""What a run will cost on this machine, told before it starts: from a few real steps, measured once and kept.

The steps are taken by a process of its own (:mod:`samplemind_core.training.cost_probe`), so that the
dashboard never imports torch for it. What is kept is the cost of one step and one judged clip; epochs
and clips are multiplied with it here, so that changing them measures nothing anew.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from samplemind_core.config import RunConfig
from samplemind_core.errors import StorageError
from samplemind_core.files import make_folder, write_atomic
from samplemind_core.settings import Settings

PROBE_TIMEOUT_S = 180.0
LEAST_SPREAD = 0.2
"""What an estimate leaves open at least: a fan that starts, another program, a warmer processor."""
SAVE_S = 0.1
FREE_SETTINGS = (
    *("epochs", "min_steps", "seed", "save_every", "lr", "weight_decay", "momentum", "label_smoothing", "ema_decay"),
    *("monitor", "schedule", "warmup", "warmup_epochs", "plateau_factor", "plateau_patience", "swa_share"),
    *("early_stopping_patience", "early_stopping_after", "num_devices"),
)
"""Training settings that cost nothing, or only through the number of epochs: no reason to measure anew.

What is measured is one device's cost, whatever ``num_devices`` says."""


@dataclass(frozen=True)
class Cost:
    """What was measured on this machine for one network, batch and front end.

    Parameters
    ----------
    step_s : float
        Median of a training step.
    spread : float
        Half of what lies between the slower and the faster steps, as a fraction of the median.
    clip_s : float
        To judge one clip.
    start_s : float
        From the start of a process to its first step.
    memory_bytes : int
        The most that the process held, with ``data_bytes`` of spectrograms in it.
    gpu_memory_bytes : int or None
        The same on the GPU, where it trains on one.
    device : str
        In words.
    batch_size : int
        Clips in the measured step.
    data_bytes : int
    busy : bool
        Whether a run was training meanwhile.
    """

    step_s: float
    spread: float
    clip_s: float
    start_s: float
    memory_bytes: int
    gpu_memory_bytes: int | None
    device: str
    batch_size: int
    data_bytes: int
    busy: bool = False


@dataclass(frozen=True)
class Estimate:
    """What a run will take: seconds, give or take a fraction (``spread``), and bytes of memory."""

    seconds: float
    spread: float
    memory_bytes: int
    gpu_memory_bytes: int | None
    device: str
    busy: bool


def estimate(cost: Cost, config: RunConfig, *, num_train: int, num_val: int, num_test: int, num_clips: int) -> Estimate:
    """Return what a run on so many clips will take.

    Parameters
    ----------
    cost : Cost
        Measured for these settings.
    config : RunConfig
    num_train, num_val, num_test : int
        Clips of the splits.
    num_clips : int
        All clips whose spectrograms are held in memory, those that take no part included.
    """
    steps = math.ceil(num_train / config.train.batch_size)
    # A last batch that is not full costs its share.
    full = num_train / config.train.batch_size if config.train.batch_size <= num_train else 1.0
    probe = min(num_train, max(256, num_val))
    epoch_s = min(steps, full + 0.5) * cost.step_s + (num_val + probe) * cost.clip_s
    after_s = 2 * (num_val + num_test) * cost.clip_s
    data_bytes = 2 * num_clips * math.prod(config.features.shape)
    extra = max(0, data_bytes - cost.data_bytes)
    on_gpu = cost.gpu_memory_bytes is not None
    return Estimate(
        seconds=cost.start_s + config.train.epochs * epoch_s + after_s + SAVE_S * config.train.epochs,
        spread=max(LEAST_SPREAD, cost.spread),
        # Clips on the GPU pass through the memory map once; elsewhere they stay.
        memory_bytes=cost.memory_bytes + (0 if on_gpu else extra),
        gpu_memory_bytes=cost.gpu_memory_bytes + extra if cost.gpu_memory_bytes is not None else None,
        device=cost.device,
        busy=cost.busy,
    )


def cost_key(config: RunConfig, batch_size: int, num_classes: int, device: str, *, several_labels: bool = False) -> str:
    """Return a name for everything that decides what a step costs on this machine, and nothing else."""
    from importlib.metadata import version

    data = config.model_dump(mode="json")
    del data["preset"], data["extended_at"]
    data["train"] = {name: value for name, value in data["train"].items() if name not in FREE_SETTINGS}
    data["augment"] = {name: bool(value) for name, value in data["augment"].items()}
    data["train"]["batch_size"] = batch_size
    machine = [platform.node(), platform.machine(), os.cpu_count(), os.environ.get("OMP_NUM_THREADS"), version("torch")]
    text = json.dumps(
        [data, num_classes, device, machine, *(["several labels"] if several_labels else [])], sort_keys=True
    )
    return hashlib.sha256(text.encode()).hexdigest()[:24]


Answer = Cost | Literal["measuring"] | str
"""What was measured, that it is being measured, or why it could not be."""


class CostMeter:
    """Measure what runs cost, one after the other, each once for a machine and a set of settings.

    Parameters
    ----------
    settings : Settings
        Where results are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._folder = settings.root / "costs"
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._measuring: str | None = None
        self._failures: dict[str, str] = {}

    def ask(
        self, config: RunConfig, *, num_train: int, num_classes: int, several_labels: bool = False, busy: bool = False
    ) -> Answer:
        """Return what a step costs; starts measuring where nobody knows and nothing else is being measured."""
        batch_size = min(config.train.batch_size, num_train)
        key = cost_key(config, batch_size, num_classes, self._settings.device, several_labels=several_labels)
        known = read_cost(self._folder / f"{key}.json")
        if known is not None:
            return known
        with self._lock:
            if key in self._failures:
                return self._failures[key]
            if self._measuring is None:
                self._measuring = key
                request = {
                    "config": config.model_dump(mode="json"),
                    "batch_size": batch_size,
                    "num_classes": num_classes,
                    "several_labels": several_labels,
                    "device": self._settings.device,
                }
                threading.Thread(target=self._measure, args=(key, request, busy), daemon=True).start()
        return "measuring"

    def close(self) -> None:
        """End a measurement that is under way."""
        process = self._process
        if process is not None and process.poll() is None:
            process.kill()

    def _measure(self, key: str, request: Mapping[str, Any], busy: bool) -> None:
        problem = ""
        try:
            cost = run_probe(request, self._started)
            make_folder(self._folder)
            write_atomic(self._folder / f"{key}.json", json.dumps(cost | {"busy": busy}).encode())
        except ProbeFailedError as error:
            problem = str(error)
        except StorageError as error:
            problem = error.problem
        finally:
            with self._lock:
                self._process, self._measuring = None, None
                if problem:
                    self._failures[key] = problem

    def _started(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process


class ProbeFailedError(Exception):
    """The measuring process gave no figures; the text says why."""


def run_probe(request: Mapping[str, Any], started: Any = lambda process: None) -> dict[str, Any]:
    """Have a process of its own take a few steps; return the fields of :class:`Cost`.

    Raises
    ------
    ProbeFailedError
        If it could not.
    """
    package = Path(__file__).resolve().parents[2]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH", "")]))
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "samplemind_core.training.cost_probe"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    started(process)
    try:
        output, errors = process.communicate(json.dumps(request).encode(), timeout=PROBE_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise ProbeFailedError(f"A few steps took longer than {PROBE_TIMEOUT_S:.0f} s.") from None
    try:
        answer = json.loads(output)
    except ValueError:
        # Killed by the system is what a lack of memory looks like.
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or [f"It ended with {process.returncode}."]
        raise ProbeFailedError("Memory ran out." if process.returncode in (-9, 137) else last[0][:300]) from None
    if "problem" in answer:
        raise ProbeFailedError(str(answer["problem"]))
    return dict(answer)


def read_cost(file: Path) -> Cost | None:
    """Return what was kept, or None where nothing usable was."""
    try:
        return Cost(**json.loads(file.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def as_json(cost: Cost) -> str:
    """Return a measured cost as the probing process prints it."""
    return json.dumps(asdict(cost))
