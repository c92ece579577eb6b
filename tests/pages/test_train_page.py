"""The Train page's logic: starting from presets and runs, notes, pausing, deleting and bringing back."""

from __future__ import annotations

from dataclasses import replace

import pytest

from samplemind_core.config import RunConfig, build_config
from samplemind_core.ui.train.differences import differences, value_words


def text(app) -> str:
    parts = [*app.title, *app.subheader, *app.markdown, *app.caption, *app.error, *app.warning]
    return "\n".join(str(part.value) for part in parts)


def html(app) -> str:
    return "\n".join(item.proto.body for item in app.get("html"))


def going(space, owner="me"):
    run = space.submit("d1", build_config("quick", {"epochs": 9}), name="going", owner=owner)
    space.store.runs.claim({"host": "here"}, run.id)
    return run


# -- starting ------------------------------------------------------------------------------------


def test_differences_are_settings_and_not_the_presets_name():
    before, after = build_config("quick"), build_config("quick", {"lr": 0.01, "early_stopping_patience": 3})
    rows = differences(before, after)
    assert [(row.path, row.before, row.after) for row in rows] == [
        ("train.lr", 4e-3, 0.01),
        ("train.early_stopping_patience", None, 3),
    ]
    assert rows[0].sentence == "Learning rate 0.01"
    assert differences(before, before.model_copy(update={"preset": "tutorial"})) == []
    assert [value_words(value) for value in (None, True, 1e-4, "adam", 3)] == ["off", "yes", "0.0001", "adam", "3"]


def test_a_run_starts_with_notes_tags_and_where_it_came_from(visit, seeded):
    app = visit("train", new="1", based_on="r1", set="train.weight_decay=0.05")
    assert app.segmented_control(key="new-preset").value == "run"
    assert "Filled in: Weight decay 0.05" in text(app)
    app.text_area(key="new-notes").set_value("Does decay help?")
    app.multiselect(key="new-tags").set_value(["decay"])
    app.text_input(key="new-name").set_value("second").run()
    app.button(key="start").click().run()
    run = seeded.run("second")
    assert (run.notes, run.tags, run.based_on) == ("Does decay help?", ("decay",), "r1")
    assert run.config["train"]["weight_decay"] == 0.05
    assert run.config["train"]["epochs"] == 3
    assert "Made from first: 1 setting changed" in [item.label for item in app.expander]
    assert "Weight decay" in html(app)


def test_a_preset_can_still_be_chosen_where_a_link_names_a_run(visit, seeded):
    app = visit("train", new="1", based_on="r1", set="lr=0.02")
    app.segmented_control(key="new-preset").set_value("tutorial").run()
    assert app.number_input(key="setting-tutorial-train.lr").value == 1e-3
    assert "Filled in" not in text(app)


def test_a_link_to_a_run_that_is_gone_starts_from_a_preset(visit, seeded):
    app = visit("train", new="1", based_on="nobody")
    assert "nobody" in text(app)
    assert app.segmented_control(key="new-preset").value == "quick"


def test_what_was_changed_is_a_table(visit, seeded):
    app = visit("train", new="1")
    app.number_input(key="setting-quick-train.epochs").set_value(7).run()
    app.session_state["new-changes"] = True
    app.run()
    assert app.selectbox(key="new-compare-d1").value == "r1"
    assert "Epochs" in html(app)
    assert ">3<" in html(app)
    assert ">7<" in html(app)


def test_few_samples_ask_for_more_epochs_and_say_so(visit, seeded):
    app = visit("train", new="1", preset="balanced")
    assert "400 epochs instead of 40, as " in text(app)
    app.number_input(key="setting-balanced-train.epochs").set_value(7).run()
    assert "instead of" not in text(app)
    app.number_input(key="setting-balanced-train.epochs").set_value(40).run()
    app.text_input(key="new-name").set_value("longer").run()
    app.button(key="start").click().run()
    assert seeded.run("longer").config["train"]["epochs"] == 400
    assert seeded.run("longer").progress["epochs"] == 400


def test_the_datasets_health_stands_beside_it(visit, seeded):
    assert "Its health was not checked yet." in text(visit("train", new="1"))


@pytest.mark.parametrize(
    ("busy", "words"),
    [
        (0, "Nothing is training: it starts at once."),
        (1, "1 run training: it starts after that."),
        (2, "1 run training, 1 run waiting: it starts after those."),
    ],
)
def test_the_queue_is_told_before_starting(visit, seeded, busy, words):
    if busy:
        going(seeded)
    if busy == 2:
        seeded.store.runs.requeue("r1", ("finished",))
    assert words in text(visit("train", new="1"))


# -- controlling ---------------------------------------------------------------------------------


def test_a_run_is_paused_and_goes_on(visit, seeded):
    seeded.store.runs.requeue("r1", ("finished",))
    app = visit("train", run="r1")
    app.button(key="pause").click().run()
    assert seeded.run("r1").paused
    assert "Paused" in text(app)
    app.button(key="resume").click().run()
    assert seeded.run("r1").status == "queued"
    assert not seeded.run("r1").paused


