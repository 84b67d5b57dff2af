"""A gap that another model has painted, or that was enlarged, made as sharp as its photos.

All that it shows is kept: its layout, its colours and its own detail. The octaves beyond its resolution come from the
photos' residual, as in `pipeline`; but here the gap itself guides the matching, with nothing left out, and its own
finest octave says how much of the residual goes where: next to nothing into a plain sky or onto still water.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import convolving_exactly
from ..geometry import Direction
from ..resampling import reflect, resample
from .correspondence import find_correspondence
from .cross_dissolve import Contribution, dissolve
from .high_frequencies import compose
from .low_frequencies import RowwiseResampling
from .pipeline import left_end, num_photo_cells, right_end
from .settings import DetailSettings, PyramidLevel

GUIDED = DetailSettings(
    num_cell_rows=64,
    pyramid=(PyramidLevel(64, 2), PyramidLevel(128, 2), PyramidLevel(256, 1)),
    discontinuity_penalty=0.5,
    misfit_weight=1.0,
)
"""Of the matching: small pieces. What is laid has no layout of its own to be kept whole, and cuts hardly show in it."""

TEXTURE_WEIGHT = 16.0
"""How many times the finest octave counts beside colours when pieces are matched. With less, rocks are laid with the
detail of a lake of their colour."""

TEXTURE_WINDOW = 2
"""Height and width in px, at the gap's own resolution, of the windows in which that octave is measured. With less, the
measure is mere chance and the gap gets too much detail; with more, detail spills over skylines."""

MOST_GAIN = 3.0
"""By how much the photos' residual is amplified at most, where the gap is busier than what it is laid with. With more,
noise of the photos shows; with less, the gap stays softer than they are."""

SOFTNESS = 3.0
"""How many times less of the photos' energy an octave of the gap has than the next coarser one, if it is soft: then the
photos' detail begins below it. With less, textures that differ are taken for softness; with more, blur stays."""

COARSEST_DETAIL = 256
"""In px of height: a gap that is softer than that is left so. What it lacks there are things, not texture, and those of
the photos would stand in it like ghosts."""

RESOLUTION_STEP = 64
"""In px of height: resolutions are rounded down to whole cells; what is lower has no texture to go by."""


@torch.no_grad()
@convolving_exactly()
def sharpen(
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    resolution: int,
    strength: float = 1,
    *,
    settings: DetailSettings = GUIDED,
    direction: Direction = "right",
) -> None:
    """Give a gap, in place, the photos' detail beyond its own.

    Args:
        gap: (b 3 h w) in 0..1, whose edges meet the photos'; it is not clamped afterwards.
        left: the photos to its left, (b 3 h w); `right` alike.
        resolution: the height in px at which the gap was painted. If it is softer than that, it is seen from the gap.
        strength: from 0, nothing, to 1, as much as the photos have.
        settings: of the matching.
        direction: "down" if all of this is transposed: then no piece is mirrored.
    """
    if strength == 0 or min(resolution, gap.shape[-2]) < RESOLUTION_STEP:
        return
    for one in zip(gap, left, right, strict=True):
        _sharpen_one(*one, resolution, strength, settings, direction)


