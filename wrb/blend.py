"""Two photos of any size to one panorama."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .canvas import Context, checked_gap_width, context, gap_columns, prepare_pair, resize
from .config import COLUMN_WIDTH, IMAGE_SIZE
from .generator import Encoding, Generator
from .seam import meet_edges, without_fringe

PhotoMode = Literal["keep", "feather", "redraw"]
OnProgress = Callable[[int, int], None]

REDRAW_MARGIN = 0.25
"""Share of the square next to the gap over which a redrawn photo passes into the untouched rest of it."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A finished panorama, and what it takes to make it again with another gap."""

    panorama: Tensor
    """RGB in 0..1, float32, (b 3 h w), on the left photos' device."""

    gap_mask: Tensor
    """1 where the panorama was generated, 0 where a photo is, (b h w)."""

    photos: EncodedPhotos
    """The photos as the panorama was made from them."""

    def with_gap_width(
        self, gap_width: int | None = None, *, batch_size: int = 4, on_progress: OnProgress | None = None
    ) -> Blend:
        """The same photos with a gap of another width. They are not encoded again.

        Arguments and errors are those of `blend`.
        """
        return self.photos.fill_gap(gap_width, batch_size, on_progress or _ignore_progress)


def blend(
    generator: Generator,
    left: Tensor,
    right: Tensor,
    gap_width: int | None = None,
    *,
    photos: PhotoMode = "keep",
    feather: int = 0,
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
        batch_size: pairs in one pass of the network.
        on_progress: called after every pass with the number done and the number in all; what it raises ends the blend.

    Raises:
        ValueError: if a photo, the gap's width or an option is not as said.
        FloatingPointError: if the network's type cannot hold its numbers, as can happen in float16.
    """
    if photos not in get_args(PhotoMode):
        raise ValueError(f"photos is {photos!r}; it is one of {', '.join(map(repr, get_args(PhotoMode)))}")
    if feather < 0:
        raise ValueError(f"feather is {feather} px; it cannot be negative")
    left, right = prepare_pair(left, right)
    gap_width = checked_gap_width(gap_width, left.shape[-2])
    on_progress = on_progress or _ignore_progress
    encoded = _encode(
        generator, left, right, photos, feather, batch_size, lambda done, total: on_progress(done, 2 * total)
    )
    return encoded.fill_gap(gap_width, batch_size, lambda done, total: on_progress(total + done, 2 * total))


def _ignore_progress(done: int, total: int) -> None:
    pass


@torch.no_grad()
def _encode(
    generator: Generator,
    left: Tensor,
    right: Tensor,
    mode: PhotoMode,
    feather: int,
    batch_size: int,
    on_progress: OnProgress,
) -> EncodedPhotos:
    """Show the network the squares next to the gap, `batch_size` pairs at a time."""
    contexts = context(left), context(right[..., : right.shape[-2]].flip(-1))
    images = contexts[0].image, contexts[1].image.flip(-1)
    weight = next(generator.parameters())
    encodings: list[tuple[Encoding, Encoding]] = []
    chunks = _chunks(len(left), batch_size)
    for chunk in chunks:
        one, other = generator.encode_pair(*(image[chunk].to(weight) for image in images))
        encodings.append((one.to(left.device), other.to(left.device)))
        on_progress(len(encodings), len(chunks))
    left_encoding, right_encoding = (Encoding.cat(side) for side in zip(*encodings, strict=True))
    return EncodedPhotos(generator, left, right, mode, feather, *contexts, left_encoding, right_encoding)


def _chunks(length: int, batch_size: int) -> list[slice]:
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least one pair is blended at a time")
    return [slice(start, start + batch_size) for start in range(0, length, batch_size)]


@dataclass(frozen=True)
class EncodedPhotos:
    """Photos that the network has seen, ready to be joined over gaps of any width."""

    generator: Generator
    left: Tensor
    right: Tensor
    mode: PhotoMode
    feather: int
    left_context: Context
    mirrored_right_context: Context
    left_encoding: Encoding
    right_encoding: Encoding

    @torch.no_grad()
    def fill_gap(self, gap_width: int | None, batch_size: int, on_progress: OnProgress) -> Blend:
        """Generate the gap and put the panoramas together; see `blend`."""
        length, _, height, left_width = self.left.shape
        gap_width = checked_gap_width(gap_width, height)
        widths = [left_width, gap_width, self.right.shape[-1]]
        panorama = self.left.new_empty(length, 3, height, sum(widths))
        chunks = _chunks(length, batch_size)
        for number, chunk in enumerate(chunks, start=1):
            left, gap, right = panorama[chunk].split(widths, dim=-1)
            redrawn_left, generated, redrawn_right = self._generate(chunk, gap_columns(gap_width, height))
            left.copy_(self.left[chunk])
            right.copy_(self.right[chunk])
            if self.mode != "keep":
                seen_left, seen_right = self.left_context, self.mirrored_right_context
                left_change = self._change(redrawn_left - seen_left.image[chunk], seen_left, left.shape[-2:])
                left[..., -seen_left.width :].add_(left_change).clamp_(0, 1)
                right_change = self._change(
                    redrawn_right.flip(-1) - seen_right.image[chunk], seen_right, right.shape[-2:]
                )
                right[..., : seen_right.width].add_(right_change.flip(-1)).clamp_(0, 1)
            generated = resize(generated, height, gap_width)
            gap.copy_(meet_edges(generated, left[..., -1:], right[..., :1]).clamp_(0, 1))
            on_progress(number, len(chunks))
        gap_mask = panorama.new_zeros(length, height, sum(widths))
        gap_mask[..., left_width : left_width + gap_width] = 1
        return Blend(panorama=panorama, gap_mask=gap_mask, photos=self)

    def _generate(self, chunk: slice, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """The redrawn left photos, the gap and the redrawn right photos, float32, (b 3 256 w), beside the photos."""
        weight = next(self.generator.parameters())
        left_encoding = self.left_encoding[chunk].to(weight.device)
        right_encoding = self.right_encoding[chunk].to(weight.device)
        panorama = self.generator.generate(left_encoding, right_encoding, columns).panorama.to(self.left)
        if not panorama.isfinite().all():
            raise FloatingPointError(f"the network overflows in {weight.dtype}; load it in fp32 or bf16")
        left, gap, right = panorama.split([IMAGE_SIZE, columns * COLUMN_WIDTH, IMAGE_SIZE], dim=-1)
        return without_fringe(left), without_fringe(gap), without_fringe(right)

    def _change(self, difference: Tensor, seen: Context, size: tuple[int, int]) -> Tensor:
        """What redrawing adds to the pixels of a photo of that size, (b 3 h seen.width), the gap to its right.

        The difference that it makes to what the network saw is scaled up, not the redrawing: a large photo keeps its
        detail.
        """
        difference = difference[..., -seen.columns :]
        difference = F.interpolate(difference, (size[0], seen.width), mode="bicubic", antialias=True)
        distance = torch.arange(seen.width, 0, -1, device=difference.device) - 0.5
        if self.mode == "feather":
            faded = distance / min(self.feather, seen.width)
        elif size[1] > seen.width:
            faded = 1 - (seen.width - distance) / (REDRAW_MARGIN * seen.width)
        else:
            faded = torch.zeros_like(distance)
        return difference * (0.5 + 0.5 * torch.cos(torch.pi * faded.clamp(0, 1)))
