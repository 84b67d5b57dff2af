"""The photos' high frequencies in the gap, at full resolution.

What the photos have beyond their low frequencies is copied where their pieces lie (as in HiFill, Yi et al., CVPR 2020),
through overlapping windows. Different sources are as good as uncorrelated, so of a mixture only their energies add up;
it is divided by the root of what its shares' squares make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from .canvas import reflected
from .dissolve import Layer, Layers
from .seam import fade

PIXELS_AT_ONCE = 2**16
"""At full size: few enough to stay in a processor's cache, and in memory that it has already."""


def lay(gap: Tensor, parts: Callable[[slice], tuple[Tensor, Tensor]], widths: tuple[int, int], layers: Layers) -> None:
    """Write a gap: its low frequencies and, where its cells have their sources, the photos' residual.

    Args:
        gap: where to write it, (3 h w).
        parts: tells of some rows the gap's low frequencies, (3 rows w), and the residual of both photos side by side,
            (3 rows w).
        widths: of the left and the right photo.
        layers: of both, at the height of `FINEST`.
    """
    height, width = gap.shape[-2:]
    grid = Grid(height, width, layers[0].share.shape, gap.device)
    pieces = Pieces(widths, layers, grid)
    for cell, rows in grid.bands():
        gap[:, rows], residual = parts(rows)
        pieces.add_to(gap[:, rows], residual, cell, rows)


