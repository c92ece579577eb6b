"""Every part of a chapter opens by its address, and its controls move."""

from __future__ import annotations

import pytest

from samplemind_core.config import build_config
from samplemind_core.ui.learn import inside, reading
from tests.learn.test_chapters import text

PARTS = [("inside", part) for part in inside.PARTS] + [("reading", part) for part in reading.PARTS]


@pytest.mark.parametrize(("chapter", "part"), PARTS)
def test_a_part_opens_and_its_controls_move(visit, chapter, part):
    app = visit("learn", chapter=chapter, part=part)
    assert not app.exception
    assert not app.error
    assert app.query_params["part"] == part
    for kind in ("slider", "select_slider", "toggle"):
        for control in getattr(app, kind):
            found = next(item for item in getattr(app, kind) if item.key == control.key)
            if kind == "slider":
                found.set_value(found.min)
            elif kind == "select_slider":
                found.set_value(found.options[0])
            else:
                found.set_value(not found.value)
            app.run()
            assert not app.exception
            assert not app.error


@pytest.fixture
def trained(space, bursts):
    """A workspace with a small dataset of three packs and a network that was trained on it."""
    space.import_dataset(bursts(per_class=9, sources=3), name="bursts")
    config = build_config("quick", {"epochs": 1, "width": 0.25, "duration_s": 0.4, "n_mels": 32, "device": "cpu"})
    space.train("bursts", config)
    return space


def test_a_network_of_your_own_is_opened_and_read(visit, trained):
    for part in ("filters", "maps", "pooling", "dropout"):
        app = visit("learn", chapter="inside", part=part)
        assert not app.exception
        assert not app.error
        network = app.selectbox(key="learn-inside-network")
        assert network.value.endswith(":best")
        assert any(option.startswith("bursts") for option in app.selectbox(key="learn-inside-voice").options)
    voice = app.selectbox(key="learn-inside-voice")
    voice.set_value(f"clip:{trained.store.datasets.clips(trained.dataset('bursts').id, limit=1)[0].id}").run()
    assert not app.exception
    assert not app.error
    for part in ("confusion", "threshold", "calibration"):
        app = visit("learn", chapter="reading", part=part)
        assert not app.exception
        assert not app.error
        assert app.selectbox(key="learn-reading-network").value.endswith(":best")


def test_a_part_that_is_gone_opens_the_first(visit):
    app = visit("learn", chapter="reading", part="astrology")
    assert not app.exception
    assert app.query_params["part"] == "confusion"


def test_the_best_temperature_lowers_the_loss(visit):
    app = visit("learn", chapter="reading", part="calibration")
    before = {item.label: item.value for item in app.metric}
    app.button(key="learn-reading-fit").click().run()
    assert not app.exception
    after = {item.label: item.value for item in app.metric}
    assert float(after["Loss"]) <= float(before["Loss"])
    app.slider(key="learn-reading-temperature").set_value(4.0).run()
    assert float({item.label: item.value for item in app.metric}["Loss"]) > float(after["Loss"])


def test_one_version_of_each_sound_leaves_nothing_to_flatter(visit):
    app = visit("learn", chapter="reading", part="packs")
    assert "flatters by" in text(app)
    app.slider(key="learn-reading-versions").set_value(1).run()
    assert "agree" in text(app)
