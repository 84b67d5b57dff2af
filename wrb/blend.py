"""Two photos of any size to one panorama; and the filling of one gap, of which sequences are made too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .canvas import (
    Context,
    Direction,
    GapWidths,
    Layout,
    checked_gap_widths,
    context,
    gap_columns,
    prepare_pair,
    turned,
)
from .config import COLUMN_WIDTH, IMAGE_SIZE
from .detail import add_detail
from .generator import Encoding, Generator
from .seam import fade, meet_edges, without_fringe

PhotoMode = Literal["keep", "feather", "redraw"]
OnProgress = Callable[[int, int], None]

REDRAW_MARGIN = 0.25
"""Share of the square next to the gap over which a redrawn photo passes into the untouched rest of it."""


class Photos(Protocol):
    """Photos that can be joined over gaps of any width, with all that the user has said about them."""

    def join(self, gap_widths: GapWidths, batch_size: int, on_progress: OnProgress) -> Blend: ...


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A finished panorama, and what it takes to make it again with other gaps, or to restore its photos."""

    panorama: Tensor
    """RGB in 0..1, float32, (b 3 h w), on the device of the left or first photo."""

    gap_mask: Tensor
    """1 where the panorama was generated, 0 where a photo is, (b h w)."""

    layout: Layout
    """Where the photos and gaps lie; with "down" in the turned panorama."""

    direction: Direction

    originals: tuple[Tensor, ...]
    """The photos in their order, as they were handed in: not copied, not scaled."""

    photos: Photos
    """The same, as the panorama was made from them."""

    def with_gap_width(
        self, gap_width: GapWidths = None, *, batch_size: int = 4, on_progress: OnProgress | None = None
    ) -> Blend:
        """The same photos with gaps of another width. Those of `blend` are not encoded again.

        Arguments and errors are those of `blend` or `blend_sequence`.
        """
        return self.photos.join(gap_width, batch_size, on_progress or ignore_progress)


def ignore_progress(done: int, total: int) -> None:
    """The `on_progress` of those who gave none."""


def blend(
    generator: Generator,
    left: Tensor,
    right: Tensor,
    gap_width: int | None = None,
    *,
    photos: PhotoMode = "keep",
    feather: int = 0,
    detail: float = 1,
    direction: Direction = "right",
    batch_size: int = 4,
    on_progress: OnProgress | None = None,
) -> Blend:
    """Join photos over a generated gap.

    The network sees the square next to the gap on each side; what lies farther out stays as it is, and so does every
    input tensor.

    Args:
        generator: on any device, in any floating point type.
        left: photos of any size in 0..1, (b c h w): RGB, grey (c = 1) or RGBA, which is laid over black.
        right: photos of any size, scaled to the left ones' height. A batch of one repeats; of two lengths the shorter
            repeats its last photo.
        gap_width: in px of the panorama, from a quarter of its height to 8 times it; None: as wide as it is high.
        photos: "keep" leaves every pixel of the photos as it is; with "feather" they pass into the network's redrawing
            of them towards the gap; with "redraw" they are redrawn throughout the square that the network sees.
        feather: over how many px "feather" passes, at most the square's width.
        detail: how much of the photos' own detail the gap receives, from 0, as the network drew it, to 1, all.
        direction: "down" lays the left photo on top and the right one, scaled to its width, below; then `gap_width` is
            the gap's height, and what is said here of heights holds for widths.
        batch_size: pairs in one pass of the network.
        on_progress: called after every pass with the number done and the number in all; what it raises ends the blend.

    Raises:
        ValueError: if a photo, the gap's width or an option is not as said.
        FloatingPointError: if the network's type cannot hold its numbers, as can happen in float16.
    """
    painter = Painter(generator, photos, feather, detail, mirrored=direction == "right")
    originals = left, right
    left, right = prepare_pair(left, right, direction)
    checked_gap_widths(gap_width, 1, left.shape[-2], direction)
    on_progress = on_progress or ignore_progress
    contexts = context(left), context(right, mirrored=True)
    chunks = _chunks(len(left), batch_size)
    encodings: list[list[Encoding]] = []
    for number, chunk in enumerate(chunks, start=1):
        encodings.append(painter.encode([seen[chunk] for seen in contexts]))
        on_progress(number, 2 * len(chunks))
    left_end, right_end = (
        End(seen, Encoding.cat(side)) for seen, side in zip(contexts, zip(*encodings, strict=True), strict=True)
    )
    pair = Pair(painter, originals, direction, left, right, left_end, right_end)
    return pair.join(gap_width, batch_size, lambda done, total: on_progress(total + done, 2 * total))


def _chunks(length: int, batch_size: int) -> list[slice]:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least one pair is blended at a time")
    return [slice(start, start + batch_size) for start in range(0, length, batch_size)]


@dataclass(frozen=True)
class Pair:
    """Two batches of photos that the network has seen, ready to be joined over gaps of any width."""

    painter: Painter
    originals: tuple[Tensor, Tensor]
    direction: Direction
    left: Tensor
    right: Tensor
    left_end: End
    right_end: End

    @torch.no_grad()
    def join(self, gap_widths: GapWidths, batch_size: int, on_progress: OnProgress) -> Blend:
        """Generate the gap and put the panoramas together; see `blend`."""
        length, _, height, left_width = self.left.shape
        gap_widths = checked_gap_widths(gap_widths, 1, height, self.direction)
        layout = Layout(height, (left_width, self.right.shape[-1]), gap_widths)
        panorama = self.left.new_empty(length, 3, height, layout.width)
        (left, right), (gap,) = layout.split(panorama)
        left.copy_(self.left)
        right.copy_(self.right)
        chunks = _chunks(length, batch_size)
        for number, chunk in enumerate(chunks, start=1):
            ends = self.left_end[chunk], self.right_end[chunk]
            self.painter.fill_gap(left[chunk], gap[chunk], right[chunk], *ends)
            on_progress(number, len(chunks))
        return finish(panorama, layout, self.direction, self.originals, self)


