"""Variants of training clips: made once, drawn by place, never of a clip that judges."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import Memory, measured, tiny_config, tiny_data

from samplemind_core.config import RunConfig, build_config
from samplemind_core.data.cache import cache_file
from samplemind_core.data.dataset import ClipData, load_clips
from samplemind_core.errors import ConfigError, DataError, TrainingError
from samplemind_core.training import variants
from samplemind_core.training.feed import Feed
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData
from samplemind_core.training.variants import Pool, Stacked, with_variants

WAVES = {"variants": 2, "wave_pitch_semitones": 3.0, "wave_eq_db": 6.0, "wave_noise_db": 30.0, "wave_layer_db": 12.0}
SMALL = {"n_mels": 16, "duration_s": 0.3, "n_fft": 512, "hop_length": 256, "device": "cpu", "model.width": 0.5}


def config_with(**changes: Any) -> RunConfig:
    return build_config("quick", SMALL | WAVES | {"epochs": 2, "batch_size": 8} | changes)


def learned_from(clips: ClipData) -> TrainingData:
    return TrainingData(
        clips.log_mel, clips.targets, clips.indices("train"), clips.indices("val"), clips.class_names, {}
    )


@pytest.fixture
def made(workspace: Any, bursts: Any) -> Any:
    """Return a function that makes variants of a small dataset, and the dataset's arrays."""
    dataset = workspace.import_dataset(bursts(per_class=10, sources=5), name="sounds")

    def make(config: RunConfig, progress: Any = None) -> tuple[TrainingData, ClipData]:
        clips = load_clips(workspace.root, workspace.store, dataset, config.features)
        return with_variants(learned_from(clips), config, workspace.root, workspace.store, clips, progress), clips

    return make


def cache_files(workspace: Any) -> list[Path]:
    folder = cache_file(workspace.root, workspace.dataset("sounds").id, config_with().features).parent
    return sorted(folder.glob("variants-*.npy"))


