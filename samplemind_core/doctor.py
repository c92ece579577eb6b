"""What this installation is and whether it can do its work."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

import psutil
from sqlalchemy.engine import make_url

from samplemind_core.training import jobs

if TYPE_CHECKING:
    from samplemind_core.workspace import Workspace

PACKAGES = (
    "samplemind",
    "streamlit",
    "torch",
    "numpy",
    "plotly",
    "pandas",
    "librosa",
    "soundfile",
    "soxr",
    "sqlalchemy",
)
PARITY_LIMIT_DB = 1e-3


def examine(workspace: Workspace, *, check: bool = False) -> dict[str, Any]:
    """Return versions, device, workspace, database, queue and limits as JSON-ready values.

    Parameters
    ----------
    workspace : Workspace
    check : bool
        Also start torch, name the device, and measure how far the front end is from librosa's on a
        test signal: some seconds.
    """
    settings = workspace.settings
    usage = shutil.disk_usage(workspace.root)
    facts: dict[str, Any] = {
        "versions": {"python": platform.python_version()} | {name: _version(name) for name in PACKAGES},
        "machine": {
            "system": f"{platform.system()} {platform.release()}",
            "cores": os.cpu_count(),
            "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        },
        "workspace": {
            "path": str(workspace.root),
            "free_gib": round(usage.free / 2**30, 1),
            "writable": os.access(workspace.root, os.W_OK),
        },
        "database": make_url(settings.url).render_as_string(hide_password=True),
        "worker": "running" if jobs.worker_running(settings) else "idle",
        "queued_runs": len(workspace.store.runs.all(statuses=("queued",))),
        "device": settings.device,
        "limits": settings.limits.model_dump(),
    }
    if check:
        facts["device"] = _device(settings.device)
        facts["front_end"] = _parity()
    return facts


def _device(name: str) -> str:
    from samplemind_core.training.device import describe, pick_device

    return describe(pick_device(name))


def _parity() -> dict[str, Any]:
    """Compare our log-mel with librosa's on noise and a sweep."""
    import librosa
    import numpy as np
    import torch

    from samplemind_core.audio.features import LogMel
    from samplemind_core.config import FeatureConfig

    config = FeatureConfig()
    time_s = np.arange(config.num_samples) / config.sample_rate_hz
    noise = np.random.default_rng(0).standard_normal(config.num_samples) * 0.01
    waveform = (0.5 * np.sin(2 * np.pi * 200 * time_s * (1 + 10 * time_s)) + noise).astype(np.float32)
    started = time.perf_counter()
    ours = LogMel(config)(torch.from_numpy(waveform)[None])[0, 0].numpy()
    power = librosa.feature.melspectrogram(
        y=waveform,
        sr=config.sample_rate_hz,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.max_hz,
        pad_mode="constant",
    )
    theirs = librosa.power_to_db(power, ref=np.max, top_db=config.top_db)
    difference = float(np.abs(ours - theirs).max())
    return {
        "max_difference_from_librosa_db": difference,
        "ok": difference < PARITY_LIMIT_DB,
        "seconds": round(time.perf_counter() - started, 2),
    }


def _version(name: str) -> str | None:
    if name == "samplemind":
        from samplemind_core import __version__

        return __version__
    if name in sys.modules and hasattr(sys.modules[name], "__version__"):
        return str(sys.modules[name].__version__)
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
