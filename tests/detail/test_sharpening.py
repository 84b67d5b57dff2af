import pytest
import torch

from benchmarks.detail_spectrum import octaves
from tests.scenery import rough_ground, scenery
from wrb.detail import sharpen
from wrb.detail.sharpening import sharp_height, texture
from wrb.resampling import resize


def decibels(image, truth):
    """Energy of the two finest octaves beside the true ones', the finest first."""
    return (10 * (octaves(image[0]) / octaves(truth[0])).log10())[:2]


def sharpened(gap, left, right, resolution, *options, **named):
    gap = gap.clone()
    sharpen(gap, left, right, resolution, *options, **named)
    return gap


@pytest.fixture(scope="module")
def photo():
    """512 px high, as three of 512 px width."""
    torch.manual_seed(0)
    return rough_ground(512, 1536).chunk(3, dim=-1)


@pytest.fixture(scope="module")
def soft(photo):
    """The middle as a model at 128 px would give it back."""
    return resize(resize(photo[1], 128, 128), 512, 512)


def test_the_gap_becomes_as_sharp_as_the_photos_and_keeps_its_layout(photo, soft):
    left, middle, right = photo
    sharp = sharpened(soft, left, right, 128)
    assert (decibels(soft, middle) < -10).all()
    assert (decibels(sharp, middle).abs() < 3).all()
    error = resize(sharp, 128, 128) - resize(middle, 128, 128)
    assert error.square().mean().sqrt() < 0.01


def test_where_it_is_smooth_it_stays_smooth(photo, soft):
    """Though in their own rows both photos have nothing but texture, or none."""
    left, _, right = photo
    rows = slice(300, 500)
    soft = soft.clone()
    soft[..., rows, :] = soft[..., rows, :].mean(dim=-1, keepdim=True)
    change = (sharpened(soft, left, right, 128) - soft).abs()
    inner = change[..., 340:460, :].mean()
    assert inner < 0.3 * (left - resize(resize(left, 128, 128), 512, 512))[..., 340:460, :].abs().mean()


def test_strength_is_a_share(photo, soft):
    left, _, right = photo
    full, half = (sharpened(soft, left, right, 128, strength) - soft for strength in (1, 0.5))
    torch.testing.assert_close(half, full / 2, atol=1e-5, rtol=0)
    assert torch.equal(sharpened(soft, left, right, 128, 0), soft)


def test_what_is_softer_than_its_size_is_found_out(photo):
    """An upscaler has enlarged it without anything new; nothing else says so."""
    left, middle, right = photo
    soft = resize(resize(middle, 256, 256), 512, 512)
    assert sharp_height(left[0], soft[0], right[0]) == 256
    assert sharp_height(left[0], middle[0], right[0]) == 512
    sharp = sharpened(soft, left, right, 512)
    assert (decibels(sharp, middle).abs() < 3).all()


def test_what_is_too_soft_is_not_laid_with_things(photo, soft):
    left, _, right = photo
    assert sharp_height(left[0], soft[0], right[0]) == 256


def test_a_gap_that_is_sharp_already_stays(photo):
    left, middle, right = photo
    assert (sharpened(middle, left, right, 512) - middle).abs().max() < 1e-4


def test_pieces_are_chosen_by_their_texture_too(photo, soft):
    """Of two photos of one colour, the near one has none to give."""
    left, middle, _ = photo
    plain = resize(resize(left, 16, 16), 512, 512)
    sharp = sharpened(soft, left, plain, 128)
    assert (decibels(sharp[..., 256:], middle[..., 256:]).abs() < 4).all()


def test_detail_is_amplified_to_what_the_gap_asks_for_but_not_without_limit(photo, soft):
    left, _, right = photo
    paler = [0.5 + (image - 0.5) / 6 for image in (left, right)]
    residual = paler[0] - resize(resize(paler[0], 128, 128), 512, 512)
    change = sharpened(soft, *paler, 128) - soft
    assert 2 < change.square().mean().sqrt() / residual.square().mean().sqrt() < 3.5


def test_texture_is_told_place_by_place():
    image = torch.full((3, 64, 64), 0.5)
    image[:, 32:] += torch.rand(3, 32, 64) - 0.5
    found = texture(image, 8, 8)
    assert found[:3].max() < 1e-6 < 0.05 < found[5:].min()


def test_a_batch_is_its_gaps_one_by_one(photo, soft):
    left, _, right = photo
    lefts, gaps, rights = (torch.cat([image, image.flip(-1)]) for image in (left, soft, right))
    both = sharpened(gaps, lefts, rights, 128)
    assert torch.equal(both[:1], sharpened(soft, left, right, 128))
    assert torch.equal(both[1:], sharpened(gaps[1:], lefts[1:], rights[1:], 128))


@pytest.mark.parametrize(
    ("height", "left_width", "width", "right_width", "resolution"),
    [
        (64, 64, 16, 64, 64),
        (200, 7, 70, 300, 100),
        (333, 100, 900, 333, 90),
        (100, 40, 100, 40, 63),
        (300, 1, 75, 1, 999),
    ],
)
@pytest.mark.parametrize("direction", ["right", "down"])
def test_any_sizes(height, left_width, width, right_width, resolution, direction):
    gap = sharpened(
        scenery(height, width),
        scenery(height, left_width),
        scenery(height, right_width),
        resolution,
        direction=direction,
    )
    assert gap.shape == (1, 3, height, width)
    assert gap.isfinite().all()
    assert -0.5 < gap.min() and gap.max() < 1.5


@pytest.mark.parametrize("grey", [0.0, 0.4])
def test_constant_photos_add_nothing(grey):
    photo = torch.full((1, 3, 300, 300), grey)
    torch.testing.assert_close(sharpened(photo, photo, photo, 128), photo, atol=1e-5, rtol=0)
