"""Imports as tasks: stopped, killed at any moment and resumed, a dataset is there once and whole, or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplemind_core.audio import listeners
from samplemind_core.config import FeatureConfig
from samplemind_core.data import making, reading
from samplemind_core.data.cache import feature_cache, open_cache
from samplemind_core.data.import_task import keep_upload, submit_import
from samplemind_core.data.importer import Resumable, import_dataset
from samplemind_core.data.reading import Workbench
from samplemind_core.data.sources import Candidate, ImportOptions
from samplemind_core.errors import NameTakenError, StoppedError
from samplemind_core.settings import Limits
from samplemind_core.store import Store, Task
from samplemind_core.tasks import worker
from samplemind_core.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were decoded."""
    names: list[str] = []
    decode_all = making.decode_all

    def noting(sources: Iterable[tuple[Path | bytes, str]], rate: int, **others: Any) -> object:
        given = list(sources)
        names.extend(name for _, name in given)
        return decode_all(given, rate, **others)

    monkeypatch.setattr(making, "decode_all", noting)
    return names


def read_all_and_stop(store: Store, root: Path, source: Path, keep: Resumable) -> None:
    """Read every file, and stop before they are divided."""
    done = False

    def progress(count: int, total: int | None, _what: str) -> None:
        nonlocal done
        done = count == total

    with pytest.raises(StoppedError):
        import_dataset(store, root, source, "drums", resumable=keep, progress=progress, should_stop=lambda: done)


def test_what_is_finished_is_not_done_again(
    store: Store, root: Path, drums: Path, tmp_path: Path, decoded: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_AHEAD", 1)
    monkeypatch.setattr(listeners, "NUM_THREADS", 1)
    (drums / "kick" / "broken.wav").write_bytes(b"nothing")
    keep = Resumable(tmp_path / "task" / "work", "thedataset")
    with pytest.raises(StoppedError):
        import_dataset(store, root, drums, "drums", resumable=keep, should_stop=lambda: len(decoded) > 5)
    assert store.datasets.all() == []
    first = list(decoded)
    journal = (keep.folder / "journal").read_text().splitlines()[1:]
    assert 0 < len(journal) < 17
    decoded.clear()
    dataset = import_dataset(store, root, drums, "drums", resumable=keep)
    noted = {Path(json.loads(line)["name"]).name for line in journal}
    assert noted == set(first)  # what was in hand when the stop came was kept as well
    assert noted.isdisjoint(decoded)
    assert set(first) | set(decoded) == {path.name for path in drums.rglob("*.wav")}
    assert (dataset.id, dataset.num_clips, dataset.num_rejected) == ("thedataset", 16, 1)
    whole = import_dataset(store, root, drums, "again")
    assert whole.fingerprint == dataset.fingerprint
    np.testing.assert_array_equal(
        feature_cache(root, store, dataset, FeatureConfig()), feature_cache(root, store, whole, FeatureConfig())
    )
    assert not keep.folder.exists()


def test_an_import_that_was_finished_is_not_made_twice(store: Store, root: Path, drums: Path, tmp_path: Path) -> None:
    keep = Resumable(tmp_path / "work", "thedataset")
    first = import_dataset(store, root, drums, "drums", resumable=keep)
    assert import_dataset(store, root, drums, "drums", resumable=keep) == first


def test_a_half_written_line_and_a_missing_row_are_done_again(
    store: Store, root: Path, drums: Path, tmp_path: Path, decoded: list[str]
) -> None:
    keep = Resumable(tmp_path / "work", "thedataset")
    read_all_and_stop(store, root, drums, keep)
    journal = keep.folder / "journal"
    journal.write_text(journal.read_text()[:-20])
    os.truncate(keep.folder / "log_mel", (keep.folder / "log_mel").stat().st_size - 100)
    decoded.clear()
    dataset = import_dataset(store, root, drums, "drums", resumable=keep)
    assert dataset.num_clips == 16
    assert len(decoded) == 1


@pytest.mark.parametrize("cut", [40, -1])
def test_a_half_written_line_costs_its_file_once(
    store: Store, root: Path, drums: Path, tmp_path: Path, decoded: list[str], cut: int
) -> None:
    keep = Resumable(tmp_path / "work", "thedataset")
    read_all_and_stop(store, root, drums, keep)
    journal = keep.folder / "journal"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:6]) + lines[6][:cut])  # the disk was full
    read_all_and_stop(store, root, drums, keep)
    decoded.clear()
    assert import_dataset(store, root, drums, "drums", resumable=keep).num_clips == 16
    assert decoded == []


def test_another_archive_of_the_same_name_is_read_anew(
    store: Store, root: Path, drums: Path, tmp_path: Path, decoded: list[str]
) -> None:
    import shutil

    archive = Path(shutil.make_archive(str(tmp_path / "set"), "zip", drums))
    keep = Resumable(tmp_path / "work", "thedataset")
    read_all_and_stop(store, root, archive, keep)
    os.utime(archive, ns=(1, 1))
    decoded.clear()
    import_dataset(store, root, archive, "drums", resumable=keep)
    assert len(decoded) == 16


