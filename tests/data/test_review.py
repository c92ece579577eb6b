from __future__ import annotations

from dataclasses import replace

import pytest

from samplemind_core.data.findings import Finding, HealthReport
from samplemind_core.data.health import state_of
from samplemind_core.data.incoming import dataset_folder
from samplemind_core.data.review import clips_of_finding, finding_key, remaining, review
from samplemind_core.store import Clip, Dataset
from samplemind_core.store.records import SPLITS

SILENT = Finding(
    "silent", "warning", "2 silent samples", "They hold no sound.", "exclude", (1, 2), ("–90 dB", "–"), (), (1, 2)
)
TWINS = Finding(
    "near_duplicates", "warning", "2 sets", "The same sound.", "exclude", (3, 4, 5, 6), (), ((3, 4), (5, 6)), (4, 6)
)
BROKEN = Finding("unreadable", "note", "1 file", "Not audio.", "keep", subjects=("a.wav",))


@pytest.fixture
def drums(workspace) -> Dataset:
    clips = [
        Clip(row, f"{row}.wav", ("kick", "snare")[row % 2], row % 2, f"pack{row}", SPLITS[row % 3], f"h{row}")
        for row in range(12)
    ]  # fmt: skip
    return workspace.store.datasets.add(
        Dataset("d1", "drums", "audio", ("kick", "snare"), 12, 0, "print", "a folder", 7, 1.0), clips
    )


def store_report(workspace, *findings: Finding) -> HealthReport:
    clips = workspace.store.datasets.clips("d1")
    report = HealthReport("d1", state_of(clips), 1.0, 0.5, {"clips": len(clips)}, findings)
    file = dataset_folder(workspace.root, "d1") / "health" / f"{report.state[:32]}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(report.to_json())
    return report


def look(workspace):
    return review(workspace.root, workspace.store, workspace.dataset("d1"))


def test_nothing_is_known_before_the_first_report(workspace, drums):
    assert look(workspace) is None


def test_what_is_in_order_is_remembered_and_can_be_opened_again(workspace, drums):
    store_report(workspace, SILENT, TWINS, BROKEN)
    found = look(workspace)
    assert found.fresh
    assert list(found.open.values()) == [SILENT, TWINS, BROKEN]
    assert "2 things to look at" in found.headline
    for one in (SILENT, TWINS):
        workspace.store.versions.keep("d1", finding_key(one), "Ada")
    found = look(workspace)
    assert list(found.kept.values()) == [SILENT, TWINS]
    assert found.headline == "Sound, with a few things good to know."
    workspace.store.versions.unkeep("d1", finding_key(SILENT))
    assert list(look(workspace).open.values()) == [SILENT, BROKEN]


def test_after_a_change_what_is_left_of_the_last_report_is_shown(workspace, drums):
    store_report(workspace, SILENT, TWINS)
    workspace.edit("d1").exclude([1, 4])
    found = look(workspace)
    assert not found.fresh
    silent, twins = found.open.values()
    assert (silent.clips, silent.evidence, silent.suggested) == ((2,), ("–",), (2,))
    assert (twins.clips, twins.clusters, twins.suggested) == ((5, 6), ((5, 6),), (6,))
    # The report of the state that an undo leads back to is known.
    workspace.edit("d1").undo()
    assert look(workspace).fresh
    assert list(look(workspace).open.values()) == [SILENT, TWINS]


def test_a_finding_goes_with_its_last_clip(workspace, drums):
    store_report(workspace, SILENT, TWINS)
    workspace.edit("d1").exclude([1, 2, 3, 5])
    assert look(workspace).open == {}
    assert remaining(BROKEN, ()) == BROKEN


def test_a_key_is_of_the_clips_not_of_their_order(workspace, drums):
    turned = replace(SILENT, clips=(2, 1), title="other words")
    assert finding_key(turned) == finding_key(SILENT)
    assert finding_key(replace(SILENT, clips=(1,))) != finding_key(SILENT)
    store_report(workspace, SILENT, TWINS)
    assert set(clips_of_finding(workspace.root, "d1", finding_key(TWINS))) == {3, 4, 5, 6}
    assert clips_of_finding(workspace.root, "d1", "nothing") == ()


def test_a_report_that_cannot_be_read_is_no_report(workspace, drums):
    store_report(workspace, SILENT)
    file = next((dataset_folder(workspace.root, "d1") / "health").iterdir())
    file.write_bytes(b"{")
    assert look(workspace) is None
    assert clips_of_finding(workspace.root, "d1", finding_key(SILENT)) == ()
