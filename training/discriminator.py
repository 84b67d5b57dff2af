"""Judges whole panoramas (paper section 3.4). Used in training alone."""

from __future__ import annotations

import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .photos import CROP_HEIGHT, CROP_WIDTH


class Discriminator(nn.Module):
    """Four strided convolutions and one linear layer: panorama to logit.

    Args:
        width: channels of the first convolution; 64 in the paper.
        height: in px, a multiple of 16, to which panoramas are scaled first; 256 in the paper. Of a lower one it judges
            layout and silhouettes, not texture.
    """

    def __init__(self, width: int = 64, height: int = CROP_HEIGHT) -> None:
        super().__init__()
        self.height = height
        channels = [3, width, 2 * width, 4 * width, 8 * width]
        for number in range(1, 5):
            convolution = nn.Conv2d(channels[number - 1], channels[number], 4, stride=2, padding=1)
            norm = [nn.InstanceNorm2d(channels[number])] if number > 1 else []
            self.add_module(f"conv{number}", nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2)))
        rows, columns = height // 16, height * CROP_WIDTH // CROP_HEIGHT // 16
        self.output = nn.Sequential(nn.Linear(channels[-1] * rows * columns, 1))

    def forward(self, panorama: Tensor) -> Tensor:
        """RGB in 0..1, (b 3 256 768), to logits, (b 1)."""
        features = F.avg_pool2d(panorama, CROP_HEIGHT // self.height)
        for number in range(1, 5):
            features = self.get_submodule(f"conv{number}")(features)
        return self.output(rearrange(features, "b c h w -> b (c h w)"))
