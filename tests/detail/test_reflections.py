"""Gaps that run down: how far each photo's reflection goes on."""

import pytest
import torch

from tests.scenery import layers
from wrb.detail import DetailSettings, add_detail
from wrb.detail.reflections import best_cut, dissolve_reflections, faults, mix_reflections
from wrb.detail.segmentation import LAND, SKY, WATER

SETTINGS = DetailSettings()

NOTHING = torch.zeros(2, 64, 64)
"""No things, whether apart from the gap or not."""


def classes(*depths):
    """Of a photo, from the gap on: pairs of a class and the column up to which it goes."""
    told = torch.full((3, 64, depths[-1][1]), 0.01)
    start = 0
    for kind, end in depths:
        told[kind, :, start:end] = 0.98
        start = end
    return told


LANDSCAPE = classes((LAND, 20), (SKY, 64))
"""Seen from below: land, and above it a sky."""

BELOW_SKY = classes((SKY, 24), (LAND, 64))
"""Seen from above: a sky, and below it land."""


def weights(of_left, of_right, width, settings=SETTINGS, things=(NOTHING, NOTHING)):
    left, right = dissolve_reflections((of_left.flip(-1), of_right), things, width, settings)
    torch.testing.assert_close(left.weight + right.weight, torch.ones(64, width))
    return right.weight


def test_a_place_costs_what_must_not_be_seen_there():
    things = torch.zeros(2, 64, 64)
    things[0, :, 2], things[1, :, 3] = 1, 1
    for penalty in (0.3, 1):
        costs = faults(LANDSCAPE, things, 128, penalty, SETTINGS)[5]
        assert float(costs[0]) == 0
        assert float(costs[2]) == pytest.approx(2)  # a thing
        assert float(costs[3]) == 0  # one that reaches the gap is completed
        assert float(costs[19]) == 0
        assert float(costs[20]) == pytest.approx(penalty)  # beyond the layer
        assert float(costs[64]) == pytest.approx(0.3, abs=0.05)  # the same sky again
        assert float(costs[-1]) == pytest.approx(2.3, abs=0.05)  # land again


def test_each_row_has_its_own_layer_at_the_edge():
    photo = LANDSCAPE.clone()
    photo[:, 32:] = BELOW_SKY[:, 32:]
    costs = faults(photo, NOTHING, 64, 1, SETTINGS)
    assert costs[0, :20].max() == 0 and costs[0, 20:].min() == 1
    assert costs[-1, :24].max() == 0 and costs[-1, 24:].min() == 1


