"""What is worth knowing about a collection before trusting a model of it: copies, contradictions, oddities."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import printable
from samplemind_core.config import FeatureConfig
from samplemind_core.data.findings import Action, Finding, Kind, Severity, Twin
from samplemind_core.data.grouping import clip_id, linked
from samplemind_core.data.profile import Profiles
from samplemind_core.data.sources import case_collisions, counted, quoted
from samplemind_core.store.records import SEPARATOR, Clip, Reject

SILENT_DB = -80.0
"""Peak, without its offset, below which a clip counts as silent, in dB of full scale."""

SHORT_S = 0.005
LATE_S = 0.05
"""Shortest sound that is one, and longest silence before it that needs no word, in seconds."""

OFFSET, OFFSET_OF_RMS = 0.02, 0.3
"""DC offset from which it is told, of full scale and of the clip's own RMS: short lopsided sounds have a mean too."""

CUT_SHARE = 0.01
_EXAMPLES = 5
_EXPECTED = ("Class not selected", "Not an audio file", "macOS metadata", "Left by the operating", "Lies in a hidden")


def fingerprint_clips(clips: Iterable[Clip]) -> str:
    """Return a hash (SHA-256, hex) of what training and evaluation depend on."""
    rows = sorted((clip.content_hash, SEPARATOR.join(clip.class_labels), clip.split, clip.row) for clip in clips)
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
    labels = [clip.shown_label for clip in clips]
    names = [clip.name for clip in clips]
    warnings = duplicate_warnings(labels, names, [clip.content_hash for clip in clips])
    counts = Counter(label for clip in clips for label in clip.class_labels)
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


# -- findings about single clips -----------------------------------------------------------------


def reject_findings(rejects: Sequence[Reject]) -> list[Finding]:
    """Return the finding about sounds that could not be imported, if there are any.

    What was left out on purpose, or is no sound at all, is not counted.
    """
    rejects = [row for row in rejects if not row.reason.startswith(_EXPECTED)]
    if not rejects:
        return []
    return [
        Finding(
            "unreadable",
            "warning",
            f"{counted(len(rejects), 'file')} could not be imported",
            "These files are not part of the dataset. Mend or convert those that matter and import them again.",
            "keep",
            subjects=tuple(f"{printable(row.name)}: {row.reason}" for row in rejects),
        )
    ]


def signal_findings(clips: Sequence[Clip], profiles: Profiles) -> list[Finding]:
    """Return what is odd about the signal of single clips.

    Parameters
    ----------
    clips : sequence of Clip, length N
        With ids.
    profiles : Profiles, length N
        Their facts, row by row.
    """
    fine = profiles["readable"].astype(bool)
    peak, rms, offset = (profiles[name].astype(np.float64) for name in ("peak", "rms", "dc_offset"))
    varying = np.sqrt(np.maximum(rms**2 - offset**2, 0.0))
    silent = fine & ((peak < 10 ** (SILENT_DB / 20)) | (varying < 10 ** (SILENT_DB / 20)))
    heard = fine & ~silent
    sound_s = profiles["duration_s"] - profiles["leading_s"] - profiles["trailing_s"]
    window_s = FeatureConfig().duration_s

    def finding(
        flags: NDArray[np.bool_],
        order: NDArray[Any],
        kind: Kind,
        severity: Severity,
        action: Action,
        title: str,
        why: str,
        words: Any,
    ) -> list[Finding]:
        rows = np.flatnonzero(flags)
        if not len(rows):
            return []
        rows = rows[np.argsort(-order[rows], kind="stable")]
        ids = tuple(clip_id(clips[int(row)]) for row in rows)
        return [
            Finding(
                kind,
                severity,
                f"{counted(len(rows), 'clip')} {title.replace('(s)', 's' if len(rows) == 1 else '')}",
                why,
                action,
                ids,
                tuple(words(row) for row in rows),
                suggested=ids if action == "exclude" else (),
            )
        ]

    count = profiles["clipped"]
    return [
        *finding(
            ~fine, peak, "unreadable", "error", "exclude", "can no longer be read",
            "The stored file was damaged or changed since the import. Training on this dataset will fail.",
            lambda row: "the stored file is not the one that was imported",
        ),
        *finding(
            silent, -peak, "silent", "warning", "exclude", "hold(s) no sound",
            "A network can only learn from them that silence belongs to a class.",
            lambda row: f"peak {profiles.peak_db[row]:.0f} dB of full scale",
        ),
        *finding(
            heard & (sound_s < SHORT_S), -sound_s, "too_short", "warning", "exclude",
            f"last(s) less than {SHORT_S * 1_000:g} ms",
            "That is a click, too short to have a character; often the rest of a cut that went wrong.",
            lambda row: f"{1_000 * sound_s[row]:.1f} ms of sound",
        ),
        *finding(
            heard & (count > 0), count, "clipped", "note", "keep",
            "clipped at full scale",
            "The tops of the waveform are cut off, by intent or by a recording that was too loud. Where one class is "
            "clipped and another is not, a network can tell them by that.",
            lambda row: f"{count[row]:,} samples, up to {profiles['longest_clip'][row]:,} in a row",
        ),
        *finding(
            heard & (offset >= OFFSET) & (offset >= OFFSET_OF_RMS * rms), offset, "dc_offset", "note", "keep",
            "with a constant offset",
            "A constant offset comes from a faulty converter. It lifts the lowest bands of the spectrogram.",
            lambda row: f"offset {100 * offset[row]:.1f} % of full scale",
        ),
        *finding(
            heard & (profiles["leading_s"] >= LATE_S), profiles["leading_s"], "leading_silence", "note", "keep",
            f"begin(s) with more than {LATE_S * 1_000:g} ms of silence",
            "The attack lies elsewhere in the picture than in other clips. Trim them, or train with a time shift.",
            lambda row: f"{1_000 * profiles['leading_s'][row]:,.0f} ms before the sound",
        ),
        *finding(
            heard & (profiles["cut_share"] >= CUT_SHARE), profiles["cut_share"], "longer_than_window", "note", "keep",
            f"partly outside the window of {window_s:g} s",
            "The network hears the loudest window of each clip; the rest is cut. Lengthen the window if it matters.",
            lambda row: (
                f"{profiles['cut_s'][row]:.2f} s with {100 * profiles['cut_share'][row]:.0f} % of the energy are cut"
            ),
        ),
    ]  # fmt: skip


