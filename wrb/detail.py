"""Full-resolution detail: the gap is laid with pieces of the photos beside it, under the network's guidance.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where: `arrangement`.
2. The low frequencies: the gradients of the pieces, the colours of the network, and the photos at both ends, which is
   a screened Poisson equation (Pérez et al., SIGGRAPH 2003; Bhat et al., ECCV 2008). Pieces of different brightness
   leave no edges.
3. The high frequencies: what the photos have beyond their own low frequencies, copied at full resolution (as in
   HiFill, Yi et al., CVPR 2020) through overlapping windows whose blending keeps the energy.

Steps 2 and 3 grow with the number of pixels.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .arrangement import FEWEST_CELLS, FINEST, MIRRORED, ROWS, Sources, arrange, pool, scale, with_mirrored
from .canvas import resize
from .config import IMAGE_SIZE
from .seam import fade, meet_edges

FOLLOWED = 1
"""Frequency, in cycles over the height, up to which even the weakest network is followed."""

GUIDING = 16
"""The same up to which the best one guides the arrangement: beyond, smooth patches would match best."""


def add_detail(gap: Tensor, left: Tensor, right: Tensor, width: int, strength: float = 1) -> Tensor:
    """Scale a gap to its photos' height and to `width`, with their detail.

    The same input gives the same result, and a batch that of its pairs one by one. Photos less than 64 px high have no
    detail to give.

    Args:
        gap: as the network drew it, (b 3 256 w).
        left: the photos to its left, RGB in 0..1, (b 3 h w) of any size; of each, the square next to the gap is used.
        right: the photos to its right, of the same height.
        width: of the result in px, at least h/4.
        strength: from 0, the gap merely scaled, to 1, all detail.

    Returns:
        (b 3 h width), not clamped, its edges close to the photos': to be met by `seam.meet_edges`.
    """
    height = left.shape[-2]
    if strength == 0 or height < FINEST:
        return resize(gap, height, width)
    pairs = [_detailed(*pair, width)[None] for pair in zip(gap, left, right, strict=True)]
    detailed = pairs[0] if len(pairs) == 1 else torch.cat(pairs)
    return detailed if strength == 1 else torch.lerp(resize(gap, height, width), detailed, strength)


def _detailed(gap: Tensor, left: Tensor, right: Tensor, width: int) -> Tensor:
    """One gap, (3 h width), from (3 256 w) and its photos, (3 h w)."""
    height = left.shape[-2]
    num_cells = round(width * ROWS / height)
    cell_width = width / num_cells  # in px and not always whole: cells fill the gap exactly
    left_cells, right_cells = (max(FEWEST_CELLS, int(min(p.shape[-1], height) / cell_width)) for p in (left, right))
    left_width, right_width = round(left_cells * cell_width), round(right_cells * cell_width)
    left, right = _end(left, left_width), _start(right, right_width)
    left_small, gap_small, right_small = (
        scale(part, IMAGE_SIZE, cells * IMAGE_SIZE // ROWS)
        for part, cells in ((left, left_cells), (gap, num_cells), (right, right_cells))
    )
    gap_small = meet_edges(gap_small[None], left_small[None, ..., -1:], right_small[None, ..., :1])[0]
    followed = _followed(left_small, gap_small, right_small)
    guidance = min(followed, GUIDING)
    sources = arrange(left_small, gap_small, right_small, lambda image: _low_pass(image, guidance))

    level = FINEST if followed <= GUIDING else IMAGE_SIZE  # high enough for what is followed
    left_small, gap_small, right_small = (pool(part, level) for part in (left_small, gap_small, right_small))
    merged = _merge(left_small, gap_small, right_small, sources, followed)
    panorama = torch.cat([left_small, merged, right_small], dim=-1)
    panorama = scale(panorama, height, left_width + width + right_width)
    low_left, result, low_right = panorama.split([left_width, width, right_width], dim=-1)
    residuals = with_mirrored(left - low_left, right - low_right, round(MIRRORED * cell_width))
    _add_residual(result, residuals, left_width, sources)
    return result


def _end(photo: Tensor, width: int) -> Tensor:
    """The right end of a photo, (3 h width); where it is narrower, it is reflected."""
    return photo[..., -width:] if photo.shape[-1] >= width else _start(photo.flip(-1), width).flip(-1)


def _start(photo: Tensor, width: int) -> Tensor:
    """The left end, likewise."""
    own = photo.shape[-1]
    if own >= width:
        return photo[..., :width]
    place = torch.arange(width, device=photo.device) % (2 * own)
    return photo[..., torch.minimum(place, 2 * own - 1 - place)]


def _followed(left: Tensor, gap: Tensor, right: Tensor) -> float:
    """Up to which frequency the network's drawing is kept, in cycles over the height.

    That is `FOLLOWED`, and an octave more for every octave in which the gap has at least half of the photos' energy;
    what has less counts in part.
    """
    followed, share = float(FOLLOWED), 1.0
    for octave in zip(*(_octaves(part) for part in (left, gap, right)), strict=True):
        in_left, in_gap, in_right = octave
        share = min(share, (4 * in_gap / max(in_left + in_right, 1e-9)) ** 2)
        followed *= 2**share
    return followed


def _octaves(image: Tensor) -> list[float]:
    """Energy of the differences between neighbouring means of 32×32, 16×16, … px; `image` is 256 px high."""
    energies = []
    for _ in range(6):
        image = image[..., : image.shape[-1] // 2 * 2]
        coarse = pool(image, image.shape[-2] // 2)
        energies.append(image.square().mean() - coarse.square().mean())
        image = coarse
    return torch.stack(energies[::-1]).clamp(min=0).tolist()


def _low_pass(image: Tensor, frequency: float) -> Tensor:
    """What of an image, (c h w), lies below a frequency in cycles over the height."""
    height, width = image.shape[-2:]
    down, across = _cosines(height, image), _cosines(width, image)
    spectrum = down @ image @ across.T
    stiffness = _stiffness(height, 0, image)[:, None] + _stiffness(width, 0, image)
    return down.T @ (spectrum / (1 + (stiffness / _stiffness_at(frequency, height)) ** 2)) @ across


def _merge(left: Tensor, gap: Tensor, right: Tensor, sources: Sources, followed: float) -> Tensor:
    """The gap's low frequencies: gradients of the sources, colours of the network below `followed`, photos at the ends.

    Args:
        left: the photo, (3 h w), like `right` and the gap as the network drew it of whole cells.
        sources: of the gap's pixels, at the height of `FINEST`.
        followed: in cycles over the height.

    Returns:
        (3 h w), as the gap.
    """
    height, width = gap.shape[-2:]
    photos = torch.cat(with_mirrored(left, right, MIRRORED * height // ROWS), dim=-1)

    factor = height // FINEST
    down, across = (
        part.mul(factor).repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        for part in (sources.down, sources.across)
    )
    row = torch.arange(height, device=gap.device)[:, None] + down
    column = torch.arange(width, device=gap.device) + left.shape[-1] + across

    def source(below: int, right_of: int) -> Tensor:
        return photos[:, (row + below).clamp(0, height - 1), (column + right_of).clamp(0, photos.shape[-1] - 1)]

    # between two pixels, the mean of both sources' gradients; from it the gap's own, and the negative divergence
    here = source(0, 0)
    to_right, from_left = source(0, 1) - here, here - source(0, -1)
    rightwards = torch.cat([from_left, to_right[..., -1:]], dim=-1)
    rightwards[..., 1:-1] = (to_right[..., :-1] + from_left[..., 1:]) / 2
    downwards = ((source(1, 0) - here)[:, :-1] + (here - source(-1, 0))[:, 1:]) / 2
    rightwards -= torch.cat([left[..., -1:], gap, right[..., :1]], dim=-1).diff(dim=-1)
    downwards -= gap.diff(dim=-2)
    force = F.pad(downwards, (0, 0, 1, 0)) - F.pad(downwards, (0, 0, 0, 1)) - rightwards.diff(dim=-1)

    # the change is 0 at both ends, so sines across; free at top and bottom, so cosines down
    down_waves, across_waves = _cosines(height, gap), _sines(width, gap)
    stiffness = _stiffness(height, 0, gap)[:, None] + _stiffness(width, 1, gap)
    spectrum = down_waves @ force @ across_waves
    spectrum /= stiffness + _stiffness_at(followed, height) ** 2 / stiffness
    return gap + down_waves.T @ spectrum @ across_waves


def _cosines(length: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform, (frequency place), whose waves have free ends."""
    frequency = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    waves = torch.cos(torch.pi / length * frequency * (frequency.T + 0.5)) * (2 / length) ** 0.5
    waves[0] *= 0.5**0.5
    return waves


