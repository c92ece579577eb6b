from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from samplemind_core.config import (
    PRESETS,
    SECTIONS,
    AugmentConfig,
    DeviceName,
    FeatureConfig,
    RunConfig,
    apply_changes,
    build_config,
    fingerprint,
    flatten,
    parse_assignments,
    preset,
    setting_paths,
)
from samplemind_core.errors import ConfigError

FIELDS = {
    f"{section}.{name}": field for section, model in SECTIONS.items() for name, field in model.model_fields.items()
}


def _values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Give any value that a field's annotation and bounds allow."""
    origin = typing.get_origin(annotation)
    if origin is typing.Literal:
        return st.sampled_from(typing.get_args(annotation))
    if origin is typing.Annotated:
        inner, field = typing.get_args(annotation)
        return _values(inner, field.metadata)
    if origin is not None:  # a value or None
        return st.one_of(*(_values(part, metadata) for part in typing.get_args(annotation)))
    if annotation is type(None):
        return st.none()
    if DeviceName.__metadata__[0] in metadata:
        return st.sampled_from(["auto", "cpu", "mps", "cuda"]) | st.integers(0, 64).map("cuda:{}".format)
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.from_regex(r"[a-z][a-z0-9_:]{0,15}", fullmatch=True).filter(lambda text: text not in {"none", "null"})
    low = high = None
    exclude = {}
    for rule in metadata:
        match rule:
            case Ge(ge=low) | Gt(gt=low):
                exclude["exclude_min"] = isinstance(rule, Gt)
            case Le(le=high) | Lt(lt=high):
                exclude["exclude_max"] = isinstance(rule, Lt)
    assert low is not None
    assert high is not None, "every number has both bounds"
    return st.integers(low, high) if annotation is int else st.floats(low, high, **exclude)


@st.composite
def run_configs(draw: st.DrawFn) -> RunConfig:
    data: dict[str, Any] = {"preset": draw(st.sampled_from(list(PRESETS)))}
    for path, field in FIELDS.items():
        section, name = path.split(".")
        data.setdefault(section, {})[name] = draw(_values(field.annotation, field.metadata))
    # What the fields of the front end promise each other.
    features = data["features"]
    features["n_fft"] += features["n_fft"] % 2
    features["hop_length"] = min(features["hop_length"], features["n_fft"])
    nyquist = features["sample_rate_hz"] / 2
    if features["fmax_hz"] is not None:
        features["fmax_hz"] = min(features["fmax_hz"], nyquist)
    if features["fmin_hz"] >= (features["fmax_hz"] or nyquist):
        features["fmin_hz"] = 0.0
    # And what augmentation and the front end do.
    augment = data["augment"]
    augment["noise_snr_db"] = min(augment["noise_snr_db"], features["top_db"] / 2)
    augment["band_limit_hz"] = min(augment["band_limit_hz"], (features["fmax_hz"] or nyquist) / 2)
    augment["wave_band_limit_hz"] = min(augment["wave_band_limit_hz"], nyquist / 2)
    augment["wave_eq_db"] = max(augment["wave_eq_db"], 1.0 if augment["variants"] else 0.0)
    return RunConfig.model_validate(data)


@settings(deadline=None, max_examples=40)
@given(run_configs())
def test_a_configuration_survives_being_stored(config: RunConfig) -> None:
    assert RunConfig.model_validate_json(config.model_dump_json()) == config
    stored = json.loads(json.dumps(config.model_dump(mode="json")))
    again = RunConfig.model_validate(stored)
    assert again == config
    assert fingerprint(again) == fingerprint(config)


@settings(deadline=None, max_examples=40)
@given(run_configs())
def test_a_configuration_is_rebuilt_from_its_flat_form(config: RunConfig) -> None:
    flat = flatten(config)
    assert apply_changes(preset(flat.pop("preset")), flat) == config


