"""The photos' high frequencies in the gap, at full resolution.

What the photos have beyond their own low frequencies, their residual, is copied where their pieces lie (as in HiFill,
Yi et al., CVPR 2020). A place of the contributions is a tile of the gap. Between the centres of four tiles, a pixel has
the mixture of their four sources, by overlapping windows. Different sources are as good as uncorrelated, so their
energies add up: a mixture is divided by the root of what the squares of its shares make.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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


def compose(
    gap: Tensor,
    parts: RowsOfParts,
    photo_widths: tuple[int, int],
    contributions: Contributions,
    of_photos: tuple[Tensor, Tensor] | None = None,
) -> None:
    """Write a gap: its low frequencies and, where the photos contribute, their residual.

    Args:
        gap: where to write it, (3 h w).
        parts: tells what of it lies in some rows.
        photo_widths: of the left and the right photo in px.
        contributions: of both, at the finest level.
        of_photos: where to add each photo's residual instead of to the gap, (3 h w).
    """
    height, width = gap.shape[-2:]
    grid = TileGrid(height, width, contributions[0].weight.shape, gap.device)
    copier = ResidualCopier(photo_widths, contributions, grid)
    for tile_row, rows in grid.bands():
        gap[:, rows], residual = parts(rows)
        copier.add_to([part[:, rows] for part in of_photos or (gap, gap)], residual, tile_row, rows)


class TileGrid:
    """Where the pixels of a gap lie between the centres of its tiles.

    Tiles are numbered from 1; beyond the gap's ends lies one more, like the one beside it.

    Args:
        height: of the gap in px; `width` alike.
        tiles: their number down and across.
        device: of the gap.
    """

    def __init__(self, height: int, width: int, tiles: torch.Size, device: torch.device) -> None:
        self.width = width
        self.tile_width = width / tiles[1]
        down, across = (
            (torch.arange(length, device=device) + 0.5) * count / length + 0.5
            for length, count in zip((height, width), tiles, strict=True)
        )
        self.row, self.column = down.long(), across.long()
        """Of the tile whose centre is the last one before each pixel."""
        self.row_share, self.column_share = fade(down - self.row), fade(across - self.column)
        """Of that tile; the next one has the rest."""

    def bands(self) -> Iterator[tuple[int, slice]]:
        """The gap from top to bottom: a row of tiles, and rows of pixels between their centres and the next ones'."""
        start = 0
        for tile_row, rows in groupby(self.row.tolist()):
            end = start + len(list(rows))
            step = max(1, BAND_PIXELS // self.width)
            yield from ((tile_row, slice(first, min(first + step, end))) for first in range(start, end, step))
            start = end


class SourceColumns:
    """Which column of the residual each tile shows at each column of the gap.

    Args:
        offset: of the tiles in px, for the left and the right photo, (2 i j).
        photo_widths: of both in px.
        gap_width: in px.
    """

    def __init__(self, offset: Tensor, photo_widths: tuple[int, int], gap_width: int) -> None:
        residual_columns: list[Tensor] = []
        first = []
        for of_photo, photo_start, width, start in zip(
            offset, (0, photo_widths[0]), photo_widths, (photo_widths[0], -gap_width), strict=True
        ):
            lowest, highest = (int(limit) + start for limit in of_photo.aminmax())
            first.append(of_photo + start - lowest + sum(map(len, residual_columns)))
            place = torch.arange(lowest, highest + gap_width, device=offset.device)
            residual_columns.append(photo_start + reflect(place, width))
        self.residual_columns = torch.cat(residual_columns)
        """Of both photos, as they go on beyond their ends for the tiles."""
        self.first = torch.stack(first)
        """Where in that list each tile has the gap's first column, (2 i j)."""

    def tile(self, photo: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """The number of a tile; that of the next one in its row is one more."""
        return (photo * self.first.shape[1] + row) * self.first.shape[2] + column

    def below(self, tile: Tensor) -> Tensor:
        """The number of the tile below."""
        return tile + self.first.shape[2]

    def at(self, tile: Tensor, column: Tensor) -> Tensor:
        """The residual's columns that tiles show at columns of the gap."""
        return self.residual_columns.take(self.first.take(tile) + column)

    def differing(self) -> Tensor:
        """Whether the four tiles from a tile on, to the right and below, have different sources: (2 i j)."""
        across = self.first[..., 1:] != self.first[..., :-1]
        down = self.first[:, 1:] != self.first[:, :-1]
        differing = torch.zeros_like(self.first, dtype=torch.bool)
        differing[:, :-1, :-1] = across[:, :-1] | across[:, 1:] | down[..., :-1]
        return differing


@dataclass(frozen=True)
class Mixtures:
    """The columns of a band whose four tiles around have different sources; all lists are of one length."""

    runs: list[slice]
    """Where each row of tiles stands in the lists."""

    place: Tensor
    """Among the columns that are copied in the row."""

    sources: Tensor
    """Columns of the residual: of the tiles before, above and below, and of those after, (n 4)."""

    share_before: Tensor
    """Of the tiles before, (n)."""

    energy: Tensor
    """Of the sources above, of what they have in common with those below, and of those, (3 n)."""


class ResidualCopier:
    """Copies the residual band by band: from the photos' columns to those of the gap, both photos in one list.

    Within a band nothing is left to decide: all that is known of its columns stands in lists, one row of tiles after
    the other, and in each the columns of the left photo before those of the right one. By
    `python -m benchmarks.shortcuts` it takes 0.11 to 0.14 times as long as mixing the four sources of every pixel.

    Args:
        photo_widths: of the left and the right photo in px.
        contributions: of both.
        grid: of the gap.
    """

    def __init__(self, photo_widths: tuple[int, int], contributions: Contributions, grid: TileGrid) -> None:
        offset, amplitude = torch.stack([_of_tiles(contribution, grid) for contribution in contributions], dim=1)
        amplitude = torch.lerp(amplitude[..., grid.column + 1], amplitude[..., grid.column], grid.column_share)
        used = _used_columns(amplitude)
        self.ranges = _ranges(used)
        """For each row of tiles, the gap's columns that have pieces of the left and of the right photo."""
        tile_row, photo, column = used.nonzero(as_tuple=True)
        self.runs = _runs(tile_row, len(used))
        """Where each row of tiles stands in the lists."""
        self.amplitude_above, self.amplitude_below = (amplitude[photo, tile_row + below, column] for below in (0, 1))
        columns = SourceColumns(offset.long(), photo_widths, grid.width)
        above = columns.tile(photo, tile_row, grid.column[column])
        self.sources = columns.at(above, column)
        """Columns of the residual."""
        self.mixtures = self._mixtures(columns, above, tile_row, column, grid)
        self.share_above = grid.row_share[:, None]
        """Of the tiles above, in each row of pixels."""
        share = self.share_above
        self.energy_share = torch.cat([share.square(), share * (1 - share), (1 - share).square()], dim=1)
        """How much there is of each of the three energies of `Mixtures` in a row of pixels."""

    def _mixtures(
        self, columns: SourceColumns, above: Tensor, tile_row: Tensor, column: Tensor, grid: TileGrid
    ) -> Mixtures:
        """Those of the listed columns; `above` are the tiles above and before them."""
        chosen = columns.differing().take(above).nonzero()[:, 0]
        above, tile_row, column = above[chosen], tile_row[chosen], column[chosen]
        below = columns.below(above)
        sources = torch.stack([columns.at(tile, column) for tile in (above, below, above + 1, below + 1)], dim=1)
        share_before = grid.column_share[column]
        listed_from = torch.tensor([run.start for run in self.runs], device=column.device)
        return Mixtures(
            runs=_runs(tile_row, len(self.runs)),
            place=chosen - listed_from[tile_row],
            sources=sources,
            share_before=share_before,
            energy=_energy(sources, share_before),
        )

    def add_to(self, bands: Sequence[Tensor], residual: Tensor, tile_row: int, rows: slice) -> None:
        """Add the pieces in these rows of the residual, (3 rows w), to what is there of either photo, in place."""
        listed, mixed = self.runs[tile_row], self.mixtures.runs[tile_row]
        share_above = self.share_above[rows]
        copied = _take_columns(residual, self.sources[listed])
        if mixed.start < mixed.stop:
            parts = _take_columns(residual, self.mixtures.sources[mixed].T.flatten()).unflatten(-1, (2, 2, -1))
            share_before = self.mixtures.share_before[mixed]
            above, below = torch.lerp(parts[:, :, 1], parts[:, :, 0], share_before).unbind(2)
            energy = self.energy_share[rows] @ self.mixtures.energy[:, mixed]
            mixture = torch.lerp(below, above, share_above) * energy.rsqrt_()
            copied.scatter_(-1, self.mixtures.place[mixed].expand_as(mixture), mixture)
        copied *= torch.lerp(self.amplitude_below[listed], self.amplitude_above[listed], share_above)
        left, right = self.ranges[tile_row]
        of_left, of_right = copied.split([left.stop - left.start, right.stop - right.start], dim=-1)
        bands[0][..., left].add_(of_left)  # with += on a part, Python has it copied onto itself too
        bands[1][..., right].add_(of_right)


def _take_columns(residual: Tensor, columns: Tensor) -> Tensor:
    return residual.gather(-1, columns.expand(*residual.shape[:-1], -1))


def _of_tiles(contribution: Contribution, grid: TileGrid) -> Tensor:
    """A photo's offsets in px of the gap, and what its residual is multiplied by where both photos dissolve into each
    other, for the tiles and those beyond the ends: (2 i+2 j+2)."""
    weight = contribution.weight
    amplitude = weight * (weight.square() + (1 - weight).square()).rsqrt()
    if contribution.gain is not None:
        amplitude *= contribution.gain
    offset = (contribution.offset * grid.tile_width).round()
    return F.pad(torch.stack([offset, amplitude]), (1, 1, 1, 1), mode="replicate")


def _used_columns(amplitude: Tensor) -> Tensor:
    """For each row of tiles and each photo, the columns where it shows, (2 i w), and all between: (i-1 2 w)."""
    used = (amplitude[:, :-1] + amplitude[:, 1:] > 0).transpose(0, 1)
    return used.cummax(-1).values & used.flip(-1).cummax(-1).values.flip(-1)


def _ranges(used: Tensor) -> list[list[slice]]:
    """Where the used columns begin and end, for each row of tiles and each photo, (i 2 w)."""
    starts, counts = used.int().argmax(-1).tolist(), used.sum(-1).tolist()
    return [
        [slice(start, start + count) for start, count in zip(*of_photos, strict=True)]
        for of_photos in zip(starts, counts, strict=True)
    ]


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
