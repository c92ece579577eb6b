"""The training loop: ``fit`` runs epochs, an epoch runs steps, a step moves the weights once.

Everything random in a step comes from (seed, epoch, step), so a run that goes on from a checkpoint
repeats exactly what it would have done without the break: bit for bit on the CPU.
"""

from __future__ import annotations

import copy
import time
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from samplemind_core.audio.augment import augment, mixup
from samplemind_core.config import RunConfig, TrainConfig
from samplemind_core.errors import CheckpointError, NonFiniteLossError, StorageError
from samplemind_core.models import AudioClassifier, build_model, count_parameters
from samplemind_core.store.records import Epoch
from samplemind_core.training.averaging import MovingAverage, add_to_mean, ema_decay, measure_batch_norms
from samplemind_core.training.checkpoints import (
    CheckpointInfo,
    library_versions,
    load_tensors,
    optimizer_tensors,
    read_info,
    restore_optimizer,
    save_checkpoint,
)
from samplemind_core.training.clip_record import ClipRecord
from samplemind_core.training.device import deterministic, device_of, pick_memory_format, pick_precision
from samplemind_core.training.distributed import Alone
from samplemind_core.training.feed import Feed
from samplemind_core.training.first_weights import give_first_weights
from samplemind_core.training.graphs import LOOK_EVERY, StepGraphs, recordable
from samplemind_core.training.measuring import Judged, Totals, headline, judge, measure_epoch, probe_sample
from samplemind_core.training.monitor import WORDS, rank
from samplemind_core.training.objective import objective_for
from samplemind_core.training.observer import Observer, Outcome
from samplemind_core.training.optimizers import build_optimizer
from samplemind_core.training.places import MIXUP, epoch_order, place_chance, place_seed, seed_device
from samplemind_core.training.schedule import Plateau, planned_lr, should_stop_early
from samplemind_core.training.training_data import TrainingData, check
from samplemind_core.training.twins import twin_share
from samplemind_core.training.variants import Pool

EVAL_BATCH = 256
SAVE_LAST_EVERY_S = 5.0
NORM_CLIPS = 2_048  # at most so many clips say what batch norms see; more say the same