def finish(
    panorama: Tensor, layout: Layout, direction: Direction, originals: tuple[Tensor, ...], photos: Photos
) -> Blend:
    """The result of a blend, turned as it was asked for, with its mask."""
    return Blend(
        panorama=turned(panorama, direction),
        gap_mask=turned(layout.gap_mask(panorama), direction),
        layout=layout,
        direction=direction,
        originals=originals,
        photos=photos,
    )


@dataclass(frozen=True)
class End:
    """The end of photos that a gap lies at, as the network has seen it."""

    context: Context
    encoding: Encoding

    between_gaps: bool = False
    """Whether the photos have a gap at their other end too."""

    def __getitem__(self, chunk: slice) -> End:
        """A part of the batch."""
        return End(self.context[chunk], self.encoding[chunk], self.between_gaps)


@dataclass(frozen=True)
class Painter:
    """Fills the gaps of a panorama whose photos are in place.

    Raises:
        ValueError: if an option is not as `blend` says.
    """

    generator: Generator
    mode: PhotoMode
    feather: int
    detail: float
    mirrored: bool
    """Whether detail may be: in a panorama that runs down it would stand on its head."""

    def __post_init__(self) -> None:
        if self.mode not in get_args(PhotoMode):
            raise ValueError(f"photos is {self.mode!r}; it is one of {', '.join(map(repr, get_args(PhotoMode)))}")
        if self.feather < 0:
            raise ValueError(f"feather is {self.feather} px; it cannot be negative")
        if not 0 <= self.detail <= 1:
            raise ValueError(f"detail is {self.detail}; it goes from 0, none, to 1, all of the photos' detail")

    @torch.inference_mode()
    def encode(self, contexts: Sequence[Context]) -> list[Encoding]:
        """What the network makes of each, in one pass; kept beside the photos."""
        weight = next(self.generator.parameters())
        images = [seen.upright_image for seen in contexts]
        encoding = self.generator.encode(torch.cat(images).to(weight)).to(images[0].device)
        length = len(images[0])
        return [encoding[start : start + length] for start in range(0, length * len(images), length)]

    @torch.inference_mode()
    def fill_gap(self, left: Tensor, gap: Tensor, right: Tensor, left_end: End, right_end: End) -> None:
        """Write the gap between photos into their panorama, and redraw the photos where the mode says so.

        Args:
            left: the whole left photos as they are in the panorama, (b 3 h w); `right` alike.
            gap: what to fill.
            left_end: what the network has seen of the left photos before any was redrawn; `right_end` alike.
        """
        height, gap_width = gap.shape[-2:]
        redrawn_left, generated, redrawn_right = self._generate(left_end, right_end, gap_columns(gap_width, height))
        if self.mode != "keep":
            self._redraw(left, redrawn_left, left_end)
            self._redraw(right, redrawn_right, right_end)
        seen = (left_end.context.upright_image, right_end.context.upright_image) if self.mode == "keep" else None
        add_detail(generated, left, right, gap_width, self.detail, mirrored=self.mirrored, seen=seen, out=gap)
        meet_edges(gap, left[..., -1:], right[..., :1], out=gap).clamp_(0, 1)

    def _generate(self, left_end: End, right_end: End, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """The redrawn left photos, the gap and the redrawn right photos, float32, (b 3 256 w), beside the photos."""
        weight = next(self.generator.parameters())
        encodings = left_end.encoding.to(weight.device), right_end.encoding.to(weight.device)
        panorama = self.generator.generate(*encodings, columns).panorama.to(left_end.context.image)
        if not panorama.isfinite().all():
            raise FloatingPointError(f"the network overflows in {weight.dtype}; load it in fp32 or bf16")
        left, gap, right = panorama.split([IMAGE_SIZE, columns * COLUMN_WIDTH, IMAGE_SIZE], dim=-1)
        return without_fringe(left), without_fringe(gap), without_fringe(right)

    def _redraw(self, photos: Tensor, redrawn: Tensor, end: End) -> None:
        """Change photos, (b 3 h w), at one end to what the network made of it, (b 3 256 256), as the mode says.

        The difference that it makes to what the network saw is scaled up, not the redrawing: a large photo keeps its
        detail.
        """
        seen = end.context
        redrawn = redrawn.flip(-1) if seen.mirrored else redrawn
        difference = (redrawn - seen.image)[..., -seen.columns :]
        difference = F.interpolate(difference, (photos.shape[-2], seen.width), mode="bicubic", antialias=True)
        distance = torch.arange(seen.width, 0, -1, device=difference.device) - 0.5
        change = difference * self._share(distance, end, photos.shape[-1])
        if seen.mirrored:
            photos[..., : seen.width].add_(change.flip(-1)).clamp_(0, 1)
        else:
            photos[..., -seen.width :].add_(change).clamp_(0, 1)

    def _share(self, distance: Tensor, end: End, photo_width: int) -> Tensor:
        """How much of a photo is redrawn that far from the gap, in px of the panorama: from 1 to 0."""
        seen_width = end.context.width
        if self.mode == "feather":
            full, reach = 0.0, min(self.feather, seen_width)
        else:
            full, reach = (1 - REDRAW_MARGIN) * seen_width, seen_width
            if end.between_gaps:  # where both ends reach, one fades as the other comes: together they are at most 1
                full = min(full, photo_width - reach)
            elif photo_width == seen_width:
                full = reach
        return fade((distance - full) / (reach - full))
