"""The Diagnostics page on stored predictions whose every answer is known."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from samplemind_core.config import RunConfig
from samplemind_core.evaluation.out_of_fold import out_of_fold_file
from samplemind_core.training.checkpoints import CheckpointInfo, read_info, save_checkpoint
from samplemind_core.training.predictions import Logits, write_logits
from samplemind_core.workspace import Workspace

# What each of two checkpoints says of the twelve test clips, kick and snare in turn.
RIGHT = [0, 1] * 6
A_SAYS = [0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1, 1]
B_SAYS = RIGHT


@pytest.fixture
def judged(seeded: Workspace) -> Workspace:
    clips = seeded.store.datasets.clips("d1", split="test")
    assert [clip.target for clip in clips] == RIGHT
    first = seeded.run("first")
    seeded.store.runs.add(replace(first, id="r2", name="second"))
    for run_id, says in (("r1", A_SAYS), ("r2", B_SAYS)):
        checkpoint = seeded.store.runs.put_checkpoint(
            run_id,
            {
                "kind": "best",
                "epoch": 3,
                "path": f"runs/{run_id}/best",
                "val_loss": 0.5,
                "val_accuracy": 0.8,
                "num_bytes": 1,
            },
        )
        # The first clips are the surest.
        sure = np.linspace(4.0, 1.0, len(says), dtype=np.float32)
        logits = np.zeros((len(says), 2), np.float32)
        logits[np.arange(len(says)), says] = sure
        path = seeded.root / "runs" / run_id / "test.npz"
        ids = np.array([clip.id for clip in clips])
        write_logits(path, Logits(logits, np.array(RIGHT), ids, ("kick", "snare")))
        seeded.store.runs.put_prediction(
            {
                "checkpoint_id": checkpoint.id,
                "epoch": 3,
                "dataset_id": "d1",
                "split": "test",
                "path": path.relative_to(seeded.root).as_posix(),
                "num_clips": len(says),
            }
        )
    return seeded


@pytest.fixture
def checkpoint_files(judged: Workspace) -> None:
    """Files with a description behind the two checkpoints, and what they say of the validation clips."""
    clips = judged.store.datasets.clips("d1", split="val")
    for run in judged.runs():
        checkpoint = judged.checkpoints(run.id)[0]
        config = RunConfig.model_validate(run.config)
        info = CheckpointInfo(class_names=("kick", "snare"), config=config, epoch=3, metrics={}, dataset={},
                              num_parameters=1_000)  # fmt: skip
        save_checkpoint(judged.root / checkpoint.path, {}, info)
        targets = np.array([clip.target for clip in clips])
        logits = (3.0 * np.eye(2)[targets]).astype(np.float32)
        path = judged.root / f"{run.id}-val.npz"
        write_logits(path, Logits(logits, targets, np.array([clip.id for clip in clips]), ("kick", "snare")))
        values = {"checkpoint_id": checkpoint.id, "epoch": 3, "dataset_id": "d1", "split": "val"}
        judged.store.runs.put_prediction(values | {"path": path.name, "num_clips": len(clips)})


def text(app) -> str:
    return "\n".join(str(element.value) for kind in (app.caption, app.markdown) for element in kind)


def test_two_checkpoints_side_by_side(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", b="r2:best")
    assert not app.exception
    assert [metric.value for metric in app.metric if metric.label == "Accuracy"] == ["66.7 %", "100.0 %"]
    assert "4 clips fixed, 0 broken" in text(app)


def test_the_commonest_confusion_is_there_to_hear(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="confusions")
    assert (app.selectbox(key="cell-true").value, app.selectbox(key="cell-predicted").value) == ("snare", "kick")
    assert "3 samples of snare called kick, the surest first." in text(app)


def test_another_cell_is_chosen_without_the_mouse(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="confusions")
    app.selectbox(key="cell-true").set_value("kick")
    app.selectbox(key="cell-predicted").set_value("snare")
    app.run()
    assert "1 sample of kick called snare" in text(app)
    app.selectbox(key="cell-predicted").set_value("kick").run()
    assert "5 samples of kick rightly named" in text(app)


def test_the_cell_of_either_checkpoint(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", b="r2:best", section="confusions")
    assert not app.exception
    assert "3 samples of snare called kick" in text(app)
    app.selectbox(key="cell-of").set_value("B").run()
    assert "No snare was called kick." in text(app)


def test_the_clips_of_a_cell_are_those_that_were_confused(judged) -> None:
    clip_ids, confidences = judged.judge("first").cell("snare", "kick")
    clips = judged.store.datasets.clips("d1", split="test")
    assert clip_ids.tolist() == [clips[row].id for row in (5, 7, 9)]
    assert confidences.tolist() == sorted(confidences, reverse=True)
    assert (confidences > 0.5).all()


def test_the_mean_of_both_is_one_more_model(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", b="r2:best", mean="1")
    assert not app.exception
    assert len([metric for metric in app.metric if metric.label == "Accuracy"]) == 3
    app.toggle(key="diagnostics-mean").set_value(False).run()
    assert len([metric for metric in app.metric if metric.label == "Accuracy"]) == 2
    assert app.query_params["mean"] == "0"


def test_another_checkpoint_can_be_added(visit, judged) -> None:
    judged.store.runs.add(replace(judged.run("first"), id="r3", name="third"))
    values = judged.checkpoints("r1")[0].as_dict()
    judged.store.runs.put_checkpoint("r3", {name: values[name] for name in values if name not in {"id", "run_id"}})
    app = visit("diagnostics", a="r1:best", b="r2:best")
    app.button(key="diagnostics-another").click().run()
    assert app.selectbox(key="choose-c").value == ""


def test_all_samples_include_those_of_training(visit, judged) -> None:
    for split in ("train", "val"):
        clips = judged.store.datasets.clips("d1", split=split)
        checkpoint = judged.checkpoints("r1")[0]
        logits = np.zeros((len(clips), 2), np.float32)
        path = judged.root / f"{split}.npz"
        targets = np.array([clip.target for clip in clips])
        write_logits(path, Logits(logits, targets, np.array([clip.id for clip in clips]), ("kick", "snare")))
        values = {"checkpoint_id": checkpoint.id, "epoch": 3, "dataset_id": "d1", "split": split}
        judged.store.runs.put_prediction(values | {"path": path.name, "num_clips": len(clips)})
    app = visit("diagnostics", a="r1:best", b="", split="all")
    assert not app.exception
    assert "A was trained on 36 of these 60 samples; its figures flatter it." in text(app)


def test_an_unknown_section_falls_back_to_the_first(visit, judged) -> None:
    app = visit("diagnostics", a="r1:best", section="nonsense")
    assert not app.exception
    assert app.query_params["section"] == "overview"


def test_an_edited_dataset_is_judged_as_it_is_now_and_says_so(visit, judged) -> None:
    clip = judged.store.datasets.clips("d1", split="test")[0]
    judged.edit("d1").relabel([clip.id], "snare")
    app = visit("diagnostics", a="r1:best", b="")
    assert not app.exception
    assert "A was trained on version 1 of the dataset; labels and splits here are those of version 2." in text(app)


@pytest.mark.parametrize("section", ["labels", "calibration", "thresholds", "slices", "report"])
@pytest.mark.parametrize("b", ["", "r2:best"])
def test_every_section_draws(visit, judged, checkpoint_files, section, b) -> None:
    app = visit("diagnostics", a="r1:best", b=b, section=section)
    assert not app.exception
    assert not app.error


def test_calibration_on_the_page_is_kept_with_the_checkpoint(visit, judged, checkpoint_files) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="calibration")
    assert "Calibrate on validation" in [button.label for button in app.button]
    app.button(key="calibrate-A").click().run()
    assert not app.exception
    info = read_info(judged.checkpoint_path("r1"))
    assert info.calibrated_on["num_clips"] == 12
    assert "Fitted on 12 validation samples." in text(app)


def test_an_operating_point_is_chosen_kept_and_forgotten(visit, judged, checkpoint_files) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="thresholds")
    app.slider(key="threshold-coverage-A").set_value(50).run()
    assert "6 answers" in text(app)
    app.button(key="keep-point-A").click().run()
    point = read_info(judged.checkpoint_path("r1")).operating_point
    assert (point["coverage"], point["split"], point["num_answered"]) == (0.5, "test", 6)
    assert read_info(judged.checkpoint_path("r1")).refuse_below == point["refuse_below"]
    app.button(key="forget-point-A").click().run()
    assert not app.exception
    assert read_info(judged.checkpoint_path("r1")).refuse_below is None


def test_slices_by_source(visit, judged, checkpoint_files) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="slices")
    assert app.selectbox(key="slice-column").value == "Class"  # one source alone is no slice
    assert "Grey: 2 slices of fewer than 10 samples" in text(app)
    figure = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert figure["layout"]["yaxis"]["ticktext"] == ["snare · 6", "kick · 6"]


def test_a_doubted_label_is_accepted_or_kept(visit, judged, checkpoint_files) -> None:
    # Out of fold, the networks are sure that the first kick is a snare and the first snare a kick.
    clips = judged.clips("d1")
    targets = np.array([clip.target for clip in clips])
    said = targets.copy()
    said[[0, 1]] = 1 - said[[0, 1]]
    logits = np.where(np.eye(2)[said] > 0, 4.0, 0.0).astype(np.float32)
    ids = np.array([clip.id for clip in clips])
    path = out_of_fold_file(judged.settings, "r1")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, logits=logits, targets=targets, clip_ids=ids, folds=targets, class_names=np.array(["kick", "snare"]),
             version=np.array(1))  # fmt: skip
    app = visit("diagnostics", a="r1:best", b="", section="labels")
    assert not app.exception
    assert "About **2** of 60 labels (3.3 %) are probably wrong. 2 samples to listen to" in text(app)
    assert "folds(r1)" in app.selectbox(key="choose-a").options or any(
        "cross-validated" in option for option in app.selectbox(key="choose-a").options
    )
    app.button(key=f"keep-{ids[1]}").click().run()
    assert "1 sample to listen to" in text(app)
    assert judged.kept_labels("d1") == {int(ids[1]): "snare"}
    app.button(key=f"accept-{ids[0]}").click().run()
    assert not app.exception
    assert judged.store.datasets.clip(int(ids[0])).label == "snare"
    assert "None is left to decide." in text(app)


def test_cross_validation_is_queued_as_a_task(visit, judged, checkpoint_files) -> None:
    app = visit("diagnostics", a="r1:best", b="", section="labels")
    app.button(key="cross-validate").click().run()
    assert not app.exception
    (task,) = judged.tasks.all(kind="cross_validate")
    assert (task.params, task.status) == ({"run": "r1"}, "queued")


def test_playlists_of_two(visit, judged, checkpoint_files) -> None:
    app = visit("diagnostics", a="r1:best", b="r2:best", section="confusions")
    which = next(box for box in app.segmented_control if box.key == "hear-which")
    which.set_value("only_b").run()
    assert not app.exception
    assert not app.error, app.error[0].value
    assert "4 samples that B names rightly and A does not" in text(app)
    which = next(box for box in app.segmented_control if box.key == "hear-which")
    which.set_value("both_wrong").run()
    assert "There is no sample that neither A nor B names rightly." in text(app)


def test_only_a_cross_validation_has_no_network_to_look_into(visit, judged) -> None:
    clips = judged.clips("d1")
    targets = np.array([clip.target for clip in clips])
    path = out_of_fold_file(judged.settings, "r1")
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, logits=np.eye(2, dtype=np.float32)[targets], targets=targets, folds=targets, version=np.array(1),
             clip_ids=np.array([clip.id for clip in clips]), class_names=np.array(["kick", "snare"]))  # fmt: skip
    app = visit("diagnostics", a="folds(r1)", b="", section="why", split="all")
    assert not app.exception
    assert "This looks into one network." in text(app)
    app = visit("diagnostics", a="folds(r1)", b="", section="overview", split="all")
    assert not app.exception
    assert [metric.value for metric in app.metric if metric.label == "Accuracy"] == ["100.0 %"]
