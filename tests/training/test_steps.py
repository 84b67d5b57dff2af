"""The losses of a step, as the run computes them, against what the authors' code printed, and what they must do."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
import torchvision
from accelerate import Accelerator

from tests.golden.seeded import seeded_image, seeded_state_dict
from training.config import SelfReconstructionConfig
from training.data import cut
from training.perceptual import texture_network
from training.state import TrainingState
from training.steps import discriminator_losses, generator_losses


@pytest.fixture(scope="module")
def golden(request):
    return json.loads((request.config.rootpath / "tests/golden/training_losses.json").read_text())


@pytest.fixture(scope="module")
def published(request, make_generator, tmp_path_factory):
    """A run's state of the authors' size with the golden weights, and its texture network: in double precision.

    An adversarial loss is a small number made of differences of logits of about 1, and the generator's norms magnify
    rounding: in single precision a processor with AVX-512 finds 0.09635 for the discriminator's in fine-tuning, where
    the golden run found 0.09621. In double precision it is 0.096367, on every processor, and the test takes no longer.
    """
    folder = tmp_path_factory.mktemp("published")
    config = SelfReconstructionConfig(photos=(folder,), out=folder, cpu=True)
    state = TrainingState(config, Accelerator(cpu=True))
    state.generator.load_state_dict(make_generator(seed=1).state_dict())
    shapes = json.loads((request.config.rootpath / "tests/golden/discriminator_shapes.json").read_text())
    state.discriminator.load_state_dict(seeded_state_dict(shapes, 4))
    with torch.device("meta"):
        features = torchvision.models.vgg19().features.state_dict()
    shapes = {f"features.{name}": tuple(tensor.shape) for name, tensor in features.items()}
    torch.save(seeded_state_dict(shapes, 5), folder / "vgg19.pth")
    texture = texture_network("vgg19", folder / "vgg19.pth")
    for network in (state.generator, state.discriminator, texture):
        network.double().to(memory_format=torch.contiguous_format)  # the faster layout in double precision
    return state, texture


@pytest.fixture
def in_double(monkeypatch):
    """Losses leave out their own conversion to single precision."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@torch.no_grad()
