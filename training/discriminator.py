"""Judges whole panoramas (paper section 3.4). Used in training alone."""

from __future__ import annotations

from einops import rearrange
from torch import Tensor, nn


class Discriminator(nn.Module):
    """Four strided convolutions and one linear layer: panorama to logit.

    Args:
        width: channels of the first convolution; 64 in the paper.
        size: height and width in px of the panoramas, multiples of 16.
    """

    def __init__(self, width: int = 64, size: tuple[int, int] = (256, 768)) -> None:
        super().__init__()
        channels = [3, width, 2 * width, 4 * width, 8 * width]
        for number in range(1, 5):
            convolution = nn.Conv2d(channels[number - 1], channels[number], 4, stride=2, padding=1)
            norm = [nn.InstanceNorm2d(channels[number])] if number > 1 else []
            self.add_module(f"conv{number}", nn.Sequential(convolution, *norm, nn.LeakyReLU(0.2)))
        self.output = nn.Sequential(nn.Linear(channels[-1] * (size[0] // 16) * (size[1] // 16), 1))

    def forward(self, panorama: Tensor) -> Tensor:
        """RGB in 0..1, (b 3 h w), to logits, (b 1)."""
        features = panorama
        for number in range(1, 5):
            features = self.get_submodule(f"conv{number}")(features)
        return self.output(rearrange(features, "b c h w -> b (c h w)"))