class Grid:
    """Where the pixels of a gap lie between the centres of its cells.

    Cells are numbered from 1; beyond the gap's ends lies one more, like the one beside it.

    Args:
        height: of the gap in px; `width` alike.
        cells: their number down and across.
    """

    def __init__(self, height: int, width: int, cells: torch.Size, device: torch.device) -> None:
        self.width = width
        self.cell_width = width / cells[1]
        down, across = (
            (torch.arange(length, device=device) + 0.5) * count / length + 0.5
            for length, count in zip((height, width), cells, strict=True)
        )
        self.row, self.column = down.long(), across.long()
        """Of the cell whose centre is the last one before each pixel."""
        self.row_share, self.column_share = fade(down - self.row), fade(across - self.column)
        """Of that cell; the next one has the rest."""

    def bands(self) -> Iterator[tuple[int, slice]]:
        """The gap from top to bottom: a row of cells, and the pixels between their centres and those of the next."""
        start = 0
        for cell, rows in groupby(self.row.tolist()):
            end = start + len(list(rows))
            step = max(1, PIXELS_AT_ONCE // self.width)
            yield from ((cell, slice(first, min(first + step, end))) for first in range(start, end, step))
            start = end


class Pieces:
    """The pieces of photos that lie in a gap, ready to be copied band by band.

    All that is known of a band's columns stands in lists, one row of cells after the other, and in each the columns
    that have pieces of the left photo before those that have pieces of the right one. Sources are columns of the
    residual.

    Args:
        widths: of the left and the right photo.
        layers: of both, at the height of `FINEST`.
        grid: of the gap.
    """

    def __init__(self, widths: tuple[int, int], layers: Layers, grid: Grid) -> None:
        self.row_share = grid.row_share[:, None]
        offset, weight = torch.stack([_of_cells(layer, grid) for layer in layers], dim=1)

        weight = torch.lerp(weight[..., grid.column + 1], weight[..., grid.column], grid.column_share)
        used = (weight[:, :-1] + weight[:, 1:] > 0).transpose(0, 1)
        used = used.cummax(-1).values & used.flip(-1).cummax(-1).values.flip(-1)  # and all between
        starts, counts = used.int().argmax(-1).tolist(), used.sum(-1).tolist()
        self.columns = [
            [slice(start, start + count) for start, count in zip(*of_photos, strict=True)]
            for of_photos in zip(starts, counts, strict=True)
        ]
        """Those of the left and of the right photo, for each row of cells."""
        cell, photo, column = used.nonzero(as_tuple=True)
        self.listed = _runs(cell, len(used))
        """Where a row of cells stands in the lists."""
        self.weight_above, self.weight_below = weight[photo, cell, column], weight[photo, cell + 1, column]

        places, offset = _reflected(offset.long(), *widths, grid.width)
        above = (photo * offset.shape[1] + cell) * offset.shape[2] + grid.column[column]

        def sources(cell: Tensor, column: Tensor) -> Tensor:
            return places.take(offset.take(cell) + column)

        self.sources = sources(above, column)

        differs = offset[..., 1:] != offset[..., :-1]
        mixed = torch.zeros_like(offset, dtype=torch.bool)  # from the centre of a cell to those beside and below it
        mixed[:, :-1, :-1] = differs[:, :-1] | differs[:, 1:] | (offset[:, :-1, :-1] != offset[:, 1:, :-1])
        chosen = mixed.take(above).nonzero()[:, 0]
        self.mixed = _runs(cell[chosen], len(used))
        """Where it stands in the following lists, of the columns whose cells have different sources."""
        listed_from = torch.tensor([run.start for run in self.listed], device=cell.device)
        self.place = chosen - listed_from[cell[chosen]]
        """Their places in the band's lists."""
        above, column = above[chosen], column[chosen]
        below = above + offset.shape[2]
        self.four = torch.stack([sources(of_cells, column) for of_cells in (above, below, above + 1, below + 1)], dim=1)
        self.share_before = share = grid.column_share[column]

        shares = torch.stack([share, share, 1 - share, 1 - share], dim=1)
        energy = shares[:, None] * shares[..., None] * (self.four[:, None] == self.four[..., None])
        energy = energy.view(-1, 2, 2, 2, 2).sum((1, 3))
        self.energy = torch.stack([energy[:, 0, 0], 2 * energy[:, 0, 1], energy[:, 1, 1]])
        """Of the sources above, of what they have in common with those below, and of those, …"""
        share = self.row_share
        self.energy_share = torch.cat([share.square(), share * (1 - share), (1 - share).square()], dim=1)
        """… and how much of each there is in a row of pixels."""

    def add_to(self, band: Tensor, residual: Tensor, cell: int, rows: slice) -> None:
        """Add the pieces of these rows of the residual, (3 rows w), to those of the gap, in place."""
        listed, mixed = self.listed[cell], self.mixed[cell]
        share = self.row_share[rows]
        laid = _pixels(residual, self.sources[listed])
        if mixed.start < mixed.stop:
            parts = _pixels(residual, self.four[mixed].T.flatten()).unflatten(-1, (2, 2, -1))
            above, below = torch.lerp(parts[:, :, 1], parts[:, :, 0], self.share_before[mixed]).unbind(2)
            energy = self.energy_share[rows] @ self.energy[:, mixed]
            mixture = torch.lerp(below, above, share) * energy.rsqrt_()
            laid.scatter_(-1, self.place[mixed].expand_as(mixture), mixture)
        laid *= torch.lerp(self.weight_below[listed], self.weight_above[listed], share)
        left, right = self.columns[cell]
        of_left, of_right = laid.split([left.stop - left.start, right.stop - right.start], dim=-1)
        band[..., left] += of_left
        band[..., right] += of_right


def _pixels(residual: Tensor, columns: Tensor) -> Tensor:
    return residual.gather(-1, columns.expand(*residual.shape[:-1], -1))


def _of_cells(layer: Layer, grid: Grid) -> Tensor:
    """How far a layer's sources lie, in px, and what they are multiplied by: (2 i+2 j+2)."""
    weight = layer.share * (layer.share.square() + (1 - layer.share).square()).rsqrt()
    offset = (layer.sources * grid.cell_width).round()
    return F.pad(torch.stack([offset, weight]), (1, 1, 1, 1), mode="replicate")


def _reflected(offset: Tensor, left_width: int, right_width: int, gap_width: int) -> tuple[Tensor, Tensor]:
    """Columns of the photos as they go on for a gap's cells, reflected at their ends.

    Args:
        offset: how far from their own place the cells' sources lie, in px, for the left and the right photo, (2 i j).

    Returns:
        Columns of both photos side by side, and for each cell where in that list the gap's first column would be.
    """
    columns: list[Tensor] = []
    begins = []
    for of_photo, first, width, start in zip(
        offset, (0, left_width), (left_width, right_width), (left_width, -gap_width), strict=True
    ):
        lowest, highest = (int(limit) + start for limit in of_photo.aminmax())
        begins.append(of_photo + start - lowest + sum(map(len, columns)))
        columns.append(first + reflected(torch.arange(lowest, highest + gap_width, device=offset.device), width))
    return torch.cat(columns), torch.stack(begins)


def _runs(numbers: Tensor, count: int) -> list[slice]:
    """Where each of so many numbers stands in a sorted list of them."""
    ends = [0, *numbers.bincount(minlength=count).cumsum(0).tolist()]
    return [slice(start, end) for start, end in pairwise(ends)]
