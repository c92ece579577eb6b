"""What the pages show of checkpoints that name several labels."""

from __future__ import annotations

import csv
import html
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

sys.path.insert(0, str(Path(__file__).parent))

from several import NAMES, THRESHOLDS, add_several, answers, targets

from samplemind_core.data.editing import Editor
from samplemind_core.evaluation.changed_clips import Curve
from samplemind_core.evaluation.embeddings import Embeddings
from samplemind_core.evaluation.label_robustness import LabelRobustness, LabelStep
from samplemind_core.evaluation.out_of_fold import _write, out_of_fold_file
from samplemind_core.evaluation.robustness import VERSION, robustness_file
from samplemind_core.ui.diagnostics import embedding
from samplemind_core.workspace import Workspace


@pytest.fixture
def layers(space: Workspace) -> Workspace:
    return add_several(space)


def text(app) -> str:
    shown = [*app.caption, *app.markdown, *app.subheader, *app.title]
    return "\n".join([element.value for element in shown] + [f"{one.label}: {one.value}" for one in app.metric])


def sound(seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.random.default_rng(seed).normal(0, 0.1, 4_000), 16_000, format="WAV")
    return buffer.getvalue()


def test_the_overview_has_mean_average_precision(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="s2:best")
    assert not app.exception
    seen = text(app)
    assert "Mean average precision" in seen
    assert "lwlrap" in seen
    assert "16 samples with 22 labels" in seen
    assert "Exactly the right labels on" in seen
    assert "No difference can be told" in seen or "better" in seen
    table = next(frame.value for frame in app.dataframe if "Named from A" in frame.value)
    assert list(table["Label"]) == ["clap", "kick", "snare"]
    assert list(table["Named from A"]) == [f"{100 * share:.1f} %" for share in THRESHOLDS]


