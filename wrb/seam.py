"""How generated pixels meet the photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 5
"""How many times farther a correction reaches along the gap than up and down.

Scenery lies in layers. On photos cut in three, a flat gap corrected with 5 came 2 dB closer to the truth than with 1,
and a gap drawn by an early model 0.2 dB.
"""


FRINGE = 3
"""Width in px, at the network's size, of the border that `without_fringe` draws anew."""


def without_fringe(part: Tensor) -> Tensor:
    """The gap or a side as the network drew it, (b c h w), its border continued from within.

    Where gap and side meet, the network's upsampling has one side of its kernels in either, and above and below in
    nothing. It leaves a patterned fringe of a few px, from which no seam should be measured.
    """
    return F.pad(part[..., FRINGE:-FRINGE, FRINGE:-FRINGE], [FRINGE] * 4, mode="replicate")


def meet_edges(gap: Tensor, left_edge: Tensor, right_edge: Tensor) -> Tensor:
    """Shift the gap's colours so that it continues both photos without a step.

    What a photo's last column lacks to the gap's first is carried into the gap by the membrane that has those values at
    the gap's ends and is smooth in between (Pérez et al., Poisson Image Editing, SIGGRAPH 2003: the gap keeps its
    gradients). So a difference of brightness fades over the whole gap, and detail within a few times its own size.

    Args:
        gap: (b c h w).
        left_edge: the left photo's last column, (b c h 1); `right_edge` the right photo's first.

    Returns:
        (b c h w), not clamped.
    """
    # both ends in one transform: the right one mirrored, and its membrane mirrored back
    ends = torch.cat([left_edge - gap[..., :1], right_edge - gap[..., -1:]])
    from_left, from_right = _membrane(ends, gap.shape[-1]).chunk(2)
    return gap + from_left + from_right.flip(-1)


def _membrane(edge: Tensor, width: int) -> Tensor:
    """The smoothest function on h × width px that is `edge`, (b c h 1), just left of them and 0 just right of them.

    It solves Laplace's equation, `REACH` times stretched. Its top and bottom are free, so in cosines down the columns
    every frequency falls off by itself, as a hyperbolic sine: one Fourier transform instead of a system of equations.
    """
    height = edge.shape[-2]
    spectrum = torch.fft.rfft(torch.cat([edge, edge.flip(-2)], dim=-2), dim=-2)
    frequency = torch.arange(height + 1, device=edge.device, dtype=edge.dtype) * (torch.pi / height)
    rate = 2 * torch.asinh((frequency / 2).sin() / REACH)[:, None]
    column = torch.arange(1, width + 1, device=edge.device, dtype=edge.dtype)
    rest = width + 1 - column
    falloff = torch.exp(-rate * column) * torch.expm1(-2 * rate * rest) / torch.expm1(-2 * rate * (width + 1))
    falloff[0] = rest / (width + 1)
    return torch.fft.irfft(spectrum * falloff, n=2 * height, dim=-2)[..., :height, :]
