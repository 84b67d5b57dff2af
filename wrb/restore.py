"""The photos' own pixels back into a panorama that was upscaled or repainted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from .blend import Blend
from .detail import sharpen
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
def restore_photos(panorama: Tensor, blend: Blend, *, feather: int = 0, detail: float = 0) -> Blend:
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
        detail: how much of the photos' detail the gaps receive beyond their own, from 0, none, to 1: as sharp as the
            photos, where an upscaler has left them softer.

    Returns:
        The blend with the restored panorama at its size, and the layout and gap mask that belong to it, and the
        originals, if it was cut, without what was cut off.

    Raises:
        ValueError: if the panorama is no image, or not the blend's at any scale, or if an option is not as said.
    """
    length = len(blend.panorama)
    check_photos(panorama, "panorama", blend.direction)
    if length not in (1, len(panorama)):
        raise ValueError(
            f"the blend made {length} panoramas, but here are {len(panorama)}; give all of them, in their order"
        )
    blend = _cut_alike(blend, panorama)
    restored, layout = put_back(
        panorama,
        blend.originals,
        blend.layout,
        direction=blend.direction,
        feather=feather,
        length=length,
        detail=detail,
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
    detail: float = 0,
) -> tuple[Tensor, Layout]:
    """What `restore_photos` does, for a panorama of which no more is known than its photos and where they lie in it.

    Args:
        panorama: as there.
        originals: its photos, each in a batch of one or as long as `length`. One is asked for at a time.
        layout: of the panorama as it was made.
        direction: in which it runs; `feather` as there.
        length: how many panoramas were made.
        detail: as there.

    Returns:
        The restored panorama, with "down" transposed, and its layout.

    Raises:
        ValueError: as there.
    """
    check_options(feather, detail)
    check_photos(panorama, "panorama", direction)
    check_scale(panorama, transposed(panorama.new_empty(layout.height, layout.width, device="meta"), direction))
    restored = as_rgb(panorama, direction).clone()
    layout = layout.scaled(*restored.shape[-2:])
    if min(layout.photo_widths + layout.gap_widths) < 1:
        raise ValueError(
            f"a panorama of {_size(panorama)} leaves no pixel for the narrowest of its parts; scale it down less"
        )
    photos, gaps = layout.split(restored)
    for number, (photo, original) in enumerate(zip(photos, fitted(originals, layout, direction, length), strict=True)):
        original = original.to(restored.device)
        if feather:
            has_gap = number > 0 or layout.loop, number < len(gaps)
            photo.copy_(original.lerp(photo, _share(photo, feather, *has_gap)))
        else:
            photo.copy_(original)
    for (left, right), gap in zip(layout.neighbours, gaps, strict=True):
        join_gap(gap, photos[left], photos[right], layout.height, detail, direction)
    return restored, layout


def check_options(feather: int, detail: float) -> None:
    """Refuse what lies outside of their ranges."""
    if feather < 0:
        raise ValueError(f"feather is {feather} px; it cannot be negative")
    if not 0 <= detail <= 1:
        raise ValueError(f"detail is {detail}; it goes from 0, none, to 1, all of the photos' detail")


def fitted(originals: Sequence[Tensor], layout: Layout, direction: Direction, length: int) -> Iterator[Tensor]:
    """One original after the other at its size in a panorama of that layout, (length or 1 3 h w); "down" transposed."""
    for original, width in zip(originals, layout.photo_widths, strict=True):
        yield resize(repeat_to(as_rgb(original, direction), length), layout.height, width)


def join_gap(gap: Tensor, left: Tensor, right: Tensor, resolution: int, detail: float, direction: Direction) -> None:
    """Make a gap, (b 3 h w), go on from the photos beside it, in place.

    Args:
        gap: as it was handed in.
        left: the photos to its left, (b 3 h w); `right` alike.
        resolution: the height in px at which it was made.
        detail: how much of the photos' detail it receives beyond that, 0 to 1.
        direction: "down" if all of this is transposed.
    """
    edges = left[..., -1:], right[..., :1]
    meet_edges(gap, *edges, out=gap).clamp_(0, 1)
    if detail:
        sharpen(gap, left, right, resolution, detail, direction=direction)
        meet_edges(gap, *edges, out=gap).clamp_(0, 1)


def _cut_alike(blend: Blend, panorama: Tensor) -> Blend:
    """The blend without what a VAE has cut off that panorama of it; the same where the size tells of no such cut."""
    seen = as_rgb(panorama[:1], blend.direction).to(blend.panorama.device)
    made = transposed(blend.panorama[:1], blend.direction)
    whole = made.shape[-2:]
    rows, shown = find_window(seen, made, transposed(blend.gap_mask[:1], blend.direction) == 0)
    height, width = rows.stop - rows.start, shown.stop - shown.start
    if (height, width) == whole:
        return blend
    columns = blend.layout.photo_columns(shown.start, width)
    originals = []
    for original, photo_width, part in zip(blend.originals, blend.layout.photo_widths, columns, strict=True):
        original = transposed(original, blend.direction)
        kept = _scaled(rows, original.shape[-2] / whole[0]), _scaled(part, original.shape[-1] / photo_width)
        originals.append(transposed(original[..., kept[0], kept[1]], blend.direction))
    return replace(blend, layout=blend.layout.cropped(shown.start, height, width), originals=tuple(originals))


def find_window(seen: Tensor, made: Tensor, is_photo: Tensor) -> tuple[slice, slice]:
    """Which rows and columns of an image are left after a VAE has cut it, and perhaps others have scaled it since.

    Args:
        seen: what is left, (1 3 h w).
        made: the whole image, (1 3 h w) at its first size.
        is_photo: where it shows photos, (1 h w): there both are compared, to tell at which ends it was cut.
    """
    size, whole = seen.shape[-2:], made.shape[-2:]

    def misfit(cut: tuple[int, int]) -> tuple[bool, float]:
        stretch = size[1] / cut[1] * cut[0] / size[0]
        return cut != size, max(0, abs(math.log(stretch)) - 1 / min(size))

    cuts = [(whole[0] // block * block, whole[1] // block * block) for block in (1, *BLOCKS) if min(whole) >= block]
    height, width = min(cuts, key=misfit)  # of those that fit alike, the one that cuts least
    if (height, width) == whole or misfit((height, width))[1] > DISTORTION:
        return slice(0, whole[0]), slice(0, whole[1])
    seen = resize(seen, height, width)

    def window(corner: tuple[int, int]) -> tuple[slice, slice]:
        return slice(corner[0], corner[0] + height), slice(corner[1], corner[1] + width)

    def likeness(corner: tuple[int, int]) -> float:
        rows, columns = window(corner)
        compared = is_photo[0, rows, columns]
        pixels = [image[:, compared].flatten() for image in (made[0, :, rows, columns], seen[0])]
        return float(torch.corrcoef(torch.stack(pixels))[0, 1].abs())

    # ComfyUI's own nodes cut both ends alike, others the far one.
    return window(max([((whole[0] - height) // 2, (whole[1] - width) // 2), (0, 0)], key=likeness))


def check_scale(changed: Tensor, original: Tensor, name: str = "panorama") -> None:
    """Refuse what was cropped, padded or distorted by more than rounding to whole px or blocks explains."""
    (height, width), (original_height, original_width) = changed.shape[-2:], original.shape[-2:]
    stretch = width / original_width * original_height / height
    if abs(math.log(stretch)) > DISTORTION + 1 / min(height, width):
        raise ValueError(
            f"the {name} is {_size(changed)}, which is not the blend's {_size(original)} at any scale; give "
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
