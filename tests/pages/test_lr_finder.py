"""The range test on the Train page: started from the form, looked at, taken over into it."""

from __future__ import annotations

import numpy as np
import pytest

from samplemind_core.config import build_config
from samplemind_core.training.lr_finder import LrCurve
from samplemind_core.ui.lr_finder import as_link, short

LRS = np.geomspace(1e-6, 1, 40)
CURVE = LrCurve(tuple(LRS), tuple(1.8 - np.clip(np.log10(LRS) + 4, 0, 2) / 2), 1.234e-3, (1e-6, 1.0), 1.79)


def open_section(visit, **query):
    app = visit("train", new="1", dataset="d1", **query)
    app.session_state["find-lr"] = True
    return app.run()


def finish(space, config, curve=CURVE) -> None:
    task = space.tasks.all(kind="find_lr")[0]
    claimed = space.store.tasks.claim({"host": "here", "pid": 1}, task.id)
    space.store.tasks.end(claimed, "done", result={"curve": curve.as_dict(), "config": config.model_dump(mode="json")})


def text(app) -> str:
    return "\n".join(str(part.value) for part in (*app.caption, *app.markdown, *app.error))


def test_a_range_test_is_queued_with_the_settings_of_the_form(visit, seeded):
    app = open_section(visit, set="weight_decay=0.03")
    app.button(key="find-lr-start").click().run()
    (task,) = seeded.tasks.all(kind="find_lr")
    assert task.params["dataset"] == "d1"
    assert task.params["config"]["train"]["weight_decay"] == 0.03
    assert "Learning rate for drums" in text(app)
    assert not [button for button in app.button if button.key == "find-lr-start"]


def test_its_rate_goes_into_the_form_beside_what_was_changed(visit, seeded):
    config = build_config("quick", {"weight_decay": 0.03})
    seeded.submit_find_lr("d1", config)
    finish(seeded, config)
    app = open_section(visit, preset="quick", set="weight_decay=0.03")
    use = next(button for button in app.button if (button.key or "").startswith("find-lr-use"))
    assert use.label == "Use 0.0012"
    assert "other settings" not in text(app)
    use.click().run()
    assert app.query_params["set"] in (wanted := "train.lr=0.0012,train.weight_decay=0.03", [wanted])
    assert "Filled in: Learning rate 0.0012, Weight decay 0.03." in text(app)


def test_a_test_of_other_settings_says_so_and_one_without_a_rate_too(visit, seeded):
    seeded.submit_find_lr("d1", build_config("quick"))
    finish(seeded, build_config("tutorial"), LrCurve(CURVE.lrs, (1.8,) * 40, None, CURVE.ends, 1.79))
    app = open_section(visit)
    assert "made with other settings" in text(app)
    assert "never fell clearly" in text(app)
    assert not [button for button in app.button if (button.key or "").startswith("find-lr-use")]


@pytest.mark.parametrize(("rate", "expected"), [(1.2345e-3, 1.2e-3), (0.0987, 0.099), (0.996, 1.0), (3e-6, 3e-6)])
def test_a_rate_has_two_digits(rate, expected):
    assert short(rate) == pytest.approx(expected)


def test_settings_as_a_link_name_what_differs_and_empty_what_is_off():
    start = build_config("tutorial")
    config = build_config("tutorial", {"lr": 0.01, "early_stopping_patience": None})
    assert as_link(config, start) == "train.lr=0.01,train.early_stopping_patience="