def _sines(length: int, like: Tensor) -> Tensor:
    """The orthonormal sine transform, its own inverse, whose waves are 0 one px beyond both ends."""
    place = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return torch.sin(torch.pi / (length + 1) * place[:, None] * place) * (2 / (length + 1)) ** 0.5


def _stiffness(length: int, fixed: int, like: Tensor) -> Tensor:
    """Eigenvalues of the second difference with free (0) or fixed (1) ends, to the waves above."""
    frequency = torch.arange(fixed, length + fixed, device=like.device, dtype=like.dtype)
    return 2 - 2 * torch.cos(torch.pi / (length + fixed) * frequency)


def _stiffness_at(frequency: float, height: int) -> float:
    return 2 - 2 * math.cos(2 * math.pi * min(frequency, height / 2) / height)


def _add_residual(gap: Tensor, residuals: tuple[Tensor, Tensor], left_width: int, sources: Sources) -> None:
    """Add the photos' residual to the gap, in place, where the cells, as many as there are sources, have theirs.

    A pixel has up to four sources, those of the nearest cells; their weights pass smoothly from one to the next. Equal
    sources add up. Different ones are as good as uncorrelated, so only their energies do, and the sum is divided by the
    root of what that makes.

    Args:
        gap: its low frequencies, (3 h w).
        residuals: of the photos, from `with_mirrored`.
        left_width: of the left photo in px.
        sources: at the height of `FINEST`.
    """
    height, width = gap.shape[-2:]
    num_rows, num_columns = sources.down.shape
    left_total, right_total = (part.shape[-1] for part in residuals)
    total = left_total + right_total
    residual = torch.cat(residuals, dim=-1).flatten(1)
    cell_height, cell_width = height / num_rows, width / num_columns
    rows, columns = torch.arange(num_rows, device=gap.device), torch.arange(-1, num_columns + 1, device=gap.device)
    # beside the gap the sources of its ends go on
    down, across = (part[:, columns.clamp(0, num_columns - 1)] for part in (sources.down, sources.across))
    across = across * cell_width
    in_left = left_width + (columns + 0.5) * cell_width + across < left_total
    in_left_photo, in_right_photo = (
        _within(start - left_width, end - left_width, across, columns - 0.5, cell_width, width)
        for start, end in ((0, left_total), (left_total, total))
    )
    down = _within(0, height, down * cell_height, rows[:, None] - 0.5, cell_height, height)
    # in pixels of the residual, row by row
    offset = down * total + torch.where(in_left, in_left_photo, in_right_photo) + left_width

    x = torch.arange(width, device=gap.device)
    place = (x + 0.5) / cell_width + 0.5  # in cells, of which the first is beside the gap
    column = place.long()
    shares = torch.stack(_shares(place - column))
    starts = [min(max(math.ceil((row + 0.5) * cell_height - 0.5), 0), height) for row in range(-1, num_rows + 1)]
    for row, (start, end) in enumerate(pairwise(starts)):  # between the centres of two rows of cells
        y = torch.arange(start, end, device=gap.device)[:, None]
        above, below = (offset[min(max(number, 0), num_rows - 1)] for number in (row - 1, row))
        place_of = x + torch.stack([above[column], above[column + 1], below[column], below[column + 1]])

        def copied(place: Tensor, y: Tensor = y) -> Tensor:
            return residual.index_select(1, (y * total + place).flatten()).view(3, len(y), len(place))

        strip = copied(place_of[0])
        mixed = (place_of != place_of[0]).any(0).nonzero()[:, 0]
        if len(mixed):
            parts = torch.stack([copied(place) for place in place_of[:, mixed]])
            place = (y + 0.5) / cell_height + 0.5 - row
            strip[..., mixed] = _mixture(parts, place_of[:, mixed], torch.stack(_shares(place)), shares[:, mixed])
        gap[:, start:end] += strip


