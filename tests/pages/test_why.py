"""Sections of the Diagnostics page that need a real network: reasons, the map of embeddings, robustness."""

from __future__ import annotations

import shutil

import pytest

from samplemind_core import server
from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.ui.why import change_sentence
from samplemind_core.workspace import Workspace

TINY = {"n_mels": 32, "duration_s": 0.5, "width": 0.5, "batch_size": 16, "device": "cpu", "epochs": 2}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("trained")
    workspace = Workspace(Settings(workspace=root, database_url=None, worker="external"))
    workspace.make_demo(per_class=8, name="demo")
    workspace.train("demo", build_config("quick", TINY | {"save_every": 1}), name="first")
    workspace.close()
    return root


@pytest.fixture
def space(trained, tmp_path, monkeypatch):
    """A copy of the trained workspace that the pages open."""
    root = tmp_path / "space"
    shutil.copytree(trained, root)
    monkeypatch.setenv("SAMPLEMIND_WORKSPACE", str(root))
    monkeypatch.setenv("SAMPLEMIND_WORKER", "external")
    server.workspace.cache_clear()
    opened = server.workspace()
    yield opened
    opened.close()
    server.workspace.cache_clear()


def text(app) -> str:
    kinds = (app.caption, app.markdown, app.subheader)
    return "\n".join(str(element.value) for kind in kinds for element in kind)


def test_reasons_for_an_answer(visit, space) -> None:
    clip = space.store.datasets.clips(space.dataset("demo").id, split="test")[0]
    app = visit("diagnostics", section="why", clip=str(clip.id))
    assert not app.exception
    # A clip that is no mistake is not among those first listed; all samples are.
    app.segmented_control(key="why-which").set_value("All").run()
    app.selectbox(key="choose-clip").set_value(str(clip.id)).run()
    assert not app.exception
    assert not app.error
    said = text(app)
    for expected in ("What speaks for", "Hear what decided", "of the energy", "Without one moment", "called something"):
        assert expected in said
    box = next(box for box in app.selectbox if box.label == "Reasons for")
    other = box.options[-1].split(" · ")[0]
    box.select(other).run()
    assert f"What speaks for {other}" in text(app)
    next(button for button in app.button if button.label == "Find the smallest change").click().run()
    assert not app.exception
    assert "This describes the network" in text(app)


def test_a_sentence_for_a_change_found_and_one_not_found() -> None:
    from types import SimpleNamespace

    change = SimpleNamespace(gain_db=-11.4, band_hz=(20.0, 168.0), time_s=(0.0, 0.19))
    found = SimpleNamespace(changes=(change,), class_name="snare", reached=True, mean_gain_db=0.9, prob=0.57)
    assert change_sentence(found) == (
        "This network would call it snare with 20 to 168 Hz 11 dB quieter from 0.00 to 0.19 s. "
        "On average the sound changes by 0.9 dB."
    )
    found.reached = False
    assert "No change of loudness that was tried" in change_sentence(found)
    assert "57.0 %" in change_sentence(found)
