"""Several labels per clip from a manifest to answers: training, thresholds, judging, classifying, what refuses."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from samplemind_core.cli import app
from samplemind_core.config import build_config
from samplemind_core.errors import DataError
from samplemind_core.evaluation.out_of_fold import read_out_of_fold
from samplemind_core.settings import Settings
from samplemind_core.training.checkpoints import read_info
from samplemind_core.workspace import Workspace

PITCHES_HZ = {"high": 1_700.0, "low": 180.0, "middle": 620.0}
TINY = {"n_mels": 32, "duration_s": 0.3, "model.width": 0.5, "device": "cpu", "epochs": 12, "batch_size": 10, "lr": 0.02}


def tones(names: list[str], rng: np.random.Generator, rate_hz: int = 8_000) -> np.ndarray:
    """Decaying tones of each label's pitch, together."""
    time_s = np.arange(round(0.25 * rate_hz)) / rate_hz
    wave = rng.normal(0, 0.003, time_s.shape)
    for name in names:
        pitch = PITCHES_HZ[name] * rng.uniform(0.93, 1.07)
        wave += 0.25 * np.sin(2 * np.pi * pitch * time_s) * np.exp(-time_s / rng.uniform(0.06, 0.15))
    return wave


@pytest.fixture(scope="module")
def space(tmp_path_factory):
    root = tmp_path_factory.mktemp("several")
    folder, rows = root / "tones", []
    folder.mkdir()
    for number in range(100):
        rng = np.random.default_rng(number)
        names = [name for name in PITCHES_HZ if rng.random() < 0.5] or ["low"]
        sf.write(folder / f"{number:03d}.wav", tones(names, rng), 8_000, subtype="PCM_16")
        rows.append((f"{number:03d}.wav", "|".join(names), f"pack {number % 20}"))
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "labels", "group"), *rows])
    workspace = Workspace(Settings(workspace=root / "ws", worker="external"))
    workspace.import_dataset(folder / "manifest.csv", name="tones")
    workspace.train("tones", build_config("quick", TINY), name="first")
    yield workspace
    workspace.close()


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> dict[str, Path]:
    """Sounds that nobody has trained on, by what is in them."""
    folder = tmp_path_factory.mktemp("new")
    found = {}
    for place, names in enumerate((["low"], ["high", "low"], ["high", "low", "middle"])):
        path = folder / f"{'-'.join(names)}.wav"
        sf.write(path, tones(names, np.random.default_rng(9_000 + place)), 8_000)
        found["+".join(names)] = path
    rng = np.random.default_rng(5)
    sf.write(folder / "broken.wav", rng.normal(size=10), 8_000)
    (folder / "broken.wav").write_bytes(b"no sound")
    return found | {"broken": folder / "broken.wav"}


def test_a_run_learns_them_and_keeps_thresholds(space):
    run = space.run("first")
    assert run.status == "finished", run.end_reason
    last = space.epochs(run.id)[-1]
    assert last.health["val_map"] > 0.85
    info = read_info(space.checkpoint_path("first"))
    assert info.several_labels
    assert len(info.label_thresholds) == 3
    assert info.thresholds_from["split"] == "val"
    assert sum(info.thresholds_from["by_class"].values()) > info.thresholds_from["num_clips"]


def test_it_is_judged_by_mean_average_precision(space):
    found = space.evaluate("first")
    shares = [row.support / found.num_clips for row in found.per_class]
    assert found.mean_ap > 0.85 > np.mean(shares) + 0.2
    assert found.lwlrap > 0.85
    assert found.macro_f1 > 0.7
    assert [row.threshold for row in found.per_class] == list(read_info(space.checkpoint_path("first")).thresholds)
    (compared,) = space.compare_many(["first", "first:last"])
    assert compared.num_clips == found.num_clips
    assert space.evaluate("mean(first, first:last)").num_clips == found.num_clips


def test_an_edit_changes_what_is_right_and_not_what_was_said(space):
    before = space.judge("first", split="val")
    clip = int(before.clip_ids[0])
    labels = "high | low | middle"
    space.edit("tones").relabel([clip], labels)
    after = space.judge("first", split="val")
    np.testing.assert_array_equal(after.logits, before.logits)
    assert after.targets[list(after.clip_ids).index(clip)].tolist() == [1, 1, 1]
    space.edit("tones").undo()


