"""The training losses (paper section 3.4), each a sum over the samples of a batch.

They are sums, not means, because the paper chose its weights for sums.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from wrb.network.content_transfer import FEATURE_ROWS, Sequences

from .settings import Settings

SHARPNESS = 0.5
"""Bandwidth h of ID-MRF: the smaller, the more a patch must stand out to count as a match."""

MINIMUM_DISTANCE = 1e-5

MINIMUM_SPREAD = 1e-4

PYRAMID_HEIGHTS = (16, 32, 64)
"""Of the scales that the pyramid loss compares, in px: layout up to silhouettes. Texture is finer, and not its part."""

CHUNK = 256
"""Generated patches that are compared with all true ones at a time."""


@dataclass(frozen=True, kw_only=True)
class LossSettings(Settings):
    """The losses' weights and variants."""

    pixel_weight: float = 1.0
    """Weight of the pixel loss."""

    pyramid_weight: float = 0.0
    """Weight of the pyramid loss, which asks for the layout of the gap, with skylines as edges; 0 leaves it out."""

    feature_weight: float = 1.0
    """Weight of the feature reconstruction loss."""

    consistency_weight: float = 1.0
    """Weight of the feature consistency loss."""

    texture_weight: float = 0.01
    """Weight of the ID-MRF texture loss; 0 leaves it out."""

    adversarial_weight: float = 0.0018
    """Weight of the adversarial loss; 0 leaves it out, with the discriminator."""

    normalised_features: bool = False
    """Compare features relative to how much they vary from photo to photo, so that the encoder cannot satisfy the
    feature losses by telling photos apart less."""

    meet_edges: bool = False
    """Judge the gap after it was made to meet the photos' edges, as a blend shows it, not as the network drew it."""

    texture_network: Literal["vgg19", "efficientnet-lite0"] = "vgg19"
    """Where the features of the texture loss and of keep_by kid come from; efficientnet-lite0 is far cheaper on a CPU
    and needs no download."""

    texture_weights: Path | None = None
    """A local file of the texture network's weights, instead of a download."""


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


