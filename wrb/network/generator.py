"""The generator: encode both photos, transfer their content into the gap, decode one panorama.

Lu, Chang and Chiu, "Bridging the Visual Gap: Wide-Range Image Blending", CVPR 2021, arXiv 2103.15149, section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .attention import contextual_attention
from .config import COLUMN_WIDTH, DECODER_LEVELS, IMAGE_SIZE, GeneratorConfig
from .content_transfer import BidirectionalContentTransfer, Sequences, Transfer
from .layers import (
    GlobalResidualBlock,
    ResidualBottleneck,
    SkipHorizontalConnection,
    conv_unit,
    leaky_relu,
    relu,
    upsample,
)

DEFAULT_GAP_COLUMNS = 4
"""A gap as wide as a photo: what the network was published for."""

NORMED_LEVELS = (3, 4, 5)
"""Stages whose convolutions are followed by instance norms, which see a map's whole width."""

RESIDUAL_BLOCKS = {5: 2, 4: 3, 3: 3, 2: 4}
"""Of each decoder stage; further out there are none."""

GRB_DILATIONS = {5: 1, 4: 2, 3: 4, 2: 4}
"""Of the global residual block before each decoder stage."""


@dataclass
class Encoding:
    """What the encoder keeps of a batch of photos."""

    skips: list[Tensor]
    """Levels 0 to 4, (b c 128/2^level 128/2^level)."""

    bottleneck: Tensor
    """(b c 4 4)."""

    transfer: Tensor
    """The map that the content transfer reads, (b c 4 4)."""

    def to(self, device: torch.device) -> Encoding:
        """The same on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def __getitem__(self, chunk: slice) -> Encoding:
        """A part of the batch."""
        return self._map(lambda tensor: tensor[chunk])

    @classmethod
    def cat(cls, encodings: Sequence[Encoding]) -> Encoding:
        """Several batches as one."""
        skips = [torch.cat(level) for level in zip(*(encoding.skips for encoding in encodings), strict=True)]
        bottlenecks, transfers = zip(*((encoding.bottleneck, encoding.transfer) for encoding in encodings), strict=True)
        return cls(skips, torch.cat(bottlenecks), torch.cat(transfers))

    def split(self) -> tuple[Encoding, Encoding]:
        """The first and the second half of the batch."""
        half = len(self.bottleneck) // 2
        return self[:half], self[half:]

    def _map(self, function: Callable[[Tensor], Tensor]) -> Encoding:
        return Encoding([function(skip) for skip in self.skips], function(self.bottleneck), function(self.transfer))


@dataclass
class GeneratorOutput:
    """A panorama and what the training losses look at."""

    panorama: Tensor
    """(b 3 256 512+64·gap_columns), 0..1; the gap alone, (b 3 256 64·gap_columns), where that was asked for."""

    gap_features: Tensor
    """(b c 4 gap_columns)."""

    transfer: Transfer
    """To be handed to `generate` for other gaps between the same photos."""

    sequences: Sequences | None
    """Both directions of the content transfer, where asked for."""


class Generator(nn.Module):
    """Two 256×256 photos to one panorama with a generated gap between them.

    Parameter names and shapes are those of the authors' published weights; `config` scales the widths.
    """

    def __init__(self, config: GeneratorConfig | None = None) -> None:
        super().__init__()
        self.config = config or GeneratorConfig()
        stage = self.config.stage_channels
        transfer = self.config.transfer_channels

        def encoder_stage(level: int, middle: int, blocks: int, *, norm: bool) -> nn.Sequential:
            down = ResidualBottleneck(stage[level - 1], middle, stage[level], norm=norm, activation=leaky_relu)
            rest = [ResidualBottleneck(stage[level], middle, norm=norm, activation=leaky_relu) for _ in range(blocks)]
            return nn.Sequential(down, *rest)

        def decoder_stage(level: int, middle: int) -> nn.Sequential:
            norm = level in NORMED_LEVELS
            residual = [
                ResidualBottleneck(stage[level], middle, norm=norm, activation=relu)
                for _ in range(RESIDUAL_BLOCKS[level])
            ]
            return nn.Sequential(*residual, upsample(stage[level], stage[level - 1], norm=norm))

        def first_convolution(channels: int, out_channels: int) -> nn.Sequential:
            conv = nn.Conv2d(channels, out_channels, 4, stride=2, padding=1, bias=False)
            return conv_unit(conv, activation=leaky_relu())

        self.encoder_stage1_conv1 = first_convolution(3, stage[0])
        self.encoder_stage1_conv2 = first_convolution(stage[0], stage[1])
        self.encoder_stage2 = encoder_stage(2, stage[2] // 4, 2, norm=False)
        self.encoder_stage3 = encoder_stage(3, stage[3] // 4, 3, norm=True)
        self.encoder_stage4 = encoder_stage(4, stage[4] // 4, 3, norm=True)
        self.encoder_stage5 = encoder_stage(5, stage[5] // 2, 4, norm=True)
        self.feature_in = conv_unit(nn.Conv2d(stage[5], transfer, 1), activation=leaky_relu())

        self.BCT = BidirectionalContentTransfer(self.config)

        self.feature_out = conv_unit(nn.Conv2d(transfer, stage[5], 1), activation=leaky_relu())
        for level in DECODER_LEVELS:
            norm = level in NORMED_LEVELS
            channels = stage[level]
            self.add_module(f"SHC{level}", SkipHorizontalConnection(channels, norm=norm))
            self.add_module(f"SHC{level}_mid", SkipHorizontalConnection(channels, norm=norm))
            skip = [nn.InstanceNorm2d(channels, affine=True)] if norm else []
            self.add_module(f"skip{level}", nn.Sequential(*skip, relu()))
        for level, dilation in GRB_DILATIONS.items():
            block = GlobalResidualBlock(stage[level], dilation=dilation, norm=level in NORMED_LEVELS)
            self.add_module(f"GRB{level}", block)
        self.decoder_stage5 = decoder_stage(5, stage[5] // 2)
        self.decoder_stage4 = decoder_stage(4, stage[4] // 4)
        self.decoder_stage3 = decoder_stage(3, stage[3] // 4)
        self.decoder_stage2 = decoder_stage(2, stage[2] // 4)
        self.decoder_stage1 = upsample(stage[1], stage[0], norm=False)
        self.decoder_stage0 = conv_unit(
            nn.ConvTranspose2d(stage[0], 3, 4, stride=2, padding=1, bias=False), activation=nn.Sigmoid()
        )

    def forward(self, left: Tensor, right: Tensor, gap_columns: int = DEFAULT_GAP_COLUMNS) -> Tensor:
        """Join two photos.

        Args:
            left: RGB in 0..1, (b 3 256 256).
            right: the same.
            gap_columns: width of the gap in columns of 64 px, at least 1.

        Returns:
            The panorama, RGB in 0..1, (b 3 256 512+64·gap_columns). Its sides are the photos as the network redraws
            them.

        Raises:
            ValueError: if a shape or `gap_columns` is not as said.
        """
        return self.generate(*self.encode_pair(left, right), gap_columns).panorama

    def encode_pair(self, left: Tensor, right: Tensor) -> tuple[Encoding, Encoding]:
        """Encode both photos, (b 3 256 256) each, in one pass.

        Raises:
            ValueError: if a shape is not as said.
        """
        if left.shape != right.shape:
            raise ValueError(f"left is {tuple(left.shape)} and right {tuple(right.shape)}; they must be of one shape")
        if left.shape[-1] != IMAGE_SIZE:
            raise ValueError(
                f"photos are {left.shape[-1]} px wide; the network joins photos of {IMAGE_SIZE}×{IMAGE_SIZE}"
            )
        return self.encode(torch.cat([left, right])).split()

    def encode(self, photos: Tensor) -> Encoding:
        """Encode photos, RGB in 0..1, (b 3 256 256), or what is to be seen in a gap, (b 3 256 64·gap_columns).

        Raises:
            ValueError: if the shape is not as said.
        """
        if photos.ndim != 4 or photos.shape[1:3] != (3, IMAGE_SIZE) or photos.shape[3] % COLUMN_WIDTH:
            raise ValueError(f"photos are {tuple(photos.shape)}; the network takes (b, 3, {IMAGE_SIZE}, {IMAGE_SIZE})")
        skips = [self.encoder_stage1_conv1(photos)]
        for stage in (self.encoder_stage1_conv2, self.encoder_stage2, self.encoder_stage3, self.encoder_stage4):
            skips.append(stage(skips[-1]))
        bottleneck = self.encoder_stage5(skips[-1])
        return Encoding(skips, bottleneck, self.feature_in(bottleneck))

    def generate(
        self,
        left: Encoding,
        right: Encoding,
        gap_columns: int = DEFAULT_GAP_COLUMNS,
        *,
        with_guesses: bool = False,
        gap_alone: bool = False,
        written: Transfer | None = None,
    ) -> GeneratorOutput:
        """Generate the gap between two encoded photos and decode the panorama.

        Args:
            left: what `encode` returned for the left photos; `right` alike.
            gap_columns: width of the gap in columns of 64 px, at least 1.
            with_guesses: also return the content transfer's full sequences, for the consistency loss.
            gap_alone: of the panorama, decode the gap alone. What only its sides depend on is not computed.
            written: the `transfer` of another gap between the same photos, which is not computed again.

        Raises:
            ValueError: if `gap_columns` is less than 1.
        """
        if gap_columns < 1:
            raise ValueError(f"gap_columns is {gap_columns}; a gap has at least 1 column")
        gap_features, transfer, sequences = self.BCT(
            left.transfer, right.transfer, gap_columns, with_guesses=with_guesses, written=written
        )
        features = torch.cat([left.bottleneck, self.feature_out(gap_features), right.bottleneck], dim=-1)
        features = self.decoder_stage5(self.get_submodule("GRB5")(features))
        for level in reversed(DECODER_LEVELS):
            needed = reach(level) if gap_alone and level <= self._first_local_level else None
            features = self._join_skips(level, features, left.skips[level], right.skips[level], gap_columns, needed)
            if level in GRB_DILATIONS:
                features = self.get_submodule(f"GRB{level}")(features)
            features = self.get_submodule(f"decoder_stage{level}")(features)
        panorama = _split(features, COLUMN_WIDTH * gap_columns)[1] if gap_alone else features
        return GeneratorOutput(panorama, gap_features, transfer, sequences)

    @property
    def _first_local_level(self) -> int:
        """The decoder level from whose attention on nothing sees all of a map's width: neither attention nor norms."""
        return min((*self.config.attention_levels, min(NORMED_LEVELS) - 1))

    def _join_skips(
        self,
        level: int,
        features: Tensor,
        left_skip: Tensor,
        right_skip: Tensor,
        gap_columns: int,
        needed: int | None,
    ) -> Tensor:
        """Give the encoder's detail back to the sides, and to the gap where this level has attention.

        Of either side no more than `needed` columns beside the gap are kept; None: all.
        """
        join, join_gap, finish = (self.get_submodule(name.format(level)) for name in ("SHC{}", "SHC{}_mid", "skip{}"))
        left, gap, right = _split(features, gap_columns * COLUMN_WIDTH >> level + 1)
        if level in self.config.attention_levels:
            attended = contextual_attention(
                gap, torch.cat([left, right], dim=-1), torch.cat([left_skip, right_skip], dim=-1)
            )
            gap = finish(join_gap(torch.cat([gap, attended], dim=1), gap))
        if needed is not None:
            left, left_skip = left[..., -needed:], left_skip[..., -needed:]
            right, right_skip = right[..., :needed], right_skip[..., :needed]
        if level in self.config.skip_levels:
            skips = torch.cat([left_skip, right_skip])
            left, right = finish(join(torch.cat([torch.cat([left, right]), skips], dim=1), skips)).chunk(2)
        return torch.cat([left, gap, right], dim=-1)


def reach(level: int) -> int:
    """How many columns of either side the convolutions of a decoder level and of those further out reach from the gap,
    the joining of skips included."""
    further_out = reach(level - 1) if level else 0
    upsampling = further_out // 2 + 1
    residual_blocks = RESIDUAL_BLOCKS.get(level, 0)
    global_block = 3 * GRB_DILATIONS.get(level, 0)
    joined_skips = 1
    return upsampling + residual_blocks + global_block + joined_skips


def _split(features: Tensor, gap_width: int) -> tuple[Tensor, ...]:
    """A map, (b c h w), as left side, gap and right side."""
    side = (features.shape[-1] - gap_width) // 2
    return features.split([side, gap_width, side], dim=-1)
