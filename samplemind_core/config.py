"""Every setting of a run, said once: its unit, range, default and one line of help.

Forms, command-line flags, stored runs and checkpoints all derive from these models. They are
frozen, hashable by :func:`fingerprint`, and reject unknown names; all faults of a configuration
are reported together as one :class:`~samplemind_core.errors.ConfigError`.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from samplemind_core.errors import ConfigError


def _known_device(name: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:[0-9]+)?", name):
        raise ValueError("should be auto, cpu, mps, cuda or cuda:N")
    return name


DeviceName = Annotated[str, AfterValidator(_known_device)]
"""``auto``, ``cpu``, ``mps``, ``cuda`` or ``cuda:N``; whether this machine has it is asked when a run starts."""


class Config(BaseModel):
    """A frozen group of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Settings that came later and by default change nothing; :func:`fingerprint` leaves them out at their default."""


class FeatureConfig(Config):
    """How a waveform becomes a log-mel spectrogram of shape (1, n_mels, frames)."""

    LATER: ClassVar[frozenset[str]] = frozenset({"align"})

    sample_rate_hz: Annotated[int, Field(ge=4_000, le=96_000)] = Field(
        22_050, description="Rate that every clip is resampled to, in Hz."
    )
    duration_s: Annotated[float, Field(ge=0.05, le=30.0)] = Field(
        2.0, description="Length of the window the network sees, in seconds; shorter clips are padded at the end."
    )
    crop: Literal["loudest", "start"] = Field(
        "loudest", description="Which part of a longer clip is kept: its loudest window or its start."
    )
    align: Literal["none", "onset"] = Field(
        "none",
        description="Where the window starts: where the file or the crop does (none), or 5 ms before the first sound "
        "within 40 dB of the peak (onset), so that leading silence makes no difference.",
    )
    n_fft: Annotated[int, Field(ge=64, le=16_384)] = Field(2_048, description="STFT window length, in samples.")
    hop_length: Annotated[int, Field(ge=16, le=8_192)] = Field(512, description="Step between STFT frames, in samples.")
    n_mels: Annotated[int, Field(ge=8, le=256)] = Field(128, description="Number of Slaney mel bands.")
    fmin_hz: Annotated[float, Field(ge=0.0, le=20_000.0)] = Field(0.0, description="Lowest mel band edge, in Hz.")
    fmax_hz: Annotated[float, Field(gt=0.0, le=48_000.0)] | None = Field(
        None, description="Highest mel band edge, in Hz; empty means half the sample rate."
    )
    top_db: Annotated[float, Field(ge=20.0, le=160.0)] = Field(
        80.0, description="Range kept below the clip's own maximum, in dB."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        nyquist = self.sample_rate_hz / 2
        if self.fmax_hz is not None and self.fmax_hz > nyquist:
            raise ValueError(f"fmax_hz must be at most half the sample rate ({nyquist:g} Hz), got {self.fmax_hz:g}")
        if self.fmin_hz >= self.max_hz:
            raise ValueError(f"fmin_hz must be below fmax_hz ({self.max_hz:g} Hz), got {self.fmin_hz:g}")
        if self.n_fft % 2:
            raise ValueError(f"n_fft must be even, got {self.n_fft}")
        if self.hop_length > self.n_fft:
            raise ValueError(f"hop_length must be at most n_fft ({self.n_fft}), got {self.hop_length}")
        return self

    @property
    def max_hz(self) -> float:
        """Highest mel band edge, in Hz."""
        return self.sample_rate_hz / 2 if self.fmax_hz is None else self.fmax_hz

    @property
    def num_samples(self) -> int:
        """Length of the analysed window, in samples."""
        return round(self.duration_s * self.sample_rate_hz)

    @property
    def frames(self) -> int:
        """Number of STFT frames of the analysed window (centred frames)."""
        return 1 + self.num_samples // self.hop_length

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one log-mel spectrogram: (1, n_mels, frames)."""
        return 1, self.n_mels, self.frames


