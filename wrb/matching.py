"""Patches of a gap, matched jointly with patches of the photos beside it."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

ROWS = 16
"""Rows of cells in the gap. A cell, about as wide as high, is what patches are moved by."""

CHANGE = 2
"""Cost where a patch does not continue its neighbour's source, in mean variances of the photos' patches: the unit of
the costs below."""

REUSE = 1
"""Cost of a source that is laid already."""

FOLLOWING = 0.5
"""Gain of a patch that continues what is already laid beside it."""

EDGE = 10
"""How much more a photo's pixel counts than the gap's beside it, so that the gap continues it."""

FARTHER = 5
"""Cost of the farther photo at a photo's edge, and for a pixel in variances of the photos. Where photos meet, both show
for a while, and all that the nearer one had to show there would be its own mirror."""

NEAR = 3
"""How many cells from the edge none of that is left."""

NEVER = 1e7

MIRROR = 3
"""Cost of a patch of a mirrored photo that lies where a mirror at the gap's edge would show it. Farther from there,
patches may be turned left to right: one sees a thing again less easily in its mirror image."""

ASIDE = 8
"""How many cells from there nothing of that is left. With less, a gap becomes its photos' reflections."""


def with_mirrored(left: Tensor, right: Tensor) -> Tensor:
    """Both photos, (… w), and between them their mirrors at the gap's edges: all that sources are."""
    return torch.cat([left, left.flip(-1), right.flip(-1), right], dim=-1)


def variances(photo: Tensor, size: int) -> Tensor:
    """Of a photo's channels, (3 h w), in every window so many px high and wide: (3 h-size+1 w-size+1)."""
    mean, mean_square = (F.avg_pool2d(image[None], size, 1)[0] for image in (photo, photo.square()))
    return mean_square - mean.square()


class Matching:
    """The patches of a gap and of the photos beside it at one height, in px.

    Args:
        left: the photo, (3 h w), of whole cells; `right` alike.
        width: of the gap.
        margin: how many cells farther than its own a patch reaches.
        mirrored: whether pieces of the photos may be.
    """

    def __init__(self, left: Tensor, right: Tensor, width: int, margin: int, mirrored: bool = True) -> None:
        self.photos = left, right
        self.mirrored = mirrored
        self.width = width
        self.step = left.shape[-2] // ROWS
        self.size = (2 * margin + 1) * self.step
        self.beside = 2 * margin * self.step  # px of either photo in patches across the edge
        self.strip = with_mirrored(left, right)

        weights = left.new_full((2 * self.beside + width,), EDGE)
        weights[self.beside : self.beside + width] = 1
        self.weights = weights.unfold(0, self.size, self.step)  # of a patch's columns: (patches across, size)
        self.variance = (
            torch.stack([variances(photo, self.size).mean() for photo in self.photos]).mean().clamp(min=1e-8)
        )
        self.unit = 3 * self.size**2 * CHANGE * self.variance

        height, left_width = left.shape[-2:]
        right_width = right.shape[-1]
        self.right_mirror = left_width + right_width - width
        """The source that is the right photo's mirror at the gap's edge."""
        self.joints = left_width, 2 * left_width, 2 * left_width + right_width
        places = torch.arange(max(height, left_width + width, self.strip.shape[-1]), device=left.device)
        self.top = places[: height - self.size + 1 : self.step, None]
        self.start = places[left_width - self.beside :: self.step][: len(self.weights)]
        self.source_start = places[: self.strip.shape[-1] - self.size + 1]
        columns = with_mirrored(places[:left_width], places[left_width : left_width + right_width])
        self.shown = columns[: len(self.source_start)].minimum(columns[self.size - 1 :])
        self.fixed = self._squares() / self.unit + self._dear()

    def _squares(self) -> Tensor:
        """What of a squared difference is each source's own, (i j x)."""
        sums = F.avg_pool2d(self.strip.square().sum(0)[None], (self.size, 1), (self.step, 1)) * self.size
        squares = F.conv2d(sums, self.weights[:, None, None])
        for joint in self.joints:
            squares[..., joint - self.size + 1 : joint] = NEVER
        return squares.transpose(0, 1)

    def _dear(self) -> Tensor:
        """What the farther photo and mirrors cost, (j x)."""
        first, middle, last = self.joints
        in_right = self.source_start >= middle
        in_mirror = (self.source_start >= first) & (self.source_start < last)
        aside = (self.source_start - self.start[:, None] - self.right_mirror * in_right).abs()
        mirror = MIRROR * (1 - aside / (ASIDE * self.step)).clamp(min=0) if self.mirrored else NEVER
        place = (self.start - first + self.size / 2)[:, None]
        return FARTHER * self.farther(place, in_right) + mirror * in_mirror

    def farther(self, place: Tensor, in_right: Tensor) -> Tensor:
        """How much the photo of a source is the farther one for a place so many px into the gap: 1 at the edge."""
        from_other = torch.where(in_right, place, self.width - place)
        return (1 - from_other / (NEAR * self.step)).clamp(0, 1)

    def match(self, laid: Tensor) -> Tensor:
        """The sources of the patches of a gap, (3 h w): (patches down, patches across)."""
        left, right = self.photos
        canvas = torch.cat([left[..., -self.beside :], laid, right[..., : self.beside]], dim=-1)
        patches = canvas.unfold(1, self.size, self.step).unfold(2, self.size, self.step) * self.weights[:, None]
        bands = self.strip.unfold(1, self.size, self.step)
        products = F.conv1d(
            rearrange(bands, "c i x y -> 1 (i c y) x"),
            rearrange(patches, "c i j y x -> (i j) (c y) x"),
            groups=len(self.top),
        )
        # squared differences, but for what is the same for all sources of a patch
        costs = torch.addcmul(self.fixed, products.view_as(self.fixed), -2 / self.unit)
        return choose(joint_costs(costs, self.step), self.step, self.shown) - self.start

    def lay(self, matched: Tensor) -> Tensor:
        """The gap that the patches' sources make, (3 h w): where patches overlap, their mean."""
        inside = torch.arange(self.size, device=self.top.device)
        row = self.top[..., None, None] + inside[:, None]
        column = (self.start + matched)[..., None, None] + inside
        patches = rearrange(self.strip[:, row, column], "c i j y x -> 1 (c y x) (i j)")
        size = self.strip.shape[-2], self.width + 2 * self.beside
        total = F.fold(patches, size, self.size, stride=self.step)
        count = F.fold(torch.ones_like(patches), size, self.size, stride=self.step)
        return (total / count)[0, ..., self.beside : -self.beside]


