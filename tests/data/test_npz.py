from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samplemind_core.config import FeatureConfig
from samplemind_core.data import arrays as arrays_module
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.importer import Resumable, import_dataset
from samplemind_core.data.npz_work import NpzWork
from samplemind_core.errors import DataError, StoppedError
from samplemind_core.settings import Limits
from samplemind_core.store import Store

Arrays = dict[str, np.ndarray]
SHAPE = (16, 9)


def arrays(count: int, seed: int = 0, low: float = -80.0, high: float = 0.0) -> Arrays:
    x = np.random.default_rng(seed).uniform(low, high, (count, *SHAPE)).astype(np.float32)
    x[:, 0, 0], x[:, 0, 1] = low, high
    return {"X": x, "y": np.arange(count) % 2}


def write(folder: Path, train: Arrays, val: Arrays, test: Arrays) -> Path:
    folder.mkdir(exist_ok=True)
    for name, content in (("train", train), ("validation", val), ("test", test)):
        np.savez(folder / f"{name}.npz", **content)
    return folder


@pytest.fixture
def triple() -> tuple[Arrays, Arrays, Arrays]:
    return arrays(8, 1), arrays(4, 2), arrays(4, 3)


def test_decibels_are_stored_as_they_are(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    dataset = import_dataset(store, root, write(tmp_path / "set", *triple), "npz")
    assert (dataset.kind, dataset.num_clips, dataset.class_names) == ("features", 16, ("0", "1"))
    assert dataset.warnings == ()
    features = FeatureConfig.model_validate(dataset.features)
    assert features.shape == (1, *SHAPE)
    data = load_clips(root, store, dataset, features)
    expected = np.concatenate([part["X"] for part in triple]).astype(np.float16)
    np.testing.assert_array_equal(data.log_mel[:, 0], expected)
    assert data.split.tolist() == ["train"] * 8 + ["val"] * 4 + ["test"] * 4
    assert data.targets.tolist() == np.concatenate([part["y"] for part in triple]).tolist()
    assert len({clip.content_hash for clip in store.datasets.clips(dataset.id)}) == 16


def test_the_default_shape_is_the_default_configuration(store: Store, root: Path, tmp_path: Path) -> None:
    parts = []
    for i in range(3):
        x = np.linspace(-80, 0, 2 * 128 * 87, dtype=np.float32).reshape(2, 128, 87) - i / 100
        parts.append({"X": x, "y": np.array(["kick", "snare"])})
    dataset = import_dataset(store, root, write(tmp_path / "set", *parts), "npz")
    assert FeatureConfig.model_validate(dataset.features) == FeatureConfig()
    assert dataset.class_names == ("kick", "snare")


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 5.0), (-100.0, 40.0)])
def test_other_ranges_are_mapped_and_told(store: Store, root: Path, tmp_path: Path, low: float, high: float) -> None:
    parts = [arrays(6, i, low, high) for i in range(3)]
    dataset = import_dataset(store, root, write(tmp_path / "set", *parts), "npz")
    assert f"from {low:g} to {high:g}" in dataset.warnings[0]
    data = load_clips(root, store, dataset, FeatureConfig.model_validate(dataset.features))
    expected = (parts[0]["X"] - high) / (high - low) * 80
    np.testing.assert_allclose(data.log_mel[:6, 0], expected, atol=0.05)


def test_a_zip_and_other_orders_and_types(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    for part in triple:
        part["X"] = np.asfortranarray(part["X"].astype(">f8"))[..., None]
        part["y"] = part["y"].astype(float)[:, None]
        part["class_names"] = np.array([b"tom", b"clap"])
    folder = write(tmp_path / "set", *triple)
    (folder / "validation.npz").rename(folder / "val.npz")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"set/{file.name}")
    dataset = import_dataset(store, root, tmp_path / "set.zip", "zip")
    assert dataset.class_names == ("clap", "tom")
    data = load_clips(root, store, dataset, FeatureConfig.model_validate(dataset.features))
    assert data.targets.tolist() == [1, 0] * 8
    np.testing.assert_array_equal(data.log_mel[8:12, 0], triple[1]["X"][..., 0].astype(np.float16))


