"""The filling of one gap between photos that are in their places: of which every panorama is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .detail import DetailSettings, add_detail
from .geometry import Context, Direction, gap_columns
from .network.config import COLUMN_WIDTH, IMAGE_SIZE
from .network.generator import Encoding, Generator
from .poisson import meet_edges
from .resampling import fade, resample

PhotoMode = Literal["keep", "feather", "redraw"]

REDRAW_MARGIN = 0.25
"""Share of the square next to the gap over which a redrawn photo passes into the untouched rest of it."""

FRINGE = 3
"""Width in px, at the network's size, of the border that `without_fringe` draws anew."""


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


@dataclass(frozen=True, kw_only=True)
class Painter:
    """Fills the gaps of a panorama whose photos are in place.

    Raises:
        ValueError: if an option is not as `blend` says.
    """

    generator: Generator
    photo_mode: PhotoMode
    feather: int
    detail: float

    layers: float
    """How far the photos' layers are led to each other, 0 to 1."""

    direction: Direction
    """That of the panorama; photos and gaps that run down are transposed."""

    detail_settings: DetailSettings | None
    """None: the defaults."""

    def __post_init__(self) -> None:
        if self.photo_mode not in get_args(PhotoMode):
            modes = ", ".join(map(repr, get_args(PhotoMode)))
            raise ValueError(f"photo_mode is {self.photo_mode!r}; it is one of {modes}")
        if self.feather < 0:
            raise ValueError(f"feather is {self.feather} px; it cannot be negative")
        if not 0 <= self.detail <= 1:
            raise ValueError(f"detail is {self.detail}; it goes from 0, none, to 1, all of the photos' detail")
        if not 0 <= self.layers <= 1:
            raise ValueError(f"layers is {self.layers}; it goes from 0, as the photos lie, to 1, until they meet")

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
        redrawn_left, drawn, redrawn_right = self._generate(left_end, right_end, gap_columns(gap_width, height))
        kept = self.photo_mode == "keep"
        if not kept:
            self._redraw(left, redrawn_left, left_end)
            self._redraw(right, redrawn_right, right_end)
        add_detail(
            drawn,
            left,
            right,
            gap_width,
            self.detail,
            settings=self.detail_settings,
            layers=self.layers,
            direction=self.direction,
            squares=(left_end.context.upright_image, right_end.context.upright_image) if kept else None,
            out=gap,
        )
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
        difference = resample(difference, photos.shape[-2], seen.width)
        distance = torch.arange(seen.width, 0, -1, device=difference.device) - 0.5
        change = difference * self._share(distance, end, photos.shape[-1])
        if seen.mirrored:
            photos[..., : seen.width].add_(change.flip(-1)).clamp_(0, 1)
        else:
            photos[..., -seen.width :].add_(change).clamp_(0, 1)

    def _share(self, distance: Tensor, end: End, photo_width: int) -> Tensor:
        """How much of a photo is redrawn that far from the gap, in px of the panorama: from 1 to 0."""
        seen_width = end.context.width
        if self.photo_mode == "feather":
            full, reach = 0.0, min(self.feather, seen_width)
        else:
            full, reach = (1 - REDRAW_MARGIN) * seen_width, seen_width
            if end.between_gaps:  # where both ends reach, one fades as the other comes: together they are at most 1
                full = min(full, photo_width - reach)
            elif photo_width == seen_width:
                full = reach
        return fade((distance - full) / (reach - full))


def without_fringe(part: Tensor) -> Tensor:
    """The gap or a side as the network drew it, (b c h w), its border continued from within.

    Where gap and side meet, the network's upsampling has one side of its kernels in either, and above and below in
    nothing. It leaves a patterned fringe of a few px, from which no seam should be measured.
    """
    return F.pad(part[..., FRINGE:-FRINGE, FRINGE:-FRINGE], [FRINGE] * 4, mode="replicate")
