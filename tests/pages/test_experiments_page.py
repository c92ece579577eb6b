from __future__ import annotations

import numpy as np

from samplemind_core.evaluation.out_of_fold import _write, out_of_fold_file


def leave_answers(space, run_id: str) -> None:
    """Leave a cross-validation of three folds, nine in ten right."""
    clips = space.clips("d1")
    targets = np.array([clip.target for clip in clips])
    said = np.where(np.arange(len(clips)) % 10 == 0, 1 - targets, targets)
    _write(
        out_of_fold_file(space.settings, run_id),
        logits=np.eye(2, dtype=np.float32)[said],
        targets=targets,
        clip_ids=np.array([clip.id for clip in clips]),
        folds=np.arange(len(clips)) % 3,
        class_names=np.array(["kick", "snare"]),
        version=np.array(1),
    )


def test_a_cross_validation_is_queued_and_shown(visit, seeded):
    app = visit("experiments")
    assert not app.exception
    app.number_input(key="folds-number").set_value(4).run()
    (told,) = [item.value for item in app.caption if " trainings of up to " in item.value]
    app.button(key="folds-start").click().run()
    assert not app.exception
    assert not app.error
    (task,) = seeded.tasks.all(kind="cross_validate")
    assert task.params["num_folds"] == 4
    assert task.params["config"]["preset"] == "quick"
    epochs = task.params["config"]["train"]["epochs"]
    assert epochs > 20  # few samples make few steps each
    assert told.startswith(f"4 trainings of up to {epochs} epochs, one after another. 20 would be few steps")
    assert any("of quick settings on drums" in item.value for item in app.markdown)
    app.button(key=f"stop-{task.id}").click().run()
    assert seeded.tasks.get(task.id).status == "stopped"


def test_what_cannot_be_dealt_is_said_in_place(visit, seeded):
    app = visit("experiments")
    app.selectbox(key="folds-by").set_value("folds")
    app.button(key="folds-start").click().run()
    assert "no folds to go by" in app.error[0].value
    assert seeded.tasks.all() == []


def test_a_result_is_shown_with_its_spread(visit, seeded):
    leave_answers(seeded, "r1")
    app = visit("experiments", folds="r1")
    assert not app.exception
    assert app.metric[0].value.startswith("90.0 ±")
    assert any("**90.0 %** are named right" in item.value for item in app.markdown)
    assert {"folds-diagnose"} <= {item.key for item in app.button}
