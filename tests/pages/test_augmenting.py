"""The choice of how much is augmented on the Train page, and what it makes to see and hear."""

from __future__ import annotations

import pytest

from samplemind_core.config import AUGMENT_PRESETS, PRESETS, RunConfig, fingerprint

PATIENCE_S = 120.0  # phases are guessed for every example


def amount(app):
    return next(item for item in app.segmented_control if item.label == "Augmentation")


def field(app, path):
    return next(item for item in app.number_input if item.key.endswith(path))


def test_one_control_sets_the_amounts_and_leaves_the_rest(visit, seeded):
    app = visit("train", new="1", dataset="d1")
    assert amount(app).value == "light"
    app.number_input(key="setting-quick-train.lr").set_value(0.002).run()
    amount(app).set_value("strong").run()
    strong = AUGMENT_PRESETS["strong"]
    assert field(app, "augment.eq_db").value == strong.config.eq_db
    assert app.number_input(key="setting-quick-train.lr").value == 0.002
    assert any(strong.summary == caption.value for caption in app.caption)
    app.button(key="start").click().run()
    config = RunConfig.model_validate(seeded.runs()[0].config)
    assert config.augment == strong.config
    assert config.train.lr == 0.002


def test_numbers_stay_editable(visit, seeded):
    app = visit("train", new="1", dataset="d1")
    amount(app).set_value("strong").run()
    field(app, "augment.eq_db").set_value(2.5).run()
    app.button(key="start").click().run()
    stored = RunConfig.model_validate(seeded.runs()[0].config).augment
    assert stored == AUGMENT_PRESETS["strong"].config.model_copy(update={"eq_db": 2.5})


def test_a_link_keeps_its_own_amounts(visit, seeded):
    app = visit("train", new="1", dataset="d1", preset="tutorial", set="augment.time_shift_ms=123")
    assert amount(app).value == "given"
    assert field(app, "augment.time_shift_ms").value == 123
    amount(app).set_value("off").run()
    assert field(app, "augment.time_shift_ms").value == 0
    assert PRESETS["tutorial"].config.augment == AUGMENT_PRESETS["off"].config


@pytest.fixture
def sounds(space, bursts):
    return space.import_dataset(bursts(per_class=6, sources=3), name="sounds")


def opened(visit, **query):
    app = visit("train", new="1", **query)
    app.session_state["new-hearing"] = True
    app.default_timeout = PATIENCE_S
    return app.run()


def test_examples_are_shown_and_made_anew(visit, space, sounds):
    app = opened(visit, dataset=sounds.id)
    assert not app.exception
    shown = [item.value for item in app.markdown]
    assert any(value == "**As it is**" for value in shown)
    assert sum(value.startswith("**Epoch ") for value in shown) == 5
    assert any("made back from it" in caption.value for caption in app.caption)
    app.button(key="new-hearing-again").click().run()
    assert not app.exception
    amount(app).set_value("off").run()
    assert any("nothing is changed" in caption.value for caption in app.caption)


def test_settings_that_cannot_be_are_told_in_place(visit, space, sounds):
    app = opened(visit, dataset=sounds.id, preset="tutorial", set="augment.band_limit_hz=12000")
    assert not app.exception
    assert any("band" in error.value.lower() for error in app.error), [error.value for error in app.error]


def test_examples_are_what_training_makes(space, sounds):
    config = PRESETS["quick"].config
    clip = next(clip for clip in space.clips("sounds") if clip.split == "train")
    examples = space.augmented(clip.id, config)
    assert examples[0].log_mel.shape == config.features.shape[1:]
    assert fingerprint(config.augment) != fingerprint(AUGMENT_PRESETS["off"].config)
