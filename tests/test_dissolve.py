import pytest
import torch

from wrb.arrangement import FINEST
from wrb.detail import add_detail
from wrb.dissolve import PASSING, dissolve

IN_LEFT, IN_RIGHT = -100, 120
"""So many px away from the mirrors lie parts of the photos."""


def sources(cut, width):
    """Of a gap whose left part, up to a column of each row, is from the left photo and the rest from the right."""
    cut = torch.tensor(cut)[:, None]
    in_right = torch.arange(width) >= cut
    return in_right, torch.where(in_right, IN_RIGHT, IN_LEFT)


@pytest.mark.parametrize("width", [FINEST // 4, 40, 100])
def test_shares_pass_from_the_left_photo_to_the_right_one(width):
    left, right = dissolve(*sources([0, width // 2, width], width))
    torch.testing.assert_close(left.share + right.share, torch.ones(3, width))
    assert (right.share[:, 0] < 0.01).all() and (right.share[:, -1] > 0.99).all()
    assert (right.share.diff(dim=1) >= 0).all()
    assert right.share.diff(dim=1).max() < 1.7 / PASSING


def test_far_from_a_cut_each_place_is_one_photos_alone():
    _, right = dissolve(*sources([50], 100))
    assert (right.share[0, : 50 - PASSING] == 0).all()
    assert (right.share[0, 50 + PASSING :] == 1).all()


def test_places_keep_their_sources_and_pieces_go_on_beyond_cuts():
    in_right, given = sources([50], 100)
    given[0, :20] -= 5
    left, right = dissolve(in_right, given)
    assert left.sources[0].tolist() == [IN_LEFT - 5] * 20 + [IN_LEFT] * 80
    assert (right.sources == IN_RIGHT).all()


def test_without_a_piece_in_a_row_a_photo_is_mirrored():
    left, right = dissolve(torch.zeros(1, 60, dtype=torch.bool), torch.full((1, 60), -70))
    assert (left.sources == -70).all()
    assert (right.sources == 0).all()
    assert (right.share[0, : 60 - PASSING] == 0).all()


def test_no_line_shows_between_photos_that_have_nothing_in_common():
    """Stripes of one photo beside the plain grey of the other: no column stands out against the one before."""
    height = 256
    stripes = 0.5 + 0.2 * torch.sin(torch.arange(height) * torch.pi / 16)[:, None].expand(1, 3, height, height)
    plain = torch.full((1, 3, height, height), 0.5)
    gap = add_detail(plain, stripes, plain, height)
    contrast = torch.cat([stripes, gap, plain], dim=-1).std(dim=-2)[0, 0, height - 8 : -height + 8]
    assert contrast[0] > 0.13 and contrast[-1] < 0.01
    assert contrast.diff().abs().max() < 0.14 / (height / 8)
