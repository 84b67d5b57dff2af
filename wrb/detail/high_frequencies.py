"""The photos' high frequencies in the gap, at full resolution.

What the photos have beyond their own low frequencies, their residual, is copied where their pieces lie (as in HiFill,
Yi et al., CVPR 2020). Between the centres of four cells, a pixel has the mixture of their four sources, by overlapping
windows. Different sources are as good as uncorrelated, so of a mixture only the energies add up: it is divided by the
root of what the squares of its shares make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import fade, reflect
from .cross_dissolve import Contribution, Contributions

BAND_PIXELS = 2**16
"""Of the gap, written at a time: few enough to stay in a processor's cache, and in memory that it has already."""

RowsOfParts = Callable[[slice], tuple[Tensor, Tensor]]
"""Of some rows, the gap's low frequencies, (3 rows w), and both photos' residual side by side, (3 rows w)."""


def compose(gap: Tensor, parts: RowsOfParts, photo_widths: tuple[int, int], contributions: Contributions) -> None:
    """Write a gap: its low frequencies and, where the photos contribute, their residual.

    Args:
        gap: where to write it, (3 h w).
        parts: tells what of it lies in some rows.
        photo_widths: of the left and the right photo in px.
        contributions: of both; one place of them is a cell.
    """
    height, width = gap.shape[-2:]
    grid = CellGrid(height, width, contributions[0].weight.shape, gap.device)
    copier = ResidualCopier(photo_widths, contributions, grid)
    for cell_row, rows in grid.bands():
        gap[:, rows], residual = parts(rows)
        copier.add_to(gap[:, rows], residual, cell_row, rows)


