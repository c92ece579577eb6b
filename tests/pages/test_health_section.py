from __future__ import annotations

import json
from dataclasses import replace

import pytest

from samplemind_core.data.findings import (
    FactWeight,
    Finding,
    HealthReport,
    LabelGuess,
    LabelScore,
    LabelShortcuts,
    Leakage,
    ProposedGroup,
    Score,
    Shortcuts,
    Twin,
)
from samplemind_core.data.health import state_of
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.review import finding_key


def text(app) -> str:
    parts = [*app.title, *app.header, *app.subheader, *app.markdown, *app.caption, *app.error]
    return "\n".join(str(part.value) for part in parts).replace("\\", "")


@pytest.fixture
def checked(seeded):
    """The seeded workspace with a health report."""
    clips = seeded.store.datasets.clips("d1")
    ids = [clip.id for clip in clips]
    findings = (
        Finding("two_labels", "error", "1 sound under two labels", "One of them is wrong.", "relabel", tuple(ids[:2]),
                clusters=((ids[0], ids[1]),), suggested=(ids[1],)),
        Finding("silent", "warning", "2 silent samples", "They hold no sound.", "exclude", tuple(ids[4:6]),
                ("-90 dB", "-80 dB"), suggested=tuple(ids[4:6])),
        Finding("unreadable", "note", "1 file that is no sound", "It was left out.", "keep", subjects=("broken.wav",)),
    )  # fmt: skip
    report = HealthReport(
        "d1", state_of(clips), 1.0, 2.0, {"clips": 60}, findings,
        (Twin(ids[0], ids[4], False, 0.99), Twin(ids[1], ids[3], False, 0.99)),
        groups=(ProposedGroup("TR-808", tuple(ids[:6]), ("pack0", "pack1"), ("the name says TR-808",)),),
        leakage=Leakage(12, (ids[4],), (), Score(0.91, 0.9, 0.92, 5), Score(0.84, 0.82, 0.86, 5), 0.07, 0.05, 0.09,
                        "A forest on averages.", "A random split flatters by 7 points."),
        shortcuts=Shortcuts("strong", 0.8, 0.7, 0.9, 0.5, 0.01, (FactWeight("length", 0.7, 0.2),),
                            "Length gives it away."),
    )  # fmt: skip
    folder = dataset_folder(seeded.root, "d1") / "health"
    folder.mkdir(parents=True)
    (folder / f"{report.state[:32]}.json").write_bytes(report.to_json())
    seeded.findings = dict(zip(("labels", "silent", "broken"), map(finding_key, findings), strict=True))
    return seeded


def test_a_dataset_is_checked_in_the_background(visit, seeded):
    app = visit("data", section="health")
    assert "Not checked yet" in text(app)
    app.button(key="health-check").click().run()
    [task] = seeded.tasks.all(kind="health")
    assert task.params == {"dataset": "d1"}
    assert app.button(key="health-check").disabled


def test_findings_are_shown_with_what_each_means(visit, checked):
    shown = text(visit("data", section="health"))
    assert "1 finding makes results untrustworthy" in shown
    for part in ("1 sound under two labels", "2 silent samples", "Length gives it away"):
        assert part in shown
    assert "One of them is wrong" not in shown  # folded away


def test_a_finding_opens_with_its_samples_and_what_can_be_done(visit, checked):
    app = visit("data", section="health", look=checked.findings["silent"])
    assert "They hold no sound." in text(app)
    [player] = app.get("bidi_component")
    assert [row["reason"] for row in json.loads(json.loads(player.proto.json))] == ["-90 dB", "-80 dB"]
    app.button(key=f"exclude-{checked.findings['silent']}").click().run()
    assert checked.dataset("d1").num_excluded == 2
    assert "2 silent samples" not in text(app)
    assert "Check again" in [button.label for button in app.button]


def test_a_sound_under_two_labels_gets_one(visit, checked):
    key = checked.findings["labels"]
    app = visit("data", section="health", look=key)
    app.button(key=f"label-{key}-0-snare").click().run()
    assert checked.store.versions.all("d1")[-1].message == "Relabelled 1 sample as snare"


