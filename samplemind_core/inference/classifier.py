"""From files to confidence scores, with the checkpoint's own front end."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.decode import decode
from samplemind_core.audio.features import LogMel
from samplemind_core.audio.window import fit_window
from samplemind_core.errors import AudioError
from samplemind_core.models import AudioClassifier
from samplemind_core.settings import Limits
from samplemind_core.training.checkpoints import CheckpointInfo, load_model
from samplemind_core.training.device import pick_device, pick_memory_format

Item = Path | tuple[str, bytes]
DECODERS = 2
BATCH = 32


@dataclass(frozen=True)
class Result:
    """What the network says of one file, or why it could not be heard.

    ``probs`` are the confidences of all classes by name, adding up to 1; ``window_s`` is the part
    of the file that was analysed. ``waveform`` (T,) float32 at ``sample_rate_hz`` and ``log_mel``
    (n_mels, frames) in dB are kept where asked for. ``seconds`` is the time spent on this file.
    """

    name: str
    label: str | None = None
    confidence: float | None = None
    probs: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    duration_s: float | None = None
    window_s: tuple[float, float] | None = None
    seconds: float = 0.0
    sample_rate_hz: int | None = None
    waveform: npt.NDArray[np.float32] | None = None
    log_mel: npt.NDArray[np.float32] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return the result without its signals, as JSON-ready values."""
        if self.error is not None:
            return {"path": self.name, "error": self.error}
        return {"path": self.name, "label": self.label, "confidence": self.confidence, "probs": self.probs}


@dataclass(frozen=True)
class _Heard:
    name: str
    window: npt.NDArray[np.float32] | None = None
    waveform: npt.NDArray[np.float32] | None = None
    start_s: float = 0.0
    duration_s: float = 0.0
    seconds: float = 0.0
    error: str | None = None


class Classifier:
    """A checkpoint ready to name sounds.

    A file gets the same probabilities alone and in a batch (to 1e-5), on the page, the command
    line and here.
    """

    def __init__(self, model: AudioClassifier, info: CheckpointInfo, device: torch.device, limits: Limits) -> None:
        self.model, self.info, self.device, self.limits = model, info, device, limits
        self.front_end = LogMel(info.features).to(device)
        self._layout = pick_memory_format(device)

    @classmethod
    def load(cls, path: Path, device: str = "auto", limits: Limits | None = None) -> Classifier:
        """Return the classifier of a checkpoint file.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged or not a checkpoint.
        ConfigError
            If there is no such device.
        """
        where = pick_device(device)
        model, info = load_model(Path(path), where)
        model = model.to(memory_format=pick_memory_format(where))  # type: ignore[call-overload]
        return cls(model, info, where, limits or Limits())

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        return self.info.class_names

    def predict(self, items: Iterable[Item], *, keep_signals: bool = False) -> list[Result]:
        """Return one result per file, in order; a bad file gives a result with ``error`` set.

        Parameters
        ----------
        items : iterable of Path or (name, bytes)
        keep_signals : bool
            Whether results keep their waveform and log-mel spectrogram.
        """
        return list(self.stream(items, keep_signals=keep_signals))

    def stream(self, items: Iterable[Item], *, keep_signals: bool = False) -> Iterator[Result]:
        """Yield results in order as batches are done; memory does not grow with the number of files."""
        source = iter(items)
        with ThreadPoolExecutor(DECODERS) as pool:
            waiting = [pool.submit(self._hear, item) for item in islice(source, BATCH)]
            while waiting:
                # The next batch is decoded while the network looks at this one.
                following = [pool.submit(self._hear, item) for item in islice(source, BATCH)]
                yield from self._judge([future.result() for future in waiting], keep_signals)
                waiting = following

    def probabilities(
        self, windows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Return probabilities (B, num_classes) and log_mel (B, n_mels, frames) of windows (B, num_samples)."""
        with torch.inference_mode():
            log_mel = self.front_end(torch.from_numpy(windows).to(self.device))
            logits = self.model(log_mel.contiguous(memory_format=self._layout))
            probs = torch.softmax(logits.double() / self.info.temperature, dim=1)
        return probs.cpu().numpy(), log_mel[:, 0].cpu().numpy()

    def _hear(self, item: Item) -> _Heard:
        started = time.perf_counter()
        source, name = (item, str(item)) if isinstance(item, Path) else (item[1], item[0])
        features = self.info.features
        try:
            decoded = decode(source, features.sample_rate_hz, name=Path(name).name, limits=self.limits)
        except AudioError as error:
            return _Heard(name, error=str(error), seconds=time.perf_counter() - started)
        window, start = fit_window(decoded.waveform, features)
        rate = features.sample_rate_hz
        return _Heard(
            name,
            window,
            decoded.waveform,
            start / rate,
            len(decoded.waveform) / rate,
            time.perf_counter() - started,
        )

    def _judge(self, batch: Sequence[_Heard], keep_signals: bool) -> list[Result]:
        good = [heard for heard in batch if heard.window is not None]
        started = time.perf_counter()
        if good:
            probs, log_mels = self.probabilities(np.stack([heard.window for heard in good if heard.window is not None]))
        share = (time.perf_counter() - started) / max(1, len(good))
        results, place = [], 0
        for heard in batch:
            if heard.window is None:
                results.append(Result(heard.name, error=heard.error, seconds=heard.seconds))
                continue
            scores, log_mel = probs[place], log_mels[place]
            place += 1
            best = int(scores.argmax())
            end_s = min(heard.duration_s, heard.start_s + self.info.features.duration_s)
            results.append(
                Result(
                    name=heard.name,
                    label=self.class_names[best],
                    confidence=float(scores[best]),
                    probs={name: float(score) for name, score in zip(self.class_names, scores, strict=True)},
                    duration_s=heard.duration_s,
                    window_s=(heard.start_s, end_s),
                    seconds=heard.seconds + share,
                    sample_rate_hz=self.info.features.sample_rate_hz,
                    waveform=heard.waveform if keep_signals else None,
                    log_mel=log_mel if keep_signals else None,
                )
            )
        return results
