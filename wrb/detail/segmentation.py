"""Sky, land and water of a photo, and the things in it, told by a small network of its own.

The first blocks of EfficientNet-Lite0 (Tan and Le, ICML 2019; its weights are under the Apache licence 2.0) with a
decoder after U-Net (Ronneberger et al., MICCAI 2015). It sees the photo's pixels alone, so that it is the same with any
weights of the generator. docs/data.md says from which photos and marks it learnt.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("segmentation.safetensors")

CLASSES = ("sky", "land", "water")
SKY, LAND, WATER = range(len(CLASSES))

HEIGHT = 64
"""Of the maps, in px. The network sees photos twice as high."""

STEM_CHANNELS = 32


class Stage(NamedTuple):
    """Blocks of EfficientNet-Lite0 at one scale, the first of which may halve it."""

    num_blocks: int
    kernel_size: int
    stride: int
    expansion: int
    channels: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
)
"""All but the last two: what is seen at an eighth of the maps' height is enough for layers and things."""

DECODER_CHANNELS = (64, 48, 32, 24)
"""From the coarsest scale to that of the maps."""


class Segmentation(NamedTuple):
    """Of photos, (b 3 h w); the maps are 64 px high and of the photos' shape but for rounding."""

    classes: Tensor
    """How likely every place is sky, land or water, (b 3 64 w'); they add up to 1."""

    things: Tensor
    """How likely it belongs to a thing, such as a house, a boat or a lone tree, (b 64 w')."""


class Segmenter(nn.Module):
    """Tells the class of every place of a photo, and whether it belongs to a thing."""

    def __init__(self) -> None:
        super().__init__()
        channels = [STEM_CHANNELS, *(stage.channels for stage in STAGES)]
        self.stem = _unit(3, STEM_CHANNELS, 3, stride=2)
        self.stages = nn.ModuleList(_stage(before, stage) for before, stage in zip(channels, STAGES, strict=False))
        skips = [before for before, stage in zip(channels, STAGES, strict=False) if stage.stride == 2]
        self.neck = _unit(channels[-1] + 1, DECODER_CHANNELS[0])
        self.up = nn.ModuleList(
            _unit(below + skip, above, 3)
            for (below, above), skip in zip(pairwise(DECODER_CHANNELS), reversed(skips), strict=True)
        )
        self.refine = _unit(DECODER_CHANNELS[-1], DECODER_CHANNELS[-1], 3)
        self.head = nn.Conv2d(DECODER_CHANNELS[-1], len(CLASSES) + 1, 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits of the classes and of things, (b 4 h/2 w/2), for photos in 0..1, (b 3 h w), of multiples of 16 px."""
        features = self.stem(2 * photos - 1)
        skips = []
        for stage, shape in zip(self.stages, STAGES, strict=True):
            if shape.stride == 2:
                skips.append(features)
            features = stage(features)
        height, width = features.shape[-2:]
        row = torch.linspace(-1, 1, height, device=photos.device).view(1, 1, -1, 1).expand(len(photos), 1, -1, width)
        features = self.neck(torch.cat([features, row], dim=1))
        for level in self.up:
            skip = skips.pop()
            features = F.interpolate(features, skip.shape[-2:], mode="bilinear")
            features = level(torch.cat([features, skip], dim=1))
        logits: Tensor = self.head(self.refine(features))
        return logits


class InvertedResidual(nn.Module):
    """Sandler et al., "MobileNetV2", CVPR 2018: wide where it looks around, narrow between blocks."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = in_channels * expansion
        expand = [_unit(in_channels, wide)] if expansion > 1 else []
        project = nn.Sequential(nn.Conv2d(wide, out_channels, 1, bias=False), _norm(out_channels))
        self.layers = nn.Sequential(*expand, _unit(wide, wide, kernel_size, stride=stride, groups=wide), project)
        self.adds_input = stride == 1 and in_channels == out_channels

    def forward(self, features: Tensor) -> Tensor:
        """(b c h w) to (b c' h/stride w/stride)."""
        changed: Tensor = self.layers(features)
        return features + changed if self.adds_input else changed


def _stage(in_channels: int, stage: Stage) -> nn.Sequential:
    num_blocks, kernel_size, stride, expansion, channels = stage
    first = InvertedResidual(in_channels, channels, kernel_size, stride, expansion)
    rest = (InvertedResidual(channels, channels, kernel_size, 1, expansion) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *rest)


def _unit(
    in_channels: int, out_channels: int, kernel_size: int = 1, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2, groups=groups, bias=False
    )
    return nn.Sequential(conv, _norm(out_channels), nn.ReLU6(inplace=True))


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)


@torch.no_grad()
def segment(photos: Tensor) -> Segmentation:
    """What lies where in photos, RGB in 0..1, (b 3 h w) of any size."""
    height, width = photos.shape[-2:]
    map_width = max(1, round(width * HEIGHT / height))
    step = 2 ** (1 + sum(stage.stride == 2 for stage in STAGES))
    seen = (2 * HEIGHT, max(step, round(2 * map_width / step) * step))
    logits = _segmenter(photos.device)(F.interpolate(photos, seen, mode="bilinear", antialias=True))
    classes, things = logits.split([len(CLASSES), 1], dim=1)
    told = torch.cat([classes.softmax(1), things.sigmoid()], dim=1)
    told = F.interpolate(told, (HEIGHT, map_width), mode="bilinear")
    return Segmentation(told[:, :-1], told[:, -1])


def skyline(classes: Tensor) -> Tensor:
    """Where the sky most likely ends in each column, as a share of the height.

    Args:
        classes: of `segment`, (... 3 h w).

    Returns:
        (... w), from 0, no sky, to 1, nothing else.
    """
    sky = classes[..., SKY, :, :].clamp(0.02, 0.98)  # no place alone decides
    return best_parting(-sky.log(), -(1 - sky).log()) / classes.shape[-2]


def best_parting(costs_above: Tensor, costs_below: Tensor) -> Tensor:
    """The row that parts each column at the least cost: (... w), from 0, all is below it, to h, all is above.

    Args:
        costs_above: what it costs to have a place above the row, (... h w); `costs_below` below it.
    """
    above = F.pad(costs_above.cumsum(-2), (0, 0, 1, 0))
    below = F.pad(costs_below.flip(-2).cumsum(-2).flip(-2), (0, 0, 0, 1))
    return (above + below).argmin(-2)


@lru_cache(maxsize=2)
def _segmenter(device: torch.device) -> Segmenter:
    segmenter = Segmenter()
    segmenter.load_state_dict({name: weight.float() for name, weight in load_file(WEIGHTS).items()})
    return segmenter.eval().requires_grad_(False).to(device)
