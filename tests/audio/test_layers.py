from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from samplemind_core.audio.layers import LATEST_S, PEAK, QUIETEST_DB, layered_hit, layered_hits
from samplemind_core.audio.synth import CLASS_NAMES, NUM_KITS, voice


def test_hits_are_the_same_whenever_they_are_made():
    first = list(layered_hits(6, seed=3))
    for index, hit in enumerate(first):
        again = layered_hit(index, seed=3)
        np.testing.assert_array_equal(hit.waveform, again.waveform)
        assert hit.labels == again.labels
    assert layered_hit(0, seed=4).waveform.shape != first[0].waveform.shape or not np.array_equal(
        layered_hit(0, seed=4).waveform, first[0].waveform
    )


def test_hits_are_sounds_with_one_to_three_labels_of_one_kit():
    hits = list(layered_hits(72))
    assert {len(hit.labels) for hit in hits} == {1, 2, 3}
    assert Counter(label for hit in hits for label in hit.labels).keys() == set(CLASS_NAMES)
    assert len({hit.source for hit in hits}) == NUM_KITS
    for hit in hits:
        assert hit.waveform.dtype == np.float32
        assert np.abs(hit.waveform).max() == pytest.approx(PEAK, rel=1e-6)
        assert tuple(sorted(hit.labels)) == hit.labels


def test_layers_are_the_kits_own_voices():
    index = next(number for number in range(50) if len(layered_hit(number).labels) == 2)
    hit = layered_hit(index)
    parts = [voice(CLASS_NAMES.index(label), index).waveform for label in hit.labels]
    room = round(LATEST_S * hit.sample_rate_hz)
    # Some pair of starts and levels gives the mix back: least squares over shifts of one against the other.
    columns = []
    best = np.inf
    for lead in range(-room, room + 1):
        length = len(hit.waveform)
        columns = [np.zeros(length), np.zeros(length)]
        for place, (part, start) in enumerate(zip(parts, (max(0, lead), max(0, -lead)), strict=True)):
            kept = part[: length - start]
            columns[place][start : start + len(kept)] = kept
        matrix = np.stack(columns, axis=1)[:4_000]
        gains, *_ = np.linalg.lstsq(matrix, hit.waveform[:4_000], rcond=None)
        error = float(np.square(matrix @ gains - hit.waveform[:4_000]).sum())
        if error < best:
            best, found = error, gains
    assert best < 1e-6
    peaks = [gain * np.abs(part).max() for gain, part in zip(found, parts, strict=True)]
    difference_db = 20 * np.log10(max(peaks) / min(peaks))
    assert difference_db <= -QUIETEST_DB + 1e-3