def _sharpen_one(
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    resolution: int,
    strength: float,
    settings: DetailSettings,
    direction: Direction,
) -> None:
    """`sharpen` for a gap, (3 h w), between its photos."""
    height, width = gap.shape[-2:]
    num_rows = settings.num_cell_rows
    num_cells = round(width * num_rows / height)
    cell_width = width / num_cells
    num_left, num_right = (
        num_photo_cells(photo.shape[-1], max(height, width), cell_width, settings) for photo in (left, right)
    )
    left_width, right_width = round(num_left * cell_width), round(num_right * cell_width)
    left, right = right_end(left, left_width), left_end(right, right_width)

    def scaled(height: int) -> list[Tensor]:
        """The left photo, the gap and the right photo."""
        counts = num_left, num_cells, num_right
        return [
            resample(part[None], height, count * height // num_rows)[0]
            for part, count in zip((left, gap, right), counts, strict=True)
        ]

    resolution = sharp_height(*scaled(min(resolution, height) // RESOLUTION_STEP * RESOLUTION_STEP))
    guides = scaled(settings.finest_height)
    in_left, in_gap, in_right = (
        texture(part, *guide.shape[-2:]) for part, guide in zip(scaled(resolution), guides, strict=True)
    )
    guide_left, guide_gap, guide_right = (
        torch.cat([guide, TEXTURE_WEIGHT * in_part[None]])
        for guide, in_part in zip(guides, (in_left, in_gap, in_right), strict=True)
    )
    mirrors = direction == "right"
    correspondence = find_correspondence(
        guide_left, guide_gap, guide_right, lambda image: image, settings, allow_mirrored=mirrors
    )
    of_left, of_right = dissolve(correspondence, settings)
    of_left = replace(of_left, gain=strength * gain(in_gap, in_left, of_left, in_left.shape[-1]))
    of_right = replace(of_right, gain=strength * gain(in_gap, in_right, of_right, -in_gap.shape[-1]))
    low_left, _, low_right = scaled(resolution)
    lows = RowwiseResampling(low_left, height, left_width), RowwiseResampling(low_right, height, right_width)

    def rows_of_parts(rows: slice) -> tuple[Tensor, Tensor]:
        residuals = [photo[:, rows] - low.rows(rows) for photo, low in zip((left, right), lows, strict=True)]
        return gap[:, rows], torch.cat(residuals, dim=-1)

    compose(gap, rows_of_parts, (left_width, right_width), (of_left, of_right))


def sharp_height(left: Tensor, gap: Tensor, right: Tensor) -> int:
    """To which height in px a gap can be scaled down without losing detail: its own, or half, a quarter … of it.

    A soft one has less and less of the photos' energy from octave to octave.

    Args:
        left: the photo, (3 h w); `right` and the gap alike.
    """
    height = gap.shape[-2]
    shares = []
    while height % 2 == 0 and height >= COARSEST_DETAIL:
        in_left, in_gap, in_right = (finest_octave(part).square().mean() for part in (left, gap, right))
        shares.append(float(in_gap / (in_left + in_right).clamp(min=1e-12)))
        height //= 2
        left, gap, right = (resample(part[None], height, part.shape[-1] // 2)[0] for part in (left, gap, right))
    height *= 2 ** len(shares)
    for fine, coarse in pairwise(shares):
        if fine * SOFTNESS >= coarse:
            break
        height //= 2
    return height


def texture(image: Tensor, rows: int, columns: int) -> Tensor:
    """How much of its finest octave an image, (3 h w), has around each place: the mean amplitude, (rows columns).

    Not its root mean square, in which a single edge, such as a skyline, would count as much as a forest.
    """
    amplitude = finest_octave(image).abs().mean(0)[None, None]
    means = F.avg_pool2d(amplitude, TEXTURE_WINDOW, ceil_mode=True)
    return F.interpolate(means, (rows, columns), mode="bilinear")[0, 0]


def finest_octave(image: Tensor) -> Tensor:
    """What of an image, (3 h w), has no place in one half as large."""
    height, width = image.shape[-2:]
    half = resample(image[None], max(1, height // 2), max(1, width // 2))
    return image - resample(half, height, width)[0]


def gain(in_gap: Tensor, in_photo: Tensor, contribution: Contribution, start: int) -> Tensor:
    """What a photo's residual is multiplied by, for as much texture as the gap has: (h w).

    Args:
        in_gap: the gap's texture, (h w).
        in_photo: the photo's, (h w').
        contribution: of the photo.
        start: the photo's column where the gap's first one would be at offset 0, were the photo endless.
    """
    column = torch.arange(in_gap.shape[-1], device=in_gap.device) + start + contribution.offset
    of_source = in_photo.gather(-1, reflect(column, in_photo.shape[-1]))
    return (in_gap / of_source.clamp(min=1e-6)).clamp(max=MOST_GAIN)
