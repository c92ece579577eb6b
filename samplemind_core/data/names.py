"""Labels proposed from file and folder names, by rules that everybody can see and change.

A name is cut into words at everything that is no letter or digit, between letters and digits, and
where small letters turn to capitals: ``808bd_01`` is 808, bd, 01; ``ClosedHat`` is closed, hat. A
rule's word must be one of these, so that ``shh`` is no hi-hat. Names of nothing, or of two things,
propose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from samplemind_core.errors import DataError

Rules = tuple[tuple[str, tuple[str, ...]], ...]
"""Per class, the words that name it; a word may be several, as in 'bass drum'."""

DEFAULT_RULES: Rules = (
    ("kick", ("kick", "kik", "kck", "kd", "bd", "bassdrum", "bass drum", "kickdrum")),
    ("snare", ("snare", "snr", "sn", "sd", "snaredrum")),
    (
        "hihat",
        ("hihat", "hi hat", "hat", "hh", "oh", "ch", "chh", "ohh", "hho", "hhc", "openhat", "closedhat", "highhat"),
    ),
    ("clap", ("clap", "clp", "cp", "handclap")),
    ("tom", ("tom", "lt", "mt", "ht", "floortom", "lowtom", "midtom", "hitom", "hightom")),
    ("cymbal", ("cymbal", "cym", "cy", "crash", "ride", "splash", "china")),
    ("rim", ("rim", "rimshot", "rs", "sidestick", "side stick")),
    ("cowbell", ("cowbell", "cb", "cow bell")),
    ("shaker", ("shaker", "shake", "cabasa", "shk")),
    (
        "perc",
        (
            "perc",
            "prc",
            "percussion",
            "conga",
            "bongo",
            "maraca",
            "clave",
            "tambourine",
            "tamb",
            "woodblock",
            "timbale",
            "agogo",
            "guiro",
            "triangle",
        ),
    ),
)

MAX_RULES, MAX_WORDS = 200, 2_000
_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+|\d+")
_EXAMPLES = 3


@dataclass
class Proposal:
    """What rules say about many names.

    Parameters
    ----------
    labels : dict
        Class of each name; an empty text where the rules say nothing or contradict each other.
    ambiguous : list of str
        Names that speak of more than one class.
    """

    labels: dict[str, str] = field(default_factory=dict)
    ambiguous: list[str] = field(default_factory=list)

    @property
    def unlabelled(self) -> list[str]:
        """Names without a class, the ambiguous ones included."""
        return [name for name, label in self.labels.items() if not label]

    def table(self) -> list[tuple[str, int, str]]:
        """Return (class, number of files, examples) for each class, the largest first."""
        members: dict[str, list[str]] = {}
        for name, label in self.labels.items():
            if label:
                members.setdefault(label, []).append(PurePosixPath(name).name)
        ordered = sorted(members.items(), key=lambda item: (-len(item[1]), item[0]))
        return [(label, len(names), ", ".join(names[:_EXAMPLES])) for label, names in ordered]


class Namer:
    """Proposes a class for a path.

    Parameters
    ----------
    rules : Rules
        See :data:`DEFAULT_RULES`.

    Raises
    ------
    DataError
        If a word stands for two classes, or there are no rules or too many.
    """

    def __init__(self, rules: Rules = DEFAULT_RULES) -> None:
        self._classes: dict[tuple[str, ...], str] = {}
        for label, phrases in rules:
            for phrase in phrases:
                words = tuple(words_of(phrase))
                other = self._classes.get(words, label)
                if words and other != label:
                    raise DataError(
                        f"The word '{phrase}' stands for '{other}' and '{label}'.", "Give it to one of them."
                    )
                if words:
                    self._classes[words] = label
        if not self._classes or len(rules) > MAX_RULES or len(self._classes) > MAX_WORDS:
            raise DataError(
                f"Expected 1 to {MAX_RULES} rules with up to {MAX_WORDS:,} words in all, got {len(rules)} with "
                f"{len(self._classes):,}.",
                "Write a rule as 'kick: kick, bd'.",
            )
        self._longest = max(map(len, self._classes))

    def label(self, path: str) -> tuple[str, bool]:
        """Return (class, whether the name is ambiguous) for a relative path.

        The file's name counts first, then its folders from the innermost outwards; the first that
        says something decides.
        """
        pure = PurePosixPath(path)
        for part in (pure.stem, *reversed(pure.parts[:-1])):
            found = self._classes_in(part)
            if found:
                return (found.pop(), False) if len(found) == 1 else ("", True)
        return "", False

    def propose(self, paths: Iterable[str]) -> Proposal:
        """Return what the rules say about many paths."""
        proposal = Proposal()
        for path in paths:
            label, ambiguous = self.label(path)
            proposal.labels[path] = label
            if ambiguous:
                proposal.ambiguous.append(path)
        return proposal

    def _classes_in(self, part: str) -> set[str]:
        words, found, place = words_of(part), set(), 0
        while place < len(words):
            for length in range(min(self._longest, len(words) - place), 0, -1):
                label = self._classes.get(tuple(words[place : place + length]))
                if label is not None:
                    found.add(label)
                    place += length - 1
                    break
            place += 1
        return found


def words_of(name: str) -> list[str]:
    """Return the words of a name, in small letters and without a plural's s."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return [word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word for word in words]


def parse_rules(lines: str | Iterable[str]) -> Rules:
    """Return the rules that lines such as ``kick: kick, bd, bass drum`` (or ``kick=kick,bd``) give.

    Raises
    ------
    DataError
        If a line has no class or no words, or a class stands twice.
    """
    rules: dict[str, tuple[str, ...]] = {}
    for line in lines.splitlines() if isinstance(lines, str) else lines:
        if not line.strip():
            continue
        label, separator, rest = line.partition(":" if ":" in line else "=")
        label, words = label.strip(), tuple(word.strip() for word in rest.split(",") if word.strip())
        if not (separator and label and words) or label in rules:
            fault = "has its class twice" if label in rules else "is no rule"
            raise DataError(f"The line '{line.strip()}' {fault}.", "Write each class once, as 'kick: kick, bd'.")
        rules[label] = words
    return tuple(rules.items())


def format_rules(rules: Sequence[tuple[str, Sequence[str]]] | Mapping[str, Sequence[str]]) -> str:
    """Return rules as lines that :func:`parse_rules` reads."""
    pairs = rules.items() if isinstance(rules, Mapping) else rules
    return "\n".join(f"{label}: {', '.join(words)}" for label, words in pairs)