class Trainer:
    """One run, from its configuration to its best checkpoint.

    Parameters
    ----------
    config : RunConfig
    data : TrainingData
    folder : Path
        Where ``best.safetensors``, ``last.safetensors`` and kept epochs are written.
    observer : Observer
    device : str, optional
        Used where the configuration says ``auto``.
    record : ClipRecord, optional
        Notes what each validation clip was called in each epoch.
    group : Alone, optional
        The processes that take each step together, where there are several; each has a trainer of its own, and
        only that of the first one writes checkpoints.

    Raises
    ------
    TrainingError
        If a split is empty or the spectrograms do not have the shape that the configuration says.
    ConfigError
        If it is to start from the starter model and that does not fit.
    """

    def __init__(
        self,
        config: RunConfig,
        data: TrainingData,
        folder: Path,
        observer: Observer,
        device: str = "auto",
        record: ClipRecord | None = None,
        group: Alone | None = None,
    ) -> None:
        check(config, data)
        self.group = group or Alone()
        self.config, self.data, self.folder, self.observer, self.record = config, data, folder, observer, record
        self.device = self.group.device or device_of(config.train, device)
        self.precision = pick_precision(config.train.precision, self.device)
        self.layout = pick_memory_format(self.device)

        torch.manual_seed(config.train.seed)
        model = build_model(config.model, len(data.class_names), config.features)
        model.set_views(config.train.tta_views)
        self._beginning = give_first_weights(model, config, data.class_names, synthetic=data.synthetic)
        self.model: AudioClassifier = model.to(self.device, memory_format=self.layout)  # type: ignore[call-overload]
        averages = config.train.average == "swa" or (config.train.average == "ema" and config.train.ema_decay > 0)
        self.averaged: AudioClassifier | None = copy.deepcopy(self.model).requires_grad_(False) if averages else None
        self.moving: MovingAverage | None = None
        if self.averaged is not None and config.train.average == "ema":
            self.moving = MovingAverage(self.averaged, self.model)
        self.learner = self.group.prepare(self.model)  # the same weights, called by training steps
        self.num_averaged = 0  # epochs in the mean of SWA
        self.optimizer = build_optimizer(config.train, self.model)
        self.plateau = Plateau(config.train.plateau_factor, config.train.plateau_patience)

        self.pool = Pool(data, config.augment.variants)
        self.feed = Feed(self.pool.log_mel, self.pool.targets, self.device, copies=self.group.size)
        self.generator = torch.Generator(self.device)
        self.val_rows = torch.from_numpy(data.val_rows)
        self.probe_rows = probe_sample(data.train_rows, len(data.val_rows), config.train.seed)
        train_targets = torch.from_numpy(data.targets[data.train_rows])
        self.objective = objective_for(config.train, train_targets, len(data.class_names), self.device)
        self.steps_per_epoch = -(-len(data.train_rows) // config.train.batch_size)

        self.epoch, self.step = 1, 0  # what comes next
        self.totals = Totals()
        self._graphs: StepGraphs | None = None
        self.history: list[Epoch] = []
        self.best_epoch: int | None = None
        self.best_rank = (-float("inf"), 0.0)
        self._saved_at = time.monotonic()

    @property
    def train_config(self) -> TrainConfig:
        """How the network learns; lessons and range tests change it between steps."""
        return self.config.train

    @train_config.setter
    def train_config(self, train: TrainConfig) -> None:
        self.config = self.config.model_copy(update={"train": train})
        self._graphs = None  # they hold what the settings were

    # -- the three layers ------------------------------------------------------------------------

    def fit(self) -> Outcome:
        """Train until the last epoch, early stopping or a request to stop.

        Raises
        ------
        NonFiniteLossError
            Before the weights would be damaged.
        StorageError
            If a checkpoint cannot be written; the ones before it stay.
        """
        self.observer.on_start(self.group.describe(self.device), count_parameters(self.model))
        if self._beginning and (self.epoch, self.step) == (1, 0):
            self.observer.on_event("weights", self._beginning)
        generators = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=generators), deterministic(self.train_config.deterministic):
            if self.step == 0 and (early := self._why_stop_early()):
                return Outcome("finished", early, self.best_epoch)  # it was over when it was interrupted
            while self.epoch <= self.train_config.epochs:
                if not self.run_epoch():
                    self.save_last()
                    done = self.epoch - 1
                    return Outcome(
                        "stopped",
                        f"Stopped on request in epoch {self.epoch}; resume goes on from there."
                        if done < self.train_config.epochs
                        else "Stopped on request.",
                        self.best_epoch,
                    )
                if early := self._end_epoch():
                    self.save_last()
                    return Outcome("finished", early, self.best_epoch)
            self.save_last()
        what, where = WORDS[self.train_config.monitor]
        return Outcome(
            "finished",
            f"All {self.train_config.epochs} epochs are done; {what} was {where} in epoch {self.best_epoch}.",
            self.best_epoch,
        )

    def run_epoch(self) -> bool:
        """Run the training steps that are left of this epoch; return False if asked to stop."""
        self.model.train()
        rows = self.order(self.epoch)
        size = self.train_config.batch_size
        with closing(self.feed.batches(rows[self.step * size :], size)) as batches:
            while self.step < self.steps_per_epoch:
                if self.group.agreed(self.observer.should_stop()):
                    self.look(self.step)
                    return False
                started = time.perf_counter()
                self.take_step(*next(batches))
                self.step += 1
                saves = time.monotonic() - self._saved_at > 12 * SAVE_LAST_EVERY_S
                if saves or self.step == self.steps_per_epoch:
                    self.look(self.step)
                self.totals.seconds += time.perf_counter() - started
                self.observer.on_progress(self._progress())
                if saves:
                    self.save_last()  # an epoch that takes minutes is not lost as a whole
        return True

    def take_step(self, log_mel: Tensor, targets: Tensor) -> None:
        """Take a step in the way that is fastest here; :meth:`look` tells what steps add up to."""
        if recordable(self):
            self.graphed_step(log_mel, targets)
        else:
            self.train_step(log_mel, targets)

    def train_step(self, log_mel: Tensor, targets: Tensor) -> None:
        """Augment a batch (B, 1, n_mels, frames), measure its loss and move the weights once."""
        log_mel, targets, count, mixed, lr, decay = self._begin_step(log_mel, targets)
        loss, hits = self.measure_step(log_mel, targets, count, mixed)
        # The step's one wait for the device: the loss is checked before it is used.
        value, correct = self.group.total(torch.stack([loss.detach(), hits.to(loss.dtype)])).tolist()
        if not np.isfinite(value):
            raise self._not_finite(value, self.step, lr)
        self.learn(loss, decay)
        self.totals.add(value * count, int(correct), count)

    def graphed_step(self, log_mel: Tensor, targets: Tensor) -> None:
        """Do what :meth:`train_step` does as one recorded piece of work, without waiting for the device."""
        if self._graphs is None:
            self._graphs = StepGraphs(self)
        log_mel, targets, count, mixed, lr, decay = self._begin_step(log_mel, targets)
        self._graphs.take(log_mel, targets, count, mixed, lr, decay)
        if self._graphs.pending >= LOOK_EVERY:
            self.look(self.step + 1)

    def measure_step(self, log_mel: Tensor, targets: Tensor, count: int, mixed: bool) -> tuple[Tensor, Tensor]:
        """Return the loss of this process's part of a batch, and how many of its first ``count`` clips are right.

        Both are scalars on the device.
        """
        share = self.group.part(len(log_mel))
        own, soft_targets = self._augment(log_mel, targets, share, mixed)
        logits = self._forward(self.learner, own)
        loss = self._loss(logits, soft_targets) * (len(own) / len(log_mel))
        right = self.objective.correct(logits.mean(dim=1) if logits.ndim == 3 else logits, soft_targets)
        return loss, right[: max(0, count - share.start)].sum()

    def learn(self, loss: Tensor, decay: float | Tensor) -> None:
        """Move the weights down the slope of a loss, and their moving average after them."""
        self.optimizer.zero_grad(set_to_none=True)
        (loss * self.group.size).backward()  # type: ignore[no-untyped-call]  # gradients are averaged, parts add up
        if self.train_config.grad_clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.train_config.grad_clip)
        self.optimizer.step()
        if self.moving is not None:
            self.moving.move(decay)

    def _begin_step(self, log_mel: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, int, bool, float, float]:
        """Seed the step and set its learning rate.

        Return its batch, how many clips of it count, whether mixup blends it, the learning rate and the decay
        of the moving average.
        """
        self._reseed(self.epoch, self.step + 1)
        lr = self._lr_at(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        count = len(targets)
        if count == 1:
            # The last clip of an epoch may be alone, and a batch norm needs two points to measure: it is heard twice.
            log_mel, targets = torch.cat([log_mel, log_mel]), torch.cat([targets, targets])
        done = (self.epoch - 1) * self.steps_per_epoch + self.step
        return log_mel, targets, count, self._mixed(), lr, ema_decay(self.train_config.ema_decay, done)

    def _lr_at(self, step: int) -> float:
        """Return the learning rate of a step of this epoch, counted from 0."""
        place = (self.epoch - 1) * self.steps_per_epoch + step
        return planned_lr(self.config, place, self.steps_per_epoch) * self.plateau.scale

    def look(self, done: int) -> None:
        """Take what recorded steps add up to into the totals; ``done`` steps of the epoch are behind."""
        if self._graphs is None or not (pending := self._graphs.pending):
            return
        seen = self._graphs.look()
        if seen.bad_step is not None:
            step = done - pending + seen.bad_step
            raise self._not_finite(seen.bad_loss, step, self._lr_at(step))
        self.totals.add(seen.loss, seen.correct, seen.clips)

    def _not_finite(self, value: float, step: int, lr: float) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"The loss became {value} in epoch {self.epoch}, step {step + 1}, at learning rate {lr:.2g}.",
            "Start again with a learning rate ten times smaller, or with gradient clipping; "
            "the checkpoints up to here are unharmed.",
        )

    # -- measuring -------------------------------------------------------------------------------

    @property
    def evaluated(self) -> AudioClassifier:
        """The network that is judged and saved: the average where there is one yet."""
        if self.averaged is None or (self.train_config.average == "swa" and not self.num_averaged):
            return self.model
        if self.moving is not None:
            self.moving.settle()
        return self.averaged

    @torch.inference_mode()
    def logits(self, rows: Tensor) -> Tensor:
        """Return logits (n, num_classes) float32 on the CPU of clips in evaluation mode, unaugmented."""
        model = self.evaluated.eval()
        own = rows[self.group.part(len(rows))]
        parts = [self._forward(model, log_mel).cpu() for log_mel, _ in self.feed.batches(own, EVAL_BATCH)]
        return self.group.together(torch.cat([torch.empty(0, len(self.data.class_names)), *parts]), len(rows))

    @cached_property
    def twin_share(self) -> float:
        """Share of the validation clips that stand in training as well."""
        if self.group.rank:
            return 0.0  # only words depend on it, and only the first process says any
        return twin_share(self.data.log_mel, self.data.train_rows, self.data.val_rows)

    def _judge(self, rows: Tensor) -> Judged:
        """Return how the evaluated network does on clips."""
        return judge(self.objective, self.logits(rows), torch.from_numpy(self.data.targets[rows.numpy()]))

    def _end_epoch(self) -> str | None:
        """Measure, record and save an epoch; return why the run ends early, if it does."""
        if self.train_config.average == "swa":
            self._average_epochs()
        val, probe = self._judge(self.val_rows), self._judge(self.probe_rows)
        if not torch.isfinite(val.losses.mean()):
            raise NonFiniteLossError(
                f"Validation loss became {val.losses.mean().item()} in epoch {self.epoch}.",
                "Start again with a smaller learning rate; the checkpoints up to here are unharmed.",
            )
        epoch = measure_epoch(
            self.objective,
            self.epoch,
            self.totals,
            self.optimizer.param_groups[0]["lr"],
            val,
            probe,
            class_names=self.data.class_names,
            history=self.history,
            config=self.config,
            twin_share=self.twin_share,
        )
        self.history.append(epoch)
        self._note_clips(val)

        if (now := rank(epoch, self.train_config.monitor)) > self.best_rank:
            self.best_rank, self.best_epoch = now, epoch.epoch
            self._save("best", epoch)
        every = self.train_config.save_every
        if every and epoch.epoch % every == 0:
            self._save("epoch", epoch)
        if self.train_config.schedule == "plateau" and self.plateau.update(epoch.val_loss):
            lr = self.train_config.lr * self.plateau.scale
            self.observer.on_event("lr", f"Validation loss stalled: learning rate lowered to {lr:.2g}")

        self.epoch, self.step, self.totals = self.epoch + 1, 0, Totals()
        if time.monotonic() - self._saved_at > SAVE_LAST_EVERY_S:
            self.save_last()
        self.observer.on_epoch(epoch)
        return self._why_stop_early()

    def _why_stop_early(self) -> str | None:
        """Return why the run ends after its latest epoch, if it ends early."""
        if self.best_epoch is None:
            return None
        done = self.history[-1].epoch
        # An extension gets its own patience.
        if not should_stop_early(self.train_config, done, max(self.best_epoch, *self.config.extended_at, 0)):
            return None
        return (
            f"Stopped early in epoch {done}: {WORDS[self.train_config.monitor][0]} had not improved for "
            f"{done - self.best_epoch} epochs. The best is epoch {self.best_epoch}."
        )

    def _note_clips(self, val: Judged) -> None:
        if self.record is None:
            return
        try:
            # The loss of a clip is -log of the probability that its own label was given.
            self.record.note(self.epoch, val.logits.argmax(1).numpy(), torch.exp(-val.losses).numpy())
        except StorageError as error:
            self.record = None  # training matters more than a record of it
            self.observer.on_event("record", f"What becomes of each sample is no longer noted. {error}")

    # -- checkpoints -----------------------------------------------------------------------------

    def save_last(self) -> None:
        """Write ``last.safetensors``: everything that going on needs."""
        if self.group.rank:
            return
        if not all(bool(weight.isfinite().all()) for weight in self.model.parameters()):
            # The loss before the latest step was a number, its slope was not: the checkpoint before it stays.
            raise self._not_finite(float("nan"), self.step, self._lr_at(max(0, self.step - 1)))
        tensors, values = optimizer_tensors(self.optimizer)
        tensors |= {f"model.{name}": tensor for name, tensor in self.evaluated.state_dict().items()}
        if self.evaluated is not self.model:
            tensors |= {f"raw.{name}": tensor for name, tensor in self.model.state_dict().items()}
        state = {
            "epoch": self.epoch,
            "step": self.step,
            "totals": vars(self.totals),
            "plateau": self.plateau.state(),
            "optimizer": values,
            "best_epoch": self.best_epoch,
            "num_averaged": self.num_averaged,
            "history": [epoch.as_dict() for epoch in self.history],
        }
        latest = self.history[-1] if self.history else None
        path = self.folder / "last.safetensors"
        num_bytes = save_checkpoint(path, tensors, self._info(latest, state))
        self._saved_at = time.monotonic()
        if latest is not None:
            self.observer.on_checkpoint("last", latest.epoch, path, num_bytes, headline(latest))

    def restore(self, path: Path) -> None:
        """Go on from a ``last`` checkpoint.

        Raises
        ------
        CheckpointError
            If it belongs to another configuration or dataset, or cannot be read.
        """
        info = read_info(path)
        # A run may train for longer than it was meant to; what the network is stays.
        longer = {"train": info.config.train, "extended_at": info.config.extended_at}
        same_run = info.config == self.config.model_copy(update=longer)
        if (
            not info.state
            or not same_run
            or info.dataset.get("fingerprint") != self.data.description.get("fingerprint")
        ):
            raise CheckpointError(
                f"'{path.name}' does not belong to this run: its settings or its dataset differ.",
                "Start a new run instead of resuming.",
            )
        state = info.state
        self.num_averaged = state.get("num_averaged", 0)
        self.evaluated.load_state_dict(load_tensors(path, "model.", self.device))
        if self.evaluated is not self.model:
            self.model.load_state_dict(load_tensors(path, "raw.", self.device))
        restore_optimizer(self.optimizer, load_tensors(path, "optimizer.", self.device), state["optimizer"])
        self.epoch, self.step = state["epoch"], state["step"]
        self.totals = Totals(**state["totals"])
        self.plateau = Plateau(self.plateau.factor, self.plateau.patience, **state["plateau"])
        self.best_epoch = state["best_epoch"]
        self.history = [Epoch(**row | {"recall": tuple(row["recall"])}) for row in state["history"]]
        for epoch in self.history:
            if epoch.epoch == self.best_epoch:
                self.best_rank = rank(epoch, self.train_config.monitor)
        self.observer.on_resume(list(self.history))

    def _save(self, kind: Literal["best", "epoch"], epoch: Epoch) -> None:
        if self.group.rank:
            return
        name = "best" if kind == "best" else f"epoch-{epoch.epoch:04d}"
        path = self.folder / f"{name}.safetensors"
        tensors = {f"model.{name}": tensor for name, tensor in self.evaluated.state_dict().items()}
        num_bytes = save_checkpoint(path, tensors, self._info(epoch, {}))
        self.observer.on_checkpoint(kind, epoch.epoch, path, num_bytes, headline(epoch))

    def _info(self, epoch: Epoch | None, state: dict[str, Any]) -> CheckpointInfo:
        return CheckpointInfo(
            class_names=self.data.class_names,
            several_labels=self.data.several_labels,
            config=self.config,
            epoch=0 if epoch is None else epoch.epoch,
            metrics={} if epoch is None else headline(epoch),
            dataset=self.data.description,
            num_parameters=count_parameters(self.model),
            versions=library_versions(),
            state=state,
        )

    # -- small parts -----------------------------------------------------------------------------

    def _forward(self, model: nn.Module, log_mel: Tensor) -> Tensor:
        log_mel = log_mel.contiguous(memory_format=self.layout)
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
            logits: Tensor = model(log_mel)
        return logits.float()

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of logits (B, C), or of those of each member (B, N, C) of an ensemble."""
        if not len(logits):
            return logits.sum()  # this process has no clip of the batch
        if logits.ndim == 3:
            targets = targets.repeat_interleave(logits.shape[1], dim=0)
            logits = logits.flatten(0, 1)
        return self.objective.loss(logits, targets, self.train_config.label_smoothing)

    def _average_epochs(self) -> None:
        """Take this epoch into the mean of the last ones, and measure the batch norms that belong to it."""
        config = self.train_config
        assert self.averaged is not None
        if self.epoch <= self.config.planned_epochs * (1 - config.swa_share):
            return
        add_to_mean(self.averaged, self.model, self.num_averaged)
        self.num_averaged += 1
        rows = torch.from_numpy(self.data.train_rows)[:: -(-len(self.data.train_rows) // NORM_CLIPS)]
        measure_batch_norms(self.averaged, self._forward, (clips for clips, _ in self.feed.batches(rows, EVAL_BATCH)))

    def _mixed(self) -> bool:
        """Return whether mixup blends the batch of this step."""
        settings = self.config.augment
        in_time = self.epoch <= settings.mixup_until * self.config.planned_epochs
        chance = place_chance(self.train_config.seed, self.epoch, self.step + 1, MIXUP)
        return bool(settings.mixup_alpha) and in_time and chance < settings.mixup_share

    def _augment(self, log_mel: Tensor, targets: Tensor, share: slice, mixed: bool) -> tuple[Tensor, Tensor]:
        """Return this process's share of a batch (B, 1, n_mels, frames) with its targets, augmented."""
        settings, features = self.config.augment, self.config.features
        whole, own, own_targets = len(log_mel), log_mel[share], targets[share]
        if not settings.enabled or not len(own):
            return own, own_targets
        if mixed:
            # A clip's partner may be anywhere in the batch.
            log_mel = augment(log_mel, settings, features, self.generator)
            soft = self.objective.soft(targets, len(self.data.class_names)).to(log_mel.dtype)
            log_mel, soft = mixup(log_mel, soft, settings.mixup_alpha, self.generator)
            return log_mel[share], soft[share]
        return augment(own, settings, features, self.generator, (whole, share)), own_targets

    def order(self, epoch: int) -> Tensor:
        """Return the rows that an epoch trains on, in their order: each training clip or a variant of it."""
        balance = self.data.targets[self.data.train_rows] if self.train_config.class_balance == "sampler" else None
        rows = epoch_order(torch.from_numpy(self.data.train_rows), self.train_config.seed, epoch, balance)
        return self.pool.drawn(rows, self.train_config.seed, epoch)

    def _reseed(self, *place: int) -> None:
        seed = place_seed(self.train_config.seed, *place)
        seed_device(self.device, seed)  # dropout
        self.generator.manual_seed(seed)  # augmentation

    def _progress(self) -> dict[str, Any]:
        totals, config = self.totals, self.train_config
        done = (self.epoch - 1) * self.steps_per_epoch + self.step
        per_step = (sum(epoch.seconds for epoch in self.history) + totals.seconds) / max(1, done)
        return {
            "epoch": self.epoch,
            "epochs": config.epochs,
            "step": self.step,
            "steps": self.steps_per_epoch,
            "clips_per_s": totals.clips / max(totals.seconds, 1e-9),
            "eta_s": per_step * (config.epochs * self.steps_per_epoch - done),
        }
