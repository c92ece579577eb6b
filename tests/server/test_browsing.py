from __future__ import annotations

import base64
import math
import time

import numpy as np
import pytest
import soundfile

from samplemind_core import server
from samplemind_core.browsing import MAX_EDIT_BYTES
from samplemind_core.data.previews import NUM_PEAKS
from samplemind_core.store import Clip, Dataset

SPLITS = ("train", "train", "val", "test")


@pytest.fixture
def drums(space) -> Dataset:
    """Forty clips; the first has audio, the second a damaged file."""
    folder = space.root / "datasets" / "d2" / "audio"
    folder.mkdir(parents=True)
    tone = np.sin(2 * math.pi * 440 * np.arange(2205) / 22_050) * np.linspace(1, 0, 2205)
    soundfile.write(folder / "0.wav", 0.5 * tone, 22_050)
    (folder / "1.wav").write_bytes(b"RIFF")
    clips = [
        Clip(row, f"pack/clip-{row:02d}.wav", ("kick", "snare")[row % 2], row % 2, f"pack{row // 4}",
             SPLITS[row // 4 % 4], f"{row:064x}", file=f"audio/{row}.wav" if row < 2 else None,  # type: ignore[arg-type]
             sample_rate_hz=22_050, channels=1, duration_s=0.1, num_bytes=4454,
             extra={"sample_rate": "8k", "kit": "808"})
        for row in range(40)
    ]  # fmt: skip
    found = Dataset("d2", "kits", "audio", ("kick", "snare"), 40, 0, "print", "a test", 0, time.time())
    return space.store.datasets.add(found, clips)


@pytest.fixture
def ask(client, drums):
    """Ask the browser's routes as the component does."""
    urls = server.browse_urls("d2", "Ada")

    def get(path, **query):
        parts = [urls["read"], *(f"{name}={value}" for name, value in query.items())]
        return client.get(f"{urls['base']}/{path}?{'&'.join(parts)}")

    return get


@pytest.fixture
def change(client, drums):
    urls = server.browse_urls("d2", "Ada")
    return lambda **asked: client.post(f"{urls['base']}/edits?{urls['edit']}", json=asked)


def test_a_page_holds_what_was_asked_for_and_says_how_many_there_are(ask):
    page = ask("clips", offset=10, limit=5).json()
    assert (page["version"], page["total"], page["offset"]) == (1, 40, 10)
    assert [row["name"] for row in page["rows"]] == [f"pack/clip-{row}.wav" for row in range(10, 15)]
    assert set(page["rows"][0]) == {"id", "name", "label", "labels", "source", "split", "duration_s", "excluded", "src"}


@pytest.mark.parametrize(
    ("where", "total"),
    [
        ({"label": "kick"}, 20),
        ({"label": "kick", "split": "test"}, 4),
        ({"source": "pack3"}, 4),
        ({"text": "clip-0"}, 10),
        ({"text": "PACK9"}, 4),
        ({"label": "tom"}, 0),
        ({"split": "dev"}, 0),
        ({"state": "excluded"}, 0),
        ({"state": "both"}, 40),
        ({"offset": "x", "limit": "-1"}, 40),
    ],
)
def test_filters_are_applied_by_the_store(ask, where, total):
    page = ask("clips", **where).json()
    assert page["total"] == total
    assert len(ask("ids", **where).json()["ids"]) == total


def test_a_clip_of_a_page_can_be_heard(ask, client):
    first = ask("clips", limit=1).json()["rows"][0]
    assert client.get(first["src"]).status_code == 200
    assert ask("clips", offset=5, limit=1).json()["rows"][0]["src"] is None


def test_what_can_be_filtered_by_is_counted(ask, change):
    found = ask("facets").json()
    assert found["labels"] == {"kick": 20, "snare": 20}
    assert found["splits"] == {"train": 24, "val": 8, "test": 8}
    assert found["sources"]["pack0"] == 4
    assert (found["excluded"], found["undo"], found["redo"]) == (0, None, None)
    ids = ask("ids").json()["ids"]
    change(base=1, action="exclude", ids=ids[:1])
    again = ask("facets").json()
    assert (again["version"], again["excluded"], again["undo"]) == (2, 1, "Excluded 1 sample")


def test_outlines_are_measured_once(ask, space, drums):
    ids = ask("ids").json()["ids"]
    found = ask("peaks", ids=",".join(map(str, ids[:3]))).json()
    loud = found[str(ids[0])]
    assert len(loud) == NUM_PEAKS
    assert max(loud) == 255
    assert loud[0] > loud[-1]
    assert found[str(ids[1])] == []  # damaged
    assert found[str(ids[2])] == []  # no audio
    # Another process, or this one without the file, reads what was kept.
    (space.root / "datasets" / "d2" / "audio" / "0.wav").unlink()
    assert ask("peaks", ids=str(ids[0])).json()[str(ids[0])] == loud
    assert ask("peaks", ids="x,99999,,").json() == {}


def test_a_clip_in_detail(ask):
    clip_id = ask("ids").json()["ids"][0]
    found = ask(f"clips/{clip_id}").json()
    assert found["facts"]["Sample rate"] == "22,050 Hz, mono"
    assert (found["facts"]["Sample rate (list)"], found["facts"]["Kit"]) == ("8k", "808")
    picture = found["log_mel"]
    levels = np.frombuffer(base64.b64decode(picture["levels"]), np.uint8).reshape(picture["bands"], picture["frames"])
    assert levels.max() == 255
    assert levels[:, -1].max() == 0  # silence after a tenth of a second
    assert abs(int(levels.max(axis=1).argmax()) - 16) < 4  # 440 Hz


def test_a_clip_whose_file_is_damaged_still_has_its_facts(ask):
    ids = ask("ids").json()["ids"]
    for clip_id in ids[1:3]:
        found = ask(f"clips/{clip_id}").json()
        assert found["log_mel"] is None
        assert found["note"]
        assert found["facts"]["Class"]


def test_what_the_network_hears_is_a_sound_with_warnings(ask):
    clip_id = ask("ids").json()["ids"][0]
    found = ask(f"clips/{clip_id}/heard").json()
    assert found["wav"].startswith("data:audio/wav;base64,")
    assert any("silence" in text or "padding" in text or "%" in text for text in found["warnings"])


def test_a_stored_spectrogram_is_read_without_computing(ask, space, monkeypatch):
    from samplemind_core.config import USUAL_FEATURES
    from samplemind_core.data.cache import cache_file

    file = cache_file(space.root, "d2", USUAL_FEATURES)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, np.full((40, *USUAL_FEATURES.shape), -40.0, np.float16))
    clip_id = ask("ids").json()["ids"][5]  # it has no audio
    picture = ask(f"clips/{clip_id}").json()["log_mel"]
    assert set(base64.b64decode(picture["levels"])) == {127}


