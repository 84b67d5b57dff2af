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
from .seam import meet_edges

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

    def with_gap_width(self, gap_width: int | None = None, *, on_progress: OnProgress | None = None) -> Blend:
        """The same photos with a gap of another width. They are not encoded again.

        Arguments and errors are those of `blend`.
        """
        return self.photos.fill_gap(gap_width, on_progress or _ignore_progress)


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
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}; at least one pair is blended at a time")
    left, right = prepare_pair(left, right)
    gap_width = checked_gap_width(gap_width, left.shape[-2])
    on_progress = on_progress or _ignore_progress
    num_passes = -(-len(left) // batch_size)
    pairs = []
    for pair in zip(left.split(batch_size), right.split(batch_size), strict=True):
        pairs.append(_EncodedPairs.of(generator, *pair))
        on_progress(len(pairs), 2 * num_passes)
    encoded = EncodedPhotos(generator, left, right, photos, feather, pairs)
    return encoded.fill_gap(gap_width, lambda done, total: on_progress(num_passes + done, num_passes + total))


def _ignore_progress(done: int, total: int) -> None:
    pass


@dataclass(frozen=True)
class _EncodedPairs:
    """As many pairs as pass the network at once. Both contexts have the gap to their right."""

    left: Context
    mirrored_right: Context
    left_encoding: Encoding
    right_encoding: Encoding

    @classmethod
    @torch.no_grad()
    def of(cls, generator: Generator, left: Tensor, right: Tensor) -> _EncodedPairs:
        """Show the network the squares next to the gap of photos, (b 3 h w); what it sees stays on their device."""
        contexts = context(left), context(right[..., : right.shape[-2]].flip(-1))
        weight = next(generator.parameters())
        images = contexts[0].image.to(weight), contexts[1].image.flip(-1).to(weight)
        encodings = (encoding.to(left.device) for encoding in generator.encode_pair(*images))
        return cls(*contexts, *encodings)

    @torch.no_grad()
    def generate(self, generator: Generator, columns: int) -> tuple[Tensor, Tensor, Tensor]:
        """The redrawn left photos, the gap and the redrawn right photos, float32, (b 3 256 w) beside the photos."""
        weight = next(generator.parameters())
        encodings = self.left_encoding.to(weight.device), self.right_encoding.to(weight.device)
        panorama = generator.generate(*encodings, columns).panorama.to(self.left.image)
        if not panorama.isfinite().all():
            raise FloatingPointError(f"the network overflows in {weight.dtype}; load it in fp32 or bf16")
        left, gap, right = panorama.split([IMAGE_SIZE, columns * COLUMN_WIDTH, IMAGE_SIZE], dim=-1)
        return left, gap, right


@dataclass(frozen=True)
class EncodedPhotos:
    """Photos that the network has seen, ready to be joined over gaps of any width."""

    generator: Generator
    left: Tensor
    right: Tensor
    mode: PhotoMode
    feather: int
    pairs: list[_EncodedPairs]

    @torch.no_grad()
    def fill_gap(self, gap_width: int | None, on_progress: OnProgress) -> Blend:
        """Generate the gap and put the panoramas together; see `blend`."""
        length, _, height, left_width = self.left.shape
        gap_width = checked_gap_width(gap_width, height)
        columns = gap_columns(gap_width, height)
        widths = [left_width, gap_width, self.right.shape[-1]]
        panorama = self.left.new_empty(length, 3, height, sum(widths))
        done = 0
        for number, pairs in enumerate(self.pairs, start=1):
            chunk = slice(done, done := done + len(pairs.left.image))
            left, gap, right = panorama[chunk].split(widths, dim=-1)
            redrawn_left, generated, redrawn_right = pairs.generate(self.generator, columns)
            left.copy_(self.left[chunk])
            right.copy_(self.right[chunk])
            if self.mode != "keep":
                left_change = self._change(pairs.left, redrawn_left, left.shape[-2:])
                left[..., -pairs.left.width :].add_(left_change).clamp_(0, 1)
                right_change = self._change(pairs.mirrored_right, redrawn_right.flip(-1), right.shape[-2:])
                right[..., : pairs.mirrored_right.width].add_(right_change.flip(-1)).clamp_(0, 1)
            generated = resize(generated, height, gap_width)
            gap.copy_(meet_edges(generated, left[..., -1:], right[..., :1]).clamp_(0, 1))
            on_progress(number, len(self.pairs))
        gap_mask = panorama.new_zeros(length, height, sum(widths))
        gap_mask[..., left_width : left_width + gap_width] = 1
        return Blend(panorama=panorama, gap_mask=gap_mask, photos=self)

    def _change(self, seen: Context, redrawn: Tensor, size: tuple[int, int]) -> Tensor:
        """What redrawing adds to the photo's pixels next to the gap, (b 3 h width), the gap to its right.

        The difference is scaled up, not the redrawing, so a large photo keeps its detail.
        """
        difference = (redrawn - seen.image)[..., -seen.columns :]
        difference = F.interpolate(difference, (size[0], seen.width), mode="bicubic", antialias=True)
        distance = torch.arange(seen.width, 0, -1, device=redrawn.device) - 0.5
        if self.mode == "feather":
            faded = distance / max(1, min(self.feather, seen.width))
        elif size[1] > seen.width:
            faded = 1 - (seen.width - distance) / (REDRAW_MARGIN * seen.width)
        else:
            faded = torch.zeros_like(distance)
        return difference * (0.5 + 0.5 * torch.cos(torch.pi * faded.clamp(0, 1)))
