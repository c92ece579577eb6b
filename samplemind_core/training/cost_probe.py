"""A few real steps of a run, to know what it will cost: ``python -m samplemind_core.training.cost_probe``.

Reads one JSON object from stdin (``config``, ``batch_size``, ``num_classes``, ``device`` and, where clips have
several labels, ``several_labels``) and prints one: the fields of :class:`samplemind_core.training.cost.Cost`,
or ``{"problem": …}``.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from samplemind_core.config import RunConfig
from samplemind_core.errors import SampleMindError
from samplemind_core.training.cost import Cost, as_json

WARM_STEPS = 2
MIN_STEPS, MAX_STEPS, STEPS_S = 3, 20, 3.0
JUDGED_CLIPS = 256
"""As many as are judged at once in a run: a smaller batch would take less memory than the run does."""

ALSO_LOADED = ("sklearn.linear_model", "samplemind_core.training.jobs")
"""What a worker has loaded by the end of a run besides the trainer; it counts as memory of the run."""


def measure(request: Mapping[str, Any]) -> Cost:
    """Train a few steps on made-up clips and judge some; return what that took."""
    import torch

    from samplemind_core.training.device import describe
    from samplemind_core.training.observer import Silent
    from samplemind_core.training.trainer import Trainer
    from samplemind_core.training.training_data import TrainingData

    config = RunConfig.model_validate(request["config"])
    # A step on a variant costs what a step on a clip does; made-up clips have no waveforms to make any of.
    config = config.model_copy(update={"augment": config.augment.model_copy(update={"variants": 0})})
    size, num_classes = int(request["batch_size"]), int(request["num_classes"])
    total = size + JUDGED_CLIPS
    rng = np.random.default_rng(0)
    # One clip of noise under another roll for each: what is in them costs nothing, drawing them would.
    noise = rng.uniform(-80, 0, config.features.shape).astype(np.float16)
    targets = np.arange(total, dtype=np.int64) % num_classes
    log_mel = np.stack([np.roll(noise, row, axis=-1) for row in range(total)])
    data = TrainingData(
        log_mel=log_mel,
        targets=np.eye(num_classes, dtype=np.uint8)[targets] if request.get("several_labels") else targets,
        train_rows=np.arange(size),
        val_rows=np.arange(size, total),
        class_names=tuple(str(index) for index in range(num_classes)),
        description={},
    )
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, data, Path(folder), Silent(), device=str(request["device"]))
        trainer.model.train()
        rows = torch.arange(size)
        seconds: list[float] = []
        started_s = time.time() - psutil.Process().create_time()
        begun = time.perf_counter()
        while len(seconds) < WARM_STEPS + MAX_STEPS:
            if len(seconds) >= WARM_STEPS + MIN_STEPS and time.perf_counter() - begun > STEPS_S:
                break
            at = time.perf_counter()
            trainer.take_step(*trainer.feed.batch(rows))
            trainer.look(1)
            seconds.append(time.perf_counter() - at)
        trainer.logits(trainer.val_rows)
        at = time.perf_counter()
        trainer.logits(trainer.val_rows)
        judged_s = time.perf_counter() - at
    for name in ALSO_LOADED:
        importlib.import_module(name)
    steps = sorted(seconds[WARM_STEPS:])
    median = statistics.median(steps)
    low, high = steps[len(steps) // 10], steps[-1 - len(steps) // 10]
    gpu = int(torch.cuda.max_memory_reserved(trainer.device)) if trainer.device.type == "cuda" else None
    return Cost(
        step_s=median,
        spread=(high - low) / (2 * median),
        clip_s=judged_s / JUDGED_CLIPS,
        start_s=started_s + seconds[0],
        memory_bytes=_most_memory(),
        gpu_memory_bytes=gpu,
        device=describe(trainer.device),
        batch_size=size,
        data_bytes=log_mel.nbytes,
    )


def _most_memory() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return int(psutil.Process().memory_info().peak_wset)  # type: ignore[attr-defined,unused-ignore]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else 1024 * peak)


def main() -> int:
    """Measure what stdin asks for; return the process's exit code."""
    request = json.loads(sys.stdin.read())
    try:
        print(as_json(measure(request)))
    except SampleMindError as error:
        print(json.dumps({"problem": str(error)}))
    except MemoryError:
        print(json.dumps({"problem": "Memory ran out. Use a smaller batch size or network."}))
    except RuntimeError as error:
        # What torch raises where a batch does not fit; its first line says so.
        print(json.dumps({"problem": str(error).splitlines()[0][:300]}))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
