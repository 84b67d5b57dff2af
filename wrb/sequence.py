"""Many photos to one panorama, which may lead round into itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import torch
from torch import Tensor

from .blend import Blend, OnProgress, finish, ignore_progress, renamed_photo_mode
from .detail import DetailSettings
from .geometry import (
    Direction,
    GapWidths,
    Layout,
    as_rgb,
    check_photos,
    checked_gap_widths,
    context,
    scaled_width,
    transposed,
)
from .network.generator import Generator
from .painter import End, Painter, PhotoMode
from .resampling import resize

Side = Literal["left", "right"]


def blend_sequence(
    generator: Generator,
    photos: Tensor | Sequence[Tensor],
    gap_widths: GapWidths = None,
    *,
    loop: bool = False,
    photo_mode: PhotoMode = "keep",
    feather: int = 0,
    detail: float = 1,
    detail_settings: DetailSettings | None = None,
    direction: Direction = "right",
    on_progress: OnProgress | None = None,
    photos_mode: PhotoMode | None = None,
) -> Blend:
    """Join photos in their order to one panorama, over a generated gap after each.

    Beside the panorama it holds no more than one gap's work at a time, however many photos there are. Each square that
    the network sees is encoded once.

    Args:
        generator: on any device, in any floating point type.
        photos: of any sizes, as `blend` takes them: each (1 c h w), or batches (b c h w) of photos that follow each
            other. They are scaled to the first one's height. At least two; in a loop, one may lead into itself.
        gap_widths: in px of the panorama, one for all gaps or one for each, as `blend` takes it.
        loop: lead from the last photo back into the first over one more gap, which stands at the panorama's end.
            Wherever such a panorama is rolled to, no seam shows.
        photo_mode: what becomes of the photos, as in `blend`.
        feather: as in `blend`. Between two gaps, a photo narrow enough that both sides reach it passes from one
            redrawing into the other.
        detail: as in `blend`; `detail_settings` and `direction` alike.
        on_progress: called after every pass of the network with the number done and the number in all.
        photos_mode: the former name of `photo_mode`.

    Raises:
        ValueError: if a photo, a gap's width or an option is not as said.
        FloatingPointError: if the network's type cannot hold its numbers, as can happen in float16.
    """
    if photos_mode is not None:
        photo_mode = renamed_photo_mode("photos_mode", photos_mode)
    originals = _one_by_one(photos)
    if len(originals) < (1 if loop else 2):
        raise ValueError(
            f"{len(originals)} photos for a sequence; give at least 2, or 1 that leads into itself in a loop"
        )
    for number, photo in enumerate(originals, start=1):
        check_photos(photo, f"photo {number}", direction)
    painter = Painter(
        generator=generator,
        photo_mode=photo_mode,
        feather=feather,
        detail=detail,
        allow_mirrored=direction == "right",
        detail_settings=detail_settings,
    )
    sequence = PhotoSequence(painter, originals, loop, direction)
    return sequence.join(gap_widths, 1, on_progress or ignore_progress)


def _one_by_one(photos: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    batches = [photos] if isinstance(photos, Tensor) else photos
    return tuple(photo for batch in batches for photo in (batch.split(1) if batch.ndim == 4 else [batch]))


@dataclass(frozen=True)
class PhotoSequence:
    """Photos to be joined to one panorama."""

    painter: Painter
    originals: tuple[Tensor, ...]
    loop: bool
    direction: Direction

    @torch.no_grad()
    def join(self, gap_widths: GapWidths, batch_size: int, on_progress: OnProgress) -> Blend:
        """Make the panorama from left to right; see `blend_sequence`. Gaps go one by one: `batch_size` is not used."""
        height = transposed(self.originals[0], self.direction).shape[-2]
        photo_widths = tuple(scaled_width(transposed(photo, self.direction), height) for photo in self.originals)
        num_gaps = len(photo_widths) if self.loop else len(photo_widths) - 1
        layout = Layout(height, photo_widths, checked_gap_widths(gap_widths, num_gaps, height, self.direction))
        panorama = torch.empty(1, 3, height, layout.width, device=self.originals[0].device)
        photos, gaps = layout.split(panorama)
        num_passes, total = 0, len(photos) + len(gaps)
        ends: dict[tuple[int, Side], End] = {}

        def place(number: int) -> None:
            nonlocal num_passes
            photo = photos[number]
            photo.copy_(resize(as_rgb(self.originals[number], self.direction), *photo.shape[-2:]))
            sides: list[Side] = []
            if number > 0 or self.loop:
                sides.append("left")
            if number < len(gaps):
                sides.append("right")
            ends.update({(number, side): end for side, end in self._see(photo, sides).items()})
            on_progress(num_passes := num_passes + 1, total)

        place(0)
        for (left, right), gap in zip(layout.neighbours, gaps, strict=True):
            if right > 0:  # the gap that closes a loop leads back to a photo that is in its place
                place(right)
            self.painter.fill_gap(
                photos[left], gap, photos[right], ends.pop((left, "right")), ends.pop((right, "left"))
            )
            on_progress(num_passes := num_passes + 1, total)
        return finish(panorama, layout, self.direction, self.originals, self)

    def _see(self, photo: Tensor, sides: Sequence[Side]) -> dict[Side, End]:
        """Show the network those ends of a photo, (1 3 h w); a square photo is the same at either end."""
        contexts = [context(photo, mirrored=side == "left") for side in sides]
        distinct = contexts[:1] if photo.shape[-1] == photo.shape[-2] else contexts
        encodings = self.painter.encode(distinct)
        return {
            side: End(seen, encoding, between_gaps=len(sides) == 2)
            for side, seen, encoding in zip(sides, contexts, cycle(encodings))
        }