def test_a_killed_import_goes_on(workspace: Workspace, bursts: Callable[..., Path]) -> None:
    folder = bursts(per_class=100)
    task = submit_import(workspace.tasks, workspace.store, folder, "drums", ImportOptions())
    environment = os.environ | {"SAMPLEMIND_WORKSPACE": str(workspace.root), "PYTHONPATH": str(ROOT)}
    # Slow enough to be met in the middle, however fast the machine is.
    code = (
        "import time\nfrom samplemind_core.data import making\ndecode_all = making.decode_all\n"
        "def slow(sources, *a, **k):\n    sources = list(sources)\n    time.sleep(0.02 * len(sources))\n"
        "    return decode_all(sources, *a, **k)\nmaking.decode_all = slow\n"
        "from samplemind_core.tasks import worker\nworker.main([])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    journal = workspace.root / "tasks" / task.id / "work" / "journal"
    deadline = time.monotonic() + DEADLINE_S
    while not journal.exists() or len(journal.read_text().splitlines()) < 20:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    workspace.tend(now=True)
    assert workspace.tasks.get(task.id).status == "interrupted"
    assert workspace.datasets() == []
    done_before = len(journal.read_text().splitlines()) - 1
    assert done_before < 200
    workspace.tasks.resume(task.id)
    worker.work(workspace)
    ended = workspace.tasks.get(task.id)
    assert (ended.status, ended.error) == ("done", None)
    (dataset,) = workspace.datasets()
    assert (dataset.id, dataset.num_clips) == (task.id, 200)
    assert sorted(path.name for path in (workspace.root / "datasets").iterdir() if path.is_dir()) == [task.id]


def test_a_failed_import_says_why_and_leaves_no_dataset(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    task = submit_import(workspace.tasks, workspace.store, tmp_path / "empty", "nothing")
    worker.work(workspace)
    error = workspace.tasks.get(task.id).error
    assert error is not None
    assert "nothing to import" in error["problem"]
    assert workspace.datasets() == []


def test_names_that_are_taken_or_will_be(workspace: Workspace, drums: Path) -> None:
    submit_import(workspace.tasks, workspace.store, drums, "drums")
    with pytest.raises(NameTakenError, match="is being imported"):
        submit_import(workspace.tasks, workspace.store, drums, " drums ")
    worker.work(workspace)
    with pytest.raises(NameTakenError, match="already a dataset"):
        submit_import(workspace.tasks, workspace.store, drums, "drums")


def test_uploaded_files_lie_side_by_side_under_harmless_names(tmp_path: Path) -> None:
    import io

    names = [
        "kick.wav",
        "Kick.wav",
        "../../evil.wav",
        "a/b.wav",
        "..",
        "x" * 300 + ".wav",
        "\u1112\u1161\u11ab" * 40 + ".wav",
    ]
    put = keep_upload({name: io.BytesIO(b"x") for name in names})
    assert put(tmp_path / "upload") == "files"
    kept = sorted(path.name for path in (tmp_path / "upload" / "files").iterdir())
    assert len(kept) == 7
    assert sum(name.endswith(".wav") for name in kept) == 6
    assert {"kick.wav", "Kick-2.wav", "a_b.wav", "file"} < set(kept)
    assert [path.name for path in tmp_path.iterdir()] == ["upload"]


def test_a_dismissed_import_takes_its_upload_along(workspace: Workspace) -> None:
    import io

    put = keep_upload({"set.zip": io.BytesIO(b"no zip")})
    task: Task = submit_import(workspace.tasks, workspace.store, put, "set")
    folder = workspace.root / "tasks" / task.id
    assert (folder / "upload" / "set.zip").read_bytes() == b"no zip"
    worker.work(workspace)
    assert workspace.tasks.get(task.id).status == "failed"
    workspace.tasks.dismiss(task.id)
    assert not folder.exists()


def test_spectrograms_become_the_cache_in_any_order(drums: Path, tmp_path: Path) -> None:
    candidates = [Candidate(path.name, "a", path.read_bytes) for path in sorted(drums.rglob("*.wav"))[:5]]
    for order in (list(range(5)), [0, 1, 2], [3, 1, 4]):
        bench = Workbench(tmp_path / f"work{order}")
        read = list(bench.read(candidates, Limits(), lambda: None))
        assert [reading.row for _, reading in read] == list(range(5))
        wanted = np.concatenate(list(bench.rows(order)))
        bench.hand_over(order, tmp_path / "cache.npy")
        cache = open_cache(tmp_path / "cache.npy", (len(order), *bench.features.shape))
        assert cache is not None
        np.testing.assert_array_equal(cache, wanted)
        assert (tmp_path / "cache.npy").stat().st_size == 128 + len(order) * bench.row_bytes


def test_what_another_layout_has_left_is_read_anew(drums: Path, tmp_path: Path) -> None:
    path = next(drums.rglob("*.wav"))
    first = Workbench(tmp_path, "stamp")
    list(first.read([Candidate(path.name, "a", path.read_bytes)], Limits(), lambda: None))
    assert Workbench(tmp_path, "stamp")._known
    journal = tmp_path / "journal"
    journal.write_text(journal.read_text().replace('"layout": 3', '"layout": 2'))
    assert not Workbench(tmp_path, "stamp")._known
