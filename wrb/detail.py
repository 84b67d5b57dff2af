"""Full-resolution detail: the gap is laid with pieces of the photos beside it, under the network's guidance.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where. Coarse to fine, at heights of 16, 32 and 64 px, patches of the gap are
   matched with patches of the photos and drawn anew as the mean of their matches (Wexler et al., TPAMI 2007; Barnes et
   al., SIGGRAPH 2009). Few large pieces look better than many small ones (He and Sun, TPAMI 2014), so patches are
   matched jointly, by semi-global matching (Hirschmüller, TPAMI 2008), and nothing is repeated without need.
2. The low frequencies: the gradients of the pieces, the colours of the network, and the photos at both ends, which is
   a screened Poisson equation (Pérez et al., SIGGRAPH 2003; Bhat et al., ECCV 2008). Pieces of different brightness
   leave no edges.
3. The high frequencies: what the photos have beyond their own low frequencies, copied at full resolution (as in
   HiFill, Yi et al., CVPR 2020) through overlapping windows whose blending keeps the energy.

Step 1 costs the same at any height; the rest grows with the number of pixels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from .canvas import resize
from .config import IMAGE_SIZE
from .seam import meet_edges

ROWS = 16
"""Rows of cells in the gap. A cell, about as wide as high, has one source: the smallest piece."""

LEVELS = ((16, 2, 2), (32, 2, 2), (64, 1, 1))
"""Height in px at which patches are matched; how many cells farther than their own they reach on each side; rounds."""

FINEST = LEVELS[-1][0]

FEWEST_CELLS = 5
"""Width of the widest patch, and so the least that a photo has to be."""

CHANGE = 0.7
"""Cost where a patch does not continue its neighbour's source, in mean variances of the photos' patches: the unit of
the costs below."""

ANOTHER_ROW = 50
"""Cost of a source as far above or below as the gap is high. Scenery lies in layers."""

REUSE = 1
"""Cost of a source that is laid already."""

FADING = 0.97
"""What a column of cells later remains of that: a repeat far away is hard to see."""

FOLLOWING = 0.5
"""Gain of a patch that continues what is already laid beside it."""

EDGE = 4
"""How much more a photo's pixel counts than the gap's in patches across its edge, so that the gap continues it."""

NEVER = 1e7

FOLLOWED = 1
"""Frequency, in cycles over the height, up to which even the weakest network is followed."""

GUIDING = 16
"""The same up to which the best one guides the matching: beyond, smooth patches would match best."""

MIRROR = 1 / 128
"""Width, in heights, over which a photo's own residual, reflected at the gap's edge, passes into the copies."""


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
    detailed = torch.stack([_detailed(*pair, width) for pair in zip(gap, left, right, strict=True)])
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
        _scale(part, IMAGE_SIZE, cells * IMAGE_SIZE // ROWS)
        for part, cells in ((left, left_cells), (gap, num_cells), (right, right_cells))
    )
    followed = _followed(left_small, gap_small, right_small)
    down, across = _arrange(left_small, gap_small, right_small, min(followed, GUIDING))

    level = FINEST if followed <= GUIDING else IMAGE_SIZE  # high enough for what is followed
    left_small, gap_small, right_small = (_pool(part, level) for part in (left_small, gap_small, right_small))
    merged = _merge(left_small, gap_small, right_small, down, across, followed)
    panorama = torch.cat([left_small, merged, right_small], dim=-1)
    panorama = _scale(panorama, height, left_width + width + right_width)
    low_left, result, low_right = panorama.split([left_width, width, right_width], dim=-1)
    torch.sub(left, low_left, out=low_left)
    torch.sub(right, low_right, out=low_right)
    _add_residual(panorama, left_width, width, down, across)
    return result


def _end(photo: Tensor, width: int) -> Tensor:
    """The right end of a photo, (3 h width); where it is narrower, it is reflected."""
    return photo[..., -width:] if photo.shape[-1] >= width else _start(photo.flip(-1), width).flip(-1)


def _start(photo: Tensor, width: int) -> Tensor:
    """The left end, likewise."""
    own = photo.shape[-1]
    if own >= width:
        return photo[..., :width]
    place = torch.arange(width, device=photo.device) % (2 * own)
    return photo[..., torch.minimum(place, 2 * own - 1 - place)]


def _scale(image: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]


def _pool(image: Tensor, height: int) -> Tensor:
    return F.avg_pool2d(image[None], image.shape[-2] // height)[0]


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
        coarse = _pool(image, image.shape[-2] // 2)
        energies.append(image.square().mean() - coarse.square().mean())
        image = coarse
    return torch.stack(energies[::-1]).clamp(min=0).tolist()


def _arrange(left: Tensor, gap: Tensor, right: Tensor, guidance: float) -> tuple[Tensor, Tensor]:
    """Find the source of each cell of the gap; all parts are 256 px high and whole cells wide.

    Returns:
        How far below and to the right of each cell its source lies in the panorama, in px at the height of `FINEST`,
        (`ROWS` cells+2): with a column of cells on each side of the gap.
    """
    laid: Tensor | None = None
    for height, margin, rounds in LEVELS:
        drawn = _pool(gap, height)
        matching = _Matching(_pool(left, height), _pool(right, height), drawn.shape[-1], margin)
        laid = drawn if laid is None else _scale(laid, *drawn.shape[-2:])
        for _ in range(rounds):
            laid = laid + _low_pass(drawn - laid, guidance)
            down, across = matching.match(laid)
            laid = matching.lay(down, across)
    # patches that would reach beyond the top, the bottom or `margin` cells into the photos were not matched
    inner = slice(margin - 1, down.shape[1] - margin + 1)
    place = torch.arange(ROWS, device=gap.device).sub(margin).clamp(0, len(down) - 1)
    return down[place, inner], across[place, inner]


class _Matching:
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
        height, self.panorama_width = left.shape[-2], left.shape[-1] + width + right.shape[-1]
        self.panorama = torch.cat([left, left.new_zeros(3, height, width), right], dim=-1).flatten(1)

        weights = left.new_full((2 * self.beside + width,), EDGE)
        weights[self.beside : self.beside + width] = 1
        weights = weights.unfold(0, self.size, self.step)
        self.weights = weights / weights.mean(1, keepdim=True)  # of a patch's columns: (patches across, size)
        self.unit = 3 * self.size**2 * CHANGE * torch.stack([self._variance(photo) for photo in self.photos]).mean()
        self.unit = self.unit.clamp(min=1e-6)

        kernels = self.weights[:, None, None].expand(-1, 1, self.size, -1)
        squares = self._correlate(kernels, [photo.square().sum(0, keepdim=True) for photo in self.photos], NEVER)
        columns = torch.arange(self.panorama_width, device=left.device)
        sides = columns[: left.shape[-1] - self.size + 1], columns[left.shape[-1] + width : 1 - self.size]
        self.source_start = torch.cat([sides[0], columns[: self.step], sides[1]])
        self.start = columns[left.shape[-1] - self.beside :: self.step][: len(self.weights)]
        self.top = columns[: height - self.size + 1 : self.step, None]
        rows = (self.top - columns[: squares.shape[-2]]) / height
        self.fixed = squares / self.unit + ANOTHER_ROW * rows.square()[:, None, :, None]

    def _variance(self, photo: Tensor) -> Tensor:
        mean, mean_square = (F.avg_pool2d(image[None], self.size, 1) for image in (photo, photo.square()))
        return (mean_square - mean.square()).mean()

    def _correlate(self, kernels: Tensor, photos: Sequence[Tensor], separator: float) -> Tensor:
        """Of each kernel, (n c size size), with each patch of the photos, a step of separator between: (n y x)."""
        left, right = (F.conv2d(photo[None], kernels)[0] for photo in photos)
        return torch.cat([left, left.new_full((*left.shape[:-1], self.step), separator), right], dim=-1)

    def match(self, laid: Tensor) -> tuple[Tensor, Tensor]:
        """Sources of the patches of a gap, (3 h w), as offsets down and across, (patches down, patches across)."""
        left, right = self.photos
        canvas = torch.cat([left[..., -self.beside :], laid, right[..., : self.beside]], dim=-1)
        patches = F.unfold(canvas[None], self.size, stride=self.step)
        num_across = len(self.weights)
        patches = rearrange(patches, "1 (c y x) (i j) -> i j c y x", c=3, y=self.size, j=num_across)
        kernels = rearrange(patches * self.weights[:, None, None], "i j c y x -> (i j) c y x")
        products = self._correlate(kernels, self.photos, 0)
        # squared differences, but for what is the same for all sources of a patch
        costs = self.fixed - 2 / self.unit * rearrange(products, "(i j) y x -> i j y x", j=num_across)
        source = _choose(_joint_costs(costs, self.step), self.step)
        num_sources = len(self.source_start)
        return source // num_sources - self.top, self.source_start[source % num_sources] - self.start

    def lay(self, down: Tensor, across: Tensor) -> Tensor:
        """The gap that the sources make, (3 h w): where patches overlap, their mean."""
        inside = torch.arange(self.size, device=down.device)
        row = (self.top + down)[..., None, None] + inside[:, None]
        place = row * self.panorama_width + (self.start + across)[..., None, None] + inside
        patches = rearrange(self.panorama[:, place], "c i j y x -> 1 (c y x) (i j)")
        height, width = self.photos[0].shape[-2], self.width + 2 * self.beside
        total = F.fold(patches, (height, width), self.size, stride=self.step)
        count = F.fold(torch.ones_like(patches), (height, width), self.size, stride=self.step)
        return (total / count)[0, ..., self.beside : -self.beside]


def _joint_costs(costs: Tensor, step: int) -> Tensor:
    """Add to each cost what it takes at least to come to it along row and column: semi-global matching.

    Args:
        costs: of each source, (y x), for each patch, (i j): (i j y x).
        step: from a patch's source to that of a neighbour that continues it; any other source costs 1 more.
    """
    total = -3 * costs  # the four paths below count the patch's own cost once each
    for costs_along, total_along in ((costs, total), (costs.permute(1, 0, 3, 2), total.permute(1, 0, 3, 2))):
        for indices, to, origin in ((range(len(costs_along)), step, 0), (range(len(costs_along))[::-1], 0, step)):
            path: Tensor | None = None
            for index in indices:
                here = costs_along[index]
                if path is not None:
                    least = path.amin((-2, -1), keepdim=True)
                    kept = (torch.minimum(path, least + 1) - least).narrow(-2, origin, here.shape[-2] - step)
                    here = here + 1
                    here.narrow(-2, to, kept.shape[-2]).add_(kept - 1)
                total_along[index] += here
                path = here
    return total


def _choose(costs: Tensor, step: int) -> Tensor:
    """The best source of each patch, (i j), of costs (i j y x): column by column from both ends, as reuse costs.

    Returns:
        Sources numbered along the rows.
    """
    num_down, num_across, height, width = costs.shape
    used = costs.new_zeros(height, width)
    overlap = 1 - torch.arange(1 - step, step, device=costs.device).abs() / step
    chosen = torch.empty(num_down, num_across, dtype=torch.long, device=costs.device)
    patches = torch.arange(num_down, device=costs.device)
    for column in sorted(range(num_across), key=lambda column: min(column, num_across - 1 - column)):
        total = costs[:, column] + REUSE * used
        to_edge = -1 if 2 * column < num_across else 1
        if 0 <= column + to_edge < num_across:
            beside = chosen[:, column + to_edge]
            x = beside % width - to_edge * step
            gain = FOLLOWING * ((x >= 0) & (x < width))
            total[patches, beside // width, x.clamp(0, width - 1)] -= gain
        chosen[:, column] = total.flatten(1).argmin(1)
        laid = costs.new_zeros(height * width).index_add_(0, chosen[:, column], costs.new_ones(num_down))
        laid = F.conv2d(laid.view(1, 1, height, width), overlap[None, None, :, None], padding=(step - 1, 0))
        used = FADING * used + F.conv2d(laid, overlap[None, None, None], padding=(0, step - 1))[0, 0]
    return chosen


def _low_pass(image: Tensor, frequency: float) -> Tensor:
    """What of an image, (c h w), lies below a frequency in cycles over the height."""
    height, width = image.shape[-2:]
    down, across = _cosines(height, image), _cosines(width, image)
    spectrum = down @ image @ across.T
    stiffness = _stiffness(height, 0, image)[:, None] + _stiffness(width, 0, image)
    return down.T @ (spectrum / (1 + (stiffness / _stiffness_at(frequency, height)) ** 2)) @ across


def _merge(left: Tensor, gap: Tensor, right: Tensor, down: Tensor, across: Tensor, followed: float) -> Tensor:
    """The gap's low frequencies: gradients of the sources, colours of the network below `followed`, photos at the ends.

    Args:
        left: the photo, (3 h w), like `right` and the gap as the network drew it of whole cells.
        down: the cells' sources, as `_arrange` returns them, and `across`.
        followed: in cycles over the height.

    Returns:
        (3 h w), as the gap.
    """
    height, width = gap.shape[-2:]
    cell = height // ROWS
    start, end = left.shape[-1], left.shape[-1] + width
    gap = meet_edges(gap[None], left[None, ..., -1:], right[None, ..., :1])[0]
    panorama = torch.cat([left, gap, right], dim=-1)

    down, across = (
        part[:, 1:-1].mul(height // FINEST).repeat_interleave(cell, 0).repeat_interleave(cell, 1)
        for part in (down, across)
    )
    row = torch.arange(height, device=gap.device)[:, None] + down
    column = torch.arange(start, end, device=gap.device) + across

    def source(below: int, right_of: int) -> Tensor:
        return panorama[:, (row + below).clamp(0, height - 1), (column + right_of).clamp(0, panorama.shape[-1] - 1)]

    # between two pixels, the mean of both sources' gradients; from it the gap's own, and the negative divergence
    here = source(0, 0)
    to_right, from_left = source(0, 1) - here, here - source(0, -1)
    rightwards = torch.cat([from_left, to_right[..., -1:]], dim=-1)
    rightwards[..., 1:-1] = (to_right[..., :-1] + from_left[..., 1:]) / 2
    downwards = ((source(1, 0) - here)[:, :-1] + (here - source(-1, 0))[:, 1:]) / 2
    rightwards -= panorama[..., start - 1 : end + 1].diff(dim=-1)
    downwards -= gap.diff(dim=-2)
    force = F.pad(downwards, (0, 0, 1, 0)) - F.pad(downwards, (0, 0, 0, 1)) - rightwards.diff(dim=-1)

    # the change is 0 at both ends, so sines across; free at top and bottom, so cosines down
    down_waves, across_waves = _cosines(height, gap), _sines(width, gap)
    stiffness = _stiffness(height, 0, gap)[:, None] + _stiffness(width, 1, gap)
    spectrum = down_waves @ force @ across_waves
    spectrum /= stiffness + _stiffness_at(followed, height) ** 2 / stiffness
    return gap + down_waves.T @ spectrum @ across_waves


def _cosines(length: int, like: Tensor) -> Tensor:
    """The orthonormal cosine transform, (frequency place), whose waves have free ends."""
    frequency = torch.arange(length, device=like.device, dtype=like.dtype)[:, None]
    waves = torch.cos(torch.pi / length * frequency * (frequency.T + 0.5)) * (2 / length) ** 0.5
    waves[0] *= 0.5**0.5
    return waves


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


def _add_residual(panorama: Tensor, left_width: int, width: int, down: Tensor, across: Tensor) -> None:
    """Add the photos' residual to the gap, in place, where the cells have their sources.

    A pixel has up to four sources, those of the nearest cells; their weights pass smoothly from one to the next. Equal
    sources add up. Different ones are as good as uncorrelated, so only their energies do, and the sum is divided by the
    root of what that makes.

    Args:
        panorama: residual of the left photo, low frequencies of the gap, residual of the right photo, (3 h w).
        left_width: of the left photo in px.
        width: of the gap in px.
        down: the cells' sources, as `_arrange` returns them, and `across`.
    """
    height, total = panorama.shape[-2:]
    gap = panorama[..., left_width : left_width + width]
    cell_height, cell_width = height / ROWS, width / (down.shape[1] - 2)
    rows, columns = (torch.arange(length, device=gap.device) for length in down.shape)
    sides = (-left_width, 0), (width, total - left_width)
    in_left, across = across < 0, across * (cell_width * ROWS / FINEST)
    in_left_photo, in_right_photo = (_within(*side, across, columns - 1.5, cell_width, width) for side in sides)
    down = _within(0, height, down * (height / FINEST), rows[:, None] - 0.5, cell_height, height)
    # in pixels of the panorama, row by row
    offset = down * total + torch.where(in_left, in_left_photo, in_right_photo) + left_width

    x = torch.arange(width, device=gap.device)
    place = (x + 0.5) / cell_width + 0.5  # in cells, of which the first is beside the gap
    column = place.long()
    to_left, to_right = _shares(place - column)
    squares, mixed = to_left.square() + to_right.square(), to_left * to_right
    reach = min(max(1, round(MIRROR * height)), width // 2)
    copies, own = _shares((x[:reach] + 0.5) / reach)[::-1]
    copies, own = torch.stack([copies, own]) / (copies.square() + own.square()).sqrt()
    starts = [min(max(math.ceil((row + 0.5) * cell_height - 0.5), 0), height) for row in range(-1, ROWS + 1)]
    for row, (start, end) in enumerate(pairwise(starts)):  # between the centres of two rows of cells
        y = torch.arange(start, end, device=gap.device)
        up, low = _shares((y + 0.5) / cell_height + 0.5 - row)
        above, below = (offset[min(max(number, 0), ROWS - 1)] for number in (row - 1, row))
        sources = above[column], above[column + 1], below[column], below[column + 1]
        strip = gap.new_zeros(3, end - start, width)
        for source, share_y, share_x in zip(sources, (up, up, low, low), (to_left, to_right) * 2, strict=True):
            copied = panorama.flatten(1).index_select(1, (y[:, None] * total + x + source).flatten())
            strip.addcmul_(copied.view_as(strip), share_y[:, None] * share_x)
        same = [[(one == other).to(gap) for other in sources] for one in sources]
        energy_x = torch.stack(
            [
                squares + 2 * mixed * same[0][1],
                squares + 2 * mixed * same[2][3],
                2 * (to_left**2 * same[0][2] + to_right**2 * same[1][3] + mixed * (same[0][3] + same[1][2])),
            ]
        )
        energy = torch.stack([up * up, low * low, up * low], dim=1) @ energy_x
        strip *= energy.rsqrt()
        left, right = (
            panorama[:, start:end, edge - reach : edge].flip(-1) for edge in (left_width, left_width + width + reach)
        )
        strip[..., :reach] = strip[..., :reach] * copies + left * own
        strip[..., -reach:] = strip[..., -reach:] * copies.flip(0) + right * own.flip(0)
        gap[:, start:end] += strip


def _within(start: int, end: int, offset: Tensor, first: Tensor, cell: float, extent: int) -> Tensor:
    """Offsets in whole px that take two cells, from `first` on, or their part in the gap, to between start and end."""
    low, high = (first * cell).floor().clamp(min=0), ((first + 2) * cell).ceil().clamp(max=extent - 1)
    return torch.maximum(torch.minimum(offset.round(), end - 1 - high), start - low).long()


def _shares(place: Tensor) -> tuple[Tensor, Tensor]:
    """What passes smoothly from 1 to 0, mostly in the middle, as a place goes from 0 to 1; and the rest."""
    share = (0.5 + 0.5 * torch.cos(torch.pi * place)) ** 3
    rest = (0.5 - 0.5 * torch.cos(torch.pi * place)) ** 3
    return share / (share + rest), rest / (share + rest)