class AugmentConfig(Config):
    """Random changes to training clips, made anew each epoch on the device. All off by default."""

    time_shift_ms: Annotated[float, Field(ge=0.0, le=1_000.0)] = Field(
        0.0, description="Largest shift in time, earlier or later, in ms."
    )
    freq_shift_bins: Annotated[int, Field(ge=0, le=16)] = Field(
        0, description="Largest shift along frequency, up or down, in mel bands."
    )
    freq_mask_bins: Annotated[int, Field(ge=0, le=64)] = Field(
        0, description="Widest band of frequencies masked in a clip (SpecAugment), in mel bands."
    )
    time_mask_ms: Annotated[float, Field(ge=0.0, le=1_000.0)] = Field(
        0.0, description="Longest stretch of time masked in a clip (SpecAugment), in ms."
    )
    gain_db: Annotated[float, Field(ge=0.0, le=30.0)] = Field(
        0.0, description="Largest rise or fall of the level below the clip's maximum, in dB."
    )
    resample_semitones: Annotated[float, Field(ge=0.0, le=12.0)] = Field(
        0.0,
        description="Largest change of pitch and tempo together, up or down, in semitones, as a sampler plays keys.",
    )
    warp_semitones: Annotated[float, Field(ge=0.0, le=12.0)] = Field(
        0.0, description="Largest move of all frequencies at the same tempo, up or down, in semitones."
    )
    stretch_percent: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        0.0,
        description="Largest change of tempo at the same pitch, in percent: 25 makes up to a quarter faster or slower.",
    )
    eq_db: Annotated[float, Field(ge=0.0, le=30.0)] = Field(
        0.0, description="Largest rise or fall of a random EQ curve, in dB."
    )
    decay_db_s: Annotated[float, Field(ge=0.0, le=100.0)] = Field(
        0.0, description="Largest change of how fast sounds decay, slower or faster, in dB per second."
    )
    room_s: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        0.0, description="Longest reverberation (RT60) given to half of the clips, in seconds."
    )
    noise_snr_db: Annotated[float, Field(ge=0.0, le=120.0)] = Field(
        0.0,
        description="Least distance of the noise given to half of the clips from their maximum, in dB; 0 gives none.",
    )
    band_limit_hz: Annotated[float, Field(ge=0.0, le=48_000.0)] = Field(
        0.0, description="Lowest cutoff of the low pass that half of the clips go through, in Hz; 0 switches it off."
    )
    variants: Annotated[int, Field(ge=0, le=16)] = Field(
        0,
        description="Changed copies of each training clip's waveform, made once before the first epoch; every epoch "
        "takes the clip or one of them. The settings below say how they are changed.",
    )
    wave_pitch_semitones: Annotated[float, Field(ge=0.0, le=12.0)] = Field(
        0.0, description="Largest change of pitch and tempo together in a variant, up or down, in semitones."
    )
    wave_shift_ms: Annotated[float, Field(ge=0.0, le=500.0)] = Field(
        0.0, description="Largest shift in time of a variant, earlier or later, in ms."
    )
    wave_eq_db: Annotated[float, Field(ge=0.0, le=30.0)] = Field(
        0.0, description="Largest rise or fall of a variant's random EQ curve, in dB."
    )
    wave_drive_db: Annotated[float, Field(ge=0.0, le=40.0)] = Field(
        0.0, description="Strongest saturation of a variant: how far its peak is driven into a soft clipper, in dB."
    )
    wave_room_s: Annotated[float, Field(ge=0.0, le=5.0)] = Field(
        0.0, description="Longest reverberation (RT60) given to half of the variants, in seconds."
    )
    wave_noise_db: Annotated[float, Field(ge=0.0, le=120.0)] = Field(
        0.0,
        description="Least distance of the white noise in half of the variants from their loudest 50 ms, in dB; "
        "0 gives none.",
    )
    wave_band_limit_hz: Annotated[float, Field(ge=0.0, le=48_000.0)] = Field(
        0.0, description="Lowest cutoff of the low pass that half of the variants go through, in Hz; 0 switches it off."
    )
    wave_layer_db: Annotated[float, Field(ge=0.0, le=60.0)] = Field(
        0.0,
        description="Least distance of the second training clip laid under half of the variants, in dB; 0 lays none.",
    )
    wave_gain_db: Annotated[float, Field(ge=0.0, le=40.0)] = Field(
        0.0, description="Largest change of a variant's level, up or down, in dB; what passes full scale is cut."
    )
    mixup_alpha: Annotated[float, Field(ge=0.0, le=2.0)] = Field(
        0.0, description="Beta parameter of mixup (two clips blended, labels blended); 0 switches it off."
    )
    mixup_share: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        1.0, description="Share of the batches that mixup blends, where it is on."
    )
    mixup_until: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.8, description="Share of the epochs that use mixup; the last ones see clean clips."
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.variants and not any(
            value for name, value in self.__dict__.items() if name.startswith("wave_") and name != "wave_gain_db"
        ):
            raise ValueError(
                f"variants is {self.variants}, yet of the settings that say how to change them, "
                "wave_… except wave_gain_db, none is above 0"
            )
        return self

    def check_range(self, features: FeatureConfig) -> None:
        """Raise :class:`ConfigError` if a setting is beyond what the front end has: its range in dB, its bands."""
        for name, value, limit, unit, other in (
            ("gain_db", self.gain_db, features.top_db / 2, "dB", "half of top_db"),
            ("noise_snr_db", self.noise_snr_db, features.top_db, "dB", "top_db"),
            ("band_limit_hz", self.band_limit_hz, features.max_hz, "Hz", "the highest band"),
        ):
            if value >= limit:
                raise ConfigError(
                    f"Expected {name} below {other} ({limit:g} {unit}), got {value:g}.",
                    f"Lower {name}" + ("; 0 switches it off." if name != "gain_db" else " or raise top_db."),
                )

    @property
    def changes_sound(self) -> bool:
        """Whether anything is on that may happen to a sound before it becomes a file."""
        return any(
            (
                self.resample_semitones,
                self.warp_semitones,
                self.stretch_percent,
                self.eq_db,
                self.decay_db_s,
                self.room_s,
                self.noise_snr_db,
                self.band_limit_hz,
            )
        )

    @property
    def enabled(self) -> bool:
        """Whether any augmentation is on."""
        return self.changes_sound or any(
            (
                self.time_shift_ms,
                self.freq_shift_bins,
                self.freq_mask_bins,
                self.time_mask_ms,
                self.gain_db,
                self.mixup_alpha,
            )
        )


