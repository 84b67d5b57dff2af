"""Which part of the photos belongs where in the gap.

Coarse to fine, at heights of 16, 32 and 64 px, patches of the gap are matched with patches of the photos and drawn
anew as the mean of their matches (Wexler et al., TPAMI 2007; Barnes et al., SIGGRAPH 2009). Few large pieces look
better than many small ones (He and Sun, TPAMI 2014), so patches are matched jointly, by semi-global matching
(Hirschmüller, TPAMI 2008), and nothing is repeated without need. Then the pieces are cut to each other and to the
photos where they differ least (Kwatra et al., Graphcut Textures, SIGGRAPH 2003), by semi-global matching again.

Scenery lies in layers, so every place has its source in its own row: how far to the right of the place, in px. Sources
are numbered along `with_mirrored` of both photos; the gap's own place is on it where the left photo ends, so a source
0 px away is the left photo's mirror. Sources in other rows gained nothing but steps in horizons.

All of it costs the same at any height of the photos.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

ROWS = 16
"""Rows of cells in the gap. A cell, about as wide as high, is what patches are moved by."""

LEVELS = ((16, 2), (32, 2), (64, 1))
"""Height in px at which patches are matched; how many cells farther than their own they reach on each side."""

FINEST = LEVELS[-1][0]
"""The height in px at which sources are told."""

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

FEWEST_CELLS = 6
"""The least width of a photo, to have some choice, and wider than a patch."""

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


def with_mirrored(left: Tensor, right: Tensor) -> Tensor:
    """Both photos, (… w), and between them their mirrors at the gap's edges: all that sources are."""
    return torch.cat([left, left.flip(-1), right.flip(-1), right], dim=-1)


def pool(image: Tensor, height: int) -> Tensor:
    """The mean of every few pixels of an image, (c h w), as many down as across: (c height …)."""
    return F.avg_pool2d(image[None], image.shape[-2] // height)[0]


def scale(image: Tensor, height: int, width: int) -> Tensor:
    """An image, (c h w), at another size."""
    return F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]


def arrange(left: Tensor, gap: Tensor, right: Tensor, low_pass: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor]:
    """Find a source for each place of a gap.

    Args:
        left: the photo to its left, (3 h w), a multiple of `FINEST` px high and of `FEWEST_CELLS` or more whole cells,
            as all parts.
        gap: as the network drew it.
        right: the photo to its right.
        low_pass: keeps of an image what guides the matching.

    Returns:
        Which places have theirs in the right photo, and how far in px it lies from where the photo that it is in would
        show its mirror at the gap's edge, both (`FINEST` w).
    """
    left, gap, right = (pool(part, FINEST) for part in (left, gap, right))
    laid = pool(gap, LEVELS[0][0])
    for height, margin in LEVELS:
        drawn = pool(gap, height)
        matching = Matching(pool(left, height), pool(right, height), drawn.shape[-1], margin)
        laid = scale(laid, *drawn.shape[-2:])
        laid = laid + low_pass(drawn - laid)
        matched = matching.match(laid)
        laid = matching.lay(matched)
    # patches that would reach beyond the top, the bottom or `margin` cells into the photos were not matched
    row = torch.arange(ROWS, device=gap.device).sub(margin).clamp(0, len(matched) - 1)
    sources = Cutting(matching, laid, matched[row, margin:-margin]).cut()
    in_right = torch.arange(laid.shape[-1], device=gap.device) + sources >= left.shape[-1]
    return in_right, sources - matching.right_mirror * in_right


class Matching:
    """The patches of a gap and of the photos beside it at one height, in px.

    Args:
        left: the photo, (3 h w), of whole cells; `right` alike.
        width: of the gap.
        margin: how many cells farther than its own a patch reaches.
    """

    def __init__(self, left: Tensor, right: Tensor, width: int, margin: int) -> None:
        self.photos = left, right
        self.width = width
        self.step = left.shape[-2] // ROWS
        self.size = (2 * margin + 1) * self.step
        self.beside = 2 * margin * self.step  # px of either photo in patches across the edge
        self.strip = with_mirrored(left, right)

        weights = left.new_full((2 * self.beside + width,), EDGE)
        weights[self.beside : self.beside + width] = 1
        self.weights = weights.unfold(0, self.size, self.step)  # of a patch's columns: (patches across, size)
        self.variance = torch.stack([self._variance(photo) for photo in self.photos]).mean().clamp(min=1e-8)
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
        mirrored = (self.source_start >= first) & (self.source_start < last)
        aside = (self.source_start - self.start[:, None] - self.right_mirror * in_right).abs()
        mirror = MIRROR * mirrored * (1 - aside / (ASIDE * self.step)).clamp(min=0)
        place = (self.start - first + self.size / 2)[:, None]
        return FARTHER * self.farther(place, in_right) + mirror

    def farther(self, place: Tensor, in_right: Tensor) -> Tensor:
        """How much the photo of a source is the farther one for a place so many px into the gap: 1 at the edge."""
        from_other = torch.where(in_right, place, self.width - place)
        return (1 - from_other / (NEAR * self.step)).clamp(0, 1)

    def _variance(self, photo: Tensor) -> Tensor:
        mean, mean_square = (F.avg_pool2d(image[None], self.size, 1) for image in (photo, photo.square()))
        return (mean_square - mean.square()).mean()

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
        padded = F.pad(torch.cat([photo, photo.square()])[None], (2, 2, 2, 2), mode="replicate")
        mean, mean_square = F.avg_pool2d(padded, 3, 1)[0].unflatten(0, (2, -1))
        variance = (mean_square - mean.square()).mean(0, keepdim=True)
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
