"""From files to confidence scores, with the checkpoint's own front end."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from samplemind_core.audio.features import LogMel, put_together
from samplemind_core.audio.listeners import listeners
from samplemind_core.evaluation.metrics import softmax
from samplemind_core.inference.hearing import Heard, Item, hear, lost
from samplemind_core.inference.novelty import Taps, product
from samplemind_core.inference.table import NONE
from samplemind_core.inference.trust import Trust, read_trust, see
from samplemind_core.models import AudioClassifier
from samplemind_core.models.folding import folded
from samplemind_core.ranking import sigmoid
from samplemind_core.settings import Limits
from samplemind_core.store.records import joined
from samplemind_core.training.checkpoints import CheckpointInfo, load_model
from samplemind_core.training.device import pick_device, pick_memory_format

BATCH = 64
AHEAD = 3
"""Batches that are decoded or wait for the network at any time."""
NUM_NEAREST = 3


@dataclass(frozen=True)
class Result:
    """What the network says of one file, or why it could not be heard.

    ``probs`` are the confidences of all classes by name; with ``none``, the probability that the
    sound is like nothing in the library, they add up to 1. ``label`` is the largest of all,
    :data:`NONE` included, and ``confidence`` its share. ``none`` is None where the checkpoint has
    not been measured; then ``prediction_set`` and ``nearest`` are empty.

    ``prediction_set`` are the classes among which the right one is, in ``coverage`` of the cases;
    ``nearest`` the training clips that the network finds most alike. ``undecided`` says that the
    confidence is below the operating point that was chosen for the checkpoint.

    A checkpoint that names several labels gives each class a confidence of its own, which add up to
    nothing in particular; ``labels`` are the classes that reach their ``thresholds``, the surest first.
    ``label`` and ``confidence`` are then those of the surest of them, :data:`NONE` and None without any.

    ``window_s`` is the
    part of the file that was analysed. ``waveform`` (T,) float32 at ``sample_rate_hz`` and
    ``log_mel`` (n_mels, frames) in dB are kept where asked for. ``seconds`` is the time spent on this file.
    """

    name: str
    label: str | None = None
    confidence: float | None = None
    probs: dict[str, float] = field(default_factory=dict)
    none: float | None = None
    prediction_set: tuple[str, ...] = ()
    coverage: float | None = None
    nearest: tuple[Nearest, ...] = ()
    undecided: bool = False
    labels: tuple[str, ...] = ()
    thresholds: dict[str, float] = field(default_factory=dict)
    error: str | None = None
    duration_s: float | None = None
    window_s: tuple[float, float] | None = None
    seconds: float = 0.0
    sample_rate_hz: int | None = None
    waveform: npt.NDArray[np.float32] | None = None
    log_mel: npt.NDArray[np.float32] | None = None

    @property
    def is_none(self) -> bool:
        """Whether the answer is that the sound is none of the classes."""
        if self.several_labels:
            return not self.labels
        return self.none is not None and self.none > max(self.probs.values(), default=0.0)

    @property
    def several_labels(self) -> bool:
        """Whether each class was answered by itself."""
        return bool(self.thresholds)

    @property
    def shown_label(self) -> str:
        """The answer as one text: the label, or all of several."""
        return joined(self.labels) or self.label or ""

    def answers(self) -> dict[str, float]:
        """Return the confidence of every answer, :data:`NONE` at the end where the checkpoint can say it."""
        return self.probs if self.none is None else {**self.probs, NONE: self.none}

    def ranked(self) -> list[tuple[str, float]]:
        """Return every answer with its confidence, the surest first."""
        return sorted(self.answers().items(), key=lambda answer: -answer[1])

    def as_dict(self) -> dict[str, Any]:
        """Return the result without its signals, as JSON-ready values."""
        if self.error is not None:
            return {"path": self.name, "error": self.error}
        plain: dict[str, Any] = {
            "path": self.name,
            "label": self.label,
            "confidence": self.confidence,
            "probs": self.probs,
        }
        if self.several_labels:
            plain |= {"labels": list(self.labels), "thresholds": self.thresholds}
        if self.none is not None:
            plain |= {"none": self.none, "prediction_set": list(self.prediction_set), "coverage": self.coverage}
            plain["nearest"] = [near.clip_id for near in self.nearest]
        return plain | ({"undecided": True} if self.undecided else {})


@dataclass(frozen=True)
class Nearest:
    """A training clip that the network finds alike; ``similarity`` is a cosine, 1 for the same direction."""

    clip_id: int
    label: str
    similarity: float


@dataclass(frozen=True, eq=False)
class Judgement:
    """Answers for windows; row ``i`` of every array is the same window.

    ``probs`` (B, C) and ``none`` (B,) add up to 1 unless the checkpoint names several labels. ``none`` is
    None, and the last three are empty, where the checkpoint has no trust. ``inside`` (B, C) bool is the
    prediction set; ``near`` (B, K) are rows of the trust's references, ``similarity`` (B, K) their
    cosines; ``log_mel`` (B, n_mels, frames).
    """

    probs: npt.NDArray[np.float64]
    none: npt.NDArray[np.float64] | None
    inside: npt.NDArray[np.bool_]
    near: npt.NDArray[np.int64]
    similarity: npt.NDArray[np.float64]
    log_mel: npt.NDArray[np.float32]


class _Sharing:
    """Half of torch's threads for the network while the next files are decoded, in any number of streams at once.

    With a thread per core beside the decoders, every operation waits for a core that is busy decoding:
    on two cores a folder took twice as long. torch keeps one number for threads that are yet to
    start, so the first stream remembers it and the last one puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 1

    @contextmanager
    def threads(self, decoding: bool) -> Iterator[None]:
        if not decoding:  # one upload, or the last of many
            yield
            return
        with self._lock:
            if self._inside == 0:
                self._before = torch.get_num_threads()
            self._inside += 1
            torch.set_num_threads(max(1, self._before // 2))
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                # Of this thread at any rate; what threads to come are given is right after the last stream.
                torch.set_num_threads(self._before)


_SHARING = _Sharing()


class Classifier:
    """A checkpoint ready to name sounds.

    A file gets the same probabilities alone and in a batch (to 1e-5), on the page, the command
    line and here.
    """

    def __init__(
        self,
        model: AudioClassifier,
        info: CheckpointInfo,
        device: torch.device,
        limits: Limits,
        trust: Trust | None = None,
    ) -> None:
        self.model, self.info, self.device, self.limits, self.trust = model, info, device, limits, trust
        self.front_end = LogMel(info.features).to(device)
        self._layout = pick_memory_format(device)
        # What answers is a copy with fewer steps; whoever explains or explores finds the network as it was trained.
        self._network = folded(model).to(memory_format=self._layout)  # type: ignore[call-overload]
        self._taps = Taps(self._network)
        self._references = None if trust is None else trust.references.astype(np.float32)

    @classmethod
    def load(cls, path: Path, device: str = "auto", limits: Limits | None = None) -> Classifier:
        """Return the classifier of a checkpoint file, with the trust that is kept beside it.

        Raises
        ------
        CheckpointError
            If the file is missing, damaged or not a checkpoint.
        ConfigError
            If there is no such device.
        """
        where = pick_device(device)
        model, info = load_model(Path(path), where)
        trust = read_trust(Path(path), model, info)
        model = model.to(memory_format=pick_memory_format(where))  # type: ignore[call-overload]
        return cls(model, info, where, limits or Limits(), trust)

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

    def stream(
        self, items: Iterable[Item], *, keep_signals: bool = False, expected: int | None = None
    ) -> Iterator[Result]:
        """Yield results in order as batches are done; memory does not grow with the number of files.

        ``expected`` is how many files there are, where that is known: thousands are heard by processes.
        """
        source = iter(items)
        hearing = partial(
            hear,
            features=self.info.features,
            limits=self.limits,
            spectrograms=self.device.type == "cpu",
            keep_waveforms=keep_signals,
        )
        batches = iter(lambda: list(islice(source, BATCH)), [])
        every = listeners().stream(hearing, batches, lost, ahead=AHEAD, expected=expected)
        with closing(every):  # at once where whoever asked wants no more
            for heard, decoding in every:
                yield from self._judge(heard, keep_signals, decoding)

    @property
    def answer_names(self) -> tuple[str, ...]:
        """What an answer may be: the classes, and :data:`NONE` at the end where that can be said."""
        return self.class_names if self.trust is None else (*self.class_names, NONE)

    @property
    def can_refuse(self) -> bool:
        """Whether the checkpoint can say that a sound is none of its classes."""
        return self.trust is not None

    @property
    def thresholds(self) -> npt.NDArray[np.float64] | None:
        """From which confidence on each class (C,) is named; None where a sound is given one label."""
        return np.array(self.info.thresholds) if self.info.several_labels else None

    @property
    def temperature(self) -> float:
        """What the logits are divided by."""
        return self.info.temperature if self.trust is None else self.trust.temperature

    def judge(self, windows: npt.NDArray[np.float32]) -> Judgement:
        """Return the answers for windows (B, num_samples)."""
        with torch.inference_mode():
            return self.judge_log_mel(self.front_end(torch.from_numpy(windows).to(self.device)))

    def judge_log_mel(self, log_mel: torch.Tensor) -> Judgement:
        """Return the answers for spectrograms (B, 1, n_mels, frames)."""
        seen = see(self._network, self._taps, log_mel, self._layout)
        picture = log_mel[:, 0].cpu().numpy()
        probs = sigmoid(seen.logits) if self.info.several_labels else softmax(seen.logits / self.temperature)
        if self.trust is None:
            nothing = np.zeros((len(log_mel), 0))
            return Judgement(probs, None, nothing.astype(bool), nothing.astype(np.int64), nothing, picture)
        none = self.trust.novelty.none(seen.looks)
        near, similarity = self._nearest(seen.embeddings)
        inside = self.trust.sets.sets(probs)
        return Judgement(probs * (1.0 - none[:, None]), none, inside, near, similarity, picture)

    def scores(self, windows: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return the confidence of each of ``answer_names`` (B, A) for windows (B, num_samples)."""
        judged = self.judge(windows)
        return judged.probs if judged.none is None else np.column_stack([judged.probs, judged.none])

    def probabilities(
        self, windows: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float32]]:
        """Return probabilities (B, num_classes) and log_mel (B, n_mels, frames) of windows (B, num_samples).

        These are the classes among themselves: they add up to 1, whatever the sound is, unless the
        checkpoint names several labels.
        """
        judged = self.judge(windows)
        if self.info.several_labels:
            return judged.probs, judged.log_mel
        return judged.probs / judged.probs.sum(axis=1, keepdims=True), judged.log_mel

    def _nearest(self, embeddings: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
        assert self._references is not None
        directions = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
        cosines = product(directions.astype(np.float32), self._references.T)
        near = np.argsort(-cosines, axis=1, kind="stable")[:, :NUM_NEAREST]
        return near, np.take_along_axis(cosines, near, axis=1).astype(np.float64)

    def _judge(self, batch: Sequence[Heard], keep_signals: bool, decoding: bool) -> list[Result]:
        good = [(heard.signal, heard.silence_db) for heard in batch if heard.signal is not None]
        started = time.perf_counter()
        judged = None
        if good:
            with _SHARING.threads(decoding):
                if self.device.type == "cpu":
                    log_mel = np.empty((len(good), *self.info.features.shape), np.float32)
                    for place, parts in enumerate(good):
                        put_together(*parts, out=log_mel[place, 0])
                    judged = self.judge_log_mel(torch.from_numpy(log_mel))
                else:
                    judged = self.judge(np.stack([window for window, _ in good]))
        share = (time.perf_counter() - started) / max(1, len(good))
        results, row = [], 0
        for heard in batch:
            if heard.signal is None or judged is None:
                results.append(Result(heard.name, error=heard.error, seconds=heard.seconds))
                continue
            results.append(self._result(heard, judged, row, heard.seconds + share, keep_signals))
            row += 1
        return results

    def _labelled(self, heard: Heard, judged: Judgement, row: int, seconds: float, keep_signals: bool) -> Result:
        """Return the result of a checkpoint that names several labels."""
        probs = {name: float(share) for name, share in zip(self.class_names, judged.probs[row], strict=True)}
        thresholds = dict(zip(self.class_names, self.info.thresholds, strict=True))
        labels = tuple(
            sorted((name for name in probs if probs[name] >= thresholds[name]), key=lambda name: -probs[name])
        )
        return self._heard_result(
            heard,
            judged,
            row,
            seconds,
            keep_signals,
            label=labels[0] if labels else NONE,
            confidence=probs[labels[0]] if labels else None,
            probs=probs,
            labels=labels,
            thresholds=thresholds,
        )

    def _heard_result(
        self, heard: Heard, judged: Judgement, row: int, seconds: float, keep_signals: bool, **answer: Any
    ) -> Result:
        """Return an answer with what is known of its sound."""
        return Result(
            name=heard.name,
            duration_s=heard.duration_s,
            window_s=(heard.start_s, min(heard.duration_s, heard.start_s + self.info.features.duration_s)),
            seconds=seconds,
            sample_rate_hz=self.info.features.sample_rate_hz,
            waveform=heard.waveform if keep_signals else None,
            log_mel=judged.log_mel[row] if keep_signals else None,
            **answer,
        )

    def _result(self, heard: Heard, judged: Judgement, row: int, seconds: float, keep_signals: bool) -> Result:
        if self.info.several_labels:
            return self._labelled(heard, judged, row, seconds, keep_signals)
        shares = judged.probs[row].tolist()
        probs: dict[str, float] = dict(zip(self.class_names, shares, strict=True))
        none = None if judged.none is None else float(judged.none[row])
        label = max(probs, key=lambda name: probs[name])
        confidence = probs[label]
        # The operating point was chosen for the classes among themselves.
        sure = confidence / sum(probs.values())
        refused = none is not None and none > confidence
        if none is not None and refused:
            label, confidence = NONE, none
        members = np.flatnonzero(judged.inside[row]).tolist()  # of the prediction set; none without trust
        inside = tuple(self.class_names[i] for i in sorted(members, key=lambda i: -shares[i]))
        below = self.info.refuse_below
        return self._heard_result(
            heard,
            judged,
            row,
            seconds,
            keep_signals,
            label=label,
            confidence=confidence,
            probs=probs,
            none=none,
            prediction_set=inside,
            coverage=None if self.trust is None else self.trust.sets.coverage,
            nearest=self._evidence(judged.near[row], judged.similarity[row]),
            undecided=below is not None and not refused and sure < below,
        )

    def _evidence(self, rows: npt.NDArray[np.int64], cosines: npt.NDArray[np.float64]) -> tuple[Nearest, ...]:
        trust = self.trust
        if trust is None:
            return ()
        return tuple(
            Nearest(int(trust.clip_ids[row]), self.class_names[int(trust.targets[row])], cosine)
            for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
        )