NETWORKS: dict[str, str] = {
    "samplemind_cnn": "SampleMind M",
    "samplemind_s": "SampleMind S",
    "samplemind_l": "SampleMind L",
    "samplemind_attention": "SampleMind attention",
    "bc_resnet": "BC-ResNet",
    "tutorial_cnn": "Tutorial CNN",
}
"""Title of each registered network by name, known without importing torch."""

LEAST_POINTS = {"tutorial_cnn": 16}
"""Bands and frames that a spectrogram must have at least for a network, where it takes not just any."""


class ModelConfig(Config):
    """Which network, and how large."""

    name: Annotated[str, Field(min_length=1)] = Field("samplemind_cnn", description="Name of a registered network.")
    width: Annotated[float, Field(ge=0.125, le=8.0)] = Field(
        1.0, description="Multiplier of the number of channels in every layer."
    )
    dropout: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        0.2, description="Share of activations dropped before the classifier while training."
    )
    members: Annotated[int, Field(ge=1, le=10)] = Field(
        1,
        description="Networks that are trained side by side and answer as one (an ensemble); each costs as much as one "
        "alone.",
    )
    init: Literal["random", "auto", "starter"] = Field(
        "random",
        description="What the network knows before its first step: nothing, or what the starter model learnt on "
        "synthesised drums; auto takes the starter where it fits network and front end, for classes that are mostly "
        "drums by their names and samples that are not made by rule themselves.",
    )

    def check_input(self, features: FeatureConfig) -> None:
        """Raise :class:`ConfigError` if there is no such network, or it takes no spectrograms as small as these."""
        if self.name not in NETWORKS:
            raise ConfigError(f"There is no network '{self.name}'.", f"Choose one of: {', '.join(NETWORKS)}.")
        least = LEAST_POINTS.get(self.name, 1)
        if min(features.n_mels, features.frames) < least:
            raise ConfigError(
                f"The network '{NETWORKS[self.name]}' needs spectrograms of at least {least} x {least} points, "
                f"got {features.n_mels} x {features.frames}.",
                "Use more mel bands, a longer window or a shorter hop, or samplemind_cnn.",
            )


MOST_TIMES = 10
"""How many times the epochs that are set may be taken for the sake of ``min_steps``."""

Monitor = Literal["val_loss", "val_accuracy", "val_macro_f1", "val_map"]