def test_self_reconstruction_losses_are_the_golden_ones(published, golden):
    state, texture = published
    sample = {"panorama": torch.cat([seeded_image(41, width=768), seeded_image(42, width=768)]).double()}
    logits = []
    with state.discriminator.register_forward_hook(lambda *call: logits.append(call[2].flatten().tolist())):
        generator, discriminator = generator_losses(state, texture, sample, 4), discriminator_losses(state, sample, 4)
    assert_golden(generator, discriminator, golden["self_reconstruction"])
    expected = golden["self_reconstruction_logits"]
    assert logits[-1] == pytest.approx(expected["fake"] + expected["real"], rel=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("in_double")
@torch.no_grad()
def test_fine_tuning_losses_are_the_golden_ones(published, golden):
    """One reconstruction and one pair of different photos."""
    state, texture = published
    nothing = torch.zeros(1, 3, 256, 512)
    sample = {
        "panorama": seeded_image(41, width=768),
        "left": torch.cat([seeded_image(43), nothing], dim=-1),
        "right": torch.cat([nothing, seeded_image(44)], dim=-1),
        "other": seeded_image(45, width=768),
    }
    sample = {role: crops.double() for role, crops in sample.items()}
    assert_golden(
        generator_losses(state, texture, sample, 4), discriminator_losses(state, sample, 4), golden["fine_tuning"]
    )


ROUNDED_ADVERSARIAL = 2e-3
"""By how much the golden adversarial losses may be off, relative, as that run was in single precision: its logits of
generated panoramas are 3e-4 below those in double precision, which makes 1.6e-3 of the loss that is nearest to zero.
What the formulas make of the golden logits is tested to 1e-5 in `test_losses.py`."""


def assert_golden(generator, discriminator, golden):
    found = {name: value.item() for name, value in generator.items()}
    adversarial = {
        "generator_adversarial": found.pop("adversarial"),
        "discriminator_adversarial": discriminator["discriminator"].item(),
    }
    assert adversarial == pytest.approx({name: golden[name] for name in adversarial}, rel=ROUNDED_ADVERSARIAL)
    assert found == pytest.approx({name: golden[name] for name in golden if name not in adversarial}, rel=1e-3)


def test_no_graph_of_the_generator_on_discriminator_steps_nor_of_the_discriminator_on_the_others(config, make_state):
    state = make_state(config)
    sample = {"panorama": torch.rand(2, 3, 256, 768)}
    discriminator_losses(state, sample, 4)["discriminator"].backward()
    assert all(parameter.grad is None for parameter in state.generator.parameters())
    assert all(parameter.grad is not None for parameter in state.discriminator.parameters())
    state.discriminator_optimiser.zero_grad()
    torch.stack(list(generator_losses(state, None, sample, 4).values())).sum().backward()
    assert all(parameter.grad is None for parameter in state.discriminator.parameters())
    assert state.generator.feature_in[0].weight.grad.abs().sum() > 0


def test_learning_lowers_the_losses_on_one_batch(config, make_state):
    state = make_state(dataclasses.replace(config, adversarial_weight=0.0))
    torch.manual_seed(0)
    sample = {"panorama": torch.rand(2, 3, 1, 768).expand(-1, -1, 256, -1) * 0.2 + 0.4}
    totals = []
    for _ in range(12):
        total = torch.stack(list(generator_losses(state, None, sample, 4).values())).sum()
        totals.append(total.item())
        state.schedule(12, 12)
        state.generator_optimiser.zero_grad()
        total.backward()
        state.generator_optimiser.step()
    assert totals[-1] < 0.7 * totals[0]


def test_a_gap_judged_as_a_blend_shows_it_need_not_know_the_brightness(config, make_state):
    """A flat gap of any grey meets the edges of flat photos without a difference."""
    sample = {"panorama": torch.full((2, 3, 256, 768), 0.8)}
    losses = {}
    for meet_edges in (False, True):
        state = make_state(dataclasses.replace(config, adversarial_weight=0.0, meet_edges=meet_edges))
        state.generator.decoder_stage0[0].weight.data.zero_()  # draws 0.5 everywhere
        losses[meet_edges] = generator_losses(state, None, sample, 4)["pixel"].item()
    sides = 2 * 2 * 0.3**2
    assert losses[True] == pytest.approx(sides, rel=1e-3)
    assert losses[False] > 1.1 * sides


def test_the_pyramid_is_a_loss_of_what_is_rebuilt_if_it_has_a_weight(config, make_state):
    sample = {role: torch.rand(1, 3, 256, 768) for role in ("panorama", "left", "right", "other")}
    losses = {}
    for weight in (0.0, 0.1, 0.2):
        state = make_state(dataclasses.replace(config, adversarial_weight=0.0, pyramid_weight=weight))
        losses[weight] = generator_losses(state, None, sample, 4)
    assert "pyramid" not in losses[0.0]
    assert losses[0.2]["pyramid"].item() == pytest.approx(2 * losses[0.1]["pyramid"].item())
    assert losses[0.1]["pyramid"].item() < 0.1 * 3, "of one sample, at three heights, each less than 1"
    for name, value in losses[0.0].items():
        assert torch.equal(value, losses[0.1][name])


@pytest.mark.parametrize("gap_columns", [2, 4, 8])
def test_a_gap_of_any_width_has_all_losses(config, make_state, gap_columns):
    state = make_state(config)
    sample = {role: torch.rand(1, 3, 256, 1024) for role in ("panorama", "left", "right", "other")}
    losses = generator_losses(state, texture_network("efficientnet-lite0"), sample, gap_columns)
    assert set(losses) == {"pixel", "feature", "consistency", "adversarial"}  # the texture's weight is 0
    assert all(value.isfinite() and value > 0 for value in losses.values())
    assert discriminator_losses(state, sample, gap_columns)["discriminator"].isfinite()
    assert cut(sample["panorama"], gap_columns)[1].shape[-1] == 64 * gap_columns
