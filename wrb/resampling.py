"""Every way in which images are scaled, averaged, continued beyond their ends and faded into each other."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Scale images in 0..1, (b c h w), to (b c height width), clamped to 0..1; of that size already, they are returned
    as they are.
    """
    return images if images.shape[-2:] == (height, width) else resample(images, height, width).clamp(0, 1)


def resample(images: Tensor, height: int, width: int) -> Tensor:
    """Scale images of any range, (b c h w), to (b c height width): bicubic, antialiased, and so it overshoots."""
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True)


def pool(image: Tensor, height: int) -> Tensor:
    """Scale an image down, (c h w) to (c height …), by the mean of square blocks; `height` divides h."""
    return F.avg_pool2d(image[None], image.shape[-2] // height)[0]


def reflect(place: Tensor, length: int) -> Tensor:
    """Places of any number along an image, as places in it: beyond its ends it goes on mirrored, edges repeated."""
    place = place % (2 * length)
    return torch.minimum(place, 2 * length - 1 - place)


def fade(progress: Tensor) -> Tensor:
    """From 1 where progress is 0 to 0 where it is 1, and level beyond: half a cosine."""
    return 0.5 + 0.5 * torch.cos(torch.pi * progress.clamp(0, 1))