def _mixture(parts: Tensor, sources: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Sum of what four sources show, (4 3 h w), of constant energy.

    Args:
        parts: above left, above right, below left, below right.
        sources: where in the photos they are, (4 w): what is of one source is the same.
        down: shares of above and below, (2 h 1).
        across: shares of left and right, (2 w).
    """
    shares = (down[:, None] * across[None, :, None]).flatten(0, 1)  # (4 h w)
    same = (sources[:, None] == sources).to(shares)
    energy = torch.einsum("a h w, b h w, a b w -> h w", shares, shares, same)
    return torch.einsum("s c h w, s h w -> c h w", parts, shares) * energy.rsqrt()


def _within(start: int, end: int, offset: Tensor, first: Tensor, cell: float, extent: int) -> Tensor:
    """Offsets in whole px that take two cells, from `first` on, or their part in the gap, to between start and end."""
    low, high = (first * cell).floor().clamp(min=0), ((first + 2) * cell).ceil().clamp(max=extent - 1)
    return torch.maximum(torch.minimum(offset.round(), end - 1 - high), start - low).long()


def _shares(place: Tensor) -> tuple[Tensor, Tensor]:
    """What passes smoothly from 1 to 0 as a place goes from 0 to 1; and the rest."""
    share = fade(place)
    return share, 1 - share
