from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from samplemind_core.audio.decode import decode
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.config import USUAL_FEATURES, FeatureConfig
from samplemind_core.data import cache
from samplemind_core.data.cache import cache_file, feature_cache
from samplemind_core.data.dataset import load_clips
from samplemind_core.data.importer import import_dataset
from samplemind_core.errors import DataError, StorageError
from samplemind_core.store import Dataset, Store

FEATURES = FeatureConfig(sample_rate_hz=8_000, duration_s=0.1, n_fft=256, hop_length=64, n_mels=16)


@pytest.fixture
def dataset(store: Store, root: Path, drums: Path) -> Dataset:
    return import_dataset(store, root, drums, "drums")


def test_the_cache_equals_each_clip_on_its_own(
    store: Store, root: Path, dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "_BATCH", 5)  # the last batch is a short one
    told: list[tuple[int, int | None, str]] = []
    log_mel = feature_cache(root, store, dataset, FEATURES, lambda *state: told.append(state))
    assert log_mel.shape == (16, *FEATURES.shape)
    assert log_mel.dtype == np.float16
    front_end = LogMel(FEATURES)
    for clip in store.datasets.clips(dataset.id):
        decoded = decode(root / "datasets" / dataset.id / (clip.file or ""), FEATURES.sample_rate_hz)
        window, _ = fit_window(decoded.waveform, FEATURES)
        np.testing.assert_array_equal(
            log_mel[clip.row], front_end(torch.from_numpy(window)[None])[0].numpy().astype(np.float16)
        )
    assert [done for done, _, _ in told] == [5, 10, 15, 16]


def test_it_is_computed_once_per_configuration(store: Store, root: Path, dataset: Dataset) -> None:
    feature_cache(root, store, dataset, FEATURES)
    told: list[object] = []
    feature_cache(root, store, dataset, FEATURES, lambda *state: told.append(state))
    assert told == []
    other = feature_cache(root, store, dataset, FEATURES.model_copy(update={"n_mels": 20}))
    assert other.shape[2] == 20
    with pytest.raises(ValueError, match="read-only"):
        other[0] = 0


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "shape", "dtype"])
def test_a_damaged_cache_is_rebuilt(store: Store, root: Path, dataset: Dataset, damage: str) -> None:
    right = np.array(feature_cache(root, store, dataset, FEATURES))
    file = cache_file(root, dataset.id, FEATURES)
    if damage == "cut":
        os.truncate(file, file.stat().st_size - 10)
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("nothing")
    else:
        np.save(file, right[:-1] if damage == "shape" else right.astype(np.float32))
    np.testing.assert_array_equal(feature_cache(root, store, dataset, FEATURES), right)


@pytest.mark.parametrize("fault", ["gone", "changed", "broken"])
def test_a_clip_that_is_not_what_was_imported_is_named(
    store: Store, root: Path, dataset: Dataset, wav: Callable[[int], bytes], fault: str
) -> None:
    clip = store.datasets.clips(dataset.id)[7]
    file = root / "datasets" / dataset.id / (clip.file or "")
    if fault == "gone":
        file.unlink()
    else:
        file.write_bytes(wav(1_000) if fault == "changed" else b"x")
    with pytest.raises(DataError, match=clip.name):
        feature_cache(root, store, dataset, FEATURES)
    folder = cache_file(root, dataset.id, FEATURES).parent
    made_by_import = cache_file(root, dataset.id, USUAL_FEATURES).name
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == [made_by_import]


def test_a_cache_that_cannot_be_written_is_told(store: Store, root: Path, dataset: Dataset) -> None:
    shutil.rmtree(cache_file(root, dataset.id, FEATURES).parent)
    cache_file(root, dataset.id, FEATURES).parent.write_text("a file where the folder should be")
    with pytest.raises(StorageError):
        feature_cache(root, store, dataset, FEATURES)


def test_the_arrays_of_a_dataset_agree_with_its_rows(store: Store, root: Path, dataset: Dataset) -> None:
    data = load_clips(root, store, dataset, FEATURES)
    clips = store.datasets.clips(dataset.id)
    assert len(data) == 16
    assert data.class_names == ("kick", "snare")
    assert data.clip_ids.tolist() == [clip.id for clip in clips]
    assert data.targets.tolist() == [clip.target for clip in clips]
    assert data.sources.tolist() == [clip.source for clip in clips]
    for split in ("train", "val", "test"):
        assert data.indices(split).tolist() == [clip.row for clip in clips if clip.split == split]
    with pytest.raises(DataError, match="no split 'dev'"):
        data.indices("dev")
