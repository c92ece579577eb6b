"""Containers by their first bytes: what a file is, and how much sound its header promises.

libsndfile reads a cut file without complaint (it gives the frames that are left) and calls
everything it does not know "Format not recognised". The headers are therefore read here first.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

HEAD_BYTES = 4_096
"""Number of leading bytes that :func:`looks_like` wants to see."""

_UNKNOWN_SIZES = (0, 0xFFFFFFFF)
"""Values of a 32-bit size field with which streaming writers say "not known yet"."""

_MAX_CHUNKS = 10_000
"""Bound on the chunks walked before the sound data; real files have fewer than fifty."""

# (offset, bytes found there, what such a file is, advice)
_CONVERT = "Convert it to WAV or FLAC and try again."
_NOT_SOUND = "Choose an audio file instead."
_SIGNATURES: tuple[tuple[int, bytes, str, str], ...] = (
    (4, b"ftyp", "an MPEG-4 file (M4A: AAC or Apple Lossless, or a video)", _CONVERT),
    (0, b"\x1a\x45\xdf\xa3", "a WebM or Matroska file", _CONVERT),
    (0, b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "a Windows Media file (WMA)", _CONVERT),
    (28, b"\x7fFLAC", "FLAC inside Ogg", "Convert it to plain FLAC or WAV and try again."),
    (28, b"Speex", "Speex inside Ogg", _CONVERT),
    (0, b"\xff\xf1", "a raw AAC stream (ADTS)", _CONVERT),
    (0, b"\xff\xf9", "a raw AAC stream (ADTS)", _CONVERT),
    (0, b"wvpk", "a WavPack file", _CONVERT),
    (0, b"MAC ", "a Monkey's Audio file", _CONVERT),
    (0, b"DSD ", "a DSD file", _CONVERT),
    (0, b"FRM8", "a DSD file", _CONVERT),
    (0, b"#!AMR", "an AMR voice recording", _CONVERT),
    (0, b"MThd", "a MIDI file, which holds notes and no sound", "Render it to WAV and try again."),
    (0, b"\x89PNG", "a PNG image", _NOT_SOUND),
    (0, b"\xff\xd8\xff", "a JPEG image", _NOT_SOUND),
    (0, b"GIF8", "a GIF image", _NOT_SOUND),
    (8, b"WEBP", "a WebP image", _NOT_SOUND),
    (0, b"BM", "a BMP image", _NOT_SOUND),
    (8, b"AVI ", "an AVI video", "Extract its sound as WAV and try again."),
    (0, b"%PDF", "a PDF document", _NOT_SOUND),
    (0, b"PK\x03\x04", "a zip archive", "Import it as an archive, or unpack it first."),
    (0, b"Rar!", "a RAR archive", "Unpack it first."),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "Unpack it first."),
    (0, b"\x1f\x8b", "a gzip archive", "Unpack it first."),
    (0, b"\xd0\xcf\x11\xe0", "a Windows system or Office file", _NOT_SOUND),
    (0, b"\x00\x05\x16\x07", "a macOS resource file (its name starts with '._')", "Choose the file without '._'."),
    (0, b"\x7fELF", "a program", _NOT_SOUND),
    (0, b"MZ", "a Windows program", _NOT_SOUND),
    (0, b"SQLite format 3", "a database", _NOT_SOUND),
    (0, b"version https://git-lfs", "a Git LFS pointer in place of the sound itself", "Run 'git lfs pull' first."),
)

AUDIO_HEADS = (b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b".snd", b"dns.", b"caff", b"fLaC", b"OggS", b"ID3")
"""First bytes of the containers that can be decoded (MPEG audio without a tag has none)."""


@dataclass(frozen=True, slots=True)
class Payload:
    """The sound data of a chunked container.

    Parameters
    ----------
    declared : int or None
        Bytes that the header promises; None where a streaming writer left the size open.
    present : int
        Bytes that the file holds from the start of the data on, at most ``declared``.
    size_field : int
        Position of the size field in the file.
    """

    declared: int | None
    present: int
    size_field: int


def looks_like(head: bytes) -> tuple[str, str]:
    """Return what a file that cannot be decoded seems to be, and what to do about it.

    Parameters
    ----------
    head : bytes
        The first :data:`HEAD_BYTES` of the file.

    Returns
    -------
    tuple of str
        A noun phrase (empty if the bytes give nothing away) and one sentence of advice.
    """
    if not head.strip(b"\0"):
        return "a file of zeros, as a broken copy or download leaves it", "Copy or download it again."
    for offset, magic, what, advice in _SIGNATURES:
        if head[offset : offset + len(magic)] == magic:
            return what, advice
    if not head.startswith(AUDIO_HEADS) and _is_text(head):
        start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
        if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
            return "a web page (HTML), as a failed download leaves it", "Download the sound again."
        if start.startswith((b"<svg", b"<?xml")):
            return "an XML or SVG document", _NOT_SOUND
        return "a text file", _NOT_SOUND
    return "", "If it plays elsewhere, convert it to WAV or FLAC and try again."


def is_foreign(head: bytes) -> bool:
    """Return whether the bytes are certainly not one of the containers that can be decoded."""
    if head.startswith(b"fLaC"):
        return False
    if head.startswith((b"RIFF", b"OggS")):
        return any(head[offset : offset + len(magic)] == magic for offset, magic, *_ in _SIGNATURES if offset >= 8)
    return bool(looks_like(head)[0])


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        # The head may end inside a character.
        if error.start < len(head) - 4 or error.start == 0:
            return False
        text = head[: error.start].decode("utf-8")
    return len(text) > 3 and all(char.isprintable() or char in "\t\r\n\f\ufeff" for char in text)


def find_payload(stream: BinaryIO, num_bytes: int) -> Payload | None:
    """Return the sound data that a chunked container's header promises.

    Parameters
    ----------
    stream : BinaryIO
        Seekable; its position is left anywhere.
    num_bytes : int
        Length of the file.

    Returns
    -------
    Payload or None
        None for containers without such a promise (FLAC, Ogg, MP3) and for broken headers.
    """
    stream.seek(0)
    head = stream.read(40)
    try:
        if head[:4] in (b"RIFF", b"RF64", b"RIFX") and head[8:12] == b"WAVE":
            return _riff(stream, num_bytes, head)
        if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(stream, num_bytes)
        if head[:4] == b"riff":
            return _w64(stream, num_bytes)
        if head[:4] in (b".snd", b"dns."):
            offset, declared = struct.unpack(">2I" if head[:4] == b".snd" else "<2I", head[4:12])
            return _payload(None if declared in _UNKNOWN_SIZES else declared, offset, num_bytes, 8)
        if head[:4] == b"caff":
            return _caf(stream, num_bytes)
    except struct.error:
        return None  # the header itself is cut; libsndfile says so
    return None


def close_open_sizes(data: bytearray, payload: Payload) -> None:
    """Write the sizes that a streaming WAV writer left open, in place.

    Parameters
    ----------
    data : bytearray
        The whole file, a RIFF WAVE.
    payload : Payload
        As :func:`find_payload` found it.
    """
    order = ">I" if data[:4] == b"RIFX" else "<I"
    struct.pack_into(order, data, 4, min(len(data) - 8, 0xFFFFFFFF))
    struct.pack_into(order, data, payload.size_field, min(payload.present, 0xFFFFFFFF))


def ogg_is_cut(stream: BinaryIO, num_bytes: int) -> bool:
    """Return whether an Ogg file's last page is incomplete."""
    start = max(0, num_bytes - 70_000)  # a page is at most 65,307 bytes
    stream.seek(start)
    tail = stream.read()
    page = tail.rfind(b"OggS")
    if page < 0 or page + 27 > len(tail):
        return True
    segments = tail[page + 26]
    table = tail[page + 27 : page + 27 + segments]
    return len(table) < segments or page + 27 + segments + sum(table) > len(tail)


