from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.audio import listeners as module
from samplemind_core.audio.listeners import Listeners
from samplemind_core.config import FeatureConfig
from samplemind_core.data.cache import cache_file, feature_cache
from samplemind_core.data.reading import Workbench
from samplemind_core.data.sources import Candidate
from samplemind_core.errors import ConfigError, DataError
from samplemind_core.inference.hearing import Heard, hear, lost
from samplemind_core.settings import Limits
from samplemind_core.workspace import Workspace
from tests.one_by_one import one_by_one
from tests.waiting import wait_until

SLOW_S = 110.0  # for processes to start on a machine that does much else
FEATURES = FeatureConfig(n_mels=32, duration_s=0.5)


@pytest.fixture(scope="module")
def pair() -> Iterator[Listeners]:
    """Two processes, started."""
    pool = Listeners(2)
    pool.start()
    assert pool.wait(SLOW_S)
    yield pool
    pool.close()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Nine sounds of several rates, with a file among them that is none."""
    paths = []
    for number in range(10):
        path = tmp_path / f"{number}.wav"
        rng = np.random.default_rng(number)
        sf.write(path, rng.uniform(-0.5, 0.5, 3_000 + 900 * number), 16_000 + 4_000 * (number % 3))
        paths.append(path)
    paths[4].write_bytes(b"not a sound")
    return paths


SAID = partial(one_by_one, eval)
DEADLY = "__import__('os')._exit(9)"


class Unknown:
    """Something that no other process knows."""

    def __reduce__(self) -> tuple[object, ...]:
        return eval, ("__import__('no_such_module')",)

    def __call__(self, item: str) -> str:
        return item


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except OSError:
        return True


def test_what_processes_hear_is_what_threads_hear_to_the_last_digit(pair: Listeners, files: list[Path]) -> None:
    hearing = partial(hear, features=FEATURES, limits=Limits(), keep_waveforms=True)
    for here, there in zip([hearing([path])[0] for path in files], pair.together(hearing, files, lost), strict=True):
        assert all(getattr(here, name) == getattr(there, name) for name in ("name", "error", "start_s", "duration_s"))
        assert (here.error is None) == (here.name != str(files[4]))
        if here.error is None:
            assert np.array_equal(here.signal, there.signal)
            assert np.array_equal(here.waveform, there.waveform)


def test_an_import_by_processes_leaves_the_same_clips(
    pair: Listeners, files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = [Candidate(path.name, "a", path.read_bytes) for path in files]
    told, rows = [], []
    for name in ("threads", "processes"):
        if name == "processes":
            monkeypatch.setattr("samplemind_core.data.reading.listeners", lambda: pair)
        bench = Workbench(tmp_path / name)
        told.append([reading for _, reading in bench.read(candidates, Limits(), lambda: None)])
        rows.append(np.concatenate(list(bench.rows(list(range(9))))))
        assert len(list(bench.audio.iterdir())) == 9
    assert told[0] == told[1]
    assert sum(bool(reading.reason) for reading in told[0]) == 1
    assert np.array_equal(*rows)


def test_a_feature_cache_made_by_processes_holds_the_same_bytes(
    pair: Listeners, files: list[Path], workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = files[0].parent / "manifest.csv"
    lines = [f"{path.name},{('kick', 'snare')[place % 2]}" for place, path in enumerate(files) if place != 4]
    manifest.write_text("\n".join(["path,label", *lines]))
    workspace.import_dataset(manifest, name="nine")
    dataset = workspace.dataset("nine")
    file = cache_file(workspace.root, dataset.id, FEATURES)
    made = []
    for name in ("threads", "processes"):
        if name == "processes":
            monkeypatch.setattr("samplemind_core.data.cache.listeners", lambda: pair)
        feature_cache(workspace.root, workspace.store, dataset, FEATURES)
        made.append(file.read_bytes())
        file.unlink()
    assert made[0] == made[1]
    stored = workspace.clips("nine")[3]
    (file.parents[1] / stored.file).write_bytes(b"RIFF")
    with pytest.raises(DataError, match=stored.name):  # raised there, told here
        feature_cache(workspace.root, workspace.store, dataset, FEATURES)


def test_a_file_that_takes_two_processes_with_it_is_refused_and_the_others_are_heard(pair: Listeners) -> None:
    assert pair.wait(SLOW_S)
    before = {listener.process.pid for listener in pair._all}
    # An expression is worked out wherever it is sent.
    assert pair.together(SAID, ["1 + 1", DEADLY, "2 + 2"], lambda item: "lost") == [2, "lost", 4]
    after = {listener.process.pid for listener in pair._all}
    assert before - after
    assert all(gone(pid) for pid in before - after)


def test_an_error_of_the_work_is_raised_where_it_was_asked_for(pair: Listeners) -> None:
    with pytest.raises(ZeroDivisionError):
        pair.together(SAID, ["1", "1 / 0"], str)
    with pytest.raises(ModuleNotFoundError):
        pair.together(partial(one_by_one, Unknown()), ["1", "2"], str)
    with pytest.raises(RuntimeError, match="pickle"):
        pair.together(SAID, ["1", "lambda: 1"], str)
    assert pair.together(SAID, ["1 + 1", "print('not a reply') or 3"], str) == [2, 3]


def test_nothing_is_left_of_them_when_their_owner_is_killed() -> None:
    code = (
        "from samplemind_core.audio.listeners import listeners\n"
        "pool = listeners(); pool.count = 1; pool.start(); pool.wait(110)\n"
        "print(pool._all[0].process.pid, flush=True)\n"
        "input()\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert owner.stdin
    assert owner.stdout
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    owner.stdin.close()
    owner.stdout.close()
    wait_until(lambda: gone(pid), "the process has ended with its owner")


def test_where_no_process_can_start_threads_do_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(module, "_Listener", refuse)
    pool = Listeners(2)
    with pool.at_work(module.MANY):
        assert not pool.wait()
        assert pool.together(SAID, ["1 + 1", "2"], str) == [2, 2]
    pool.close()
    heard: list[Heard] = pool.together(partial(hear, features=FEATURES, limits=Limits()), [Path("none.wav")] * 2, lost)
    assert all(one.error for one in heard)


@pytest.mark.parametrize(("allowed", "count", "starts"), [("", module.NUM_PROCESSES, None), ("7", 7, True),
                                                           ("1", 1, False), ("0", 0, False)])  # fmt: skip
def test_a_setting_says_how_many_there_are(
    monkeypatch: pytest.MonkeyPatch, allowed: str, count: int, starts: bool | None
) -> None:
    monkeypatch.setenv("SAMPLEMIND_LISTENERS", allowed)
    monkeypatch.setattr(module, "_shared", None)
    started: list[int] = []
    monkeypatch.setattr(Listeners, "start", lambda pool: started.append(pool.count))
    pool = module.listeners()
    assert pool.count == count
    with pool.at_work(module.MANY) as processes:
        assert processes.together(SAID, ["1 + 1", "2"], str) == [2, 2]
    if starts is not None:
        assert started == [count] * starts


def test_a_number_of_processes_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMPLEMIND_LISTENERS", "many")
    monkeypatch.setattr(module, "_shared", None)
    with pytest.raises(ConfigError, match="SAMPLEMIND_LISTENERS"):
        module.listeners()
