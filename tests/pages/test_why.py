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


def test_the_map_shows_finds_and_ranks(visit, space) -> None:
    app = visit("diagnostics", section="embedding")
    assert not app.exception
    assert not app.error
    assert "directions keep" in text(app)
    assert "Unlike the others" in text(app)
    app.segmented_control(key="map-samples").set_value("All").run()
    app.selectbox(key="map-colour").set_value("split").run()
    clip = space.store.datasets.clips(space.dataset("demo").id)[0]
    app.text_input(key="map-find").set_value(clip.name).run()
    assert not app.exception
    assert "1 sample chosen" in text(app)
    assert "Its nearest neighbours" in text(app)
    app.segmented_control(key="map-dims").set_value(3).run()
    app.segmented_control(key="map-outliers").set_value("Among another class").run()
    app.select_slider[0].set_value("1").run()
    assert not app.exception
    assert not app.error


def test_a_map_that_takes_longer_is_a_task(visit, space, monkeypatch) -> None:
    from samplemind_core.evaluation import embedding_map
    from samplemind_core.evaluation.embedding_map import Map
    from samplemind_core.tasks import jobs

    app = visit("diagnostics", section="embedding")
    app.segmented_control(key="map-method").set_value("umap").run()
    assert not app.exception
    (task,) = space.tasks.all(kind="umap")
    assert "Waiting for its turn" in text(app)
    # What the worker does, without the compiler that UMAP brings.
    monkeypatch.setattr(embedding_map, "umap_map", lambda vectors, dims: Map(vectors[:, :dims], "umap", None))
    claimed = space.store.tasks.claim({"host": "here", "pid": 1})
    assert claimed.id == task.id
    assert jobs.execute(space, claimed).status == "done"
    app.run()
    assert "Unlike the others" in text(app)
    assert "directions keep" not in text(app)


def test_what_it_withstands_is_offered_and_then_shown(visit, space, monkeypatch) -> None:
    from samplemind_core.evaluation import robustness
    from samplemind_core.evaluation.probes import PROBES
    from samplemind_core.tasks import jobs

    app = visit("diagnostics", section="robustness")
    assert not app.exception
    app.button(key="withstood-measure").click().run()
    assert not app.exception
    (task,) = space.tasks.all(kind="robustness")
    assert "Waiting for its turn" in text(app)
    # Two of the changes, for the sake of time.
    monkeypatch.setattr(robustness, "PROBES", {name: PROBES[name] for name in ("low_pass", "silence")})
    assert jobs.execute(space, space.store.tasks.claim({"host": "here", "pid": 1})).status == "done"
    app.run()
    assert not app.exception
    assert not app.error
    said = text(app)
    for expected in ("What it withstands", "Broken by", "exact McNemar p", "Train against it"):
        assert expected in said
    app.selectbox(key="withstood-probe").set_value("silence").run()
    app.selectbox(key="withstood-level").set_value(0.5).run()
    assert not app.exception
    assert "Broken by leading silence, 0.5 s" in text(app)
    before = {run.id for run in space.runs()}
    app.button(key="withstood-train").click().run()
    (run,) = [run for run in space.runs() if run.id not in before]
    assert run.status == "queued"
    assert run.config["augment"]["time_shift_ms"] == 500.0
    assert run.config["model"] == space.run("first").config["model"]
    assert task.params["split"] == "test"
