"""The gap's low frequencies: the gradients of the pieces, the colours of the network, and the photos at both ends.

That is a screened Poisson equation, so that pieces of different brightness leave no edges.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..poisson import low_pass, solve_screened
from ..resampling import fade, pool, reflect, resample
from .cross_dissolve import Contribution, Contributions
from .settings import DetailSettings

NUM_OCTAVES = 6
"""In which the network's drawing is compared with the photos: from means of half of the height on."""


def trusted_cutoff(left: Tensor, gap: Tensor, right: Tensor, settings: DetailSettings) -> float:
    """Up to which frequency the network's drawing is to be kept, in cycles over the height.

    That is `base_cutoff`, and an octave more for every octave in which the gap has at least `trusted_energy` of the
    photos' energy; what has less counts in part.

    Args:
        left: the photo, (3 256 w); `right` and the gap alike.
        settings: of the detail.
    """
    cutoff, share = settings.base_cutoff, 1.0
    for in_left, in_gap, in_right in zip(*(_energy_of_octaves(part) for part in (left, gap, right)), strict=True):
        share = min(share, (2 / settings.trusted_energy * in_gap / max(in_left + in_right, 1e-9)) ** 2)
        cutoff *= 2**share
    return cutoff


def guidance_cutoff(cutoff: float, settings: DetailSettings) -> float:
    """Up to which frequency the network's drawing guides the matching, if its colours are kept up to a cut-off."""
    return min(settings.guidance_factor * cutoff, settings.max_guidance_cutoff)


def _energy_of_octaves(image: Tensor) -> list[float]:
    """Of the differences between neighbouring means, the coarsest octave first; `image` is (3 256 w)."""
    energies = [image.square().mean()]
    for _ in range(NUM_OCTAVES):
        image = pool(image, image.shape[-2] // 2)
        energies.append(image.square().mean())
    return torch.stack(energies).diff().neg().flip(0).clamp(min=0).tolist()


def merge(
    left: Tensor, gap: Tensor, right: Tensor, contributions: Contributions, cutoff: float, settings: DetailSettings
) -> Tensor:
    """Give the gap the gradients of the pieces that lie in it.

    Args:
        left: the photo, (3 h w), a multiple of the finest level's height, like `right` and the gap of whole cells.
        gap: as the network drew it, (3 h w).
        right: the photo.
        contributions: of both photos, at the finest level.
        cutoff: in cycles over the height, up to which the gap's own colours are kept.
        settings: of the detail.

    Returns:
        (3 h w), as the gap.
    """
    factor = gap.shape[-2] // settings.finest_height
    rightwards, downwards = _gradients(left, contributions[0], left.shape[-1], factor)
    of_right = _gradients(right, contributions[1], -gap.shape[-1], factor)
    rightwards += of_right[0]
    downwards += of_right[1]
    from_left = carried_slope(left.diff(dim=-1).flip(-1), rightwards, settings)
    rightwards[..., : from_left.shape[-1]] += from_left
    from_right = carried_slope(right.diff(dim=-1), rightwards.flip(-1), settings)
    rightwards[..., -from_right.shape[-1] :] += from_right.flip(-1)
    # what the gap's own gradients lack to these
    rightwards -= torch.cat([left[..., -1:], gap, right[..., :1]], dim=-1).diff(dim=-1)
    downwards -= gap.diff(dim=-2)
    return solve_screened(gap, downwards, rightwards, cutoff)


def _gradients(photo: Tensor, contribution: Contribution, start: int, factor: int) -> tuple[Tensor, Tensor]:
    """A photo's part in the differences between the gap's pixels.

    Args:
        photo: (3 h w).
        contribution: at a height that is `factor` times smaller.
        start: the photo's column where the gap's first one would be at offset 0, were the photo endless.
        factor: of the heights.

    Returns:
        Along the rows, those across both edges included, (3 h w+1), and down the columns, (3 h-1 w).
    """
    weight, offset = (
        part.repeat_interleave(factor, 0).repeat_interleave(factor, 1)
        for part in (contribution.weight, contribution.offset * factor)
    )
    height, width = weight.shape
    row = torch.arange(height, device=photo.device)[:, None]
    column = torch.arange(width, device=photo.device) + start + offset

    def source(below: int, right_of: int) -> Tensor:
        return photo[:, (row + below).clamp(0, height - 1), reflect(column + right_of, photo.shape[-1])]

    # between two pixels, the mean of what both sources say
    here = source(0, 0)
    to_right, from_left = (source(0, 1) - here) * weight, (here - source(0, -1)) * weight
    rightwards = torch.cat([from_left, to_right[..., -1:]], dim=-1)
    rightwards[..., 1:-1] = (to_right[..., :-1] + from_left[..., 1:]) / 2
    downwards = ((source(1, 0) - here) * weight)[:, :-1] + ((here - source(-1, 0)) * weight)[:, 1:]
    return rightwards, downwards / 2


def carried_slope(photo: Tensor, gap: Tensor, settings: DetailSettings) -> Tensor:
    """What to add to the gap's differences along the rows, so that a photo's slope goes on, and ever less farther in.

    Mirrors turn a slope around, and other pieces have their own: in a sky, both would show as a bend of brightness.

    Args:
        photo: its differences along the rows, (3 h w), from the edge on.
        gap: the gap's, (3 h w), from the same edge on.
        settings: of the detail.

    Returns:
        (3 h columns), from the edge on.
    """
    length = round(settings.slope_length * photo.shape[-2])
    missing = photo[..., :length].mean(-1, keepdim=True) - gap[..., :length].mean(-1, keepdim=True)
    steepest = settings.max_slope / length
    missing = low_pass(missing, settings.slope_cutoff).clamp(-steepest, steepest)
    place = torch.arange(min(2 * length, gap.shape[-1]), device=gap.device)
    return missing * fade(place / (2 * length))


class RowwiseResampling:
    """Scales a small image, (3 h w), up to (3 height width), some rows at a time: the same as `resample` of it all.

    The large image need never be in memory as a whole.
    """

    def __init__(self, image: Tensor, height: int, width: int) -> None:
        self.image = resample(image[None], image.shape[-2], width)[0].transpose(0, 1).flatten(1)
        unit = torch.eye(image.shape[-2], device=image.device, dtype=image.dtype)
        self.weights = resample(unit[None, None], height, len(unit))[0, 0]
        used = self.weights != 0
        self.first = used.int().argmax(1).tolist()
        self.last = (len(unit) - 1 - used.flip(1).int().argmax(1)).tolist()
        """Of the small image's rows, those that each of the large one depends on."""

    def rows(self, rows: slice) -> Tensor:
        """Rows of the large image, (3 rows width)."""
        few = slice(min(self.first[rows]), max(self.last[rows]) + 1)
        return (self.weights[rows, few] @ self.image[few]).unflatten(1, (3, -1)).transpose(0, 1)