class TrainConfig(Config):
    """How the network learns."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = Field(20, description="Largest number of epochs.")
    min_steps: Annotated[int, Field(ge=0, le=1_000_000)] = Field(
        0,
        description="Training steps that a run should have at least: with few samples, the epochs are raised for that "
        "when it starts, up to tenfold. Setting the epochs oneself switches it off; so does 0.",
    )
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = Field(32, description="Clips per training step.")
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field("adamw", description="Update rule.")
    lr: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        1e-3, description="Learning rate; the peak where the schedule rises and falls."
    )
    weight_decay: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        1e-4, description="Pull of the weights towards zero (L2 for Adam, decoupled for AdamW)."
    )
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.9, description="Momentum of SGD and RMSprop.")
    schedule: Literal["constant", "plateau", "onecycle", "cosine"] = Field(
        "onecycle", description="How the learning rate changes over the run."
    )
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.5, description="Learning-rate factor when validation loss stalls (schedule plateau)."
    )
    plateau_patience: Annotated[int, Field(ge=0, le=1_000)] = Field(
        5, description="Epochs without a better validation loss before the rate drops (schedule plateau)."
    )
    warmup: Annotated[float, Field(ge=0.01, le=0.9)] = Field(
        0.2, description="Share of the run in which the rate rises (schedule onecycle)."
    )
    warmup_epochs: Annotated[float, Field(ge=0.0, le=1_000.0)] = Field(
        0.0, description="Epochs in which the rate first rises in a straight line (schedule cosine)."
    )
    monitor: Monitor = Field(
        "val_loss",
        description="What decides which epoch is the best, and when to stop early; val_map is mean average precision, "
        "where samples have several labels.",
    )
    early_stopping_patience: Annotated[int, Field(ge=1, le=10_000)] | None = Field(
        None, description="Epochs without a better value of the monitor before the run stops; empty never stops early."
    )
    early_stopping_after: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="Epoch up to which early stopping waits."
    )
    loss: Literal["auto", "cross_entropy", "bce", "asymmetric"] = Field(
        "auto",
        description="What is minimised: cross-entropy where samples have one label; binary cross-entropy (bce) or the "
        "asymmetric loss, for labels that are mostly absent, where they have several. Auto takes the first that fits.",
    )
    label_smoothing: Annotated[float, Field(ge=0.0, le=0.5)] = Field(
        0.0, description="Share of each label spread over all classes; with several labels, towards even odds."
    )
    class_balance: Literal["none", "weights", "sampler"] = Field(
        "none",
        description="For classes of unequal size: weights makes errors on rare classes cost more, sampler draws every "
        "class equally often.",
    )
    average: Literal["none", "ema", "swa"] = Field(
        "none",
        description="Average of the weights that is judged and kept: ema moves along with every step, swa is the mean "
        "over the last epochs.",
    )
    ema_decay: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        0.99, description="Decay per step of the moving average (average ema); 0 follows the weights at once."
    )
    swa_share: Annotated[float, Field(gt=0.0, le=0.9)] = Field(
        0.25, description="Share of the epochs, the last ones, that are averaged (average swa)."
    )
    grad_clip: Annotated[float, Field(gt=0.0, le=1_000.0)] | None = Field(
        None, description="Largest gradient norm; empty does not clip."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Number format of the network's arithmetic; auto uses bfloat16 where it is faster."
    )
    device: DeviceName = Field("auto", description="auto, cpu, mps, cuda or cuda:N.")
    num_devices: Annotated[int, Field(ge=0, le=64)] = Field(
        1,
        description="GPUs of this machine that share each batch, one process each; 0 (on the command line also: all) "
        "takes every one there is. On the CPU: processes, which seldom pays. The steps stay the same ones.",
    )
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(0, description="Seed of weights, order and augmentation.")
    tta_views: Annotated[int, Field(ge=1, le=8)] = Field(
        1,
        description="Views of each sound whose answers are averaged wherever it is judged: as it is, one frame later, "
        "and so on; 1 looks once. Answering takes as many times as long.",
    )
    deterministic: bool = Field(
        False,
        description="Only operations that repeat bit for bit, also on a GPU, where it costs speed. On the CPU runs "
        "repeat anyway.",
    )
    save_every: Annotated[int, Field(ge=0, le=10_000)] = Field(
        0, description="Keep a checkpoint every so many epochs besides best and last; 0 keeps none."
    )

    def enough_epochs(self, num_train: int) -> int:
        """Return how many epochs a run takes on so many training clips: ``min_steps`` may ask for more than set."""
        steps = max(1, -(-num_train // self.batch_size))
        return max(self.epochs, min(-(-self.min_steps // steps), MOST_TIMES * self.epochs, 10_000))

    @field_validator("num_devices", mode="before")
    @classmethod
    def _all_there_are(cls, number: Any) -> Any:
        return 0 if isinstance(number, str) and number.strip().lower() == "all" else number

    @model_validator(mode="before")
    @classmethod
    def _older(cls, data: Any) -> Any:
        # Before there was a choice of averages, a decay above 0 meant a moving one.
        if isinstance(data, dict) and "average" not in data and "ema_decay" in data:
            return data | ({"average": "ema"} if float(data["ema_decay"]) > 0 else {})
        return data

    def check_loss(self, *, several_labels: bool) -> None:
        """Raise :class:`ConfigError` if the loss, or what goes with it, is made for the other kind of dataset."""
        if several_labels and self.loss == "cross_entropy":
            raise ConfigError(
                "Cross-entropy names one label per clip; the clips of this dataset have several.",
                "Choose the loss auto, bce or asymmetric.",
            )
        if several_labels and self.class_balance != "none":
            raise ConfigError(
                f"The class balance '{self.class_balance}' is for clips with one label; those of this dataset have "
                "several.",
                "Choose none; the asymmetric loss is made for labels that are rare.",
            )
        if not several_labels and self.loss in {"bce", "asymmetric"}:
            raise ConfigError(
                f"The loss '{self.loss}' is for clips with several labels; those of this dataset have one.",
                "Choose the loss auto or cross_entropy.",
            )
        if not several_labels and self.monitor == "val_map":
            raise ConfigError(
                "Mean average precision (val_map) is for clips with several labels; those of this dataset have one.",
                "Choose the best epoch by val_loss, val_accuracy or val_macro_f1.",
            )


def check_views(views: int, frames: int) -> None:
    """Raise :class:`ConfigError` if so many views of a sound would take more than a quarter of its window."""
    if views > 1 and 4 * views > frames:
        raise ConfigError(
            f"{views} views need a window of at least {4 * views} frames, got {frames}.",
            "Use fewer views, a longer window or a shorter hop.",
        )


class RunConfig(Config):
    """Everything that decides a run, apart from its dataset."""

    preset: str = Field("quick", description="Preset that the settings started from.")
    features: FeatureConfig = FeatureConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    extended_at: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (), description="Epochs after which the run was extended; no setting, set by extending it."
    )

    @property
    def planned_epochs(self) -> int:
        """How many epochs the run had before anybody extended it: those planned, or fewer where it stopped early."""
        return self.extended_at[0] if self.extended_at else self.train.epochs

    def for_clips(self, num_train: int) -> RunConfig:
        """Return the settings of a run on so many training clips: with as many epochs as it will take."""
        epochs = self.train.enough_epochs(num_train)
        if epochs == self.train.epochs:
            return self
        return self.model_copy(update={"train": self.train.model_copy(update={"epochs": epochs})})

    def check(self) -> None:
        """Raise :class:`ConfigError` for what ends every run with these settings, whatever its dataset.

        Not part of being a configuration: what was stored by a run that failed can still be read.
        """
        self.model.check_input(self.features)
        check_views(self.train.tta_views, self.features.frames)
        self.augment.check_range(self.features)

    @model_validator(mode="after")
    def _within_the_front_end(self) -> Self:
        features, augment = self.features, self.augment
        for name, value, limit, what in (
            ("noise_snr_db", augment.noise_snr_db, features.top_db, "top_db"),
            ("band_limit_hz", augment.band_limit_hz, features.max_hz, "the highest band, in Hz"),
            ("wave_band_limit_hz", augment.wave_band_limit_hz, features.sample_rate_hz / 2, "half the sample rate"),
        ):
            if value >= limit:
                raise ValueError(f"{name} must be below {what} ({limit:g}), got {value:g}; 0 switches it off")
        return self


SECTIONS: dict[str, type[Config]] = {
    "features": FeatureConfig,
    "augment": AugmentConfig,
    "model": ModelConfig,
    "train": TrainConfig,
}


def fingerprint(config: Config) -> str:
    """Return a short stable hash (16 hex digits) of a configuration."""
    values = config.model_dump(mode="json")
    # What is stored under a fingerprint is found again after a setting came that changes nothing of it.
    for name in config.LATER:
        if values[name] == type(config).model_fields[name].default:
            del values[name]
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class AugmentPreset(BaseModel):
    """A named, described amount of augmentation."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    summary: str
    config: AugmentConfig