def pyramid_loss(gap: Tensor, truth: Tensor) -> Tensor:
    """Absolute error at each of `PYRAMID_HEIGHTS`, alike at the edges and in the centre of the gap.

    It is least at the median of what may be there, where a squared error is least at the mean: so a skyline that may be
    somewhat higher or lower becomes an edge, not a blur. (L1 norms at several scales, as in Bojanowski et al., ICML
    2018, but of means of blocks, not of bands.)

    Args:
        gap: generated middles, (r 3 256 w); `truth` the true ones.
    """
    difference = gap - truth
    errors = [F.avg_pool2d(difference, difference.shape[-2] // height).abs().mean() for height in PYRAMID_HEIGHTS]
    return len(gap) * torch.stack(errors).sum()


def texture_loss(generated: list[Tensor], truth: list[Tensor]) -> Tensor:
    """ID-MRF (Wang et al., NeurIPS 2018) summed over feature maps, the last counted twice (style and content).

    Args:
        generated: feature maps of the generated middle, (b c h w) each; `truth` those of the true one.
    """
    losses = [_id_mrf(own.float(), target.float()) for own, target in zip(generated, truth, strict=True)]
    return torch.stack([*losses, losses[-1]]).sum()


def _id_mrf(generated: Tensor, truth: Tensor) -> Tensor:
    centre = truth.mean(dim=1, keepdim=True)
    # the floor of `normalize` keeps a featureless position from dividing by zero
    generated = F.normalize(rearrange(generated - centre, "b c h w -> b (h w) c"), dim=2)
    truth = F.normalize(rearrange(truth - centre, "b c h w -> b (h w) c"), dim=2)
    return -_BestMatches.apply(generated, truth.detach()).mean(dim=1).log().sum()


class _BestMatches(torch.autograd.Function):
    """How well each true patch is matched by the generated one that resembles it most, (b o).

    Patches are vectors of length one: generated ones p, (b p c), and true ones o, (b o c). Their distance is
    d = (1 - cosine) / 2. The similarity of p to o is a softmax over o of (1 - d / (min over o of d + ε)) / h, which is
    that of cosine · scale, with a scale for each p.

    Of 64×64 patches all pairs take 64 MB a sample, and autograd would keep several tensors of that size. Here pairs are
    formed for a few p at a time and thrown away. Of them the gradient needs no more than one vector for each p: the
    mean of the true patches, weighed by their similarity to p. By `python -m benchmarks.shortcuts --threads 1`, forward
    and backward together take 0.2 to 0.4 times as long as with all pairs at once.
    """

    @staticmethod
    def forward(ctx: Any, generated: Tensor, truth: Tensor) -> Tensor:
        best = truth.new_zeros(truth.shape[:2])
        match = torch.zeros_like(best, dtype=torch.long)
        parts = []
        for start in range(0, generated.shape[1], CHUNK):
            cosine = generated[:, start : start + CHUNK] @ truth.mT
            largest, nearest = cosine.max(dim=2)
            scale = 1 / (SHARPNESS * (1 - largest + 2 * MINIMUM_DISTANCE))
            similarity = cosine.sub_(largest[..., None]).mul_(scale[..., None]).exp_()
            similarity /= similarity.sum(dim=2, keepdim=True)
            if generated.requires_grad:
                parts.append((similarity @ truth, nearest, scale))
            similarity, place = similarity.max(dim=1)
            match = torch.where(similarity > best, place + start, match)
            best = torch.maximum(best, similarity)
        weighed = (torch.cat(part, dim=1) for part in zip(*parts, strict=True))
        ctx.save_for_backward(generated, truth, best, match, *weighed)
        return best

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        generated, truth, best, match, mean_truth, nearest, scale = ctx.saved_tensors
        of_logarithm = gradient * best
        total = torch.zeros_like(scale).scatter_add_(1, match, of_logarithm)
        channels = (-1, -1, truth.shape[2])
        # of cosine · scale, summed over o with the true patches as weights
        of_logits = (-total[..., None] * mean_truth).scatter_add_(
            1, match[..., None].expand(channels), of_logarithm[..., None] * truth
        )
        of_scale = (of_logits * generated).sum(dim=2)
        of_largest = of_scale * SHARPNESS * scale.square()
        nearest_truth = truth.gather(1, nearest[..., None].expand(channels))
        return of_logits * scale[..., None] + nearest_truth * of_largest[..., None], None


def feature_loss(gap_features: Tensor, true_features: Tensor, *, normalised: bool = False) -> Tensor:
    """Distance of the transferred middle, (r c 4 w), from the encoder's view of the true one, which stays as it is."""
    return len(gap_features) * _feature_distance(gap_features, true_features.detach(), normalised)


def consistency_loss(sequences: Sequences, *, normalised: bool = False) -> Tensor:
    """Disagreement of the two directions about the left photo, the gap and the right photo."""
    rightward, leftward = sequences.left_to_right, sequences.right_to_left
    thirds = [FEATURE_ROWS, rightward.shape[-1] - 2 * FEATURE_ROWS, FEATURE_ROWS]
    pairs = zip(rightward.split(thirds, dim=-1), leftward.split(thirds, dim=-1), strict=True)
    return len(rightward) * torch.stack([_feature_distance(a, b, normalised) for a, b in pairs]).sum()


def _feature_distance(features: Tensor, others: Tensor, normalised: bool) -> Tensor:
    features, others = features.float(), others.float()
    if not normalised:
        return F.mse_loss(features, others)
    # Divided by how much each number varies from photo to photo, features come no closer by shrinking or by being alike
    # for all photos. How much they vary from place to place would not do: all photos might share one map that does.
    spread = torch.cat([features, others]).var(dim=0)
    return ((features - others).square() / (spread + MINIMUM_SPREAD)).mean()


def generator_adversarial_loss(fake: Tensor, real: Tensor) -> Tensor:
    """Relativistic average least squares (paper equation 8): logits (b 1) of generated and real panoramas."""
    return len(fake) * (fake - real.mean()).square().mean()


def discriminator_adversarial_loss(fake: Tensor, real: Tensor) -> Tensor:
    """The discriminator's side of the same."""
    return len(fake) * ((real - fake.mean() - 1).square().mean() + (fake - real.mean() + 1).square().mean())
