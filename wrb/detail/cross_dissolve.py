"""Where pieces of one photo meet those of the other, they dissolve into each other.

Cuts are led to where pieces look alike, but between different photos there is often no such place, and a cut between
sky and snow shows wherever it runs. So both photos go on beyond it, and one fades as the other comes, along the gap
alone: of what lies above each other, as a sky over the sea, the border stays sharp.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import fade
from .correspondence import Correspondence
from .settings import DetailSettings

NEGLIGIBLE_WEIGHT = 1e-3
"""Weights below that, and rounding with them, are 0: what shows one photo alone takes half the work."""


@dataclass(frozen=True)
class Contribution:
    """What one photo contributes to a gap."""

    offset: Tensor
    """Of every place, also where the photo has no weight, (h w): as in `Correspondence`."""

    weight: Tensor
    """Of the photo at every place, (h w) in 0..1. Both photos' weights add up to 1."""

    gain: Tensor | None = None
    """By what its high frequencies are multiplied beside, (h w); None: by 1."""


Contributions = tuple[Contribution, Contribution]
"""Of the left and of the right photo."""


def dissolve(correspondence: Correspondence, settings: DetailSettings) -> Contributions:
    """What the left and the right photo contribute, at the finest level.

    Where the other photo's pieces lie, a photo goes on at the offset of its nearest piece in the row, or, without one,
    as its mirror.
    """
    in_right, offset = correspondence.in_right, correspondence.offset
    width = offset.shape[1]
    place = torch.arange(width, device=offset.device)
    continued = []
    for inside in (~in_right, in_right):
        before = torch.where(inside, place, -width).cummax(1).values
        after = torch.where(inside, place, 2 * width).flip(1).cummin(1).values.flip(1)
        nearest = torch.where(place - before <= after - place, before, after)
        found = (nearest >= 0) & (nearest < width)
        continued.append(offset.gather(1, torch.where(found, nearest, place)) * found)
    of_right = _right_weight(in_right, round(settings.dissolve_width * settings.finest_height))
    return Contribution(continued[0], 1 - of_right), Contribution(continued[1], of_right)


def _right_weight(in_right: Tensor, reach: int) -> Tensor:
    """From 0 in the left photo's places, (h w), to 1 in the right one's, over `reach` px on each side of a cut; at the
    gap's own ends 0 and 1."""
    height, width = in_right.shape
    kernel = fade(torch.arange(-reach, reach + 1, device=in_right.device).abs() / (reach + 1))
    left, right = (in_right.new_full((height, reach), of_right) for of_right in (False, True))
    padded = torch.cat([left, in_right, right], dim=1).to(kernel)
    weight = F.conv1d(padded[:, None], (kernel / kernel.sum())[None, None])[:, 0]
    weight = ((weight - NEGLIGIBLE_WEIGHT) / (1 - 2 * NEGLIGIBLE_WEIGHT)).clamp(0, 1)
    limit = 1 - fade((torch.arange(width, device=in_right.device) + 0.5) / reach)
    return weight.minimum(limit).maximum(1 - limit.flip(0))
