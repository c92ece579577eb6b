from __future__ import annotations

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile as sf
import torch

from samplemind_core.config import FeatureConfig, ModelConfig, RunConfig
from samplemind_core.inference import classifier as module
from samplemind_core.inference.classifier import Classifier
from samplemind_core.inference.hearing import hear
from samplemind_core.models import build_model
from samplemind_core.settings import Limits
from samplemind_core.training.checkpoints import CheckpointInfo, save_checkpoint

NAMES = ("hihat", "kick", "snare")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = RunConfig(features=FeatureConfig(n_mels=32, duration_s=0.5), model=ModelConfig(width=0.5))
    model = build_model(config.model, 3, config.features)
    path = tmp_path_factory.mktemp("checkpoint") / "best.safetensors"
    info = CheckpointInfo(class_names=NAMES, config=config, epoch=1, metrics={}, dataset={}, num_parameters=1)
    save_checkpoint(path, {f"model.{name}": value for name, value in model.state_dict().items()}, info)
    return path


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint, device="cpu")


def sound(seconds: float = 0.3, rate: int = 44_100, seed: int = 0) -> bytes:
    buffer = io.BytesIO()
    sf.write(buffer, np.random.default_rng(seed).uniform(-0.5, 0.5, int(seconds * rate)), rate, format="WAV")
    return buffer.getvalue()


def test_a_file_gets_a_confidence_for_every_class(classifier: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(sound())
    (result,) = classifier.predict([path], keep_signals=True)
    assert set(result.probs) == set(NAMES)
    assert sum(result.probs.values()) == pytest.approx(1)
    assert result.confidence == max(result.probs.values()) == result.probs[result.label]
    assert result.duration_s == pytest.approx(0.3, abs=1e-3)
    assert result.window_s == (0.0, pytest.approx(0.3, abs=1e-3))
    assert result.log_mel.shape == (32, classifier.info.features.frames)
    assert len(result.waveform) == pytest.approx(0.3 * 22_050, abs=2)
    assert result.seconds > 0


def test_alone_in_a_batch_by_path_or_bytes_the_answer_is_the_same(classifier: Classifier, tmp_path: Path) -> None:
    items, alone = [], []
    for number in range(40):
        content = sound(0.05 + 0.03 * number, rate=8_000 + 500 * number, seed=number)
        path = tmp_path / f"{number}.wav"
        path.write_bytes(content)
        items.append(path if number % 2 else (path.name, content))
        alone.append(classifier.predict([path])[0])
    together = classifier.predict(items)
    for a, b in zip(alone, together, strict=True):
        assert a.label == b.label
        for name in NAMES:
            assert a.probs[name] == pytest.approx(b.probs[name], abs=1e-5)


def test_a_bad_file_gets_its_reason_and_the_others_their_answer(classifier: Classifier, tmp_path: Path) -> None:
    items = [
        ("good.wav", sound()),
        ("bad.wav", b"not audio"),
        ("empty.wav", b""),
        tmp_path / "none.wav",
        ("ok.wav", sound()),
    ]
    results = classifier.predict(items)
    assert [result.error is None for result in results] == [True, False, False, False, True]
    assert [result.name for result in results][:3] == ["good.wav", "bad.wav", "empty.wav"]
    for result in results[1:4]:
        assert result.label is None
        assert result.as_dict() == {"path": result.name, "error": result.error}


def test_long_files_are_judged_by_their_loudest_window(classifier: Classifier) -> None:
    rate = 22_050
    waveform = np.zeros(rate * 4)
    waveform[rate * 3 : rate * 3 + 2_000] = 0.8
    buffer = io.BytesIO()
    sf.write(buffer, waveform, rate, format="WAV")
    (result,) = classifier.predict([("long.wav", buffer.getvalue())])
    start, end = result.window_s
    assert start <= 3.0 < end
    assert end - start == pytest.approx(0.5, abs=1e-3)


def test_limits_are_kept(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint, device="cpu", limits=Limits(max_clip_s=0.1))
    (result,) = classifier.predict([("long.wav", sound(0.3))])
    assert result.error is not None
    assert "0.1" in result.error


def test_temperature_softens_without_changing_the_answer(checkpoint: Path) -> None:
    sharp, soft = Classifier.load(checkpoint, device="cpu"), Classifier.load(checkpoint, device="cpu")
    soft.info = soft.info.model_copy(update={"temperature": 5.0})
    a, b = sharp.predict([("a.wav", sound())])[0], soft.predict([("a.wav", sound())])[0]
    assert a.label == b.label
    assert b.confidence < a.confidence


def test_nothing_in_nothing_out(classifier: Classifier) -> None:
    assert classifier.predict([]) == []


def test_results_come_in_order_as_they_are_ready(classifier: Classifier) -> None:
    taken: list[int] = []

    def items():
        for number in range(400):
            taken.append(number)
            yield (f"{number}.wav", sound(0.05, seed=number))

    stream = classifier.stream(items())
    assert next(stream).name == "0.wav"
    assert len(taken) < 400  # not read to the end before the first answer
    assert [result.name for result in stream] == [f"{number}.wav" for number in range(1, 400)]


def test_torch_has_half_its_threads_while_files_are_decoded(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torch.get_num_threads()
    judge, during = classifier.judge_log_mel, []
    first_is_judged = threading.Event()

    def patient(items: Sequence[tuple[str, bytes]], **others: Any) -> object:
        assert items[0][0] == "first.wav" or first_is_judged.wait(60)
        return hear(items, **others)

    def watch(log_mel: torch.Tensor) -> object:
        during.append(torch.get_num_threads())
        first_is_judged.set()
        return judge(log_mel)

    monkeypatch.setattr(module, "hear", patient)
    monkeypatch.setattr(module, "BATCH", 1)
    torch.set_num_threads(4)
    try:
        monkeypatch.setattr(classifier, "judge_log_mel", watch)
        classifier.predict([("first.wav", sound()), ("last.wav", sound(seed=1))])
        assert during == [2, 4]
        assert torch.get_num_threads() == 4
        first_is_judged.clear()
        monkeypatch.setattr(classifier, "judge_log_mel", lambda log_mel: (first_is_judged.set(), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            classifier.predict([("first.wav", sound()), ("last.wav", sound())])
        assert torch.get_num_threads() == 4
    finally:
        torch.set_num_threads(before)