def test_somebody_elses_run_is_visibly_theirs(visit, seeded, monkeypatch):
    monkeypatch.setattr("samplemind_core.workspace.machine_user", lambda: "ada")
    run = going(seeded, owner="bob")
    app = visit("train", run=run.id)
    assert "bob" in text(app)
    assert "started this run." in text(app)
    assert app.button(key="stop").label == "Stop it all the same"
    app.button(key="stop").click().run()
    assert seeded.run(run.id).status == "stopping"
    mine = seeded.submit("d1", RunConfig(), owner="ada")
    assert visit("train", run=mine.id).button(key="stop").label == "Stop"


def test_a_run_is_renamed_and_written_beside(visit, seeded):
    app = visit("train", run="r1")
    app.text_input(key="name-r1").set_value("better name")
    app.text_area(key="notes-r1").set_value("The first that worked")
    app.multiselect(key="tags-r1").set_value(["keep"])
    app.button(key="describe-save").click().run()
    run = seeded.run("r1")
    assert (run.name, run.notes, run.tags) == ("better name", "The first that worked", ("keep",))
    assert "The first that worked" in [item.value for item in app.text]


def test_a_name_that_cannot_be_is_told(visit, seeded):
    app = visit("train", run="r1")
    app.text_input(key="name-r1").set_value("a:b")
    app.button(key="describe-save").click().run()
    assert "no colon" in app.error[0].value
    assert seeded.run("r1").name == "first"


def test_a_deleted_run_is_brought_back(visit, seeded):
    app = visit("train", run="r1")
    app.button(key="delete").click().run()
    assert seeded.runs() == []
    assert "was deleted" in text(app)
    app.button(key="undo-delete").click().run()
    assert [run.id for run in seeded.runs()] == ["r1"]
    assert not app.exception


def test_a_link_to_a_deleted_run_offers_it(visit, seeded):
    seeded.delete_run("r1", by="ada")
    app = visit("train", run="r1")
    assert "can be brought back until" in text(app)
    app.button(key="bring-back").click().run()
    assert [run.id for run in seeded.runs()] == ["r1"]


def test_a_running_run_cannot_be_deleted(visit, seeded):
    run = going(seeded)
    assert visit("train", run=run.id).button(key="delete").disabled


def test_an_interrupted_run_says_what_is_left(visit, seeded):
    run = going(seeded)
    assert seeded.store.runs.interrupt(replace(seeded.run(run.id)), "The process is gone.")
    app = visit("train", run=run.id)
    assert "This run was cut off." in app.warning[0].value
    assert app.button(key="resume").label == "Resume"


def test_a_finished_run_trains_longer(visit, seeded):
    file = seeded.root / "runs" / "r1" / "last.safetensors"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"weights")
    values = {"kind": "last", "epoch": 3, "path": "runs/r1/last.safetensors", "val_loss": 1.0, "val_accuracy": 0.5}
    seeded.store.runs.put_checkpoint("r1", values | {"num_bytes": 7})
    app = visit("train", run="r1")
    assert "starts again at a tenth of its peak" in text(app)
    app.number_input(key="extend-epochs-r1").set_value(4)
    app.button(key="extend-go").click().run()
    config = RunConfig.model_validate(seeded.run("r1").config)
    assert (seeded.run("r1").status, config.train.epochs, config.extended_at) == ("queued", 7, (3,))
    # A run made from it starts from its settings, not from its history.
    app = visit("train", new="1", based_on="r1")
    app.text_input(key="new-name").set_value("again").run()
    app.button(key="start").click().run()
    assert seeded.run("again").config["extended_at"] == []


# -- the window ----------------------------------------------------------------------------------


def test_a_window_that_cuts_most_samples_is_changed_with_one_click(visit, space, seeded):
    # The samples of this dataset take 0.3 s.
    app = visit("train", new="1", preset="tutorial", set="duration_s=0.2,epochs=7")
    assert "100 % of the samples are longer than the 0.2 s that the network hears" in text(app)
    app.button(key="use-window").click().run()
    assert not app.exception
    assert "longer than the" not in text(app)
    app.button(key="start").click().run()
    run = next(run for run in seeded.runs() if run.id != "r1")
    assert run.config["features"]["duration_s"] == 0.5
    assert (run.config["preset"], run.config["train"]["epochs"]) == ("tutorial", 7)


def test_a_window_of_mostly_silence_is_said_and_may_stay(visit, seeded):
    app = visit("train", new="1", based_on="r1", set="epochs=7")
    assert "mostly silence with these samples" in text(app)
    app.button(key="use-window").click().run()
    assert "mostly silence" not in text(app)
    app.button(key="start").click().run()
    run = next(run for run in seeded.runs() if run.id != "r1")
    assert (run.config["features"]["duration_s"], run.config["train"]["epochs"]) == (0.5, 7)


def test_a_paused_run_is_told_as_paused(visit, seeded):
    run = going(seeded)
    seeded.stop(run.id, pause=True)
    seeded.store.runs.end(run.id, "stopped", "Stopped on request in epoch 3; resume goes on from there.")
    assert "Paused in epoch 3; resume goes on from there." in text(visit("train", run=run.id))
