"""Contextual attention: the gap borrows what the photos look like (paper section 3.3, after Yu et al., CVPR 2018)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

SOFTMAX_SCALE = 10.0
RATE = 2
PATCH = 3
NORM_EPSILON = 1e-4

NEGLIGIBLE = 1e-30
"""Attention below that is 0. It adds nothing that a sum in float32 could hold, but products with the smallest numbers,
those without leading digits, take a CPU many times as long as others do."""


def contextual_attention(gap: Tensor, photos: Tensor, skips: Tensor) -> Tensor:
    """Rebuild the gap's features out of the photos' patches that resemble them.

    Args:
        gap: the gap's decoder features, (b c h w); h and w even.
        photos: the decoder features of both photos side by side, (b c h v); v even.
        skips: the encoder features to paste, in the same places as `photos`, (b c h v).

    Returns:
        For each place of the gap a weighted sum of patches of `skips`, (b c h w).
    """
    scores = _fused(_similarity(gap[..., ::RATE, ::RATE], photos[..., ::RATE, ::RATE]))
    attention = F.threshold(scores.softmax(dim=-1), NEGLIGIBLE, 0)
    heights = {"h": gap.shape[-2] // RATE, "y": skips.shape[-2] // RATE}
    return _paste(rearrange(attention, "b (w h) (x y) -> b w h x y", **heights), skips)


def _paste(attention: Tensor, skips: Tensor) -> Tensor:
    """Lay down the patches of `skips`, (b c h v), as attention of gap to photo, (b w/2 h/2 v/2 h/2), says: (b c h w).

    Each photo position owns the 4×4 patch around its 2×2 px; laid down at stride 2, four patches overlap everywhere.
    In a patch's even columns the previous one shows the same pixels as this one, in the odd ones the following one
    does: where attention is summed first, half of the products are spared.
    """
    columns = []
    for parity in range(RATE):
        even = parity == 0
        shown = _sum_neighbours(attention, 1, 3, previous=even, following=not even)
        patches = F.unfold(skips[..., parity::RATE].mT, (1, 2 * RATE), padding=(0, RATE // 2), stride=(1, RATE))
        pasted = patches @ rearrange(shown, "b w h x y -> b (x y) (w h)")
        size = shown.shape[1], RATE * shown.shape[2]
        columns.append(F.fold(pasted, size, (1, 2 * RATE), padding=(0, RATE // 2), stride=(1, RATE)))
    return rearrange(columns, "parity b c w h -> b c h (w parity)") / RATE**2


def _similarity(gap: Tensor, photos: Tensor) -> Tensor:
    """Dot products of every 3×3 gap patch with every normalised 3×3 photo patch, scaled for the softmax: (b h w y x).

    A patch's dot product is the sum over its nine positions of products of single positions, so the products are
    formed once and summed along both diagonals: a ninth of the arithmetic of unfolding.
    """
    products = torch.einsum("b c h w, b c y x -> b h w y x", gap, photos)
    products = _sum_neighbours(_sum_neighbours(products, 1, 3), 2, 4)
    at_least_single = torch.promote_types(photos.dtype, torch.float32)  # squares overflow half precision
    squares = photos.to(at_least_single).square().sum(1)
    energy = F.avg_pool2d(squares, PATCH, stride=1, padding=PATCH // 2) * PATCH**2
    scale = (energy + NORM_EPSILON * photos.shape[1] * PATCH**2).rsqrt()
    return products * rearrange(scale * SOFTMAX_SCALE, "b y x -> b 1 1 y x").to(products.dtype)


def _fused(scores: Tensor) -> Tensor:
    """Favour neighbours that match neighbours: sum along the diagonals in row-major, then in column-major order.

    Takes (b h w y x) and returns (b w·h x·y), still in column-major order: putting all pairs back would cost more than
    to work on turned images afterwards.
    """
    _, h, w, y, x = scores.shape
    rows = _sum_neighbours(rearrange(scores, "b h w y x -> b (h w) (y x)"), 1, 2)
    # in two steps, each of which moves memory within rows or whole rows: several times faster than one
    columns = rearrange(rows, "b gap (y x) -> b gap (x y)", y=y)
    columns = rearrange(columns, "b (h w) photo -> b (w h) photo", h=h)
    return _sum_neighbours(columns, 1, 2)


def _sum_neighbours(
    scores: Tensor, gap_dim: int, photo_dim: int, *, previous: bool = True, following: bool = True
) -> Tensor:
    """Add to each score those of the previous and of the following pair along both dimensions, zero outside."""
    return _NeighbourSum.apply(scores, gap_dim, photo_dim, previous, following)


class _NeighbourSum(torch.autograd.Function):
    """The gradient is the sum the other way; autograd's would fill and copy several tensors.

    By `python -m benchmarks.shortcuts --threads 1`, forward and backward together take 0.3 times as long as the same
    lines under autograd.
    """

    @staticmethod
    def forward(
        ctx: Any, scores: Tensor, gap_dim: int, photo_dim: int, previous: bool = True, following: bool = True
    ) -> Tensor:
        ctx.dims = gap_dim, photo_dim
        ctx.previous, ctx.following = previous, following
        count = (scores.shape[gap_dim] - 1, scores.shape[photo_dim] - 1)

        def part(tensor: Tensor, start: int) -> Tensor:
            return tensor.narrow(gap_dim, start, count[0]).narrow(photo_dim, start, count[1])

        total = scores.clone()
        if previous:
            part(total, 1).add_(part(scores, 0))
        if following:
            part(total, 0).add_(part(scores, 1))
        return total

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None, None]:
        total = _sum_neighbours(gradient, *ctx.dims, previous=ctx.following, following=ctx.previous)
        return total, None, None, None, None
