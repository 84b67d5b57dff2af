"""Which part of the photos belongs where in the gap: the correspondence field.

Coarse to fine, patches of the gap are matched with patches of the photos and drawn anew as the mean of their matches
(Wexler et al., TPAMI 2007; Barnes et al., PatchMatch, SIGGRAPH 2009). Few large pieces look better than many small ones
(He and Sun, TPAMI 2014), so patches are matched jointly, and nothing is repeated without need: `patch_matching`. Then
the pieces are cut to each other: `seam_cutting`.

Scenery lies in layers, so every place has its source in its own row. All of it costs the same at any height of the
photos.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import pool, resample
from .patch_matching import PatchMatching
from .seam_cutting import SeamCutting
from .settings import DetailSettings
from .sources import SourceStrip


@dataclass(frozen=True)
class Correspondence:
    """For every place of a gap, (h w) at the finest level, the place in a photo that belongs there."""

    in_right: Tensor
    """Whether it is in the right photo, else in the left one."""

    offset: Tensor
    """How far to the right of the photo's mirror at the gap's edge it lies, in px: at 0 a place shows that mirror."""


def find_correspondence(
    left: Tensor,
    gap: Tensor,
    right: Tensor,
    guidance: Callable[[Tensor], Tensor],
    settings: DetailSettings,
    *,
    things: tuple[Tensor, Tensor] | None = None,
    allow_mirrored: bool = True,
) -> Correspondence:
    """Find a source for each place of a gap.

    Args:
        left: the photo to its left, (3 h w), a multiple of the finest level high, and like all parts of whole cells.
        gap: as the network drew it.
        right: the photo to its right.
        guidance: keeps of an image what guides the matching.
        settings: of the detail.
        things: in both photos, (2 h' w') of any size: as in `SourceStrip`.
        allow_mirrored: whether pieces of the photos may be mirrored, farther in than at the gap's edges.
    """
    left, gap, right = (pool(part, settings.finest_height) for part in (left, gap, right))
    matched = pool(gap, settings.pyramid[0].height)
    for height, patch_margin in settings.pyramid:
        drawn = pool(gap, height)
        photos = pool(left, height), pool(right, height)
        strip = SourceStrip(*photos, drawn.shape[-1], *_scaled_things(things, photos))
        matching = PatchMatching(strip, patch_margin, settings, allow_mirrored=allow_mirrored)
        matched = resample(matched[None], *drawn.shape[-2:])[0]
        matched = matched + guidance(drawn - matched)
        offsets = matching.match(matched)
        matched = matching.vote(offsets)
    # cells whose patches would reach beyond top or bottom take the offset of the nearest that was matched
    row = torch.arange(settings.num_cell_rows, device=gap.device).sub(patch_margin).clamp(0, len(offsets) - 1)
    cell_offsets = offsets[row, patch_margin : offsets.shape[1] - patch_margin]
    offset = SeamCutting(matching, matched, cell_offsets).cut()
    in_right = torch.arange(matched.shape[-1], device=gap.device) + offset >= left.shape[-1]
    return Correspondence(in_right, offset - strip.right_mirror_offset * in_right)


def _scaled_things(things: tuple[Tensor, Tensor] | None, photos: tuple[Tensor, Tensor]) -> list[Tensor]:
    """The things of both photos, at the photos' size."""
    if things is None:
        return []
    return [
        F.interpolate(of_photo[None], photo.shape[-2:], mode="area")[0]
        for of_photo, photo in zip(things, photos, strict=True)
    ]
