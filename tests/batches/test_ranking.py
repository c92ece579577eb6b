"""What is suggested for labelling is uncertain, and no two of it are the same sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.batches.ranking import spread, suggest, uncertainty
from samplemind_core.batches.review import correct_answer
from samplemind_core.batches.work import submit_batch
from samplemind_core.config import build_config
from samplemind_core.errors import ConfigError, NotFoundError
from samplemind_core.store.records import Answer
from samplemind_core.tasks import jobs
from samplemind_core.workers import identity
from samplemind_core.workspace import Workspace


def cluster(rng: np.random.Generator, place: int, count: int, size: float) -> np.ndarray:
    points = np.eye(8)[place] + rng.normal(0, size, (count, 8))
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_picks_are_uncertain_and_spread_over_clusters() -> None:
    rng = np.random.default_rng(0)
    # Thirty takes of the oddest sound, two smaller families, and one that the network is sure of.
    families = {"odd": (30, 0.01, 0.95), "rim": (10, 0.2, 0.8), "shaker": (10, 0.2, 0.7), "known": (50, 0.2, 0.02)}
    embeddings = np.concatenate([cluster(rng, i, n, size) for i, (n, size, _) in enumerate(families.values())])
    uncertain = np.concatenate([np.full(n, u) + rng.uniform(0, 0.01, n) for n, _, u in families.values()])
    family = np.repeat(list(families), [n for n, _, _ in families.values()])
    picked = spread(uncertain, embeddings, 6)
    assert picked[0] == int(np.argmax(uncertain))
    assert set(family[picked]) == {"odd", "rim", "shaker"}
    assert list(family[picked]).count("odd") == 1

    def farthest(rows: list[int]) -> float:
        wavering = embeddings[uncertain > 0.5]
        return float(np.linalg.norm(wavering[:, None] - embeddings[rows][None], axis=2).min(axis=1).max())

    surest_last = list(np.argsort(-uncertain)[:6])
    assert set(family[surest_last]) == {"odd"}
    assert farthest(picked) < 0.7 * farthest(surest_last)


def test_copies_of_one_sound_are_picked_once() -> None:
    embeddings = np.repeat(np.eye(3), 4, axis=0)
    assert len(spread(np.ones(12), embeddings, 10)) == 3
    assert spread(np.zeros(0), np.zeros((0, 3)), 5) == []


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        ({"probs": {"kick": 0.5, "tom": 0.5}}, 1.0),
        ({"probs": {"kick": 0.6, "tom": 0.1}, "none": 0.3}, 0.7),
        ({"probs": {"kick": 1.0, "tom": 0.0}, "none": 0.0}, 0.0),
    ],
)
def test_uncertainty_is_what_the_margin_leaves(details: dict[str, object], expected: float) -> None:
    assert uncertainty(Answer(0, "a.wav", details=details)) == pytest.approx(expected)


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Six sounds, each twice under another name, and one that is none."""
    folder = tmp_path / "pack"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        length = 2_000 + 1_500 * number
        sound = rng.uniform(-0.5, 0.5, length) * np.exp(-np.arange(length) / (300 + 400 * number))
        sf.write(folder / f"{number}.wav", sound, 22_050)
        shutil.copy(folder / f"{number}.wav", folder / f"{number} copy.wav")
    (folder / "broken.wav").write_text("This is not a sound.")
    return folder


def test_a_batch_suggests_its_files(
    workspace: Workspace, bursts: Callable[..., Path], pack: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.import_dataset(bursts(), name="bursts")
    small = {"epochs": 1, "n_mels": 32, "duration_s": 0.5, "width": 0.25}
    workspace.train("bursts", build_config("quick", small), name="r")
    batch = submit_batch(workspace, "r", kind="folder", origin=str(pack))
    task = workspace.store.tasks.claim(identity())
    assert task is not None
    jobs.execute(workspace, task)

    (pack / "5.wav").unlink()
    (pack / "5 copy.wav").unlink()
    steps: list[int] = []
    found = suggest(workspace, batch.id, 4, progress=lambda done, total, what: steps.append(done))
    assert steps
    sounds = [suggestion.answer.name.replace(" copy", "") for suggestion in found]
    assert len(set(sounds)) == len(found) == 4
    assert not {"5.wav", "broken.wav"} & set(sounds)
    there = [answer for answer in workspace.store.answers.page(batch.id) if not answer.error and "5" not in answer.name]
    assert found[0].uncertainty == pytest.approx(max(map(uncertainty, there)))
    named = found[0].answer.details["probs"] | {"none of these": found[0].answer.details.get("none")}
    for part in found[0].reason.split(" or "):
        name, share = part.rsplit(" (", 1)
        assert share == f"{100 * named[name]:.0f} %)"

    monkeypatch.setattr(workspace, "classifier", None)  # kept: nothing is computed again
    assert suggest(workspace, batch.id, 4) == found
    assert suggest(workspace, batch.id, 2) == found[:2]
    correct_answer(workspace, batch.id, found[0].answer.position, "woodblock", by="ann")
    assert suggest(workspace, batch.id, 3) == found[1:]
    with pytest.raises(ConfigError, match="budget"):
        suggest(workspace, batch.id, 0)
    with pytest.raises(NotFoundError):
        suggest(workspace, "nothing")
