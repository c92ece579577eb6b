from __future__ import annotations

import time
from dataclasses import replace

import pytest

from samplemind_core.config import PRESETS, RunConfig, apply_changes, build_config, flatten, parse_assignments
from samplemind_core.config import preset as preset_config
from samplemind_core.learn.next_steps import Standing, changes_text, next_steps
from samplemind_core.store import Dataset, Run
from samplemind_core.training.health import TITLES
from samplemind_core.ui.learn import CHAPTERS
from samplemind_core.ui.places import PAGES

DRUMS = Dataset("d1", "drums", "audio", ("kick", "snare"), 60, 1, "p", "a test", 0, 1.0)
VERDICTS = (*(name for name in TITLES if name != "suspicious"), "")


def standing(verdict: str = "healthy", id: str = "r1", **changes) -> Standing:
    config = build_config("quick", changes).model_dump(mode="json")
    return Standing(Run(id, f"run {id}", "d1", "finished", config, "me", 1.0, 1.0), verdict, True)


def settings(query) -> RunConfig:
    """Return the configuration that the Train page makes of a link."""
    given = query.get("set", "")
    return apply_changes(preset_config(query["preset"]), parse_assignments(given.split(",")) if given else {})


def test_without_a_dataset_the_way_leads_to_the_data_page():
    assert [step.place for step in next_steps([], [])] == ["data", "home"]


def test_a_dataset_is_there_to_train_on():
    for standings in ([], [standing()]):
        (step, *_) = next_steps([DRUMS], standings)
        assert step.place == "train"
        assert step.query["dataset"] == "d1"


@pytest.mark.parametrize("verdict", VERDICTS)
def test_every_verdict_has_its_next_run(verdict):
    before = standing(verdict, lr=0.002)
    (step, *rest) = next_steps([DRUMS], [before])
    after, base = settings(step.query), RunConfig.model_validate(before.run.config)
    assert after != base
    if verdict in ("overfitting", "overconfident"):
        assert after.train.early_stopping_patience is not None
        assert after.train.weight_decay > base.train.weight_decay
        assert after.train.lr == base.train.lr
    elif verdict in ("diverging", "unstable"):
        assert after.train.lr == pytest.approx(base.train.lr / 10)
    else:
        assert after.train.epochs > base.train.epochs
    names = [item.name for item in [step, *rest]]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("verdict", ["overfitting", "healthy"])
def test_what_is_called_stronger_is_nowhere_weaker(preset, verdict):
    config = preset_config(preset)
    run = Run("r1", "run r1", "d1", "finished", config.model_dump(mode="json"), "me", 1.0, 1.0)
    after = settings(next_steps([DRUMS], [Standing(run, verdict, True)])[0].query)
    changed = {path: value for path, value in flatten(after).items() if flatten(config)[path] != value}
    augmented = {path for path in changed if path.startswith("augment.")}
    assert augmented
    assert all(changed[path] > flatten(config)[path] for path in augmented)
    # Outside AdamW the decay is part of the gradient: 0.3 of it, and nothing is learned.
    assert after.train.weight_decay <= (0.3 if config.train.optimizer == "adamw" else 0.01)


def test_no_finer_picture_is_offered_as_a_smaller_one():
    assert "smaller" not in {step.name for step in next_steps([DRUMS], [standing(n_mels=16)])}
    ready = replace(DRUMS, kind="features")
    assert "smaller" not in {step.name for step in next_steps([ready], [standing()])}
    assert "smaller" in {step.name for step in next_steps([DRUMS], [standing()])}


def test_a_suspicious_run_leads_to_its_dataset():
    step = next_steps([DRUMS], [standing("suspicious")])[0]
    assert (step.place, step.query["dataset"]) == ("data", "d1")


def test_every_step_leads_to_a_page_and_names_a_chapter_that_there_may_be():
    steps = [
        step for verdict in VERDICTS for step in next_steps([DRUMS], [standing(verdict), standing("healthy", "r2")])
    ]
    assert {step.place for step in steps} == {"train", "diagnostics", "classify"}
    slugs = {chapter.slug for chapter in CHAPTERS} | {"learning-rate"}
    for step in steps:
        assert (PAGES / f"{step.place}.py").exists()
        assert step.chapter in slugs
        if step.place == "train":
            settings(step.query)


def test_runs_of_datasets_that_are_gone_are_passed_over():
    gone = standing("overfitting")
    other = Dataset("d2", "loops", "audio", ("a", "b"), 60, 1, "p", "a test", 0, time.time())
    (step,) = next_steps([other], [gone])
    assert step.query["dataset"] == "d2"


def test_changes_are_those_from_the_preset():
    config = build_config("tutorial", {"lr": 0.01, "early_stopping_patience": None})
    name, text = changes_text(config, {"train.epochs": 7})
    assert name == "tutorial"
    assert settings({"preset": name, "set": text}) == apply_changes(config, {"train.epochs": 7})
    assert text.count(",") == 2
    assert changes_text(build_config("quick"), {}) == ("quick", "")


def test_the_page_shows_cards_and_their_buttons_lead_on(visit, seeded):
    app = visit("learn", chapter="from-here")
    assert not app.exception
    assert "Make first sturdier" in [item.value for item in app.subheader]
    app.button(key="learn-from-here-why-smaller").click().run()
    assert "hearing" in app.query_params["chapter"]


def test_the_train_page_fills_in_what_a_link_says(visit, seeded):
    app = visit("train", new="1", dataset="d1", preset="tutorial", set="train.lr=0.02,epochs=7")
    assert not app.exception
    assert not app.error
    values = {item.label: item.value for item in app.number_input}
    assert (values["Learning rate"], values["Epochs"]) == (0.02, 7)
    assert any("Epochs 7, Learning rate 0.02" in item.value.replace("\\", "") for item in app.caption)
    app.button(key="start").click().run()
    (newest, *_) = seeded.runs()
    config = RunConfig.model_validate(newest.config)
    assert (config.preset, config.train.lr, config.train.epochs) == ("tutorial", 0.02, 7)


@pytest.mark.parametrize("broken", ["lr", "lr=fast", "colour=red", "epochs=-1"])
def test_a_link_that_fills_in_nonsense_says_so(visit, seeded, broken):
    app = visit("train", new="1", dataset="d1", preset="quick", set=broken)
    assert not app.exception
    assert app.error
    assert app.button(key="start").disabled
