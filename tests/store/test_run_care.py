"""What people say of runs, and runs that were deleted but can come back; in both databases."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from samplemind_core.errors import ConfigError, JobError, NameTakenError, NotFoundError
from samplemind_core.settings import Settings
from samplemind_core.store import Run, Store
from samplemind_core.training import control

Make = Callable[..., Run]
HERE = {"host": "here", "pid": 1}


def test_notes_tags_and_origin_come_back(store: Store, make_run: Make) -> None:
    run = make_run(notes="Ünruhe\nim Lärm", tags=("drums", "wide net"), based_on="r0")
    assert store.runs.get(run.id) == run
    plain = make_run()
    assert (plain.notes, plain.tags, plain.based_on, plain.paused, plain.deleted_at) == ("", (), None, False, None)


def test_people_change_name_notes_and_tags(store: Store, make_run: Make) -> None:
    run, other = make_run(), make_run()
    changed = control.describe_run(store, run.id, name="  louder ", notes=" more gain ", tags=["a", " b ", "a", ""])
    assert (changed.name, changed.notes, changed.tags) == ("louder", "more gain", ("a", "b"))
    assert control.describe_run(store, run.id, tags=[]).notes == "more gain"
    assert store.runs.get(run.id).tags == ()
    with pytest.raises(NameTakenError, match="already a run named 'louder'"):
        control.describe_run(store, other.id, name="louder")
    with pytest.raises(TypeError, match="status"):
        store.runs.describe(run.id, status="finished")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"name": "a:b"}, "no colon, got 'a:b'"),
        ({"name": "  "}, "1 to 200"),
        ({"notes": "x" * 4001}, "these have 4,001"),
        ({"tags": ["x" * 41, "fine", "a\tb", "c,d"]}, "'a\\\\tb', 'c,d'"),
        ({"tags": [str(number) for number in range(21)]}, "20 tags, got 21"),
    ],
)
def test_what_cannot_be_used_is_refused(store: Store, make_run: Make, values: dict[str, object], words: str) -> None:
    run = make_run()
    with pytest.raises(ConfigError, match=words):
        control.describe_run(store, run.id, **values)  # type: ignore[arg-type]
    assert store.runs.get(run.id) == run


def test_a_deleted_run_is_hidden_until_it_is_brought_back(store: Store, make_run: Make) -> None:
    run, other = make_run(status="finished"), make_run(status="finished")
    assert store.runs.hide(run.id, "ada").deleted_at == pytest.approx(time.time(), abs=60)
    assert store.runs.all() == [other]
    assert [row.id for row in store.runs.all(deleted=True)] == [run.id]
    assert len(store.runs.all(deleted=None)) == 2
    assert store.runs.get(run.name).id == run.id  # to be brought back
    with pytest.raises(NameTakenError, match="was deleted, and can still be brought back"):
        make_run(name=run.name)
    with pytest.raises(NotFoundError, match="was deleted"):
        control.still_there(store.runs.get(run.id))
    with pytest.raises(JobError, match="was deleted"):
        store.runs.requeue(run.id, ("finished",))
    assert store.runs.bring_back(run.id, "bob").deleted_at is None
    assert len(store.runs.all()) == 2
    assert [event.kind for event in store.runs.events(run.id)] == ["queued", "deleted", "restored"]
    with pytest.raises(JobError, match="was not deleted"):
        store.runs.bring_back(run.id)


def test_deleting_leaves_the_queue_and_never_a_training_run(store: Store, make_run: Make) -> None:
    queued, training = make_run(), make_run(status="running")
    assert store.runs.hide(queued.id).status == "stopped"
    assert store.runs.claim(HERE) is None
    with pytest.raises(JobError, match="is running"):
        store.runs.hide(training.id)


def test_what_was_deleted_long_ago_goes_with_its_files(
    store: Store, make_run: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(workspace=tmp_path, keep_deleted_h=2)
    old, new, there = (make_run(status="finished") for _ in range(3))
    for run in (old, new, there):
        (tmp_path / "runs" / run.id).mkdir(parents=True)
    store.runs.hide(old.id)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2.5 * 3600)
    store.runs.hide(new.id)
    assert control.sweep(store, settings) == 1
    assert {row.id for row in store.runs.all(deleted=None)} == {new.id, there.id}
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted([new.id, there.id])
    assert control.sweep(store, settings, dataset_id=there.dataset_id) == 1
    assert store.runs.all(deleted=None) == [there]


def test_a_paused_run_says_so_until_it_goes_on(store: Store, make_run: Make) -> None:
    run = make_run()
    store.runs.claim(HERE)
    assert store.runs.request_stop(run.id, "ada", pause=True) == "stopping"
    store.runs.end(run.id, "stopped", "Stopped on request in epoch 3.")
    assert store.runs.get(run.id).paused is True
    assert store.runs.requeue(run.id, ("stopped",)).paused is False
    store.runs.claim(HERE)
    store.runs.request_stop(run.id, pause=True)
    store.runs.end(run.id, "finished", "It was done before it could pause.")
    assert store.runs.get(run.id).paused is False
