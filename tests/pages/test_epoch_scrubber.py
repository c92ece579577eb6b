"""What became of each sample, on the Train page: groups, epochs, sounds, and runs of which nothing was noted."""

from __future__ import annotations

import json

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from samplemind_core.errors import AudioError
from samplemind_core.training.clip_record import FILE, ClipRecord
from samplemind_core.workspace import Workspace

# The twelve validation clips of the seeded dataset: right in epoch 1, 2, 3.
RIGHT = np.array([[1] * 4 + [0] * 8, [1] * 4 + [1] * 3 + [0] * 5, [1] * 4 + [0] * 2 + [1] + [0] * 5], dtype=bool)


@pytest.fixture
def noted(seeded: Workspace) -> Workspace:
    clips = seeded.store.datasets.clips("d1", split="val")
    rows, targets = np.array([clip.row for clip in clips]), np.array([clip.target for clip in clips])
    record = ClipRecord(seeded.root / "runs" / "r1" / FILE, rows, targets, ("kick", "snare"), 3)
    for epoch, right in enumerate(RIGHT, 1):
        record.note(epoch, np.where(right, targets, 1 - targets), np.where(right, 0.9, 0.2))
    return seeded


def opened(visit, **query: str) -> AppTest:
    app = visit("train", run="r1", **query)
    assert not app.exception
    app.session_state["scrubber-r1"] = True
    return app.run()


def words(app: AppTest) -> str:
    return "\n".join(str(element.value) for kind in (app.caption, app.markdown) for element in kind)


def metrics(app: AppTest) -> dict[str, str]:
    return {metric.label: metric.value for metric in app.metric}


def listed(app: AppTest) -> list[dict]:
    rows = []
    for component in app.get("bidi_component"):
        data = json.loads(component.proto.json or "null") if component.proto.json else None
        if isinstance(data, str):
            data = json.loads(data)
        if isinstance(data, list) and data and "label" in data[0]:
            rows = data
    return rows


def test_it_is_folded_and_asks_nothing_until_somebody_looks(noted: Workspace, visit) -> None:
    app = visit("train", run="r1")
    assert not app.exception
    assert [box.label for box in app.expander].count("What became of each sample") == 1
    assert "Never right" not in metrics(app)


def test_groups_of_the_last_epoch(noted: Workspace, visit) -> None:
    app = opened(visit)
    assert not app.exception
    assert metrics(app) == {"Always right": "4", "Learned": "1", "Forgotten": "2", "Never right": "5"}
    assert "12 validation samples" in words(app)
    assert "2 samples in this epoch" in words(app)
    sounds = listed(app)
    assert len(sounds) == 2
    assert sounds[0]["details"][-1] == "just now, forgotten once"


def test_an_earlier_epoch_and_another_group(noted: Workspace, visit) -> None:
    app = opened(visit)
    app = app.select_slider(key="scrub-r1").set_value(2).run()
    assert metrics(app) == {"Always right": "4", "Learned": "3", "Forgotten": "0", "Never right": "5"}
    assert "No sample is forgotten after epoch 2." in words(app)
    app = app.segmented_control(key="scrub-group-r1").set_value("learned").run()
    assert "3 samples in this epoch, 1 of them for good." in words(app)
    assert len(listed(app)) == 3


def test_one_sample_up_close(noted: Workspace, visit, monkeypatch) -> None:
    def damaged(self: Workspace, clip_id: int, features: object) -> None:
        raise AudioError("The file was damaged.", "Import it again.")

    monkeypatch.setattr(Workspace, "hear", damaged)
    app = opened(visit)
    place = app.selectbox(key="scrub-closer-r1").options
    assert len(place) == 2
    app.session_state["scrub-closer-r1"] = 4
    app = app.run()
    assert not app.exception
    curve = json.loads(app.get("plotly_chart")[-1].proto.spec)
    assert [round(value) for value in curve["data"][0]["y"]] == [20, 90, 20]
    assert ["damaged" in str(error.value) for error in app.error] == [True]


def test_a_run_of_which_nothing_was_noted_says_so(seeded: Workspace, visit) -> None:
    app = opened(visit)
    assert not app.exception
    assert "Nothing was noted of this run" in words(app)


def test_a_damaged_record_is_one_line(noted: Workspace, visit) -> None:
    (noted.root / "runs" / "r1" / FILE).write_bytes(b"noise")
    app = opened(visit)
    assert not app.exception
    assert any("cannot be read" in str(error.value) for error in app.error)
