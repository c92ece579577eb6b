from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from samplemind_core.errors import NotFoundError, VersionConflictError
from samplemind_core.store import Change, Clip, Dataset, Run, Store, Version
from samplemind_core.store.database import HEAD

MakeClip = Callable[..., Clip]


def next_version(dataset: Dataset, **changes) -> Version:
    values = {"dataset_id": dataset.id, "version": dataset.version + 1, "kind": "relabel", "message": "Relabelled",
              "author": "ada", "created_at": 0.0, "fingerprint": f"{dataset.version + 1:064d}",
              "class_names": dataset.class_names, "num_clips": dataset.num_clips, "num_excluded": 0,
              "seed": dataset.seed}  # fmt: skip
    return Version(**values | changes)


def test_an_import_is_the_first_version(store: Store, dataset: Dataset) -> None:
    [first] = store.versions.all(dataset.id)
    assert (first.version, first.kind, first.message) == (1, "import", dataset.origin)
    assert first.fingerprint == dataset.fingerprint
    assert store.versions.clips(dataset) == store.datasets.clips(dataset.id)


def test_a_version_changes_clips_and_dataset_together(store: Store, dataset: Dataset) -> None:
    clips = store.datasets.clips(dataset.id)
    changes = [
        Change(clips[0].id, "label", "kick", "tom"),
        Change(clips[1].id, "excluded", False, True),
        Change(clips[1].id, "source", "pack0", "pack9"),
    ]
    made = store.versions.add(
        next_version(dataset, class_names=("kick", "snare", "tom"), num_clips=39, num_excluded=1, seed=11), changes
    )
    assert made.num_changes == 3
    assert made.created_at > 0
    now = store.datasets.get(dataset.id)
    assert (now.version, now.num_clips, now.num_excluded, now.seed) == (2, 39, 1, 11)
    assert now.class_names == ("kick", "snare", "tom")
    assert (store.datasets.clip(clips[0].id).label, store.datasets.clip(clips[0].id).target) == ("tom", 2)
    assert store.datasets.count_clips(dataset.id) == 39
    [left_out] = store.datasets.clips(dataset.id, excluded=True)
    assert (left_out.id, left_out.source) == (clips[1].id, "pack9")
    assert sum(sum(row.values()) for row in store.datasets.counts(dataset.id).values()) == 39
    assert "pack9" not in store.datasets.sources(dataset.id)
    assert sorted(store.versions.changes(dataset.id, 2), key=lambda change: change.field) == sorted(
        changes, key=lambda change: change.field
    )


def test_every_version_can_be_read_as_it_was(store: Store, dataset: Dataset) -> None:
    clips = store.datasets.clips(dataset.id)
    names = (("kick", "snare", "tom"), ("kick", "snare"), ("clap", "kick", "snare"))
    for class_names, (before, after) in zip(names, (("kick", "tom"), ("tom", "snare"), ("snare", "clap")), strict=True):
        now = store.datasets.get(dataset.id)
        store.versions.add(next_version(now, class_names=class_names), [Change(clips[0].id, "label", before, after)])
    found = [store.versions.clips(store.versions.at(store.datasets.get(dataset.id), number)) for number in range(1, 5)]
    assert [(rows[0].label, rows[0].target) for rows in found] == [("kick", 0), ("tom", 2), ("snare", 1), ("clap", 0)]
    assert found[0] == clips
    # A new class in front moves the place of every other one.
    assert [clip.target for clip in found[3][1:3]] == [2, 1]
    assert [row.version for row in store.versions.all(dataset.id)] == [1, 2, 3, 4]


def test_a_record_of_an_older_version_reads_its_own_clips(store: Store, dataset: Dataset) -> None:
    clip = store.datasets.clips(dataset.id)[0]
    store.versions.add(next_version(dataset), [Change(clip.id, "split", clip.split, "test")])
    assert store.versions.clips(dataset)[0].split == clip.split


def test_a_change_to_an_old_version_is_refused_and_leaves_nothing(store: Store, dataset: Dataset) -> None:
    clip = store.datasets.clips(dataset.id)[0]
    store.versions.add(next_version(dataset, author="Ada", message="Moved 1 sample"), [])
    with pytest.raises(VersionConflictError, match=r"version 2 by Ada: Moved 1 sample\. .* to version 1"):
        store.versions.add(next_version(dataset), [Change(clip.id, "label", "kick", "snare")])
    assert store.datasets.clip(clip.id) == clip
    assert store.datasets.get(dataset.id).version == 2


