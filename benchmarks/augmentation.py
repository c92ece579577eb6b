"""What random changes cost beside a training step: each amount of augmentation, and ``strong`` without each change.

    python -m benchmarks.augmentation

CPU microseconds a clip on one thread, batches as in training, all sides in turns. A step is forward, backward and
update of the default network.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch.nn import functional

from benchmarks.machine import machine_line
from benchmarks.measure import Timings, in_turns, ratio, table
from samplemind_core.audio.augment import augment, mixup
from samplemind_core.config import AUGMENT_PRESETS, AugmentConfig, FeatureConfig, ModelConfig
from samplemind_core.models import build_model
from samplemind_core.training.device import pick_memory_format

NUM_CLASSES = 6
STEP = "a training step"
WITHOUT: dict[str, dict[str, float]] = {
    "pitch and tempo": {"resample_semitones": 0.0, "warp_semitones": 0.0, "stretch_percent": 0.0},
    "EQ and decay": {"eq_db": 0.0, "decay_db_s": 0.0},
    "rooms": {"room_s": 0.0},
    "noise": {"noise_snr_db": 0.0},
    "low pass": {"band_limit_hz": 0.0},
    "time shift": {"time_shift_ms": 0.0},
    "hidden parts": {"freq_mask_bins": 0, "time_mask_ms": 0.0},
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="clips per batch (32)")
    parser.add_argument("--batches", type=int, default=4, help="batches per round (4)")
    parser.add_argument("--rounds", type=int, default=15, help="rounds of all sides (15)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    strong = AUGMENT_PRESETS["strong"].config
    log_mel, targets = clips(options.batch)
    sides: dict[str, Callable[[], object]] = {
        STEP: training_step(log_mel, targets),
        "light": changing(log_mel, AUGMENT_PRESETS["light"].config),
        "strong": changing(log_mel, strong),
        "mixup": mixing(log_mel, targets, strong.mixup_alpha),
    }
    for what, off in WITHOUT.items():
        sides[f"strong without {what}"] = changing(log_mel, strong.model_copy(update=off))
    measured = in_turns([repeated(work, options.batches) for work in sides.values()], options.rounds)
    times = dict(zip(sides, measured, strict=True))
    clips_per_round = options.batch * options.batches

    def row(name: str, of: Timings) -> tuple[str, str, str]:
        share = 1.0 / ratio(of, times[STEP])[1]
        return name, f"{1e6 * of.cpu / clips_per_round:.0f}", f"{100 * share:.0f} %"

    print(f"{machine_line()}; batches of {options.batch}\n")
    print(table(("", "µs a clip", "of a training step"), [row(name, of) for name, of in times.items()]))


def clips(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return spectrograms (B, 1, n_mels, frames) that fall silent, as one-shots do, and targets (B, C)."""
    generator = torch.Generator().manual_seed(0)
    shape = FeatureConfig().shape
    fall_db = torch.linspace(0.0, 1.0, shape[2]) * (40.0 + 120.0 * torch.rand(batch, 1, 1, 1, generator=generator))
    log_mel = (-30.0 * torch.rand(batch, *shape, generator=generator) - fall_db).clamp(min=-80.0)
    targets = functional.one_hot(torch.arange(batch) % NUM_CLASSES, NUM_CLASSES).float()
    return log_mel - log_mel.amax(dim=(1, 2, 3), keepdim=True), targets


def repeated(work: Callable[[], object], times: int) -> Callable[[], None]:
    """Return a function that does the work some times."""

    def again() -> None:
        for _ in range(times):
            work()

    return again


def changing(log_mel: torch.Tensor, config: AugmentConfig) -> Callable[[], object]:
    """Return a function that augments the batch."""
    generator, features = torch.Generator().manual_seed(0), FeatureConfig()
    return lambda: augment(log_mel, config, features, generator)


def mixing(log_mel: torch.Tensor, targets: torch.Tensor, alpha: float) -> Callable[[], object]:
    """Return a function that blends the clips of the batch."""
    generator = torch.Generator().manual_seed(0)
    return lambda: mixup(log_mel, targets, alpha, generator)


def training_step(log_mel: torch.Tensor, targets: torch.Tensor) -> Callable[[], object]:
    """Return a function that trains the default network on the batch."""
    layout = pick_memory_format(torch.device("cpu"))
    model = build_model(ModelConfig(), NUM_CLASSES, FeatureConfig()).to(memory_format=layout).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    batch = log_mel.contiguous(memory_format=layout)

    def step() -> None:
        loss = functional.cross_entropy(model(batch), targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
