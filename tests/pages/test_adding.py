"""Bringing datasets in from the Data page: started there, done by the task worker."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import soundfile as sf

from samplemind_core.tasks import worker
from samplemind_core.workspace import Workspace


@pytest.fixture
def page(visit):
    def choose(way: str):
        app = visit("data")
        return app.segmented_control(key="add-way").set_value(way).run()

    return choose


def sound(pitch: float) -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    sf.write(buffer, np.sin(np.arange(800) * pitch), 8_000, format="WAV")
    return buffer.getvalue()


def test_whoever_brings_a_folder_is_asked_for_it(visit, space: Workspace) -> None:
    assert visit("data").segmented_control(key="add-way").value == "demo"
    app = visit("data", add="folder")
    assert app.segmented_control(key="add-way").value == "folder"
    assert "No folder was named." in app.button(key="add-folder").click().run().error[0].value


def test_the_demo_is_queued_and_can_be_stopped(visit, space: Workspace) -> None:
    app = visit("data")
    app.button(key="make-demo").click().run()
    (task,) = space.tasks.all()
    assert (task.kind, task.title, task.status) == ("demo", "demo", "queued")
    assert any("Waiting for its turn" in item.value for item in app.caption)
    app.button(key=f"stop-{task.id}").click().run()
    assert space.tasks.get(task.id).status == "stopped"


def test_a_second_demo_gets_another_name(visit, space: Workspace) -> None:
    app = visit("data")
    app.button(key="make-demo").click().run()
    app.button(key="make-demo").click().run()
    assert {task.title for task in space.tasks.all()} == {"demo", "demo-2"}
    assert not app.error


def test_a_folder_that_is_not_there_is_told_in_place(page, space: Workspace) -> None:
    app = page("folder")
    app.text_input(key="add-path").set_value("/nowhere/at/all").run()
    app.button(key="add-folder").click().run()
    assert not app.exception
    assert "no folder or file" in app.error[0].value
    assert space.tasks.all() == []


def test_a_folder_becomes_a_dataset(page, space: Workspace, bursts: Callable) -> None:
    folder = bursts(folder="my drums.v2")
    app = page("folder")
    app.text_input(key="add-path").set_value(str(folder)).run()
    app.button(key="add-folder").click().run()
    assert not app.exception
    worker.work(space)
    (dataset,) = space.datasets()
    assert (dataset.name, dataset.num_clips) == ("my drums", 16)
    app.run()
    assert any("is ready" in item.value for item in app.markdown)
    (task,) = space.tasks.all()
    app.button(key=f"dismiss-{task.id}").click().run()
    assert space.tasks.all() == []


def test_an_uploaded_archive_becomes_a_dataset(page, space: Workspace, bursts: Callable, tmp_path) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "pack"), "gztar", bursts())
    app = page("upload")
    with open(archive, "rb") as file:  # noqa: PTH123
        app.file_uploader(key="add-archive").upload("pack.tar.gz", file.read(), "application/gzip").run()
    app.button(key="add-upload").click().run()
    assert not app.exception
    (task,) = space.tasks.all()
    folder = space.root / "tasks" / task.id
    assert (folder / "upload" / "pack.tar.gz").is_file()
    worker.work(space)
    assert [dataset.name for dataset in space.datasets()] == ["pack"]
    assert not folder.exists()


def test_a_name_that_is_being_imported_is_taken(page, space: Workspace, bursts: Callable) -> None:
    app = page("folder")
    app.text_input(key="add-path").set_value(str(bursts())).run()
    app.button(key="add-folder").click().run()
    app.button(key="add-folder").click().run()
    assert "is being imported" in app.error[0].value
    assert len(space.tasks.all()) == 1