def test_of_two_people_who_change_at_once_one_is_told(
    store: Store, store_url: str, dataset: Dataset, together: Callable[..., list[str]]
) -> None:
    code = f"""
from samplemind_core.errors import VersionConflictError
from samplemind_core.store import Change, Version
store = Store(url)
go()
values = dict(dataset_id={dataset.id!r}, version=2, kind="relabel", message="Relabelled", author=str(number),
    created_at=0.0, fingerprint="f", class_names=("kick", "snare"), num_clips=40, num_excluded=0, seed=0)
clips = store.datasets.clips({dataset.id!r})
try:
    store.versions.add(Version(**values), [Change(clip.id, "source", clip.source, f"by-{{number}}") for clip in clips])
    print("made", flush=True)
except VersionConflictError:
    print("refused", flush=True)
"""
    assert sorted(together(code, store_url, 3)) == ["made", "refused", "refused"]
    assert len({clip.source for clip in store.datasets.clips(dataset.id)}) == 1
    assert store.versions.get(dataset.id, 2).num_changes == 40


def test_a_version_that_is_not_there_says_which_are(store: Store, dataset: Dataset) -> None:
    with pytest.raises(NotFoundError, match=r"no version 7\. It has versions 1 to 1"):
        store.versions.at(dataset, 7)
    with pytest.raises(NotFoundError):
        store.versions.add(next_version(replace(dataset, id="gone")), [])


def test_odd_text_is_stored_as_both_databases_take_it(store: Store, dataset: Dataset) -> None:
    made = store.versions.add(next_version(dataset, author="a\0b", message="x\ud800"), [])
    assert store.versions.get(dataset.id, 2).author == "a\ufffdb"
    assert made.version == 2


def test_findings_that_are_in_order_are_remembered(store: Store, dataset: Dataset) -> None:
    for _ in range(2):
        store.versions.keep(dataset.id, "k" * 64, "ada")
    assert store.versions.kept(dataset.id) == {"k" * 64: "ada"}
    store.versions.unkeep(dataset.id, "k" * 64)
    assert store.versions.kept(dataset.id) == {}


def test_versions_go_with_their_dataset(store: Store, dataset: Dataset) -> None:
    clip = store.datasets.clips(dataset.id)[0]
    store.versions.add(next_version(dataset), [Change(clip.id, "split", clip.split, "test")])
    store.versions.keep(dataset.id, "k", "")
    store.datasets.delete(dataset.id)
    assert store.versions.all(dataset.id) == []
    assert store.versions.changes(dataset.id, 2) == []
    assert store.versions.kept(dataset.id) == {}


def test_a_run_remembers_the_version_it_was_trained_on(store: Store, make_run: Callable[..., Run]) -> None:
    run = make_run(dataset_version=3, dataset_fingerprint="f" * 64)
    assert (store.runs.get(run.id).dataset_version, store.runs.get(run.id).dataset_fingerprint) == (3, "f" * 64)


def test_what_there_was_before_versions_becomes_the_first_ones(tmp_path: Path) -> None:
    file = tmp_path / "old.db"
    config = Config()
    config.set_main_option("script_location", "samplemind_core/store/migrations")
    engine = create_engine(f"sqlite:///{file}")
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
    engine.dispose()
    with sqlite3.connect(file) as old:
        old.execute(
            "insert into datasets values"
            " ('d1','drums','audio','[\"kick\",\"snare\"]',1,0,'print','a folder',7,5.5,0,null,'[]')"
        )
        old.execute(
            "insert into clips values (1,'d1',0,'a.wav','kick',0,'pack','train','h',null,null,null,null,null,null,'{}')"
        )
        old.execute(
            "insert into runs (id, name, dataset_id, status, config, owner, created_at, queued_at, progress,"
            " stop_requested) values ('r1','run','d1','finished','{}','ada',1,1,'{}',0)"
        )
    old.close()
    store = Store(f"sqlite:///{file}")
    [first] = store.versions.all("d1")
    assert (first.version, first.kind, first.message, first.class_names) == (1, "import", "a folder", ("kick", "snare"))
    assert store.datasets.clips("d1")[0].name == "a.wav"
    assert (store.runs.get("r1").dataset_version, store.runs.get("r1").dataset_fingerprint) == (1, "print")
    assert HEAD > "0001"
    store.close()
