"""Contextual attention against the authors' numbers and its plain reading."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wrb.network.attention import contextual_attention


@pytest.mark.parametrize("case", range(3))
def test_reproduces_the_golden_cases(case: int, read_golden: Callable[[str], dict[str, Tensor]]) -> None:
    tensors = read_golden("contextual_attention")
    gap, left, right, left_skip, right_skip, expected = (
        tensors[f"{case}.{name}"] for name in ("mid", "left", "right", "left_skip", "right_skip", "out")
    )
    found = contextual_attention(gap, torch.cat([left, right], dim=-1), torch.cat([left_skip, right_skip], dim=-1))
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= 1e-5


def test_a_gap_that_copies_the_photos_gets_their_skips() -> None:
    torch.manual_seed(0)
    photos, skips = torch.randn(1, 64, 16, 32) * 10, torch.rand(1, 64, 16, 32)
    found = contextual_attention(photos[..., 8:24], photos, skips)
    # away from the edges, where patches lack neighbours; four copies of a pixel are laid down and divided by four
    torch.testing.assert_close(found[..., 4:-4, 4:-4], skips[..., 4:-4, 12:20], atol=1e-4, rtol=0)


def test_the_gap_may_have_any_even_size() -> None:
    photos, skips = torch.rand(1, 4, 8, 16), torch.rand(1, 4, 8, 16)
    for height, width in ((8, 2), (8, 24), (2, 6)):
        assert contextual_attention(torch.rand(1, 4, height, width), photos, skips).shape == (1, 4, height, width)


def test_samples_of_a_batch_do_not_meet() -> None:
    torch.manual_seed(0)
    gap, photos, skips = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 16), torch.rand(2, 4, 8, 16)
    apart = [contextual_attention(gap[[n]], photos[[n]], skips[[n]]) for n in range(2)]
    torch.testing.assert_close(contextual_attention(gap, photos, skips), torch.cat(apart), atol=1e-6, rtol=0)


def test_gradients_are_right() -> None:
    torch.manual_seed(0)
    inputs = [torch.randn(1, 2, 4, 4), torch.randn(1, 2, 4, 8), torch.randn(1, 2, 4, 8)]
    inputs = [tensor.double().requires_grad_() for tensor in inputs]
    assert torch.autograd.gradcheck(contextual_attention, inputs, fast_mode=True)
