from __future__ import annotations

import os
from pathlib import Path

import pytest

from samplemind_core.data.folders import read_file, scan_folder
from samplemind_core.data.sources import ImportOptions, open_source
from samplemind_core.errors import AudioError, DataError
from samplemind_core.settings import Limits

LIMITS = Limits()


def write(file: Path, data: bytes = b"x") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def test_links_pipes_and_empty_files_are_rejected_and_the_search_ends(tmp_path: Path) -> None:
    top = tmp_path / "set"
    write(top / "kick/a.wav")
    write(top / "snare/b.wav")
    write(top / "snare/empty.wav", b"")
    outside = write(tmp_path / "outside.wav")
    (top / "self").symlink_to(".")
    (top / "snare/up").symlink_to("../kick")
    (top / "kick/out.wav").symlink_to(outside)
    (top / "kick/loop.wav").symlink_to("loop.wav")
    (top / "kick/gone.wav").symlink_to("missing.wav")
    os.mkfifo(top / "kick/pipe.wav")
    tree = scan_folder(top, 100)
    assert list(tree.files) == ["kick/a.wav", "snare/b.wav"]
    reasons = {row.name: row.reason for row in tree.rejects}
    assert "elsewhere in this folder" in reasons["self"]
    assert "elsewhere in this folder" in reasons["snare/up"]
    assert "out of the folder" in reasons["kick/out.wav"]
    assert "leads to itself" in reasons["kick/loop.wav"]
    assert "does not exist" in reasons["kick/gone.wav"]
    assert "pipe" in reasons["kick/pipe.wav"]
    assert "0 bytes" in reasons["snare/empty.wav"]


def test_reading_a_pipe_never_waits(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="not a regular file"):
        read_file(tmp_path / "pipe.wav", 100)


def test_reading_is_bounded(tmp_path: Path) -> None:
    file = write(tmp_path / "a.wav", bytes(101))
    assert len(read_file(file, 101)) == 101
    with pytest.raises(AudioError, match="larger than"):
        read_file(file, 100)


def test_names_that_are_not_text_become_text(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b"kick\xff") / os.fsdecode(b"a\xfe\n.wav")
    try:
        write(file)
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    write(tmp_path / "snare/b.wav")
    with open_source(tmp_path, ImportOptions(), LIMITS) as found:
        clip = found.candidates[0]
        assert (clip.name, clip.label) == ("kick\\xff/a\\xfe\n.wav", "kick\\xff")
        assert clip.read() == b"x"


def test_nested_files_belong_to_the_first_folder_and_their_pack(tmp_path: Path) -> None:
    write(tmp_path / "kick/tr808/deep/er/a.wav")
    write(tmp_path / "snare/b.wav")
    with open_source(tmp_path, ImportOptions(), LIMITS) as found:
        assert [(clip.label, clip.source) for clip in found.candidates] == [("kick", "tr808"), ("snare", None)]


def test_a_folder_that_holds_everything_is_stepped_into_and_told(tmp_path: Path) -> None:
    write(tmp_path / "all/of/kick/a.wav")
    write(tmp_path / "all/of/snare/b.wav")
    with open_source(tmp_path, ImportOptions(), LIMITS) as found:
        assert {clip.label for clip in found.candidates} == {"kick", "snare"}
        assert "'all/of'" in found.warnings[0]


def test_one_class_with_files_is_not_stepped_into(tmp_path: Path) -> None:
    write(tmp_path / "kick/a.wav")
    write(tmp_path / "kick/b.wav")
    with open_source(tmp_path, ImportOptions(), LIMITS) as found:
        assert {clip.label for clip in found.candidates} == {"kick"}


def test_chosen_classes_and_loose_files(tmp_path: Path) -> None:
    for name in ("kick/a.wav", "snare/b.wav", "fx/c.wav", "fx/d.wav", "loose.wav"):
        write(tmp_path / name)
    with open_source(tmp_path, ImportOptions(classes=("kick", "snare")), LIMITS) as found:
        assert {clip.label for clip in found.candidates} == {"kick", "snare"}
        assert {row.name for row in found.rejects} == {"loose.wav", "fx (2 files)"}
    with (
        pytest.raises(DataError, match=r"no class 'hat'.*'fx', 'kick', 'snare'"),
        open_source(tmp_path, ImportOptions(classes=("kick", "hat")), LIMITS),
    ):
        pass


def test_hidden_folders_are_told_and_dotted_names_are_only_names(tmp_path: Path) -> None:
    write(tmp_path / "kick/...a.wav")
    write(tmp_path / "snare/b.wav ")
    write(tmp_path / "snare/.DS_Store")
    write(tmp_path / ".git/c.wav")
    with open_source(tmp_path, ImportOptions(), LIMITS) as found:
        assert {clip.name for clip in found.candidates} == {"kick/...a.wav", "snare/b.wav "}
        assert {row.name for row in found.rejects} == {".git/", ".DS_Store (1 file)"}


def test_what_is_not_there_or_not_a_collection_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder or file"), open_source(tmp_path / "x", ImportOptions(), LIMITS):
        pass
    file = write(tmp_path / "a.txt")
    with pytest.raises(DataError, match="neither a folder"), open_source(file, ImportOptions(), LIMITS):
        pass
    write(tmp_path / "flat/a.wav")
    with pytest.raises(DataError, match="no class folders"), open_source(tmp_path / "flat", ImportOptions(), LIMITS):
        pass


def test_the_search_can_be_ended(tmp_path: Path) -> None:
    write(tmp_path / "kick/a.wav")

    def check() -> None:
        raise DataError("stopped")

    with pytest.raises(DataError, match="stopped"):
        scan_folder(tmp_path, 100, check)
