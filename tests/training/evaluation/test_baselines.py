from __future__ import annotations

import pytest
import torch

from training.evaluation.baselines import (
    BASELINES,
    HAS_PATCHMATCH,
    cross_fade,
    inpaint_navier_stokes,
    inpaint_patchmatch,
    inpaint_telea,
    reflection,
)


@pytest.mark.parametrize("fill", BASELINES.values(), ids=BASELINES)
@pytest.mark.parametrize("width", [16, 512])
def test_a_gap_between_flat_photos_of_one_colour_is_of_that_colour(fill, width):
    colour = torch.tensor([51.0, 102.0, 204.0])[None, :, None, None] / 255
    left, right = colour.expand(2, 3, 64, 100), colour.expand(2, 3, 64, 120)
    gap = fill(left, right, width)
    assert gap.shape == (2, 3, 64, width) and gap.dtype == torch.float32
    torch.testing.assert_close(gap, colour.expand(2, 3, 64, width), atol=1.5 / 255, rtol=0)


@pytest.mark.parametrize("fill", BASELINES.values(), ids=BASELINES)
def test_each_end_of_a_gap_is_like_the_photo_beside_it(fill):
    left, right = torch.full((1, 3, 24, 32), 0.2), torch.full((1, 3, 24, 32), 0.8)
    gap = fill(left, right, 48)
    assert gap[..., 0].mean() < 0.25 and gap[..., -1].mean() > 0.75


def test_cross_fading_is_linear_from_edge_to_edge():
    left, right = torch.zeros(1, 3, 2, 5), torch.ones(1, 3, 2, 5)
    torch.testing.assert_close(cross_fade(left, right, 4)[0, 0, 0], torch.tensor([0.125, 0.375, 0.625, 0.875]))


def test_a_reflection_is_the_mirrored_photo_near_each_edge():
    left, right = torch.rand(2, 2, 3, 8, 256)
    gap = reflection(left, right, 256)
    torch.testing.assert_close(gap[..., :8], left[..., -8:].flip(-1), atol=0.01, rtol=0)
    torch.testing.assert_close(gap[..., -8:], right[..., :8].flip(-1), atol=0.01, rtol=0)
    middle = (left[..., 127:129].flip(-1) + right[..., 127:129].flip(-1)) / 2
    torch.testing.assert_close(gap[..., 127:129], middle, atol=0.01, rtol=0)


def test_photos_narrower_than_the_gap_are_reflected_again_and_again():
    photo = torch.tensor([1.0, 2.0, 3.0]).expand(1, 3, 1, 3)
    nothing = torch.zeros(1, 3, 1, 1)
    shown = reflection(photo, nothing, 9)[0, 0, 0] / (1 - reflection(nothing, nothing + 1, 9)[0, 0, 0])
    torch.testing.assert_close(shown, torch.tensor([3.0, 2, 1, 1, 2, 3, 3, 2, 1]))


@pytest.mark.parametrize("fill", [inpaint_telea, inpaint_navier_stokes])
def test_inpainting_continues_a_horizon_and_each_image_by_itself(fill):
    photos = torch.zeros(2, 3, 32, 40)
    photos[0, :, :16] = 1
    photos[1, :, 16:] = 1
    gap = fill(photos, photos, 12)
    assert gap[0, :, :10].min() > 0.7 and gap[0, :, -10:].max() < 0.3
    assert gap[1, :, :10].max() < 0.3 and gap[1, :, -10:].min() > 0.7
    assert gap.min() >= 0 and gap.max() <= 1


@pytest.mark.skipif(not HAS_PATCHMATCH, reason="PyPatchMatch is not installed: it needs Python 3.11 or later")
def test_patchmatch_lays_patches_of_the_photos():
    photos = torch.rand(1, 3, 32, 48).mul(255).round() / 255
    gap = inpaint_patchmatch(photos, photos, 24)
    assert gap.unique().numel() > 200
    assert gap.std() > 0.7 * photos.std()
    assert torch.equal(gap, inpaint_patchmatch(photos, photos, 24))
