"""Full-resolution detail: the gap is laid with pieces of the photos beside it, under the network's guidance.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where: `arrangement`, and where one photo passes into the other: `dissolve`.
2. The low frequencies: the gradients of the pieces, the colours of the network, and the photos at both ends, which is
   a screened Poisson equation (Pérez et al., SIGGRAPH 2003; Bhat et al., ECCV 2008). Pieces of different brightness
   leave no edges.
3. The high frequencies: what the photos have beyond their own low frequencies, copied at full resolution: `residual`.

Steps 2 and 3 grow with the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from .arrangement import FEWEST_CELLS, FINEST, arrange, pool, scale
from .canvas import reflected, resize
from .config import IMAGE_SIZE
from .dissolve import Layer, Layers, dissolve
from .matching import ROWS
from .residual import lay
from .seam import cosines, fade, meet_edges

FOLLOWED = 0.5
"""Frequency, in cycles over the height, up to which even the weakest network's colours are kept."""

GUIDING = 2
"""How many times farther it guides the arrangement. Colours that were kept as far would lie as haze over pieces that
differ from what it drew: smoke over mountains, where it had drawn the sky dark."""

GUIDING_LIMIT = 16
"""The frequency up to which the best one guides it: beyond, smooth patches would match best."""

SLOPING = 8
"""Over that part of the height is measured how a photo's brightness falls or rises towards its edge."""

SLOPES_LIMIT = 0.1
"""By how much brightness changes there at most, to be carried on: more is not the light of a sky, but a thing."""

SLOPES_DETAIL = 4
"""Up to that frequency up and down it is carried on."""


