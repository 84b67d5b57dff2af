"""Patches of the gap are matched with patches of the photos, jointly, at one level of the pyramid."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .semi_global import aggregate_paths
from .settings import DetailSettings
from .sources import SourceStrip, variances

FORBIDDEN = 1e7
"""Cost of what must not be chosen; far more than all others add up to, and exact in float32."""


class PatchMatching:
    """The patches of a gap, and what each source costs each of them beside how they differ.

    Patches overlap: each is centred on a cell. Those across the gap's edges hold pixels of the photo, which count
    `photo_edge_weight` times. Patches that would reach beyond top or bottom, or farther than that into a photo, are not
    matched.

    Args:
        strip: the sources, of whole cells.
        patch_margin: by how many cells a patch reaches beyond its own on every side.
        settings: of the detail.
        allow_mirrored: whether pieces of the photos may be mirrored.
    """

    def __init__(
        self, strip: SourceStrip, patch_margin: int, settings: DetailSettings, *, allow_mirrored: bool = True
    ) -> None:
        self.strip = strip
        self.settings = settings
        self.allow_mirrored = allow_mirrored
        self.image = strip.image
        self.cell = strip.left.shape[-2] // settings.num_cell_rows
        """Height and width of a cell in px."""
        self.size = (2 * patch_margin + 1) * self.cell
        """Height and width of a patch in px."""
        self.overhang = 2 * patch_margin * self.cell
        """Px of either photo in the patches across the edge."""
        self.variance = self._mean_variance()
        """Of a channel in the photos' patches."""
        self.unit = 3 * self.size**2 * settings.discontinuity_penalty * self.variance
        """The squared differences that make a cost of 1."""
        self.column_weights = self._column_weights()
        """Of the columns of every patch in a row of them, (patches size)."""
        self.rows, self.columns, self.sources = self._places()
        """The patches' first rows, (patches 1), their first columns on the strip, (patches), and the first columns of
        all sources, (sources)."""
        self.first_shown = self._first_shown()
        self.fixed_costs = self._squared_sources() / self.unit + self._penalties() + self._thing_penalties()

    def _mean_variance(self) -> Tensor:
        means = [variances(photo, self.size).mean() for photo in (self.strip.left, self.strip.right)]
        return torch.stack(means).mean().clamp(min=1e-8)

    def _column_weights(self) -> Tensor:
        width = self.strip.gap_width
        weights = self.image.new_full((2 * self.overhang + width,), self.settings.photo_edge_weight)
        weights[self.overhang : self.overhang + width] = 1
        return weights.unfold(0, self.size, self.cell)

    def _places(self) -> tuple[Tensor, Tensor, Tensor]:
        height, left_width = self.strip.left.shape[-2:]
        places = torch.arange(
            max(height, left_width + self.strip.gap_width, self.strip.width), device=self.image.device
        )
        rows = places[: height - self.size + 1 : self.cell, None]
        columns = places[left_width - self.overhang :: self.cell][: len(self.column_weights)]
        return rows, columns, places[: self.strip.width - self.size + 1]

    def _first_shown(self) -> Tensor:
        """The first column of both photos side by side that each source shows, mirrored or not, (sources)."""
        columns = self.strip.photo_columns()
        return columns[: len(self.sources)].minimum(columns[self.size - 1 :])

    def _squared_sources(self) -> Tensor:
        """What of the squared difference is each source's own, (patches down, patches across, sources)."""
        squares = self.image.square().sum(0)[None]
        sums = F.avg_pool2d(squares, (self.size, 1), (self.cell, 1)) * self.size
        weighted = F.conv2d(sums, self.column_weights[:, None, None])
        for joint in self.strip.joints:  # no patch is half a photo and half its mirror
            weighted[..., joint - self.size + 1 : joint] = FORBIDDEN
        return weighted.transpose(0, 1)

    def _penalties(self) -> Tensor:
        """For the farther photo and for mirrors, (patches across, sources)."""
        settings, (mirror_start, right_start, mirror_end) = self.settings, self.strip.joints
        in_right = self.sources >= right_start
        in_mirror = (self.sources >= mirror_start) & (self.sources < mirror_end)
        from_mirror = self.sources - self.columns[:, None] - self.strip.right_mirror_offset * in_right
        mirror_penalty = settings.mirror_penalty * (1 - from_mirror.abs() / (settings.mirror_reach * self.cell)).clamp(
            min=0
        )
        if not self.allow_mirrored:
            mirror_penalty = mirror_penalty.new_tensor(FORBIDDEN)
        centre = (self.columns - mirror_start + self.size / 2)[:, None]
        return settings.far_photo_penalty * self.farness(centre, in_right) + mirror_penalty * in_mirror

    def _thing_penalties(self) -> Tensor:
        """For sources with things in them, (patches down, patches across, sources)."""
        apart, reaching = F.avg_pool2d(self.strip.things, (self.size, self.size), (self.cell, 1))[..., None, :]
        is_mirror = self.strip.is_edge_mirror(self.sources - self.columns[:, None], self.sources)
        return self.settings.thing_penalty * (apart + reaching * ~is_mirror)

    def farness(self, place: Tensor, in_right: Tensor) -> Tensor:
        """How much a source's photo is the farther one for a place so many px into the gap: 1 at the edge of the other
        photo, 0 from `far_photo_reach` cells on."""
        from_other = torch.where(in_right, place, self.strip.gap_width - place)
        return (1 - from_other / (self.settings.far_photo_reach * self.cell)).clamp(0, 1)

    def match(self, gap: Tensor) -> Tensor:
        """The offsets of the patches of a gap, (3 h w): (patches down, patches across)."""
        left, right = self.strip.left, self.strip.right
        beside = torch.cat([left[..., -self.overhang :], gap, right[..., : self.overhang]], dim=-1)
        patches = beside.unfold(1, self.size, self.cell).unfold(2, self.size, self.cell) * self.column_weights[:, None]
        bands = self.image.unfold(1, self.size, self.cell)
        products = F.conv1d(
            rearrange(bands, "c i x y -> 1 (i c y) x"),
            rearrange(patches, "c i j y x -> (i j) (c y) x"),
            groups=len(self.rows),
        )
        # squared differences, but for what is the same for all sources of a patch
        costs = torch.addcmul(self.fixed_costs, products.view_as(self.fixed_costs), -2 / self.unit)
        aggregated = aggregate_costs(costs, self.cell)
        return assign_sources(aggregated, self.cell, self.first_shown, self.settings) - self.columns

    def vote(self, offsets: Tensor) -> Tensor:
        """The gap that the patches' sources make, (3 h w): the mean of all patches over a pixel (Wexler et al.)."""
        inside = torch.arange(self.size, device=self.rows.device)
        row = self.rows[..., None, None] + inside[:, None]
        column = (self.columns + offsets)[..., None, None] + inside
        patches = rearrange(self.image[:, row, column], "c i j y x -> 1 (c y x) (i j)")
        size = self.image.shape[-2], self.strip.gap_width + 2 * self.overhang
        total = F.fold(patches, size, self.size, stride=self.cell)
        count = F.fold(torch.ones_like(patches), size, self.size, stride=self.cell)
        return (total / count)[0, ..., self.overhang : -self.overhang]


