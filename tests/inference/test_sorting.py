"""Sorting copies, never overwrites, never leaves its folder, and takes back exactly what it made."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from samplemind_core.errors import ConfigError, NotFoundError, StoppedError
from samplemind_core.inference.classifier import Result
from samplemind_core.inference.sorting import (
    check_pattern,
    journals,
    plan_sorting,
    safe_file_name,
    safe_name,
    sort_into,
    undo,
    write_zip,
)
from samplemind_core.inference.table import NONE


@pytest.fixture
def sounds(tmp_path: Path) -> Path:
    folder = tmp_path / "sounds"
    (folder / "other").mkdir(parents=True)
    for name, content in {"a.wav": b"aaaa", "b.WAV": b"bb", "c.flac": b"c", "other/a.wav": b"other"}.items():
        (folder / name).write_bytes(content)
    return folder


def called(path: Path, label: str = "kick", confidence: float = 0.9) -> Result:
    return Result(str(path), label=label, confidence=confidence)


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".samplemind")
    }


def test_a_plan_touches_nothing(sounds: Path, tmp_path: Path) -> None:
    plan = plan_sorting([called(sounds / "a.wav"), called(sounds / "b.WAV", "snare", 0.4)], tmp_path / "out")
    assert [copy.target for copy in plan.copies] == ["kick/a.wav", "snare/b.WAV"]
    assert plan.num_bytes == 6
    assert plan.by_class() == {"kick": 1, "snare": 1}
    assert not (tmp_path / "out").exists()


def test_what_stays_says_why(sounds: Path, tmp_path: Path) -> None:
    results = [
        called(sounds / "a.wav", "kick", 0.3),
        Result("broken.wav", error="Not audio."),
        Result("hum.wav"),
        Result("talk.wav", label=NONE, confidence=0.8, probs={"kick": 0.2}, none=0.8),
        called(sounds / "gone.wav"),
        called(sounds / "c.flac"),
    ]
    plan = plan_sorting(results, tmp_path / "out", min_confidence=0.5)
    assert [copy.target for copy in plan.copies] == ["kick/c.flac"]
    assert [reason for _, reason in plan.left] == [
        "kick, but only 30 % sure.",
        "Not audio.",
        "It was given no class.",
        "It is like nothing in the library (80 % sure).",
        "It can no longer be read: No such file or directory.",
    ]


def test_copies_and_undoes(sounds: Path, tmp_path: Path) -> None:
    out, before = tmp_path / "out", tree(sounds)
    plan = plan_sorting(
        [called(sounds / "a.wav"), called(sounds / "other/a.wav"), called(sounds / "c.flac", "hat")], out
    )
    steps: list[int] = []
    done = sort_into(plan, out, progress=lambda at, total, what: steps.append(at))
    assert (done.done, done.left) == (3, [])
    assert tree(out) == {"kick/a.wav": b"aaaa", "kick/a (2).wav": b"other", "hat/c.flac": b"c"}
    assert tree(sounds) == before
    assert steps == [0, 1, 2, 3]
    back = undo(out)
    assert (back.done, back.left) == (3, [])
    assert tree(out) == {}
    assert not (out / "kick").exists()
    with pytest.raises(NotFoundError, match="left to undo"):
        undo(out)


def test_undo_leaves_what_is_not_its_own(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "kick").mkdir(parents=True)
    (out / "kick" / "mine.wav").write_bytes(b"mine")
    plan = plan_sorting([called(sounds / "a.wav"), called(sounds / "c.flac"), called(sounds / "b.WAV", "hat")], out)
    sort_into(plan, out)
    (out / "kick" / "a.wav").write_bytes(b"edited")
    (out / "hat" / "b.WAV").unlink()
    back = undo(out)
    assert back.done == 1
    assert back.left == [("kick/a.wav", "It was changed since and stays."), ("hat/b.WAV", "It is no longer there.")]
    assert tree(out) == {"kick/a.wav": b"edited", "kick/mine.wav": b"mine"}
    assert not (out / "hat").exists()


def test_nothing_is_overwritten(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "kick").mkdir(parents=True)
    (out / "kick" / "a.wav").write_bytes(b"there before")
    plan = plan_sorting([called(sounds / "a.wav"), called(sounds / "c.flac")], out)
    assert plan.copies[0].target == "kick/a (2).wav"
    # A file that comes between the plan and the copy.
    (out / "kick" / "c.flac").write_bytes(b"c")
    done = sort_into(plan, out)
    assert done.done == 1
    assert "not overwritten" in done.left[0][1]
    undo(out)
    # Although it holds the same bytes, it was not put there by the sorting.
    assert tree(out) == {"kick/a.wav": b"there before", "kick/c.flac": b"c"}


def test_names_that_differ_in_case_alone_are_kept_apart(sounds: Path, tmp_path: Path) -> None:
    (sounds / "other" / "A.wav").write_bytes(b"A")
    plan = plan_sorting([called(sounds / "a.wav"), called(sounds / "other" / "A.wav")], tmp_path / "out")
    assert [copy.target for copy in plan.copies] == ["kick/a.wav", "kick/A (2).wav"]


@pytest.mark.parametrize("label", ["../../etc", "/abs", "..", "a\\b", "con", "x\0y", " . ", "n" * 500])
def test_no_class_leads_out(sounds: Path, tmp_path: Path, label: str) -> None:
    out = tmp_path / "deep" / "out"
    done = sort_into(plan_sorting([called(sounds / "a.wav", label)], out), out)
    assert done.done == 1
    (path,) = (path for path in out.rglob("*.wav"))
    assert path.parent.parent == out
    assert {path.name for path in tmp_path.iterdir()} == {"sounds", "deep"}


def test_patterns(sounds: Path, tmp_path: Path) -> None:
    results = [called(sounds / "a.wav", confidence=0.976), called(sounds / "other/a.wav", confidence=1.0)]
    plan = plan_sorting(results, tmp_path, pattern="{class}_{confidence}_{folder}_{number}")
    assert [copy.target for copy in plan.copies] == ["kick_97_sounds_0001.wav", "kick_100_other_0002.wav"]


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("{what}/{name}", "{what}"),
        ("{class", "broken brace"),
        ("/{name}", "below the destination"),
        ("../{name}", "below the destination"),
        ("{class}/", "below the destination"),
        ("{class}", "same name"),
        ("{name!r}", "does not know"),
        ("{name.__class__}", "does not know"),
    ],
)
def test_bad_patterns_are_told(pattern: str, said: str) -> None:
    with pytest.raises(ConfigError) as told:
        check_pattern(pattern)
    assert said in str(told.value)


def test_stopped_in_the_middle_can_be_undone(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = plan_sorting([called(sounds / name) for name in ("a.wav", "b.WAV", "c.flac")], out)
    asked = iter([False, True])
    with pytest.raises(StoppedError, match="after 1 of 3"):
        sort_into(plan, out, should_stop=lambda: next(asked))
    assert list(tree(out)) == ["kick/a.wav"]
    assert undo(out).done == 1
    assert tree(out) == {}


def test_what_ended_early_goes_on_without_a_second_copy(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    results = [called(sounds / name) for name in ("a.wav", "other/a.wav", "b.WAV", "c.flac")]
    asked = iter([False, False, True])
    with pytest.raises(StoppedError):
        sort_into(plan_sorting(results, out), out, should_stop=lambda: next(asked))
    (journal,) = journals(out)
    with journal.open("a") as log:  # killed before the copy had its name, and in the middle of a line
        log.write('{"copy": "kick/b.WAV", "sha256": "0", "from": "x"}\n{"copy": "ki')
    plan = plan_sorting(results, out, pattern="{class}/{name}", journal=journal)
    assert [copy.target for copy in plan.copies] == ["kick/a.wav", "kick/a (2).wav", "kick/b.WAV", "kick/c.flac"]
    assert sort_into(plan, out, journal=journal).done == 4
    assert list(tree(out)) == ["kick/a (2).wav", "kick/a.wav", "kick/b.WAV", "kick/c.flac"]
    assert (undo(out).done, tree(out), journals(out)) == (4, {}, [])


def test_a_torn_last_line_does_not_stop_undo(sounds: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    sort_into(plan_sorting([called(sounds / "a.wav")], out), out)
    (journal,) = journals(out)
    with journal.open("a") as log:
        log.write('{"copy": "kick/b')
    assert undo(out).done == 1


def test_zip_holds_the_same(sounds: Path, tmp_path: Path) -> None:
    plan = plan_sorting([called(sounds / "a.wav"), called(sounds / "c.flac", "hat")], tmp_path / "none")
    (sounds / "c.flac").unlink()
    left = write_zip(plan, tmp_path / "sorted.zip")
    assert left == [(str(sounds / "c.flac"), "It can no longer be read: No such file or directory.")]
    with zipfile.ZipFile(tmp_path / "sorted.zip") as archive:
        assert archive.namelist() == ["kick/a.wav"]
        assert archive.read("kick/a.wav") == b"aaaa"


def test_safe_names() -> None:
    assert safe_name("Hi Hat: open?") == "Hi Hat_ open_"
    assert safe_name("NUL.txt") == "_NUL.txt"
    assert safe_name("") == "_"
    assert safe_file_name("NUL.txt") == "_NUL.txt"
    assert safe_file_name("../.hidden") == "_.hidden"
    long = safe_file_name("\u1112\u1161\u11ab" * 40 + ".wav")  # a Korean name as a Mac writes it: 364 bytes
    assert long.endswith("\u11ab.wav")
    assert len(long.encode()) < 255