def add_detail(
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    width: int,
    strength: float = 1,
    *,
    mirrored: bool = True,
    seen: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Scale a gap to its photos' height and to `width`, with their detail.

    The same input gives the same result, and a batch that of its pairs one by one. Photos less than 64 px high have no
    detail to give.

    Args:
        gap: as the network drew it, (b 3 256 w).
        left: the photos to its left, RGB in 0..1, (b 3 h w) of any size; of each, the square next to the gap is used,
            and beyond it as much as the gap is wide.
        right: the photos to its right, of the same height.
        width: of the result in px, at least h/4.
        strength: from 0, the gap merely scaled, to 1, all detail.
        mirrored: whether pieces of the photos may be, which in a panorama that runs down would stand on their heads.
        seen: the squares of both photos at 256 px, (b 3 256 256), if they are at hand.
        out: where to write the result.

    Returns:
        (b 3 h width), not clamped, its edges close to the photos': to be met by `seam.meet_edges`.
    """
    height = left.shape[-2]
    out = left.new_empty(len(gap), 3, height, width) if out is None else out
    if strength == 0 or height < FINEST:
        return out.copy_(resize(gap, height, width))
    for number, one in enumerate(zip(out, gap, left, right, strict=True)):
        _detail(*one, mirrored, [of_photo[number] for of_photo in seen or ()])
    return out if strength == 1 else torch.lerp(resize(gap, height, width), out, strength, out=out)


def _detail(out: Tensor, gap: Tensor, left: Tensor, right: Tensor, mirrored: bool, seen: Sequence[Tensor]) -> None:
    """Write one gap, (3 h width), from (3 256 w), its photos, (3 h w), and what `add_detail` was given of those."""
    height, width = out.shape[-2:]
    num_cells = round(width * ROWS / height)
    cell_width = width / num_cells  # in px and not always whole: cells fill the gap exactly
    left_cells, right_cells = (
        max(FEWEST_CELLS, int(min(p.shape[-1], max(height, width)) / cell_width)) for p in (left, right)
    )
    left_width, right_width = round(left_cells * cell_width), round(right_cells * cell_width)
    left, right = _end(left, left_width), _start(right, right_width)
    gap_small = scale(gap, IMAGE_SIZE, num_cells * IMAGE_SIZE // ROWS)
    if seen and {left_cells, right_cells} == {ROWS} and {left_width, right_width} == {height}:
        left_small, right_small = seen
    else:
        left_small = scale(left, IMAGE_SIZE, left_cells * IMAGE_SIZE // ROWS).clamp(0, 1)
        right_small = scale(right, IMAGE_SIZE, right_cells * IMAGE_SIZE // ROWS).clamp(0, 1)
    gap_small = meet_edges(gap_small[None], left_small[None, ..., -1:], right_small[None, ..., :1])[0]
    followed = _followed(left_small, gap_small, right_small)
    guidance = min(GUIDING * followed, GUIDING_LIMIT)
    arranged = arrange(left_small, gap_small, right_small, lambda image: _low_pass(image, guidance), mirrored)
    layers = dissolve(*arranged)

    level = FINEST if followed <= GUIDING_LIMIT else IMAGE_SIZE  # high enough for what is followed
    left_small, gap_small, right_small = (pool(part, level) for part in (left_small, gap_small, right_small))
    merged = _merge(left_small, gap_small, right_small, layers, followed)
    low = LowFrequencies(torch.cat([left_small, merged, right_small], dim=-1), height, left_width + width + right_width)

    def parts(rows: slice) -> tuple[Tensor, Tensor]:
        low_left, low_gap, low_right = low.of(rows).split([left_width, width, right_width], dim=-1)
        return low_gap, torch.cat([left[:, rows] - low_left, right[:, rows] - low_right], dim=-1)

    lay(out, parts, (left_width, right_width), layers)


class LowFrequencies:
    """A small image, (3 h w), scaled up row by row, as `scale` does it in one piece."""

    def __init__(self, image: Tensor, height: int, width: int) -> None:
        self.image = scale(image, image.shape[-2], width).transpose(0, 1).flatten(1)
        unit = torch.eye(image.shape[-2], device=image.device, dtype=image.dtype)
        self.weights = scale(unit[None], height, len(unit))[0]

    def of(self, rows: slice) -> Tensor:
        """Rows of the large image, (3 rows width)."""
        weights = self.weights[rows]
        used = weights.any(0).nonzero()
        few = slice(int(used[0]), int(used[-1]) + 1)
        return (weights[:, few] @ self.image[few]).unflatten(1, (3, -1)).transpose(0, 1)


def _end(photo: Tensor, width: int) -> Tensor:
    """The right end of a photo, (3 h width); where it is narrower, it is reflected."""
    return photo[..., -width:] if photo.shape[-1] >= width else _start(photo.flip(-1), width).flip(-1)


def _start(photo: Tensor, width: int) -> Tensor:
    """The left end, likewise."""
    if photo.shape[-1] >= width:
        return photo[..., :width]
    return photo[..., reflected(torch.arange(width, device=photo.device), photo.shape[-1])]


def _followed(left: Tensor, gap: Tensor, right: Tensor) -> float:
    """Up to which frequency the network's drawing is kept, in cycles over the height.

    That is `FOLLOWED`, and an octave more for every octave in which the gap has at least half of the photos' energy;
    what has less counts in part.
    """
    followed, share = FOLLOWED, 1.0
    for octave in zip(*(_octaves(part) for part in (left, gap, right)), strict=True):
        in_left, in_gap, in_right = octave
        share = min(share, (4 * in_gap / max(in_left + in_right, 1e-9)) ** 2)
        followed *= 2**share
    return followed


def _octaves(image: Tensor) -> list[float]:
    """Energy of the differences between neighbouring means of 32×32, 16×16, … px; `image` is 256 px high."""
    energies = [image.square().mean()]
    for _ in range(6):
        image = pool(image, image.shape[-2] // 2)
        energies.append(image.square().mean())
    return torch.stack(energies).diff().neg().flip(0).clamp(min=0).tolist()


def _low_pass(image: Tensor, frequency: float) -> Tensor:
    """What of an image, (c h w), lies below a frequency in cycles over the height."""
    height, width = image.shape[-2:]
    down, across = cosines(height, height, image), cosines(width, width, image)
    spectrum = down @ image @ across.T
    stiffness = _stiffness(height, 0, image)[:, None] + _stiffness(width, 0, image)
    return down.T @ (spectrum / (1 + (stiffness / _stiffness_at(frequency, height)) ** 2)) @ across


def _merge(left: Tensor, gap: Tensor, right: Tensor, layers: Layers, followed: float) -> Tensor:
    """The gap's low frequencies: gradients of the pieces, colours of the network below `followed`, photos at the ends.

    Args:
        left: the photo, (3 h w), like `right` and the gap as the network drew it of whole cells.
        layers: of both photos, at the height of `FINEST`.
        followed: in cycles over the height.

    Returns:
        (3 h w), as the gap.
    """
    height, width = gap.shape[-2:]
    rightwards, downwards = _gradients(left, layers[0], left.shape[-1], height // FINEST)
    of_right = _gradients(right, layers[1], -width, height // FINEST)
    rightwards += of_right[0]
    downwards += of_right[1]
    carried = _carried_slope(left.diff(dim=-1).flip(-1), rightwards)
    rightwards[..., : carried.shape[-1]] += carried
    carried = _carried_slope(right.diff(dim=-1), rightwards.flip(-1))
    rightwards[..., -carried.shape[-1] :] += carried.flip(-1)
    # what the gap's own gradients lack to these, and the negative divergence of that
    rightwards -= torch.cat([left[..., -1:], gap, right[..., :1]], dim=-1).diff(dim=-1)
    downwards -= gap.diff(dim=-2)
    force = F.pad(downwards, (0, 0, 1, 0)) - F.pad(downwards, (0, 0, 0, 1)) - rightwards.diff(dim=-1)

    # the change is 0 at both ends, so sines across; free at top and bottom, so cosines down
    down_waves, across_waves = cosines(height, height, gap), _sines(width, gap)
    stiffness = _stiffness(height, 0, gap)[:, None] + _stiffness(width, 1, gap)
    spectrum = down_waves @ force @ across_waves
    spectrum /= stiffness + _stiffness_at(followed, height) ** 2 / stiffness
    return gap + down_waves.T @ spectrum @ across_waves


def _gradients(photo: Tensor, layer: Layer, start: int, factor: int) -> tuple[Tensor, Tensor]:
    """A photo's share in the differences between the gap's pixels: along the rows, with the edges', (3 h w+1), and down
    the columns, (3 h-1 w).

    Args:
        photo: (3 h w).
        layer: at a height that many times smaller.
        start: column of the photo where the gap's first one would be.
        factor: of the height.
    """
    share, sources = (
        part.repeat_interleave(factor, 0).repeat_interleave(factor, 1) for part in (layer.share, layer.sources * factor)
    )
    height, width = share.shape
    row = torch.arange(height, device=photo.device)[:, None]
    column = torch.arange(width, device=photo.device) + start + sources

    def source(below: int, right_of: int) -> Tensor:
        return photo[:, (row + below).clamp(0, height - 1), reflected(column + right_of, photo.shape[-1])]

    # between two pixels, the mean of what both sources say
    here = source(0, 0)
    to_right, from_left = (source(0, 1) - here) * share, (here - source(0, -1)) * share
    rightwards = torch.cat([from_left, to_right[..., -1:]], dim=-1)
    rightwards[..., 1:-1] = (to_right[..., :-1] + from_left[..., 1:]) / 2
    downwards = ((source(1, 0) - here) * share)[:, :-1] + ((here - source(-1, 0)) * share)[:, 1:]
    return rightwards, downwards / 2


def _carried_slope(photo: Tensor, gap: Tensor) -> Tensor:
    """What the gap's differences along rows lack to go on with the photo's slope, and ever less of it farther in.

    Mirrors turn slopes around, and other pieces have their own: in skies both would show as a bend of brightness.

    Args:
        photo: differences along rows, (3 h w), like `gap` from the edge on.
    """
    length = photo.shape[-2] // SLOPING
    lack = photo[..., :length].mean(-1, keepdim=True) - gap[..., :length].mean(-1, keepdim=True)
    lack = _low_pass(lack, SLOPES_DETAIL).clamp(-SLOPES_LIMIT / length, SLOPES_LIMIT / length)
    place = torch.arange(min(2 * length, gap.shape[-1]), device=gap.device)
    return lack * fade(place / (2 * length))


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
