"""The networks that images are compared by, against the packages they come from. Their weights here are random."""

from __future__ import annotations

import warnings

import lpips
import pytest
import torch
import torchvision
from torch import nn

from tests.golden.seeded import seeded_image
from training.perceptual import (
    EfficientNetLiteFeatures,
    PerceptualDistance,
    PooledFeatures,
    feature_network,
    perceptual_distance,
)

TRUNKS = {"alex": "alexnet", "squeeze": "squeezenet1_1", "vgg": "vgg16"}


def random_trunk(name):
    """The convolutions of a torchvision network, keys as in the file that torchvision downloads."""
    return torchvision.models.__dict__[TRUNKS[name]](weights=None).features


def save(trunk, path):
    torch.save({f"features.{key}": value for key, value in trunk.state_dict().items()}, path)
    return path


def untrained_lpips(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips calls torchvision the old way
        return lpips.LPIPS(net=name, pnet_rand=True, verbose=False)


@pytest.fixture(scope="module")
def squeeze(tmp_path_factory):
    """A file of random weights."""
    torch.manual_seed(0)
    return save(random_trunk("squeeze"), tmp_path_factory.mktemp("squeeze") / "squeezenet.pth")


@pytest.fixture(scope="module")
def images():
    return torch.cat([seeded_image(1, width=96), seeded_image(2, width=96), torch.zeros(1, 3, 256, 96)])[..., :64, :]


@pytest.mark.parametrize("name", ["alex", "squeeze", pytest.param("vgg", marks=pytest.mark.slow)])
@torch.inference_mode()
def test_the_distance_is_that_of_lpips(name, images, tmp_path):
    trunk = random_trunk(name)
    reference = untrained_lpips(name)
    for parameter, value in zip(reference.net.parameters(), trunk.parameters(), strict=True):
        parameter.copy_(value)  # by their order, not by their names
    distance = perceptual_distance(f"lpips-{name}", save(trunk, tmp_path / "trunk.pth"))
    others = images.roll(1, 0)
    expected = reference(images, others, normalize=True).flatten()
    assert expected.min() > 1e-3
    torch.testing.assert_close(distance(images, others), expected, rtol=1e-4, atol=0)
    apart = (distance.embed(images[:1]) - distance.embed(others[:1])).square().sum()
    torch.testing.assert_close(apart, expected[0], rtol=1e-4, atol=0)


@torch.inference_mode()
def test_without_a_file_the_network_is_the_one_that_torchvision_keeps(images, squeeze, tmp_path, monkeypatch):
    network = torchvision.models.squeezenet1_1(weights=None)
    network.load_state_dict(torch.load(squeeze), strict=False)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(network.state_dict(), tmp_path / "hub" / "checkpoints" / "squeezenet1_1-b8a52dc0.pth")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = perceptual_distance("lpips-squeeze")(images, images.roll(1, 0))
    expected = perceptual_distance("lpips-squeeze", squeeze)(images, images.roll(1, 0))
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_distances_are_frozen_but_images_may_learn_by_them(squeeze, images):
    for distance in (perceptual_distance("lpips-squeeze", squeeze), perceptual_distance("efficientnet-lite0")):
        assert not any(module.training for module in distance.modules())
        assert not any(parameter.requires_grad for parameter in distance.parameters())
        learning = images.clone().requires_grad_()
        distance(learning, images.roll(1, 0)).sum().backward()
        assert learning.grad.isfinite().all() and learning.grad.abs().sum() > 0


def test_a_file_of_another_network_is_refused(tmp_path, squeeze):
    with pytest.raises(ValueError, match=r"squeezenet.pth does not fit lpips-alex.* it has no features.0.weight of sh"):
        perceptual_distance("lpips-alex", squeeze)
    state = torch.load(squeeze)
    del state["features.7.squeeze.bias"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"cut.pth .* it has no features.7.squeeze.bias of shape \(32,\)"):
        perceptual_distance("lpips-squeeze", tmp_path / "cut.pth")


@torch.inference_mode()
def test_efficientnet_weighs_all_channels_alike_and_averages_the_layers(images):
    distance = perceptual_distance("efficientnet-lite0")
    one, other = images[:1], images[1:2]
    layers = []
    for features, others in zip(*map(EfficientNetLiteFeatures(), (one, other)), strict=True):
        cosine = nn.functional.cosine_similarity(features, others, dim=1)
        layers.append((2 - 2 * cosine).mean())  # the squared distance of two vectors of length one
    torch.testing.assert_close(distance(one, other)[0], torch.stack(layers).mean(), rtol=1e-4, atol=0)


@torch.inference_mode()
def test_efficientnet_finds_a_darker_copy_nearer_than_another_image(images):
    distance = perceptual_distance("efficientnet-lite0")
    one, other = images[:1], images[1:2]
    assert distance(one, one).item() == 0
    assert 0 < distance(one, 0.97 * one).item() < 0.01 * distance(one, other).item()


def test_a_place_without_any_feature_is_at_a_finite_distance():
    class Maps(nn.Module):
        def forward(self, images):
            return [images]

    distance = PerceptualDistance(Maps(), [torch.tensor([1.0, 2.0, 3.0])])
    black, red = torch.zeros(1, 3, 2, 2), torch.tensor([0.5, 0, 0])[:, None, None].expand(1, 3, 2, 2)
    assert distance(black, black).item() == 0
    assert distance(black, red).item() == pytest.approx(1)
    green = red.roll(1, 1)
    assert distance(red, green).item() == pytest.approx(1 + 2)
    assert distance.embed(torch.cat([red, green])).shape == (2, 12)


def test_pooled_features_are_the_mean_of_the_last_map():
    class Maps(nn.Module):
        def forward(self, images):
            return [images.new_zeros(len(images), 7, 2, 2), images]

    images = torch.rand(2, 3, 4, 5)
    torch.testing.assert_close(PooledFeatures(Maps())(images), images.flatten(2).mean(dim=-1))


@torch.inference_mode()
def test_efficientnets_features_are_what_its_classifier_sees(images):
    network = feature_network("efficientnet-lite0")
    features = network(images)
    assert features.shape == (3, 1280) and not network.training
    whole = network.network.network
    torch.testing.assert_close(whole._fc(features), whole((images * 255 - 127) / 128), rtol=1e-4, atol=1e-5)


@pytest.fixture(scope="module")
def inception(tmp_path_factory):
    """torch-fidelity's network with random weights, and a file of them."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    torch.manual_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", lambda self, state: None)
        network = module.FeatureExtractorInceptionV3("random", ["2048"])
    path = tmp_path_factory.mktemp("inception") / "weights-inception-2015-12-05-6726825d.pth"
    torch.save(network.state_dict(), path)
    return network, path


@torch.inference_mode()
def test_inception_sees_whole_pixel_values(inception, images):
    reference, path = inception
    network = feature_network("inception", path)
    pixels = (images * 255).round()
    (expected,) = reference(pixels.byte())
    assert expected.shape == (3, 2048) and expected.std(dim=0).max() > 0
    torch.testing.assert_close(network(images), expected, rtol=0, atol=0)
    # what is less than half a step off, or out of range, is the same pixel
    torch.testing.assert_close(network(((pixels + 0.4) / 255).clamp(0, 1)), expected, rtol=0, atol=0)
    torch.testing.assert_close(network(-images), network(torch.zeros_like(images)), rtol=0, atol=0)
    assert not network.training and not any(parameter.requires_grad for parameter in network.parameters())


@torch.inference_mode()
def test_without_a_file_inception_is_the_one_that_torch_fidelity_keeps(inception, images, tmp_path, monkeypatch):
    reference, path = inception
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "checkpoints").symlink_to(path.parent)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    found = feature_network("inception")(images)
    torch.testing.assert_close(found, reference((images * 255).round().byte())[0], rtol=0, atol=0)


@pytest.mark.parametrize("state", [{"fc.weight": torch.zeros(1)}, {"fc.bias": torch.zeros(1000)}])
def test_a_file_that_is_no_inception_of_fid_is_refused(state, tmp_path):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other.pth is not the Inception v3 of 1008 classes"):
        feature_network("inception", tmp_path / "other.pth")


def test_a_file_that_would_run_code_is_not_opened(tmp_path):
    """torch-fidelity itself would unpickle it."""

    class Trap:
        def __reduce__(self):
            return (tmp_path / "sprung").touch, ()

    torch.save({"fc.bias": Trap()}, tmp_path / "trap.pth")
    with pytest.raises(Exception, match="weights_only|Weights only"):
        feature_network("inception", tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()
