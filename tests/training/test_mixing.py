import pytest
import torch

from training.mixing import horizon, mixed_skies, skyline

HEIGHT, WIDTH = 256, 300


def landscape(line, sky, ground):
    """Flat colours above and below a line, (w), with a little noise."""
    random = torch.Generator().manual_seed(0)
    above = torch.arange(HEIGHT)[:, None] < line
    image = torch.where(above, torch.tensor(sky)[:, None, None], torch.tensor(ground)[:, None, None])
    return image + 0.02 * torch.rand(3, HEIGHT, WIDTH, generator=random)


HILLS = (120 + 25 * torch.sin(torch.arange(WIDTH) / 40)).round()
MEADOW = landscape(HILLS, sky=(0.5, 0.6, 0.9), ground=(0.2, 0.4, 0.1))
SUNSET = landscape(torch.tensor(90), sky=(0.9, 0.5, 0.3), ground=(0.1, 0.1, 0.1))


def test_the_horizon_parts_sky_and_ground():
    assert horizon(SUNSET) == 90
    assert abs(horizon(MEADOW) - 120) < 15


def test_a_picture_without_one_has_no_horizon():
    assert horizon(torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))) is None
    assert horizon(torch.full((3, HEIGHT, WIDTH), 0.3)) is None


def test_the_skyline_follows_the_hills():
    assert (skyline(MEADOW, horizon(MEADOW)) - HILLS).abs().max() <= 2


def test_a_sky_reaches_down_to_the_other_ground():
    mixed = mixed_skies(SUNSET, MEADOW)
    assert mixed.shape == MEADOW.shape
    row = torch.arange(HEIGHT)[:, None]
    torch.testing.assert_close(mixed[:, row > HILLS + 6], MEADOW[:, row > HILLS + 6])
    sky = mixed[:, row < HILLS - 6]
    assert (sky.mean(dim=1) - torch.tensor([0.91, 0.51, 0.31])).abs().max() < 0.01
    assert sky.std(dim=1).max() < 0.02


@pytest.mark.parametrize("flat_is_sky", [True, False])
def test_without_a_horizon_nothing_is_mixed(flat_is_sky):
    flat = torch.full((3, HEIGHT, WIDTH), 0.4)
    pair = (flat, MEADOW) if flat_is_sky else (MEADOW, flat)
    assert torch.equal(mixed_skies(*pair), pair[1])
