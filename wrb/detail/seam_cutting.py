"""The pieces of the photos are cut to each other, and to the photos, where they differ least.

Kwatra et al., "Graphcut Textures", SIGGRAPH 2003, whose cost of a cut this is; the labels are chosen by semi-global
matching and then, for crumbs, by iterated conditional modes (Besag, "On the Statistical Analysis of Dirty Pictures",
1986).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .patch_matching import FORBIDDEN, PatchMatching
from .semi_global import aggregate_paths
from .sources import variances, with_mirrors


class SeamCutting:
    """Chooses an offset for each pixel: one of the nearest cells', or that of the nearer photo's mirror at the edge.

    Args:
        matching: at the finest level, which is that of the gap.
        gap: as the matched patches make it, (3 h w).
        cell_offsets: of the cells' patches, (cells down, cells across).
    """

    def __init__(self, matching: PatchMatching, gap: Tensor, cell_offsets: Tensor) -> None:
        self.matching = matching
        self.settings = matching.settings
        self.gap = gap
        height, width = gap.shape[-2:]
        self.rows, self.columns = (torch.arange(length, device=gap.device) for length in (height, width))
        self.offsets, in_left = self._candidates(cell_offsets)
        """Of the candidates, (candidates h w)."""
        self.source_columns = self.matching.strip.joints[0] + self.columns + self.offsets
        """Where on the strip they lie, (candidates h w)."""
        self.shown = self._pixels(0, 0)
        """The pixels that they show, (candidates 3 h w)."""
        self.costs = self._costs_of_candidates(in_left)
        """Of choosing each at a pixel, without regard to its neighbours, (candidates h w)."""

    def _candidates(self, cell_offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets and whether they lead to the left photo, (candidates h w): the mirror at the nearer edge is last."""
        strip, cell = self.matching.strip, self.matching.cell
        left_width, right_start, _ = strip.joints
        in_left = left_width + self.columns[::cell] + cell_offsets < right_start
        nearest = nearest_distinct(torch.stack([cell_offsets, in_left]), self.settings.num_candidates)
        nearest = nearest.repeat_interleave(cell, -2).repeat_interleave(cell, -1)
        at_left = self.columns < len(self.columns) / 2
        mirror = torch.stack([torch.where(at_left, 0, strip.right_mirror_offset), at_left])
        offsets, in_left = torch.cat([nearest, mirror[:, None, None].expand(-1, 1, len(self.rows), -1)], dim=1)
        return offsets, in_left

    def _costs_of_candidates(self, in_left: Tensor) -> Tensor:
        matching, settings, strip = self.matching, self.settings, self.matching.strip
        _, right_start, _ = strip.joints
        start, end = right_start * (1 - in_left), torch.where(in_left > 0, right_start, strip.width)
        outside = (self.source_columns < start) | (self.source_columns >= end)
        costs = settings.misfit_weight * (self.shown - self.gap).square().sum(1) + FORBIDDEN * outside
        costs += settings.far_photo_penalty * matching.variance * matching.farness(self.columns, in_left == 0)
        apart, reaching = self._things_shown()
        costs += settings.thing_penalty * matching.variance * (apart + reaching * ~self._is_edge_mirror())
        costs[-1] += matching.variance * self._mirror_penalties(reaching[-1])
        for edge, beside, column in ((strip.left[..., -1], -1, 0), (strip.right[..., 0], 1, -1)):
            step = self._pixels(0, beside)[..., column] - edge
            costs[..., column] += settings.photo_edge_weight * step.square().sum(1)
        return costs

    def _things_shown(self) -> Tensor:
        """How much of what the candidates show belongs to things apart from the gap, and to things that reach it, (2
        candidates h w)."""
        columns = self.source_columns.clamp(0, self.matching.strip.width - 1)
        return self.matching.strip.things[:, self.rows[:, None], columns]

    def _is_edge_mirror(self) -> Tensor:
        return self.matching.strip.is_edge_mirror(self.offsets, self.source_columns)

    def _mirror_penalties(self, reaching: Tensor) -> Tensor:
        """Of the mirror at the nearer edge, in variances, (h w); none where it completes a thing that reaches it."""
        settings, strip = self.settings, self.matching.strip
        textured = with_mirrors(self._textured(strip.left), self._textured(strip.right))
        textured = textured[self.rows[:, None], self.source_columns[-1].clamp(0, strip.width - 1)]
        cells_from_edge = self.columns.minimum(self.columns.flip(0)) / self.matching.cell
        penalties = settings.edge_mirror_penalty * cells_from_edge + settings.textured_mirror_penalty * textured
        return penalties * (1 - reaching)

    def _textured(self, photo: Tensor) -> Tensor:
        """From 0 to 1 where a photo, (3 h w), varies in all directions, as much as its patches do: (h w)."""
        variance = variances(F.pad(photo, (2, 2, 2, 2), mode="replicate"), 3).mean(0, keepdim=True)
        least = -F.max_pool2d(-variance, 3, 1)[0]  # an edge by itself is no texture
        return (least / self.matching.variance).clamp(0, 1)

    def _pixels(self, below: int, right_of: int) -> Tensor:
        """The pixels that far from those that the candidates show, (candidates 3 h w)."""
        image = self.matching.image
        height, width = image.shape[-2:]
        row, column = (self.rows + below).clamp(0, height - 1), (self.source_columns + right_of).clamp(0, width - 1)
        return image[:, row[:, None], column].transpose(0, 1)

    def cut(self) -> Tensor:
        """The best offset of each pixel, (h w)."""
        costs = rearrange(self.costs, "n h w -> h w n")
        below, right_of = self.cut_costs(1, 0), self.cut_costs(0, 1)
        total = -3 * costs  # the four paths count the pixel's own cost once each
        for total_along, costs_along, cuts in (
            (total, costs, below),
            (total.transpose(0, 1), costs.transpose(0, 1), right_of.transpose(0, 1)),
        ):
            steps = torch.stack([cuts, cuts.flip(0).mT], dim=1).unbind()
            aggregate_paths(total_along, costs_along, partial(_cheapest_transition, steps))
        chosen = refine(total.argmin(-1), costs, below, right_of, self.settings.num_refinements)
        return self.offsets.gather(0, chosen[None])[0]

    def cut_costs(self, below: int, right_of: int) -> Tensor:
        """What it costs to cut between a pixel and the next one in that direction, for each candidate of the one and
        each of the other: how the two sources differ on both sides of the cut, (h w candidates candidates)."""
        parts = self.shown, self._pixels(below, right_of), self._pixels(-below, -right_of)
        here, after, before = (rearrange(part, "n c h w -> h w n c") for part in parts)
        offset = rearrange(self.offsets, "n h w -> h w n")
        height, width = self.gap.shape[-2:]
        one = slice(height - below), slice(width - right_of)
        other = slice(below, height), slice(right_of, width)
        costs = torch.cdist(torch.cat([here, after], -1)[one], torch.cat([before, here], -1)[other]).square_()
        differs = offset[one][..., None] != offset[other][:, :, None]
        return costs.add_(self.settings.cut_penalty * self.matching.variance * differs)


