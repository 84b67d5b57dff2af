"""Two photos of any size to one panorama."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from .detail import DetailSettings
from .geometry import Direction, GapWidths, Layout, checked_gap_widths, context, gap_columns, prepare_pair, transposed
from .network.generator import Encoding, Generator
from .painter import End, Junction, Painter, PhotoMode

OnProgress = Callable[[int, int], None]


class Joinable(Protocol):
    """Photos that can be joined over gaps of any width, with all that the user has said about them."""

    @property
    def junctions(self) -> Sequence[Junction]: ...

    def join(self, gap_widths: GapWidths, batch_size: int, on_progress: OnProgress) -> Blend: ...


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A finished panorama, and what it takes to make it again with other gaps, or to restore its photos."""

    panorama: Tensor
    """RGB in 0..1, float32, (b 3 h w), on the device of the left or first photo."""

    gap_mask: Tensor
    """1 where the panorama was generated, 0 where a photo is, (b h w). It shares memory within itself: clone it before
    writing to it."""

    layout: Layout
    """Where the photos and gaps lie; with "down" in the transposed panorama."""

    direction: Direction

    originals: Sequence[Tensor]
    """The photos in their order, as they were handed in: not copied, not scaled."""

    joinable: Joinable
    """The same, as the panorama was made from them."""

    @property
    def num_kept_bytes(self) -> int:
        """What is held for other gap widths, beside the photos."""
        tensors = (tensor for junction in self.joinable.junctions for tensor in junction.tensors)
        return sum({id(tensor): tensor.nbytes for tensor in tensors}.values())

    def with_gap_width(
        self, gap_width: GapWidths = None, *, batch_size: int = 4, on_progress: OnProgress | None = None
    ) -> Blend:
        """The same photos with gaps of another width. Those of `blend` are not encoded again.

        Arguments and errors are those of `blend` or `blend_sequence`.
        """
        return self.joinable.join(gap_width, batch_size, on_progress or ignore_progress)


def ignore_progress(done: int, total: int) -> None:
    """The `on_progress` of those who gave none."""


def blend(
    generator: Generator,
    left: Tensor,
    right: Tensor,
    gap_width: int | None = None,
    *,
    photo_mode: PhotoMode = "keep",
    feather: int = 0,
    detail: float = 1,
    layers: float = 1,
    detail_settings: DetailSettings | None = None,
    direction: Direction = "right",
    batch_size: int = 4,
    on_progress: OnProgress | None = None,
    photos: PhotoMode | None = None,
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
        photo_mode: "keep" leaves every pixel of the photos as it is; with "feather" they pass into the network's
            redrawing of them towards the gap; with "redraw" they are redrawn throughout the square that it sees.
        feather: over how many px "feather" passes, at most the square's width.
        detail: how much of the photos' own detail the gap receives, from 0, as the network drew it, to 1, all.
        layers: how far sky, land and water of one photo are led to those of the other, by moving rows of the gap: from
            0, not at all, to 1, until they meet. Where that cannot be told for sure, nothing moves, nor without detail.
            With "down", whatever it is above 0, the gap shows both photos' reflections instead of pieces of them, and
            one passes into the other where no land hangs from the sky; of the network's drawing nothing is left then.
        detail_settings: how the detail is made; None: the defaults, which are documented one by one.
        direction: "down" lays the left photo on top and the right one, scaled to its width, below; then `gap_width` is
            the gap's height, and what is said here of heights holds for widths.
        batch_size: pairs in one pass of the network.
        on_progress: called after every pass with the number done and the number in all; what it raises ends the blend.
        photos: the former name of `photo_mode`.

    Raises:
        ValueError: if a photo, the gap's width or an option is not as said.
        FloatingPointError: if the network's type cannot hold its numbers, as can happen in float16.
    """
    if photos is not None:
        photo_mode = renamed_photo_mode("photos", photos)
    painter = Painter(
        generator=generator,
        photo_mode=photo_mode,
        feather=feather,
        detail=detail,
        layers=layers,
        direction=direction,
        detail_settings=detail_settings,
    )
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
    junctions = [Junction(left_end[n : n + 1], right_end[n : n + 1]) for n in range(len(left))]
    pair = Pair(painter, originals, direction, left, right, junctions)
    return pair.join(gap_width, batch_size, lambda done, total: on_progress(total + done, 2 * total))


def renamed_photo_mode(former_name: str, value: PhotoMode) -> PhotoMode:
    """The value of a keyword by its former name, which warns and goes on working until version 1."""
    message = f"{former_name} is now called photo_mode; say photo_mode={value!r}"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
    return value


def check_batch_size(batch_size: int) -> None:
    """Refuse one that nothing could be done with."""
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least one gap is drawn at a time")


def _chunks(length: int, batch_size: int) -> list[slice]:
    check_batch_size(batch_size)
    return [slice(start, start + batch_size) for start in range(0, length, batch_size)]


@dataclass(frozen=True)
class Pair:
    """Two batches of photos that the network has seen, ready to be joined over gaps of any width."""

    painter: Painter
    originals: tuple[Tensor, Tensor]
    direction: Direction
    left: Tensor
    right: Tensor
    junctions: Sequence[Junction]
    """Of each pair."""

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
        columns = gap_columns(gap.shape[-1], height)
        for number, chunk in enumerate(chunks, start=1):
            junctions = self.junctions[chunk]
            drawings = self.painter.draw(junctions, columns)
            parts = (part[chunk].split(1) for part in (left, gap, right))
            for one in zip(*parts, junctions, drawings, strict=True):
                self.painter.fill_gap(*one)
            on_progress(number, len(chunks))
        return finish(panorama, layout, self.direction, self.originals, self)


def finish(
    panorama: Tensor, layout: Layout, direction: Direction, originals: Sequence[Tensor], joinable: Joinable
) -> Blend:
    """The result of a blend with its mask, in the direction that was asked for."""
    return Blend(
        panorama=transposed(panorama, direction),
        gap_mask=transposed(layout.gap_mask(panorama), direction),
        layout=layout,
        direction=direction,
        originals=originals,
        joinable=joinable,
    )
