"""Pictures to test with."""

import torch
import torch.nn.functional as F


def scenery(height, width, *, roughness=1.0):
    """Sky over ground with texture of all scales, the same at any place, (1 3 h w)."""
    image = torch.linspace(0.7, 0.3, height)[:, None].expand(1, 3, height, width).clone()
    for octave in range(2, 10):
        size = 2**octave
        noise = torch.rand(1, 1, size, max(2, size * width // height)) - 0.5
        image += roughness * 0.5 * 0.75**octave * F.interpolate(noise, (height, width), mode="bicubic")
    return image.clamp(0, 1)


def layers(height, width, *, skyline, sea=False):
    """A blue sky, brighter down to the skyline, and below it brown land or, darker and smoother, a sea: (1 3 h w)."""
    row = (torch.arange(height) + 0.5)[:, None] / height
    sky = torch.tensor([0.45, 0.6, 0.9])[:, None, None] + 0.15 * row / skyline
    ground = torch.tensor([0.1, 0.2, 0.32] if sea else [0.35, 0.28, 0.15])[:, None, None].expand(3, height, width)
    noise = (scenery(height, width, roughness=0.3 if sea else 1.0)[0] - 0.5) * 0.6
    image = torch.where(row < skyline, sky.expand(3, height, width), ground + noise.mean(0, keepdim=True))
    return image[None].clamp(0, 1)


def rough_ground(height, width):
    """Ground with texture down to single pixels, and above it a plain sky, (1 3 h w)."""
    image = torch.zeros(1, 3, height, width)
    size, amplitude = 4, 0.15
    while size <= height:
        noise = torch.rand(1, 1, size, max(2, size * width // height)) - 0.5
        image += amplitude * F.interpolate(noise, (height, width), mode="bicubic")
        size, amplitude = 2 * size, 0.8 * amplitude
    row = torch.linspace(0, 1, height)[:, None]
    ground = (8 * (row - 0.4)).clamp(0, 1)
    return ((0.7 - 0.3 * ground) + image * ground).clamp(0, 1)
