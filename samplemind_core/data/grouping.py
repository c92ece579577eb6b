"""Which clips come from one place: sources proposed from folders, names, drum machines and shared sounds.

A proposal only; nothing changes until somebody accepts it. A split that keeps such groups whole is
the difference between a figure that holds on the next pack and one that does not.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from samplemind_core.data.findings import ProposedGroup, Twin
from samplemind_core.data.sources import counted
from samplemind_core.store.records import Clip

MIN_PREFIX_CLIPS = 3
"""Clips from which a common beginning of file names counts as the name of a pack."""

# A machine's name as makers, packs and file names write it, without signs: "Roland TR-808", "tr808", "808".
_MACHINES: tuple[tuple[str, str], ...] = (
    *((f"TR-{number}", rf"tr{number}|(?<!\d){number}(?!\d)") for number in (505, 606, 626, 707, 727, 808, 909)),
    ("CR-78", r"cr78|compurhythm78"),
    ("CR-8000", r"cr8000|compurhythm8000"),
    ("LM-1", r"lm1(?!\d)"),
    ("LinnDrum", r"linndrum|lm2(?!\d)"),
    ("Linn 9000", r"linn9000"),
    ("Oberheim DMX", r"(?<![a-z])dmx(?![a-z])"),
    ("E-mu SP-12", r"sp12(?!\d)"),
    ("E-mu SP-1200", r"sp1200"),
    ("Drumulator", r"drumulator"),
    ("MPC 60", r"mpc60(?!\d)"),
    ("Simmons SDS-V", r"sds5|sdsv(?![a-z])"),
    ("Simmons SDS-400", r"sds400"),
    ("KPR-77", r"kpr77"),
    ("DDM-110", r"ddm110"),
    ("Mini Pops", r"minipops"),
    ("KR-55", r"kr55(?!\d)"),
    *((f"DR-{number}", rf"dr{number}(?!\d)") for number in (55, 110, 220, 550, 660)),
    ("R-8", r"(?<![a-z])r8(?!\d)|rolandr8(?!\d)"),
    ("RX-5", r"rx5(?!\d)"),
    ("RX-11", r"rx11(?!\d)"),
    ("RY-30", r"ry30(?!\d)"),
    ("RM-50", r"rm50(?!\d)"),
    ("MR-10", r"mr10(?!\d)"),
    ("SR-16", r"sr16(?!\d)"),
    ("HR-16", r"hr16(?!\d)"),
    ("XR-10", r"xr10(?!\d)"),
    ("MFB-512", r"mfb512"),
    ("Micro-Rhythmer 12", r"microrhythmer"),
)
_PATTERNS = tuple((name, re.compile(pattern)) for name, pattern in _MACHINES)

# Words that say what a sound is, not where it is from.
_CLASS_WORDS = frozenset(
    (
        *(
            "kick",
            "kik",
            "bd",
            "bass",
            "bassdrum",
            "snare",
            "sd",
            "sn",
            "snr",
            "clap",
            "cp",
            "clp",
            "rim",
            "rimshot",
            "rs",
        ),
        *("hat", "hats", "hihat", "hh", "ch", "oh", "chh", "ohh", "closed", "open", "cymbal", "cym", "crash", "ride"),
        *("tom", "toms", "lt", "mt", "ht", "perc", "percussion", "conga", "bongo", "shaker", "sh", "cowbell", "cb"),
        *("fx", "loop", "vox", "vocal", "synth", "sub", "drum", "drums", "sample", "samples", "sound", "sounds"),
        *("one", "shot", "oneshot", "audio", "wav", "file", "untitled", "track", "new", "copy"),
    )
)


def machine_of(text: str) -> str | None:
    """Return the drum machine that a folder, pack or file name speaks of, if exactly one."""
    compact = re.sub(r"(?<=\d)[\W_]+(?=\d)", "|", text.lower())  # "8_08" is no 808
    compact = re.sub(r"[\s_.-]+(?=\d)|(?<=\d)[\s_.-]+", "", compact)
    compact = re.sub(r"[\s_]+", "/", compact)
    found = {name for name, pattern in _PATTERNS if pattern.search(compact)}
    return found.pop() if len(found) == 1 else None


def sound_keys(clips: Sequence[Clip], twins: Iterable[Twin]) -> list[str]:
    """Return a key per clip that is the same for clips of one sound: the content hash of its first clip.

    Given to :func:`~samplemind_core.data.split.merge_groups` in place of the content hashes, near
    duplicates stay on one side of a split as identical ones do.
    """
    by_id = {clip.id: clip.content_hash for clip in clips}
    keys = dict(by_id)
    known = [(twin.a, twin.b) for twin in twins if twin.a in by_id and twin.b in by_id]
    for group in linked(known):
        for one in group:
            keys[one] = by_id[group[0]]
    return [keys[clip.id] for clip in clips]


def linked(pairs: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the groups, sorted, that pairs of ids form when links are followed."""
    parent: dict[int, int] = {}

    def find(one: int) -> int:
        parent.setdefault(one, one)
        while parent[one] != one:
            parent[one] = parent[parent[one]]
            one = parent[one]
        return one

    for a, b in pairs:
        first, second = sorted((find(a), find(b)))
        parent[second] = first
    groups: dict[int, list[int]] = {}
    for one in sorted(parent):
        groups.setdefault(find(one), []).append(one)
    return [groups[root] for root in sorted(groups)]


