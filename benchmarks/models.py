"""What each network costs on this machine, side by side in one run: weights, training speed, time of an answer.

All networks take their turn in every round, so that other load meets them alike; ratios are medians over
the rounds' own ratios to the first network. ``--variants`` compares ways to run the default network: memory
layout, number format, fused or plain optimizer, compiled or not.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

from benchmarks.machine import machine_line
from benchmarks.measure import in_turns, ratio, table
from samplemind_core.config import NETWORKS, FeatureConfig, ModelConfig
from samplemind_core.models import AudioClassifier, build_model, count_parameters
from samplemind_core.training.device import pick_memory_format

NUM_CLASSES = 6
ANSWERS = 10


@dataclass(frozen=True)
class Way:
    """How a network is run."""

    layout: torch.memory_format
    precision: torch.dtype = torch.float32
    fused: bool = True
    compiled: bool = False


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="clips per step (32)")
    parser.add_argument("--steps", type=int, default=3, help="training steps per round (3)")
    parser.add_argument("--rounds", type=int, default=6, help="rounds of all sides (6)")
    parser.add_argument("--device", default="cpu", help="cpu, mps, cuda or cuda:N (cpu)")
    parser.add_argument("--variants", action="store_true", help="ways to run the default network instead")
    options = parser.parse_args()
    device = torch.device(options.device)
    usual = Way(pick_memory_format(device))
    print(f"{machine_line()}; device {device}, batches of {options.batch}\n")
    if options.variants:
        sides = {title: ("samplemind_cnn", way) for title, way in variants(usual, device).items()}
    else:
        sides = {name: (name, usual) for name in NETWORKS}
    header = ("network" if not options.variants else "way", "weights", "training, clips/s", "times the first",
              "by CPU time", "one answer, ms")  # fmt: skip
    built = {}
    for title, (name, way) in sides.items():
        model = build_model(ModelConfig(name=name), NUM_CLASSES, FeatureConfig())
        built[title] = model.to(device, memory_format=way.layout)
    trained = in_turns(
        [training(built[title], way, options.batch, options.steps, device) for title, (_, way) in sides.items()],
        options.rounds,
    )
    answered = in_turns([answering(built[title], way, device) for title, (_, way) in sides.items()], options.rounds)
    rows = []
    for title, times, answers in zip(sides, trained, answered, strict=True):
        wall, cpu = ratio(times, trained[0])
        rows.append(
            (
                title,
                f"{count_parameters(built[title]):,}",
                f"{options.batch * options.steps / times.wall:,.0f}",
                f"{wall:.2f}",
                f"{cpu:.2f}",
                f"{1000 * answers.wall / ANSWERS:.1f}",
            )
        )
    print(table(header, rows), flush=True)


def variants(usual: Way, device: torch.device) -> dict[str, Way]:
    """Return ways to run a network, the usual one first; those that fail here are left out and named."""
    other = torch.contiguous_format if usual.layout == torch.channels_last else torch.channels_last
    ways = {
        "as in training": usual,
        "other layout": Way(other),
        "bfloat16": Way(usual.layout, torch.bfloat16),
        "plain optimizer": Way(usual.layout, fused=False),
        "compiled": Way(usual.layout, compiled=True),
    }
    usable = {}
    for title, way in ways.items():
        model = build_model(ModelConfig(), NUM_CLASSES, FeatureConfig()).to(device, memory_format=way.layout)
        started = time.perf_counter()
        try:
            training(model, way, 8, 1, device)()
        except Exception as error:
            print(f"{title}: not here ({type(error).__name__}: {str(error).splitlines()[0]})")
        else:
            print(f"{title}: first step after {time.perf_counter() - started:.1f} s")
            usable[title] = way
    print(flush=True)
    return usable


def training(model: AudioClassifier, way: Way, batch: int, steps: int, device: torch.device) -> Callable[[], None]:
    """Return a function that trains for some steps."""
    log_mel = -80 * torch.rand(batch, *FeatureConfig().shape, device=device)
    log_mel = log_mel.contiguous(memory_format=way.layout)
    targets = torch.arange(batch, device=device) % NUM_CLASSES
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=way.fused or None)
    network = torch.compile(model) if way.compiled else model

    def work() -> None:
        model.train()
        for _ in range(steps):
            with torch.autocast(device.type, way.precision, enabled=way.precision is not torch.float32):
                logits = network(log_mel)
            loss = functional.cross_entropy(logits.float(), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        loss.item()  # wait for the device

    return work


def answering(model: AudioClassifier, way: Way, device: torch.device) -> Callable[[], None]:
    """Return a function that answers for one clip some times."""
    clip = -80 * torch.rand(1, *FeatureConfig().shape, device=device)
    clip = clip.contiguous(memory_format=way.layout)
    network = torch.compile(model) if way.compiled else model

    def work() -> None:
        model.eval()
        with (
            torch.inference_mode(),
            torch.autocast(device.type, way.precision, enabled=way.precision is not torch.float32),
        ):
            for _ in range(ANSWERS):
                network(clip).cpu()

    return work


if __name__ == "__main__":
    main()
