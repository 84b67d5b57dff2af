"""The training losses (paper section 3.4), each a sum over the samples of a batch.

Sums, not means, are what the paper's weights between the losses were chosen for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from wrb.transfer import ROWS, Sequences

SHARPNESS = 0.5
"""Bandwidth h of ID-MRF: the smaller, the more a patch must stand out to count as a match."""

MINIMUM_DISTANCE = 1e-5

MINIMUM_SPREAD = 1e-4


def pixel_loss(panorama: Tensor, left: Tensor, gap: Tensor | None, right: Tensor) -> Tensor:
    """Squared error of both redrawn sides, and of the gap with weights that fall towards its centre.

    Args:
        panorama: (b 3 h w); the true `left` and `right`, (b 3 h s).
        gap: the true middle of the first r samples, (r 3 h w-2s); None if there is none.
    """
    side = left.shape[-1]
    left_out, gap_out, right_out = panorama.split([side, panorama.shape[-1] - 2 * side, side], dim=-1)
    loss = len(panorama) * (F.mse_loss(left_out, left) + F.mse_loss(right_out, right))
    if gap is not None:
        weight = edge_weight(gap.shape[-1]).to(gap)
        loss = loss + len(gap) * (weight * (gap_out[: len(gap)] - gap).square()).mean()
    return loss


def edge_weight(width: int) -> Tensor:
    """Weight of each of the gap's columns, (width): certain next to the photos, free in between."""
    column = torch.arange(width)
    falloff = torch.exp(-column.square() / (2 * (width / 4) ** 2))
    return falloff + falloff.flip(0)


def texture_loss(generated: list[Tensor], truth: list[Tensor]) -> Tensor:
    """ID-MRF (Wang et al., NeurIPS 2018) summed over feature maps, the last counted twice (style and content).

    Args:
        generated: feature maps of the generated middle, (b c h w) each; `truth` those of the true one.
    """
    layers = zip([*generated, generated[-1]], [*truth, truth[-1]], strict=True)
    return torch.stack([_id_mrf(own.float(), target.float()) for own, target in layers]).sum()


def _id_mrf(generated: Tensor, truth: Tensor) -> Tensor:
    centre = truth.mean(dim=1, keepdim=True)
    # the floor of `normalize` keeps a featureless position from dividing by zero
    generated = F.normalize(rearrange(generated - centre, "b c h w -> b c (h w)"), dim=1)
    truth = F.normalize(rearrange(truth - centre, "b c h w -> b c (h w)"), dim=1)
    distance = (1 - torch.einsum("b c o, b c p -> b o p", truth, generated)) / 2
    relative = distance / (distance.amin(dim=1, keepdim=True) + MINIMUM_DISTANCE)
    similarity = ((1 - relative) / SHARPNESS).softmax(dim=1)
    return -similarity.amax(dim=2).mean(dim=1).log().sum()


def feature_loss(gap_features: Tensor, true_features: Tensor, *, normalised: bool = False) -> Tensor:
    """Distance of the transferred middle, (r c 4 w), from the encoder's view of the true one, which stays as it is."""
    return len(gap_features) * _feature_distance(gap_features, true_features.detach(), normalised)


def consistency_loss(sequences: Sequences, *, normalised: bool = False) -> Tensor:
    """Disagreement of the two directions about the left photo, the gap and the right photo."""
    rightward, leftward = sequences.left_to_right, sequences.right_to_left
    thirds = [ROWS, rightward.shape[-1] - 2 * ROWS, ROWS]
    pairs = zip(rightward.split(thirds, dim=-1), leftward.split(thirds, dim=-1), strict=True)
    return len(rightward) * torch.stack([_feature_distance(a, b, normalised) for a, b in pairs]).sum()


def _feature_distance(features: Tensor, others: Tensor, normalised: bool) -> Tensor:
    features, others = features.float(), others.float()
    if not normalised:
        return F.mse_loss(features, others)
    # Relative to how much each number varies from photo to photo, smaller or more uniform features come no closer.
    # A spread over places would not do: all photos may come to share one map that varies from place to place.
    spread = torch.cat([features, others]).var(dim=0)
    return ((features - others).square() / (spread + MINIMUM_SPREAD)).mean()


def generator_adversarial_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Relativistic average least squares (paper equation 8): logits (b 1) of generated and real panoramas."""
    return len(fake) * (fake - real.mean()).square().mean()


def discriminator_adversarial_loss(fake: Tensor, real: Tensor) -> Tensor:
    """The discriminator's side of the same."""
    return len(fake) * ((real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean())