AUGMENT_PRESETS: dict[str, AugmentPreset] = {
    preset.name: preset
    for preset in (
        AugmentPreset(
            name="off",
            title="Off",
            summary="Every epoch hears the same sounds: for telling what the rest of a recipe does.",
            config=AugmentConfig(),
        ),
        AugmentPreset(
            name="light",
            title="Light",
            summary="Small shifts and hidden stretches of time and frequency: costs next to nothing, seldom hurts.",
            config=AugmentConfig(time_shift_ms=50.0, freq_mask_bins=12, time_mask_ms=120.0),
        ),
        AugmentPreset(
            name="strong",
            title="Strong",
            summary="Sounds as other packs may have them: other pitch, tempo, EQ, decay, room, noise and treble, and "
            "pairs of them mixed. Wants more epochs.",
            config=AugmentConfig(
                time_shift_ms=50.0,
                freq_mask_bins=12,
                time_mask_ms=120.0,
                resample_semitones=2.0,
                warp_semitones=2.0,
                stretch_percent=15.0,
                eq_db=6.0,
                decay_db_s=15.0,
                room_s=0.6,
                noise_snr_db=40.0,
                band_limit_hz=4_000.0,
                mixup_alpha=0.3,
                mixup_share=0.5,
            ),
        ),
    )
}
"""Amounts of augmentation to start from; a run keeps the settings themselves."""


