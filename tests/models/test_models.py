from __future__ import annotations

import pytest
import torch

from samplemind_core.config import NETWORKS, FeatureConfig, ModelConfig
from samplemind_core.errors import ConfigError
from samplemind_core.models import MODELS, AudioClassifier, Ensemble, build_model, count_parameters, member_of
from samplemind_core.models.bc_resnet import SubSpectralNorm, sub_bands
from samplemind_core.models.samplemind_attention import GatedAttentionPool

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return request.param


@pytest.mark.parametrize("name", sorted(MODELS))
@pytest.mark.parametrize("shape", [(128, 2.0), (64, 1.0), (40, 0.7)])
def test_every_model_gives_logits_and_gradients(name: str, shape: tuple[int, float], device: str) -> None:
    torch.manual_seed(0)
    features = FeatureConfig(n_mels=shape[0], duration_s=shape[1])
    model = build_model(ModelConfig(name=name), 5, features).to(device).train()
    logits = model(-80 * torch.rand(3, *features.shape, device=device))
    assert logits.shape == (3, 5)
    torch.nn.functional.cross_entropy(logits, torch.tensor([0, 1, 2], device=device)).backward()
    for parameter in model.parameters():
        assert parameter.grad is not None
        assert torch.isfinite(parameter.grad).all()