def clip_id(clip: Clip) -> int:
    """Return the id of a stored clip."""
    if clip.id is None:
        raise ValueError(f"Clip {clip.name!r} was not stored yet and has no id.")
    return clip.id


def is_alone(clip: Clip) -> bool:
    """Return whether a clip has no known source; it then stands for itself."""
    return clip.source == clip.name


def propose_groups(clips: Sequence[Clip], twins: Sequence[Twin]) -> tuple[ProposedGroup, ...]:
    """Return sources that should be one, or that clips without a source should get.

    A clip belongs with others of its present source; where it has none, with others of its folder
    (unless the folder is the class) or with others whose names begin alike. Sources that name the
    same drum machine, or that share a sound, are joined.

    Parameters
    ----------
    clips : sequence of Clip
        With ids.
    twins : sequence of Twin
        Clips that hold the same sound.

    Returns
    -------
    tuple of ProposedGroup
        Only those that differ from the present sources, the largest first.
    """
    bases, how = _bases(clips)
    row_of = {clip.id: row for row, clip in enumerate(clips)}
    parent = list(range(len(clips)))

    def find(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(a: int, b: int) -> None:
        first, second = sorted((find(a), find(b)))
        parent[second] = first

    first_of: dict[str, int] = {}
    for row, base in enumerate(bases):
        if base is not None:
            join(first_of.setdefault(f"source {base}", row), row)
    machines = [machine_of(base) if base is not None else machine_of(PurePosixPath(clip.name).stem)
                for clip, base in zip(clips, bases, strict=True)]  # fmt: skip
    for row, machine in enumerate(machines):
        if machine is not None:
            join(first_of.setdefault(f"machine {machine}", row), row)
    shared = [(row_of[twin.a], row_of[twin.b]) for twin in twins if twin.a in row_of and twin.b in row_of]
    for a, b in shared:
        join(a, b)

    members: dict[int, list[int]] = {}
    for row in range(len(clips)):
        members.setdefault(find(row), []).append(row)
    links = Counter(find(a) for a, b in shared if clips[a].source != clips[b].source)
    groups = []
    for root, rows in members.items():
        sources = sorted({clips[row].source for row in rows})
        if len(sources) < 2:
            continue
        reasons = sorted({how[row] for row in rows if how[row]})
        named = Counter(machine for row in rows if (machine := machines[row]) is not None)
        if named:
            reasons.append("names of the drum machine " + ", ".join(sorted(named)))
        if links[root]:
            reasons.append(f"{counted(links[root], 'sound')} in common")
        name = named.most_common(1)[0][0] if named else _usual_base(bases, rows, clips)
        groups.append(ProposedGroup(name, tuple(clip_id(clips[row]) for row in rows), tuple(sources), tuple(reasons)))
    return tuple(sorted(_named_apart(groups), key=lambda group: (-len(group.clips), group.name)))


def _bases(clips: Sequence[Clip]) -> tuple[list[str | None], list[str]]:
    """Return for each clip its present or inferred source, or None, and how it was inferred."""
    words = _CLASS_WORDS | {clip.label.lower() for clip in clips}
    loose = [clip for clip in clips if is_alone(clip)]
    folders = Counter(_folder(clip, words) for clip in loose)
    prefixes = Counter(_prefix(clip, words) for clip in loose)
    bases: list[str | None] = []
    how: list[str] = []
    for clip in clips:
        base, why = (None, "") if is_alone(clip) else (clip.source, "")
        if base is None:
            folder, prefix = _folder(clip, words), _prefix(clip, words)
            if folder is not None and folders[folder] > 1:
                base, why = folder, f"the folder '{folder}'"
            elif prefix is not None and prefixes[prefix] >= MIN_PREFIX_CLIPS:
                base, why = prefix, f"names that begin with '{prefix}'"
        bases.append(base)
        how.append(why)
    return bases, how


def _folder(clip: Clip, words: frozenset[str]) -> str | None:
    """Return the folder nearest to a clip that does not name its class."""
    for part in reversed(PurePosixPath(clip.name).parts[:-1]):
        if not set(re.findall(r"[a-z]+", part.lower())) <= words:
            return part
    return None


def _prefix(clip: Clip, words: frozenset[str]) -> str | None:
    """Return what a file name begins with before it says the class or a number."""
    kept = []
    for part in re.split(r"[\s_\-.]+", PurePosixPath(clip.name).stem):
        letters = re.sub(r"\d+", "", part).lower()
        if letters in words or not letters:
            break
        kept.append(part)
    else:
        kept = kept[:-1]  # nothing ended it: the last word is the sound's own name
    return " ".join(kept) or None


def _usual_base(bases: Sequence[str | None], rows: Sequence[int], clips: Sequence[Clip]) -> str:
    counts = Counter(base for row in rows if (base := bases[row]) is not None)
    return counts.most_common(1)[0][0] if counts else clips[rows[0]].source


def _named_apart(groups: Sequence[ProposedGroup]) -> Iterable[ProposedGroup]:
    taken: Counter[str] = Counter()
    for group in groups:
        taken[group.name] += 1
        number = taken[group.name]
        name = group.name if number == 1 else f"{group.name} ({number})"
        yield ProposedGroup(name, group.clips, group.sources, group.reasons)
