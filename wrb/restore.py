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

Nodes that work in blocks of 8 px, such as Upscale Latent, round both sides to such blocks.
"""

BLOCKS = (8, 16, 32)
"""To multiples of these, in px, VAEs cut both sides of a panorama."""


@torch.no_grad()
def restore_photos(panorama: Tensor, blend: Blend, *, feather: int = 0) -> Blend:
    """Put the photos back into a blend's panorama after other programs have changed it.

    The gaps stay as that panorama has them, but for colour and brightness, which are made to meet the photos. Photos
    are scaled from what `blend` was given, which may have had more pixels than its panorama.

    A panorama that went through a VAE, which cuts its sides to multiples of 8, 16 or 32 px, is recognised by its size,
    also after it was scaled. Whether they were cut at both ends or at one is seen from its photos.

    Args:
        panorama: the blend's panorama at any size, (b c h w) in 0..1. Its scale may be any, also a fraction, but the
            same for width and height, to 1 %. Where the blend made one panorama, many versions of it may come at once.
        blend: the result of `blend` or `blend_sequence`.
        feather: over how many px of `panorama` each photo passes into it towards a gap; 0: not one pixel of the photos
            is changed, but for scaling. At the blend's own size they are then the same, bit for bit.

    Returns:
        The blend with the restored panorama at its size, and the layout and gap mask that belong to it, and the
        originals, if it was cut, without what was cut off.

    Raises:
        ValueError: if the panorama is no image, or not the blend's at any scale, or if `feather` is negative.
    """
    length = len(blend.panorama)
    check_photos(panorama, "panorama", blend.direction)
    if length not in (1, len(panorama)):
        raise ValueError(
            f"the blend made {length} panoramas, but here are {len(panorama)}; give all of them, in their order"
        )
    blend = _cut_alike(blend, panorama)
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


def _cut_alike(blend: Blend, panorama: Tensor) -> Blend:
    """The blend without what a VAE has cut off that panorama of it; the same where the size tells of no such cut."""
    seen = as_rgb(panorama[:1], blend.direction).to(blend.panorama.device)
    made = transposed(blend.panorama[:1], blend.direction)
    size, whole = seen.shape[-2:], made.shape[-2:]

    def misfit(cut: tuple[int, int]) -> tuple[bool, float]:
        stretch = size[1] / cut[1] * cut[0] / size[0]
        return cut != size, max(0, abs(math.log(stretch)) - 1 / min(size))

    cuts = [(whole[0] // block * block, whole[1] // block * block) for block in (1, *BLOCKS) if min(whole) >= block]
    height, width = min(cuts, key=misfit)  # of those that fit alike, the one that cuts least
    if (height, width) == whole or misfit((height, width))[1] > DISTORTION:
        return blend
    seen = resize(seen, height, width)
    is_photo = transposed(blend.gap_mask[:1], blend.direction) == 0

    def likeness(corner: tuple[int, int]) -> float:
        window = (..., slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width))
        pixels = [image[:, is_photo[window][0]].flatten() for image in (made[window][0], seen[0])]
        return float(torch.corrcoef(torch.stack(pixels))[0, 1].abs())

    # ComfyUI's own nodes cut both ends alike, others the far one.
    top, left = max([((whole[0] - height) // 2, (whole[1] - width) // 2), (0, 0)], key=likeness)
    columns = blend.layout.photo_columns(left, width)
    originals = []
    for original, photo_width, shown in zip(blend.originals, blend.layout.photo_widths, columns, strict=True):
        original = transposed(original, blend.direction)
        rows = _scaled(slice(top, top + height), original.shape[-2] / whole[0])
        original = original[..., rows, _scaled(shown, original.shape[-1] / photo_width)]
        originals.append(transposed(original, blend.direction))
    return replace(blend, layout=blend.layout.cropped(left, height, width), originals=tuple(originals))


def _check_scale(panorama: Tensor, original: Tensor) -> None:
    """Refuse a panorama that was cropped, padded or distorted by more than rounding to whole px or blocks explains."""
    (height, width), (original_height, original_width) = panorama.shape[-2:], original.shape[-2:]
    stretch = width / original_width * original_height / height
    if abs(math.log(stretch)) > DISTORTION + 1 / min(height, width):
        raise ValueError(
            f"the panorama is {_size(panorama)}, which is not the blend's {_size(original)} at any scale; give "
            "the whole of it, with width and height scaled by the same factor"
        )


def _scaled(span: slice, factor: float) -> slice:
    return slice(round(span.start * factor), round(span.stop * factor))


def _size(image: Tensor) -> str:
    return f"{image.shape[-1]}×{image.shape[-2]} px"


def _share(photo: Tensor, feather: int, gap_at_left: bool, gap_at_right: bool) -> Tensor:
    """How much of each column of a photo is to be the panorama's, 0..1."""
    width = photo.shape[-1]
    share = fade((torch.arange(width, device=photo.device) + 0.5) / min(feather, width))
    return share * gap_at_left + share.flip(0) * gap_at_right