def aggregate_costs(costs: Tensor, cell: int) -> Tensor:
    """Semi-global matching of patches whose neighbours should have the same offset; another one costs 1.

    Args:
        costs: of each source, a first column on the strip, for each patch: (patches down, patches across, sources).
        cell: by how many columns the source of the next patch in a row lies farther, if it has the same offset.

    Returns:
        The aggregated costs, of the same shape.
    """

    def down(path: Tensor, _: int) -> Tensor:
        return path.clamp_(max=1)

    def across(path: Tensor, _: int) -> Tensor:
        change = torch.ones_like(path)
        change[0, :, cell:] = path[0, :, :-cell]
        change[1, :, :-cell] = path[1, :, cell:]
        return change.clamp_(max=1)

    total = -3 * costs  # the four paths count the patch's own cost once each
    aggregate_paths(total, costs, down)
    aggregate_paths(total.transpose(0, 1), costs.transpose(0, 1), across)
    return total


def assign_sources(costs: Tensor, cell: int, first_shown: Tensor, settings: DetailSettings) -> Tensor:
    """Choose the best source of each patch, one column of patches after the other, from both ends to the middle.

    A source that a patch of the same row shows already, in part or whole, costs more; one that continues the neighbour
    nearer to the edge costs less.

    Args:
        costs: aggregated, of each source for each patch: (patches down, patches across, sources).
        cell: by how many columns the source of the next patch in a row lies farther, if it has the same offset.
        first_shown: the first column of the photos that each source shows, mirrored or not, (sources).
        settings: of the detail.

    Returns:
        (patches down, patches across).
    """
    num_down, num_across, num_sources = costs.shape
    margin = cell - 1
    reuse = costs.new_zeros(num_down, int(first_shown.max()) + 1 + 2 * margin)
    near = torch.arange(2 * margin + 1, device=costs.device)
    overlap = (settings.reuse_penalty * (1 - (near - margin).abs() / cell)).expand(num_down, -1)
    chosen = torch.empty(num_down, num_across, dtype=torch.long, device=costs.device)
    for column in sorted(range(num_across), key=lambda column: min(column, num_across - 1 - column)):
        total = costs[:, column] + reuse[:, first_shown + margin]
        to_edge = -1 if 2 * column < num_across else 1
        if 0 <= column + to_edge < num_across:
            continuing = chosen[:, column + to_edge, None] - to_edge * cell
            bonus = -settings.continuation_bonus * ((continuing >= 0) & (continuing < num_sources))
            total.scatter_add_(1, continuing.clamp(0, num_sources - 1), bonus)
        best = chosen[:, column] = total.argmin(1)
        reuse.scatter_add_(1, first_shown[best][:, None] + near, overlap)
    return chosen
