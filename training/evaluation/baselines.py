"""Gaps without a network: what a generated gap has to beat.

Each takes a left and a right photo, (b 3 h w) in 0..1 of any widths, and the gap's width in px, and returns the gap,
(b 3 h width).
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from wrb.images import to_image, to_tensor
from wrb.resampling import fade, reflect

INPAINT_RADIUS = 3
"""Radius in px of the neighbourhood from which OpenCV fills a pixel: the one of its own examples."""

PATCH_RADIUS = 3
"""Radius in px of the patches that PatchMatch compares: the one of its package's examples."""

WHITE = 65535
"""In 16 bits."""


def cross_fade(left: Tensor, right: Tensor, width: int) -> Tensor:
    """The least that a gap must beat: every row fades from the left photo's edge to the right one's.

    Args:
        left: (b c h w), and `right` alike.
        width: of the gap in px.

    Returns:
        (b c h width).
    """
    position = (torch.arange(width, device=left.device) + 0.5) / width
    return torch.lerp(left[..., -1:], right[..., :1], position)


def reflection(left: Tensor, right: Tensor, width: int) -> Tensor:
    """Both photos mirrored at their edges into the gap, passing into each other over all of it along half a cosine.

    A photo narrower than the gap is mirrored again at its other side, as often as it takes.

    Args:
        left: (b c h w), and `right` alike.
        width: of the gap in px.

    Returns:
        (b c h width).
    """
    position = (torch.arange(width, device=left.device) + 0.5) / width
    return torch.lerp(_continued(right.flip(-1), width).flip(-1), _continued(left, width), fade(position))


def _continued(photos: Tensor, width: int) -> Tensor:
    """What lies to the right of photos, (b c h w), if they are mirrored at their edges: (b c h width)."""
    size = photos.shape[-1]
    return photos[..., reflect(torch.arange(size, size + width, device=photos.device), size)]


def inpaint_telea(left: Tensor, right: Tensor, width: int) -> Tensor:
    """OpenCV's inpainting by fast marching (Telea, Journal of Graphics Tools 2004).

    Args:
        left: (b 3 h w) in 0..1, and `right` alike.
        width: of the gap in px.

    Returns:
        (b 3 h width) in 0..1.
    """
    import cv2

    return _inpaint(left, right, width, cv2.INPAINT_TELEA)


def inpaint_navier_stokes(left: Tensor, right: Tensor, width: int) -> Tensor:
    """OpenCV's inpainting by fluid dynamics (Bertalmio, Bertozzi and Sapiro, CVPR 2001).

    Arguments and result are those of `inpaint_telea`.
    """
    import cv2

    return _inpaint(left, right, width, cv2.INPAINT_NS)


def inpaint_patchmatch(left: Tensor, right: Tensor, width: int) -> Tensor:
    """Inpainting with patches of the photos (Wexler et al., TPAMI 2007; Barnes et al., SIGGRAPH 2009), by PyPatchMatch.

    Arguments and result are those of `inpaint_telea`.
    """
    from patchmatch import patch_match

    panoramas, mask = _with_gap(left, right, width)
    filled = [patch_match.inpaint(to_image(panorama), mask, patch_size=PATCH_RADIUS) for panorama in panoramas]
    panoramas = torch.stack([to_tensor(Image.fromarray(pixels)) for pixels in filled]).to(left)
    return panoramas[..., left.shape[-1] :][..., :width]


def _with_gap(left: Tensor, right: Tensor, width: int) -> tuple[Tensor, np.ndarray]:
    """Panoramas with an empty gap, (b 3 h w), and its mask, (h w)."""
    start = left.shape[-1]
    panoramas = torch.cat([left, left.new_zeros(*left.shape[:-1], width), right], dim=-1)
    mask = np.zeros(panoramas.shape[-2:], dtype=np.uint8)
    mask[:, start : start + width] = 255
    return panoramas, mask


def _inpaint(left: Tensor, right: Tensor, width: int, method: int) -> Tensor:
    import cv2

    panoramas, mask = _with_gap(left, right, width)
    # in 16 bits, one channel at a time: in 8 bits OpenCV's Telea rounds up pixel after pixel, and a gap of 512 px
    # between grey photos comes out 40 of 255 steps too bright; in floating point it overshoots
    channels: np.ndarray = (panoramas.flatten(0, 1).cpu() * WHITE).round().numpy().astype(np.uint16)
    filled = np.stack([cv2.inpaint(channel, mask, INPAINT_RADIUS, method) for channel in channels])
    start = left.shape[-1]
    gaps = torch.from_numpy(filled[..., start : start + width].astype(np.float32) / WHITE)
    return gaps.unflatten(0, left.shape[:2]).to(left)


BASELINES: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "cross-fade": cross_fade,
    "reflection": reflection,
    "inpainting (Telea)": inpaint_telea,
    "inpainting (Navier-Stokes)": inpaint_navier_stokes,
}
"""Every baseline by its name in tables and sheets. PatchMatch is one where its package is installed."""

HAS_PATCHMATCH = find_spec("patchmatch") is not None
if HAS_PATCHMATCH:
    BASELINES["inpainting (PatchMatch)"] = inpaint_patchmatch
