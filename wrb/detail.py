"""Full-resolution detail: the gap is laid with pieces of the photos beside it, under the network's guidance.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where: `arrangement`, and where one photo passes into the other: `dissolve`.
2. The low frequencies: the gradients of the pieces, the colours of the network, and the photos at both ends, which is
   a screened Poisson equation (Pérez et al., SIGGRAPH 2003; Bhat et al., ECCV 2008). Pieces of different brightness
   leave no edges.
3. The high frequencies: what the photos have beyond their own low frequencies, copied at full resolution (as in
   HiFill, Yi et al., CVPR 2020) through overlapping windows whose blending keeps the energy.

Steps 2 and 3 grow with the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

from .arrangement import FEWEST_CELLS, FINEST, ROWS, Sources, arrange, pool, scale
from .canvas import reflected, resize
from .config import IMAGE_SIZE
from .dissolve import Layer, dissolve
from .seam import cosines, fade, meet_edges

FOLLOWED = 1
"""Frequency, in cycles over the height, up to which even the weakest network is followed."""

GUIDING = 16
"""The same up to which the best one guides the arrangement: beyond, smooth patches would match best."""

PIXELS_AT_ONCE = 2**16
"""At full size: few enough to stay in a processor's cache, and in memory that it has already."""


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
    layers = dissolve(sources)

    level = FINEST if followed <= GUIDING else IMAGE_SIZE  # high enough for what is followed
    left_small, gap_small, right_small = (pool(part, level) for part in (left_small, gap_small, right_small))
    merged = _merge(left_small, gap_small, right_small, layers, followed)
    low = LowFrequencies(torch.cat([left_small, merged, right_small], dim=-1), height, left_width + width + right_width)
    result = left.new_empty(3, height, width)
    residuals = left.new_empty(height, left_width, 3), left.new_empty(height, right_width, 3)
    for rows in _bands(height, low.width):
        low_left, low_gap, low_right = low.of(rows).split([left_width, width, right_width], dim=-1)
        result[:, rows] = low_gap
        for photo, low_photo, residual in zip((left, right), (low_left, low_right), residuals, strict=True):
            torch.sub(photo[:, rows], low_photo, out=residual[rows].permute(2, 0, 1))
    _add_residual(result, *residuals, layers)
    return result


