"""The Runs page: what is listed, found, selected, deleted and brought back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from samplemind_core.config import build_config
from samplemind_core.store import Epoch
from samplemind_core.workspace import Workspace


@pytest.fixture
def several(seeded: Workspace) -> Workspace:
    """Three runs of different settings; the oldest is ``first``."""
    first = seeded.run("first")
    for number, (name, status, lr) in enumerate((("wide", "finished", 0.01), ("broken", "failed", 0.1)), 2):
        config = build_config("quick", {"lr": lr}).model_dump(mode="json")
        about = {"config": config, "owner": f"person {number}", "created_at": first.created_at + number}
        tags = ("keep",) if name == "wide" else ()
        seeded.store.runs.add(replace(first, id=f"r{number}", name=name, status=status, tags=tags, **about))
        for epoch in (1, 2):
            seeded.store.runs.add_epoch(f"r{number}", Epoch(epoch, 1.0, lr / epoch, 0.5, 0.6, lr, 1.0, 100.0))
    return seeded


def frame(app: AppTest):
    return app.dataframe[0].value


def words(app: AppTest) -> str:
    return "\n".join(str(element.value) for kind in (app.caption, app.markdown, app.subheader) for element in kind)


def buttons(app: AppTest) -> dict[str, object]:
    return {button.key: button for button in app.button}


def test_without_a_run_the_page_says_what_will_be_here(visit) -> None:
    app = visit("runs")
    assert not app.exception
    assert "Every run will be a line here" in words(app)
    assert "runs-train" in buttons(app)


def test_a_line_for_each_run_the_newest_first(several: Workspace, visit) -> None:
    app = visit("runs")
    assert not app.exception
    table = frame(app)
    assert table["name"].tolist() == ["broken", "wide", "first"]
    assert table["status"].tolist() == ["Failed", "Finished", "Finished"]
    assert table["loss"].tolist() == pytest.approx([0.05, 0.005, 1.1])
    assert table["accuracy"].tolist() == pytest.approx([60.0, 60.0, 40.0])
    assert table["epochs"].tolist() == [2, 2, 3]
    assert list(table["loss_curve"][0]) == pytest.approx([0.1, 0.05])
    assert table["test"].isna().all()
    assert "runs-delete" not in buttons(app)
    assert "Select runs" in words(app)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ({"q": "WIDE"}, ["wide"]),
        ({"q": "drums"}, ["broken", "wide", "first"]),
        ({"status": "Failed"}, ["broken"]),
        ({"tag": "keep"}, ["wide"]),
        ({"owner": "person 3"}, ["broken"]),
        ({"status": "nonsense"}, ["broken", "wide", "first"]),
    ],
)
def test_an_address_finds_runs(several: Workspace, visit, query: dict[str, str], names: list[str]) -> None:
    app = visit("runs", **query)
    assert not app.exception
    assert frame(app)["name"].tolist() == names


def test_a_search_in_vain_offers_all_again(several: Workspace, visit) -> None:
    app = visit("runs", q="nothing like it")
    assert "None of 3 runs" in words(app)
    app = buttons(app)["runs-clear"].click().run()
    assert len(frame(app)) == 3


def test_selected_runs_are_overlaid_and_compared(several: Workspace, visit) -> None:
    app = visit("runs", pick="r2,r3,gone")
    assert not app.exception
    loss, accuracy, settings = (json.loads(chart.proto.spec) for chart in app.get("plotly_chart"))
    assert {trace["name"] for trace in loss["data"] if trace.get("name") in {"wide", "broken"}} == {"wide", "broken"}
    assert accuracy["layout"]["yaxis"]["title"]["text"] == "Accuracy (%)"
    assert settings["data"][0]["type"] == "parcoords"
    assert [axis["label"] for axis in settings["data"][0]["dimensions"]] == ["Learning rate", "Accuracy (%)"]
    tools = json.loads(app.get("plotly_chart")[0].proto.config)
    assert tools["modeBarButtons"] == [["toImage"]]
    assert tools["toImageButtonOptions"]["filename"] == "runs-loss"
    assert loss["layout"]["paper_bgcolor"] == "#FBFBFD"  # a picture takes its ground along
    assert "runs-open" not in buttons(app)
    assert "runs-compare" not in buttons(app)  # neither has a checkpoint
    assert app.query_params["pick"] == "r2,r3"


def test_runs_with_checkpoints_go_to_diagnostics(several: Workspace, visit, monkeypatch) -> None:
    # These runs left no files; Diagnostics would turn to the starter.
    monkeypatch.setattr("samplemind_core.ui.diagnostics.picking.starter_classes", lambda: ())
    worker = {"host": "here"}
    for run_id in ("r1", "r2"):
        several.store.runs.requeue(run_id, ("finished",))
        several.store.runs.claim(worker, run_id)
        several.store.runs.heartbeat(run_id, worker, best_epoch=2)
        several.store.runs.end(run_id, "finished", "Done.")
    app = visit("runs", pick="r1,r2")
    compare = buttons(app)["runs-compare"]
    assert compare.label == "Compare 2"
    app = compare.click().run()
    assert app.query_params["dataset"] == "d1"
    assert {app.query_params["a"], app.query_params["b"]} == {"r1:best", "r2:best"}


def test_one_run_opens_in_train(several: Workspace, visit) -> None:
    app = buttons(visit("runs", pick="r3"))["runs-open"].click().run()
    assert not app.exception
    assert app.query_params["run"] == "r3"


def test_deleted_runs_come_back(several: Workspace, visit) -> None:
    app = buttons(visit("runs", pick="r2,r3"))["runs-delete"].click().run()
    assert not app.exception
    assert [run.id for run in several.runs()] == ["r1"]
    assert "2 runs deleted" in words(app)
    assert "runs-back-r2" in buttons(app)
    app = buttons(app)["runs-undo"].click().run()
    assert [run.id for run in several.runs()] == ["r3", "r2", "r1"]
    assert "runs-undo" not in buttons(app)

    several.delete_run("r2")
    app = buttons(visit("runs"))["runs-back-r2"].click().run()
    assert not app.exception
    assert len(several.runs()) == 3


def test_all_runs_deleted_leaves_a_way_back(several: Workspace, visit) -> None:
    for run in several.runs():
        several.delete_run(run.id)
    app = visit("runs")
    assert "Every run will be a line here" in words(app)
    assert len([key for key in buttons(app) if str(key).startswith("runs-back-")]) == 3


def test_a_run_that_trains_is_not_deleted(several: Workspace, visit) -> None:
    several.store.runs.requeue("r3", ("failed",))
    several.store.runs.claim({"host": "here"}, "r3")
    app = visit("runs", pick="r3")
    assert buttons(app)["runs-delete"].disabled
    assert frame(app)["status"].tolist()[0] == "Running"


def test_settings_that_always_change_together_share_an_axis() -> None:
    from samplemind_core.ui.runs.settings_map import moving_together

    columns = {"preset": ["a", "b", "a", "b"], "x": [1, 2, 1, 2], "seed": [0, 1, 2, 3], "lr": [1, 1, 2, 2]}
    assert moving_together(columns) == {"preset": ["x"], "lr": [], "seed": []}


def test_a_run_can_be_sent_as_a_page(several: Workspace, visit) -> None:
    app = visit("runs", pick="r2")
    assert not app.exception
    keys = {button.key for button in app.get("download_button")}
    assert {"runs-report", "runs-csv"} <= keys
    page = several.run_report("wide")
    assert "This run has no checkpoint to judge." in page
    assert "train.lr" in page


def test_filters_are_offered_where_there_is_something_to_choose(several: Workspace, visit) -> None:
    def popovers() -> list[str]:
        return [block.proto.popover.label for block in visit("runs").get("popover")]

    assert "Filters" in popovers()
    for run in ("r2", "r3"):
        several.store.runs.delete(run)
    assert "Filters" not in popovers()