def test_other_features_cannot_be_asked_for(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    dataset = import_dataset(store, root, write(tmp_path / "set", *triple), "npz")
    with pytest.raises(DataError, match=r"ready-made spectrograms.*n_mels 16 \(not 128\)"):
        load_clips(root, store, dataset, FeatureConfig())


def test_rows_in_two_files_are_told(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    triple[2]["X"][0] = triple[0]["X"][0]
    dataset = import_dataset(store, root, write(tmp_path / "set", *triple), "npz")
    assert any("1 identical spectrogram" in warning for warning in dataset.warnings)


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("unpickled",))


def change(part: Arrays, **values: Any) -> None:
    part.update({key: np.asarray(value) for key, value in values.items()})


CASES: dict[str, tuple[Callable[[Arrays], object], str]] = {
    "pickled labels": (lambda part: part.update(y=np.array([Evil()] * 4, dtype=object)), "pickled Python objects"),
    "pickled images": (lambda part: part.update(X=np.array([Evil()] * 4, dtype=object)), "pickled Python objects"),
    "no X": (lambda part: part.pop("X"), "holds 'y', expected X and y"),
    "rows differ": (lambda part: change(part, y=[0, 1]), "4 rows in X, but 2 labels"),
    "nothing": (lambda part: change(part, X=np.zeros((0, *SHAPE)), y=[]), "has no clips"),
    "NaN": (lambda part: part["X"].__setitem__((2, 3, 4), np.nan), "NaN or infinity"),
    "too large": (lambda part: change(part, X=np.full((4, *SHAPE), 1e300)), "NaN or infinity"),
    "flat": (lambda part: change(part, X=np.zeros((4, 144))), r"shape \(4, 144\)"),
    "shape": (lambda part: change(part, X=part["X"][:, :, :5]), "differ in shape"),
    "one-hot": (lambda part: change(part, y=np.eye(4)), "argmax"),
    "complex": (lambda part: change(part, X=part["X"] + 1j), "expected floats"),
    "fractions": (lambda part: change(part, y=[0.5, 0, 1, 1]), "expected integers or strings"),
    "blank label": (lambda part: change(part, y=["", "a", "a", "a"]), "Has no label"),
}


@pytest.mark.parametrize("case", CASES)
def test_arrays_that_cannot_be_used(
    store: Store,
    root: Path,
    tmp_path: Path,
    triple: tuple[Arrays, Arrays, Arrays],
    left_over: Callable[[], list[str]],
    case: str,
) -> None:
    alter, told = CASES[case]
    alter(triple[1])
    with pytest.raises(DataError, match=told):
        import_dataset(store, root, write(tmp_path / "set", *triple), "npz")
    assert store.datasets.all() == []
    assert not (root / "datasets").exists() or left_over() == []


def test_one_class_and_unusable_sizes(store: Store, root: Path, tmp_path: Path) -> None:
    parts = [arrays(4, i) | {"y": np.zeros(4, dtype=int)} for i in range(3)]
    with pytest.raises(DataError, match="at least two classes"):
        import_dataset(store, root, write(tmp_path / "one", *parts), "npz")
    parts = [arrays(4, i) | {"X": np.zeros((4, 3, 9))} for i in range(3)]
    with pytest.raises(DataError, match="3 mel bands and 9 frames cannot be used"):
        import_dataset(store, root, write(tmp_path / "small", *parts), "npz")
    parts = [arrays(4, i) | {"X": np.zeros((4, *SHAPE))} for i in range(3)]
    with pytest.raises(DataError, match="All values of X"):
        import_dataset(store, root, write(tmp_path / "flat", *parts), "npz")


def test_class_names_must_cover_the_labels(store: Store, root: Path, tmp_path: Path) -> None:
    parts = [arrays(4, i) | {"class_names": np.array(["only"])} for i in range(3)]
    with pytest.raises(DataError, match="from 0 to 1, but there are 1 class names"):
        import_dataset(store, root, write(tmp_path / "set", *parts), "npz")


def test_missing_and_broken_files(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    folder = write(tmp_path / "set", *triple)
    whole = (folder / "test.npz").read_bytes()
    for cut in range(0, len(whole), 97):
        (folder / "test.npz").write_bytes(whole[:cut])
        with pytest.raises(DataError, match=r"test\.npz"):
            import_dataset(store, root, folder, "npz")
    (folder / "test.npz").write_bytes(pickle.dumps({"X": Evil()}))
    with pytest.raises(DataError, match=r"test\.npz cannot be read"):
        import_dataset(store, root, folder, "npz")
    (folder / "test.npz").unlink()
    with pytest.raises(DataError, match=r"no test\.npz"):
        import_dataset(store, root, folder, "npz")


def test_a_header_that_claims_more_than_there_is_allocates_nothing(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    folder = write(tmp_path / "set", *triple)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"shape": (1 << 40, *SHAPE), "fortran_order": False, "descr": "<f4"})
    with zipfile.ZipFile(folder / "test.npz", "w") as archive:
        archive.writestr("X.npy", buffer.getvalue())
        archive.writestr("y.npy", b"x")
    with pytest.raises(DataError, match="holds fewer values"):
        import_dataset(store, root, folder, "npz")
    np.savez_compressed(folder / "test.npz", X=np.zeros((2_000, *SHAPE)), y=np.zeros(2_000, dtype=int))
    with pytest.raises(DataError, match="at most 1 MiB"):
        import_dataset(store, root, folder, "npz", limits=Limits(max_unpacked_mb=1))


@pytest.mark.parametrize("order", ["C", "F"])
def test_what_is_finished_is_not_done_again(
    store: Store, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Stopped after every block in turn, an import checks each block once and stores it once."""
    monkeypatch.setattr(arrays_module, "_BLOCK_BYTES", 3 * 4 * SHAPE[0] * SHAPE[1])
    monkeypatch.setattr(arrays_module, "_FORTRAN_ROWS", 3)
    parts = [arrays(count, seed, 0.0, 1.0) for count, seed in ((8, 1), (4, 2), (5, 3))]
    for part in parts:
        part["X"] = np.asarray(part["X"], order=order)  # type: ignore[call-overload]
    source = write(tmp_path / "set", *parts)
    whole = import_dataset(store, root, source, "whole")
    keep = Resumable(tmp_path / "work", "thedataset")
    done = {"check": 0, "store": 0}
    for name in done:
        work = getattr(NpzWork, name)

        def counted(self: NpzWork, block: object, name: str = name, work: Callable[..., None] = work) -> None:
            done[name] += 1
            work(self, block)

        monkeypatch.setattr(NpzWork, name, counted)
    dataset, stops = None, 0
    while dataset is None:
        asked = iter(range(2))  # the first block is done, and the next question ends it
        try:
            dataset = import_dataset(
                store, root, source, "drums", resumable=keep, should_stop=lambda asked=asked: next(asked) == 1
            )
        except StoppedError:
            stops += 1
            # What was being written when a process dies is half a line, and half a row.
            for name in ("journal", "log_mel"):
                if (keep.folder / name).exists():
                    with (keep.folder / name).open("ab") as file:
                        file.write(b"{")
    num_blocks = 3 + 2 + 2
    assert done == {"check": num_blocks, "store": num_blocks}
    assert stops == 2 * num_blocks - 1
    assert (dataset.id, dataset.fingerprint, dataset.warnings) == ("thedataset", whole.fingerprint, whole.warnings)
    features = FeatureConfig.model_validate(dataset.features)
    np.testing.assert_array_equal(
        load_clips(root, store, dataset, features).log_mel, load_clips(root, store, whole, features).log_mel
    )
    assert not keep.folder.exists()


def test_other_files_of_the_same_names_are_checked_anew(
    store: Store, root: Path, tmp_path: Path, triple: tuple[Arrays, Arrays, Arrays]
) -> None:
    source = write(tmp_path / "set", *triple)
    keep = Resumable(tmp_path / "work", "thedataset")
    asked = iter(range(4))
    with pytest.raises(StoppedError):
        import_dataset(store, root, source, "drums", resumable=keep, should_stop=lambda: next(asked) == 3)
    others = (arrays(8, 11), arrays(4, 12), arrays(4, 13))
    dataset = import_dataset(store, root, write(source, *others), "drums", resumable=keep)
    data = load_clips(root, store, dataset, FeatureConfig.model_validate(dataset.features))
    np.testing.assert_array_equal(data.log_mel[:8, 0], others[0]["X"].astype(np.float16))
