from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from samplemind_core.audio.decode import decode
from samplemind_core.data import making
from samplemind_core.data.importer import ImportOptions, delete_dataset_folder, import_dataset, import_demo
from samplemind_core.errors import DataError, NameTakenError, SplitError, StoppedError, StorageError, StoreError
from samplemind_core.settings import Limits
from samplemind_core.store import Store

LeftOver = Callable[[], list[str]]
WavMaker = Callable[..., bytes]


def test_a_folder_becomes_a_dataset(store: Store, root: Path, drums: Path, left_over: LeftOver) -> None:
    (drums / "kick/notes.txt").write_text("hello")
    (drums / "kick/bad.wav").write_text("not audio")
    told: list[tuple[int, int | None, str]] = []
    dataset = import_dataset(store, root, drums, " drums ", progress=lambda *state: told.append(state))
    assert store.datasets.get("drums") == dataset
    assert (dataset.kind, dataset.class_names, dataset.num_clips) == ("audio", ("kick", "snare"), 16)
    assert left_over() == [dataset.id]
    rejects = {row.name: row.reason for row in store.datasets.rejects(dataset.id)}
    assert set(rejects) == {"kick/notes.txt", "kick/bad.wav"}
    assert dataset.num_rejected == 2
    assert told[-1][0] == told[-1][1] == 17

    clips = store.datasets.clips(dataset.id)
    assert [clip.row for clip in clips] == list(range(16))
    packs: dict[str, set[str]] = {}
    for clip in clips:
        assert clip.target == dataset.class_names.index(clip.label)
        stored = root / "datasets" / dataset.id / (clip.file or "")
        assert stored.read_bytes() == (drums / clip.name).read_bytes()
        decoded = decode(stored, 22_050)
        assert clip.content_hash == decoded.content_hash
        assert (clip.sample_rate_hz, clip.channels, clip.duration_s) == (8_000, 1, 0.05)
        packs.setdefault(clip.source, set()).add(clip.split)
    assert {name: len(sides) for name, sides in packs.items()} == {f"pack{i}": 1 for i in range(4)}
    assert set.union(*packs.values()) == {"train", "val", "test"}


def test_the_same_files_and_seed_give_the_same_fingerprint(store: Store, root: Path, drums: Path) -> None:
    first = import_dataset(store, root, drums, "first")
    assert import_dataset(store, root, drums, "second").fingerprint == first.fingerprint
    (drums / "kick/pack0/00.wav").unlink()
    assert import_dataset(store, root, drums, "third").fingerprint != first.fingerprint


def test_a_zip_gives_what_its_folder_gives(store: Store, root: Path, drums: Path, tmp_path: Path) -> None:
    file = tmp_path / "drums.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for path in sorted(drums.rglob("*.wav")):
            archive.write(path, path.relative_to(drums.parent))
    folder, packed = import_dataset(store, root, drums, "folder"), import_dataset(store, root, file, "zip")
    assert packed.fingerprint == folder.fingerprint


def test_hard_names_never_become_paths(store: Store, root: Path, tmp_path: Path, wav: WavMaker) -> None:
    names = [
        "$(touch pwned).wav",
        "a\nb.wav",
        "キック.WAV",
        "<img src=x>.wav",
        "--help.wav",
        "x" * 200 + ".wav",
        " .wav",
    ]
    for i, name in enumerate(names):
        file = tmp_path / "set" / ("🥁", 'a,"b"')[i % 2] / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wav(i))
    dataset = import_dataset(store, root, tmp_path / "set", "hard")
    assert dataset.class_names == ('a,"b"', "🥁")
    clips = store.datasets.clips(dataset.id)
    assert {clip.name.split("/")[1] for clip in clips} == set(names)
    for clip in clips:
        assert clip.file is not None
        assert clip.file.isascii()
        assert len(clip.file) < 70
        assert (root / "datasets" / dataset.id / clip.file).is_file()