def test_every_label_above_its_threshold_is_named(space, sounds):
    classifier = space.classifier("first")
    results = {name: classifier.predict([path])[0] for name, path in sounds.items()}
    for name in ("low", "high+low", "high+low+middle"):
        result = results[name]
        assert set(result.labels) == set(name.split("+"))
        assert result.label == result.labels[0] == max(result.probs, key=lambda label: result.probs[label])
        assert result.as_dict()["labels"] == list(result.labels)
        assert result.none is None
    together = classifier.predict(list(sounds.values()))
    for alone, one in zip(results.values(), together, strict=True):
        assert alone.labels == one.labels
        for label in alone.probs:
            assert alone.probs[label] == pytest.approx(one.probs[label], abs=1e-5)
    assert results["broken"].error
    assert not results["broken"].is_none


def test_nothing_above_its_threshold_is_an_answer_of_its_own(space, sounds):
    classifier = space.classifier("first")
    raised = classifier.info.model_copy(update={"label_thresholds": (0.999999,) * 3})
    strict = type(classifier)(classifier.model, raised, classifier.device, classifier.limits)
    result = strict.predict([sounds["low"]])[0]
    assert (result.labels, result.is_none, result.label, result.confidence) == ((), True, "none of these", None)


def test_segments_carry_all_their_labels(space):
    from samplemind_core.inference.windows import analyse

    rng = np.random.default_rng(77)
    classifier = space.classifier("first")
    rate = classifier.info.features.sample_rate_hz
    hits = [np.pad(tones(names, rng, rate), (0, rate // 8)) for names in (["low"], ["high", "middle"])]
    timeline = analyse(classifier, np.concatenate(hits).astype(np.float32))
    assert len(timeline.segments) >= 2
    assert "low" in timeline.segments[0].label
    assert any(" + " in segment.label for segment in timeline.segments)


def test_what_needs_one_label_refuses_in_words(space):
    for ask in (
        lambda: space.calibrate("first"),
        lambda: space.calibration("first"),
    ):
        with pytest.raises(DataError, match="several"):
            ask()


def test_the_command_line(space, sounds, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(space.settings.root))
    told = CliRunner().invoke(app, ["evaluate", "first"])
    assert told.exit_code == 0, told.output
    assert "mean average precision" in told.output
    assert "named from" in told.output
    told = CliRunner().invoke(app, ["compare", "first", "first:last", "--json"])
    assert "mean_ap_a" in json.loads(told.stdout)["comparisons"][0]
    table = tmp_path / "answers.csv"
    told = CliRunner().invoke(app, ["classify", "first", str(sounds["high+low"].parent), "--csv", str(table)])
    assert told.exit_code == 1  # one file is broken
    rows = list(csv.DictReader(table.read_text().splitlines()))
    by_name = {Path(row["file"]).name: row for row in rows}
    assert set(by_name["high-low.wav"]["labels"].split(";")) == {"high", "low"}
    assert set(rows[0]) == {"file", "labels", "label", "confidence", "p_high", "p_low", "p_middle", "error"}
    line = next(line for line in told.output.splitlines() if "high-low.wav" in line)
    assert line.count("%") == 2


def test_doubt_and_confidence_of_each_label_on_the_command_line(space, monkeypatch):
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(space.settings.root))

    def ask(*words: str) -> str:
        told = CliRunner().invoke(app, [*words])
        assert told.exit_code == 0, told.output
        return told.stdout

    by_label = space.label_calibration("first", split="test")
    found = json.loads(ask("calibrate", "first", "--json"))
    assert found["temperature"] is None
    assert found["test"]["all"]["ece"] == pytest.approx(by_label[0].ece)
    assert [row["label"] for row in found["val"]["labels"]] == ["high", "low", "middle"]
    assert found["test"]["labels"][1] == by_label[2].as_dict()
    shown = ask("calibrate", "first")
    assert "not divided by a temperature" in shown
    assert f"{by_label[0].num_answers} answers" in shown

    # A label that is taken away is missed by the checkpoint.
    judged = space.judge("first", split="test")
    several = (judged.targets.sum(axis=1) > 1)[:, None] & (judged.targets > 0)
    row, place = np.unravel_index(np.where(several, judged.logits, -np.inf).argmax(), several.shape)
    clip, label = int(judged.clip_ids[row]), judged.class_names[place]
    kept = [name for name in space.store.datasets.clip(clip).labels if name != label]
    space.edit("tones").relabel([clip], "|".join(kept))
    found = json.loads(ask("errors", "first", "--json"))
    assert found["num_clips"] == len(judged.clip_ids)
    doubt = next(one for one in found["doubts"] if one["clip_id"] == clip)
    assert (doubt["label"], doubt["suggested"], doubt["labels"]) == (label, "add", kept)
    assert f"{label} as well" in ask("errors", "first")
    space.edit("tones").undo()


def test_the_report_of_a_run(space, monkeypatch, tmp_path):
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(space.settings.root))
    page = tmp_path / "run.html"
    told = CliRunner().invoke(app, ["run-report", "first", "--out", str(page)])
    assert told.exit_code == 0, told.output
    text = page.read_text()
    assert "mean average precision" in text
    assert "Named from" in text
    assert "Exactly the right labels" in text


def test_what_it_withstands_is_measured_label_by_label(space, monkeypatch):
    from samplemind_core.evaluation import robustness
    from samplemind_core.evaluation.label_robustness import LabelRobustness
    from samplemind_core.evaluation.probes import PROBES

    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(space.settings.root))
    monkeypatch.setattr(robustness, "PROBES", {name: PROBES[name] for name in ("gain", "low_pass")})
    num_test = len(space.store.datasets.clips(space.dataset("tones").id, split="test"))
    found = space.robustness("first", count=500)
    assert len(found.clip_ids) == found.num_available == num_test
    judged = space.evaluate("first")
    assert found.clean.mean_ap == pytest.approx(judged.mean_ap, abs=1e-6)
    assert found.clean.interval == pytest.approx(judged.mean_ap_interval, abs=1e-6)
    assert found.clean.recall == pytest.approx([row.recall for row in judged.per_class])
    assert (found.clean.difference, found.clean.broken, found.clean.fixed) == (0.0, 0, 0)
    assert [curve.probe for curve in found.curves] == ["gain", "low_pass"]
    worst = found.curve("low_pass").worst
    assert LabelRobustness.from_dict(json.loads(json.dumps(found.as_dict()))) == found

    monkeypatch.setattr(robustness, "measure_label_robustness", lambda *_args, **_kwargs: pytest.fail("again"))
    told = CliRunner().invoke(app, ["robustness", "first", "--clips", "500"])
    assert f"on {num_test} clips when clean" in told.stdout
    told = CliRunner().invoke(app, ["robustness", "first", "--clips", "500", "--json"])
    assert json.loads(told.stdout)["curves"][1]["steps"][-1]["average_precision"] == pytest.approx(
        worst.average_precision
    )


