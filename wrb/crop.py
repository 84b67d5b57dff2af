"""A gap cut out of its panorama for another model to repaint, and what that model made of it put back.

A crop shows the gap, as much of the photos on both sides as asked, and the whole height of the panorama; it is scaled
to what the model works at best. A gap wider than a crop may be is cut into several that overlap. They are put back into
the panorama at its own size, faded into each other where they overlap.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from .blend import Blend
from .geometry import Direction, Layout, as_rgb, check_photos, transposed
from .resampling import fade, reflect, resize
from .restore import check_options, check_scale, find_window, fitted, join_gap

PIXELS_PER_MEGAPIXEL = 1024 * 1024
"""As ComfyUI and the makers of models count: SDXL's 1024×1024 px are 1."""

WIDEST_CONTEXT = 2.0
"""Limit of `context`, in heights of the panorama."""

OVERLAP = 0.25
"""Over so much of the height two crops of one gap fade into each other, before rounding to multiples."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A gap, or a part of a wide one, with what lies beside it, scaled."""

    image: Tensor
    """RGB in 0..1, float32, (b 3 h w)."""

    mask: Tensor
    """What is to be repainted, 0..1, (b h w)."""

    blend: Blend
    """What it was cut from."""

    gap: int
    """The number of its gap, from 0."""

    columns: slice
    """Which ones of the panorama it shows, with "down" of the transposed one. Beyond the panorama's end
    it shows its other end in a loop, else its reflection."""

    overlaps: tuple[int, int]
    """By how many columns the gap's crops before and after it overlap with it; 0: there is none."""


def crop_gaps(
    blend: Blend,
    *,
    context: float = 0.5,
    height: int | None = None,
    megapixels: float = 1.0,
    multiple: int = 8,
    grow: int = 0,
    feather: int = 0,
    max_width: float = 3.0,
) -> list[Crop]:
    """Cut out every gap of a blend, for a model that repaints it; `restore_crops` puts back what it makes.

    Width and height are scaled alike, to half a px of the crop: to make its sides such multiples, a crop shows a little
    more of the photos.

    Args:
        blend: the result of `blend` or `blend_sequence`.
        context: how much of the photo on each side is shown, in heights of the panorama, 0 to 2; no more than the photo
            is wide.
        height: of the crops in px (with "down" their width), rounded to the multiple; None: as `megapixels` says.
        megapixels: of each crop, in 1024×1024 px.
        multiple: of what both sides are to be a multiple, in px.
        grow: how far the mask reaches into the photos, in px of the crop.
        feather: over how many px of the crop it fades out beyond that.
        max_width: of a crop, in heights, at least 1 and the context. A gap that does not fit with its context gets
            several crops, from left to right.

    Raises:
        ValueError: if an option is not as said.
    """
    _check_crop_options(context, height, megapixels, multiple, grow, feather, max_width)
    layout = blend.layout
    panorama = transposed(blend.panorama, blend.direction)
    crops = []
    for number, gap in enumerate(layout.gaps):
        windows = _windows(layout, number, context, max_width)
        widest = max(window.stop - window.start for window in windows)
        wanted = height or math.sqrt(megapixels * PIXELS_PER_MEGAPIXEL * layout.height / widest)
        crop_height = max(1, round(wanted / multiple)) * multiple
        scale = crop_height / layout.height
        crop_width = math.ceil(widest * scale / multiple - 1e-6) * multiple
        windows = [_widened(window, round(crop_width / scale), layout) for window in windows]
        ends = [gap.start, *(window.stop for window in windows)]
        starts = [*(window.start for window in windows), gap.stop]
        for part, window in enumerate(windows):
            first, last = part == 0, part == len(windows) - 1
            overlaps = 0 if first else ends[part] - window.start, 0 if last else window.stop - starts[part + 1]
            image = resize(panorama[..., _places(window, layout)], crop_height, crop_width)
            row = _mask_row(gap, window, crop_width, grow, feather).to(image)
            mask = row.expand(len(image), crop_height, -1)
            crops.append(
                Crop(
                    image=transposed(image, blend.direction),
                    mask=transposed(mask, blend.direction),
                    blend=blend,
                    gap=number,
                    columns=window,
                    overlaps=overlaps,
                )
            )
    return crops


