from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from samplemind_core.store import Store

WavMaker = Callable[..., bytes]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def store(root: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{root / 'samplemind.db'}")
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def wav() -> WavMaker:
    """A short sound that is different for every number."""

    def make(number: int, seconds: float = 0.05, rate: int = 8_000) -> bytes:
        noise = np.random.default_rng(number).uniform(-0.5, 0.5, round(seconds * rate))
        buffer = io.BytesIO()
        sf.write(buffer, noise, rate, format="WAV", subtype="PCM_16")
        return buffer.getvalue()

    return make


@pytest.fixture
def drums(tmp_path: Path, wav: WavMaker) -> Path:
    """Two classes of eight clips from four packs."""
    folder = tmp_path / "drums"
    for number in range(16):
        label, pack = ("kick", "snare")[number % 2], number // 2 % 4
        file = folder / label / f"pack{pack}" / f"{number:02d}.wav"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(wav(number))
    return folder


@pytest.fixture
def left_over(root: Path) -> Callable[[], list[str]]:
    """Everything under datasets/ but the lock that guards cleaning."""
    return lambda: sorted(path.name for path in (root / "datasets").iterdir() if path.name != ".cleaning.lock")