@pytest.mark.parametrize("width", [16, 40, 64, 100])
def test_of_places_that_are_equally_good_the_middle_is_taken(width):
    nothing = torch.zeros(64, width)
    assert best_cut(nothing, nothing, SETTINGS) in (width // 2, (width + 1) // 2)


def test_no_land_hangs_from_the_sky_below():
    of_right = weights(LANDSCAPE, BELOW_SKY, 80)
    assert (of_right[:, : 80 - 24 - SETTINGS.fault_margin] < 0.15).all()
    assert (of_right[:, -8:] > 0.9).all()


def test_a_deep_sky_below_leaves_no_land_but_the_last():
    shore = classes((WATER, 20), (LAND, 64))
    of_right = weights(shore, classes((SKY, 64)), 64)
    assert (of_right[:, 20 + SETTINGS.fault_margin + 6 :] > 0.8).all()


def test_a_cut_lies_where_a_landscape_upside_down_costs_as_much_as_land_in_the_sky():
    """0.3 for the one, 1 for the other: of so much sky above and below as leaves both, the lower land is never seen."""
    upper, lower = classes((WATER, 8), (LAND, 64)), classes((SKY, 8), (LAND, 64))
    in_left = faults(upper, NOTHING, 64, SETTINGS.reflected_layer_penalty, SETTINGS)
    in_right = faults(lower, NOTHING, 64, 1, SETTINGS).flip(-1)
    assert best_cut(in_left, in_right, SETTINGS) == 64 - 16
    # half of the rows have nothing but sky below: what each side costs on average decides
    in_right[: 64 * 6 // 10] = 0
    assert best_cut(in_left, in_right, SETTINGS) == 64 - 16
    in_right[: 64 * 8 // 10] = 0
    assert best_cut(in_left, in_right, SETTINGS) == 16


@pytest.mark.parametrize("fault", [0.0, 0.1, 0.4])
def test_where_both_dissolve_a_fault_of_a_tenth_halves_a_photos_part(fault):
    """In a gap that is so narrow, the cut can only lie in the middle."""
    sky = classes((SKY, 64))
    things = torch.zeros(2, 64, 64)
    things[0] = fault / 2
    even = weights(sky, sky, 32)
    part = even / (1 + fault / 0.1)
    torch.testing.assert_close(weights(sky, sky, 32, things=(NOTHING, things)), part / (part + 1 - even))


def test_a_fault_counts_three_px_around_it():
    sky = classes((SKY, 64))
    things = torch.zeros(2, 64, 64)
    things[0, 30] = 1
    less = weights(sky, sky, 32) - weights(sky, sky, 32, things=(NOTHING, things))
    touched = (less.amax(1) > 1e-4).nonzero()[:, 0].tolist()
    assert touched == list(range(27, 34))


def test_a_gap_is_mixed_of_both_reflections():
    left, right = torch.rand(3, 256, 100), torch.rand(3, 256, 300)
    told = classes((SKY, 25)), classes((SKY, 75))
    nothing = torch.zeros(2, 64, 25), torch.zeros(2, 64, 75)
    contributions = dissolve_reflections(told, nothing, 40, SETTINGS)
    gap = mix_reflections(left, right, contributions, 160)
    torch.testing.assert_close(gap[..., 0], left[..., -1], atol=0.01, rtol=0)
    torch.testing.assert_close(gap[..., -1], right[..., 0], atol=0.01, rtol=0)
    both = torch.cat([left.flip(-1), left], dim=-1)[..., :160], right[..., :160].flip(-1)
    assert (gap >= torch.minimum(*both) - 1e-6).all() and (gap <= torch.maximum(*both) + 1e-6).all()


class TestOfPictures:
    """A sky over a sea above, another one below; the gap runs down, so all is transposed."""

    @staticmethod
    def gap(skyline, width=256, **options):
        upper, lower = (layers(256, 256, skyline=height, sea=True).mT for height in (0.5, skyline))
        drawn = torch.full((1, 3, 256, 256), 0.5)
        gap = add_detail(drawn, upper, lower, width, direction="down", **options)
        return upper[0], gap[0], lower[0]

    def test_it_goes_on_from_both_photos_as_their_reflections(self):
        upper, gap, lower = self.gap(0.6)
        torch.testing.assert_close(gap[..., :48], upper[..., -48:].flip(-1), atol=0.02, rtol=0)
        torch.testing.assert_close(gap[..., -48:], lower[..., :48].flip(-1), atol=0.02, rtol=0)

    def test_no_sea_lies_above_the_sky_of_the_lower_photo_but_that_of_the_upper_one(self):
        """Plain reflection would show a third sea: that of the lower photo, upside down."""
        _, gap, _ = self.gap(0.3)
        is_sky = (gap[2] > 0.65).float().mean(0)
        assert is_sky[:110].max() < 0.1
        assert is_sky[150:].min() > 0.9

    def test_without_layers_it_is_laid_with_pieces(self):
        _, reflected, _ = self.gap(0.3)
        _, laid, _ = self.gap(0.3, layers=0)
        assert (reflected - laid).abs().mean() > 0.05

    @pytest.mark.parametrize("width", [64, 300, 2048])
    def test_gaps_of_every_width(self, width):
        _, gap, _ = self.gap(0.5, width)
        assert gap.shape == (3, 256, width) and gap.isfinite().all()
