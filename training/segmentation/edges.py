"""A line that is marked roughly is led along the edges of the photo, by dynamic programming."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

WIDE, TIGHT = 0.09, 0.03
"""How far the line may move halfway between marks and at a mark, as shares of the height."""

REACH = 3
"""Rows above and below a boundary whose mean colours are compared."""

STEEPEST = 6
"""Rows by which the line may rise or fall from one column to the next."""

EDGE_WEIGHT, DISTANCE_WEIGHT, SLOPE_WEIGHT = 3.0, 0.3, 0.03
"""Of a colour difference, of the squared share of the band that the line leaves its mark by, and of a row's slope."""

FORBIDDEN = 1e3


def at_columns(values: NDArray[np.float64], width: int) -> NDArray[np.float64]:
    """Values at evenly spaced columns, the first and the last at the edges, at every column of pixels (w)."""
    return np.interp(np.arange(width), np.linspace(0, width - 1, len(values)), values)


def lead_line(photo: Tensor, heights: NDArray[np.float64]) -> NDArray[np.float64]:
    """The row at which the line lies in every column, (w), led along edges near the marks.

    Args:
        photo: RGB in 0..1, (3 h w).
        heights: of the line at evenly spaced columns, as shares of the photo's height.
    """
    height, width = photo.shape[-2:]
    marked = at_columns(heights, width) * height
    spacing = (width - 1) / (len(heights) - 1)
    from_mark = np.abs(np.arange(width) / spacing - np.round(np.arange(width) / spacing))  # 0..0.5
    band = (TIGHT + (WIDE - TIGHT) * 2 * from_mark) * height
    rows = np.arange(1, height)
    distance = np.abs(rows[None] - marked[:, None])
    cost = DISTANCE_WEIGHT * (distance / np.maximum(band[:, None], 1)) ** 2 - EDGE_WEIGHT * _colour_steps(photo).T
    path = _cheapest_path(cost + np.where(distance > band[:, None], FORBIDDEN, 0))
    return path.astype(np.float64) + 1


def _colour_steps(photo: Tensor) -> NDArray[np.float64]:
    """How different the mean colours above and below each boundary of rows are, (h-1 w)."""
    height = photo.shape[-2]
    sums = F.pad(photo.double().cumsum(1), (0, 0, 1, 0))
    row = torch.arange(1, height)
    first, last = (row - REACH).clamp(min=0), (row + REACH).clamp(max=height)
    above = (sums[:, row] - sums[:, first]) / (row - first)[None, :, None]
    below = (sums[:, last] - sums[:, row]) / (last - row)[None, :, None]
    steps: NDArray[np.float64] = (above - below).square().sum(0).sqrt().numpy()
    return steps


def _cheapest_path(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """The row of each column, (w), of the path of least cost, (w h)."""
    moves = np.arange(-STEEPEST, STEEPEST + 1)
    total, choices = cost[0], []
    for column in cost[1:]:
        padded = np.pad(total, STEEPEST, constant_values=1e9)
        options = np.stack([padded[STEEPEST + s : STEEPEST + s + len(total)] + SLOPE_WEIGHT * abs(s) for s in moves])
        choices.append(moves[options.argmin(0)])
        total = column + options.min(0)
    path = [int(total.argmin())]
    for choice in reversed(choices):
        path.append(int(np.clip(path[-1] + choice[path[-1]], 0, len(total) - 1)))
    return np.array(path[::-1])
