"""Datasets of versions that hashed sounds with SHA-256 go on working."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from samplemind_core.audio.content_hash import kind_of
from samplemind_core.audio.decode import decode
from samplemind_core.config import FeatureConfig
from samplemind_core.data.cache import feature_cache
from samplemind_core.data.editing import Editor, NewClip
from samplemind_core.data.importer import import_dataset
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.profile import profile_clips
from samplemind_core.data.versions import diff
from samplemind_core.errors import DataError
from samplemind_core.store import Dataset, Store

FEATURES = FeatureConfig(sample_rate_hz=8_000, duration_s=0.1, n_fft=256, hop_length=64, n_mels=16)


@pytest.fixture
def older(store: Store, root: Path, drums: Path) -> Dataset:
    """Import a dataset and give its clips the hashes that they had before."""
    dataset = import_dataset(store, root, drums, "older")
    folder = dataset_folder(root, dataset.id)
    with store._database.engine.begin() as connection:
        for clip in store.datasets.clips(dataset.id):
            content_hash = decode(folder / str(clip.file), 8_000, hashed="sha256").content_hash
            values = {"hash": content_hash, "id": clip.id}
            connection.execute(text("UPDATE clips SET content_hash = :hash WHERE id = :id"), values)
    return dataset


def test_its_files_are_still_known_as_those_that_were_imported(store: Store, root: Path, older: Dataset) -> None:
    assert feature_cache(root, store, older, FEATURES).shape == (16, *FEATURES.shape)
    clips = store.datasets.clips(older.id)
    assert profile_clips(root, clips)["readable"].all()
    (dataset_folder(root, older.id) / str(clips[3].file)).write_bytes(
        (dataset_folder(root, older.id) / str(clips[4].file)).read_bytes()
    )
    with pytest.raises(DataError, match="changed since its import"):
        feature_cache(root, store, older, FEATURES.model_copy(update={"n_mels": 20}))


def test_what_is_added_is_hashed_as_the_rest_so_that_copies_are_found(
    store: Store, root: Path, drums: Path, older: Dataset, tmp_path: Path, wav: Callable[..., bytes]
) -> None:
    new = tmp_path / "new.wav"
    new.write_bytes(wav(99))
    copy = next(drums.rglob("03.wav"))
    version, refused = Editor(store, older, author="Ada").add(
        root, [NewClip(new, "new.wav", "kick"), NewClip(copy, "copy.wav", "kick")]
    )
    assert version is not None
    assert not refused
    clips = store.datasets.clips(older.id)
    assert len(clips) == 17  # the copy relabelled what was there
    assert {kind_of(clip.content_hash) for clip in clips} == {"sha256"}


def test_it_cannot_be_compared_sound_by_sound_with_a_new_one(
    store: Store, root: Path, drums: Path, older: Dataset
) -> None:
    newer = import_dataset(store, root, drums, "newer")
    assert {kind_of(clip.content_hash) for clip in store.datasets.clips(newer.id)} == {"blake3"}
    with pytest.raises(DataError, match="'older' was imported by an earlier version"):
        diff(store, newer, older)
    assert diff(store, newer, import_dataset(store, root, drums, "third")).num_same == 16
