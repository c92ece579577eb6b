"""Many files on the Classify page: the parts of the page, filters, corrections and history."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from streamlit.testing.v1 import AppTest

from samplemind_core.batches import sort_task
from samplemind_core.batches.review import correct
from samplemind_core.store import Answer, Batch
from samplemind_core.tasks import worker
from samplemind_core.workspace import Workspace

Visit = Callable[..., AppTest]


@pytest.fixture
def seeded(seeded: Workspace) -> Workspace:
    """The seeded workspace with a checkpoint to choose; nothing here loads its file."""
    (run,) = seeded.runs()
    facts = {"epoch": 2, "val_loss": 0.5, "val_accuracy": 0.8, "num_bytes": 10, "created_at": time.time()}
    seeded.store.runs.put_checkpoint(run.id, {"kind": "best", "path": "runs/x/best.safetensors", **facts})
    return seeded


@pytest.fixture
def batch(seeded: Workspace) -> Batch:
    """A batch of three answers and one bad file."""
    made = seeded.store.answers.add(
        Batch("b1", "My pack", "page", "", "ann", time.time(), {"run": "first", "epoch": 2, "dataset": "drums"}, {}, 4)
    )
    probs = {"kick": 0.8, "snare": 0.2}
    seeded.store.answers.append(
        "b1",
        [
            Answer(0, "a.wav", "a.wav", "kick", 0.8, 1, 0.5, details={"probs": probs}),
            Answer(1, "b.wav", "b.wav", "snare", 0.6, 2, 0.5, details={"probs": probs}),
            Answer(2, "c.wav", "c.wav", None, 0.9, 0, 0.5, details={"probs": probs}),
            Answer(3, "bad.wav", "bad.wav", error="Not audio."),
        ],
    )
    return made


def shown(page: AppTest) -> str:
    return "\n".join(
        str(element.value) for kind in ("markdown", "caption", "subheader", "html") for element in page.get(kind)
    )


def test_a_batch_is_shown_and_narrowed_down(seeded: Workspace, visit: Visit, batch: Batch) -> None:
    page = visit("classify", view="many", batch="b1")
    assert not page.exception
    assert "4 files" in shown(page)
    table = page.dataframe[0].value
    assert list(table["Class"]) == ["kick", "snare", "none of these"]
    page.multiselect(key="batch-labels-b1").set_value(["none of these"]).run()
    assert list(page.dataframe[0].value["File"]) == ["c.wav"]
    page.multiselect(key="batch-labels-b1").set_value([]).run()
    page.selectbox(key="batch-sets-b1").set_value(2).run()
    assert list(page.dataframe[0].value["File"]) == ["b.wav"]
    page.selectbox(key="batch-sets-b1").set_value(0).run()
    page.text_input(key="batch-text-b1").set_value("nothing like it").run()
    assert "No file fits these filters." in shown(page)


def test_a_batch_that_is_gone_says_so(seeded: Workspace, visit: Visit) -> None:
    page = visit("classify", view="many", batch="none")
    assert not page.exception
    assert "There is no batch" in page.error[0].value


def test_history_finds_opens_and_deletes(seeded: Workspace, visit: Visit, batch: Batch) -> None:
    page = visit("classify", view="history")
    assert not page.exception
    page.text_input(key="history-text").set_value("bad.WAV").run()
    page.button(key="history-open-b1").click().run()
    assert not page.exception
    assert page.query_params["batch"] in ("b1", ["b1"])
    page = visit("classify", view="history")
    page.button(key="history-sure-b1").click().run()
    assert seeded.store.answers.batches() == []
    assert "What is classified as many files is listed here." in shown(page)


def test_the_queue_is_decided_about(seeded: Workspace, visit: Visit, tmp_path: Path) -> None:
    sounds = []
    for number in range(2):
        path = tmp_path / f"new{number}.wav"
        sf.write(path, np.random.default_rng(number).uniform(-0.5, 0.5, 4_000), 22_050)
        sounds.append(correct(seeded, path, name=path.name, label="clap", called="kick", by="ann"))
    page = visit("classify", view="review")
    assert not page.exception
    assert "Waiting for review (2)" in shown(page)
    chosen = next(widget for widget in page.multiselect if widget.label == "Corrections")
    chosen.set_value([sounds[0].id]).run()
    page.button(key="review-reject").click().run()
    assert not page.exception
    assert [row.status for row in seeded.store.corrections.all()] == ["rejected", "waiting"]


def test_an_empty_queue_says_where_corrections_come_from(seeded: Workspace, visit: Visit) -> None:
    page = visit("classify", view="review")
    assert not page.exception
    assert "Nothing waits for review" in shown(page)


def test_a_folder_is_queued_and_shown(seeded: Workspace, visit: Visit, tmp_path: Path) -> None:
    page = visit("classify", view="many")
    assert not page.exception
    # What was typed arrives with the click: a button that waits for it would swallow that click.
    page.button(key="batch-start").click().run()
    assert "No folder was named." in page.error[0].value
    page.text_input(key="batch-path").set_value(str(tmp_path / "nowhere")).run()
    page.button(key="batch-start").click().run()
    assert "is no folder of this machine" in page.error[0].value
    (tmp_path / "pack").mkdir()
    page.text_input(key="batch-path").set_value(str(tmp_path / "pack")).run()
    page.button(key="batch-start").click().run()
    assert not page.exception
    (made,) = seeded.store.answers.batches()
    assert (made.kind, made.origin) == ("folder", str(tmp_path / "pack"))
    assert [task.kind for task in seeded.tasks.all()] == ["classify"]
    assert "The first answers will be here in a moment." in shown(page)


def test_sorting_is_planned_when_something_changed_only(
    seeded: Workspace, visit: Visit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "pack"
    there.mkdir()
    for name in ("a.wav", "b.wav"):
        sf.write(there / name, np.zeros(100), 22_050)
    seeded.store.answers.add(
        Batch(
            "b2", "Pack", "folder", str(there), "ann", time.time(), {"run": "first", "epoch": 2, "dataset": "d"}, {}, 2
        )
    )
    answers = [
        Answer(place, name, name, "kick", 0.6 + 0.2 * place, 1, 0.1) for place, name in enumerate(("a.wav", "b.wav"))
    ]
    seeded.store.answers.append("b2", answers)
    plans = []
    plan = sort_task.plan
    monkeypatch.setattr(sort_task, "plan", lambda *given, **named: plans.append(named) or plan(*given, **named))
    page = visit("classify", view="many", batch="b2")
    assert not page.exception
    assert "2 files** would be copied" in shown(page)
    page.text_input(key="batch-text-b2").set_value("a").run()
    assert len(plans) == 1
    page.slider(key="sort-sure").set_value(70).run()
    assert "1 file** would be copied" in shown(page)
    assert len(plans) == 2
    # A wrong pattern is said each time it is asked for, and forgotten with it.
    page.text_input(key="sort-pattern").set_value("{nothing}").run()
    assert "nothing" in page.error[0].value
    page.text_input(key="sort-pattern").set_value("{class}/{name}").run()
    assert not page.error
    assert "1 file** would be copied" in shown(page)
    # Copies in a folder are taken back with one click, and nothing says any longer that they are there.
    page.segmented_control(key="sort-way").set_value("folder").run()
    page.text_input(key="sort-path").set_value(str(tmp_path / "sorted")).run()
    page.button(key="sort-start").click().run()
    worker.work(seeded)
    page.run()
    assert "1 file** copied into" in shown(page)
    page.button(key="sort-undo").click().run()
    assert not page.exception
    assert page.success[0].value == "1 copy removed."
    assert "copied into" not in shown(page)
    assert "sort-undo" not in {button.key for button in page.button}
