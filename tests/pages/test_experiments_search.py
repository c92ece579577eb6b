from __future__ import annotations

import pytest

from samplemind_core.config import build_config
from samplemind_core.search.space import parse_dimension
from samplemind_core.search.study import Plan, open_study, plan_from
from samplemind_core.store import Clip, Dataset


@pytest.fixture
def searched(seeded):
    """A search of three trials: the start, a better one and one that ended early."""
    plan = Plan(build_config("quick"), (parse_dimension("lr=1e-3:1e-1:log"), parse_dimension("batch_size=16,32")))
    search = seeded.search("d1", plan, 3, name="mine", start=False)
    study = open_study(seeded.store, search, plan)
    for rate, size, value in ((0.004, 32, 0.9), (0.02, 16, 0.6)):
        study.enqueue_trial({"train.lr": rate, "train.batch_size": size})
        trial = study.ask()
        for dimension in plan.dimensions:
            dimension.suggest(trial)
        study.tell(trial, value)
    trial = study.ask()
    trial.report(2.0, 1)
    study.tell(trial, state=__import__("optuna").trial.TrialState.PRUNED)
    return search


def test_a_search_is_planned_and_queued(visit, seeded):
    app = visit("experiments", section="search")
    assert not app.exception
    app.multiselect(key="search-over").set_value(["train.lr", "train.batch_size"]).run()
    assert not app.exception
    app.number_input(key="search-trials").set_value(12)
    app.selectbox(key="search-objective").set_value("val_accuracy")
    (told,) = [item.value for item in app.caption if " trials, up to " in item.value]
    app.button(key="search-start").click().run()
    assert not app.exception
    assert not app.error
    (search,) = seeded.store.searches.all()
    assert search.num_trials == 12
    epochs = search.plan["config"]["train"]["epochs"]
    assert epochs > 20  # few samples make few steps each
    assert f" up to {epochs} epochs each." in told
    assert search.plan["objective"] == "val_accuracy"
    assert [one["path"] for one in search.plan["dimensions"]] == ["train.lr", "train.batch_size"]
    (task,) = seeded.tasks.all(kind="search")
    assert task.params == {"search": search.id}
    assert any("0 of 12 trials done" in item.value for item in app.caption)


def test_an_empty_choice_is_refused_in_place(visit, seeded):
    app = visit("experiments", section="search")
    app.multiselect(key="search-over").set_value([]).run()
    app.button(key="search-start").click().run()
    assert "at least one setting" in app.error[0].value
    assert seeded.store.searches.all() == []


def test_what_was_found_leads_to_the_form_that_trains_it(visit, seeded, searched):
    app = visit("experiments", section="search", search=searched.id)
    assert not app.exception
    assert any("3 of 3 trials done, 1 ended early" in item.value for item in app.caption)
    assert [metric.value for metric in app.metric] == ["0.6000", "0.9000"]
    table = app.dataframe[0].value
    assert table["State"].tolist() == ["ended early", "best", "completed"]
    assert seeded.search_results("mine").best_changes() == {"train.batch_size": 16, "train.lr": 0.02}
    opened = visit("train", new="1", dataset="d1", preset="quick", set="train.batch_size=16,train.lr=0.02")
    assert not opened.exception
    assert any("Filled in" in item.value for item in opened.caption)


def test_several_labels_are_searched_by_mean_average_precision(visit, space):
    clips = [
        Clip(row=i, name=f"{i}.wav", label="clap", labels=("clap", "kick")[: 1 + i % 2], target=0, file="x.wav",
             source=f"pack{i % 6}", split=("train", "train", "val", "test")[i % 4], content_hash=f"h{i}",
             duration_s=0.3)
        for i in range(48)
    ]  # fmt: skip
    space.store.datasets.add(
        Dataset("d9", "layers", "audio", ("clap", "kick"), 48, 0, "p9", "a test", 0, 1.0, multi_label=True), clips
    )
    app = visit("experiments", section="search", dataset="d9")
    assert not app.exception
    judged = app.selectbox(key="search-objective-several")
    assert (judged.value, judged.options) == ("val_map", ["Mean average precision", "Validation loss"])
    app.button(key="search-start").click().run()
    assert not app.exception
    assert not app.error
    (search,) = space.store.searches.all()
    plan = plan_from(search.plan)
    assert plan.objective == "val_map"
    study = open_study(space.store, search, plan)
    for value in (0.5, 0.625):
        trial = study.ask()
        for dimension in plan.dimensions:
            dimension.suggest(trial)
        study.tell(trial, value)
    app = visit("experiments", section="search", search=search.id)
    assert not app.exception
    assert [(metric.label, metric.value) for metric in app.metric] == [
        ("Best mean average precision", "62.5 %"),
        ("Where the search started", "50.0 %"),
    ]
    assert any("mean average precision, validation split" in item.value for item in app.caption)
    assert app.dataframe[0].value["Mean average precision"].tolist() == [62.5, 50.0]
