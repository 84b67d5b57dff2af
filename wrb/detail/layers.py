"""The layers of two photos are brought to meet: which rows of both belong together.

Where one photo passes into the other, sky should lie on sky and land on land. So skylines of the left photo are laid on
those of the right one, by moving rows in one half of the gap or throughout. Each candidate is sketched with the photos'
mirrors, and the one that costs least is taken, if it is clearly better than to move nothing. Water that slopes costs
most: the land comes to the sea, and where both photos have a sea, at different heights, nothing moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise, product

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import fade, reflect
from .row_map import RowMap, centres, common_rows, interpolate, rows_at
from .segmentation import HEIGHT, LAND, SKY, WATER, skyline
from .settings import DetailSettings

NUM_ROWS = 64
"""Intervals between the common rows of a map."""

MOVING_RANGES = ((0.0, 1.0), (1 / 3, 1.0), (0.5, 1.0), (0.0, 2 / 3), (0.0, 0.5))
"""From where to where in the gap rows may move: with less than all of it, one photo's pieces do all of the moving."""

SKETCH_HEIGHT = 32
"""In px, of the sketches in which candidates are compared."""

MAX_SKETCH_WIDTH = 128

SKETCH_OVERLAP = 0.6
"""Over so many heights, in the middle of the gap, a sketch passes from one photo into the other."""

CLEAR = 0.03
"""As a share of the height: what is nearer to an edge is no skyline, and half as near to each other the same one."""

Landmarks = tuple[tuple[float, float], ...]
"""Rows of the left photo and the rows of the right one that belong to them, ascending, from the upper edge down."""

EDGES: Landmarks = ((0.0, 0.0), (1.0, 1.0))
"""Those of photos that lie as they are."""


def match_layers(of_left: Tensor, of_right: Tensor, width: float, settings: DetailSettings) -> RowMap | None:
    """Find the rows of two photos that belong together.

    Args:
        of_left: how likely every place of the square to the left of the gap is sky, land or water, (3 64 w).
        of_right: of the square to its right.
        width: of the gap, as a share of its height.
        settings: of the detail.

    Returns:
        None where nothing is gained by moving rows.
    """
    unmoved = RowMap(*smooth_rows(EDGES, settings, of_left.device))
    row_maps = [
        RowMap(*smooth_rows(landmarks, settings, of_left.device), *moving)
        for landmarks in plausible_landmarks(of_left, of_right, settings)
        for moving in MOVING_RANGES
        if moving == MOVING_RANGES[0] or (moving[1] - moving[0]) * width > settings.narrowest_moving_range
    ]
    if not row_maps:
        return None
    clashes, slopes = Sketch(of_left, of_right, width).costs([unmoved, *row_maps], settings)
    costs = torch.where(clashes < settings.max_layer_clash, clashes + slopes, torch.inf)
    costs[0] = clashes[0] - settings.layer_gain
    best = int(costs.argmin())
    return row_maps[best - 1] if best else None


def plausible_landmarks(of_left: Tensor, of_right: Tensor, settings: DetailSettings) -> Iterator[Landmarks]:
    """Skylines to be laid on each other, alone and with the shores below them kept at their heights.

    Args:
        of_left: probabilities of the classes in the square to the left of the gap, (3 64 w); `of_right` alike.
        of_right: to the right.
        settings: of the detail.
    """
    of_left = of_left.flip(-1)  # from the gap on, like the right one
    shores = [shore for shore in (_shore(of_left), _shore(of_right)) if shore is not None]
    for in_left, in_right in product(_skylines(of_left), _skylines(of_right)):
        if CLEAR / 2 < abs(in_left - in_right) < settings.max_layer_shift:
            for kept in ([], *([shore] for shore in shores)):
                landmarks = (EDGES[0], (in_left, in_right), *((shore, shore) for shore in kept), EDGES[1])
                if _is_plausible(landmarks, settings.max_layer_stretch):
                    yield landmarks


