"""Runs told to TensorBoard and MLflow: what they get, and that neither can harm a run."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from samplemind_core.config import build_config
from samplemind_core.settings import Settings
from samplemind_core.store import Epoch, Run
from samplemind_core.training import elsewhere as module
from samplemind_core.training.elsewhere import Elsewhere, MLflow, TensorBoard, elsewhere, scalars

NAMES = ("kick", "snare")
LOG = logging.getLogger("test.elsewhere")


def epoch(number: int) -> Epoch:
    return Epoch(number, 1.0 / number, 1.1 / number, 0.5, 0.4, 0.001, 2.0, 100.0, {}, (0.5, None))


def a_run() -> Run:
    config = build_config("quick").model_dump(mode="json")
    return Run("r1", "first", "d1", "running", config, "ada", 0.0, 0.0, tags=("keep",))


class Fake:
    """A program that remembers what it was told, and may fail at a word."""

    def __init__(self, fails_at: str = "") -> None:
        self.told: list[tuple[str, Any]] = []
        self._fails_at = fails_at

    def __getattr__(self, kind: str) -> Callable[[Any], None]:
        def take(value: Any) -> None:
            if kind == self._fails_at:
                raise ConnectionError("nobody is there")
            self.told.append((kind, value))

        return take


def test_each_program_hears_everything_in_order_and_the_listener_too() -> None:
    fakes, heard = [Fake(), Fake()], []
    with Elsewhere([("A", lambda: fakes[0]), ("B", lambda: fakes[1])], LOG) as told:
        listen = told.joined(lambda kind, value: heard.append(kind))
        for kind, value in (("resume", 0), ("progress", {}), ("epoch", 1), ("event", "x"), ("epoch", 2)):
            listen(kind, value)
        told.status = "finished"
    assert heard == ["resume", "progress", "epoch", "event", "epoch"]
    for fake in fakes:
        assert fake.told == [("resume", 0), ("epoch", 1), ("epoch", 2), ("end", "finished")]


def test_one_that_fails_is_left_out_with_one_line(caplog: pytest.LogCaptureFixture) -> None:
    bad, good = Fake("epoch"), Fake()
    with caplog.at_level("WARNING"), Elsewhere([("Bad", lambda: bad), ("Good", lambda: good)], LOG) as told:
        for number in (1, 2, 3):
            told.hear("epoch", number)
    assert [value for _, value in good.told] == [1, 2, 3, "failed"]
    assert bad.told == []
    assert [record.getMessage() for record in caplog.records] == [
        "Bad failed and is told nothing more of this run: ConnectionError('nobody is there')"
    ]


def test_one_that_is_not_installed_says_how_to_install_it(caplog: pytest.LogCaptureFixture) -> None:
    def missing() -> Fake:
        raise ModuleNotFoundError("No module named 'tensorboard'")

    with caplog.at_level("WARNING"), Elsewhere([("TensorBoard", missing)], LOG) as told:
        told.hear("epoch", 1)
    assert caplog.records[0].getMessage().endswith("pip install -r requirements-extras.txt")
    assert len(caplog.records) == 1


def test_one_that_hangs_does_not_hold_up_the_run(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "END_WAIT_S", 0.05)
    free = threading.Event()
    slow = Fake()
    slow.epoch = lambda value: free.wait(30)  # type: ignore[method-assign]
    with caplog.at_level("WARNING"), Elsewhere([("Slow", lambda: slow)], LOG) as told:
        for number in range(5):
            told.hear("epoch", number)
    free.set()
    assert "Slow did not answer in time" in caplog.text


def test_nothing_is_started_where_nothing_is_asked_for(tmp_path: Path) -> None:
    told = elsewhere(Settings(workspace=tmp_path), a_run(), tmp_path, NAMES, LOG)
    before = threading.active_count()
    with told:
        told.joined(None)("epoch", epoch(1))
        assert threading.active_count() == before


def test_settings_name_the_programs(tmp_path: Path) -> None:
    settings = Settings(workspace=tmp_path, tensorboard=True, mlflow_uri="http://127.0.0.1:1")
    assert [name for name, _ in elsewhere(settings, a_run(), tmp_path, NAMES, LOG)._makers] == ["TensorBoard", "MLflow"]


def test_scalars_leave_out_what_has_no_value() -> None:
    told = scalars(epoch(2), NAMES)
    assert told["loss/validation"] == 0.55
    assert told["recall/kick"] == 0.5
    assert "recall/snare" not in told


# -- TensorBoard ---------------------------------------------------------------------------------


def test_event_files_hold_the_curves_of_the_last_attempt(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = build_config("quick")
    first = TensorBoard(tmp_path / "tb", config, NAMES)
    first.resume(0)
    for number in (1, 2, 3):
        first.epoch(epoch(number))
    first.end("stopped")
    second = TensorBoard(tmp_path / "tb", config, NAMES)
    second.resume(1)
    second.epoch(Epoch(2, 7.0, 8.0, 0.5, 0.4, 0.001, 2.0, 100.0, {}, (0.5, None)))
    second.end("finished")
    found = EventAccumulator(str(tmp_path / "tb"))
    found.Reload()
    assert {"loss/train", "accuracy/validation", "learning_rate", "recall/kick"} <= set(found.Tags()["scalars"])
    assert [(one.step, one.value) for one in found.Scalars("loss/train")] == [(1, 1.0), (2, 7.0)]
    assert any("settings" in tag for tag in found.Tags()["tensors"])


# -- MLflow --------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore")  # MLflow's own database code, with a newer SQLAlchemy than it expects
def test_mlflow_gets_settings_and_metrics_and_goes_on_with_the_same_run(tmp_path: Path) -> None:
    tracking = pytest.importorskip("mlflow.tracking")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = build_config("quick")
    first = MLflow(uri, tmp_path / "run", a_run(), config, NAMES)
    first.resume(0)
    first.epoch(epoch(1))
    first.end("stopped")
    second = MLflow(uri, tmp_path / "run", a_run(), config, NAMES)
    second.resume(1)
    second.epoch(epoch(2))
    second.end("finished")
    known = json.loads((tmp_path / "run" / "mlflow.json").read_text())
    found = tracking.MlflowClient(tracking_uri=uri).get_run(known["run_id"])
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "first"
    assert found.data.params["train.lr"] == "0.004"
    assert found.data.metrics["loss/train"] == 0.5
    assert found.data.tags["samplemind.run"] == "r1"
    assert found.data.tags["samplemind.tag.keep"] == "true"


def test_a_server_that_is_away_is_one_line_in_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("mlflow.tracking")

    def away() -> MLflow:
        made = MLflow("http://127.0.0.1:9", tmp_path, a_run(), build_config("quick"), NAMES)
        made._client.get_experiment_by_name = _refuse  # the library's own tries would take a while
        return made

    with caplog.at_level("WARNING"), Elsewhere([("MLflow", away)], LOG) as told:
        told.hear("resume", 0)
        told.hear("epoch", epoch(1))
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "MLflow failed and is told nothing more of this run"
    ]


def _refuse(name: str) -> None:
    raise ConnectionError(f"no server for {name}")