def _riff(stream: BinaryIO, num_bytes: int, head: bytes) -> Payload | None:
    order = ">" if head[:4] == b"RIFX" else "<"
    (riff_size,) = struct.unpack(f"{order}I", head[4:8])
    position, long_size = 12, None
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        name, size = struct.unpack(f"{order}4sI", stream.read(8))
        if name == b"ds64":
            (long_size,) = struct.unpack("<Q", stream.read(16)[8:])
        elif name == b"data":
            declared: int | None = size
            if head[:4] == b"RF64" and size == 0xFFFFFFFF:
                declared = long_size or None
            elif size == 0xFFFFFFFF or (size == 0 and riff_size in _UNKNOWN_SIZES):
                # A size of 0 inside a RIFF of known size is an honestly empty file.
                declared = None
            return _payload(declared, position + 8, num_bytes, position + 4)
        position += 8 + size + size % 2
    return None


def _aiff(stream: BinaryIO, num_bytes: int) -> Payload | None:
    position = 12
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        name, size = struct.unpack(">4sI", stream.read(8))
        if name == b"SSND":  # starts with an offset and a block size of four bytes each
            declared = None if size in _UNKNOWN_SIZES else max(0, size - 8)
            return _payload(declared, position + 16, num_bytes, position + 4)
        position += 8 + size + size % 2
    return None


def _w64(stream: BinaryIO, num_bytes: int) -> Payload | None:
    position = 40
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        name, size = struct.unpack("<16sQ", stream.read(24))
        if name[:4] == b"data":
            return _payload(max(0, size - 24), position + 24, num_bytes, position + 16)
        position += max(24, size + -size % 8)
    return None


def _caf(stream: BinaryIO, num_bytes: int) -> Payload | None:
    position = 8
    for _ in range(_MAX_CHUNKS):
        stream.seek(position)
        name, size = struct.unpack(">4sq", stream.read(12))
        if name == b"data":  # starts with a four-byte edit count; -1 means "to the end of the file"
            return _payload(None if size < 0 else max(0, size - 4), position + 16, num_bytes, position + 4)
        position += 12 + max(0, size)
    return None


def _payload(declared: int | None, offset: int, num_bytes: int, size_field: int) -> Payload:
    present = max(0, num_bytes - offset)
    return Payload(declared, present if declared is None else min(present, declared), size_field)
