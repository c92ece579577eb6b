"""Tar archives give what their zips give, and nothing in them is followed, believed or left out in silence."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from samplemind_core.data.sources import Found, ImportOptions, open_source
from samplemind_core.errors import ArchiveError, AudioError
from samplemind_core.settings import Limits

LIMITS = Limits(max_file_mb=2, max_archive_mb=8, max_unpacked_mb=8, max_archive_files=100)
GOOD = (("kick/a.wav", b"one"), ("snare/b.wav", b"two"))
Entry = tuple[str | tarfile.TarInfo, bytes]
Look = Callable[..., tuple[Found, dict[str, bytes | str]]]


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.fixture
def look(tmp_path: Path) -> Look:
    """Write a tar and return what was found, with the bytes of each candidate or the error it gave."""

    def run(*entries: Entry, suffix: str = ".tar", edit: Callable[[bytes], bytes] = lambda data: data):
        mode = {".tgz": "gz", ".gz": "gz", ".bz2": "bz2", ".xz": "xz", ".tar": ""}["." + suffix.rpartition(".")[2]]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=f"w:{mode}") as archive:  # type: ignore[call-overload]
            for name, data in entries:
                info = tarfile.TarInfo(name) if isinstance(name, str) else name
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
        file = tmp_path / f"set{suffix}"
        file.write_bytes(edit(buffer.getvalue()))
        with open_source(file, ImportOptions(), LIMITS) as found:
            contents: dict[str, bytes | str] = {}
            for candidate in reversed(found.candidates):  # in another order than they lie
                try:
                    contents[candidate.name] = candidate.read()
                except AudioError as error:
                    contents[candidate.name] = str(error)
        return found, contents

    return run


@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz"])
def test_every_packing_gives_the_same(look: Look, suffix: str) -> None:
    found, contents = look(*GOOD, ("snare/tr808/c.flac", b"three"), suffix=suffix)
    assert contents == {"kick/a.wav": b"one", "snare/b.wav": b"two", "snare/tr808/c.flac": b"three"}
    assert [clip.source for clip in found.candidates] == [None, None, "tr808"]
    assert (found.rejects, found.warnings) == ([], [])


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (("/tmp/evil.wav", b"x"), "absolute path"),
        (("C:\\evil.wav", b"x"), "absolute path"),
        (("../evil.wav", b"x"), "out of the archive"),
        (("kick/../../evil.wav", b"x"), "out of the archive"),
        ((special("kick/link.wav", tarfile.SYMTYPE, "/etc/passwd"), b""), "link"),
        ((special("kick/hard.wav", tarfile.LNKTYPE, "kick/a.wav"), b""), "link"),
        ((special("kick/pipe.wav", tarfile.FIFOTYPE), b""), "special file"),
        ((special("kick/zero.wav", tarfile.CHRTYPE), b""), "special file"),
        (("kick/inner.tar", b"x"), "inside the archive"),
        (("kick/empty.wav", b""), "0 bytes"),
        (("kick/a.wav", b"again"), "twice"),
        (("kick/huge.wav", bytes(3 << 20)), "at most 2 MiB"),
        (("kick/notes.doc", b"x"), "Not an audio file"),
    ],
)
def test_bad_entries_are_rejected_and_good_ones_kept(look: Look, entry: Entry, told: str) -> None:
    found, contents = look(*GOOD, entry)
    assert contents == {"kick/a.wav": b"one", "snare/b.wav": b"two"}
    (reject,) = found.rejects
    assert told in reject.reason


def test_macos_junk_and_case_collisions(look: Look) -> None:
    junk = [(f"__MACOSX/kick/._{i}.wav", b"x") for i in range(30)]
    found, contents = look(*GOOD, ("Kick/a.wav", b"1"), *junk)
    assert set(contents) == {"kick/a.wav", "Kick/a.wav", "snare/b.wav"}
    assert [row.name for row in found.rejects] == ["__MACOSX (30 files)"]


def test_names_that_are_not_utf8_are_kept_as_escapes(look: Look) -> None:
    _, contents = look(*GOOD, ("kick/caf\udce9.wav", b"x"))
    assert contents["kick/caf\\xe9.wav"] == b"x"


@pytest.mark.parametrize("suffix", [".tar.gz", ".tar.bz2", ".tar.xz"])
def test_a_packed_tar_that_is_cut_is_refused(look: Look, suffix: str) -> None:
    noise = bytes(range(256)) * 40
    with pytest.raises(ArchiveError, match="not a usable tar"):
        look(*GOOD, ("kick/c.wav", noise), suffix=suffix, edit=lambda data: data[: len(data) // 2])


def test_a_plain_tar_that_is_cut_is_refused(look: Look) -> None:
    with pytest.raises(ArchiveError, match="not a usable tar"):
        look(("kick/a.wav", b"one"), ("snare/b.wav", bytes(600)), edit=lambda data: data[: 4 * 512])


def test_damage_between_entries_is_told(look: Look) -> None:
    found, contents = look(
        ("kick/a.wav", b"one"), ("snare/b.wav", b"two"), edit=lambda data: data[:1024] + b"?" * 512 + data[1536:]
    )
    assert contents == {"kick/a.wav": b"one"}
    assert "Cut off or damaged" in found.rejects[0].reason


def test_bombs_are_refused_while_they_unpack(look: Look) -> None:
    with pytest.raises(ArchiveError, match="at most 8 MiB"):
        look(*[(f"kick/{i}.wav", bytes(1 << 20)) for i in range(9)], suffix=".tar.gz")


def test_a_tar_packed_beyond_reason_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "bomb.tar.xz"
    with tarfile.open(file, "w:xz") as archive:
        info = tarfile.TarInfo("kick/a.wav")
        info.size = 20 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))
    with pytest.raises(ArchiveError, match="more than 200 to 1"), open_source(file, ImportOptions(), Limits()):
        pass


def test_too_many_files_are_refused(look: Look) -> None:
    with pytest.raises(ArchiveError, match="more than the 100 files"):
        look(*[(f"kick/{i}.wav", b"x") for i in range(101)])


def test_a_header_that_claims_a_giant_name_is_refused(look: Look) -> None:
    def claim(data: bytes) -> bytes:
        info = special("x", tarfile.GNUTYPE_LONGNAME)
        info.size = 4 << 30
        return info.tobuf(format=tarfile.GNU_FORMAT) + data

    with pytest.raises(ArchiveError, match="a header of"):
        look(*GOOD, edit=claim)


@pytest.mark.parametrize("name", ["set.tar", "set.tar.gz", "set.gz", "set.txz"])
def test_what_is_no_tar_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"RIFF" + bytes(2000))
    with pytest.raises(ArchiveError, match="not a usable tar"), open_source(tmp_path / name, ImportOptions(), LIMITS):
        pass
