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
