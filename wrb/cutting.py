"""The pieces of photos in a gap, cut to each other and to the photos where they differ least."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .matching import EDGE, FARTHER, NEVER, Matching, add_paths, variances, with_mirrored

CHOICES = 4
"""How many of the sources around it a pixel can have."""

BRIDGE = 1 / 3
"""Cost of a pixel of the mirror at the gap's edge for every cell that it lies from it, in variances of the photos like
those below. The mirror alone goes on from a photo without a step, and so leads to where another source fits."""

SYMMETRY = 60
"""Cost of a pixel of that mirror within texture: one sees faces there, and a step does not show."""

MISFIT = 0.1
"""Cost of what a pixel differs from the mean of the patches matched there, over that of differing across a cut."""

CUT = 2
"""Cost of a cut between two pixels whose sources look the same."""

POLISHING = 1
"""How often each pixel chooses again at the end."""


class Cutting:
    """The sources that each pixel of a gap can have: `CHOICES` of those of the 3×3 nearest cells, and the mirror of the
    photo that is nearer.

    Args:
        matching: at the height of the gap.
        laid: the gap as it should look, (3 h w).
        cells: their sources, (`ROWS` cells).
    """

    def __init__(self, matching: Matching, laid: Tensor, cells: Tensor) -> None:
        self.matching = matching
        self.laid = laid
        (left, right), step = matching.photos, matching.step
        height, width = laid.shape[-2:]
        left_width = left.shape[-1]
        first, last = 2 * left_width, matching.strip.shape[-1]  # where the sources of left and right end

        rows, columns = (torch.arange(length, device=laid.device) for length in (height, width))
        in_left = left_width + columns[::step] + cells < first
        choices = nearby(torch.stack([cells, in_left]))
        choices = choices.repeat_interleave(step, -2).repeat_interleave(step, -1)
        at_left = columns < width / 2
        mirror = torch.stack([torch.where(at_left, 0, matching.right_mirror), at_left])
        self.sources, in_left = torch.cat([choices, mirror[:, None, None].expand(-1, 1, height, -1)], dim=1)

        self.row, self.column = rows[:, None], left_width + columns + self.sources
        start, end = first * (1 - in_left), torch.where(in_left > 0, first, last)
        outside = (self.column < start) | (self.column >= end)
        self.here = self._seen(0, 0)
        self.costs = MISFIT * (self.here - laid).square().sum(1) + NEVER * outside
        self.costs += FARTHER * matching.variance * matching.farther(columns, in_left == 0)
        strip = with_mirrored(*map(self._textured, matching.photos))
        textured = strip[self.row, self.column[-1].clamp(0, last - 1)]
        farther_in = columns.minimum(columns.flip(0)) / step
        self.costs[-1] += matching.variance * (BRIDGE * farther_in + SYMMETRY * textured)
        for edge, beside, x in ((left[..., -1], -1, 0), (right[..., 0], 1, -1)):
            self.costs[..., x] += EDGE * (self._seen(0, beside)[..., x] - edge).square().sum(1)

    def _textured(self, photo: Tensor) -> Tensor:
        """From 0 to 1 where the photo, (3 h w), varies in all directions, as much as its patches do: (h w)."""
        variance = variances(F.pad(photo, (2, 2, 2, 2), mode="replicate"), 3).mean(0, keepdim=True)
        least = -F.max_pool2d(-variance, 3, 1)[0]  # an edge by itself is none
        return (least / self.matching.variance).clamp(0, 1)

    def _seen(self, below: int, right_of: int) -> Tensor:
        """The pixels that far from the sources', (n 3 h w)."""
        height, width = self.matching.strip.shape[-2:]
        row, column = (self.row + below).clamp(0, height - 1), (self.column + right_of).clamp(0, width - 1)
        return self.matching.strip[:, row, column].transpose(0, 1)

    def cut(self) -> Tensor:
        """The best source of each pixel, (h w)."""
        costs = rearrange(self.costs, "n h w -> h w n")
        below, right_of = self._seams(1, 0), self._seams(0, 1)
        total = -3 * costs
        for own, along, seams in (
            (total, costs, below),
            (total.transpose(0, 1), costs.transpose(0, 1), right_of.transpose(0, 1)),
        ):
            steps = torch.stack([seams, seams.flip(0).mT], dim=1).unbind()
            add_paths(own, along, partial(_arriving, steps))
        chosen = _without_crumbs(total.argmin(-1), costs, below, right_of)
        return self.sources.gather(0, chosen[None])[0]

    def _seams(self, below: int, right_of: int) -> Tensor:
        """What it costs to cut between each source of a pixel and each of the next one in that direction: (h w n n)."""
        parts = self.here, self._seen(below, right_of), self._seen(-below, -right_of)
        here, after, before = (rearrange(part, "n c h w -> h w n c") for part in parts)
        source = rearrange(self.sources, "n h w -> h w n")
        height, width = self.laid.shape[-2:]
        one = slice(height - below), slice(width - right_of)
        other = slice(below, height), slice(right_of, width)
        # what both pixels see of one's source, and of the other's
        seams = torch.cdist(torch.cat([here, after], -1)[one], torch.cat([before, here], -1)[other]).square_()
        differs = source[one][..., None] != source[other][:, :, None]
        return seams.add_(CUT * self.matching.variance * differs)


