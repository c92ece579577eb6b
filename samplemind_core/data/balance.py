"""How clips, sample rates and levels spread over classes and sources, and which of it a network could misuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from samplemind_core.audio.decode import printable
from samplemind_core.data.findings import Finding
from samplemind_core.data.grouping import clip_id
from samplemind_core.data.profile import Profiles
from samplemind_core.data.sources import counted
from samplemind_core.store.records import Clip

SMALL_CLASS, FEW_SOURCES = 10, 3
UNBALANCED, VERY_UNBALANCED = 4.0, 10.0
ONE_CLASS_CLIPS = 5
LARGE_ETA2 = 0.14
"""Share of variance between classes from which a difference is large (J. Cohen, "Statistical Power Analysis", 1988)."""

LEAST_DB = 1.0
"""Difference of median levels below which nothing is said: collections that were normalised differ by rounding."""

LARGE_V = 0.3
MAX_P = 0.01
_EXAMPLES = 5


def class_findings(clips: Sequence[Clip]) -> list[Finding]:
    """Return what is odd about how clips spread over classes and sources; clips are labelled and in a split."""
    found = []
    counts = Counter(label for clip in clips for label in clip.class_labels)
    sources: dict[str, set[str]] = {}
    classes: dict[str, Counter[str]] = {}
    for clip in clips:
        for label in clip.class_labels:
            sources.setdefault(label, set()).add(clip.source)
            classes.setdefault(clip.source, Counter())[label] += 1
    small = sorted(name for name in counts if counts[name] < SMALL_CLASS or len(sources[name]) < FEW_SOURCES)
    if small:
        listed = "; ".join(
            f"{printable(name)}: {counted(counts[name], 'clip')} from {counted(len(sources[name]), 'source')}"
            for name in small[:_EXAMPLES]
        )
        inside = [clip for clip in clips if not set(small).isdisjoint(clip.class_labels)]
        found.append(
            Finding(
                "small_class",
                "warning",
                f"{counted(len(small), 'class')} too small to be judged",
                f"{listed}. Below {SMALL_CLASS} clips or {FEW_SOURCES} sources every figure of a class is chance. "
                "Clips from further packs help most.",
                "keep",
                subjects=tuple(small),
                clips=tuple(clip_id(clip) for clip in inside),
                evidence=tuple(f"class {printable(clip.shown_label)}" for clip in inside),
            )
        )
    if len(counts) > 1:
        (most, largest), (least, smallest) = counts.most_common()[0], counts.most_common()[-1]
        ratio = largest / smallest
        if ratio >= UNBALANCED:
            several = any(clip.labels for clip in clips)
            look = "the mean over labels and at each label" if several else "balanced accuracy and at each class"
            found.append(
                Finding(
                    "unbalanced",
                    "warning" if ratio >= VERY_UNBALANCED else "note",
                    f"The largest class has {ratio:.0f} times the clips of the smallest",
                    f"'{printable(most)}' has {largest:,} clips, '{printable(least)}' {smallest:,}. A network leans "
                    f"towards large classes; look at {look}.",
                    "keep",
                    subjects=(most, least),
                )
            )
    single = sorted(
        (name for name, inside in classes.items() if len(inside) == 1 and inside.total() >= ONE_CLASS_CLIPS),
        key=lambda name: -classes[name].total(),
    )
    if single and len(counts) > 1:
        inside = [clip for name in single for clip in clips if clip.source == name]
        found.append(
            Finding(
                "one_class_source",
                "warning" if len(inside) > len(clips) / 2 else "note",
                f"{counted(len(single), 'source')} with clips of only one class",
                f"{100 * len(inside) / len(clips):.0f} % of the clips come from sources that hold one class. A "
                "network can take the sound of such a pack or recording for the class itself. Packs of several "
                "classes help.",
                "keep",
                tuple(clip_id(clip) for clip in inside),
                tuple(f"source {printable(clip.source)}, all {printable(clip.label)}" for clip in inside),
                subjects=tuple(single),
            )
        )
    return found


def difference_findings(clips: Sequence[Clip], profiles: Profiles) -> list[Finding]:
    """Return systematic differences of sample rate and level between classes, by the size of the effect."""
    labels = np.array([clip.label for clip in clips])
    found = []
    rates = profiles["sample_rate_hz"].astype(int)
    strength, p_value = association(labels, rates)
    if strength >= LARGE_V and p_value < MAX_P:
        usual = {name: int(np.bincount(rates[labels == name]).argmax()) for name in np.unique(labels)}
        odd = [row for row in range(len(clips)) if rates[row] != np.bincount(rates).argmax()]
        found.append(
            Finding(
                "sample_rate_differs",
                "warning",
                "Sample rates differ between classes",
                f"The association of class and rate is {strength:.2f} (Cramér's V, 0 to 1). A network can tell classes "
                "by where their treble ends. Most common rates: "
                + ", ".join(f"{printable(name)} {rate:,} Hz" for name, rate in sorted(usual.items())[:_EXAMPLES])
                + ".",
                "keep",
                tuple(clip_id(clips[row]) for row in odd),
                tuple(f"{rates[row]:,} Hz" for row in odd),
                subjects=tuple(sorted(usual)),
            )
        )
    heard = profiles["peak"] > 0
    eta2, p_value = variance_share(profiles.peak_db[heard], labels[heard])
    if eta2 >= LARGE_ETA2 and p_value < MAX_P:
        medians = {
            str(name): float(np.median(profiles.peak_db[heard & (labels == name)])) for name in np.unique(labels[heard])
        }
        loud, soft = max(medians, key=lambda name: medians[name]), min(medians, key=lambda name: medians[name])
        if medians[loud] - medians[soft] >= LEAST_DB:
            found.append(
                Finding(
                    "level_differs",
                    "note",
                    "Levels differ between classes",
                    f"{100 * eta2:.0f} % of the variance of peak levels lies between classes: '{printable(loud)}' "
                    f"peaks at {medians[loud]:.1f} dB, '{printable(soft)}' at {medians[soft]:.1f} dB (medians). The "
                    "spectrogram is taken relative to each clip's own maximum, so a network does not hear the "
                    "level itself, but it may hear the noise under soft recordings.",
                    "keep",
                    subjects=tuple(sorted(medians, key=lambda name: -medians[name])),
                )
            )
    return found


def association(labels: NDArray[Any], values: NDArray[Any]) -> tuple[float, float]:
    """Return Cramér's V with Bergsma's bias correction (J. Korean Stat. Soc. 42, 2013) and the chi-squared p."""
    from scipy.special import gammaincc

    kinds, a = np.unique(labels, return_inverse=True)
    others, b = np.unique(values, return_inverse=True)
    n, r, k = len(a), len(kinds), len(others)
    if n < 2 or r < 2 or k < 2:
        return 0.0, 1.0
    table = np.bincount(a * k + b, minlength=r * k).reshape(r, k).astype(np.float64)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / n
    chi2 = float((np.square(table - expected) / expected).sum())
    freedom = (r - 1) * (k - 1)
    phi2 = max(0.0, chi2 / n - freedom / (n - 1))
    limit = min(k - (k - 1) ** 2 / (n - 1), r - (r - 1) ** 2 / (n - 1)) - 1
    return float(np.sqrt(phi2 / limit)) if limit > 0 else 0.0, float(gammaincc(freedom / 2, chi2 / 2))


def variance_share(values: NDArray[np.float64], labels: NDArray[Any]) -> tuple[float, float]:
    """Return the share of variance between classes (eta squared) and the p-value of its F test."""
    from scipy.special import fdtrc

    kinds, of = np.unique(labels, return_inverse=True)
    if len(kinds) < 2 or len(values) <= len(kinds):
        return 0.0, 1.0
    counts = np.bincount(of)
    scale = float(np.abs(values).max())
    values = values - values.mean()
    between = float((counts * np.square(np.bincount(of, values) / counts)).sum())
    total = float(np.square(values).sum())
    if total <= len(values) * (1e-9 * scale) ** 2:  # values that are equal but for rounding
        return 0.0, 1.0
    first, second = len(kinds) - 1, len(values) - len(kinds)
    ratio = (between / first) / max((total - between) / second, 1e-300)
    return between / total, float(fdtrc(first, second, ratio))
