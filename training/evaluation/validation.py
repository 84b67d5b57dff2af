"""How good a generator is on photos that it does not learn from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from wrb import Generator

from ..data import central, cut, meeting_edges
from ..losses import LossSettings, pixel_loss, pyramid_loss, texture_loss
from ..perceptual import PooledFeatures
from ..photos import CROP_WIDTH
from .baselines import cross_fade
from .datasets import WINDOW_WIDTH
from .distribution_distances import kernel_distance
from .psnr import psnr

PARTNERS = 2
"""With how many others each photo is joined for the kernel distance."""


def as_blended(generator: Generator, left: Tensor, right: Tensor) -> Tensor:
    """Panoramas, (b 3 256 768) in 0..1, their gaps as `blend` shows them between the photos, (b 3 256 256) each."""
    return meeting_edges(generator(left, right).float(), left, right).clamp(0, 1)


@torch.inference_mode()
def validate(
    generator: Generator,
    texture: nn.Module | None,
    panoramas: Sequence[Tensor],
    weights: LossSettings,
    *,
    with_kid: bool = False,
) -> dict[str, float]:
    """Self-reconstruction of whole panoramas, batches of (b 3 256 768), and the joining of different ones.

    Args:
        texture: gives feature maps; without it there is no `texture` figure.
        weights: of the losses in the sum.
        with_kid: join different panoramas too.

    Returns:
        Means over all: `psnr` and `cross_fade_psnr` of the gap in dB, its `pixel`, `pyramid` and `texture` losses,
        and their weighted sum, `loss`; with `with_kid` also `kid`, the kernel distance of joined pairs of different
        photos from the photos, by the texture network's last features.
    """
    sums = dict.fromkeys(("psnr", "cross_fade_psnr", "pixel", "pyramid", "texture"), 0.0)
    for batch in panoramas:
        left, gap, right = cut(batch)
        panorama = as_blended(generator, left, right)
        generated = cut(panorama)[1]
        sums["psnr"] += psnr(generated, gap).sum().item()
        sums["cross_fade_psnr"] += psnr(cross_fade(left, right, gap.shape[-1]), gap).sum().item()
        sums["pixel"] += pixel_loss(panorama, left, gap, right).item()
        sums["pyramid"] += pyramid_loss(generated, gap).item()
        if texture is not None:
            sums["texture"] += texture_loss(texture(generated), texture(gap)).item()
    means = {name: value / sum(map(len, panoramas)) for name, value in sums.items()}
    loss = sum(getattr(weights, f"{name}_weight") * means[name] for name in ("pixel", "pyramid", "texture"))
    figures = {**means, "loss": loss}
    if with_kid and texture is not None:
        figures["kid"] = _kernel_distance(generator, PooledFeatures(texture), panoramas)
    return figures


def _kernel_distance(generator: Generator, features: nn.Module, panoramas: Sequence[Tensor]) -> float:
    every = torch.cat(list(panoramas))
    true, generated = [], []
    for batch in panoramas:
        starts = (0, (CROP_WIDTH - WINDOW_WIDTH) // 2, CROP_WIDTH - WINDOW_WIDTH)
        true += [features(batch[..., start : start + WINDOW_WIDTH]) for start in starts]
    for shift in range(1, 1 + PARTNERS):
        for left, right in zip(
            every.split(len(panoramas[0])), every.roll(-shift, 0).split(len(panoramas[0])), strict=True
        ):
            panorama = as_blended(generator, cut(left)[0], cut(right)[2])
            generated.append(features(central(panorama, WINDOW_WIDTH)))
    return kernel_distance(torch.cat(generated).float(), torch.cat(true).float())


@torch.inference_mode()
def sample_panoramas(generator: Generator, panoramas: Tensor) -> dict[str, Tensor]:
    """What there is to see of a generator: photos, (b 3 256 768), rebuilt and joined, the gaps as blended."""
    left, _, right = cut(panoramas)
    return {
        "self-reconstruction": as_blended(generator, left, right),
        "different photos": as_blended(generator, left, right.roll(-1, 0)),
    }