def test_the_front_end_of_the_tutorial() -> None:
    features = FeatureConfig()
    assert features.model_dump() == {
        "sample_rate_hz": 22_050,
        "duration_s": 2.0,
        "crop": "loudest",
        "align": "none",
        "n_fft": 2_048,
        "hop_length": 512,
        "n_mels": 128,
        "fmin_hz": 0.0,
        "fmax_hz": None,
        "top_db": 80.0,
    }
    assert (features.max_hz, features.num_samples, features.shape) == (11_025.0, 44_100, (1, 128, 87))


def test_the_tutorial_preset() -> None:
    config = preset("tutorial")
    train = config.train
    assert (train.optimizer, train.lr, train.weight_decay, train.batch_size) == ("adam", 1e-3, 1e-4, 32)
    assert (train.schedule, train.plateau_factor, train.plateau_patience) == ("plateau", 0.5, 5)
    assert (train.epochs, train.early_stopping_patience, train.early_stopping_after) == (50, 5, 10)
    assert (train.label_smoothing, train.average, train.grad_clip) == (0.0, "none", None)
    assert (config.model.name, config.model.width, config.model.dropout) == ("tutorial_cnn", 1.0, 0.5)
    assert config.features == FeatureConfig()
    assert config.augment == AugmentConfig()
    assert not config.augment.enabled


def test_the_quick_preset() -> None:
    changed = {path: value for path, value in flatten(preset("quick")).items() if value != flatten(RunConfig())[path]}
    assert changed == {
        "features.align": "onset",
        "model.init": "auto",
        "augment.time_shift_ms": 50.0,
        "augment.freq_mask_bins": 12,
        "augment.time_mask_ms": 120.0,
        "train.min_steps": 400,
        "train.lr": 4e-3,
        "train.weight_decay": 1e-2,
        "train.average": "ema",
    }


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_complete(name: str) -> None:
    found = PRESETS[name]
    assert found.name == name == found.config.preset
    assert found.title
    assert found.summary.endswith(".")


def test_an_unknown_preset_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match=r"no preset 'slow'\. Choose one of: quick, balanced, best, tutorial"):
        build_config("slow")


@pytest.mark.parametrize("path", FIELDS)
def test_every_setting_has_a_sentence(path: str) -> None:
    assert (FIELDS[path].description or "").endswith(".")


def test_every_plain_name_means_one_setting() -> None:
    paths = setting_paths()
    assert set(paths.values()) == set(FIELDS)
    for path in FIELDS:
        assert paths[path] == path
        assert paths[path.split(".")[1]] == path


@pytest.mark.parametrize(
    ("changes", "path", "value"),
    [
        ({"lr": 0.01}, "train.lr", 0.01),
        ({"train.lr": "0.01"}, "train.lr", 0.01),
        ({"epochs": "3"}, "train.epochs", 3),
        ({"fmax_hz": "8000"}, "features.fmax_hz", 8_000.0),
        ({"optimizer": "sgd"}, "train.optimizer", "sgd"),
        ({"early_stopping_patience": ""}, "train.early_stopping_patience", None),
        ({"early_stopping_patience": "None"}, "train.early_stopping_patience", None),
        ({"grad_clip": None}, "train.grad_clip", None),
    ],
)
def test_changes(changes: dict[str, Any], path: str, value: Any) -> None:
    before = preset("tutorial")
    after = flatten(build_config("tutorial", changes))
    assert after.pop(path) == value
    assert after == {name: rest for name, rest in flatten(before).items() if name != path}