@torch.no_grad()
def restore_crops(repainted: Sequence[Tensor], crops: Sequence[Crop], *, feather: int = 0, detail: float = 0) -> Blend:
    """Put repainted crops back into their panorama, between the photos' own pixels.

    Each is scaled to the panorama's size, and its colours are made to meet the photos. What was changed outside of the
    gap is dropped. A gap of which no crop is given stays as the blend made it.

    Args:
        repainted: each crop as other programs have changed it, at any size, (b c h w) in 0..1; cut by a VAE to
            multiples of 8, 16 or 32 px it is recognised, and what was cut off is filled by reflection. Where the blend
            made one panorama, many versions may come at once, as many of each crop.
        crops: all of one blend.
        feather: over how many px of the repainted crop each photo passes into it towards the gap, as far as the crop
            shows it, and at most over half of a photo between two gaps; 0: not one pixel of the photos is changed.
        detail: how much of the photos' detail the gaps receive beyond the crops' own, from 0, none, to 1: as sharp as
            the photos.

    Returns:
        The blend with the repainted panorama.

    Raises:
        ValueError: if an image is not its crop at any scale, if the crops are not of one blend, if they are not as many
            as the images, or if an option is not as said.
    """
    check_options(feather, detail)
    blend = _common_blend(repainted, crops)
    length, layout = len(blend.panorama), blend.layout
    restored = as_rgb(blend.panorama, blend.direction).expand(len(repainted[0]) if length == 1 else -1, -1, -1, -1)
    restored = restored.clone()
    originals = fitted(blend.originals, layout, blend.direction, length)
    for photo, original in zip(layout.split(restored)[0], originals, strict=True):
        photo.copy_(original)
    for gap in range(len(layout.gaps)):
        images = [
            (crop, _whole(image, crop).to(restored.device))
            for image, crop in zip(repainted, crops, strict=True)
            if crop.gap == gap
        ]
        _fill(restored, gap, images, layout, feather, detail, blend.direction)
    return replace(
        blend,
        panorama=transposed(restored, blend.direction),
        gap_mask=transposed(layout.gap_mask(restored), blend.direction),
    )


def _check_crop_options(
    context: float, height: int | None, megapixels: float, multiple: int, grow: int, feather: int, max_width: float
) -> None:
    if not 0 <= context <= WIDEST_CONTEXT:
        raise ValueError(f"context is {context} heights; it goes from 0 to {WIDEST_CONTEXT:g}")
    for name, value in (("height", height), ("megapixels", megapixels), ("multiple", multiple)):
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} is {value}; it must be more than 0")
    for name, value in (("grow", grow), ("feather", feather)):
        if value < 0:
            raise ValueError(f"{name} is {value} px; it cannot be negative")
    if not max_width >= 1 + context:
        raise ValueError(
            f"max_width is {max_width} heights; with a context of {context} it must be at least {1 + context:g}"
        )


def _windows(layout: Layout, gap: int, context: float, max_width: float) -> list[slice]:
    """The columns that the crops of a gap show, before anything is rounded to multiples."""
    height = layout.height
    left, right = (min(round(context * height), layout.photo_widths[photo]) for photo in layout.neighbours[gap])
    start, end = layout.gaps[gap].start - left, layout.gaps[gap].stop + right
    overlap, most = OVERLAP * height, max_width * height
    if end - start <= most:
        return [slice(start, end)]
    count = math.ceil((end - start - overlap) / (most - overlap))
    width = math.ceil((end - start + (count - 1) * overlap) / count)
    starts = [start + round(number * (end - start - width) / (count - 1)) for number in range(count)]
    return [slice(first, first + width) for first in starts]


def _widened(window: slice, width: int, layout: Layout) -> slice:
    """That wide, on both sides alike, but within the panorama as long as it is wide enough; a loop has no ends."""
    start = window.start - (width - (window.stop - window.start)) // 2
    if not layout.loop:
        start = max(0, min(start, layout.width - width))
    return slice(start, start + width)


def _places(window: slice, layout: Layout) -> Tensor | slice:
    """The panorama's columns that a window shows."""
    if 0 <= window.start and window.stop <= layout.width:
        return window
    columns = torch.arange(window.start, window.stop)
    return columns % layout.width if layout.loop else reflect(columns, layout.width)


def _mask_row(gap: slice, window: slice, crop_width: int, grow: int, feather: int) -> Tensor:
    """One row of a crop's mask: 1 on every pixel that shows something of the gap."""
    scale = crop_width / (window.stop - window.start)
    column = torch.arange(crop_width, dtype=torch.float64)
    start, end = (gap.start - window.start) * scale, (gap.stop - window.start) * scale
    beyond = torch.maximum(start - (column + 1), column - end)  # px between a pixel and the gap
    inside = beyond < grow - 1e-6
    return torch.where(inside, 1.0, fade((beyond - grow + 0.5) / feather) if feather else 0.0)


