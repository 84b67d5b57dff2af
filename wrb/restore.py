"""The photos' own pixels back into a panorama that was upscaled or repainted."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .blend import Blend
from .geometry import Direction, Layout, as_rgb, check_photos, repeat_to, transposed
from .poisson import meet_edges
from .resampling import fade, resize

DISTORTION = 0.01
"""How much more a panorama may be scaled in one direction than in the other, beside the rounding to whole px.

Nodes that work in blocks of 8 px, such as VAE Encode and Upscale Latent, round both sides to such blocks.
"""


@torch.no_grad()
def restore_photos(panorama: Tensor, blend: Blend, *, feather: int = 0) -> Blend:
    """Put the photos back into a blend's panorama after other programs have changed it.

    The gaps stay as that panorama has them, but for colour and brightness, which are made to meet the photos. Photos
    are scaled from what `blend` was given, which may have had more pixels than its panorama.

    Args:
        panorama: the blend's panorama at any size, (b c h w) in 0..1. Its scale may be any, also a fraction, but the
            same for width and height, to 1 %. Where the blend made one panorama, many versions of it may come at once.
        blend: the result of `blend` or `blend_sequence`.
        feather: over how many px of `panorama` each photo passes into it towards a gap; 0: not one pixel of the photos
            is changed, but for scaling. At the blend's own size they are then the same, bit for bit.

    Returns:
        The blend with the restored panorama at its size, and the layout and gap mask that belong to it.

    Raises:
        ValueError: if the panorama is no image, or not the blend's at any scale, or if `feather` is negative.
    """
    length = len(blend.panorama)
    check_photos(panorama, "panorama", blend.direction)
    if length not in (1, len(panorama)):
        raise ValueError(
            f"the blend made {length} panoramas, but here are {len(panorama)}; give all of them, in their order"
        )
    restored, layout = put_back(
        panorama, blend.originals, blend.layout, direction=blend.direction, feather=feather, length=length
    )
    return replace(
        blend,
        panorama=transposed(restored, blend.direction),
        gap_mask=transposed(layout.gap_mask(restored), blend.direction),
        layout=layout,
    )


@torch.no_grad()
def put_back(
    panorama: Tensor,
    originals: Sequence[Tensor],
    layout: Layout,
    *,
    direction: Direction = "right",
    feather: int = 0,
    length: int = 1,
) -> tuple[Tensor, Layout]:
    """What `restore_photos` does, for a panorama of which no more is known than its photos and where they lie in it.

    Args:
        panorama: as there.
        originals: its photos, each in a batch of one or as long as `length`. One is asked for at a time.
        layout: of the panorama as it was made.
        direction: in which it runs; `feather` as there.
        length: how many panoramas were made.

    Returns:
        The restored panorama, with "down" transposed, and its layout.

    Raises:
        ValueError: as there.
    """
    if feather < 0:
        raise ValueError(f"feather is {feather} px; it cannot be negative")
    check_photos(panorama, "panorama", direction)
    _check_scale(panorama, transposed(panorama.new_empty(layout.height, layout.width, device="meta"), direction))
    restored = as_rgb(panorama, direction).clone()
    layout = layout.scaled(*restored.shape[-2:])
    if min(layout.photo_widths + layout.gap_widths) < 1:
        raise ValueError(
            f"a panorama of {_size(panorama)} leaves no pixel for the narrowest of its parts; scale it down less"
        )
    photos, gaps = layout.split(restored)
    for number, (photo, original) in enumerate(zip(photos, originals, strict=True)):
        original = repeat_to(as_rgb(original, direction), length).to(restored.device)
        original = resize(original, *photo.shape[-2:])
        if feather:
            has_gap = number > 0 or layout.loop, number < len(gaps)
            photo.copy_(original.lerp(photo, _share(photo, feather, *has_gap)))
        else:
            photo.copy_(original)
    for (left, right), gap in zip(layout.neighbours, gaps, strict=True):
        meet_edges(gap, photos[left][..., -1:], photos[right][..., :1], out=gap).clamp_(0, 1)
    return restored, layout


def _check_scale(panorama: Tensor, original: Tensor) -> None:
    """Refuse a panorama that was cropped, padded or distorted by more than rounding to whole px or blocks explains."""
    (height, width), (original_height, original_width) = panorama.shape[-2:], original.shape[-2:]
    stretch = width / original_width * original_height / height
    if abs(math.log(stretch)) > DISTORTION + 1 / min(height, width):
        raise ValueError(
            f"the panorama is {_size(panorama)}, which is not the blend's {_size(original)} at any scale; give "
            "the whole of it, with width and height scaled by the same factor"
        )


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}×{image.shape[-2]} px"


def _share(photo: Tensor, feather: int, gap_at_left: bool, gap_at_right: bool) -> Tensor:
    """How much of each column of a photo is to be the panorama's, 0..1."""
    width = photo.shape[-1]
    share = fade((torch.arange(width, device=photo.device) + 0.5) / min(feather, width))
    return share * gap_at_left + share.flip(0) * gap_at_right
