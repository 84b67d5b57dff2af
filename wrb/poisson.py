"""Poisson image editing: gaps that keep their gradients and meet the photos at both ends.

Pérez, Gangnet and Blake, "Poisson Image Editing", SIGGRAPH 2003. Top and bottom of a gap are free, so in cosines down
the columns (the DCT) every frequency is an equation of its own, and nothing has to be iterated.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

ANISOTROPY = 5
"""How many times farther the membrane of `meet_edges` reaches along the gap than up and down.

Scenery lies in layers, so what a photo's edge lacks at a height belongs to that height. With 1 the correction is as
round as a heat map; with more it smears into streaks.
"""

CHUNK_COLUMNS = 128
"""Columns that `meet_edges` corrects at a time: their spectra take several times the memory of their pixels."""

NEGLIGIBLE_EXPONENT = 0.6
"""A frequency of the membrane is left out where less of it remains than the precision of its type to this power: in
float32 a fiftieth of a step of 8 bits."""

MOST_MATRIX_FREQUENCIES = 128
"""Up to so many frequencies, a product with their basis takes less time than a Fourier transform of all."""


def meet_edges(gap: Tensor, left_edge: Tensor, right_edge: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Shift a gap's colours so that it goes on from both photos without a step.

    What a photo's last column lacks to the gap's first is carried into the gap by the membrane, the smoothest function
    that has those values at the gap's ends: the gap keeps its gradients (Pérez et al., section 3). So a difference of
    brightness fades over the whole gap, and detail within a few times its own size.

    Args:
        gap: (b c h w).
        left_edge: the left photo's last column, (b c h 1); `right_edge` the right photo's first.
        out: where to write the result, such as the gap itself.

    Returns:
        (b c h w), not clamped.
    """
    height, width = gap.shape[-2:]
    steps = left_edge - gap[..., :1], right_edge - gap[..., -1:]
    spectra = [_dct_by_fft(step) for step in steps]
    # far from the edges nothing but a few low frequencies is left
    basis = dct_basis(height, min(MOST_MATRIX_FREQUENCIES, height), gap)
    coefficients = [basis @ step for step in steps]
    met = torch.empty_like(gap) if out is None else out
    for start in range(0, width, CHUNK_COLUMNS):
        end = min(start + CHUNK_COLUMNS, width)
        column = torch.arange(start + 1, end + 1, device=gap.device, dtype=gap.dtype)
        counts = [_num_remaining(distance, height, gap.dtype) for distance in (start + 1, width - end + 1)]
        few = max(counts) <= len(basis)
        sides = coefficients if few else spectra
        spectrum = sides[0].new_zeros(*gap.shape[:2], max(counts) if few else height + 1, end - start)
        for side, distance, count in zip(sides, (column, width + 1 - column), counts, strict=True):
            spectrum[..., :count, :].add_(side[..., :count, :] * _decay(distance, height, width, count))
        membrane = basis[: max(counts)].T @ spectrum if few else torch.fft.irfft(spectrum, n=2 * height, dim=-2)
        met[..., start:end] = gap[..., start:end] + membrane[..., :height, :]
    return met


def solve_screened(gap: Tensor, downwards: Tensor, rightwards: Tensor, cutoff: float) -> Tensor:
    """Give a gap other gradients and keep its colours: the screened Poisson equation.

    Bhat, Curless, Cohen and Zitnick, "Fourier Analysis of the 2D Screened Poisson Equation for Gradient Domain
    Problems", ECCV 2008. The gap's own colours count below the cut-off frequency, the gradients above it.

    Args:
        gap: (c h w); beyond both its ends its columns are as wanted already.
        downwards: what the differences between rows lack, (c h-1 w).
        rightwards: what the differences between columns lack, those across both ends included, (c h w+1).
        cutoff: in cycles over the height.

    Returns:
        (c h w).
    """
    height, width = gap.shape[-2:]
    negative_divergence = F.pad(downwards, (0, 0, 1, 0)) - F.pad(downwards, (0, 0, 0, 1)) - rightwards.diff(dim=-1)
    # the change is 0 beyond both ends, so sines across; free at top and bottom, so cosines down
    down, across = dct_basis(height, height, gap), dst_basis(width, gap)
    eigenvalues = dct_eigenvalues(height, gap)[:, None] + dst_eigenvalues(width, gap)
    spectrum = down @ negative_divergence @ across
    spectrum /= eigenvalues + eigenvalue_at(cutoff, height) ** 2 / eigenvalues
    return gap + down.T @ spectrum @ across


