"""Many photos to one panorama, which may lead round into itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle, islice
from typing import Literal, get_args, overload

import torch
from torch import Tensor

from .blend import Blend, OnProgress, check_batch_size, finish, ignore_progress, renamed_photo_mode
from .detail import DetailSettings
from .geometry import (
    Direction,
    GapWidths,
    Layout,
    as_rgb,
    check_photos,
    checked_gap_widths,
    context,
    gap_columns,
    scaled_width,
    transposed,
)
from .network.generator import Generator
from .painter import Drawing, End, Junction, Painter, PhotoMode
from .resampling import resize

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)

NewPanorama = Callable[[int, int, int, int], Tensor]
"""Makes a tensor of float32 from its shape, (1 3 h w); what is in it does not matter."""


def blend_sequence(
    generator: Generator,
    photos: Tensor | Sequence[Tensor],
    gap_widths: GapWidths = None,
    *,
    loop: bool = False,
    photo_mode: PhotoMode = "keep",
    feather: int = 0,
    detail: float = 1,
    layers: float = 1,
    detail_settings: DetailSettings | None = None,
    direction: Direction = "right",
    batch_size: int = 4,
    on_progress: OnProgress | None = None,
    new_panorama: NewPanorama | None = None,
    photos_mode: PhotoMode | None = None,
) -> Blend:
    """Join photos in their order to one panorama, over a generated gap after each.

    Beside the panorama it holds one photo at a time, and what the network has seen of all: that is little, as it sees
    them 256 px high. Each square that it sees is encoded once, those of one photo in one pass, also for other gaps.

    Args:
        generator: on any device, in any floating point type.
        photos: of any sizes, as `blend` takes them: each (1 c h w), or batches (b c h w) of photos that follow each
            other. They are scaled to the first one's height. At least two; in a loop, one may lead into itself. A
            sequence that reads each photo whenever it is asked for does so twice, and one is held at a time.
        gap_widths: in px of the panorama, one for all gaps or one for each, as `blend` takes it.
        loop: lead from the last photo back into the first over one more gap, which stands at the panorama's end.
            Wherever such a panorama is rolled to, no seam shows.
        photo_mode: what becomes of the photos, as in `blend`.
        feather: as in `blend`. Between two gaps, a photo narrow enough that both sides reach it passes from one
            redrawing into the other.
        detail: as in `blend`; `layers`, `detail_settings` and `direction` alike.
        batch_size: gaps in one pass of the network, of those that are equally wide to it.
        on_progress: called after every photo and every gap with the number done and the number in all.
        new_panorama: makes the tensor for the panorama, which with "down" is filled transposed; None: in memory, beside
            the first photo.
        photos_mode: the former name of `photo_mode`.

    Raises:
        ValueError: if a photo, a gap's width or an option is not as said.
        FloatingPointError: if the network's type cannot hold its numbers, as can happen in float16.
    """
    if photos_mode is not None:
        photo_mode = renamed_photo_mode("photos_mode", photos_mode)
    batches = (photos,) if isinstance(photos, Tensor) else tuple(photos) if isinstance(photos, list) else photos
    places, outlines = [], []
    for batch_number, batch in enumerate(batches):
        for row, photo in enumerate(batch.split(1) if batch.ndim == 4 else [batch]):
            places.append((batch_number, row))
            check_photos(photo, f"photo {len(places)}", direction)
            outlines.append(photo.to("meta"))
    if len(places) < (1 if loop else 2):
        raise ValueError(f"{len(places)} photos for a sequence; give at least 2, or 1 that leads into itself in a loop")
    painter = Painter(
        generator=generator,
        photo_mode=photo_mode,
        feather=feather,
        detail=detail,
        layers=layers,
        direction=direction,
        detail_settings=detail_settings,
    )
    sequence = PhotoSequence(painter, _OneByOne(batches, places), outlines, loop, direction, new_panorama)
    return sequence.join(gap_widths, batch_size, on_progress or ignore_progress)


def sequence_layout(
    photos: Sequence[Tensor], gap_widths: GapWidths = None, *, loop: bool = False, direction: Direction = "right"
) -> Layout:
    """Where photos and gaps lie in what `blend_sequence` makes of these arguments, without making it.

    Args:
        photos: (1 c h w) each. Their sizes are all that counts: they may be on the device "meta", without pixels.

    Raises:
        ValueError: if a gap's width is not as said.
    """
    photos = [transposed(photo, direction) for photo in photos]
    height = photos[0].shape[-2]
    gap_widths = checked_gap_widths(gap_widths, len(photos) if loop else len(photos) - 1, height, direction)
    return Layout(height, tuple(scaled_width(photo, height) for photo in photos), gap_widths)


@dataclass(frozen=True)
class _OneByOne(Sequence[Tensor]):
    """The photos of batches, (1 c h w) each, taken from their batch whenever they are asked for."""

    batches: Sequence[Tensor]
    places: Sequence[tuple[int, int]]
    """Of each photo the number of its batch and its row there."""

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, number: int) -> Tensor: ...
    @overload
    def __getitem__(self, number: slice) -> _OneByOne: ...
    def __getitem__(self, number: int | slice) -> Tensor | _OneByOne:
        if isinstance(number, slice):
            return _OneByOne(self.batches, self.places[number])
        batch, row = self.places[number]
        return self.batches[batch][row : row + 1]


@dataclass(frozen=True)
class PhotoSequence:
    """Photos to be joined to one panorama."""

    painter: Painter
    originals: Sequence[Tensor]

    outlines: Sequence[Tensor]
    """Tensors of the photos' shapes, without pixels."""

    loop: bool
    direction: Direction
    new_panorama: NewPanorama | None = None

    junctions: list[Junction] = field(default_factory=list)
    """One for each gap, from the first time on that the photos are joined."""

    @torch.no_grad()
    def join(self, gap_widths: GapWidths, batch_size: int, on_progress: OnProgress) -> Blend:
        """Make the panorama; see `blend_sequence`."""
        check_batch_size(batch_size)
        layout = sequence_layout(self.outlines, gap_widths, loop=self.loop, direction=self.direction)
        shape = 1, 3, layout.height, layout.width
        if self.new_panorama:
            panorama = self.new_panorama(*shape)
        else:
            panorama = torch.empty(shape, device=self.originals[0].device)
        photos, gaps = layout.split(panorama)
        total = len(photos) + len(gaps)
        ends = []
        for number, (photo, original) in enumerate(zip(photos, self.originals, strict=True)):
            photo.copy_(resize(as_rgb(original, self.direction), *photo.shape[-2:]))
            if not self.junctions:
                ends.append(self._see(photo, [side for side in SIDES if self._has_gap(number, side)]))
            on_progress(number + 1, total)
        if not self.junctions:
            self.junctions.extend(
                Junction(ends[left]["right"], ends[right]["left"]) for left, right in layout.neighbours
            )
        drawings = self._draw([gap_columns(gap.shape[-1], layout.height) for gap in gaps], batch_size)
        for number, (left, right) in enumerate(layout.neighbours):
            self.painter.fill_gap(photos[left], gaps[number], photos[right], self.junctions[number], next(drawings))
            on_progress(len(photos) + number + 1, total)
        return finish(panorama, layout, self.direction, self.originals, self)

    def _draw(self, columns: Sequence[int], batch_size: int) -> Iterator[Drawing]:
        """The gaps of so many columns in their order, each together with the next ones like it."""
        kinds = list(zip(columns, (junction.num_written for junction in self.junctions), strict=True))
        drawings: dict[int, Drawing] = {}
        for number, kind in enumerate(kinds):
            if number not in drawings:
                later = (other for other in range(number, len(kinds)) if kinds[other] == kind and other not in drawings)
                batch = list(islice(later, batch_size))
                junctions = [self.junctions[other] for other in batch]
                drawings.update(zip(batch, self.painter.draw(junctions, columns[number]), strict=True))
            yield drawings.pop(number)

    def _has_gap(self, number: int, side: Side) -> bool:
        return self.loop or (number > 0 if side == "left" else number < len(self.outlines) - 1)

    def _see(self, photo: Tensor, sides: Sequence[Side]) -> dict[Side, End]:
        """Show the network those ends of a photo, (1 3 h w); a square photo is the same at either end."""
        contexts = [context(photo, mirrored=side == "left") for side in sides]
        distinct = contexts[:1] if photo.shape[-1] == photo.shape[-2] else contexts
        encodings = self.painter.encode(distinct)
        return {
            side: End(seen, encoding, between_gaps=len(sides) == 2)
            for side, seen, encoding in zip(sides, contexts, cycle(encodings))
        }
