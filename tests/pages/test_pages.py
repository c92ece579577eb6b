from __future__ import annotations

import pytest

from samplemind_core.data.import_task import submit_demo

PAGES = ["home", "data", "train", "runs", "experiments", "diagnostics", "learn", "classify", "system"]


def text(app) -> str:
    parts = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error]
    return "\n".join(str(part.value) for part in parts)


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_on_an_empty_workspace(visit, page):
    app = visit(page)
    assert not app.exception
    assert not app.error
    assert app.title[0].value


@pytest.mark.parametrize("page", PAGES)
def test_every_page_opens_with_data(visit, seeded, page, monkeypatch):
    # The starter would be asked about these clips, which are names without sounds.
    monkeypatch.setattr("samplemind_core.ui.diagnostics.picking.starter_classes", lambda: ())
    app = visit(page)
    assert not app.exception
    assert not app.error, app.error[0].value


@pytest.mark.parametrize(("page", "button"), [("train", "get-dataset"), ("classify", "classify-train")])
def test_an_empty_page_has_the_one_button_that_gets_there(visit, page, button):
    app = visit(page)
    assert [item.key for item in app.button] == [button]


# -- home ----------------------------------------------------------------------------------------


def test_home_offers_sounds_first(visit):
    assert {item.key for item in visit().button} == {"home-demo", "home-bring"}


def test_home_offers_training_once_there_is_data(visit, seeded):
    seeded.store.runs.delete("r1")
    assert [item.key for item in visit().button] == ["home-train"]
    # A dataset that was just imported is announced, with no second button to the same place.
    submit_demo(seeded.tasks, seeded.store, "demo")
    task = seeded.store.tasks.claim({"host": "here"})
    seeded.store.tasks.end(task, "done", result={"dataset": "d1"})
    app = visit()
    assert [item.key for item in app.button] == [f"dismiss-{task.id}", "home-train"]
    assert "**demo** is ready" in text(app)


def test_home_shows_the_run_that_is_going(visit, seeded):
    seeded.store.runs.requeue("r1", ("finished",))
    app = visit()
    assert app.title[0].value == "first"
    assert len(app.get("bidi_component")) == 3


# -- data ----------------------------------------------------------------------------------------


def test_a_dataset_is_shown_with_its_warnings_and_rejects(visit, seeded):
    app = visit("data", dataset="d1")
    assert "36 train, 12 validation, 12 test" in text(app)
    assert "Two clips are equal" in text(app)
    assert any("broken.wav" in item.proto.body for item in app.get("html"))
    assert "Version 1 · 60 samples · 2 classes" in text(app)


# -- train ---------------------------------------------------------------------------------------


def test_a_run_is_shown_live(visit, seeded):
    app = visit("train", run="r1")
    assert len(app.get("bidi_component")) == 6  # verdict, numbers, loss, accuracy, learning rate, recall
    assert "All 3 epochs are done" in text(app)
    assert app.query_params["run"] in ("r1", ["r1"])


def test_a_link_to_a_run_that_is_gone_says_so(visit, seeded):
    app = visit("train", run="nobody")
    assert "nobody" in text(app)
    assert not app.exception


def test_a_run_is_started_with_changed_settings(visit, seeded):
    app = visit("train", new="1", dataset="d1")
    app.number_input(key="setting-quick-train.epochs").set_value(7)
    app.text_input(key="new-name").set_value("second").run()
    app.button(key="start").click().run()
    run = seeded.run("second")
    assert run.status == "queued"
    assert run.config["train"]["epochs"] == 7
    assert run.config["train"]["lr"] == 4e-3
    assert app.query_params["run"] in (run.id, [run.id])


def test_a_name_that_is_taken_is_told_in_place(visit, seeded):
    app = visit("train", new="1")
    app.text_input(key="new-name").set_value("first").run()
    app.button(key="start").click().run()
    assert "first" in app.error[0].value
    assert len(seeded.runs()) == 1


def test_another_preset_brings_its_own_values(visit, seeded):
    app = visit("train", new="1")
    app.segmented_control(key="new-preset").set_value("tutorial").run()
    assert app.number_input(key="setting-tutorial-train.epochs").value == 50


def test_every_setting_has_a_field_with_its_help(visit, seeded):
    from samplemind_core.config import SECTIONS

    app = visit("train", new="1")
    fields = {
        item.key: item for kind in ("number_input", "selectbox", "text_input", "toggle") for item in app.get(kind)
    }
    for section, model in SECTIONS.items():
        for name, field in model.model_fields.items():
            assert fields[f"setting-quick-{section}.{name}"].help == field.description


def test_a_queued_run_is_stopped_and_resumed(visit, seeded):
    seeded.store.runs.requeue("r1", ("finished",))
    app = visit("train", run="r1")
    app.button(key="stop").click().run()
    assert seeded.run("r1").status == "stopped"
    app.button(key="resume").click().run()
    assert seeded.run("r1").status == "queued"


def test_a_failed_run_shows_why(visit, seeded):
    seeded.store.runs.requeue("r1", ("finished",))
    seeded.store.runs.claim({"host": "here"}, "r1")
    seeded.store.runs.end("r1", "failed", "The loss became infinite.", "Traceback: boom")
    app = visit("train", run="r1")
    assert "failed" in app.error[0].value
    assert "boom" in app.code[0].value


# -- errors --------------------------------------------------------------------------------------


def test_an_error_of_ours_is_shown_where_it_happens(visit, seeded, monkeypatch):
    from samplemind_core.errors import StoreError

    def doctor(self, **_):
        raise StoreError("The database is away.", "Start it.")

    monkeypatch.setattr(type(seeded), "doctor", doctor)
    app = visit("system")
    assert app.error[0].value == "The database is away.\n\nStart it."
    assert "Nothing is training" in text(app)
    assert not app.exception


def test_any_other_error_surfaces(visit, seeded, monkeypatch):
    def doctor(self, **_):
        raise ZeroDivisionError

    monkeypatch.setattr(type(seeded), "doctor", doctor)
    assert visit("system").exception