@pytest.mark.parametrize("name", sorted(MODELS))
def test_evaluation_does_not_depend_on_the_batch(name: str) -> None:
    torch.manual_seed(0)
    features = FeatureConfig()
    model = build_model(ModelConfig(name=name), 6, features).eval()
    batch = -80 * torch.rand(4, *features.shape)
    with torch.inference_mode():
        alone = torch.cat([model(clip[None]) for clip in batch])
        torch.testing.assert_close(model(batch), alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_width_scales_the_network(name: str) -> None:
    sizes = [
        count_parameters(build_model(ModelConfig(name=name, width=width), 6, FeatureConfig())) for width in (0.5, 1, 2)
    ]
    assert sizes[0] < sizes[1] < sizes[2]


def test_sizes_are_those_the_documentation_states() -> None:
    sizes = {name: count_parameters(build_model(ModelConfig(name=name), 6, FeatureConfig())) for name in MODELS}
    assert sizes == {
        "bc_resnet": 25_542,
        "samplemind_s": 65_582,
        "samplemind_cnn": 218_806,
        "samplemind_attention": 228_710,
        "samplemind_l": 1_177_390,
        "tutorial_cnn": 5_635_270,
    }


def test_the_form_offers_every_network_under_its_title() -> None:
    assert {name: entry.title for name, entry in MODELS.items()} == NETWORKS


def test_attention_weights_are_shares_and_can_single_out_a_moment() -> None:
    torch.manual_seed(0)
    pool = GatedAttentionPool(8, 2)
    maps = torch.randn(3, 8, 4, 5)
    torch.testing.assert_close(pool(maps), maps.mean(dim=(2, 3)))  # as it starts
    torch.nn.init.normal_(pool.score.weight, std=20.0)
    weights = pool.weights(maps)
    torch.testing.assert_close(weights.sum(dim=(2, 3)), torch.ones(3, 2))
    assert weights.amax() > 0.5
    expected = (maps.view(3, 2, 4, 4, 5) * weights[:, :, None]).sum(dim=(3, 4)).flatten(1)
    torch.testing.assert_close(pool(maps), expected)


def test_attention_hears_whether_a_sound_is_low_or_high() -> None:
    torch.manual_seed(0)
    model = build_model(ModelConfig(name="samplemind_attention"), 3, FeatureConfig()).eval()
    low = torch.full((1, 1, 128, 87), -80.0)
    high = low.clone()
    low[:, :, 32:40], high[:, :, 80:88] = 0.0, 0.0
    with torch.inference_mode():
        assert (model(low) - model(high)).abs().max() > 1e-3


@pytest.mark.parametrize(("height", "bands"), [(32, 4), (10, 5), (16, 4), (3, 3), (7, 1), (1, 1)])
def test_sub_bands_divide_the_height(height: int, bands: int) -> None:
    assert sub_bands(height) == bands


def test_sub_spectral_norm_normalises_each_band_by_itself() -> None:
    torch.manual_seed(0)
    maps = torch.randn(16, 3, 8, 20) * torch.linspace(1, 8, 8).view(1, 1, 8, 1) + 5
    out = SubSpectralNorm(3, 4)(maps).reshape(16, 3, 4, 2, 20)
    torch.testing.assert_close(out.mean(dim=(0, 3, 4)), torch.zeros(3, 4), atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std(dim=(0, 3, 4), correction=0), torch.ones(3, 4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_head_sees_what_features_gives(name: str) -> None:
    model = build_model(ModelConfig(name=name), 6, FeatureConfig()).eval()
    clip = -80 * torch.rand(2, 1, 128, 87)
    with torch.inference_mode():
        torch.testing.assert_close(model(clip), model.head(model.features(clip)))


def test_unknown_network_and_too_few_classes_are_refused() -> None:
    with pytest.raises(ConfigError, match="samplemind_cnn"):
        build_model(ModelConfig(name="resnet"), 6, FeatureConfig())
    with pytest.raises(ConfigError, match="at least 2 classes"):
        build_model(ModelConfig(), 1, FeatureConfig())
    with pytest.raises(ConfigError, match="16 x 16"):
        build_model(ModelConfig(name="tutorial_cnn"), 6, FeatureConfig(n_mels=8))


@pytest.mark.parametrize("name", sorted(MODELS))
def test_views_are_the_mean_over_later_beginnings_and_only_in_evaluation(name: str) -> None:
    torch.manual_seed(0)
    features = FeatureConfig(n_mels=32, duration_s=1.0)
    model = build_model(ModelConfig(name=name, dropout=0), 4, features).eval()
    clip = -80 * torch.rand(2, *features.shape)
    floor = torch.full_like(clip, -80.0)
    later = [torch.cat([floor[..., :k], clip[..., : features.frames - k]], dim=3) for k in range(3)]
    with torch.inference_mode():
        alone = [model(view) for view in later]
        model.set_views(3)
        torch.testing.assert_close(model(clip), torch.stack(alone).mean(0))
        torch.testing.assert_close(model(clip), model.head(model.features(clip)))
    model.train()
    calls = []
    model.register_forward_pre_hook(lambda *_: calls.append(1))
    embed = model.embed
    model.embed = lambda scaled: calls.append(2) or embed(scaled)
    model(clip)
    assert calls == [1, 2]


def test_views_that_would_take_a_quarter_of_the_window_are_refused() -> None:
    model = build_model(ModelConfig(), 3, FeatureConfig(duration_s=0.4))
    model.set_views(4)
    with pytest.raises(ConfigError, match="5 views need a window of at least 20 frames, got 18"):
        model.set_views(5)


def ensemble(members: int = 3, classes: int = 4) -> AudioClassifier:
    torch.manual_seed(0)
    return build_model(ModelConfig(name="samplemind_s", members=members), classes, FeatureConfig())


def test_an_ensemble_answers_with_the_mean_of_its_members_logits() -> None:
    model = ensemble().eval()
    assert isinstance(model, Ensemble)
    batch = -80 * torch.rand(2, *FeatureConfig().shape)
    with torch.inference_mode():
        answers = [
            member.features(batch) @ weight.T + model.head.bias
            for member, weight in zip(model.members, model.head.weight.chunk(3, dim=1), strict=True)
        ]
        torch.testing.assert_close(model(batch), torch.stack(answers).mean(dim=0), atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(model(batch), model.head(model.features(batch)))
    assert not torch.allclose(answers[0], answers[1])


def test_each_member_of_an_ensemble_learns_from_its_own_mistakes() -> None:
    model = ensemble(members=2).train()
    batch = -80 * torch.rand(4, *FeatureConfig().shape)
    logits = model(batch)
    assert logits.shape == (4, 2, 4)
    torch.nn.functional.cross_entropy(logits[:, 1], torch.tensor([0, 1, 2, 3])).backward()
    idle, taught = model.members
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in idle.parameters())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in taught.parameters())


def test_one_member_is_no_ensemble() -> None:
    assert not isinstance(ensemble(members=1), Ensemble)
    assert member_of(ensemble(members=2)).title == "SampleMind S"
    assert count_parameters(ensemble(members=3)) < 3 * count_parameters(ensemble(members=1))