def low_pass(image: Tensor, cutoff: float) -> Tensor:
    """What of an image, (c h w), lies below a cut-off frequency in cycles over the height, where half is left."""
    height, width = image.shape[-2:]
    down, across = dct_basis(height, height, image), dct_basis(width, width, image)
    spectrum = down @ image @ across.T
    eigenvalues = dct_eigenvalues(height, image)[:, None] + dct_eigenvalues(width, image)
    return down.T @ (spectrum / (1 + (eigenvalues / eigenvalue_at(cutoff, height)) ** 2)) @ across


def dct_basis(length: int, count: int, like: Tensor) -> Tensor:
    """The lowest frequencies of the orthonormal DCT-II, whose ends are free: (count length)."""
    frequency = torch.arange(count, device=like.device, dtype=like.dtype)[:, None]
    place = torch.arange(length, device=like.device, dtype=like.dtype) + 0.5
    basis = torch.cos(torch.pi / length * frequency * place) * (2 / length) ** 0.5
    basis[0] *= 0.5**0.5
    return basis


def dst_basis(length: int, like: Tensor) -> Tensor:
    """The orthonormal DST-I, which is 0 one px beyond both ends and its own inverse: (length length)."""
    place = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return torch.sin(torch.pi / (length + 1) * place[:, None] * place) * (2 / (length + 1)) ** 0.5


def dct_eigenvalues(length: int, like: Tensor) -> Tensor:
    """Of the negative second difference with free ends, one for each row of `dct_basis`: (length)."""
    frequency = torch.arange(length, device=like.device, dtype=like.dtype)
    return 2 - 2 * torch.cos(torch.pi / length * frequency)


def dst_eigenvalues(length: int, like: Tensor) -> Tensor:
    """Of the negative second difference with ends fixed at 0, one for each row of `dst_basis`: (length)."""
    frequency = torch.arange(1, length + 1, device=like.device, dtype=like.dtype)
    return 2 - 2 * torch.cos(torch.pi / (length + 1) * frequency)


def eigenvalue_at(frequency: float, height: int) -> float:
    """The same at a frequency in cycles over the height; from the finest frequency on it stays what it is there."""
    return 2 - 2 * math.cos(2 * math.pi * min(frequency, height / 2) / height)


def _dct_by_fft(edge: Tensor) -> Tensor:
    """An edge, (b c h 1), in cosines down the column, (b c h+1 1): `torch.fft.irfft` of it is the edge, twice."""
    return torch.fft.rfft(torch.cat([edge, edge.flip(-2)], dim=-2), dim=-2)


def _num_remaining(distance: int, height: int, dtype: torch.dtype) -> int:
    """How many frequencies are not negligible yet that many columns from the gap's end; see `_decay`."""
    rate = -NEGLIGIBLE_EXPONENT * math.log(torch.finfo(dtype).eps) / distance
    sine = ANISOTROPY * math.sinh(min(rate, 2) / 2)
    return height + 1 if sine >= 1 else math.ceil(2 * height / math.pi * math.asin(sine)) + 1


def _decay(distance: Tensor, height: int, width: int, count: int) -> Tensor:
    """What is left of each of the lowest frequencies that many columns from its end of the gap, (count columns).

    The membrane solves Laplace's equation, stretched by `ANISOTROPY`: in cosines down the columns every frequency
    decays by itself, as a hyperbolic sine that is 1 one column before the gap and 0 one column beyond it.
    """
    frequency = torch.arange(count, device=distance.device, dtype=distance.dtype) * (torch.pi / height)
    rate = 2 * torch.asinh((frequency / 2).sin() / ANISOTROPY)[:, None]
    rest = width + 1 - distance
    decay = torch.exp(-rate * distance) * torch.expm1(-2 * rate * rest) / torch.expm1(-2 * rate * (width + 1))
    decay[0] = rest / (width + 1)
    return decay
