"""What Diagnostics hands to the worker: answers that nobody asked for yet, embeddings, loudness."""

from __future__ import annotations

import math
import time

import pytest

from samplemind_core.config import build_config
from samplemind_core.evaluation import levels, work_ahead
from samplemind_core.store import Run
from samplemind_core.tasks import jobs
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint
from samplemind_core.workers import identity
from samplemind_core.workspace import Workspace


@pytest.fixture
def unasked(space: Workspace, bursts) -> Workspace:
    """A dataset of short noises and a network that was never asked about any of them."""
    from samplemind_core.models import build_model

    dataset = space.import_dataset(bursts(), name="bursts")
    config = build_config("quick", {"epochs": 1, "n_mels": 16, "duration_s": 0.4, "width": 0.25})
    now = time.time()
    run = space.store.runs.add(
        Run("r1", "first", dataset.id, "finished", config.model_dump(mode="json"), "me", now, now)
    )
    path = space.root / "runs" / run.id / "best.safetensors"
    model = build_model(config.model, len(dataset.class_names), config.features)
    info = CheckpointInfo(class_names=dataset.class_names, config=config, epoch=1, metrics={}, dataset={},
                          num_parameters=1)  # fmt: skip
    save_checkpoint(path, {f"model.{key}": value for key, value in model.state_dict().items()}, info)
    values = {"kind": "best", "epoch": 1, "path": path.relative_to(space.root).as_posix(), "val_loss": 1.0,
              "val_accuracy": 0.5, "num_bytes": 1}  # fmt: skip
    space.store.runs.put_checkpoint(run.id, values)
    return space


def work(space: Workspace) -> str:
    """Do the one task that waits, as the worker does, and return how it ended."""
    task = space.store.tasks.claim(identity())
    assert task is not None
    return jobs.execute(space, task).status


def accuracies(app) -> list[str]:
    return [metric.value for metric in app.metric if metric.label == "Accuracy"]


def test_long_answers_are_the_workers_and_the_second_look_is_instant(unasked, visit, monkeypatch) -> None:
    monkeypatch.setattr(work_ahead, "MOMENT_S", 0.0)
    app = visit("diagnostics", a="r1:best", b="", split="all")
    assert not app.exception
    assert accuracies(app) == []
    (task,) = unasked.tasks.all(kind="judge")
    assert (task.status, task.params["refs"], task.params["split"]) == ("queued", ["r1:best"], "all")
    assert any("goes on when you leave" in caption.value for caption in app.caption)
    app.run()
    assert len(unasked.tasks.all(kind="judge")) == 1  # looking again asks for nothing more
    assert work(unasked) == "done"
    app.run()
    assert not app.exception
    assert len(accuracies(app)) == 1
    assert len(unasked.judge("r1", split="all").clip_ids) == unasked.dataset("bursts").num_clips


def test_a_few_are_measured_at_once_and_who_does_not_want_to_wait_measures_here(unasked, visit, monkeypatch) -> None:
    app = visit("diagnostics", a="r1:best", b="", split="val")
    assert (len(accuracies(app)), unasked.tasks.all()) == (1, [])
    monkeypatch.setattr(work_ahead, "MOMENT_S", 0.0)
    app = visit("diagnostics", a="r1:best", b="", split="all")
    next(button for button in app.button if button.label.startswith("Do not wait")).click().run()
    assert not app.exception
    assert len(accuracies(app)) == 1
    assert unasked.tasks.all(kind="judge") == []


def test_a_task_that_is_stopped_keeps_nothing_half(unasked) -> None:
    class Stop(Exception):
        pass

    def tell(done: int, total: int | None, what: str) -> None:
        raise Stop

    with pytest.raises(Stop):
        unasked.judge("r1", split="test", progress=tell)
    checkpoint = unasked.checkpoints("r1")[0]
    assert unasked.store.runs.prediction(checkpoint, unasked.dataset("bursts").id, "test") is None
    assert len(unasked.judge("r1", split="test").clip_ids) > 0


def test_the_loudness_of_many_is_measured_by_the_worker_and_kept(unasked, visit, monkeypatch) -> None:
    dataset = unasked.dataset("bursts")
    clips = unasked.clips(dataset.id)
    unasked.clip_audio(clips[0]).unlink()  # one that is gone since
    unasked.tasks.submit("levels", "Loudness", {"dataset": dataset.id})
    assert work(unasked) == "done"
    kept = levels.stored_levels(unasked.root, dataset.id)
    assert set(kept) == {clip.id for clip in clips}
    assert math.isnan(kept[clips[0].id])
    assert kept[clips[1].id] == pytest.approx(-14, abs=4)  # a tone of amplitude 0.5 that dies away
    for clip in clips:
        unasked.clip_audio(clip).unlink(missing_ok=True)  # measured twice, these would not be known
    assert levels.measure_levels(unasked.root, clips) == pytest.approx(kept, nan_ok=True)


def test_embeddings_are_made_by_the_worker(unasked, visit, monkeypatch) -> None:
    unasked.judge("r1", split="all")
    monkeypatch.setattr(work_ahead, "MOMENT_S", 0.0)
    app = visit("diagnostics", a="r1:best", b="", split="all", section="embedding")
    assert not app.exception
    (task,) = unasked.tasks.all()
    assert task.kind == "embed"
    assert work(unasked) == "done"
    app.run()
    assert not app.exception
    assert app.get("plotly_chart")
