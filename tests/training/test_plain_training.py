"""The plain training steps, which ours are timed against, compute what ours do."""

from __future__ import annotations

import pytest
import torch
import torchvision
from accelerate import Accelerator
from torch import nn

from benchmarks.plain_training import PlainTraining
from tests.golden.seeded import seeded_state_dict
from training.config import SelfReconstructionConfig
from training.perceptual import VGG19Features
from training.state import TrainingState
from training.steps import discriminator_losses, generator_losses

ROLES = ("panorama", "left", "right", "other")
NARROW_VGG19 = [4, 4, "M", 4, 4, "M", 8, 8, 8, 8, "M", 16]


@pytest.fixture
def state(tmp_path, make_generator, monkeypatch):
    """Of a run that begins, on narrow networks; all in double precision, as their norms magnify rounding."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    config = SelfReconstructionConfig(
        photos=(tmp_path,), out=tmp_path, width=2, discriminator_width=2, cpu=True, attention_levels=(2, 3)
    )
    state = TrainingState(config, Accelerator(cpu=True))
    state.generator.load_state_dict(make_generator(seed=1, width=2).state_dict())
    state.discriminator.load_state_dict(seeded(state.discriminator, 2))
    state.generator.double()
    state.discriminator.double()
    return state


@pytest.fixture
def texture(tmp_path, monkeypatch):
    """VGG19 with few channels."""
    network = nn.Module()
    network.features = torchvision.models.vgg.make_layers(NARROW_VGG19)
    torch.save(seeded(network, 3), tmp_path / "vgg19.pth")
    monkeypatch.setattr(torchvision.models, "vgg19", lambda weights: network)
    return VGG19Features(tmp_path / "vgg19.pth").double()


@pytest.fixture
def plain(state, texture):
    return PlainTraining(
        state.generator.state_dict(),
        state.discriminator.state_dict(),
        texture.state_dict(),
        state.generator.config.attention_levels,
    )


@pytest.fixture(params=["self-reconstruction", "fine-tuning"])
def sample(request):
    """Noise, for a smooth image is as flat in places as to be magnified by the norms."""
    torch.manual_seed(4)
    sizes = {"panorama": 2} if request.param == "self-reconstruction" else dict.fromkeys(ROLES, 1)
    return {role: torch.rand(size, 3, 256, 768, dtype=torch.double) for role, size in sizes.items()}


@pytest.mark.slow
def test_losses_and_gradients_of_the_generator_are_ours(state, texture, plain, sample):
    ours, others = generator_losses(state, texture, sample, 4), plain.generator_losses(sample)
    assert numbers(others) == pytest.approx(numbers(ours), rel=1e-6)
    torch.stack(list(ours.values())).sum().backward()
    torch.stack(list(others.values())).sum().backward()
    assert_same_gradients(plain.generator_weights, state.generator)


def test_loss_and_gradients_of_the_discriminator_are_ours(state, plain, sample):
    ours, other = discriminator_losses(state, sample, 4)["discriminator"], plain.discriminator_loss(sample)
    assert other.item() == pytest.approx(ours.item(), rel=1e-6)
    ours.backward()
    other.backward()
    assert_same_gradients(plain.discriminator_weights, state.discriminator)


def test_optimisers_are_ours(state, plain):
    state.schedule(1, 1)
    for ours, other in (
        (state.generator_optimiser, plain.generator_optimiser),
        (state.discriminator_optimiser, plain.discriminator_optimiser),
    ):
        for setting in ("lr", "betas", "eps", "weight_decay", "amsgrad"):
            assert other.param_groups[0][setting] == ours.param_groups[0][setting]


def seeded(network, seed):
    return seeded_state_dict({name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}, seed)


def numbers(losses):
    return {name: loss.item() for name, loss in losses.items()}


def assert_same_gradients(weights, network):
    gradients = {name: weight.grad for name, weight in network.named_parameters()}
    largest = max(gradient.norm() for gradient in gradients.values() if gradient is not None)
    for name, gradient in gradients.items():
        if gradient is None:
            assert weights[name].grad is None, name
        else:
            # that of a bias that a norm takes away is chance
            difference = (weights[name].grad - gradient).norm()
            assert difference < 1e-4 * gradient.norm() + 1e-11 * largest, name