def test_a_manifest_decides(store: Store, root: Path, tmp_path: Path, wav: WavMaker) -> None:
    lines = ["path,label,group,split,fold,bpm"]
    for i in range(12):
        (tmp_path / f"{i}.wav").write_bytes(wav(i))
        lines.append(f"{i}.wav,{'ab'[i % 2]},g{i // 4},{('train', 'val', 'test')[i // 4]},{i // 4},{100 + i}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    dataset = import_dataset(store, root, tmp_path / "list.csv", "listed")
    clips = store.datasets.clips(dataset.id)
    assert [clip.split for clip in clips] == ["train"] * 4 + ["val"] * 4 + ["test"] * 4
    assert (clips[5].source, clips[5].fold, clips[5].extra["bpm"]) == ("g1", "1", "105")
    assert dataset.warnings == ()


def test_copies_and_contradictions_are_told(store: Store, root: Path, drums: Path) -> None:
    shutil.copy(drums / "kick/pack0/00.wav", drums / "kick/pack1/copy.wav")
    shutil.copy(drums / "kick/pack2/04.wav", drums / "snare/pack2/wrong.wav")
    (drums / "Snare").mkdir()
    for i, file in enumerate(sorted((drums / "snare").rglob("*.wav"))[:2]):
        shutil.move(file, drums / f"Snare/{i}.wav")
    dataset = import_dataset(store, root, drums, "copies")
    text = "\n".join(dataset.warnings)
    assert "1 clip is an exact copy" in text
    assert "1 sound under more than one label: kick/pack2/04.wav (kick) = snare/pack2/wrong.wav (snare)" in text
    assert "'Snare', 'snare' differ only in case" in text
    assert "'Snare': fewer than 3 clips" in text
    sides: dict[str, set[str]] = {}
    for clip in store.datasets.clips(dataset.id):
        sides.setdefault(clip.content_hash, set()).add(clip.split)
    assert all(len(found) == 1 for found in sides.values())


def test_silence_is_told(store: Store, root: Path, drums: Path) -> None:
    import soundfile as sf

    sf.write(drums / "kick/silent.wav", np.zeros(100), 8_000)
    dataset = import_dataset(store, root, drums, "silence")
    assert any("1 clip of digital silence: 'kick/silent.wav'" in warning for warning in dataset.warnings)


def test_too_little_is_refused_and_nothing_stays(
    store: Store, root: Path, tmp_path: Path, wav: WavMaker, left_over: LeftOver
) -> None:
    (tmp_path / "set/kick").mkdir(parents=True)
    (tmp_path / "set/kick/bad.wav").write_text("not audio")
    with pytest.raises(DataError, match=r"nothing to import.*bad\.wav"):
        import_dataset(store, root, tmp_path / "set", "none")
    for i in range(4):
        (tmp_path / f"set/kick/{i}.wav").write_bytes(wav(i))
    with pytest.raises(DataError, match=r"at least two classes; all usable samples \(4\) are of the class 'kick'"):
        import_dataset(store, root, tmp_path / "set", "one")
    (tmp_path / "set/snare").mkdir()
    (tmp_path / "set/snare/a.wav").write_bytes(wav(0))
    for i in range(1, 4):
        (tmp_path / f"set/kick/{i}.wav").unlink()
    with pytest.raises(SplitError):
        import_dataset(store, root, tmp_path / "set", "same")
    assert left_over() == []
    assert store.datasets.all() == []


@pytest.mark.parametrize("name", ["", "   ", "x" * 201, "a\nb", "a\0b"])
def test_names_that_cannot_be_used(store: Store, root: Path, drums: Path, name: str) -> None:
    with pytest.raises(DataError, match="1 to 200 printable"):
        import_dataset(store, root, drums, name)


def test_a_name_in_use_is_refused_before_the_work(store: Store, root: Path, drums: Path) -> None:
    import_dataset(store, root, drums, "drums")
    told: list[object] = []
    with pytest.raises(NameTakenError):
        import_dataset(store, root, drums, "drums", progress=lambda *state: told.append(state))
    assert told == []


def test_a_stop_leaves_nothing(store: Store, root: Path, drums: Path, left_over: LeftOver) -> None:
    stop = threading.Event()

    def progress(done: int, total: int | None, what: str) -> None:
        if done == 2:
            stop.set()

    with pytest.raises(StoppedError, match="stopped"):
        import_dataset(store, root, drums, "drums", progress=progress, should_stop=stop.is_set)
    assert left_over() == []
    assert store.datasets.all() == []


def test_a_full_disk_leaves_nothing(
    store: Store, root: Path, drums: Path, left_over: LeftOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = making.write_new

    def full(path: str, data: bytes) -> None:
        if Path(path).name.startswith("000005"):
            raise OSError(errno.ENOSPC, "No space left on device", path)
        write(path, data)

    monkeypatch.setattr(making, "write_new", full)
    with pytest.raises(StorageError, match="disk of the workspace is full"):
        import_dataset(store, root, drums, "drums")
    assert left_over() == []


def test_a_lost_database_leaves_nothing(
    store: Store, root: Path, drums: Path, left_over: LeftOver, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StoreError("The database did not answer.")

    monkeypatch.setattr(store.datasets, "add", away)
    with pytest.raises(StoreError):
        import_dataset(store, root, drums, "drums")
    assert left_over() == []


def test_a_workspace_that_cannot_be_written_is_told(store: Store, root: Path, drums: Path) -> None:
    (root / "datasets").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="cannot be written"):
        import_dataset(store, root, drums, "drums")


def test_what_a_killed_import_left_is_removed(store: Store, root: Path, drums: Path, left_over: LeftOver) -> None:
    kept = import_dataset(store, root, drums, "kept")
    datasets = root / "datasets"
    for name in (".incoming-dead", "halfway", ".deleted-old", ".incoming-alive"):
        (datasets / name / "audio").mkdir(parents=True)
    for name in ("dead", "halfway", kept.id):
        (datasets / f".incoming-{name}.lock").touch()
    with FileLock(datasets / ".incoming-alive.lock"):
        fresh = import_dataset(store, root, drums, "fresh")
        assert left_over() == sorted([".incoming-alive", ".incoming-alive.lock", fresh.id, kept.id])


def test_deleting_removes_the_folder_and_twice_is_no_fault(
    store: Store, root: Path, drums: Path, left_over: LeftOver
) -> None:
    dataset = import_dataset(store, root, drums, "drums")
    delete_dataset_folder(root, dataset.id)
    delete_dataset_folder(root, dataset.id)
    assert left_over() == []


def test_files_over_the_limits_are_rejected(store: Store, root: Path, drums: Path, wav: WavMaker) -> None:
    (drums / "kick/long.wav").write_bytes(wav(99, seconds=3.0))
    dataset = import_dataset(store, root, drums, "drums", limits=Limits(max_clip_s=1.0))
    (reject,) = store.datasets.rejects(dataset.id)
    assert reject.name == "kick/long.wav"
    assert "at most 1 s" in reject.reason


def test_the_demo_is_a_dataset_of_kits(store: Store, root: Path) -> None:
    dataset = import_demo(store, root, "demo", per_class=8, seed=3)
    assert dataset.synthetic
    assert dataset.origin == "Synthesised by SampleMind (seed 3)"
    assert dataset.num_clips == 48
    clips = store.datasets.clips(dataset.id)
    kits: dict[str, set[str]] = {}
    for clip in clips:
        kits.setdefault(clip.source, set()).add(clip.split)
        assert clip.extra["method"]
    assert len(kits) > 3
    assert all(len(sides) == 1 for sides in kits.values())
    with pytest.raises(DataError, match="at least 3 clips per class"):
        import_demo(store, root, "tiny", per_class=2)


def test_options_reach_the_split(store: Store, root: Path, drums: Path) -> None:
    options = ImportOptions(seed=5, fractions=(0.5, 0.25, 0.25), origin="From a friend")
    dataset = import_dataset(store, root, drums, "drums", options=options)
    counts = store.datasets.counts(dataset.id)
    assert counts["kick"] == {"train": 4, "val": 2, "test": 2}
    assert (dataset.seed, dataset.origin) == (5, "From a friend")


def test_importing_the_importer_loads_nothing_heavy() -> None:
    code = (
        "import sys, samplemind_core.data.importer, samplemind_core.data.npz, samplemind_core.data.dataset;"
        "sys.exit(', '.join({'torch', 'librosa', 'numba', 'sklearn', 'scipy.signal'} & set(sys.modules)) or 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