class Preset(BaseModel):
    """A named, described starting point for a run."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    summary: str
    config: RunConfig


_THOROUGH = TrainConfig(
    epochs=40,
    min_steps=2_000,
    batch_size=32,
    optimizer="adamw",
    lr=4e-3,
    weight_decay=1e-2,
    schedule="onecycle",
    label_smoothing=0.05,
    average="ema",
    ema_decay=0.995,
    grad_clip=5.0,
)

PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            name="quick",
            title="Quick",
            summary="A small network on a one-cycle schedule: the shortest way to a good answer.",
            config=RunConfig(
                preset="quick",
                features=FeatureConfig(align="onset"),
                model=ModelConfig(init="auto"),
                augment=AUGMENT_PRESETS["light"].config,
                train=TrainConfig(
                    epochs=20,
                    min_steps=400,
                    batch_size=32,
                    optimizer="adamw",
                    lr=4e-3,
                    weight_decay=1e-2,
                    schedule="onecycle",
                    average="ema",
                    ema_decay=0.99,
                ),
            ),
        ),
        Preset(
            name="balanced",
            title="Balanced",
            summary="Twice the epochs on sounds that are changed as other packs would change them: answers that hold "
            "for sounds from elsewhere.",
            config=RunConfig(
                preset="balanced",
                features=FeatureConfig(align="onset"),
                model=ModelConfig(init="auto"),
                augment=AUGMENT_PRESETS["strong"].config,
                train=_THOROUGH,
            ),
        ),
        Preset(
            name="best",
            title="Best",
            summary="Three networks side by side that answer as one, trained longer, each sound heard three times: "
            "the most accurate answer and the slowest to get.",
            config=RunConfig(
                preset="best",
                features=FeatureConfig(align="onset"),
                model=ModelConfig(members=3, init="auto"),
                augment=AUGMENT_PRESETS["strong"].config,
                train=_THOROUGH.model_copy(update={"epochs": 60, "min_steps": 3_000, "tta_views": 3}),
            ),
        ),
        Preset(
            name="tutorial",
            title="Tutorial",
            summary="The tutorial's recipe to the letter: a four-block CNN, Adam, halving the rate on plateaus.",
            config=RunConfig(
                preset="tutorial",
                model=ModelConfig(name="tutorial_cnn", dropout=0.5),
                train=TrainConfig(
                    epochs=50,
                    batch_size=32,
                    optimizer="adam",
                    lr=1e-3,
                    weight_decay=1e-4,
                    schedule="plateau",
                    plateau_factor=0.5,
                    plateau_patience=5,
                    early_stopping_patience=5,
                    early_stopping_after=10,
                ),
            ),
        ),
    )
}

USUAL_FEATURES: FeatureConfig = PRESETS["quick"].config.features
"""The front end that importing prepares a dataset for, and that pages show where no network is chosen."""


def preset(name: str) -> RunConfig:
    """Return the configuration of a preset.

    Raises
    ------
    ConfigError
        If there is no preset of that name.
    """
    try:
        return PRESETS[name].config
    except KeyError:
        raise ConfigError(f"There is no preset '{name}'.", f"Choose one of: {', '.join(PRESETS)}.") from None


def setting_paths() -> dict[str, str]:
    """Return every setting's dotted path by each name it may be given as (``lr`` and ``train.lr``)."""
    names: dict[str, list[str]] = {}
    for section, model in SECTIONS.items():
        for field in model.model_fields:
            path = f"{section}.{field}"
            names.setdefault(path, []).append(path)
            names.setdefault(field, []).append(path)
    return {name: paths[0] for name, paths in names.items() if len(paths) == 1}


