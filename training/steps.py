"""The losses of one step: on a generator's turn all of its own, on a discriminator's turn that of the discriminator.

Each process computes them for its part of the batch. The mean over the processes is the loss of the whole batch, and
the mean of their gradients is its gradient.
"""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.func import functional_call

from wrb.network.content_transfer import Sequences

from .data import Sample, central, cut, framed, meeting_edges
from .losses import (
    consistency_loss,
    discriminator_adversarial_loss,
    feature_loss,
    generator_adversarial_loss,
    pixel_loss,
    pyramid_loss,
    texture_loss,
)
from .photos import CROP_WIDTH
from .state import TrainingState


def generator_losses(
    state: TrainingState, texture: nn.Module | None, sample: Sample, gap_columns: int
) -> dict[str, Tensor]:
    """The generator's losses, weighted as the configuration says.

    Args:
        texture: gives the feature maps of the texture loss.
        sample: crops to rebuild and, in fine-tuning, crops to join.
        gap_columns: width of the gap in columns of 64 px.
    """
    config, accelerator = state.config, state.accelerator
    lefts, rights = _sides(sample)
    left, right = cut(lefts, gap_columns)[0], cut(rights, gap_columns)[2]
    truth = cut(sample["panorama"], gap_columns)[1]
    outputs = state.prepared_generator(left, right, truth, gap_columns)
    panorama = meeting_edges(outputs.panorama, left, right) if config.meet_edges else outputs.panorama
    normalised = config.normalised_features
    gap_features = _gathered(accelerator, outputs.gap_features[: len(truth)])
    true_features = _gathered(accelerator, outputs.true_features)
    sequences = Sequences(_gathered(accelerator, outputs.rightward), _gathered(accelerator, outputs.leftward))
    processes = accelerator.num_processes
    losses = {
        "pixel": processes * config.pixel_weight * pixel_loss(panorama, left, truth, right),
        "feature": config.feature_weight * feature_loss(gap_features, true_features, normalised=normalised),
        "consistency": config.consistency_weight * consistency_loss(sequences, normalised=normalised),
    }
    gap = cut(panorama[: len(truth)], gap_columns)[1]
    if config.pyramid_weight:
        losses["pyramid"] = processes * config.pyramid_weight * pyramid_loss(gap, truth)
    if texture is not None and config.texture_weight:
        with accelerator.autocast():
            generated_maps = texture(gap)
            with torch.no_grad():
                true_maps = texture(truth)
        losses["texture"] = processes * config.texture_weight * texture_loss(generated_maps, true_maps)
    if config.adversarial_weight:
        # the generator passes gradients through the discriminator, whose own weights need none now
        weights = {name: weight.detach() for name, weight in state.discriminator.named_parameters()}
        with accelerator.autocast():
            fake = functional_call(state.discriminator, weights, (framed(panorama, lefts, rights),))
            with torch.no_grad():
                real = functional_call(state.discriminator, weights, (_true_panoramas(sample),))
        fake, real = _gathered(accelerator, fake.float()), _gathered(accelerator, real.float())
        losses["adversarial"] = config.adversarial_weight * generator_adversarial_loss(fake, real)
    return losses


def discriminator_losses(state: TrainingState, sample: Sample, gap_columns: int) -> dict[str, Tensor]:
    """The discriminator's loss on true panoramas and on as many that the generator makes.

    The arguments are those of `generator_losses`.
    """
    lefts, rights = _sides(sample)
    left, right = cut(lefts, gap_columns)[0], cut(rights, gap_columns)[2]
    with torch.no_grad():
        with state.accelerator.autocast():
            generated = state.generator(left, right, gap_columns).float()
        if state.config.meet_edges:
            generated = meeting_edges(generated, left, right)
    panoramas = torch.cat([framed(generated, lefts, rights), _true_panoramas(sample)])
    fake, real = state.prepared_discriminator(panoramas).float().chunk(2)
    fake, real = _gathered(state.accelerator, fake), _gathered(state.accelerator, real)
    return {"discriminator": discriminator_adversarial_loss(fake, real)}


def _sides(sample: Sample) -> tuple[Tensor, Tensor]:
    """The crops that the left and the right photos are from: first those to rebuild, then those to join."""
    panoramas = sample["panorama"]
    if "left" not in sample:
        return panoramas, panoramas
    return torch.cat([panoramas, sample["left"]]), torch.cat([panoramas, sample["right"]])


def _true_panoramas(sample: Sample) -> Tensor:
    """As many as are generated, of the size that the discriminator sees."""
    panoramas = torch.cat([sample["panorama"], sample["other"]]) if "other" in sample else sample["panorama"]
    return central(panoramas, CROP_WIDTH)


def _gathered(accelerator: Accelerator, values: Tensor) -> Tensor:
    """The values of all processes, for a loss that compares samples.

    Every process computes that loss of the whole batch, but passes gradients on to its own values alone. As the
    gradients are averaged over the processes afterwards, it multiplies its own by their number.
    """
    if accelerator.num_processes == 1:
        return values
    everyone = list(accelerator.gather(values.detach().contiguous()).split(len(values)))
    own = values.detach() + accelerator.num_processes * (values - values.detach())
    everyone[accelerator.process_index] = own
    return torch.cat(everyone)
