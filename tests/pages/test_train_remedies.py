"""What is offered about a verdict leads to a run with that change, or to what is to be done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from samplemind_core.config import PRESETS, apply_changes, build_config, parse_assignments
from samplemind_core.training.remedies import _BY_VERDICT, Case, remedies_for
from samplemind_core.ui.train.remedies import change_words, link_of

DECAY = {"title": "More weight decay", "why": "It pulls.", "changes": {"train.weight_decay": 0.05}, "action": ""}


@pytest.mark.parametrize("verdict", list(_BY_VERDICT))
@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_link_carries_every_change(verdict: str, preset: str) -> None:
    config = build_config(preset)
    for remedy in remedies_for(verdict, Case(config, 3, 9)):
        if remedy.changes:
            changed = apply_changes(config, remedy.changes)
            assert apply_changes(config, parse_assignments(link_of(remedy.changes).split(","))) == changed
            assert change_words(config, remedy.changes)


def judged(space: Any, **health: Any) -> None:
    last = space.epochs("r1")[-1]
    space.store.runs.add_epoch("r1", replace(last, health={"verdict": "overfitting", "title": "Overfitting"} | health))


def test_a_remedy_opens_a_new_run_filled_in(visit, seeded) -> None:
    judged(seeded, remedies=[DECAY])
    app = visit("train", run="r1")
    app.button(key="remedy-0").click().run()
    assert app.segmented_control(key="new-preset").value == "run"
    assert any("Filled in: Weight decay 0.05" in item.value for item in app.caption)
    app.button(key="start").click().run()
    (new,) = [run for run in seeded.runs() if run.id != "r1"]
    assert new.based_on == "r1"
    assert new.config["train"]["weight_decay"] == 0.05


def test_a_run_without_named_remedies_gets_those_of_its_kind(visit, seeded) -> None:
    judged(seeded)
    app = visit("train", run="r1")
    assert "More weight decay" in [item.label for item in app.button if str(item.key).startswith("remedy")]


def test_a_healthy_run_offers_nothing(visit, seeded) -> None:
    assert not [item for item in visit("train", run="r1").button if str(item.key).startswith("remedy")]