class CellGrid:
    """Where the pixels of a gap lie between the centres of its cells.

    Cells are numbered from 1; beyond the gap's ends lies one more, like the one beside it.

    Args:
        height: of the gap in px; `width` alike.
        cells: their number down and across.
        device: of the gap.
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
        """The gap from top to bottom: a row of cells, and rows of pixels between their centres and the next ones'."""
        start = 0
        for cell_row, rows in groupby(self.row.tolist()):
            end = start + len(list(rows))
            step = max(1, BAND_PIXELS // self.width)
            yield from ((cell_row, slice(first, min(first + step, end))) for first in range(start, end, step))
            start = end


@dataclass(frozen=True)
class Mixtures:
    """The columns of a band whose four cells around have different sources; all lists are of one length."""

    runs: list[slice]
    """Where each row of cells stands in the lists."""

    place: Tensor
    """Among the columns that are copied in the row."""

    sources: Tensor
    """Columns of the residual: of the cells before, above and below, and of those after, (n 4)."""

    share_before: Tensor
    """Of the cells before, (n)."""

    energy: Tensor
    """Of the sources above, of what they have in common with those below, and of those, (3 n)."""


class ResidualCopier:
    """Copies the residual band by band: from the photos' columns to those of the gap, both photos in one list.

    Within a band nothing is left to decide: all that is known of its columns stands in lists, one row of cells after
    the other, and in each the columns of the left photo before those of the right one. By
    `python -m benchmarks.shortcuts` this takes 0.4 times as long as mixing four whole images, as the tests do it.

    Args:
        photo_widths: of the left and the right photo in px.
        contributions: of both.
        grid: of the gap.
    """

    def __init__(self, photo_widths: tuple[int, int], contributions: Contributions, grid: CellGrid) -> None:
        offset, weight = torch.stack([_of_cells(contribution, grid) for contribution in contributions], dim=1)
        weight = torch.lerp(weight[..., grid.column + 1], weight[..., grid.column], grid.column_share)
        used = _used_columns(weight)
        starts, counts = used.int().argmax(-1).tolist(), used.sum(-1).tolist()
        self.columns = [
            [slice(start, start + count) for start, count in zip(*of_photos, strict=True)]
            for of_photos in zip(starts, counts, strict=True)
        ]
        """Of the gap, those with pieces of the left and of the right photo, for each row of cells."""
        cell_row, photo, column = used.nonzero(as_tuple=True)
        self.runs = _runs(cell_row, len(used))
        """Where each row of cells stands in the lists."""
        self.weight_above, self.weight_below = weight[photo, cell_row, column], weight[photo, cell_row + 1, column]

        residual_columns, first = _residual_columns(offset.long(), *photo_widths, grid.width)
        above = (photo * first.shape[1] + cell_row) * first.shape[2] + grid.column[column]  # the cell, in a flat list

        def sources(cell: Tensor, column: Tensor) -> Tensor:
            return residual_columns.take(first.take(cell) + column)

        self.sources = sources(above, column)
        """Columns of the residual."""

        chosen = _differing(first).take(above).nonzero()[:, 0]
        of_row = cell_row[chosen]
        listed_from = torch.tensor([run.start for run in self.runs], device=of_row.device)
        above, column = above[chosen], column[chosen]
        below = above + first.shape[2]
        four = torch.stack([sources(cells, column) for cells in (above, below, above + 1, below + 1)], dim=1)
        share_before = grid.column_share[column]
        self.mixtures = Mixtures(
            runs=_runs(of_row, len(used)),
            place=chosen - listed_from[of_row],
            sources=four,
            share_before=share_before,
            energy=_energy(four, share_before),
        )
        self.share_above = grid.row_share[:, None]
        """Of the cells above, in each row of pixels."""
        share = self.share_above
        self.energy_share = torch.cat([share.square(), share * (1 - share), (1 - share).square()], dim=1)
        """How much there is of each of the three energies in a row of pixels."""

    def add_to(self, band: Tensor, residual: Tensor, cell_row: int, rows: slice) -> None:
        """Add the pieces in these rows of the residual, (3 rows w), to those of the gap, in place."""
        listed, mixed = self.runs[cell_row], self.mixtures.runs[cell_row]
        share_above = self.share_above[rows]
        copied = _take_columns(residual, self.sources[listed])
        if mixed.start < mixed.stop:
            parts = _take_columns(residual, self.mixtures.sources[mixed].T.flatten()).unflatten(-1, (2, 2, -1))
            share_before = self.mixtures.share_before[mixed]
            above, below = torch.lerp(parts[:, :, 1], parts[:, :, 0], share_before).unbind(2)
            energy = self.energy_share[rows] @ self.mixtures.energy[:, mixed]
            mixture = torch.lerp(below, above, share_above) * energy.rsqrt_()
            copied.scatter_(-1, self.mixtures.place[mixed].expand_as(mixture), mixture)
        copied *= torch.lerp(self.weight_below[listed], self.weight_above[listed], share_above)
        left, right = self.columns[cell_row]
        of_left, of_right = copied.split([left.stop - left.start, right.stop - right.start], dim=-1)
        band[..., left] += of_left
        band[..., right] += of_right


def _take_columns(residual: Tensor, columns: Tensor) -> Tensor:
    return residual.gather(-1, columns.expand(*residual.shape[:-1], -1))


def _of_cells(contribution: Contribution, grid: CellGrid) -> Tensor:
    """A photo's offsets in px of the gap, and what its residual is multiplied by where both photos dissolve into each
    other, for the cells and those beyond the ends: (2 i+2 j+2)."""
    weight = contribution.weight
    amplitude = weight * (weight.square() + (1 - weight).square()).rsqrt()
    offset = (contribution.offset * grid.cell_width).round()
    return F.pad(torch.stack([offset, amplitude]), (1, 1, 1, 1), mode="replicate")


def _used_columns(weight: Tensor) -> Tensor:
    """For each row of cells and each photo, the columns with any weight, (2 i w), and all between: (i-1 2 w)."""
    used = (weight[:, :-1] + weight[:, 1:] > 0).transpose(0, 1)
    return used.cummax(-1).values & used.flip(-1).cummax(-1).values.flip(-1)


def _residual_columns(offset: Tensor, left_width: int, right_width: int, gap_width: int) -> tuple[Tensor, Tensor]:
    """Columns of the photos as they go on for a gap's cells, reflected at their ends.

    Args:
        offset: of the cells in px, for the left and the right photo, (2 i j).
        left_width: of the photo in px; `right_width` alike.
        gap_width: in px.

    Returns:
        Columns of both photos side by side, and for each cell where in that list the gap's first column would be.
    """
    columns: list[Tensor] = []
    first = []
    for of_photo, photo_start, width, start in zip(
        offset, (0, left_width), (left_width, right_width), (left_width, -gap_width), strict=True
    ):
        lowest, highest = (int(limit) + start for limit in of_photo.aminmax())
        first.append(of_photo + start - lowest + sum(map(len, columns)))
        columns.append(photo_start + reflect(torch.arange(lowest, highest + gap_width, device=offset.device), width))
    return torch.cat(columns), torch.stack(first)


def _differing(first: Tensor) -> Tensor:
    """Whether the four cells from a cell on, to the right and below, have different sources: (2 i j)."""
    across = first[..., 1:] != first[..., :-1]
    differing = torch.zeros_like(first, dtype=torch.bool)
    differing[:, :-1, :-1] = across[:, :-1] | across[:, 1:] | (first[:, :-1, :-1] != first[:, 1:, :-1])
    return differing


def _energy(sources: Tensor, share_before: Tensor) -> Tensor:
    """Of mixtures of uncorrelated sources, as in `Mixtures.energy`."""
    shares = torch.stack([share_before, share_before, 1 - share_before, 1 - share_before], dim=1)
    energy = shares[:, None] * shares[..., None] * (sources[:, None] == sources[..., None])
    energy = energy.view(-1, 2, 2, 2, 2).sum((1, 3))
    return torch.stack([energy[:, 0, 0], 2 * energy[:, 0, 1], energy[:, 1, 1]])


def _runs(numbers: Tensor, count: int) -> list[slice]:
    """Where each of so many numbers stands in a sorted list of them."""
    ends = [0, *numbers.bincount(minlength=count).cumsum(0).tolist()]
    return [slice(start, end) for start, end in pairwise(ends)]
