"""Which part of the photos belongs where in the gap.

Coarse to fine, at heights of 16, 32 and 64 px, patches of the gap are matched with patches of the photos and drawn
anew as the mean of their matches (Wexler et al., TPAMI 2007; Barnes et al., SIGGRAPH 2009). Few large pieces look
better than many small ones (He and Sun, TPAMI 2014), so patches are matched jointly, by semi-global matching
(Hirschmüller, TPAMI 2008), and nothing is repeated without need. Then the pieces are cut to each other and to the
photos where they differ least (Kwatra et al., Graphcut Textures, SIGGRAPH 2003), by semi-global matching again:
`matching` and `cutting`.

Scenery lies in layers, so every place has its source in its own row: how far to the right of the place, in px. Sources
are numbered along `matching.with_mirrored` of both; the gap's own place is on it where the left photo ends, so a source
0 px away is the left photo's mirror. Sources in other rows gained nothing but steps in horizons.

All of it costs the same at any height of the photos.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from .cutting import Cutting
from .matching import ROWS, Matching

LEVELS = ((16, 2), (32, 2), (64, 1))
"""Height in px at which patches are matched; how many cells farther than their own they reach on each side."""

FINEST = LEVELS[-1][0]
"""The height in px at which sources are told."""

FEWEST_CELLS = 6
"""The least width of a photo, to have some choice, and wider than a patch."""


def pool(image: Tensor, height: int) -> Tensor:
    """The mean of every few pixels of an image, (c h w), as many down as across: (c height …)."""
    return F.avg_pool2d(image[None], image.shape[-2] // height)[0]


def scale(image: Tensor, height: int, width: int) -> Tensor:
    """An image, (c h w), at another size."""
    return F.interpolate(image[None], (height, width), mode="bicubic", antialias=True)[0]


def arrange(
    left: Tensor, gap: Tensor, right: Tensor, low_pass: Callable[[Tensor], Tensor], mirrored: bool = True
) -> tuple[Tensor, Tensor]:
    """Find a source for each place of a gap.

    Args:
        left: the photo to its left, (3 h w), a multiple of `FINEST` px high and of `FEWEST_CELLS` or more whole cells,
            as all parts.
        gap: as the network drew it.
        right: the photo to its right.
        low_pass: keeps of an image what guides the matching.
        mirrored: whether pieces of the photos may be, farther in than at the gap's edges.

    Returns:
        Which places have theirs in the right photo, and how far in px it lies from where the photo that it is in would
        show its mirror at the gap's edge, both (`FINEST` w).
    """
    left, gap, right = (pool(part, FINEST) for part in (left, gap, right))
    laid = pool(gap, LEVELS[0][0])
    for height, margin in LEVELS:
        drawn = pool(gap, height)
        matching = Matching(pool(left, height), pool(right, height), drawn.shape[-1], margin, mirrored)
        laid = scale(laid, *drawn.shape[-2:])
        laid = laid + low_pass(drawn - laid)
        matched = matching.match(laid)
        laid = matching.lay(matched)
    # patches that would reach beyond the top, the bottom or `margin` cells into the photos were not matched
    row = torch.arange(ROWS, device=gap.device).sub(margin).clamp(0, len(matched) - 1)
    sources = Cutting(matching, laid, matched[row, margin:-margin]).cut()
    in_right = torch.arange(laid.shape[-1], device=gap.device) + sources >= left.shape[-1]
    return in_right, sources - matching.right_mirror * in_right
