"""Sky, land and water of a photo, told by a small network of its own.

A U-Net (Ronneberger et al., MICCAI 2015). It sees the photo's pixels alone, so that it is the same with any weights of
the generator. docs/data.md says from which photos and marks it learnt.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("segmentation.safetensors")

CLASSES = ("sky", "land", "water")
SKY, LAND, WATER = range(len(CLASSES))

HEIGHT = 64
"""Of the maps, in px. The network sees photos twice as high."""

CHANNELS = (16, 24, 32, 48, 64)
"""Of its levels; each is half as high as the one before."""


class Segmenter(nn.Module):
    """Tells the class of every place of a photo: a U-Net on colours and heights."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(4, CHANNELS[0], stride=2)
        self.down = nn.ModuleList(
            nn.Sequential(_unit(above, below, stride=2), _unit(below, below)) for above, below in pairwise(CHANNELS)
        )
        self.mid = nn.Sequential(_unit(CHANNELS[-1], CHANNELS[-1]), _unit(CHANNELS[-1], CHANNELS[-1]))
        self.up = nn.ModuleList(
            _unit(below + above, above) for below, above in zip(CHANNELS[:0:-1], CHANNELS[-2::-1], strict=True)
        )
        self.head = nn.Conv2d(CHANNELS[0], len(CLASSES), 1)

    def forward(self, photos: Tensor) -> Tensor:
        """Logits of the classes, (b 3 h/2 w/2), for photos in 0..1, (b 3 h w), whose sides are multiples of 32."""
        height, width = photos.shape[-2:]
        row = torch.linspace(-1, 1, height, device=photos.device).view(1, 1, -1, 1).expand(len(photos), 1, -1, width)
        features = self.stem(torch.cat([2 * photos - 1, row], dim=1))
        skips = []
        for level in self.down:
            skips.append(features)
            features = level(features)
        features = self.mid(features)
        for level in self.up:
            skip = skips.pop()
            features = F.interpolate(features, skip.shape[-2:], mode="bilinear")
            features = level(torch.cat([features, skip], dim=1))
        logits: Tensor = self.head(features)
        return logits


def _unit(in_channels: int, out_channels: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True))


@torch.no_grad()
def segment(photos: Tensor) -> Tensor:
    """How likely every place of photos is sky, land or water.

    Args:
        photos: RGB in 0..1, (b 3 h w) of any size.

    Returns:
        (b 3 64 w'), of the photos' shape but for rounding; the classes add up to 1.
    """
    height, width = photos.shape[-2:]
    map_width = max(1, round(width * HEIGHT / height))
    step = 2 ** len(CHANNELS)
    seen = (2 * HEIGHT, max(step, round(2 * map_width / step) * step))
    logits = _segmenter(photos.device)(F.interpolate(photos, seen, mode="bilinear", antialias=True))
    return F.interpolate(logits.softmax(1), (HEIGHT, map_width), mode="bilinear")


@lru_cache(maxsize=2)
def _segmenter(device: torch.device) -> Segmenter:
    segmenter = Segmenter()
    segmenter.load_state_dict({name: weight.float() for name, weight in load_file(WEIGHTS).items()})
    return segmenter.eval().requires_grad_(False).to(device)
