"""Does the evidence lie where the pages say? Silence the strongest cells, or keep only those, and ask again.

Deletion and insertion (V. Petsiuk, A. Das, K. Saenko, "RISE", BMVC 2018, arXiv:1806.07421) on test clips:
a good map makes the answer fall soon when its strongest cells go (deletion, low is good) and return soon
when only they are left (insertion, high is good). Random cells and the loudest cells are the yardsticks.

    python -m benchmarks.evidence RUN --clips 60
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from benchmarks.machine import machine_line
from samplemind_core.audio.decode import decode
from samplemind_core.inference.explain import class_index, explain
from samplemind_core.workspace import Workspace

SHARES = (0.05, 0.1, 0.2, 0.3, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run")
    parser.add_argument("--clips", type=int, default=60)
    options = parser.parse_args()
    workspace = Workspace()
    run, _ = workspace.resolve(options.run)
    classifier = workspace.classifier(options.run)
    rng = np.random.default_rng(0)
    clips = workspace.store.datasets.clips(run.dataset_id, split="test")
    clips = [clips[place] for place in rng.permutation(len(clips))[: options.clips]]
    curves: dict[str, list[Any]] = {}
    missing = []
    for clip in clips:
        path = workspace.clip_audio(clip)
        assert path is not None
        sound = decode(path, classifier.info.features.sample_rate_hz, name=clip.name).waveform
        found = explain(classifier, sound)
        missing.append(found.missing)
        maps = {
            "integrated gradients": found.evidence,
            "HiResCAM": explain(classifier, sound, method="hires_cam").evidence,
            "loudest cells": found.log_mel,
            "random cells": rng.normal(size=found.log_mel.shape),
        }
        for name, picture in maps.items():
            curves.setdefault(name, []).append(_probs(classifier, found.log_mel, picture, found.class_name))
    print(f"{len(clips)} test clips of {run.name}; strongest shares {SHARES}; {machine_line()}")
    print(f"share of the score unaccounted for: median {np.median(missing):.2%}, largest {max(missing):.2%}")
    for name, rows in curves.items():
        deletion, insertion = np.mean(rows, axis=0)
        print(f"{name:<22} deletion {deletion.mean():.3f} {np.round(deletion, 2)}  ", end="")
        print(f"insertion {insertion.mean():.3f} {np.round(insertion, 2)}")


def _probs(classifier: Any, log_mel: np.ndarray, picture: np.ndarray, class_name: str) -> np.ndarray:
    """Return the class's probability without (row 0) and with only (row 1) the strongest shares of cells."""
    floor = -classifier.info.features.top_db
    sounding = log_mel > floor + 1
    order = np.argsort(-np.where(sounding, picture, -np.inf), axis=None)
    pictures = []
    for share in SHARES:
        strongest = np.zeros(log_mel.size, bool)
        strongest[order[: round(share * sounding.sum())]] = True
        strongest = strongest.reshape(log_mel.shape)
        pictures += [np.where(strongest, floor, log_mel), np.where(strongest, log_mel, floor)]
    with torch.inference_mode():
        logits = classifier.model(torch.from_numpy(np.stack(pictures))[:, None].float().to(classifier.device))
        probs = torch.softmax(logits.double() / classifier.info.temperature, dim=1)
    of_class = probs[:, class_index(classifier, class_name)].cpu().numpy()
    return np.stack([of_class[0::2], of_class[1::2]])


if __name__ == "__main__":
    main()
