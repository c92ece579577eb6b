"""What a search may change, as it is typed and as it is checked."""

from __future__ import annotations

import json

import pytest

from samplemind_core.config import AugmentConfig, build_config
from samplemind_core.errors import ConfigError
from samplemind_core.search.space import (
    Dimension,
    applied,
    check_dimensions,
    dimension_from,
    parse_dimension,
    starting_point,
    usual_dimensions,
)
from samplemind_core.search.study import Plan, plan_from


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr=1e-4:1e-1:log", Dimension("train.lr", 1e-4, 0.1, log=True)),
        ("model.dropout=0:0.5", Dimension("model.dropout", 0.0, 0.5)),
        ("batch_size=16,32", Dimension("train.batch_size", choices=(16, 32))),
        ("freq_mask_bins=0:16", Dimension("augment.freq_mask_bins", 0.0, 16.0, integer=True)),
        ("optimizer=adam,adamw", Dimension("train.optimizer", choices=("adam", "adamw"))),
        ("augment=off,strong", Dimension("augment", choices=("off", "strong"))),
        ("grad_clip=none,1", Dimension("train.grad_clip", choices=(None, 1.0))),
    ],
)
def test_dimensions_are_read(text: str, expected: Dimension) -> None:
    found = parse_dimension(text)
    assert found == expected
    assert check_dimensions(build_config(), [found]) == (expected,)
    assert dimension_from(json.loads(json.dumps(found.as_dict()))) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr", "Expected a setting and its values"),
        ("lr=", "Expected a setting and its values"),
        ("lr=a:b", "Expected low:high"),
        ("lr=1:2:linear", "Expected low:high"),
        ("seed=1,2", "cannot be searched"),
        ("n_mels=32,64", "cannot be searched"),
        ("nothing=1:2", "cannot be searched"),
    ],
)
def test_what_cannot_be_read_is_told(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_dimension(text)


@pytest.mark.parametrize(
    "text",
    ["lr=0.1:0.01", "lr=0:0.1:log", "dropout=0:2", "optimizer=adam,magic", "augment=off,wild", "batch_size=0,16",
     "model.name=samplemind_cnn,resnet"],
)  # fmt: skip
def test_values_that_a_setting_cannot_take_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        check_dimensions(build_config(), [parse_dimension(text)])


def test_a_search_needs_settings_and_each_once() -> None:
    with pytest.raises(ConfigError, match="at least one setting"):
        check_dimensions(build_config(), [])
    with pytest.raises(ConfigError, match="comes twice"):
        check_dimensions(build_config(), [parse_dimension("lr=0.1:0.2")] * 2)


@pytest.mark.parametrize("preset", ["quick", "tutorial"])
def test_the_usual_dimensions_hold_for_every_preset(preset: str) -> None:
    config = build_config(preset)
    dimensions = usual_dimensions(config)
    check_dimensions(config, dimensions.values())
    assert starting_point(config, dimensions.values()) is not None
    assert starting_point(config, [Dimension("train.lr", 1.0, 2.0)]) is None


def test_an_amount_of_augmentation_is_searched_as_one() -> None:
    config = build_config("quick")
    assert applied(config, {"augment": "off", "train.lr": 0.01}).augment == AugmentConfig()
    assert applied(config, {"augment": "off", "train.lr": 0.01}).train.lr == 0.01
    mine = build_config("quick", {"augment.gain_db": 3.3})
    assert starting_point(mine, [parse_dimension("augment=off,light")]) is None  # none of the amounts


def test_a_plan_survives_storing_and_is_checked() -> None:
    plan = Plan(build_config(), tuple(usual_dimensions(build_config()).values()), "val_accuracy", 4, "hyperband", 7)
    assert plan_from(json.loads(json.dumps(plan.check().as_dict()))) == plan
    for wrong in ({"objective": "luck"}, {"pruner": "axe"}, {"num_folds": 2}):
        with pytest.raises(ConfigError):
            Plan(plan.config, plan.dimensions, **wrong).check()
