from __future__ import annotations

import hashlib
import struct

import numpy as np
import pytest

from samplemind_core.audio.content_hash import NEWEST, ContentHash, HashKind, kind_of

RNG = np.random.default_rng(0)


def hashed(blocks: list[np.ndarray], kind: HashKind = NEWEST, rate: int = 44_100) -> str:
    content_hash = ContentHash(kind, rate, blocks[0].shape[1])
    for block in blocks:
        content_hash.update(block)
    return content_hash.text


@pytest.mark.parametrize("kind", ["blake3", "sha256"])
def test_blocks_do_not_matter_but_samples_rate_and_channels_do(kind: HashKind) -> None:
    samples = RNG.normal(size=(1_000, 2)).astype(np.float32)
    whole = hashed([samples], kind)
    assert hashed([samples[:300], samples[300:300], np.asfortranarray(samples[300:])], kind) == whole
    assert kind_of(whole) == kind
    assert len(whole) <= 64
    others = [
        hashed([samples[:-1]], kind),
        hashed([samples], kind, 48_000),
        hashed([samples.reshape(-1, 1)], kind),
        hashed([samples + np.float32(1e-7)], kind),
    ]
    assert len({whole, *others}) == 5


def test_what_was_hashed_by_earlier_versions_has_the_same_hash_still() -> None:
    samples = RNG.normal(size=(50, 1)).astype(np.float32)
    expected = hashlib.sha256(struct.pack("<QQ", 44_100, 1) + samples.tobytes()).hexdigest()
    assert hashed([samples], "sha256") == expected
