from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.charts.learn_reading import best_of_figure, reliability_figure, split_figure, threshold_figure
from samplemind_core.data.dataset import ClipData
from samplemind_core.errors import DataError, SplitError
from samplemind_core.evaluation.calibration import measure_calibration
from samplemind_core.learn.kits import MAX_VARIATIONS, pack_clips
from samplemind_core.learn.leakage import describe_clips, score_dataset, score_split, score_variations
from samplemind_core.learn.reading import best_of_many, count_at, small_answers


@pytest.fixture(scope="module")
def clips():
    return pack_clips()


def test_a_random_split_flatters_where_packs_repeat_their_sounds(clips):
    rows, (random, grouped) = score_variations(clips, MAX_VARIATIONS)
    assert len(rows) == len(clips)
    assert random.accuracy > grouped.accuracy + 0.1
    assert random.siblings > 0.9
    assert grouped.siblings == 0


def test_without_repeats_both_splits_agree(clips):
    _, (random, grouped) = score_variations(clips, 1)
    assert abs(random.accuracy - grouped.accuracy) < 0.08
    assert random.siblings < 0.3


def test_the_nearest_clip_decides(clips):
    described = describe_clips(clips.log_mel)
    score = score_split(described, clips.targets, clips.sources, "random", seeds=1)
    assert len(score.accuracies) == 1
    assert score.spread == 0
    assert not set(score.test_rows) & set(score.nearest_rows)
    wanted = clips.targets[score.nearest_rows] == clips.targets[score.test_rows]
    assert (score.right == wanted).all()
    assert score.accuracy == pytest.approx(wanted.mean())


def test_two_sources_cannot_be_split(clips):
    few = clips.sources < 2
    with pytest.raises(SplitError):
        score_split(describe_clips(clips.log_mel[few]), clips.targets[few], clips.sources[few], "grouped")
    with pytest.raises(DataError, match="at least one"):
        score_split(describe_clips(clips.log_mel), clips.targets, clips.sources, "random", seeds=0)


def test_a_dataset_is_drawn_by_whole_sources(clips):
    names = np.array([f"pack {number}" for number in clips.sources], dtype=object)
    split = np.full(len(clips), "train", dtype="<U5")
    split[:4] = "none"
    data = ClipData(clips.log_mel, clips.targets, split, np.arange(len(clips)), names, clips.class_names, None, None)
    num_clips, num_sources, (random, grouped) = score_dataset(data, 300)
    assert num_clips <= 300
    assert 10 <= num_sources <= 13
    assert random.accuracy > grouped.accuracy
    assert score_dataset(data, 10_000)[0] == len(clips) - 4


def test_precision_and_recall_at_a_threshold():
    probs, members = [0.9, 0.8, 0.4, 0.2], [True, False, True, False]
    now = count_at(probs, members, 0.5)
    assert (now.found, now.wrongly, now.missed) == (1, 1, 1)
    assert (now.precision, now.recall) == (0.5, 0.5)
    assert count_at(probs, members, 1.0).precision is None
    assert count_at(probs, [False] * 4, 0.0).recall is None
    assert count_at(probs, members, 0.0).recall == 1.0


def test_the_best_of_many_is_lucky():
    one, fifty = best_of_many(1, 60), best_of_many(50, 60)
    assert one.reported == pytest.approx(one.truth, abs=0.01)
    assert fifty.reported > one.truth + 0.08
    assert best_of_many(50, 1_000).reported < fifty.reported
    assert best_of_many(1, 60).reported == one.reported


def test_the_small_network_answers_for_kits_it_never_heard():
    answers = small_answers()
    assert answers.logits.shape == (96, 6)
    assert (answers.logits.argmax(axis=1) == answers.targets).mean() > 0.7


def test_figures_have_text_alternatives():
    chart = threshold_figure([0.0, 0.5, 1.0], [0.5, 0.8, None], [1.0, 0.6, 0.0], 0.52, "kick", "dark")
    assert "precision 80 % and recall 60 %" in chart.layout.meta["alt"]
    undefined = threshold_figure([0.0, 1.0], [0.5, None], [1.0, 0.0], 1.0, "kick")
    assert "precision undefined" in undefined.layout.meta["alt"]
    rng = np.random.default_rng(0)
    measured = measure_calibration(rng.normal(size=(60, 3)), rng.integers(0, 3, 60), resamples=5)
    assert "6 bins" in reliability_figure(measured.bins).layout.meta["alt"]
    assert "best of 2" in best_of_figure([1, 2], [0.8, 0.85], 0.8, 2).layout.meta["alt"]
    assert "90.0 %" in split_figure([0.9, 0.9], [0.7, 0.8]).layout.meta["alt"]
