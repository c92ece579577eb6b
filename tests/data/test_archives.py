from __future__ import annotations

import io
import os
import stat
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from samplemind_core.data.sources import Found, ImportOptions, open_source
from samplemind_core.errors import ArchiveError, AudioError, DataError
from samplemind_core.settings import Limits

LIMITS = Limits(max_file_mb=2, max_archive_mb=8, max_unpacked_mb=8, max_archive_files=100)
Look = Callable[..., tuple[Found, dict[str, bytes | str]]]


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Write a zip and return what was found, with the bytes of each candidate or the error it gave."""

    def run(
        *entries: tuple[str | zipfile.ZipInfo, bytes], edit: Callable[[bytes], bytes] = lambda data: data, **options
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in entries:
                archive.writestr(name, data)
        file = tmp_path / "set.zip"
        file.write_bytes(edit(buffer.getvalue()))
        with open_source(file, ImportOptions(), LIMITS) as found:
            contents: dict[str, bytes | str] = {}
            for candidate in found.candidates:
                try:
                    contents[candidate.name] = candidate.read()
                except AudioError as error:
                    contents[candidate.name] = str(error)
        return found, contents

    return run


def reason(found: Found, name: str) -> str:
    return next(row.reason for row in found.rejects if row.name == name)


NIBBLES = bytes(i % 4 for i in range(256))  # packs about four to one
GOOD = (("kick/a.wav", b"one"), ("snare/b.wav", b"two"))


def test_classes_are_folders_and_bytes_come_out(look: Look) -> None:
    found, contents = look(*GOOD, ("snare/tr808/c.flac", b"three"))
    assert contents == {"kick/a.wav": b"one", "snare/b.wav": b"two", "snare/tr808/c.flac": b"three"}
    assert [(clip.label, clip.source) for clip in found.candidates] == [
        ("kick", None),
        ("snare", None),
        ("snare", "tr808"),
    ]
    assert found.grouping == "inferred"
    assert found.rejects == []
    assert found.warnings == []


def test_the_folder_that_holds_everything_is_stepped_into(look: Look) -> None:
    found, _ = look(("set/kick/a.wav", b"1"), ("set/snare/b.wav", b"2"), ("set/empty/", b""))
    assert {clip.label for clip in found.candidates} == {"kick", "snare"}
    assert any("'empty' holds no audio" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("/tmp/evil.wav", "absolute path"),
        ("C:\\evil.wav", "absolute path"),
        ("../evil.wav", "out of the archive"),
        ("..\\evil.wav", "out of the archive"),
        ("kick/../../evil.wav", "out of the archive"),
        ("kick/inner.zip", "inside the archive"),
        ("kick/empty.wav", "0 bytes"),
        ("kick/readme.txt", "Not an audio file"),
    ],
)
def test_bad_entries_are_rejected_and_good_ones_kept(look: Look, name: str, told: str) -> None:
    found, contents = look(*GOOD, (name, b"" if "empty" in name else b"x"))
    assert list(contents) == ["kick/a.wav", "snare/b.wav"]
    assert told in reason(found, name.replace("\\", "/"))


def test_links_are_rejected(look: Look) -> None:
    link = zipfile.ZipInfo("kick/link.wav")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    found, contents = look(*GOOD, (link, b"/etc/passwd"))
    assert "kick/link.wav" not in contents
    assert "link" in reason(found, "kick/link.wav")


def test_junk_of_operating_systems_is_summed_up(look: Look) -> None:
    junk = [(f"__MACOSX/kick/._{i}.wav", b"x") for i in range(30)] + [("kick/.DS_Store", b"x"), ("Thumbs.db", b"x")]
    found, contents = look(*GOOD, *junk)
    assert len(contents) == 2
    assert [row.name for row in found.rejects] == ["__MACOSX (30 files)", ".DS_Store (1 file)", "Thumbs.db (1 file)"]


def test_names_that_collide_in_case_are_all_kept(look: Look) -> None:
    _, contents = look(("Kick/a.wav", b"1"), ("kick/a.wav", b"2"), ("kick/A.wav", b"3"))
    assert sorted(contents.values()) == [b"1", b"2", b"3"]


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_given_twice_is_read_once(look: Look) -> None:
    found, contents = look(*GOOD, ("kick/a.wav", b"other"))
    assert contents["kick/a.wav"] == b"one"
    assert "twice" in reason(found, "kick/a.wav")


def test_encrypted_entries_are_told(look: Look) -> None:
    def encrypt(data: bytes) -> bytes:
        changed = bytearray(data)
        for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
            at = data.index(magic)
            changed[at + offset] |= 1
        return bytes(changed)

    found, contents = look(*GOOD, edit=encrypt)
    assert list(contents) == ["snare/b.wav"]
    assert "Encrypted" in reason(found, "kick/a.wav")


def test_a_bad_checksum_spoils_one_entry_only(look: Look) -> None:
    def flip(data: bytes) -> bytes:
        changed = bytearray(data)
        at = data.index(b"PK\x01\x02")
        changed[at + 16] ^= 0xFF
        return bytes(changed)

    _, contents = look(*GOOD, edit=flip)
    assert "damaged in the archive" in str(contents["kick/a.wav"])
    assert contents["snare/b.wav"] == b"two"


def test_a_bomb_is_rejected_by_its_ratio_or_its_claim(look: Look) -> None:
    found, contents = look(*GOOD, ("kick/zeros.wav", bytes(1_500_000)), ("kick/large.wav", os.urandom(2_200_000)))
    assert len(contents) == 2
    assert "200 to 1" in reason(found, "kick/zeros.wav")
    assert "at most 2 MiB" in reason(found, "kick/large.wav")


def test_an_entry_that_claims_less_than_it_holds_gives_no_more_than_it_claims(look: Look) -> None:
    def shrink(data: bytes) -> bytes:
        changed = bytearray(data)
        at = data.index(b"PK\x01\x02")
        changed[at + 24 : at + 28] = struct.pack("<I", 1_000)
        return bytes(changed)

    found, contents = look(("kick/a.wav", os.urandom(1 << 20)), ("snare/b.wav", b"2"), edit=shrink)
    assert "damaged" in str(contents["kick/a.wav"])
    assert len(found.candidates) == 2


def test_the_whole_is_bounded(look: Look) -> None:
    with pytest.raises(ArchiveError, match="unpacks to"):
        look(*[(f"kick/{i}.wav", os.urandom(1_500_000).translate(NIBBLES)) for i in range(6)])
    with pytest.raises(ArchiveError, match="more than the 100 files"):
        look(*[(f"kick/{i}.wav", b"x") for i in range(101)])
    with pytest.raises(ArchiveError, match="at most 8 MiB"):
        look(*[(f"kick/{i}.wav", os.urandom(1_900_000)) for i in range(5)])


def test_a_huge_directory_is_refused_before_it_is_parsed(look: Look) -> None:
    with pytest.raises(ArchiveError, match="more than the 100 files"):
        look(*[(f"kick/{'x' * 200}{i}.wav", b"x") for i in range(300)])


@pytest.mark.parametrize("data", [b"", b"not a zip", b"PK\x03\x04" + bytes(50)])
def test_what_is_no_zip_is_refused(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "set.zip"
    file.write_bytes(data)
    with pytest.raises(ArchiveError, match="not a usable zip"), open_source(file, ImportOptions(), LIMITS):
        pass


def test_other_archives_are_named(tmp_path: Path) -> None:
    file = tmp_path / "set.7z"
    file.write_bytes(b"x")
    with pytest.raises(ArchiveError, match="not supported"), open_source(file, ImportOptions(), LIMITS):
        pass


def test_an_archive_without_anything_usable_says_why(look: Look) -> None:
    with pytest.raises(ArchiveError, match=r"evil\.wav: Leads out"):
        look(("../evil.wav", b"x"))
    with pytest.raises(DataError, match="no class folders"):
        look(("a.wav", b"x"))


def test_cut_archives_never_crash(look: Look) -> None:
    sizes = []

    def keep(data: bytes) -> bytes:
        sizes.append(len(data))
        return data

    look(*GOOD, edit=keep)
    for cut in range(0, sizes[0], 7):
        with pytest.raises(ArchiveError):
            look(*GOOD, edit=lambda data, cut=cut: data[:cut])


def test_a_manifest_in_the_archive_is_used(look: Look) -> None:
    table = b"path,label,group\na.wav,kick,p1\nb.wav,snare,p2\n../c.wav,kick,p3\nmissing.wav,kick,p1\n"
    found, contents = look(("set/manifest.csv", table), ("set/a.wav", b"1"), ("set/b.wav", b"2"), ("set/c.wav", b"3"))
    assert contents == {"a.wav": b"1", "b.wav": b"2"}
    assert [clip.source for clip in found.candidates] == ["p1", "p2"]
    assert len(found.rejects) == 3  # the row that leaves, the row without file, the file without row