def nearby(cells: Tensor) -> Tensor:
    """`CHOICES` of what each cell and those around it say: the nearest first, and nothing again while there is other.

    Args:
        cells: (c i j).

    Returns:
        (c n i j).
    """
    height, width = cells.shape[-2:]
    rows, columns = (
        torch.arange(-1, length + 1, device=cells.device).clamp(0, length - 1) for length in (height, width)
    )
    padded = cells[:, rows[:, None], columns]
    around = sorted(product(range(3), repeat=2), key=lambda place: abs(place[0] - 1) + abs(place[1] - 1))
    said = torch.stack([padded[:, y : y + height, x : x + width] for y, x in around], dim=1)
    same = (said[:, :, None] == said[:, None]).all(0)
    again = torch.stack([same[number, :number].any(0) for number in range(len(around))])
    order = again.byte().argsort(dim=0, stable=True)[:CHOICES]
    return said.gather(1, order.expand(len(cells), -1, -1, -1))


def _arriving(seams: Sequence[Tensor], path: Tensor, step: int) -> Tensor:
    return (path[..., None] + seams[step]).amin(-2)


def _without_crumbs(chosen: Tensor, costs: Tensor, below: Tensor, right_of: Tensor) -> Tensor:
    """Let each pixel choose again, given what its neighbours have chosen, which leaves no crumbs between pieces.

    Args:
        chosen: (h w), of the sources n.
        costs: (h w n).
        below: of seams between each pixel and the one below, (h-1 w n n); `right_of` alike.
    """
    height, width, num_sources = costs.shape
    odd = (torch.arange(height, device=chosen.device)[:, None] + torch.arange(width, device=chosen.device)) % 2 == 1

    def given(seams: Tensor, neighbour: Tensor) -> Tensor:
        """The seams, (h w n n), to what the neighbours on their last axis have chosen: (h w n)."""
        return seams.gather(-1, neighbour[..., None, None].expand(-1, -1, num_sources, 1))[..., 0]

    for turn in range(2 * POLISHING):  # neighbours take turns
        total = costs.clone()
        total[:-1] += given(below, chosen[1:])
        total[1:] += given(below.mT, chosen[:-1])
        total[:, :-1] += given(right_of, chosen[:, 1:])
        total[:, 1:] += given(right_of.mT, chosen[:, :-1])
        chosen = torch.where(odd == bool(turn % 2), total.argmin(-1), chosen)
    return chosen