def _common_blend(repainted: Sequence[Tensor], crops: Sequence[Crop]) -> Blend:
    if not crops or len(repainted) != len(crops):
        raise ValueError(f"{len(repainted)} images for {len(crops)} crops; give each crop's image, in their order")
    blend = crops[0].blend
    if any(crop.blend is not blend for crop in crops):
        raise ValueError("the crops are of several blends; restore those of each by themselves")
    for image in repainted:
        check_photos(image, "crop", blend.direction)
    lengths = {len(image) for image in repainted}
    if len(lengths) > 1 or len(blend.panorama) not in (1, *lengths):
        raise ValueError(
            f"the blend made {len(blend.panorama)} panoramas, but of the crops here are "
            f"{', '.join(map(str, sorted(lengths)))}; give as many of each"
        )
    return blend


def _whole(image: Tensor, crop: Crop) -> Tensor:
    """A repainted crop, RGB and with "down" transposed, with what a VAE has cut off it filled by reflection."""
    image = as_rgb(image, crop.blend.direction)
    made = transposed(crop.image[:1], crop.blend.direction)
    gap = crop.blend.layout.gaps[crop.gap]
    is_photo = _mask_row(gap, crop.columns, made.shape[-1], 0, 0) == 0
    window = find_window(image[:1].to(made.device), made, is_photo.expand(1, made.shape[-2], -1))
    expected = made[..., window[0], window[1]]
    check_scale(transposed(image, crop.blend.direction), transposed(expected, crop.blend.direction), "crop")
    for dim, kept, size in zip((-2, -1), window, made.shape[-2:], strict=True):
        factor = image.shape[dim] / (kept.stop - kept.start)
        first, last = round(-kept.start * factor), round((size - kept.start) * factor)
        if (first, last) != (0, image.shape[dim]):
            places = reflect(torch.arange(first, last, device=image.device), image.shape[dim])
            image = image.index_select(dim, places)
    return image


def _fill(
    panorama: Tensor,
    gap: int,
    images: Sequence[tuple[Crop, Tensor]],
    layout: Layout,
    feather: int,
    detail: float,
    direction: Direction,
) -> None:
    """Write the crops of a gap, (b 3 h w), into a panorama with its photos, and fade the photos into them.

    Where photos fade, the crops reach into them, and meet them there in colour and sharpness, as gaps do at their ends.
    """
    photos, gaps = layout.split(panorama)
    left, right = (photos[number] for number in layout.neighbours[gap])
    if not images:
        join_gap(gaps[gap], left, right, layout.height, 0, direction)
        return
    columns, resolution = layout.gaps[gap], min(image.shape[-2] for _, image in images)
    wanted = round(feather * layout.height / resolution)
    shown = (
        columns.start - min(crop.columns.start for crop, _ in images),
        max(crop.columns.stop for crop, _ in images) - columns.stop,
    )
    reaches = [
        min(wanted, most, (layout.photo_widths[number] - 1) // (2 if layout.is_between_gaps(number) else 1))
        for number, most in zip(layout.neighbours[gap], shown, strict=True)
    ]
    zone = slice(columns.start - reaches[0], columns.stop + reaches[1])
    column = torch.arange(zone.start, zone.stop, device=panorama.device)
    before = panorama[..., column % layout.width]
    painted = _joined(before, zone, column, images)
    join_gap(
        painted,
        left[..., : left.shape[-1] - reaches[0]],
        right[..., reaches[1] :],
        resolution,
        detail,
        direction,
    )
    share = torch.ones(len(column), device=panorama.device)
    for beyond, reach in zip((columns.start - column, column + 1 - columns.stop), reaches, strict=True):
        if reach:
            share = share * fade((beyond - 0.5) / reach)
    panorama[..., column % layout.width] = before.lerp(painted, share)


def _joined(before: Tensor, zone: slice, column: Tensor, images: Sequence[tuple[Crop, Tensor]]) -> Tensor:
    """The crops of one gap, enlarged, faded into each other, in a part of the panorama, (b 3 h w); `column` are its."""
    joined = before.clone()
    for crop, image in images:
        start, stop = crop.columns.start, crop.columns.stop
        shown = slice(max(zone.start, start), min(zone.stop, stop))
        part = slice(shown.start - zone.start, shown.stop - zone.start)
        enlarged = resize(image, before.shape[-2], stop - start)[..., shown.start - start : shown.stop - start]
        weight = torch.ones_like(column[part], dtype=before.dtype)
        for inside, overlap in zip((column[part] - start, stop - 1 - column[part]), crop.overlaps, strict=True):
            if overlap:
                weight = weight * fade(1 - (inside + 0.5) / overlap)
        joined[..., part] += weight * (enlarged - before[..., part])
    return joined