def test_found_missed_and_wrong_are_counted_and_heard(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", section="confusions")
    assert not app.exception
    counts = next(frame.value for frame in app.dataframe if "Named wrongly" in frame.value).set_index("Label")
    assert counts.loc["kick", "Missed"] == 1
    assert counts.loc["clap", "Named wrongly"] == 1
    assert counts.loc["snare"].tolist() == [8, 0, 0, 8]
    label = next(box for box in app.selectbox if box.key == "found-label")
    assert label.value in ("kick", "clap")
    label.set_value("kick").run()
    assert "1 sample that are kick and are not called so" in text(app)
    next(one for one in app.segmented_control if one.key == "found-kind").set_value("wrong").run()
    assert "There is no sample that are called kick" in text(app)


def test_thresholds_say_what_they_were_chosen_on(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", section="thresholds")
    assert not app.exception
    table = next(frame.value for frame in app.dataframe if "Chosen on" in frame.value)
    assert list(table["Chosen on"]) == ["12 samples", "20 samples", "nothing: only 3 samples"]
    assert "40 validation samples" in text(app)


def leave_robustness(layers: Workspace) -> None:
    """Leave what the second run withstands: a low pass takes the claps away, and gain does nothing."""
    _, checkpoint = layers.resolve("s2:best")
    ids = tuple(int(clip_id) for clip_id in layers.judge("s2", split="test").clip_ids)
    labels = tuple(tuple(np.flatnonzero(row).tolist()) for row in targets())
    heard = tuple(tuple((place, 0.9) for place in own) for own in labels)
    deaf = tuple(tuple((place, 0.9 if place else 0.01) for place in own) for own in labels)
    clean = LabelStep(0.0, 1.0, (0.9, 1.0), 0.0, (0.0, 0.0), (1.0, 1.0, 1.0), (1.0, 1.0, 1.0), 0, 0, 1.0, heard)
    dull = LabelStep(
        1_000, 0.7, (0.6, 0.8), -0.3, (-0.4, -0.2), (0.1, 1.0, 1.0), (0.0, 1.0, 1.0), 6, 0, 0.03, deaf
    )  # fmt: skip
    curves = (Curve("gain", "Gain", "dB", (replace(clean, level=6),)), Curve("low_pass", "Low pass", "Hz", (dull,)))
    found = LabelRobustness(2, "test", 16, 8, ids, labels, NAMES, THRESHOLDS, clean, curves)
    dataset = layers.dataset("d9")
    path = robustness_file(layers.root, checkpoint, dataset.id, "test", 120)
    path.parent.mkdir(parents=True)
    made_from = {"made_from": [VERSION, checkpoint.created_at, dataset.fingerprint]}
    path.write_text(json.dumps(found.as_dict() | made_from))


def test_what_it_withstands_and_a_run_against_it(layers, visit):
    leave_robustness(layers)
    app = visit("diagnostics", dataset="d9", split="test", a="s2:best", b="", section="robustness")
    assert not app.exception
    assert not app.error, app.error[0].value
    seen = text(app)
    assert "Clean: mean average precision 100.0 %" in seen
    assert "Mean average precision −30.0 points against clean" in seen
    assert "6 samples with more labels wrong" in seen
    assert app.selectbox(key="withstood-probe").value == "low_pass"
    figure = json.loads(app.get("plotly_chart")[-1].proto.spec)
    assert {trace.get("name") for trace in figure["data"]} >= {"clap", "kick", "snare", "all"}
    next(one for one in app.segmented_control if one.key == "withstood-by").set_value("recall").run()
    assert not app.exception
    figure = json.loads(app.get("plotly_chart")[-1].proto.spec)
    assert next(trace for trace in figure["data"] if trace.get("name") == "clap")["y"] == [100.0, 0.0]
    app.button(key="withstood-train").click().run()
    assert not app.exception
    (run,) = [run for run in layers.runs("d9") if run.status == "queued"]
    assert run.config["augment"]["band_limit_hz"] == 1_000


def test_a_doubted_label_is_kept_or_accepted(layers, visit, monkeypatch):
    clip = layers.clips("d9")[0]  # a kick, which the first network does not hear
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="", section="labels")
    assert not app.exception
    assert "2 labels to listen to" in text(app)
    assert app.button(key=f"several-accept-{clip.id}-kick").disabled  # it would have none
    app.button(key=f"several-keep-{clip.id}-kick").click().run()
    assert "1 label to listen to" in text(app)
    other = layers.clips("d9")[4]  # a snare, in which it hears a clap
    edits = []
    # These clips are all of the test split, so that the editor would ask for others to train on first.
    monkeypatch.setattr(Editor, "relabel", lambda _, clip_ids, label: edits.append((clip_ids, label)))
    app.button(key=f"several-accept-{other.id}-clap").click().run()
    assert not app.exception
    assert edits == [([other.id], "snare|clap")]


def test_a_cross_validation_is_shown_and_doubts_labels(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s2:best", b="", section="labels")
    assert not app.exception
    assert "Ask networks that never heard the sample" in text(app)
    _write(
        out_of_fold_file(layers.settings, "s2"),
        logits=answers("s1"),
        targets=targets(),
        clip_ids=np.array([clip.id for clip in layers.clips("d9")]),
        folds=np.arange(16) % 3,
        class_names=np.array(NAMES),
        version=np.array(1),
        thresholds=np.array([THRESHOLDS] * 3),
    )
    app = visit("experiments", folds="s2")
    assert not app.exception
    assert not app.error, app.error[0].value
    assert app.metric[0].label == "Mean average precision, mean ± sd"
    assert [one.value.split(" ± ")[0] for one in app.metric][
        2
    ] == "87.8"  # one of six, one of five, none of five is wrong
    table = next(frame.value for frame in app.dataframe if "Exactly right" in frame.value)
    assert table["Samples"].tolist() == [6, 5, 5]
    assert "a mean average precision of **" in text(app)
    # The second run is right about all; the networks that never heard the samples are not.
    app = visit("diagnostics", dataset="d9", split="test", a="s2:best", b="", section="labels")
    assert not app.exception
    assert "2 labels to listen to" in text(app)
    assert "Ask networks" not in text(app)
    app = visit("diagnostics", dataset="d9", split="all", a="folds(s2)", b="", section="thresholds")
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "the mean of the thresholds that its networks chose" in text(app)


def test_the_confidence_of_each_label_is_measured(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="s2:best", section="calibration")
    assert not app.exception
    assert not app.error, app.error[0].value
    table = next(frame.value for frame in app.dataframe if "Have it" in frame.value).set_index("Label")
    assert table.loc["kick", "Samples"] == 8
    assert table.loc["kick", "Have it"] == "50.0 %"
    figure = json.loads(app.get("plotly_chart")[-1].proto.spec)
    assert figure["layout"]["yaxis"]["title"]["text"] == "Have it (%)"
    app.selectbox(key="reliability-label").set_value("kick").run()
    assert not app.exception
    assert not app.error, app.error[0].value
    assert json.loads(app.get("plotly_chart")[-1].proto.spec)["layout"]["yaxis"]["title"]["text"] == "Are kick (%)"


def test_the_map_is_coloured_by_what_is_said_of_one_label(layers, visit, monkeypatch):
    clips = layers.clips("d9")
    found = Embeddings(
        vectors=np.random.default_rng(0).normal(size=(16, 5)).astype(np.float32),
        logits=answers("s1"),
        clip_ids=np.array([clip.id for clip in clips]),
        labels=np.array([clip.label for clip in clips]),
        splits=np.array(["test"] * 16),
        sources=np.array([clip.source for clip in clips]),
        folds=np.array([""] * 16),
        class_names=NAMES,
    )
    monkeypatch.setattr(Workspace, "embeddings", lambda *_args, **_kwargs: found)
    monkeypatch.setattr(embedding, "embeddings_are_there", lambda *_args: True)
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="", section="embedding")
    assert not app.exception
    assert "kick + snare, distance" in str([frame.proto for frame in app.get("bidi_component")])

    def traces() -> dict[str, int]:
        figure = json.loads(app.get("plotly_chart")[-1].proto.spec)
        return {trace["name"]: len(trace["hovertext"]) for trace in figure["data"]}

    app.selectbox(key="map-colour").set_value("error").run()
    assert not app.exception
    assert traces() == {"wrong": 2, "right": 14}
    app.selectbox(key="map-colour").set_value("one").run()
    app.selectbox(key="map-label").set_value("kick").run()
    assert not app.exception
    assert traces() == {"kick, found": 7, "kick, missed": 1, "not kick": 8}


def test_slices_by_how_many_labels_samples_have(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="", section="slices")
    assert not app.exception
    assert not app.error, app.error[0].value
    app.selectbox(key="slice-column").set_value("Number of labels").run()
    assert not app.exception
    assert not app.error, app.error[0].value
    table = app.dataframe[0].value.set_index("Number of labels")
    # Two of the ten with one label are wrong: a kick that is missed, and a snare that is called clap as well.
    assert table.loc["1", "Right"] == "80.0 %"
    assert table.loc["2", "Right"] == "100.0 %"
    assert table.loc["1", "Micro F1"] == "90.0 %"


def test_the_report_says_the_same_three_times(layers, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best", b="s2:best", section="report")
    assert not app.exception
    assert not app.error, app.error[0].value
    assert not app.error
    report = layers.report(["s1", "s2"])
    rows = list(csv.DictReader(io.StringIO(report.csv)))
    data = json.loads(json.dumps(report.data, allow_nan=False))
    for model, exact in zip(data["models"], (14, 16), strict=True):
        assert sum(int(row[f"{model['name']} right"]) for row in rows) == exact
        assert model["evaluation"]["exact"] == pytest.approx(exact / 16)
        assert len(model["calibration"]) == 4
    assert rows[1]["labels"] == "kick;snare"
    assert data["comparisons"][0]["sentence"] in html.unescape(report.html)
    assert report.html.count("Plotly.newPlot") >= 8
    assert "Named wrongly" in report.html


def test_checkpoints_of_the_other_kind_are_not_offered(layers, seeded, visit):
    app = visit("diagnostics", dataset="d9", split="test", a="s1:best")
    options = next(box for box in app.selectbox if box.label == "Checkpoint A").options
    assert any("layers-one" in option for option in options)
    assert not any("trained on drums" in option for option in options)


def test_one_sound_is_given_its_labels(layers, visit):
    app = visit("classify", checkpoint="s1:best")
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "several labels per sample, mean average precision" in text(app)
    app.get("file_uploader")[0].upload("noise.wav", sound(), "audio/wav").run()
    assert not app.exception
    assert not app.error, app.error[0].value
    assert not app.error
    seen = text(app)
    assert "Each label is answered by itself" in seen
    assert ("No label reaches its threshold" in seen) == ("Labels: none of these" in seen)
    assert "That is wrong" not in [box.label for box in app.expander]


def test_many_sounds_are_a_table_with_all_labels(layers, visit):
    app = visit("classify", checkpoint="s1:best")
    uploads = [(f"{number}.wav", sound(number), "audio/wav") for number in range(3)]
    app.get("file_uploader")[0].set_value(uploads).run()
    assert not app.exception
    assert not app.error, app.error[0].value
    table = app.dataframe[0].value
    assert "Nearly" in table
    assert "Could be" not in table


def test_answers_as_csv(layers):
    from samplemind_core.ui.answers import agree, csv_text

    results = layers.classifier("s1:best").predict([("a.wav", sound()), ("b.wav", b"nothing")])
    rows = list(csv.DictReader(csv_text(results).splitlines()))
    assert rows[0]["labels"] == ";".join(results[0].labels)
    assert set(rows[0]) == {"file", "labels", "label", "confidence", "p_clap", "p_kick", "p_snare", "error"}
    assert rows[1]["error"]
    assert agree(results[0], results[0])


def test_the_train_page_draws_mean_average_precision(layers, visit):
    app = visit("train", run="s1")
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "Mean average precision" in text(app)
    assert "Accuracy" not in [one.value for one in app.subheader]
