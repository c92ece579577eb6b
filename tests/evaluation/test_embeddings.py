"""Embeddings against the network itself, and neighbours against plain sorting."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from samplemind_core.config import build_config
from samplemind_core.errors import ConfigError, DataError, NotFoundError, StoppedError
from samplemind_core.evaluation import embeddings as module
from samplemind_core.evaluation.embeddings import embed_dataset, embeddings_file, nearest, unit
from samplemind_core.settings import Settings
from samplemind_core.workspace import Workspace

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 2}


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    """A workspace with the demo dataset and a run; its tests leave both as they are."""
    workspace = Workspace(Settings(workspace=tmp_path_factory.mktemp("space"), database_url=None, worker="external"))
    workspace.make_demo(per_class=8, name="demo")
    workspace.train("demo", build_config("quick", TINY), name="first")
    yield workspace
    workspace.close()


def test_the_head_turns_embeddings_into_the_stored_logits(space) -> None:
    found = space.embeddings("first")
    clips = space.store.datasets.clips(space.dataset("demo").id)
    assert found.clip_ids.tolist() == [clip.id for clip in clips]
    assert found.labels.tolist() == [clip.label for clip in clips]
    head = space.classifier("first").model.head
    with torch.inference_mode():
        assert np.allclose(head(torch.from_numpy(found.vectors)).numpy(), found.logits, atol=1e-5)
    judged = space.judge("first", split="test")
    test = found.of("test")
    assert test.clip_ids.tolist() == judged.clip_ids.tolist()
    assert np.allclose(test.logits, judged.logits, atol=1e-3)
    assert test.predicted.tolist() == [found.class_names[i] for i in judged.logits.argmax(axis=1)]


def test_a_second_look_needs_no_network(space, monkeypatch) -> None:
    first = space.embeddings("first")

    def never(*_args):
        raise AssertionError("computed again")

    monkeypatch.setattr(module, "_compute", never)
    again = space.embeddings("first")
    assert np.array_equal(first.vectors, again.vectors)
    assert np.array_equal(first.logits, again.logits)


def test_other_weights_and_damaged_files_are_computed_anew(space) -> None:
    run, checkpoint = space.resolve("first")
    dataset = space.dataset("demo")
    first = space.embeddings("first")
    path = embeddings_file(space.root, checkpoint, dataset.id)
    with np.load(path) as file:
        stale = dict(file) | {"made_from": np.array([1.0]), "vectors": np.zeros_like(first.vectors)}
    np.savez(path, **stale)
    assert np.array_equal(space.embeddings(f"{run.id}:best").vectors, first.vectors)
    whole = path.read_bytes()
    for damaged in (b"not an archive", whole[: len(whole) // 2]):
        path.write_bytes(damaged)
        assert np.array_equal(space.embeddings("first").vectors, first.vectors)


def test_it_reports_progress_and_stops_when_asked(space) -> None:
    _, checkpoint = space.resolve("first:last")
    dataset = space.dataset("demo")
    with pytest.raises(StoppedError, match="stopped"):
        embed_dataset(space.store, space.settings, checkpoint, dataset, should_stop=lambda: True)
    told = []
    embed_dataset(space.store, space.settings, checkpoint, dataset, lambda done, of, what: told.append((done, of)))
    assert told[-1] == (dataset.num_clips, dataset.num_clips)


def test_neighbours_are_those_of_plain_sorting() -> None:
    rng = np.random.default_rng(0)
    queries, among = rng.normal(size=(7, 5)), rng.normal(size=(2_500, 5))
    rows, distances = nearest(queries, among, 4)
    expected = (
        1 - (queries / np.linalg.norm(queries, axis=1)[:, None]) @ (among / np.linalg.norm(among, axis=1)[:, None]).T
    )
    assert rows.tolist() == np.argsort(expected, axis=1, kind="stable")[:, :4].tolist()
    assert np.allclose(distances, np.sort(expected, axis=1)[:, :4], atol=1e-5)


def test_neighbours_do_not_depend_on_length_and_survive_zeros() -> None:
    among = np.array([[1.0, 0.0], [0.0, 5.0], [0.0, 0.0]])
    rows, distances = nearest(np.array([[0.0, 0.1]]), among, 10)
    assert rows[0, 0] == 1
    assert distances[0].tolist() == [0.0, 1.0, 1.0]
    assert np.isfinite(unit(among)).all()


def test_wrong_questions_are_explained() -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        nearest(np.ones((1, 2)), np.ones((3, 2)), 0)
    with pytest.raises(DataError, match="same checkpoint"):
        nearest(np.ones((1, 3)), np.ones((3, 2)), 1)


def test_nearest_training_clips_of_a_clip_a_waveform_and_a_picture(space) -> None:
    clips = space.store.datasets.clips(space.dataset("demo").id)
    train = next(clip for clip in clips if clip.split == "train")
    own = space.nearest_training_clips("first", train.id, k=3)
    assert len(own) == 3
    assert train.id not in {neighbour.clip_id for neighbour in own}
    assert [neighbour.distance for neighbour in own] == sorted(neighbour.distance for neighbour in own)
    splits = {clip.id: clip.split for clip in clips}
    assert {splits[neighbour.clip_id] for neighbour in own} == {"train"}

    result = space.classifier("first").predict([space.clip_audio(train)], keep_signals=True)[0]
    for sound in (result.waveform, result.log_mel):
        found = space.nearest_training_clips("first", sound, k=1)[0]
        # The very sound is in the training set. The cache rounds to half precision.
        assert (found.clip_id, found.label) == (train.id, train.label)
        assert found.distance < 1e-4
    with pytest.raises(DataError, match="log-mel"):
        space.nearest_training_clips("first", np.zeros((3, 3), np.float32))
    with pytest.raises(NotFoundError):
        space.embeddings("first").vector(10**6)