def test_variants_are_made_of_training_clips_once(workspace: Any, made: Any) -> None:
    told: list[tuple[int, int, str]] = []
    config = config_with()
    data, clips = made(config, lambda *so_far: told.append(so_far))
    count = len(data.train_rows)
    assert data.variants is not None
    assert data.variants.shape == (2 * count, *config.features.shape)
    assert (data.variants.max(axis=(1, 2, 3)) == 0).all()
    originals = np.asarray(clips.log_mel[data.train_rows], np.float32)
    for variant in (data.variants[:count], data.variants[count:]):
        distance = np.abs(np.asarray(variant, np.float32) - originals).mean(axis=(1, 2, 3))
        assert (distance > 0.1).all()
        # Nearer to the clip it was made of than to most others.
        others = np.abs(np.asarray(variant, np.float32) - np.roll(originals, count // 2, axis=0)).mean(axis=(1, 2, 3))
        assert (distance < others).mean() > 0.7
    assert told[-1][:2] == (2 * count, 2 * count)
    again, _ = made(config, lambda *so_far: pytest.fail("made twice"))
    np.testing.assert_array_equal(again.variants, data.variants)
    cache_files(workspace)[0].unlink()
    remade, _ = made(config)
    np.testing.assert_array_equal(remade.variants, data.variants)


def test_what_decides_variants_is_in_their_name(workspace: Any, made: Any) -> None:
    made(config_with())
    for changes in ({"seed": 1}, {"wave_eq_db": 7.0}, {"duration_s": 0.2}):
        made(config_with(**changes))
    assert len(cache_files(workspace)) == variants.KEPT_FILES  # the oldest made room
    names = cache_files(workspace)
    made(config_with(duration_s=0.2, lr=1e-4, time_mask_ms=30.0, epochs=5))
    assert cache_files(workspace) == names


def test_the_file_used_longest_ago_makes_room(workspace: Any, made: Any) -> None:
    for seed in range(3):
        made(config_with(seed=seed))
    oldest = {path: number for number, path in enumerate(cache_files(workspace))}
    for path, number in oldest.items():
        os.utime(path, (number, number))
    made(config_with(seed=3))
    kept = cache_files(workspace)
    assert {path for path, number in oldest.items() if number} < set(kept)
    assert len(kept) == 3


def test_none_asked_for_none_made(workspace: Any, made: Any) -> None:
    data, _ = made(config_with(variants=0))
    assert data.variants is None
    assert cache_files(workspace) == []


def test_a_stop_leaves_no_half_file(workspace: Any, made: Any) -> None:
    class Stop(Exception):
        pass

    def stop(done: int, total: int, what: str) -> None:
        assert what == variants.WHAT
        raise Stop

    with pytest.raises(Stop):
        made(config_with(), stop)
    assert cache_files(workspace) == []
    assert [path for path in cache_file(workspace.root, workspace.dataset("sounds").id, config_with().features)
            .parent.iterdir() if path.suffix == ".part"] == []  # fmt: skip
    made(config_with())


def test_ready_made_spectrograms_have_no_waveforms(made: Any, workspace: Any) -> None:
    _, clips = made(config_with(variants=0))
    ready = replace(clips, dataset=replace(clips.dataset, kind="features"))
    with pytest.raises(DataError, match="ready-made"):
        with_variants(learned_from(ready), config_with(), workspace.root, workspace.store, ready)


def test_settings_that_change_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="wave_"):
        build_config("quick", {"variants": 2})
    with pytest.raises(ConfigError, match="wave_"):
        build_config("quick", {"variants": 2, "wave_gain_db": 6})


# -- drawing from them ---------------------------------------------------------------------------


def tiny_with_variants(config: RunConfig, seed: int = 0) -> TrainingData:
    data = tiny_data(config, seed=seed)
    count = config.augment.variants * len(data.train_rows)
    rng = np.random.default_rng(9)
    return replace(data, variants=rng.uniform(-80, 0, (count, *config.features.shape)).astype(np.float16))


def test_each_epoch_draws_a_clip_or_a_variant_of_it() -> None:
    config = tiny_config(**WAVES)
    data = tiny_with_variants(config)
    pool = Pool(data, 2)
    count, rows = len(data.train_rows), torch.from_numpy(data.train_rows)
    assert len(pool.log_mel) == len(pool.targets) == len(data.targets) + 2 * count
    seen: dict[int, set[int]] = {int(row): set() for row in rows}
    shares = np.zeros(3)
    for epoch in range(1, 61):
        drawn = pool.drawn(rows, 0, epoch)
        assert torch.equal(pool.drawn(rows.flip(0), 0, epoch), drawn.flip(0))  # by clip, wherever it comes
        for row, chosen in zip(rows.tolist(), drawn.tolist(), strict=True):
            variant = 0 if chosen == row else 1 + (chosen - len(data.targets)) // count
            if variant:
                assert data.train_rows[(chosen - len(data.targets)) % count] == row
            assert pool.targets[chosen] == data.targets[row]
            seen[row].add(variant)
            shares[variant] += 1
    assert all(choices == {0, 1, 2} for choices in seen.values())
    assert np.abs(shares / shares.sum() - 1 / 3).max() < 0.03
    assert not torch.equal(pool.drawn(rows, 0, 1), pool.drawn(rows, 1, 1))
    assert torch.equal(Pool(replace(data, variants=None), 0).drawn(rows, 0, 1), rows)


def test_two_arrays_are_one() -> None:
    rng = np.random.default_rng(0)
    first, second = rng.random((5, 1, 2, 3)), rng.random((7, 1, 2, 3))
    whole, both = np.concatenate([first, second]), Stacked(first, second)
    assert (len(both), both.shape, both.nbytes, both.dtype) == (12, whole.shape, whole.nbytes, whole.dtype)
    np.testing.assert_array_equal(np.array(both), whole)
    for rows in ([0, 4], [5, 11], [3, 9, 0, 5], []):
        np.testing.assert_array_equal(both[np.array(rows, np.int64)], whole[np.array(rows, np.int64)])


def test_resident_and_mapped_batches_are_the_same() -> None:
    config = tiny_config(**WAVES)
    pool = Pool(tiny_with_variants(config), 2)
    cpu = torch.device("cpu")
    feeds = [Feed(pool.log_mel, pool.targets, cpu, resident=resident) for resident in (True, False)]
    rows = torch.randperm(len(pool.targets), generator=torch.Generator().manual_seed(0))[:40]
    (a, s), (b, t) = (feed.batch(rows) for feed in feeds)
    assert torch.equal(a, b)
    assert torch.equal(s, t)


def test_a_run_without_the_variants_it_asks_for_is_refused(tmp_path: Path) -> None:
    config = tiny_config(**WAVES)
    with pytest.raises(TrainingError, match="variants"):
        Trainer(config, tiny_data(config), tmp_path, Memory())
    plain = tiny_config()
    with pytest.raises(TrainingError, match="variants"):
        Trainer(plain, replace(tiny_with_variants(config), log_mel=tiny_data(plain).log_mel), tmp_path, Memory())


def test_a_resumed_run_repeats_it_bit_for_bit(tmp_path: Path) -> None:
    config = tiny_config(**WAVES, epochs=4)
    data = tiny_with_variants(config)
    whole = Memory()
    Trainer(config, data, tmp_path / "whole", whole).fit()
    stopped = Memory(lambda memory: len(memory.progress) >= 9)
    Trainer(config, data, tmp_path / "parts", stopped).fit()
    rest = Memory()
    trainer = Trainer(config, data, tmp_path / "parts", rest)
    trainer.restore(tmp_path / "parts" / "last.safetensors")
    trainer.fit()
    ends = [measured(memory.epochs[-1]) for memory in (whole, rest)]
    assert ends[0] == ends[1]
    no_variants = Memory()
    plain = tiny_config(epochs=4)
    Trainer(plain, replace(data, variants=None), tmp_path / "plain", no_variants).fit()
    assert measured(no_variants.epochs[-1]) != ends[0]


def test_a_whole_run_with_variants(workspace: Any, bursts: Any) -> None:
    workspace.import_dataset(bursts(per_class=10, sources=5), name="sounds")
    run = workspace.train("sounds", config_with())
    assert run.status == "finished"
    assert len(cache_files(workspace)) == 1
