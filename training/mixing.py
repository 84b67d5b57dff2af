"""The sky of one photo over the ground of another: more landscapes than there are photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_CONTRAST = 0.12
"""Share of a photo's variance that its mean colours above and below the horizon make, if it has one."""

REACH = 56
"""How far above and below its mean height a skyline runs, in px."""

STEEPEST = 2
"""Px that it climbs or falls from one column to the next."""

COST_OF_A_STEP = 0.02
"""What it costs a skyline to climb one px. In each column it gains the root of the difference that it runs along."""

SOFTNESS = 3
"""Px in which sky passes into ground."""


def mixed_skies(sky: Tensor, ground: Tensor) -> Tensor:
    """The ground of one photo, RGB in 0..1, (3 h w), below the sky of another, stretched to reach its skyline.

    Where one of them has no horizon it is `ground` as it was.
    """
    above, below = horizon(sky), horizon(ground)
    if above is None or below is None:
        return ground
    height, width = ground.shape[-2:]
    line = skyline(ground, below)
    lowest = min(int(line.max()) + SOFTNESS, height)
    # up to a few px above its own horizon, which is not sky alone
    own = sky[None, :, : max(above - 2 * SOFTNESS, 1)]
    stretched = F.interpolate(own, (lowest, width), mode="bilinear", antialias=True)[0]
    share = ((line - torch.arange(lowest)[:, None]) / SOFTNESS + 0.5).clamp(0, 1)
    return torch.cat([torch.lerp(ground[:, :lowest], stretched, share), ground[:, lowest:]], dim=-2)


def horizon(image: Tensor) -> int | None:
    """The row that best parts an image, (3 h w), into two colours, as Otsu's threshold parts a histogram."""
    height = image.shape[-2]
    total = image.mean(dim=-1).double().cumsum(dim=-1)[:, :-1]  # of the rows above
    rows = torch.arange(1, height)
    mean = image.mean(dim=(-2, -1), keepdim=True)[..., 0]
    # of both parts' means, around that of the whole
    variance = ((total - rows * mean).square() / (rows * (height - rows))).sum(dim=0)
    middle = slice(height // 5, height * 4 // 5)
    row = middle.start + int(variance[middle].argmax())
    contrast = variance[row] / image.var(dim=(-2, -1), correction=0).sum().clamp(min=1e-6)
    return row + 1 if contrast > LEAST_CONTRAST else None


def skyline(image: Tensor, row: int) -> Tensor:
    """The first row of the ground in each column, (w): the strongest edge near a row that runs from side to side."""
    grey = image.mean(dim=0)
    edges = F.avg_pool2d((grey[1:] - grey[:-1]).abs()[None], (3, 5), 1, (1, 2))[0].sqrt()
    top, bottom = max(row - REACH, 1), min(row + REACH, len(grey) - 1)
    costs = -edges[top - 1 : bottom].T
    moves = torch.arange(-STEEPEST, STEEPEST + 1)
    total, origins = costs[0], []
    for cost in costs[1:]:
        padded = F.pad(total[None], (STEEPEST, STEEPEST), value=torch.inf)[0]
        arriving = padded.unfold(0, len(moves), 1) + COST_OF_A_STEP * moves.abs()
        least, move = arriving.min(dim=1)
        origins.append(torch.arange(len(move)) + moves[move])
        total = cost + least
    path = [total.argmin()]
    for origin in reversed(origins):
        path.append(origin[path[-1]])
    return torch.stack(path[::-1]) + top
