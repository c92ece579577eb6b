from __future__ import annotations

import json

import pytest

from samplemind_core.store import Clip, Dataset


def text(app) -> str:
    parts = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error]
    return "\n".join(str(part.value) for part in parts)


def ids(space, **where) -> list[int]:
    return [clip.id for clip in space.store.datasets.clips("d1", **where)]


@pytest.mark.parametrize("section", ["overview", "samples", "splits", "history"])
def test_every_section_has_an_address(visit, seeded, section):
    app = visit("data", dataset="d1", section=section)
    assert not app.exception
    assert not app.error
    assert app.query_params["section"] in (section, [section])


def test_an_address_that_names_no_section_shows_the_first(visit, seeded):
    app = visit("data", section="nothing")
    assert app.metric[0].label == "Samples"
    assert app.metric[0].value == "60"


def test_the_browser_gets_what_the_address_asks_for(visit, seeded):
    app = visit("data", dataset="d1", section="samples", label="kick", text="x" * 1000)
    [component] = app.get("bidi_component")
    data = json.loads(json.loads(component.proto.json))
    assert data["filters"] == {"label": "kick", "text": "x" * 300}
    assert data["class_names"] == ["kick", "snare"]
    assert data["version"] == 1
    assert set(data["colors"]) == {"kick", "snare"}
    assert data["urls"]["edit"].startswith("by=")


def test_another_dataset_forgets_the_filter(visit, seeded):
    seeded.store.datasets.add(Dataset("d2", "other", "audio", ("kick", "snare"), 1, 0, "p", "a test", 0, 2e9), ())
    app = visit("data", dataset="d1", section="samples", label="kick")
    app.selectbox(key="choose-dataset").set_value("d2").run()
    assert "label" not in app.query_params


# -- splits --------------------------------------------------------------------------------------


def test_a_sample_with_several_labels_counts_for_each_class_of_its_source(visit, seeded):
    labels = (("kick",), ("kick", "snare"), ("kick", "snare"))
    clips = [
        Clip(row, f"{row}.wav", of[0], 0, "pack", "train", f"hash{row}", f"{row}.wav", labels=of)
        for row, of in enumerate(labels)
    ]
    dataset = Dataset("d2", "layers", "audio", ("kick", "snare"), 3, 0, "p", "a test", 0, 2e9, multi_label=True)
    seeded.store.datasets.add(dataset, clips)
    app = visit("data", dataset="d2", section="splits")
    assert not app.exception
    assert list(app.dataframe[0].value["Classes"]) == ["kick 3, snare 2"]


def test_sources_in_more_than_one_split_are_told(visit, seeded):
    app = visit("data", section="splits")
    assert "Every source is in one split only" in text(app)
    seeded.edit("d1").move(ids(seeded, source="pack0")[:1], "test")
    assert "1 source has samples in more than one split" in text(visit("data", section="splits"))


def test_splitting_anew_is_a_version(visit, seeded):
    app = visit("data", section="splits")
    app.number_input[0].set_value(5)
    next(button for button in app.button if button.label == "Split anew").click().run()
    assert not app.error
    newest = seeded.store.versions.all("d1")[-1]
    assert (newest.kind, newest.seed) == ("split", 5)
    assert newest.message == "Split anew, 70 / 15 / 15 %, seed 5"


def test_a_split_that_cannot_be_is_told_in_place(visit, seeded):
    seeded.edit("d1").regroup({clip_id: f"half{clip_id % 2}" for clip_id in ids(seeded)})
    app = visit("data", section="splits")
    next(button for button in app.button if button.label == "Split anew").click().run()
    assert "at least 3 sources" in app.error[0].value
    assert seeded.dataset("d1").version == 2


def test_folds_of_a_manifest_can_become_the_splits(visit, space):
    clips = [
        Clip(
            row, f"{row}.wav", ("kick", "snare")[row % 2], row % 2, f"pack{row}", "train", f"h{row}", fold=str(row % 5)
        )
        for row in range(20)
    ]
    space.store.datasets.add(Dataset("d1", "folded", "audio", ("kick", "snare"), 20, 0, "p", "a test", 0, 1.0), clips)
    app = visit("data", section="splits")
    next(button for button in app.button if button.label == "Split by these folds").click().run()
    assert space.store.versions.all("d1")[-1].message == "Split by folds: validation '3', test '4'"


# -- history -------------------------------------------------------------------------------------


def test_history_tells_who_changed_what_and_which_runs_used_it(visit, seeded):
    seeded.edit("d1", by="Ada").relabel(ids(seeded)[:3], "tom")
    shown = text(visit("data", section="history"))
    assert "**Version 2** · **now** · Relabelled 3 samples as tom" in shown
    assert "Ada · " in shown
    assert "trained on by first" in shown
    assert "3 samples relabelled; 57 the same." in shown


def test_undo_and_redo_from_the_history(visit, seeded):
    seeded.edit("d1").relabel(ids(seeded)[:3], "tom")
    app = visit("data", section="history")
    assert app.button(key="history-redo").disabled
    app.button(key="history-undo").click().run()
    assert seeded.dataset("d1").class_names == ("kick", "snare")
    assert app.button(key="history-undo").disabled
    app.button(key="history-redo").click().run()
    assert seeded.dataset("d1").version == 4
    assert seeded.dataset("d1").class_names == ("kick", "snare", "tom")


def test_a_dataset_is_deleted_once_nothing_needs_it(visit, seeded):
    app = visit("data", section="history", dataset="d1")
    app.button(key="history-sure-d1").click().run()
    assert "trained on dataset" in app.error[0].value
    for run in seeded.runs("d1"):
        seeded.delete_run(run.id)
    app.button(key="history-sure-d1").click().run()
    assert not app.error
    assert "d1" not in [dataset.id for dataset in seeded.datasets()]
    assert "not here any more" not in text(app)


def test_an_undo_of_somebody_elses_change_that_was_not_seen_is_refused(visit, seeded, monkeypatch):
    seeded.edit("d1").relabel(ids(seeded)[:3], "tom")
    app = visit("data", section="history")
    kept = type(seeded).edit

    def overtaken(self, name, *, by="", base=None):
        kept(self, name, by="Bo").exclude(ids(self)[:1])
        return kept(self, name, by=by, base=base)

    monkeypatch.setattr(type(seeded), "edit", overtaken)
    app.button(key="history-undo").click().run()
    assert "version 3 by Bo: Excluded 1 sample" in app.error[0].value.replace("\\", "")
    assert seeded.dataset("d1").version == 3
