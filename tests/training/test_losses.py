"""What each loss must do; the golden numbers are compared in `test_steps.py`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
import torchvision

from tests.golden.seeded import seeded_state_dict
from training.discriminator import Discriminator
from training.losses import (
    LossSettings,
    consistency_loss,
    discriminator_adversarial_loss,
    edge_weight,
    feature_loss,
    generator_adversarial_loss,
    pixel_loss,
    pyramid_loss,
    texture_loss,
)
from training.perceptual import EfficientNetLiteFeatures, VGG19Features
from wrb.network.content_transfer import Sequences

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def vgg19(tmp_path_factory):
    with torch.device("meta"):
        features = torchvision.models.vgg19().features.state_dict()
    weights = seeded_state_dict({f"features.{name}": tuple(tensor.shape) for name, tensor in features.items()}, 5)
    path = tmp_path_factory.mktemp("vgg19") / "vgg19.pth"
    torch.save(weights, path)
    return VGG19Features(path)


def test_the_discriminator_has_the_published_keys_and_shapes():
    shapes = {name: list(tensor.shape) for name, tensor in Discriminator().state_dict().items()}
    assert shapes == json.loads((GOLDEN / "discriminator_shapes.json").read_text())


def test_a_low_discriminator_sees_no_texture():
    discriminator = Discriminator(width=2, height=64)
    panorama = torch.rand(2, 3, 256, 768)
    layout = F.avg_pool2d(panorama, 4).repeat_interleave(4, -1).repeat_interleave(4, -2)
    torch.testing.assert_close(discriminator(panorama), discriminator(layout))


def test_the_adversarial_losses_of_the_golden_logits_are_the_golden_ones():
    golden = json.loads((GOLDEN / "training_losses.json").read_text())
    fake, real = (torch.tensor(golden["self_reconstruction_logits"][name])[:, None] for name in ("fake", "real"))
    expected = golden["self_reconstruction"]
    weighted = LossSettings().adversarial_weight * generator_adversarial_loss(fake, real)
    assert weighted.item() == pytest.approx(expected["generator_adversarial"], rel=1e-5)
    discriminator = discriminator_adversarial_loss(fake, real)
    assert discriminator.item() == pytest.approx(expected["discriminator_adversarial"], rel=1e-5)


def test_pixels_near_the_photos_count_most():
    weight = edge_weight(256)
    assert weight[0] > 0.99 and weight[-1] > 0.99
    assert weight[128] < 0.3
    torch.testing.assert_close(weight, weight.flip(0))


def test_the_pyramid_asks_for_an_edge_where_the_pixels_ask_for_a_blur():
    """Photos whose skylines are at any of nine heights, and gaps that are the same for all."""
    row = torch.arange(256)[:, None]
    truth = torch.stack([(row > skyline).float().expand(3, -1, 256) for skyline in range(112, 145, 4)])
    blur, edge = truth.mean(0).expand_as(truth), truth.median(0).values.expand_as(truth)
    assert pyramid_loss(edge, truth) < 0.95 * pyramid_loss(blur, truth)
    sides = torch.rand(2, 9, 3, 256, 256)

    def pixels(gap):
        return pixel_loss(torch.cat([sides[0], gap, sides[1]], dim=-1), sides[0], truth, sides[1])

    assert pixels(blur) < 0.95 * pixels(edge)


def test_the_pyramid_sees_layout_not_texture_and_adds_up_samples():
    truth = torch.rand(2, 3, 256, 128)
    assert pyramid_loss(truth, truth) == 0
    texture = 0.1 * (-1) ** torch.arange(256)[:, None]  # its mean over two rows is zero
    assert pyramid_loss(truth + texture, truth) == pytest.approx(0, abs=1e-5)
    assert pyramid_loss(truth + 0.1, truth).item() == pytest.approx(2 * 3 * 0.1, rel=1e-3)


def test_texture_loss_is_least_for_the_truth_and_finite_for_nothing_at_all():
    truth = [torch.rand(2, 16, 8, 8), torch.rand(2, 32, 4, 4)]
    other = [torch.rand_like(features) for features in truth]
    assert texture_loss(truth, truth) < texture_loss(other, truth)
    flat = [torch.zeros_like(features).requires_grad_() for features in truth]
    loss = texture_loss(flat, truth)
    loss.backward()
    assert loss.isfinite() and flat[0].grad.isfinite().all()


def test_telling_photos_apart_less_satisfies_the_feature_losses_unless_they_are_normalised():
    features, truth, one_map = torch.rand(4, 8, 4, 4), torch.rand(4, 8, 4, 4), 5 * torch.rand(8, 4, 4)
    for collapsed in ((features / 5, truth / 5), (one_map + features / 5, one_map + truth / 5)):
        assert feature_loss(*collapsed) < 0.1 * feature_loss(features, truth)
        normalised = feature_loss(*collapsed, normalised=True)
        assert normalised.item() == pytest.approx(feature_loss(features, truth, normalised=True).item(), rel=0.1)
    sequences = Sequences(torch.rand(4, 8, 4, 12), torch.rand(4, 8, 4, 12))
    shrunk = Sequences(sequences.left_to_right / 5, sequences.right_to_left / 5)
    normalised = consistency_loss(shrunk, normalised=True)
    assert normalised.item() == pytest.approx(consistency_loss(sequences, normalised=True).item(), rel=0.1)


def test_the_truth_of_the_features_is_not_pulled_towards_the_guess():
    guess, truth = torch.rand(1, 8, 4, 4, requires_grad=True), torch.rand(1, 8, 4, 4, requires_grad=True)
    feature_loss(guess, truth).backward()
    assert guess.grad is not None and truth.grad is None


def test_vgg19_features_take_the_first_activation_of_blocks_3_and_4(vgg19):
    maps = vgg19(torch.rand(1, 3, 64, 64))
    assert [tuple(features.shape) for features in maps] == [(1, 256, 16, 16), (1, 512, 8, 8)]
    assert all(features.min() == 0 for features in maps)


def test_a_file_that_is_no_vgg19_is_refused(tmp_path):
    torch.save({"classifier.0.weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match="is no VGG19 of torchvision's layout: it has no features.0.bias"):
        VGG19Features(tmp_path / "other.pth")


def test_efficientnet_features_are_of_strides_8_and_16_and_pass_gradients():
    images = torch.rand(1, 3, 64, 96, requires_grad=True)
    maps = EfficientNetLiteFeatures()(images)
    assert [tuple(features.shape) for features in maps] == [(1, 40, 8, 12), (1, 112, 4, 6)]
    maps[1].sum().backward()
    assert images.grad.abs().sum() > 0
