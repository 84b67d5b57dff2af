"""How the rows of a gap are moved, so that the layers of two photos meet in it.

The gap is laid with the rows of both photos moved half of the way to each other, so that what belongs together lies at
one height. Then its rows are moved back, column by column: to the left photo's heights at its edge, to the right one's
at the other. The photos' own pixels are resampled only once: what a photo gives to the gap is put together in its own
rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import fade, resample
from .cross_dissolve import Contribution, Contributions

MOVED_COLUMNS = 2048
"""Columns of a gap that are moved at a time: their places take as much memory as two thirds of their pixels."""


@dataclass(frozen=True)
class RowMap:
    """Which rows of both photos belong together, and where the gap passes from the left photo's heights to the right
    one's.

    Rows are shares of the height, from 0, the upper edge, to 1; columns are shares of the gap's width. Common rows go
    from 0 to 1 as well: that is where the gap is laid.
    """

    left_rows: Tensor
    """Those of the left photo for the common rows 0, 1/n … 1, (n+1), ascending."""

    right_rows: Tensor
    """Those of the right photo."""

    start: float = 0.0
    """Up to this column everything lies at the left photo's heights."""

    end: float = 1.0
    """From this column on, at the right photo's."""

    def progress(self, column: Tensor) -> Tensor:
        """How far columns have passed from the left photo's heights to the right one's, 0..1."""
        return 1 - fade((column - self.start) / (self.end - self.start))

    def in_part(self, share: float) -> RowMap:
        """The same, but that rows move less: 0 not at all, 1 as far as here."""
        left_rows, right_rows = (torch.lerp(_evenly(rows), rows, share) for rows in (self.left_rows, self.right_rows))
        return replace(self, left_rows=left_rows, right_rows=right_rows)

    def common_rows(self, height: int, width: int) -> Tensor:
        """The common rows that the places of a gap show, (h w)."""
        progress = self.progress(centres(width, self.left_rows))
        return common_rows(self.left_rows[None], self.right_rows[None], progress[None], height)[0]

    def rows_shown(self, height: int, width: int) -> Tensor:
        """The rows of the left and of the right photo that the places of a gap show, (2 h w)."""
        return rows_at(
            torch.stack([self.left_rows, self.right_rows]), self.common_rows(height, width).expand(2, -1, -1)
        )

    def rectify(self, photo: Tensor, rows: Tensor) -> Tensor:
        """A photo, (c h w) in 0..1, at the common rows; `rows` are `left_rows` or `right_rows`."""
        height, width = photo.shape[-2:]
        at = _at_centres(rows, 2 * height)[:, None].expand(-1, width)
        return _halved(move_rows(_doubled(photo), at)).clamp(0, 1)

    def pull(self, gap: Tensor) -> Tensor:
        """A gap, (c h w), at the common rows."""
        height, width = gap.shape[-2:]
        left, right = (_at_centres(rows, height)[:, None] for rows in (self.left_rows, self.right_rows))
        return move_rows(gap, torch.lerp(left, right, self.progress(centres(width, gap))))

    def push(self, gap: Tensor) -> Tensor:
        """A gap at the common rows, (c h w), with everything moved to where it belongs."""
        height, width = gap.shape[-2:]
        return _halved(move_rows(_doubled(gap), self.common_rows(2 * height, width)))

    def in_own_rows(self, contributions: Contributions) -> Contributions:
        """Contributions at the common rows, with those of each photo at its own."""
        left, right = (
            _moved_contribution(contribution, rows)
            for contribution, rows in zip(contributions, (self.left_rows, self.right_rows), strict=True)
        )
        return left, right

    def add_moved(self, gap: Tensor, of_photos: tuple[Tensor, Tensor], contributions: Contributions) -> None:
        """Add to a gap, (c h w), what both photos give to it, each in its own rows, (c h w); in place.

        How far rows move is computed for the contributions' places, and interpolated between them.
        """
        height, width = gap.shape[-2:]
        grid = contributions[0].weight.shape
        distances = self.rows_shown(*grid) - centres(grid[0], gap)[:, None]
        row = centres(height, gap)[:, None]
        for of_photo, distance, contribution in zip(of_photos, distances, contributions, strict=True):
            used = contribution.weight.any(0).nonzero()[:, 0] * width / grid[1]
            first, last = int(used[0] - width / grid[1]), int(used[-1] + 2 * width / grid[1]) + 1
            distance = F.interpolate(distance[None, None], (height, width), mode="bilinear")[0, 0]
            for start in range(max(0, first), min(last, width), MOVED_COLUMNS):
                columns = slice(start, min(start + MOVED_COLUMNS, last))
                gap[..., columns].add_(move_rows(of_photo[..., columns], row + distance[:, columns]))