# -- changes -------------------------------------------------------------------------------------


def test_a_change_is_a_version_by_whom_the_ticket_names(ask, change, space):
    ids = ask("ids").json()["ids"]
    made = change(base=1, action="relabel", ids=ids[:2], value="tom").json()
    assert made == {"version": 2, "message": "Relabelled 2 samples as tom"}
    assert space.store.versions.get("d2", 2).author == "Ada"
    assert change(base=2, action="move", ids=ids[:1], value="test").json()["version"] == 3
    assert change(base=3, action="group", ids=ids[:1], value="mine").json()["version"] == 4
    assert change(base=4, action="exclude", ids=ids[:1]).json()["version"] == 5
    assert change(base=5, action="include", ids=ids[:1]).json()["version"] == 6
    assert change(base=6, action="undo").json()["message"] == "Undid: Included 1 sample again"
    assert change(base=7, action="redo").json()["version"] == 8


def test_a_change_to_an_old_version_is_refused_with_the_reason(ask, change):
    ids = ask("ids").json()["ids"]
    change(base=1, action="relabel", ids=ids[:1], value="tom")
    late = change(base=1, action="relabel", ids=ids[1:2], value="tom")
    assert late.status_code == 409
    assert "version 2 by Ada: Relabelled 1 sample as tom" in late.json()["error"]


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ({"base": 1, "action": "relabel", "ids": [99999], "value": "tom"}, 404),
        ({"base": 1, "action": "relabel", "ids": [], "value": "tom"}, 422),
        ({"base": 1, "action": "move", "ids": [1], "value": "dev"}, 422),
        ({"base": 1, "action": "delete", "ids": [1]}, 400),
        ({"base": "1", "action": "undo"}, 400),
        ({"base": 1, "action": "exclude", "ids": ["1"]}, 400),
        ({"base": 1, "action": "undo"}, 422),
        ([], 400),
    ],
)
def test_what_cannot_be_done_is_refused(client, drums, space, asked, status):
    urls = server.browse_urls("d2", "Ada")
    assert client.post(f"{urls['base']}/edits?{urls['edit']}", json=asked).status_code == status
    assert space.dataset("d2").version == 1


def test_too_much_for_one_change_is_refused(client, drums):
    urls = server.browse_urls("d2", "Ada")
    answer = client.post(f"{urls['base']}/edits?{urls['edit']}", content=b"[" + b" " * (MAX_EDIT_BYTES + 1))
    assert answer.status_code == 413
    assert client.post(f"{urls['base']}/edits?{urls['edit']}", content=b"{").status_code == 400


def test_each_address_needs_its_own_ticket(client, drums):
    mine, other = server.browse_urls("d2", "Ada"), server.browse_urls("d1", "Ada")
    assert client.get(f"{mine['base']}/clips").status_code == 403
    assert client.get(f"{mine['base']}/clips?{other['read']}").status_code == 403
    edit = {"json": {"base": 1, "action": "undo"}}
    assert client.post(f"{mine['base']}/edits?{mine['read']}", **edit).status_code == 403
    forged = mine["edit"].replace("by=Ada", "by=Bo")
    assert client.post(f"{mine['base']}/edits?{forged}", **edit).status_code == 403
    gone = server.browse_urls("d9", "")
    assert client.get(f"{gone['base']}/clips?{gone['read']}").status_code == 404


def test_a_clip_of_another_dataset_is_not_shown(ask, space):
    space.store.datasets.add(
        Dataset("d3", "other", "audio", ("kick", "snare"), 1, 0, "print", "a test", 0, time.time()),
        [Clip(0, "a.wav", "kick", 0, "pack", "train", "hash")],
    )
    other = space.store.datasets.clips("d3")[0].id
    assert ask(f"clips/{other}").status_code == 404