def joint_costs(costs: Tensor, step: int) -> Tensor:
    """Add to each cost what it takes at least to come to it along row and column.

    Args:
        costs: of each source, so many columns along the photos, for each patch (i j): (i j x).
        step: how much farther along lies the source of the next patch in a row that continues one; any other source
            costs 1 more. Below a patch, the same source continues it.
    """

    def down(path: Tensor, _: int) -> Tensor:
        return path.clamp_(max=1)

    def across(path: Tensor, _: int) -> Tensor:
        change = torch.ones_like(path)
        change[0, :, step:] = path[0, :, :-step]
        change[1, :, :-step] = path[1, :, step:]
        return change.clamp_(max=1)

    total = -3 * costs  # the four paths count the patch's own cost once each
    add_paths(total, costs, down)
    add_paths(total.transpose(0, 1), costs.transpose(0, 1), across)
    return total


def add_paths(total: Tensor, costs: Tensor, arriving: Callable[[Tensor, int], Tensor]) -> None:
    """Add to `total`, in place, the least cost at which each source is come to along the first axis, from both ends.

    Args:
        total: like `costs`.
        costs: of each source, in the last axis, at each place.
        arriving: the least costs of coming to each source, given those up to the place before less their least one,
            of the path forward and of that backward, and the number of the step.
    """
    paths = torch.stack([costs, costs.flip(0)], dim=1)  # both at once: small operations take the time here
    for step, (path, here) in enumerate(pairwise(paths.unbind())):
        here += arriving(path - path.amin(-1, keepdim=True), step)
    forward, backward = paths.unbind(1)
    total += forward
    total += backward.flip(0)


def choose(costs: Tensor, step: int, shown: Tensor) -> Tensor:
    """The best source of each patch, (i j), by their joint costs, (i j x), and what reuse costs: from both ends on.

    Args:
        costs: of each source, so many columns along the photos and their mirrors.
        step: how much farther along lies the source of the next patch in a row that continues one.
        shown: the first column of the photos that each source shows, mirrored or not, (x).
    """
    num_down, num_across, width = costs.shape
    margin = step - 1
    used = costs.new_zeros(num_down, int(shown.max()) + 1 + 2 * margin)
    near = torch.arange(2 * margin + 1, device=costs.device)
    overlap = (REUSE * (1 - (near - margin).abs() / step)).expand(num_down, -1)
    chosen = torch.empty(num_down, num_across, dtype=torch.long, device=costs.device)
    for column in sorted(range(num_across), key=lambda column: min(column, num_across - 1 - column)):
        total = costs[:, column] + used[:, shown + margin]
        to_edge = -1 if 2 * column < num_across else 1
        if 0 <= column + to_edge < num_across:
            continuing = chosen[:, column + to_edge, None] - to_edge * step
            gain = -FOLLOWING * ((continuing >= 0) & (continuing < width))
            total.scatter_add_(1, continuing.clamp(0, width - 1), gain)
        best = chosen[:, column] = total.argmin(1)
        used.scatter_add_(1, shown[best][:, None] + near, overlap)
    return chosen