# -- findings about copies -----------------------------------------------------------------------


def twin_findings(clips: Sequence[Clip], twins: Sequence[Twin]) -> list[Finding]:
    """Return what the pairs of equal sounds mean: copies, contradictions and leaks between splits.

    Parameters
    ----------
    clips : sequence of Clip
        With ids; a clip without a label contradicts nobody.
    twins : sequence of Twin
        All pairs, exact and near.
    """
    by_id = {clip_id(clip): clip for clip in clips}
    found = []
    told: list[set[int]] = []
    words = {pair: _twin_words(twin) for twin in twins for pair in ((twin.a, twin.b), (twin.b, twin.a))}

    def finding(kind: Kind, severity: Severity, action: Action, title: str, why: str, groups: list[Any]) -> None:
        if not groups:
            return
        members = [one for group, _ in groups for one in group]
        found.append(
            Finding(
                kind,
                severity,
                title,
                why,
                action,
                tuple(members),
                tuple(_partner_words(one, group, words, by_id) for group, _ in groups for one in group),
                tuple(tuple(group) for group, _ in groups),
                tuple(one for _, suggested in groups for one in suggested),
            )
        )

    every = linked([(twin.a, twin.b) for twin in twins])
    contradicting = []
    for group in every:
        labels = Counter(by_id[one].shown_label for one in group if by_id[one].label)
        if len(labels) > 1:
            told.append(set(group))
            usual, times = labels.most_common(1)[0]
            tie = list(labels.values()).count(times) > 1
            contradicting.append((group, [one for one in group if tie or by_id[one].shown_label != usual]))
    finding(
        "two_labels", "error", "relabel", f"{counted(len(contradicting), 'sound')} under more than one label",
        "The same sound has different labels. At least one of them is wrong, and whatever a network says is punished.",
        contradicting,
    )  # fmt: skip
    crossing = []
    for group in every:
        sides = {by_id[one].split for one in group}
        if "train" in sides and sides & {"val", "test"}:
            crossing.append((group, [one for one in group if by_id[one].split != "train"]))
    finding(
        "twins_across_splits", "error", "group",
        f"{counted(len(crossing), 'sound')} on both sides of the split",
        "A sound that was trained on is judged again in validation or test, which flatters every figure. Group the "
        "twins and split again.",
        crossing,
    )  # fmt: skip
    exact = [(group, group[1:]) for group in linked([(twin.a, twin.b) for twin in twins if twin.exact])]
    exact = [(group, rest) for group, rest in exact if len({by_id[one].shown_label for one in group}) == 1]
    extra = sum(len(rest) for _, rest in exact)
    finding(
        "exact_duplicates", "note", "exclude", f"{extra:,} exact {'copy' if extra == 1 else 'copies'} of another clip",
        "The samples are identical. A copy teaches nothing new and counts twice; copies always stay on one side of the "
        "split.",
        exact,
    )  # fmt: skip
    near = [
        (group, group if len({by_id[one].source for one in group}) > 1 else [])
        for group in linked([(twin.a, twin.b) for twin in twins if not twin.exact])
        if not any(told_of >= set(group) for told_of in told)
    ]
    apart = any(suggested for _, suggested in near)
    finding(
        "near_duplicates", "warning" if apart else "note", "group" if apart else "keep",
        f"{counted(len(near), 'sound')} in several versions",
        "Clips that hold the same sound, resampled, louder or softer, trimmed or encoded again. "
        + ("Group those of different sources, so that a split never parts them." if apart else
           "Each lies within one source, so that a split never parts them."),
        near,
    )  # fmt: skip
    return found


def _twin_words(twin: Twin) -> str:
    if twin.exact:
        return "identical"
    parts = [f"correlation {twin.correlation:.3f}"]
    if abs(twin.gain_db) >= 0.5:
        parts.append(f"level differs by {abs(twin.gain_db):.0f} dB")
    if abs(twin.lag_s) >= 0.002:
        parts.append(f"shifted by {1_000 * abs(twin.lag_s):.0f} ms")
    return ", ".join(parts)


def _partner_words(one: int, group: Sequence[int], words: dict[tuple[int, int], str], by_id: dict[int, Clip]) -> str:
    """Return which clip of its group a clip equals, and how."""
    partner = next((other for other in group if (one, other) in words), None)
    if partner is None:
        return ""
    clip = by_id[partner]
    return f"{printable(clip.shown_label or 'unlabelled')} {printable(clip.name)}: {words[one, partner]}"
