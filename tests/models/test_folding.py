from __future__ import annotations

import pytest
import torch
from torch import nn

from samplemind_core.config import FeatureConfig, ModelConfig
from samplemind_core.models import MODELS, build_model
from samplemind_core.models.folding import folded


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_folded_network_says_the_same(name) -> None:
    torch.manual_seed(0)
    features = FeatureConfig(n_mels=64, duration_s=0.5)
    model = build_model(ModelConfig(name=name, width=0.5, members=2), 3, features)
    for norm in (module for module in model.modules() if isinstance(module, nn.BatchNorm2d)):
        nn.init.uniform_(norm.weight, 0.5, 2.0)
        nn.init.normal_(norm.bias)
        nn.init.normal_(norm.running_mean)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    lean = folded(model.eval())
    log_mel = -80.0 * torch.rand(4, 1, 64, features.frames)
    with torch.inference_mode():
        assert torch.allclose(lean(log_mel), model(log_mel), rtol=1e-4, atol=1e-5)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    norms = [sum(isinstance(module, nn.BatchNorm2d) for module in one.modules()) for one in (lean, model)]
    assert norms[0] < norms[1]
