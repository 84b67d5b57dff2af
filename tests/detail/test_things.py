"""Which things reach the gap, and which lie apart from it."""

import pytest
import torch

from wrb.detail import DetailSettings
from wrb.detail.things import find_things

SETTINGS = DetailSettings(thing_margin=0)


def likely(*boxes):
    """A map, (64 80), with likely places in boxes of rows and columns."""
    places = torch.full((64, 80), 0.1)
    for top, bottom, left, right in boxes:
        places[top:bottom, left:right] = 0.9
    return places


def test_a_thing_within_the_photo_lies_apart():
    apart, reaching = find_things(likely((10, 20, 30, 40)), SETTINGS)
    assert torch.equal(apart > 0, likely((10, 20, 30, 40)) > 0.5)
    assert not reaching.any()


def test_a_thing_at_the_last_column_reaches_the_gap_with_all_of_it():
    """However far it goes round corners."""
    places = likely((10, 20, 60, 80), (10, 50, 60, 64), (46, 50, 20, 64), (5, 8, 70, 75))
    apart, reaching = find_things(places, SETTINGS)
    assert reaching[48, 21] == 1 and reaching[15, 79] == 1
    assert apart.sum() == 3 * 5


@pytest.mark.parametrize("margin", [1, 2])
def test_a_margin_is_taken_for_the_thing(margin):
    apart, _ = find_things(likely((10, 20, 30, 40)), DetailSettings(thing_margin=margin))
    assert apart.sum() == (10 + 2 * margin) ** 2


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_all_of_a_photo(share):
    apart, reaching = find_things(torch.full((64, 7), share), SETTINGS)
    assert not apart.any()
    assert reaching.mean() == share


def test_what_is_more_likely_a_thing_than_not_is_one_with_a_px_around_it():
    """With the defaults."""
    places = torch.full((64, 80), 0.45)
    places[10:20, 30:40] = 0.55
    apart, _ = find_things(places, DetailSettings())
    assert torch.equal(apart.nonzero()[[0, -1]], torch.tensor([[9, 29], [20, 40]]))
