"""A network that starts from what the starter knows, or says why it does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from starter_model import CLASSES, put_starter

from samplemind_core import starter
from samplemind_core.config import RunConfig, build_config
from samplemind_core.errors import ConfigError
from samplemind_core.models import build_model
from samplemind_core.training.checkpoints import load_tensors
from samplemind_core.training.first_weights import give_first_weights
from samplemind_core.training.observer import Silent
from samplemind_core.training.trainer import Trainer
from samplemind_core.training.training_data import TrainingData

SMALL = {"n_mels": 16, "duration_s": 0.2, "width": 0.25, "device": "cpu", "batch_size": 8, "epochs": 2}


@pytest.fixture(autouse=True)
def _put(tmp_path, monkeypatch):
    yield put_starter(tmp_path, monkeypatch)
    starter.starter_card.cache_clear()


def started(config: RunConfig, class_names: tuple[str, ...]) -> tuple[torch.nn.Module, str]:
    torch.manual_seed(1)
    model = build_model(config.model, len(class_names), config.features)
    return model, give_first_weights(model, config, class_names)


def answers(model: torch.nn.Module, config: RunConfig) -> torch.Tensor:
    clips = torch.from_numpy(np.random.default_rng(0).uniform(-80, 0, (4, *config.features.shape)).astype(np.float32))
    with torch.inference_mode():
        return model.eval()(clips)


def test_filters_and_the_rows_of_known_classes_come_along() -> None:
    config = build_config("quick", SMALL | {"init": "starter"})
    model, said = started(config, ("snare", "cowbell", "kick"))
    ours, theirs = model.state_dict(), load_tensors(starter.STARTER_FILE, "model.")
    for name, value in theirs.items():
        if not name.startswith("head."):
            torch.testing.assert_close(ours[name], value, rtol=0, atol=0)
    assert CLASSES == ("kick", "snare")
    torch.testing.assert_close(ours["head.weight"][[2, 0]], theirs["head.weight"])
    torch.testing.assert_close(ours["head.bias"][[2, 0]], theirs["head.bias"])
    assert not any(torch.equal(ours["head.weight"][1], row) for row in theirs["head.weight"])
    assert "synthesised drums only" in said
    assert said.endswith("its filters and its answers for snare, kick.")


def test_names_that_mean_the_same_bring_their_answers_along() -> None:
    config = build_config("quick", SMALL | {"init": "auto"})
    model, said = started(config, ("BD", "Snares 02", "vox"))
    theirs = load_tensors(starter.STARTER_FILE, "model.")
    torch.testing.assert_close(model.state_dict()["head.weight"][:2], theirs["head.weight"])
    assert said.endswith("its answers for BD, Snares 02.")


def test_auto_leaves_networks_for_other_sounds_alone() -> None:
    config = build_config("quick", SMALL | {"init": "auto"})
    classes = ("dog", "rain", "kick")
    model, said = started(config, classes)
    random, _ = started(build_config("quick", SMALL | {"init": "random"}), classes)
    assert said.startswith("Started at random: by their names, most of these classes are no drums")
    for ours, theirs in zip(model.parameters(), random.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    _, wanted = started(build_config("quick", SMALL | {"init": "starter"}), classes)
    assert wanted.startswith("Started from the starter model")


def test_an_ensemble_begins_with_the_answers_of_one() -> None:
    config = build_config("quick", SMALL | {"init": "starter"})
    alone, _ = started(config, CLASSES)
    config = build_config("quick", SMALL | {"init": "starter", "members": 3})
    together, _ = started(config, CLASSES)
    torch.testing.assert_close(answers(together, config), answers(alone, config))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"n_mels": 24}, "n_mels 16, these have 24"),
        ({"width": 0.5}, "samplemind_cnn of width 0.25, this is a samplemind_cnn of width 0.5"),
        ({"model.name": "bc_resnet"}, "this is a bc_resnet"),
    ],
)
def test_where_it_does_not_fit_auto_says_so_and_starter_refuses(change, why) -> None:
    config = build_config("quick", SMALL | change | {"init": "auto"})
    model, said = started(config, CLASSES)
    assert said.startswith("Started at random: ")
    assert why in said
    random, nothing = started(build_config("quick", SMALL | change | {"init": "random"}), CLASSES)
    assert nothing == ""
    for ours, theirs in zip(model.parameters(), random.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    with pytest.raises(ConfigError, match=why):
        started(build_config("quick", SMALL | change | {"init": "starter"}), CLASSES)


def test_made_up_sounds_are_learnt_from_nothing_unless_the_starter_is_asked_for() -> None:
    config = build_config("quick", SMALL)
    assert config.model.init == "auto"
    model = build_model(config.model, 2, config.features)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert "made by the same rules" in give_first_weights(model, config, CLASSES, synthetic=True)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    config = build_config("quick", SMALL | {"init": "starter"})
    assert give_first_weights(model, config, CLASSES, synthetic=True).startswith("Started from")


def test_another_window_is_no_misfit() -> None:
    _, said = started(build_config("quick", SMALL | {"init": "auto", "duration_s": 0.5, "align": "none"}), CLASSES)
    assert said.startswith("Started from the starter model")


def test_a_copy_without_a_starter_starts_at_random() -> None:
    starter.STARTER_FILE.unlink()
    _, said = started(build_config("quick", SMALL | {"init": "auto"}), CLASSES)
    assert said.startswith("Started at random: this copy of SampleMind has no usable starter model")
    with pytest.raises(ConfigError, match="no usable starter model"):
        started(build_config("quick", SMALL | {"init": "starter"}), CLASSES)


class Listening(Silent):
    def __init__(self) -> None:
        self.heard: list[str] = []

    def on_event(self, kind: str, message: str) -> None:
        self.heard.append(f"{kind}: {message}")


def test_a_run_tells_once_and_a_resumed_one_not_again(tmp_path) -> None:
    config = build_config("quick", SMALL | {"init": "auto"})
    targets = np.arange(32) % 2
    log_mel = np.random.default_rng(0).uniform(-80, 0, (32, *config.features.shape)).astype(np.float16)
    data = TrainingData(log_mel, targets, np.arange(24), np.arange(24, 32), CLASSES, {})
    first = Listening()
    Trainer(config, data, tmp_path / "run", first).fit()
    assert [said for said in first.heard if said.startswith("weights: Started from")] == first.heard
    assert len(first.heard) == 1
    again = Trainer(config, data, tmp_path / "run", second := Listening())
    again.restore(tmp_path / "run" / "last.safetensors")
    again.fit()
    assert second.heard == []