def _bands(height: int, width: int) -> Iterator[slice]:
    """The rows of an image, as many at a time as have `PIXELS_AT_ONCE`."""
    step = max(1, PIXELS_AT_ONCE // width)
    return (slice(start, min(start + step, height)) for start in range(0, height, step))


class LowFrequencies:
    """A small image, (3 h w), scaled up row by row, as `scale` does it in one piece."""

    def __init__(self, image: Tensor, height: int, width: int) -> None:
        self.width = width
        self.image = scale(image, image.shape[-2], width)
        unit = torch.eye(image.shape[-2], device=image.device, dtype=image.dtype)
        self.weights = scale(unit[None], height, len(unit))[0]

    def of(self, rows: slice) -> Tensor:
        """Rows of the large image, (3 rows width)."""
        weights = self.weights[rows]
        used = weights.any(0).nonzero()
        few = slice(int(used[0]), int(used[-1]) + 1)
        return weights[:, few] @ self.image[:, few]


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
    down, across = cosines(height, height, image), cosines(width, width, image)
    spectrum = down @ image @ across.T
    stiffness = _stiffness(height, 0, image)[:, None] + _stiffness(width, 0, image)
    return down.T @ (spectrum / (1 + (stiffness / _stiffness_at(frequency, height)) ** 2)) @ across


def _merge(left: Tensor, gap: Tensor, right: Tensor, layers: tuple[Layer, Layer], followed: float) -> Tensor:
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
    share, down, across = (
        part.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        for part in (layer.share, layer.sources.down * factor, layer.sources.across * factor)
    )
    height, width = share.shape
    row = torch.arange(height, device=photo.device)[:, None] + down
    column = torch.arange(width, device=photo.device) + start + across

    def source(below: int, right_of: int) -> Tensor:
        return photo[:, (row + below).clamp(0, height - 1), reflected(column + right_of, photo.shape[-1])]

    # between two pixels, the mean of what both sources say
    here = source(0, 0)
    to_right, from_left = (source(0, 1) - here) * share, (here - source(0, -1)) * share
    rightwards = torch.cat([from_left, to_right[..., -1:]], dim=-1)
    rightwards[..., 1:-1] = (to_right[..., :-1] + from_left[..., 1:]) / 2
    downwards = ((source(1, 0) - here) * share)[:, :-1] + ((here - source(-1, 0)) * share)[:, 1:]
    return rightwards, downwards / 2


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


def _add_residual(gap: Tensor, left: Tensor, right: Tensor, layers: tuple[Layer, Layer]) -> None:
    """Add the photos' residual to the gap, in place, where its cells, those of the layers, have theirs.

    Different sources are as good as uncorrelated, so of a mixture only their energies add up; it is divided by the root
    of what its shares' squares make.

    Args:
        gap: its low frequencies, (3 h w).
        left: residual of the photo, (h w 3); `right` alike.
        layers: of both photos, at the height of `FINEST`.
    """
    height, width = gap.shape[-2:]
    grid = Grid(height, width, layers[1].share.shape, gap.device)
    share = grid.along_rows(layers[1].share)
    left_pieces = Pieces(left, layers[0].sources, left.shape[1], grid)
    right_pieces = Pieces(right, layers[1].sources, -width, grid)
    for rows in _bands(height, width):
        of_right = grid.down_columns(share, rows)
        of_left = 1 - of_right
        scaled = (of_right.square() + of_left.square()).rsqrt_()
        for pieces, weight in ((left_pieces, of_left * scaled), (right_pieces, of_right * scaled)):
            used = weight.any(0).nonzero()[:, 0]
            if len(used):
                columns = slice(int(used[0]), int(used[-1]) + 1)
                strip = pieces.laid(rows, columns).mul_(weight[:, columns, None])
                gap[:, rows, columns] += strip.permute(2, 0, 1)


class Grid:
    """Where the pixels of a gap lie between the centres of its cells.

    Cells are numbered from 1; beyond the gap's ends lies one more, like the one beside it.

    Args:
        height: of the gap in px; `width` alike.
        cells: their number down and across.
    """

    def __init__(self, height: int, width: int, cells: torch.Size, device: torch.device) -> None:
        self.height, self.width = height, width
        self.cell_height, self.cell_width = height / cells[0], width / cells[1]
        row, column = torch.arange(height, device=device), torch.arange(width, device=device)
        down, across = (row + 0.5) / self.cell_height + 0.5, (column + 0.5) / self.cell_width + 0.5
        self.row, self.column = down.long(), across.long()
        """Of the cell whose centre is the last one before each pixel."""
        self.row_share, self.column_share = fade(down - self.row), fade(across - self.column)
        """Of that cell; the next one has the rest."""

    def along_rows(self, cells: Tensor) -> Tensor:
        """What cells say, for every column of the gap: (i+2 w) from (i j)."""
        cells = F.pad(cells[None], (1, 1, 1, 1), mode="replicate")[0]
        return torch.lerp(cells[:, self.column + 1], cells[:, self.column], self.column_share)

    def down_columns(self, cells: Tensor, rows: slice) -> Tensor:
        """The same, (i+2 w), for some rows of the gap."""
        row, share = self.row[rows], self.row_share[rows, None]
        return torch.lerp(cells[row + 1], cells[row], share)


class Pieces:
    """The pieces of a photo that lie in a gap.

    Args:
        residual: of the photo, (h w 3).
        sources: at the height of `FINEST`.
        start: column of the photo where the gap's first one would be.
        grid: of the gap.
    """

    def __init__(self, residual: Tensor, sources: Sources, start: int, grid: Grid) -> None:
        self.grid = grid
        self.width = residual.shape[1]
        self.pixels = residual.reshape(-1, 3)
        cell = torch.arange(len(sources.down), device=residual.device)[:, None]
        # a cell reaches from the centre of the one before to that of the next, and there its source is in the photo
        first = ((cell - 0.5) * grid.cell_height).floor().clamp(min=0)
        last = ((cell + 1.5) * grid.cell_height).ceil().clamp(max=grid.height - 1)
        down = (sources.down * grid.cell_height).round().minimum(grid.height - 1 - last).maximum(-first)
        across = (sources.across * grid.cell_width).round() + start
        down, across = (F.pad(part[None], (1, 1, 1, 1), mode="replicate")[0].long() for part in (down, across))

        column = torch.arange(grid.width, device=residual.device)
        before, after = (
            down[:, cells] * self.width + reflected(column + across[:, cells], self.width)
            for cells in (grid.column, grid.column + 1)
        )
        self.sources = before, after
        """In pixels of the photo from the start of the gap's row: (cells down, gap's width)."""
        above = before[:-1]
        self.mixed = (after[:-1] != above) | (before[1:] != above) | (after[1:] != above)

    def laid(self, rows: slice, columns: slice) -> Tensor:
        """Their residual in a part of the gap, (h w 3): where cells have different sources, these mixed."""
        grid = self.grid
        row = grid.row[rows]
        y = torch.arange(grid.height, device=row.device)[rows] * self.width
        before, after = (part[:, columns] for part in self.sources)
        laid = self.pixels.index_select(0, (before[row] + y[:, None]).flatten())
        mixed = self.mixed[:, columns][row].flatten().nonzero()[:, 0]
        if len(mixed):
            i, j = mixed // before.shape[1], mixed % before.shape[1]
            cell = row[i]
            four = torch.stack([before[cell, j], after[cell, j], before[cell + 1, j], after[cell + 1, j]])
            down, across = grid.row_share[rows][i], grid.column_share[columns][j]
            shares = torch.stack([down * across, down * (1 - across), (1 - down) * across, (1 - down) * (1 - across)])
            # equal sources add up
            energy = shares.square().sum(0)
            for one, other in combinations(range(4), 2):
                energy += 2 * shares[one] * shares[other] * (four[one] == four[other])
            parts = self.pixels.index_select(0, (four + y[i]).flatten()).view(4, -1, 3)
            laid[mixed] = (parts * (shares * energy.rsqrt())[..., None]).sum(0)
        return laid.view(len(row), -1, 3)
