import pytest
import torch

from tests.scenery import scenery
from wrb.detail import DetailSettings
from wrb.detail.cross_dissolve import Contribution
from wrb.detail.low_frequencies import RowwiseResampling, carried_slope, guidance_cutoff, merge, trusted_cutoff
from wrb.poisson import low_pass
from wrb.resampling import resample

SETTINGS = DetailSettings()

HEIGHT = 64
"""Of the finest level in px."""


def waves(amplitude, period):
    """Stripes of that period in px across an image of 256 px, (3 256 256)."""
    return (amplitude * torch.sin(torch.arange(256) * 2 * torch.pi / period)).expand(3, 256, 256)


def test_of_a_flat_drawing_half_a_cycle_is_kept():
    photo = scenery(256, 256)[0]
    assert trusted_cutoff(photo, torch.full((3, 256, 256), 0.4), photo, SETTINGS) == 0.5


@pytest.mark.parametrize(("share", "octaves"), [(1.0, 6), (0.5, 6), (0.25, 1.5), (0.1, 0.24)])
def test_octaves_are_kept_if_the_drawing_has_half_of_the_photos_energy(share, octaves):
    """Less counts by its square."""
    photo, gap = waves(0.2, 256), waves(0.2 * share**0.5, 256)
    assert trusted_cutoff(photo, gap, photo, SETTINGS) == pytest.approx(0.5 * 2**octaves, rel=0.01)


def test_beyond_an_octave_that_the_drawing_lacks_nothing_is_kept():
    """Not even what it does have there, which has no place to stand."""
    photo = waves(0.2, 256) + waves(0.2, 32) + waves(0.2, 8)
    soft, rough = waves(0.2, 256), waves(0.2, 256) + waves(0.2, 8)
    cutoff = trusted_cutoff(photo, soft, photo, SETTINGS)
    assert 1 < cutoff < 8
    assert trusted_cutoff(photo, rough, photo, SETTINGS) == pytest.approx(cutoff, rel=0.1)


def test_a_drawing_like_the_photos_is_kept_in_every_octave():
    photo = scenery(256, 256)[0]
    assert trusted_cutoff(photo, photo, photo, SETTINGS) == 0.5 * 2**6


@pytest.mark.parametrize(("cutoff", "guidance"), [(0.5, 1), (3, 6), (8, 16), (30, 16)])
def test_the_drawing_guides_an_octave_farther_than_its_colours_are_kept(cutoff, guidance):
    """But not beyond 16 cycles, where nothing but smooth patches would match."""
    assert guidance_cutoff(cutoff, SETTINGS) == guidance


def test_a_slope_goes_on_and_ends():
    """Over a quarter of the height, from all of it at the edge to half of it at an eighth."""
    photo, gap = torch.full((3, HEIGHT, 40), 0.004), torch.zeros(3, HEIGHT, 65)
    carried = carried_slope(photo, gap, SETTINGS)
    assert carried.shape == (3, HEIGHT, 16)
    torch.testing.assert_close(carried[..., 0], photo[..., 0], atol=1e-6, rtol=0)
    torch.testing.assert_close(carried[..., 8], photo[..., 0] / 2, atol=1e-6, rtol=0)
    assert (carried.diff(dim=-1) < 0).all()


def test_a_slope_is_measured_over_an_eighth_of_the_height():
    photo = torch.zeros(3, HEIGHT, 40)
    photo[..., :8] = 0.004
    gap = torch.zeros(3, HEIGHT, 65)
    torch.testing.assert_close(carried_slope(photo, gap, SETTINGS)[..., 0], photo[..., 0], atol=1e-6, rtol=0)
    photo[..., 4:8] = 0
    torch.testing.assert_close(carried_slope(photo, gap, SETTINGS)[..., 0], photo[..., 0] / 2, atol=1e-6, rtol=0)


def test_what_is_steeper_than_the_light_of_a_sky_is_not_carried_on():
    """A tenth of the range over an eighth of the height, 8 px, is the most."""
    for sign in (-1, 1):
        carried = carried_slope(torch.full((3, HEIGHT, 40), sign * 0.05), torch.zeros(3, HEIGHT, 65), SETTINGS)
        torch.testing.assert_close(carried[..., 0], torch.full((3, HEIGHT), sign * 0.1 / 8), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("cycles", "left"), [(1, 0.99), (4, 0.5), (16, 0.005)])
def test_fine_slopes_are_not_carried_on(cycles, left):
    """Of four cycles over the height, half."""
    wave = 0.004 * torch.cos((torch.arange(HEIGHT) + 0.5) * 2 * torch.pi * cycles / HEIGHT)
    photo = wave[:, None].expand(3, HEIGHT, 40)
    carried = carried_slope(photo, torch.zeros(3, HEIGHT, 65), SETTINGS)[0, :, 0]
    assert (carried @ wave / (wave @ wave)).item() == pytest.approx(left, abs=0.01)


def test_below_the_cut_off_the_gaps_colours_stay_and_above_it_come_the_pieces():
    """The left photo's pieces lie at one offset: their layout is theirs, the mean colour the gap's."""
    photo = scenery(HEIGHT, 128)[0]
    offset = torch.full((HEIGHT, HEIGHT), -96)
    left, right = Contribution(offset, torch.ones(HEIGHT, HEIGHT)), Contribution(offset, torch.zeros(HEIGHT, HEIGHT))
    gap = torch.full((3, HEIGHT, HEIGHT), 0.5)
    pieces = photo[..., 32:96]  # that many px to the left of the mirror, reflected at no end
    merged = merge(photo, gap, photo, (left, right), 0.5, SETTINGS)
    inner = (..., slice(12, -12))
    fine = (merged - low_pass(merged, 4))[inner], (pieces - low_pass(pieces, 4))[inner]
    assert torch.corrcoef(torch.stack([part.flatten() for part in fine]))[0, 1] > 0.95


@pytest.mark.parametrize("height", [200, 320, 448])
def test_rows_of_an_image_scaled_up_are_those_of_it_all(height):
    """A row that lies on one of the small image depends on that one alone, those beside it on more."""
    image = torch.rand(3, 64, 90)
    whole = resample(image[None], height, 281)[0]
    rows = RowwiseResampling(image, height, 281)
    every_band = [slice(start, start + 7) for start in range(height - 7)]
    for part in (*every_band, slice(93, 160), slice(height - 1, height)):
        torch.testing.assert_close(rows.rows(part), whole[:, part], atol=1e-5, rtol=0)