def common_rows(left_rows: Tensor, right_rows: Tensor, progress: Tensor, height: int) -> Tensor:
    """The common rows that the places of gaps show, (b h w).

    Args:
        left_rows: for the common rows 0, 1/n … 1, (b n+1); `right_rows` alike.
        progress: how far columns have passed from the left rows to the right ones, (b w).
        height: in px.
    """
    lying_at = torch.lerp(left_rows[:, None], right_rows[:, None], progress[..., None]).flatten(0, 1)
    common = interpolate(lying_at, _evenly(lying_at), centres(height, lying_at).expand(len(lying_at), -1))
    return common.view(*progress.shape, height).mT


def rows_at(rows: Tensor, common: Tensor) -> Tensor:
    """A photo's rows, told for the common rows 0, 1/n … 1, (b n+1), at common rows, (b h w)."""
    return interpolate(_evenly(rows), rows, common.flatten(1)).view_as(common)


def centres(length: int, like: Tensor) -> Tensor:
    """The middles of so many px, as shares of all, (length)."""
    return (torch.arange(length, device=like.device) + 0.5) / length


def interpolate(known: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
    """Piecewise linear interpolation along the last axis, constant beyond the ends.

    Args:
        known: where the values are known, (b n), ascending.
        values: the values, (b n).
        wanted: where they are wanted, (b m).

    Returns:
        (b m).
    """
    after = torch.searchsorted(known.contiguous(), wanted.contiguous()).clamp(1, known.shape[-1] - 1)
    low, high = known.gather(-1, after - 1), known.gather(-1, after)
    share = ((wanted - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return torch.lerp(values.gather(-1, after - 1), values.gather(-1, after), share)


def move_rows(image: Tensor, rows: Tensor, mode: str = "bicubic") -> Tensor:
    """An image, (c h w), of which every place, (h' w), shows the row that is told there, as a share of the height."""
    column = 2 * centres(image.shape[-1], image) - 1
    grid = torch.stack([column.expand_as(rows), 2 * rows - 1], dim=-1)
    return F.grid_sample(image[None], grid[None], mode=mode, padding_mode="border", align_corners=False)[0]


def _evenly(rows: Tensor) -> Tensor:
    """0, 1/n … 1 for each row of a tensor, (b n+1)."""
    return torch.linspace(0, 1, rows.shape[-1], device=rows.device).expand_as(rows)


def _at_centres(rows: Tensor, height: int) -> Tensor:
    return interpolate(_evenly(rows[None]), rows[None], centres(height, rows)[None])[0]


def _moved_contribution(contribution: Contribution, rows: Tensor) -> Contribution:
    height = len(contribution.weight)
    common = interpolate(rows[None], _evenly(rows[None]), centres(height, rows)[None])[0]
    nearest = (common * height).long().clamp(0, height - 1)
    weight = move_rows(contribution.weight[None], common[:, None].expand_as(contribution.weight), mode="bilinear")[0]
    return Contribution(contribution.offset[nearest], weight)


def _doubled(image: Tensor) -> Tensor:
    """Twice as high: rows that are moved there lose nothing that shows at the image's own height."""
    height, width = image.shape[-2:]
    return resample(image[None], 2 * height, width)[0]


def _halved(image: Tensor) -> Tensor:
    return F.avg_pool2d(image[None], (2, 1))[0]
