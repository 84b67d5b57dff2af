"""Geometry: photos of any size to the squares that the network sees, its columns back to pixels, and the panorama.

Tensors are (b c h w) in 0..1 throughout. All code makes panoramas that run to the right. For one that runs down, the
photos are transposed first and the panorama is transposed back; beside that, only the messages know the direction, and
the detail, which mirrors nothing then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise, zip_longest
from typing import Literal, get_args

import torch
from torch import Tensor

from .network.config import COLUMN_WIDTH, IMAGE_SIZE
from .resampling import reflect, resize

NARROWEST_GAP = 0.25
WIDEST_GAP = 8
"""Limits of a gap's width, as multiples of the panorama's height."""

LARGEST_VALUE = 1e15
"""Of a photo, whose values should lie in 0..1: among far larger ones products and sums are infinite."""

Direction = Literal["right", "down"]
"""Where the panorama runs: from a left photo to the right one, or from a top one down to the bottom one."""

GapWidths = int | Sequence[int | None] | None
"""In px: one for all gaps, or one for each. None: as wide as the panorama is high."""


def transposed(images: Tensor, direction: Direction) -> Tensor:
    """Images that run down, (… h w), as ones that run to the right, or back again, as a view; others as they are."""
    return images.mT if direction == "down" else images


def prepare_pair(left: Tensor, right: Tensor, direction: Direction = "right") -> tuple[Tensor, Tensor]:
    """Make two batches of photos fit each other: RGB, float32, of one height (the left one's) and of one length.

    A batch of one repeats; of two lengths the shorter repeats its last photo. Photos that fit already are returned as
    they are, not copied. With "down" they are transposed.

    Raises:
        ValueError: if a batch is empty, is not (b c h w) with 1, 3 or 4 channels, or has a pixel that is no number or
            immense; if the direction is unknown.
    """
    check_photos(left, "left", direction)
    check_photos(right, "right", direction)
    left, right = as_rgb(left, direction), as_rgb(right, direction)
    height = left.shape[-2]
    right = resize(right, height, scaled_width(right, height))
    length = max(len(left), len(right))
    return repeat_to(left, length), repeat_to(right.to(left.device), length)


def check_photos(photos: Tensor, name: str, direction: Direction = "right") -> None:
    """Raise the errors of `prepare_pair`; their texts call the photos by `name`."""
    if direction not in get_args(Direction):
        raise ValueError(f"direction is {direction!r}; it is one of {', '.join(map(repr, get_args(Direction)))}")
    if photos.ndim != 4 or photos.shape[1] not in (1, 3, 4):
        raise ValueError(f"{name} is {tuple(photos.shape)}; expected (b, c, h, w), with 1, 3 or 4 channels")
    if 0 in photos.shape:
        raise ValueError(f"{name} is empty: {tuple(photos.shape)}; give at least one photo of at least 1×1 px")
    if not photos.is_floating_point():
        raise ValueError(f"{name} is {photos.dtype}; expected floating point numbers in 0..1")
    # both are NaN if there is one, and take a tenth of the time of a norm and of `aminmax`, as photos lie in ComfyUI
    photos = photos.detach()
    largest = max(abs(float(photos.amin())), abs(float(photos.amax())))
    if not math.isfinite(largest):
        count = int(photos.numel() - photos.isfinite().sum())
        raise ValueError(f"{name} has {count} values that are NaN or infinite; repair the photo first")
    if largest > LARGEST_VALUE:
        raise ValueError(f"{name} has values of up to {largest:.0e}; scale them to 0..1")


def as_rgb(photos: Tensor, direction: Direction = "right") -> Tensor:
    """Photos in float32, (b 3 h w), with "down" transposed; not copied where they are that already.

    Grey is repeated to RGB; transparency is laid over black.
    """
    photos = photos.float()
    if photos.shape[1] == 1:
        photos = photos.expand(-1, 3, -1, -1)
    elif photos.shape[1] == 4:
        photos = photos[:, :3] * photos[:, 3:]
    return transposed(photos, direction)


def scaled_width(photos: Tensor, height: int) -> int:
    """How wide photos are once they are scaled to that height, in px."""
    return max(1, round(photos.shape[-1] * height / photos.shape[-2]))


def repeat_to(photos: Tensor, length: int) -> Tensor:
    """Lengthen a batch to that many by repeating its last photo; a longer one stays as it is."""
    missing = length - len(photos)
    return torch.cat([photos, photos[-1:].expand(missing, -1, -1, -1)]) if missing > 0 else photos


def checked_gap_width(gap_width: int | None, height: int, direction: Direction = "right", name: str = "the gap") -> int:
    """The gap's width in px; None is as wide as the panorama is high.

    Raises:
        ValueError: if it lies outside `NARROWEST_GAP` to `WIDEST_GAP` times the height; the text is about `name`.
    """
    if gap_width is None:
        return height
    narrowest, widest = math.ceil(height * NARROWEST_GAP), height * WIDEST_GAP
    if not narrowest <= gap_width <= widest:
        wide, high = ("wide", "high") if direction == "right" else ("high", "wide")
        raise ValueError(
            f"{name} is {gap_width} px {wide}; between photos {height} px {high} it can be {narrowest} to {widest} px"
        )
    return gap_width


def checked_gap_widths(
    gap_widths: GapWidths, num_gaps: int, height: int, direction: Direction = "right"
) -> tuple[int, ...]:
    """The gaps' widths in px, from one for all of them, or one for each.

    Raises:
        ValueError: as `checked_gap_width`, or if there are neither one nor as many as gaps.
    """
    if not isinstance(gap_widths, Sequence):
        return (checked_gap_width(gap_widths, height, direction),) * num_gaps
    if len(gap_widths) != num_gaps:
        raise ValueError(f"{len(gap_widths)} gap widths for {num_gaps} gaps; give one for all, or one for each")
    return tuple(
        checked_gap_width(width, height, direction, f"gap {number}") for number, width in enumerate(gap_widths, start=1)
    )


def gap_columns(gap_width: int, height: int) -> int:
    """How many columns the network generates for a gap of that many px: the nearest number, at least 1."""
    return max(1, round(gap_width * IMAGE_SIZE / (height * COLUMN_WIDTH)))


@dataclass(frozen=True)
class Layout:
    """Where photos and gaps lie along a panorama: a photo, a gap, a photo …, and in a loop one more gap.

    The gap that closes a loop stands whole at the end, not half of it at either. So the panorama begins with the first
    photo, and the place where it wraps around is the edge between a gap and a photo: nodes that redraw a panorama, such
    as upscalers, do not know that its ends belong together and would break a gap there, while an edge is met again when
    the photos are restored.
    """

    height: int
    """In px, of all parts."""

    photo_widths: tuple[int, ...]
    gap_widths: tuple[int, ...]
    """In px. One gap fewer than photos, or in a loop as many."""

    @property
    def loop(self) -> bool:
        """Whether the last gap leads into the first photo."""
        return len(self.gap_widths) == len(self.photo_widths)

    @property
    def width(self) -> int:
        """In px, of the whole."""
        return sum(self._part_widths)

    @property
    def neighbours(self) -> list[tuple[int, int]]:
        """For every gap the numbers of the photos left and right of it."""
        return [(gap, (gap + 1) % len(self.photo_widths)) for gap in range(len(self.gap_widths))]

    def is_between_gaps(self, photo: int) -> bool:
        """Whether that photo has a gap on both sides."""
        return self.loop or 0 < photo < len(self.photo_widths) - 1

    @property
    def gaps(self) -> list[slice]:
        """The columns of every gap."""
        return [slice(start, end) for start, end in zip(self._edges[1::2], self._edges[2::2], strict=False)]

    def split(self, panorama: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The photos and the gaps of a panorama, (… h w), as views."""
        parts = panorama.split(self._part_widths, dim=-1)
        return parts[::2], parts[1::2]

    def gap_mask(self, panorama: Tensor) -> Tensor:
        """1 where a panorama of this layout, (b c h w), has a gap, 0 where it has a photo, (b h w).

        All rows are one in memory: clone it before writing to it.
        """
        row = panorama.new_zeros(self.width)
        for gap in self.split(row)[1]:
            gap.fill_(1)
        return row.expand(len(panorama), self.height, -1)

    def scaled(self, height: int, width: int) -> Layout:
        """The same parts in a panorama of another size, each edge at the nearest px."""
        return self._with_edges(height, (round(edge * width / self.width) for edge in self._edges))

    def cropped(self, left: int, height: int, width: int) -> Layout:
        """What is left of the parts in a window that begins that many px from the left end; it may be 0 px of one."""
        return self._with_edges(height, (min(max(edge - left, 0), width) for edge in self._edges))

    def photo_columns(self, left: int, width: int) -> list[slice]:
        """In px of each photo, which of its columns such a window shows."""
        return [
            slice(min(max(left - start, 0), photo), min(max(left + width - start, 0), photo))
            for start, photo in zip(self._edges[:-1:2], self.photo_widths, strict=True)
        ]

    def _with_edges(self, height: int, edges: Iterable[int]) -> Layout:
        widths = tuple(end - start for start, end in pairwise(edges))
        return Layout(height, widths[::2], widths[1::2])

    @property
    def _edges(self) -> list[int]:
        """From 0 to the width of the whole."""
        return list(accumulate(self._part_widths, initial=0))

    @property
    def _part_widths(self) -> list[int]:
        pairs: Iterable[tuple[int, int]] = zip_longest(self.photo_widths, self.gap_widths, fillvalue=0)
        widths = [width for pair in pairs for width in pair]
        return widths if self.loop else widths[:-1]


@dataclass(frozen=True)
class Context:
    """The part of photos next to a gap, as the network sees it.

    A gap to the left of photos is treated as one to the right of the mirrored photos, so that there is one case.
    """

    image: Tensor
    """(b 3 256 256), the gap to its right. Where the photos are narrower than high, their reflection fills the left."""

    width: int
    """Width in px of the part of the photos that it shows."""

    columns: int
    """Width in px of the same part in `image`, at its right end."""

    mirrored: bool
    """Whether `image` is, as the gap lies to the left of the photos."""

    @property
    def upright_image(self) -> Tensor:
        """The image the way round that the photos are."""
        return self.image.flip(-1) if self.mirrored else self.image

    def __getitem__(self, chunk: slice) -> Context:
        """A part of the batch."""
        return replace(self, image=self.image[chunk])


def context(photos: Tensor, *, mirrored: bool = False) -> Context:
    """The square at the right end of photos, (b 3 h w), or that at their left end, mirrored."""
    height = photos.shape[-2]
    width = min(photos.shape[-1], height)
    columns = max(1, round(width * IMAGE_SIZE / height))
    seen = photos[..., :width] if mirrored else photos[..., -width:]
    visible = resize(seen, IMAGE_SIZE, columns).clamp(0, 1)
    if mirrored:
        visible = visible.flip(-1)
    if columns < IMAGE_SIZE:
        place = torch.arange(columns - IMAGE_SIZE, columns, device=photos.device)
        visible = visible[..., reflect(place, columns)]
    return Context(visible, width, columns, mirrored)
