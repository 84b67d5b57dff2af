import pytest
import torch

from wrb.resampling import fade, pool, reflect, resample, resize


def test_an_image_of_the_size_asked_for_is_not_touched():
    image = torch.rand(1, 3, 20, 30) * 3 - 1
    assert resize(image, 20, 30) is image


def test_resizing_stays_in_range_and_resampling_overshoots():
    edge = torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1
    assert resample(edge, 8, 32).max() > 1
    assert 0 <= resize(edge, 8, 32).min() and resize(edge, 8, 32).max() <= 1


def test_scaling_down_does_not_alias():
    """Stripes of one px become the grey that they are."""
    stripes = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    torch.testing.assert_close(resize(stripes, 16, 16)[..., 2:-2], torch.full((1, 1, 16, 12), 0.5), atol=0.02, rtol=0)


def test_pooling_is_the_mean_of_square_blocks():
    image = torch.rand(3, 12, 20)
    assert pool(image, 3).shape == (3, 3, 5)
    torch.testing.assert_close(pool(image, 3)[:, 1, 2], image[:, 4:8, 8:12].mean(dim=(1, 2)))


@pytest.mark.parametrize("start", [-13, -1, 0, 2, 30])
def test_an_image_goes_on_mirrored_beyond_its_ends(start):
    expected = [0, 1, 2, 2, 1, 0] * 20
    assert reflect(torch.arange(start, start + 9), 3).tolist() == expected[start + 60 : start + 69]


def test_fading_goes_from_all_to_nothing_and_both_ways_make_one():
    progress = torch.linspace(-0.5, 1.5, 21)
    faded = fade(progress)
    assert faded[0] == faded[5] == 1 and faded[-1] == faded[15] == 0
    assert (faded.diff() <= 0).all()
    torch.testing.assert_close(faded + fade(1 - progress), torch.ones(21))