def _skylines(classes: Tensor) -> list[float]:
    """Heights of the skyline, (3 64 w) from the gap on: beside it, a little farther in, and of the nearer half."""
    eighth = max(1, classes.shape[-1] // 8)
    rows = skyline(classes)
    near, inside = rows[:eighth].median(), rows[eighth : 3 * eighth + 1].median()
    heights: list[float] = []
    for found in (float(near), float(inside), float(rows[: 4 * eighth].mean())):
        if CLEAR < found < 1 - CLEAR and all(abs(found - other) > CLEAR / 2 for other in heights):
            heights.append(found)
    return heights


def _shore(classes: Tensor) -> float | None:
    """The upper edge of the water near the gap, (3 64 w) from the gap on."""
    height, width = classes.shape[-2:]
    rows = (classes[WATER, :, : max(1, 3 * width // 8)].mean(-1) > 0.4).nonzero()[:, 0]
    return float(rows[0]) / height if len(rows) > CLEAR * height else None


def _is_plausible(landmarks: Landmarks, max_stretch: float) -> bool:
    """Whether nothing between landmarks is stretched or pressed too much."""
    for (left_above, right_above), (left_below, right_below) in pairwise(landmarks):
        in_left, in_right = left_below - left_above, right_below - right_above
        if min(in_left, in_right) < CLEAR or not 1 / max_stretch < in_left / in_right < max_stretch:
            return False
    return True


def smooth_rows(
    landmarks: Landmarks, settings: DetailSettings, device: torch.device | None = None
) -> tuple[Tensor, Tensor]:
    """The rows of both photos for the common rows, (n+1) each: midway between landmarks, and smooth."""
    marks = torch.tensor(landmarks, device=device).T
    common = torch.linspace(0, 1, NUM_ROWS + 1, device=device)
    apart = interpolate(marks.mean(0)[None], (marks[1] - marks[0])[None], common[None])
    reach = round(settings.layer_smoothing * NUM_ROWS)
    kernel = fade(torch.arange(-reach, reach + 1, device=device).abs() / (reach + 1))
    # beyond the upper and the lower edge, where nothing moves, it goes on turned upside down
    padded = torch.cat([-apart[:, 1 : reach + 1].flip(1), apart, -apart[:, -reach - 1 : -1].flip(1)], dim=1)
    half = F.conv1d(padded[:, None], (kernel / kernel.sum())[None, None])[0, 0] / 2
    return (common - half).cummax(0).values, (common + half).cummax(0).values


@dataclass(frozen=True)
class Sketch:
    """A gap in which two photos are mirrored at its edges and pass into each other in its middle, by classes alone."""

    of_left: Tensor
    """Probabilities of the classes, (3 64 w), up to the gap."""

    of_right: Tensor
    """From the gap on."""

    width: float
    """Of the gap, as a share of its height."""

    def costs(self, row_maps: list[RowMap], settings: DetailSettings) -> tuple[Tensor, Tensor]:
        """What it costs to move rows as they say: what clashes nevertheless, (n), and the slopes that it makes, (n)."""
        num_columns = min(max(8, round(self.width * SKETCH_HEIGHT)), MAX_SKETCH_WIDTH)
        left_rows, right_rows = (
            torch.stack(rows).to(self.of_left.device)
            for rows in zip(*((row_map.left_rows, row_map.right_rows) for row_map in row_maps), strict=True)
        )
        column = centres(num_columns, left_rows)
        progress = torch.stack([row_map.progress(column) for row_map in row_maps])
        common = common_rows(left_rows, right_rows, progress, SKETCH_HEIGHT)
        overlap = min(1.0, SKETCH_OVERLAP / self.width)
        of_right = 1 - fade((column - (1 - overlap) / 2) / overlap)
        distance = column * self.width * HEIGHT
        left = self._laid(self.of_left.flip(-1), rows_at(left_rows, common), distance)
        right = self._laid(self.of_right, rows_at(right_rows, common), distance.flip(0))
        slopes = torch.gradient(common, dim=-1)[0].abs() * num_columns / self.width
        shown = torch.lerp(left, right, of_right)
        both = 4 * of_right * (1 - of_right)
        clash = (left[:, SKY] * (1 - right[:, SKY]) + right[:, SKY] * (1 - left[:, SKY])).mean(1)
        shore = (left[:, LAND] * right[:, WATER] + right[:, LAND] * left[:, WATER]).mean(1)
        clashes = ((clash + settings.shore_clash * shore) * both).sum(-1) / both.sum()
        of_water = (shown[:, WATER] * slopes).mean((1, 2))
        of_others = ((1 - shown[:, WATER]) * slopes.square().clamp(max=settings.max_slope_cost)).mean((1, 2))
        penalties = settings.water_slope_penalty * of_water + settings.slope_penalty * of_others
        return clashes, self.width * penalties

    @staticmethod
    def _laid(classes: Tensor, rows: Tensor, distance: Tensor) -> Tensor:
        """A photo's classes, (3 64 w) from the gap on, at rows, (n h w), so many px from its edge, (w): (n 3 h w)."""
        width = classes.shape[-1]
        column = 2 * (reflect(distance.floor(), width) + 0.5) / width - 1
        grid = torch.stack([column.expand_as(rows), 2 * rows - 1], dim=-1)
        batch = classes.expand(len(rows), -1, -1, -1)
        return F.grid_sample(batch, grid, mode="bilinear", padding_mode="border", align_corners=False)
