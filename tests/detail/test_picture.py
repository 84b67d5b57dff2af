"""The gaps that the built-in model makes of the sample photos, pinned: see scripts/pin_gaps.py before changing them."""

import pytest
import torch

from scripts.pin_gaps import HEIGHT, are_pinned, gaps_of, make_panoramas


@pytest.fixture(scope="module")
def made():
    return make_panoramas()


def repeated(correspondence):
    """Share of the gap whose source is used again, the same way round."""
    offset, in_right = correspondence.offset, correspondence.in_right
    sources = torch.arange(offset.shape[1]) + offset + 1_000_000 * in_right
    counts = [row.unique(return_counts=True)[1] for row in sources]
    return sum(int(count[count > 1].sum()) for count in counts) / offset.numel()


def test_the_gaps_are_the_pinned_ones(made):
    assert are_pinned(gaps_of(made))


def test_the_pin_notices_a_change_of_a_fifth_of_a_level_and_a_spot_but_not_rounding(made):
    gaps = gaps_of(made)
    assert are_pinned(gaps + 1e-4 * torch.randn_like(gaps))
    assert not are_pinned(gaps + 0.2 / 255)
    gaps[0, :, 100:116, 100:116] += 0.05
    assert not are_pinned(gaps)


def test_no_edge_of_a_gap_stands_out(made):
    """The step across it is less than a third of the usual one from column to column in the photos."""
    for one, _ in made:
        steps = one.panorama.diff(dim=-1).abs().mean(dim=(0, 1, 2))
        first = one.layout.photo_widths[0] - 1
        usual = torch.cat([steps[:first], steps[first + HEIGHT + 1 :]]).median()
        assert max(steps[first], steps[first + HEIGHT]) < usual / 3


def test_less_than_half_of_a_gap_is_there_twice(made):
    shares = [repeated(correspondence) for _, correspondence in made]
    assert max(shares) < 0.45
    assert sum(shares) / len(shares) < 0.3