def build_config(preset_name: str = "quick", changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Return a preset with some settings changed.

    Parameters
    ----------
    preset_name : str
        Name of a preset.
    changes : mapping of str to value, optional
        Settings by dotted path or plain name: ``{"train.lr": 0.01, "epochs": 5}``. Strings are
        parsed, so values may come straight from a command line.

    Raises
    ------
    ConfigError
        Naming every fault at once: unknown settings, wrong types, values out of range.
    """
    return apply_changes(preset(preset_name), changes or {})


def apply_changes(config: RunConfig, changes: Mapping[str, Any]) -> RunConfig:
    """Return ``config`` with settings changed; see :func:`build_config`."""
    paths = setting_paths()
    data = config.model_dump()
    faults = []
    given: dict[str, str] = {}
    for name, value in changes.items():
        path = paths.get(name)
        if path is None:
            faults.append(f"there is no setting '{name}'{_nearest(name, paths)}")
            continue
        if path in given:
            faults.append(f"{path} is given twice, as '{given[path]}' and '{name}'")
        given[path] = name
        section, field = path.split(".")
        if path == "train.epochs" and not {"min_steps", "train.min_steps"} & changes.keys():
            data["train"]["min_steps"] = 0  # who says how many epochs means so many
        data[section][field] = None if _means_nothing(section, field, value) else value
    try:
        result = RunConfig.model_validate(data)
    except ValidationError as error:
        faults += validation_faults(error)
    if faults:
        raise ConfigError(
            f"{len(faults)} setting{'s' if len(faults) > 1 else ''} cannot be used: {'; '.join(faults)}.",
            "Correct these and try again; the Train page and the docs list every setting with its range.",
        )
    return result


def parse_assignments(pairs: Iterable[str]) -> dict[str, str]:
    """Return ``{"key": "value"}`` from ``["key=value"]``.

    Raises
    ------
    ConfigError
        Naming every pair without '=' and every key that is given twice.
    """
    changes: dict[str, str] = {}
    faults = []
    for pair in pairs:
        key, equals, value = (part.strip() for part in pair.partition("="))
        if not equals:
            faults.append(f"Expected key=value, got '{pair}'.")
        elif key in changes:
            faults.append(f"'{key}' is given twice: '{changes[key]}' and '{value}'.")
        changes[key] = value
    if faults:
        raise ConfigError(" ".join(faults), "For example: --set lr=0.001")
    return changes


def validation_faults(error: ValidationError, named: Callable[[str], str] = str) -> list[str]:
    """Return pydantic's faults as short readable phrases; ``named`` gives a field's name for people."""
    faults = []
    for fault in error.errors():
        where = named(".".join(str(part) for part in fault["loc"]))
        message = fault["msg"].removeprefix("Value error, ")
        shown = "" if isinstance(fault["input"], dict | BaseModel) else f", got {fault['input']!r}"
        faults.append(f"{where}: {message[0].lower()}{message[1:]}{shown}" if where else f"{message}{shown}")
    return faults


def flatten(config: RunConfig) -> dict[str, Any]:
    """Return ``{"train.lr": 0.001, …}`` for tables, comparisons and logs."""
    data = config.model_dump(mode="json")
    flat: dict[str, Any] = {"preset": data.pop("preset")}
    del data["extended_at"]
    for section, values in data.items():
        flat |= {f"{section}.{name}": value for name, value in values.items()}
    return flat


def _means_nothing(section: str, field: str, value: Any) -> bool:
    """Return whether a typed value stands for None; ``none`` may also be one of a setting's own choices."""
    choices = get_args(SECTIONS[section].model_fields[field].annotation)
    return isinstance(value, str) and value not in choices and value.lower() in {"", "none", "null"}


def _nearest(name: str, paths: Mapping[str, str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, paths, n=1)
    return f" (did you mean '{close[0]}'?)" if close else ""