def test_a_cross_validation_answers_for_every_clip(space, monkeypatch):
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(space.settings.root))
    settings = [word for key, value in (TINY | {"epochs": 5}).items() for word in ("--set", f"{key}={value}")]
    told = CliRunner().invoke(app, ["cross-validate", "tones", "--folds", "4", "--name", "folded", *settings, "--json"])
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout[told.stdout.index("{") :])
    assert found["num_clips"] == 100
    assert set(found["over_folds"]) == {"mean_ap", "micro_f1", "exact"}
    assert found["over_folds"]["mean_ap"]["mean"] == pytest.approx(np.mean([row["mean_ap"] for row in found["folds"]]))
    assert all(row["mean_ap_interval"][0] <= row["mean_ap"] <= row["mean_ap_interval"][1] for row in found["folds"])
    assert found["pooled"]["mean_ap"] > 0.6
    run = space.run("folded")
    assert "Mean average precision" in run.end_reason
    # Diagnostics says the same of all clips together, each of which is there once.
    judged = space.judge("folds(folded)", split="all")
    assert sorted(judged.clip_ids) == sorted(clip.id for clip in space.clips("tones"))
    measured = space.evaluate("folds(folded)", split="all")
    for score, value in found["pooled"].items():
        assert getattr(measured, score) == pytest.approx(value)
    stored = read_out_of_fold(space.settings, run.id)
    assert judged.thresholds == pytest.approx(stored.thresholds.mean(axis=0))
    for source in set(judged.sources):
        assert len(set(stored.folds[judged.sources == source])) == 1
    # Doubt rests on answers that no network was trained for.
    doubts, _, basis = space.label_errors("folds(folded)")
    assert basis == "by the cross-validation of folded"
    assert doubts.num_clips == 100
    assert space.label_calibration("folds(folded)", split="all")[0].num_answers == 300
    assert space.report(["folds(folded)"], split="all").data["num_clips"] == 100
    told = CliRunner().invoke(app, ["evaluate", "folds(folded)", "--split", "all"])
    assert "mean average precision" in told.stdout