def nearest_distinct(cells: Tensor, count: int) -> Tensor:
    """What each cell and the eight around it hold: the nearest first, and nothing twice while there is something else.

    Args:
        cells: (c i j).
        count: how many to return of each, at most 9.

    Returns:
        (c count i j).
    """
    height, width = cells.shape[-2:]
    rows, columns = (
        torch.arange(-1, length + 1, device=cells.device).clamp(0, length - 1) for length in (height, width)
    )
    padded = cells[:, rows[:, None], columns]
    around = sorted(product(range(3), repeat=2), key=lambda place: abs(place[0] - 1) + abs(place[1] - 1))
    held = torch.stack([padded[:, y : y + height, x : x + width] for y, x in around], dim=1)
    same = (held[:, :, None] == held[:, None]).all(0)
    repeated = torch.stack([same[number, :number].any(0) for number in range(len(around))])
    order = repeated.byte().argsort(dim=0, stable=True)[:count]
    return held.gather(1, order.expand(len(cells), -1, -1, -1))


def _cheapest_transition(cuts: Sequence[Tensor], path: Tensor, step: int) -> Tensor:
    return (path[..., None] + cuts[step]).amin(-2)


def refine(chosen: Tensor, costs: Tensor, below: Tensor, right_of: Tensor, num_sweeps: int) -> Tensor:
    """Let each pixel choose again, given what its neighbours have chosen (iterated conditional modes): no crumbs stay.

    Args:
        chosen: (h w), of the candidates n.
        costs: of each candidate, (h w n).
        below: of a cut between a pixel and the one below, (h-1 w n n); `right_of` alike, (h w-1 n n).
        num_sweeps: how often every pixel chooses.
    """
    height, width, num_candidates = costs.shape
    odd = (torch.arange(height, device=chosen.device)[:, None] + torch.arange(width, device=chosen.device)) % 2 == 1

    def given(cuts: Tensor, neighbour: Tensor) -> Tensor:
        """Costs of a cut, (h w n n), to what the neighbours on their last axis have chosen: (h w n)."""
        return cuts.gather(-1, neighbour[..., None, None].expand(-1, -1, num_candidates, 1))[..., 0]

    for turn in range(2 * num_sweeps):  # neighbours take turns, as the fields of a chessboard
        total = costs.clone()
        total[:-1].add_(given(below, chosen[1:]))
        total[1:].add_(given(below.mT, chosen[:-1]))
        total[:, :-1].add_(given(right_of, chosen[:, 1:]))
        total[:, 1:].add_(given(right_of.mT, chosen[:, :-1]))
        chosen = torch.where(odd == bool(turn % 2), total.argmin(-1), chosen)
    return chosen
