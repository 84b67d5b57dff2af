"""The filling of one gap between photos that are in their places: of which every panorama is made."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from .detail import DetailSettings, add_detail
from .devices import is_out_of_memory
from .geometry import Context, Direction
from .network.config import COLUMN_WIDTH, IMAGE_SIZE
from .network.content_transfer import Transfer
from .network.generator import Encoding, Generator
from .poisson import meet_edges
from .resampling import fade, resample

PhotoMode = Literal["keep", "feather", "redraw"]

REDRAW_MARGIN = 0.25
"""Share of the square next to the gap over which a redrawn photo passes into the untouched rest of it."""

FRINGE = 3
"""Width in px, at the network's size, of the border that `without_fringe` draws anew."""

HIGHEST_ON_GPU = 1536
"""In px, of gaps that a GPU fills. Photos of that height are sent in less time than it saves; at 2160 px an H200 beside
16 cores took a seventh longer than these alone."""


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


@dataclass
class Junction:
    """Two photos' ends that a gap lies between, with all that need not be made again for another gap."""

    left: End
    right: End

    transfer: Transfer | None = None
    """What the content transfer has written for the widest gap so far."""

    @property
    def num_written(self) -> int:
        """The columns of that gap."""
        return len(self.transfer.columns) if self.transfer else 0

    @property
    def tensors(self) -> Iterator[Tensor]:
        """All that it holds."""
        for end in (self.left, self.right):
            yield from (end.context.image, end.encoding.bottleneck, end.encoding.transfer, *end.encoding.skips)
        if self.transfer:
            yield from (self.transfer.columns, *chain.from_iterable(self.transfer.states))


@dataclass(frozen=True)
class Drawing:
    """What the network draws between two photos, RGB, float32, beside the photos."""

    gap: Tensor
    """(1 3 256 w)."""

    left: Tensor | None
    """The left photo's square, redrawn, (1 3 256 256); None where photos are kept."""

    right: Tensor | None


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

    @property
    def keeps_photos(self) -> bool:
        """Whether nothing shows of what the network makes of the photos."""
        return self.photo_mode == "keep" or (self.photo_mode == "feather" and self.feather == 0)

    @torch.inference_mode()
    def encode(self, contexts: Sequence[Context]) -> list[Encoding]:
        """What the network makes of each, in one pass; kept beside the photos."""
        weight = next(self.generator.parameters())
        images = [seen.upright_image for seen in contexts]
        encoding = self.generator.encode(torch.cat(images).to(weight)).to(images[0].device)
        length = len(images[0])
        return [encoding[start : start + length] for start in range(0, length * len(images), length)]

    @torch.inference_mode()
    def draw(self, junctions: Sequence[Junction], columns: int) -> list[Drawing]:
        """Have the network draw gaps of so many columns, all in one pass.

        Args:
            junctions: between which photos; they keep what other gaps can be drawn from, and have it equally far.
            columns: of 64 px each.
        """
        weight = next(self.generator.parameters())
        image = junctions[0].left.context.image
        left, right = (
            Encoding.cat([end.encoding for end in ends]).to(weight.device)
            for ends in zip(*((junction.left, junction.right) for junction in junctions), strict=True)
        )
        transfers = [junction.transfer for junction in junctions if junction.transfer]
        written = Transfer.cat(transfers).to(weight.device) if transfers else None
        output = self.generator.generate(left, right, columns, gap_alone=self.keeps_photos, written=written)
        panoramas = output.panorama.to(image)
        if not panoramas.isfinite().all():
            raise FloatingPointError(f"the network overflows in {weight.dtype}; load it in fp32 or bf16")
        drawings = []
        for number, (junction, panorama) in enumerate(zip(junctions, panoramas.split(1), strict=True)):
            junction.transfer = output.transfer[number : number + 1].to(image.device)
            if self.keeps_photos:
                drawings.append(Drawing(without_fringe(panorama), None, None))
            else:
                sizes = [IMAGE_SIZE, columns * COLUMN_WIDTH, IMAGE_SIZE]
                redrawn_left, gap, redrawn_right = map(without_fringe, panorama.split(sizes, dim=-1))
                drawings.append(Drawing(gap, redrawn_left, redrawn_right))
        return drawings

    @torch.inference_mode()
    def fill_gap(self, left: Tensor, gap: Tensor, right: Tensor, junction: Junction, drawing: Drawing) -> None:
        """Write the gap between photos into their panorama, and redraw the photos where the mode says so.

        Args:
            left: the whole left photo as it is in the panorama, (1 3 h w); `right` alike.
            gap: what to fill.
            junction: what the network has seen of both photos before any was redrawn.
            drawing: of the gap.
        """
        squares: tuple[Tensor, ...] = ()
        if drawing.left is None or drawing.right is None:
            squares = junction.left.context.upright_image, junction.right.context.upright_image
        else:
            self._redraw(left, drawing.left, junction.left)
            self._redraw(right, drawing.right, junction.right)
        reach = max(gap.shape[-2:])  # of the photos, detail is taken from no farther
        parts = drawing.gap, left[..., -reach:], right[..., :reach], *squares
        device = faster_device(self.generator, gap)
        if device is not None:
            try:
                on_device = torch.empty_like(gap, device=device)
                self._lay(on_device, *(part.to(device) for part in parts))
                gap.copy_(on_device)
                return
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
        self._lay(gap, *parts)

    def _lay(self, gap: Tensor, drawn: Tensor, left: Tensor, right: Tensor, *squares: Tensor) -> None:
        """Write a gap, (1 3 h w), where it is drawn and both photos are, with their squares if these are at hand."""
        add_detail(
            drawn,
            left,
            right,
            gap.shape[-1],
            self.detail,
            settings=self.detail_settings,
            layers=self.layers,
            direction=self.direction,
            squares=(squares[0], squares[1]) if squares else None,
            out=gap,
        )
        meet_edges(gap, left[..., -1:], right[..., :1], out=gap).clamp_(0, 1)

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


def faster_device(generator: Generator, gap: Tensor) -> torch.device | None:
    """The generator's GPU if a gap that lies elsewhere, (1 3 h w), is filled there in less time.

    GPUs of other kinds than torch's "cuda" do not have all that it takes.
    """
    device = next(generator.parameters()).device
    return device if device.type == "cuda" and not gap.is_cuda and gap.shape[-2] <= HIGHEST_ON_GPU else None


def without_fringe(part: Tensor) -> Tensor:
    """The gap or a side as the network drew it, (b c h w), its border continued from within.

    Where gap and side meet, the network's upsampling has one side of its kernels in either, and above and below in
    nothing. It leaves a patterned fringe of a few px, from which no seam should be measured.
    """
    return F.pad(part[..., FRINGE:-FRINGE, FRINGE:-FRINGE], [FRINGE] * 4, mode="replicate")