def test_all_faults_are_told_together() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config("quick", {"lr": 0, "epoch": 3, "train.optimizer": "magic", "n_mels": "many", "batch_size": 2.5})
    text = caught.value.problem
    assert text.startswith("5 settings cannot be used: ")
    assert "there is no setting 'epoch' (did you mean 'epochs'?)" in text
    for part in ("train.lr:", "got 0", "train.optimizer:", "'magic'", "features.n_mels:", "'many'", "train.batch_size"):
        assert part in text


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"fmax_hz": 12_000}, "at most half the sample rate .11025 Hz., got 12000"),
        ({"fmin_hz": 9_000, "fmax_hz": 8_000}, "fmin_hz must be below fmax_hz"),
        ({"n_fft": 1_023, "hop_length": 100}, "n_fft must be even"),
        ({"hop_length": 4_096}, "hop_length must be at most n_fft"),
        ({"epochs": ""}, "train.epochs"),
        ({"lr": "nan"}, "train.lr"),
        ({"lr": "inf"}, "train.lr"),
        ({"duration_s": float("nan")}, "features.duration_s"),
    ],
)
def test_what_cannot_be(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        build_config("quick", changes)


@pytest.mark.parametrize("device", ["auto", "cpu", "mps", "cuda", "cuda:0", "cuda:12"])
def test_devices(device: str) -> None:
    assert build_config("quick", {"device": device}).train.device == device


@pytest.mark.parametrize("device", ["gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:1:2", "cuda:٣", " cpu", "cpu\n"])
def test_what_is_no_device(device: str) -> None:
    with pytest.raises(ConfigError, match=r"train.device: should be auto, cpu, mps, cuda or cuda:N, got"):
        build_config("quick", {"device": device})


@pytest.mark.parametrize("path", ["model.name", "train.device"])
def test_texts_are_not_empty(path: str) -> None:
    section, name = path.split(".")
    with pytest.raises(ValidationError, match=name):
        SECTIONS[section].model_validate({name: ""})


def test_a_setting_given_twice_is_told() -> None:
    with pytest.raises(ConfigError, match=r"train\.lr is given twice, as 'lr' and 'train\.lr'"):
        build_config("quick", {"lr": 0.1, "train.lr": 0.1})


@pytest.mark.parametrize(
    "path", [path for path, field in FIELDS.items() if field.annotation is not str and field.metadata]
)
def test_bounds_are_held(path: str) -> None:
    for rule in FIELDS[path].metadata:
        outside = {Ge: lambda r: r.ge - 1, Gt: lambda r: r.gt, Le: lambda r: r.le + 1, Lt: lambda r: r.lt}[type(rule)]
        with pytest.raises(ConfigError, match=path):
            build_config("quick", {path: outside(rule)})


def test_unknown_names_in_a_stored_run_are_refused() -> None:
    with pytest.raises(ValidationError):
        RunConfig.model_validate({"train": {"learning_rate": 1}})


def test_a_configuration_is_frozen() -> None:
    with pytest.raises(ValidationError):
        preset("quick").train.lr = 1.0  # type: ignore[misc]


def test_fingerprints_tell_configurations_apart() -> None:
    assert fingerprint(FeatureConfig()) == fingerprint(FeatureConfig(n_mels=128))
    assert fingerprint(FeatureConfig()) != fingerprint(FeatureConfig(n_mels=64))
    # Caches on disk are found by it: a change here computes each one anew.
    assert fingerprint(FeatureConfig()) == FEATURES_FINGERPRINT


FEATURES_FINGERPRINT = "552f98f90d1dd1ba"


def test_assignments() -> None:
    assert parse_assignments(["lr=0.1", " name = a=b ", "grad_clip="]) == {"lr": "0.1", "name": "a=b", "grad_clip": ""}
    with pytest.raises(ConfigError) as caught:
        parse_assignments(["epochs=3", "lr", "width", "epochs = 4"])
    for told in ("Expected key=value, got 'lr'", "got 'width'", "'epochs' is given twice: '3' and '4'"):
        assert told in caught.value.problem


def test_few_clips_ask_for_more_epochs_unless_somebody_says_how_many() -> None:
    config = build_config("quick", {"min_steps": 400})
    assert config.for_clips(32 * 20).train.epochs == 20  # 20 steps an epoch are 400 already
    assert config.for_clips(32 * 9).train.epochs == 45
    assert config.for_clips(3).train.epochs == 200  # tenfold at most
    assert config.for_clips(32 * 9).for_clips(32 * 9) == config.for_clips(32 * 9)
    assert build_config("quick", {"epochs": 20}).for_clips(3).train.epochs == 20
    assert build_config("quick", {"epochs": 20, "min_steps": 8}).for_clips(32).train.epochs == 20
    assert build_config("balanced").train.min_steps > build_config("quick").train.min_steps > 0
    assert build_config("tutorial").for_clips(3) == build_config("tutorial")
