"""What is offered about a verdict, and that it leads to a run with that change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from samplemind_core.config import PRESETS, apply_changes, build_config, parse_assignments
from samplemind_core.store import Epoch
from samplemind_core.ui.train.remedies import remedies

VERDICTS = ("overfitting", "underfitting", "plateau", "unstable", "diverging", "not_learning")


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("preset", list(PRESETS))
def test_every_remedy_is_a_valid_change_that_a_link_carries(verdict: str, preset: str) -> None:
    config = build_config(preset)
    offered = remedies(verdict, config)
    assert offered
    for remedy in offered:
        changed = apply_changes(config, parse_assignments(remedy.link.split(",")))
        assert changed != config
        assert changed == apply_changes(config, remedy.changes)


def test_nothing_is_offered_that_the_settings_hold_already() -> None:
    config = build_config("quick", {"weight_decay": 0.5, "width": 0.125, "dropout": 0.6})
    assert [remedy.name for remedy in remedies("overfitting", config)] == ["augment"]
    assert remedies("healthy", config) == remedies("too_early", config) == []


def test_a_remedy_opens_a_new_run_filled_in(visit, seeded) -> None:
    health = {"verdict": "overfitting", "title": "Overfitting", "reason": "It memorises.", "onset": 3}
    last = seeded.epochs("r1")[-1]
    seeded.store.runs.add_epoch("r1", replace(last, health=health))
    assert isinstance(last, Epoch)
    app = visit("train", run="r1")
    app.button(key="remedy-decay").click().run()
    assert app.segmented_control(key="new-preset").value == "run"
    assert any("Filled in: Weight decay 0.05" in item.value for item in app.caption)
    app.button(key="start").click().run()
    (new,) = [run for run in seeded.runs() if run.id != "r1"]
    assert new.based_on == "r1"
    assert new.config["train"]["weight_decay"] == 0.05


def test_a_healthy_run_offers_nothing(visit, seeded) -> None:
    assert not [item for item in visit("train", run="r1").button if str(item.key).startswith("remedy")]
