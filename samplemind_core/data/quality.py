"""What is worth knowing about a collection before trusting a model of it: copies, contradictions, oddities."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from samplemind_core.audio.decode import printable
from samplemind_core.data.sources import case_collisions, counted, quoted
from samplemind_core.store.records import Clip

_EXAMPLES = 5


def fingerprint_clips(clips: Iterable[Clip]) -> str:
    """Return a hash (SHA-256, hex) of what training and evaluation depend on."""
    rows = sorted((clip.content_hash, clip.label, clip.split, clip.row) for clip in clips)
    return hashlib.sha256("\n".join("\t".join(map(str, row)) for row in rows).encode()).hexdigest()


def quality_warnings(clips: Sequence[Clip], silent: Sequence[str]) -> list[str]:
    """Return warnings about clips that came from files.

    Parameters
    ----------
    clips : sequence of Clip
        All clips of a dataset.
    silent : sequence of str
        Names of clips without any signal.
    """
    labels = [clip.label for clip in clips]
    names = [clip.name for clip in clips]
    warnings = duplicate_warnings(labels, names, [clip.content_hash for clip in clips])
    counts = Counter(labels)
    warnings += [
        f"The classes {quoted(group)} differ only in case or accents; they are kept apart."
        for group in case_collisions(counts)
    ]
    collisions = case_collisions(names)
    if collisions:
        warnings.append(
            f"Names that differ only in case or accents ({len(collisions):,}), such as {quoted(collisions[0])}; "
            "all are kept."
        )
    small = sorted(label for label, count in counts.items() if count < 3)
    if small:
        warnings.append(f"{quoted(small)}: fewer than 3 clips, too few to train, validate and test.")
    if silent:
        warnings.append(f"{counted(len(silent), 'clip')} of digital silence: {quoted(silent, _EXAMPLES)}.")
    noted = [clip for clip in clips if clip.extra.get("audio_notes")]
    if noted:
        warnings.append(
            f"{counted(len(noted), 'clip')} odd but usable, for example {printable(noted[0].name)}: "
            f"{noted[0].extra['audio_notes'][0]}"
        )
    return warnings


def duplicate_warnings(labels: Sequence[str], names: Sequence[str], hashes: Sequence[str]) -> list[str]:
    """Return warnings about identical sound: copies within a class, and contradictions between classes."""
    members: dict[str, list[int]] = {}
    for i, digest in enumerate(hashes):
        members.setdefault(digest, []).append(i)
    copies, contradictions = 0, []
    for rows in members.values():
        if len({labels[i] for i in rows}) > 1:
            contradictions.append(rows)
        elif len(rows) > 1:
            copies += len(rows) - 1
    warnings = []
    if copies:
        warnings.append(
            f"{counted(copies, 'clip')} {'is an exact copy' if copies == 1 else 'are exact copies'} of another of the "
            "same class. Copies stay on one side of the split."
        )
    if contradictions:
        shown = "; ".join(
            " = ".join(f"{printable(names[i])} ({printable(labels[i])})" for i in rows[:3])
            for rows in contradictions[:_EXAMPLES]
        )
        warnings.append(f"{counted(len(contradictions), 'sound')} under more than one label: {shown}.")
    return warnings
