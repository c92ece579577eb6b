from __future__ import annotations

from dataclasses import replace

import pytest

from samplemind_core.errors import NotFoundError
from samplemind_core.store import Clip, Dataset
from samplemind_core.workspace import Workspace


@pytest.fixture
def drums(workspace: Workspace) -> Dataset:
    clips = [
        Clip(row, f"clip-{row:02d}.wav", ("kick", "snare")[row % 2], row % 2, f"pack{row // 4}",
             ("train", "val", "test")[row // 2 % 3], f"{row:064x}")
        for row in range(12)
    ]  # fmt: skip
    found = Dataset("d1", "drums", "audio", ("kick", "snare"), 12, 0, "print", "a folder", 7, 1.0)
    return workspace.store.datasets.add(found, clips)


def test_versions_of_a_dataset_are_compared_clip_by_clip(workspace, drums):
    chosen = [clip.id for clip in workspace.clips("drums")]
    editor = workspace.edit("drums")
    editor.relabel(chosen[:2], "tom")
    editor.exclude(chosen[2:3])
    editor.relabel(chosen[:1], "kick")
    found = workspace.diff("drums@1", "drums")
    assert (found.a, found.b, found.num_same) == ("drums@1", "drums@4", 10)
    assert found.counts() == {"label": 1, "excluded": 1}
    assert found.changed[0].values == {"label": ("snare", "tom")}
    assert found.classes_only_b == ("tom",)
    assert "1 sample relabelled" in found.sentence
    assert not found.same_fingerprint
    assert workspace.diff("drums@4", "drums").changed == ()
    assert workspace.diff("drums", "drums").sentence == "No difference: 12 samples."


def test_two_datasets_are_compared_by_their_sound(workspace, drums):
    clips = workspace.store.datasets.clips("d1")
    other = [
        replace(clip, row=row, name=f"other/{clip.name}", label="kick", id=None)
        for row, clip in enumerate(reversed(clips[2:]))
    ]
    other.append(replace(clips[2], row=10, name="copy.wav", id=None))
    workspace.store.datasets.add(replace(drums, id="d2", name="others", num_clips=11), other)
    found = workspace.diff("drums", "others")
    assert found.only_a == ("clip-00.wav", "clip-01.wav")
    assert found.only_b == ("other/clip-02.wav",)  # a second copy of a sound that the first has once
    assert found.counts() == {"label": 5}
    assert found.num_same == 5


def test_what_is_not_there_says_so(workspace, drums):
    for reference, message in (("drums@9", "no version 9"), ("drums@x", "'x' is no version"), ("toms", "no dataset")):
        with pytest.raises(NotFoundError, match=message):
            workspace.diff(reference, "drums")


def test_a_name_may_hold_an_at(workspace, drums):
    workspace.store.datasets.add(replace(drums, id="d2", name="kit@2"), ())
    assert workspace.diff("kit@2", "kit@2").a == "kit@2@1"