def test_what_is_in_order_is_put_aside_and_comes_back(visit, checked):
    key = checked.findings["labels"]
    app = visit("data", section="health", look=key)
    app.button(key=f"keep-{key}").click().run()
    assert "1 thing to look at; nothing that spoils results." in text(app)
    app.button(key=f"unkeep-{key}").click().run()
    assert "1 finding makes results untrustworthy" in text(app)


def test_a_finding_leads_to_its_samples_in_the_browser(visit, checked):
    key = checked.findings["silent"]
    app = visit("data", dataset="d1", section="health", look=key)
    app.button(key=f"open-{key}").click().run()
    [component] = app.get("bidi_component")
    data = json.loads(json.loads(component.proto.json))
    assert data["filters"] == {"finding": key}
    assert key in [one["key"] for one in data["findings"]]


def test_files_that_are_no_clips_are_listed(visit, checked):
    app = visit("data", section="health", look=checked.findings["broken"])
    assert any("broken.wav" in item.proto.body for item in app.get("html"))


def test_leakage_stands_beside_the_split(visit, checked):
    app = visit("data", section="splits")
    assert "A random split flatters by 7 points." in text(app)
    values = {metric.label: metric.value for metric in app.metric}
    assert values["Accuracy, random split"] == "91.0 %"
    assert values["Accuracy, sources kept whole"] == "84.0 %"
    assert values["Twins in training"] == "1"


def test_proposed_sources_can_be_taken(visit, checked):
    app = visit("data", section="splits")
    app.button(key="take-proposal").click().run()
    newest = checked.store.versions.all("d1")[-1]
    assert newest.message == "Took 1 proposed source"
    assert len(checked.store.datasets.clips("d1", source="TR-808")) == 6


def test_splitting_anew_keeps_sounds_together_that_the_report_found_to_be_the_same(visit, checked):
    # Of five equal packs three are trained on; without the twins one of these two pairs would be parted.
    app = visit("data", section="splits")
    assert "found to be the same stay together" in text(app)
    next(button for button in app.button if button.label == "Split anew").click().run()
    assert not app.error
    sides = [clip.split for clip in checked.store.datasets.clips("d1")]
    assert (sides[0], sides[1]) == (sides[4], sides[3])
    assert len(set(sides)) == 3


def test_labels_that_can_be_guessed_without_listening_are_listed(visit, checked):
    folder = dataset_folder(checked.root, "d1") / "health"
    [file] = folder.iterdir()
    guesses = (
        LabelGuess("kick", 40, 0.9, 0.3, 0.01, True, "sample rate"),
        LabelGuess("hat", 9, 0.3, 0.3, 1, False, "x"),
    )
    facts = (FactWeight("DC offset", 0.5, 0.2), FactWeight("length", 0.3, -0.01))
    probe = LabelShortcuts("strong", 0.6, 0.5, 0.7, 0.3, 0.01, guesses, 0, facts, True, "The rate tells 'kick'.")
    file.write_bytes(replace(HealthReport.from_json(file.read_bytes()), shortcuts=probe).to_json())
    app = visit("data", section="health")
    assert "The rate tells 'kick'." in text(app)
    assert {metric.label: metric.value for metric in app.metric}["File facts alone"] == "60.0 %"
    [table] = app.dataframe
    assert list(table.value["Mostly from"]) == ["sample rate", "–"]
    assert any("DC offset" in item.proto.body and "no less without it" in item.proto.body for item in app.get("html"))


def test_leakage_of_several_labels_stands_beside_the_split(visit, checked):
    folder = dataset_folder(checked.root, "d1") / "health"
    [file] = folder.iterdir()
    report = HealthReport.from_json(file.read_bytes())
    scores = {"naive": LabelScore(0.81, 0.8, 0.82, 3, 4), "safe": LabelScore(0.74, 0.7, 0.78, 3, 4)}
    file.write_bytes(replace(report, leakage=replace(report.leakage, **scores)).to_json())
    app = visit("data", section="splits")
    values = {metric.label: metric.value for metric in app.metric}
    assert (values["mAP, random split"], values["mAP, sources whole"]) == ("81.0 %", "74.0 %")
    assert "Both are the mAP (mean average precision) of a quick baseline" in text(app)
