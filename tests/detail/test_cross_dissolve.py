import pytest
import torch

from wrb.detail import DetailSettings, add_detail
from wrb.detail.correspondence import Correspondence
from wrb.detail.cross_dissolve import dissolve

IN_LEFT, IN_RIGHT = -100, 120
"""Offsets that lead into the photos, far from their mirrors."""

REACH = 16
"""A quarter of the finest level's 64 px: so far on each side of a cut the photos dissolve into each other."""

SETTINGS = DetailSettings()


def cut_at(columns, width):
    """Of a gap whose left part, up to a column of each row, is from the left photo and the rest from the right."""
    in_right = torch.arange(width) >= torch.tensor(columns)[:, None]
    return Correspondence(in_right, torch.where(in_right, IN_RIGHT, IN_LEFT))


@pytest.mark.parametrize("width", [16, 40, 100])
def test_weights_pass_from_the_left_photo_to_the_right_one(width):
    left, right = dissolve(cut_at([0, width // 2, width], width), SETTINGS)
    torch.testing.assert_close(left.weight + right.weight, torch.ones(3, width))
    assert (right.weight[:, 0] < 0.01).all() and (right.weight[:, -1] > 0.99).all()
    assert (right.weight.diff(dim=1) >= 0).all()
    assert right.weight.diff(dim=1).max() < 1.7 / REACH


def test_far_from_a_cut_each_place_is_one_photos_alone_and_all_between_is_of_both():
    _, right = dissolve(cut_at([50], 100), SETTINGS)
    assert (right.weight[0, : 50 - REACH] == 0).all()
    assert (right.weight[0, 50 + REACH :] == 1).all()
    between = right.weight[0, 50 - REACH + 2 : 50 + REACH - 2]
    assert ((between > 0) & (between < 1)).all()


def test_places_keep_their_offsets_and_pieces_go_on_beyond_cuts():
    correspondence = cut_at([50], 100)
    correspondence.offset[0, :20] -= 5
    left, right = dissolve(correspondence, SETTINGS)
    assert left.offset[0].tolist() == [IN_LEFT - 5] * 20 + [IN_LEFT] * 80
    assert (right.offset == IN_RIGHT).all()


def test_without_a_piece_in_a_row_a_photo_is_mirrored():
    left, right = dissolve(cut_at([60], 60), SETTINGS)
    assert (left.offset == IN_LEFT).all()
    assert (right.offset == 0).all()
    assert (right.weight[0, : 60 - REACH] == 0).all()


def test_no_line_shows_between_photos_that_have_nothing_in_common():
    """Stripes of one photo beside the plain grey of the other: no column stands out against the one before."""
    height = 256
    stripes = 0.5 + 0.2 * torch.sin(torch.arange(height) * torch.pi / 16)[:, None].expand(1, 3, height, height)
    plain = torch.full((1, 3, height, height), 0.5)
    gap = add_detail(plain, stripes, plain, height)
    contrast = torch.cat([stripes, gap, plain], dim=-1).std(dim=-2)[0, 0, height - 8 : -height + 8]
    assert contrast[0] > 0.13 and contrast[-1] < 0.01
    assert contrast.diff().abs().max() < 0.14 / (height / 8)
