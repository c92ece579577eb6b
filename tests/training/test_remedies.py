from __future__ import annotations

import json

import pytest

from samplemind_core.config import apply_changes, build_config
from samplemind_core.training.health import TITLES
from samplemind_core.training.remedies import _BY_VERDICT, Case, remedies_for

CONFIGS = {
    "quick": build_config("quick"),
    "tutorial": build_config("tutorial"),
    "bare": build_config("tutorial", {"weight_decay": 0, "dropout": 0}),
    "smallest": build_config(
        "quick",
        {"n_mels": 8, "duration_s": 0.05, "top_db": 20, "gain_db": 9.9, "width": 0.125, "lr": 1e-9,
         "weight_decay": 1.0, "epochs": 10_000},
    ),
    "largest": build_config(
        "quick",
        {"width": 8, "lr": 10, "grad_clip": 1, "label_smoothing": 0.5, "time_shift_ms": 1_000, "gain_db": 30,
         "freq_mask_bins": 64, "time_mask_ms": 1_000, "mixup_alpha": 2, "optimizer": "sgd"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("verdict", _BY_VERDICT)
def test_every_remedy_changes_something_that_can_be_trained_or_names_what_to_do(verdict, name):
    case = Case(CONFIGS[name], best_epoch=3, epoch=9, weakest_class="tom")
    remedies = remedies_for(verdict, case)
    assert remedies
    assert len({remedy.title for remedy in remedies}) == len(remedies)
    for remedy in remedies:
        assert remedy.changes or remedy.action
        assert remedy.why.endswith(".")
        if remedy.changes:
            changed = apply_changes(case.config, remedy.changes)
            changed.check()
            assert changed != case.config
        assert json.loads(json.dumps(remedy.as_dict())) == remedy.as_dict()


def test_nothing_is_advised_where_nothing_is_wrong():
    case = Case(CONFIGS["quick"], 3, 9)
    assert set(_BY_VERDICT) <= set(TITLES) | {"overconfident", "plateau", "unstable", "suspicious"}
    assert remedies_for("healthy", case) == remedies_for("too_early", case) == ()


def test_against_overfitting_stands_the_best_epoch_and_the_class_that_lacks_clips():
    titles = [remedy.title for remedy in remedies_for("overfitting", Case(CONFIGS["bare"], 3, 9, "tom"))]
    assert titles[0] == "Take epoch 3"
    assert "Switch augmentation on" in titles
    assert "Add clips of 'tom'" in titles
    latest = remedies_for("overfitting", Case(CONFIGS["quick"], 9, 9))
    assert "More augmentation" in [remedy.title for remedy in latest]
    assert not any(remedy.action == "take_best" for remedy in latest)


def test_a_rate_too_low_goes_up_and_one_too_high_comes_down():
    low = Case(build_config("quick", {"lr": 1e-5}), 9, 9)
    high = Case(build_config("quick", {"lr": 0.5}), 2, 9)
    up = next(remedy for remedy in remedies_for("underfitting", low) if "train.lr" in remedy.changes)
    down = next(remedy for remedy in remedies_for("diverging", high) if "train.lr" in remedy.changes)
    assert up.changes["train.lr"] == pytest.approx(1e-4)
    assert down.changes["train.lr"] == pytest.approx(0.05)
