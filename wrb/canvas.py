"""Geometry: photos of any size to the squares that the network sees, and its columns back to pixels.

Tensors are (b c h w) in 0..1 throughout.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from .config import COLUMN_WIDTH, IMAGE_SIZE

NARROWEST_GAP = 0.25
WIDEST_GAP = 8
"""Limits of a gap's width, as multiples of the panorama's height."""


def prepare_pair(left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """Make two batches of photos fit each other: RGB, float32, of one height (the left one's) and of one length.

    A batch of one repeats; of two lengths the shorter repeats its last photo. Photos that fit already are returned as
    they are, not copied.

    Raises:
        ValueError: if a batch is empty, is not (b c h w) with 1, 3 or 4 channels, or has a pixel that is no number.
    """
    left, right = (_as_rgb(_checked(photos, name)) for photos, name in ((left, "left"), (right, "right")))
    height = left.shape[-2]
    if right.shape[-2] != height:
        right = resize(right, height, max(1, round(right.shape[-1] * height / right.shape[-2])))
    length = max(len(left), len(right))
    return _repeat_to(left, length), _repeat_to(right.to(left.device), length)


def _checked(photos: Tensor, name: str) -> Tensor:
    if photos.ndim != 4 or photos.shape[1] not in (1, 3, 4):
        raise ValueError(f"{name} is {tuple(photos.shape)}; expected (b, c, h, w), with 1, 3 or 4 channels")
    if 0 in photos.shape:
        raise ValueError(f"{name} is empty: {tuple(photos.shape)}; give at least one photo of at least 1×1 px")
    if not photos.is_floating_point():
        raise ValueError(f"{name} is {photos.dtype}; expected floating point numbers in 0..1")
    if count := int(photos.numel() - photos.isfinite().sum()):
        raise ValueError(f"{name} has {count} values that are NaN or infinite; repair the photo first")
    return photos.float()


def _as_rgb(photos: Tensor) -> Tensor:
    """Grey is repeated to RGB; transparency is laid over black."""
    if photos.shape[1] == 1:
        return photos.expand(-1, 3, -1, -1)
    if photos.shape[1] == 4:
        return photos[:, :3] * photos[:, 3:]
    return photos


def _repeat_to(photos: Tensor, length: int) -> Tensor:
    missing = length - len(photos)
    return torch.cat([photos, photos[-1:].expand(missing, -1, -1, -1)]) if missing else photos


def resize(images: Tensor, height: int, width: int) -> Tensor:
    """Bicubic with antialiasing, clamped to 0..1; images of that size already are returned as they are."""
    if images.shape[-2:] == (height, width):
        return images
    return F.interpolate(images, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def checked_gap_width(gap_width: int | None, height: int) -> int:
    """The gap's width in px; None is as wide as the panorama is high.

    Raises:
        ValueError: if it lies outside `NARROWEST_GAP` to `WIDEST_GAP` times the height.
    """
    if gap_width is None:
        return height
    narrowest, widest = math.ceil(height * NARROWEST_GAP), height * WIDEST_GAP
    if not narrowest <= gap_width <= widest:
        raise ValueError(
            f"the gap is {gap_width} px wide; between photos {height} px high it can be {narrowest} to {widest} px"
        )
    return gap_width


def gap_columns(gap_width: int, height: int) -> int:
    """How many columns the network generates for a gap of that many px: the nearest number, at least 1."""
    return max(1, round(gap_width * IMAGE_SIZE / (height * COLUMN_WIDTH)))


@dataclass(frozen=True)
class Context:
    """The part of a photo next to the gap, as the network sees it; the gap lies to its right.

    A right photo is mirrored before it becomes a context and its context mirrored again, so one side is all there is.
    """

    image: Tensor
    """(b 3 256 256). Where the photo is narrower than high, its reflection fills the left."""

    width: int
    """Width in px of the part of the photo that it shows."""

    columns: int
    """Width in px of the same part in `image`."""


def context(photos: Tensor) -> Context:
    """The square at the right end of photos, (b 3 h w)."""
    height = photos.shape[-2]
    width = min(photos.shape[-1], height)
    columns = max(1, round(width * IMAGE_SIZE / height))
    visible = resize(photos[..., -width:].clamp(0, 1), IMAGE_SIZE, columns)
    # reflection with the edge repeated, as often as it takes: defined down to a single column
    place = torch.arange(columns - IMAGE_SIZE, columns, device=photos.device) % (2 * columns)
    return Context(visible[..., torch.minimum(place, 2 * columns - 1 - place)], width, columns)
