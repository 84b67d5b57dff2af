"""How much the edges of a gap stand out."""

from __future__ import annotations

import torch
from torch import Tensor

SMOOTHEST_STEP = 0.5 / 255
"""Less does not survive 8 bits: photos without any detail count as having this from column to column."""


def seam_visibility(panoramas: Tensor, left_width: int, gap_width: int) -> Tensor:
    """The step across a gap's edges, as a multiple of the step that is usual in the photos beside it.

    A step is the absolute difference of two neighbouring columns, averaged over rows and channels. The two steps from
    photo to gap are averaged, and divided by the median of all steps within both photos (at least `SMOOTHEST_STEP`).
    So 1 is a step like any other, more is a visible seam, and less is smoother than the photos are.

    Args:
        panoramas: left photo, gap and right photo side by side, (b 3 h w) in 0..1.
        left_width: of the left photo in px.
        gap_width: of the gap in px.

    Returns:
        (b).
    """
    steps = panoramas.diff(dim=-1).abs().mean(dim=(1, 2))  # step i is from column i to i + 1
    first, last = left_width - 1, left_width + gap_width - 1
    usual = torch.cat([steps[:, :first], steps[:, last + 1 :]], dim=1).median(dim=1).values
    return steps[:, [first, last]].mean(dim=1) / usual.clamp(min=SMOOTHEST_STEP)
