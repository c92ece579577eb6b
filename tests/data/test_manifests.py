from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samplemind_core.data.manifests import read_manifest
from samplemind_core.data.sources import Found, ImportOptions, Reader, open_source
from samplemind_core.errors import ManifestError
from samplemind_core.settings import Limits


def anything(path: str) -> tuple[str, Reader]:
    return path, lambda: b"x"


def parse(text: str | bytes, **options: object) -> Found:
    data = text.encode() if isinstance(text, str) else text
    return read_manifest(lambda: data, "manifest.csv", ImportOptions(**options), anything)  # type: ignore[arg-type]


def rows(found: Found) -> list[tuple[str, str]]:
    return [(clip.name, clip.label) for clip in found.candidates]


def test_all_columns_are_used_and_the_rest_is_kept() -> None:
    found = parse(
        "path,label,group,source,split,fold,bpm\na.wav,kick,g1,web,Training,3,120\nb.wav,snare,g2,web,dev,4,\n"
    )
    first, second = found.candidates
    assert (first.name, first.label, first.source, first.split, first.fold) == ("a.wav", "kick", "g1", "train", "3")
    assert dict(first.extra) == {"source": "web", "bpm": "120"}
    assert second.split == "val"
    assert found.grouping == "given"


def test_source_alone_is_only_a_hint() -> None:
    assert parse("path,label,source\na.wav,kick,web\n").grouping == "inferred"
    assert parse("path,label,source\na.wav,kick,web\n", group_column="source").grouping == "given"
    assert parse("path,label\na.wav,kick\n").grouping == "none"


@pytest.mark.parametrize(
    "data",
    [
        "\ufeffpath,label\r\na.wav,kick\r\n".encode(),
        b"path;label\na.wav;kick\n",
        b"path\tlabel\na.wav\tkick\n",
        "path,label\na.wav,kick\n".encode("utf-16"),
        b"\n PATH , Label \n\na.wav, kick \n\n",
        b"sep=;\r\npath;label\r\na.wav;kick\r\n",
        b"\nsep=\t\npath\tlabel\na.wav\tkick\n",
        b"path;label\r\na.wav;kick;;\r\n;;;\r\n",
    ],
)
def test_dialects(data: bytes) -> None:
    assert rows(parse(data)) == [("a.wav", "kick")]


def test_flags_may_be_decimals_with_commas() -> None:
    found = parse("path;a;b\nx.wav;1,0;0,0\n", flag_columns=("a", "b"))
    assert [clip.labels for clip in found.candidates] == [("a",)]


def test_another_encoding_is_read_with_a_warning() -> None:
    found = parse("path,label\na.wav,Schläge\n".encode("cp1252"))
    assert rows(found) == [("a.wav", "Schläge")]
    assert "Windows-1252" in found.warnings[0]


def test_columns_may_have_other_names() -> None:
    found = parse("file,instrument,machine,part\na.wav,kick,808,test\n", path_column="file", label_column="Instrument",
                  group_column="machine", split_column="part")  # fmt: skip
    clip = found.candidates[0]
    assert (clip.name, clip.label, clip.source, clip.split) == ("a.wav", "kick", "808", "test")


@pytest.mark.parametrize(
    ("text", "options", "told"),
    [
        ("file,label\n", {}, "no column 'path'; its columns are 'file', 'label'"),
        ("path,klass\n", {}, "no column 'label'"),
        ("path,label\n", {"group_column": "pack"}, "no column 'pack'"),
        ("path,label\n", {"split_column": "pack"}, "no column 'pack'"),
        ("", {}, "its columns are none"),
        ("path,label,LABEL\n", {}, "two columns named 'LABEL'"),
        (b"path,label\0\n", {}, "not a text file"),
        (b"\xff\xfe\x00", {}, "not a text file"),
        ('path,label\n"' + "x" * 200_000, {}, "not a table"),
    ],
)
def test_manifests_that_cannot_be_used(text: str, options: dict, told: str) -> None:
    with pytest.raises(ManifestError, match=told):
        parse(text, **options)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (",kick,train", "Has no path"),
        ("b.wav,,train", "Has no label"),
        ("b.wav,kick,later", "split 'later' is unknown"),
        ("b.wav,kick,", "Has no split"),
        ("b.wav,kick", "Has 2 cells where the header has 3"),
        ("a.wav,snare,train", "already listed in line 2"),
        ("../b.wav,kick,train", "Leads out"),
        ("/etc/b.wav,kick,train", "Leads out"),
        ("C:\\b.wav,kick,train", "Leads out"),
        (f"b.wav,{'x' * 201},train", "at most 200"),
    ],
)
def test_a_bad_row_is_rejected_with_its_line(row: str, told: str) -> None:
    found = parse(f"path,label,split\na.wav,kick,train\n{row}\n")
    assert rows(found) == [("a.wav", "kick")]
    assert len(found.rejects) == 1
    assert told in found.rejects[0].reason
    assert "(line 3)" in found.rejects[0].name or "Has no split" in told


def test_a_quoted_line_break_does_not_shift_line_numbers() -> None:
    found = parse('path,label,note\na.wav,kick,"two\nlines"\nb.wav,,x\n')
    assert found.rejects[0].name == "b.wav (line 4)"


def test_classes_that_were_not_chosen_are_counted() -> None:
    found = parse("path,label\na.wav,kick\nb.wav,fx\nc.wav,fx\n", classes=("kick",))
    assert [(row.name, row.reason) for row in found.rejects] == [("fx (2 files)", "Class not selected.")]


def test_files_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "set/in").mkdir(parents=True)
    (tmp_path / "set/in/a.wav").write_bytes(b"one")
    (tmp_path / "out.wav").write_bytes(b"out")
    (tmp_path / "set/link.wav").symlink_to("../out.wav")
    (tmp_path / "set/same.wav").symlink_to("in/a.wav")
    manifest = tmp_path / "set/MANIFEST.csv"
    manifest.write_text("path,label\nin\\a.wav,kick\nlink.wav,kick\nsame.wav,kick\nin,kick\nno.wav,kick\n")
    for source in (manifest, manifest.parent):
        with open_source(source, ImportOptions(), Limits()) as found:
            assert [clip.read() for clip in found.candidates] == [b"one"]
            reasons = [row.reason for row in found.rejects]
        assert [reason.split()[0] for reason in reasons] == ["Leads", "The", "Is", "The"]
        assert "already listed in line 2" in reasons[1]


def test_accents_are_found_however_they_are_written(tmp_path: Path) -> None:
    for name in ("Schla\u0308ge.wav", "d\u00e9cor.wav"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "list.csv").write_text("path,label\nSchl\u00e4ge.wav,kick\nde\u0301cor.wav,snare\n", encoding="utf-8")
    with open_source(tmp_path / "list.csv", ImportOptions(), Limits()) as found:
        assert [clip.label for clip in found.candidates] == ["kick", "snare"]
        assert found.rejects == []


def test_an_empty_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "list.csv").touch()
    with (
        pytest.raises(ManifestError, match="0 bytes"),
        open_source(tmp_path / "list.csv", ImportOptions(), Limits()),
    ):
        pass


@given(st.binary(max_size=200))
def test_any_bytes_give_rows_or_a_readable_error(data: bytes) -> None:
    try:
        found = parse(b"path,label\n" + data)
    except ManifestError:
        return
    assert all(clip.label.strip() and clip.name.strip() for clip in found.candidates)
