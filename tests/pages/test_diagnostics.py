"""The Diagnostics page on stored predictions whose every answer is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

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
