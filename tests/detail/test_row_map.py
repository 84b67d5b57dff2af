"""Rows of a gap that are moved so that layers meet."""

import pytest
import torch

from wrb.detail import DetailSettings
from wrb.detail.cross_dissolve import Contribution
from wrb.detail.layers import EDGES, smooth_rows
from wrb.detail.row_map import RowMap, interpolate

SETTINGS = DetailSettings()

LANDMARKS = (EDGES[0], (0.3, 0.6), EDGES[1])


@pytest.fixture(params=[(0.0, 1.0), (1 / 3, 1.0), (0.0, 0.5)])
def row_map(request) -> RowMap:
    return RowMap(*smooth_rows(LANDMARKS, SETTINGS), *request.param)


def smooth_image(height, width):
    row, column = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
    return 0.5 + 0.4 * torch.sin(9 * row + torch.tensor([0.0, 1, 2])[:, None, None] + 3 * column)


def test_photos_that_lie_as_they_are_stay():
    unmoved = RowMap(*smooth_rows(EDGES, SETTINGS))
    row = (torch.arange(32) + 0.5) / 32
    torch.testing.assert_close(unmoved.rows_shown(32, 20), row[:, None].expand(2, 32, 20))
    image = smooth_image(64, 48)
    torch.testing.assert_close(unmoved.push(image), image, atol=5e-3, rtol=0)
    torch.testing.assert_close(unmoved.pull(image), image)


def test_at_either_end_of_a_gap_its_photo_lies_as_it_is(row_map):
    row = (torch.arange(200) + 0.5) / 200
    left, right = row_map.rows_shown(200, 2000)
    torch.testing.assert_close(left[:, 0], row, atol=1e-3, rtol=0)
    torch.testing.assert_close(right[:, -1], row, atol=1e-3, rtol=0)


def test_where_the_photos_pass_into_each_other_their_landmarks_lie_on_each_other(row_map):
    left, right = row_map.rows_shown(200, 400)
    beside_left = (left - LANDMARKS[1][0]).abs().argmin(0)
    beside_right = (right - LANDMARKS[1][1]).abs().argmin(0)
    assert (beside_left - beside_right).abs().max() <= 6  # of 200: smoothing rounds a landmark off
    heights = beside_left / 200
    assert (heights.diff() >= 0).all()
    assert heights[0] == pytest.approx(0.3, abs=0.03)
    assert heights[-1] == pytest.approx(0.6, abs=0.03)


def test_swapped_and_mirrored_photos_give_the_mirrored_displacement(row_map):
    mirrored = RowMap(row_map.right_rows, row_map.left_rows, 1 - row_map.end, 1 - row_map.start)
    torch.testing.assert_close(mirrored.rows_shown(64, 80), row_map.rows_shown(64, 80).flip(0, -1), atol=1e-5, rtol=0)


def test_landmarks_the_other_way_round_give_the_rows_the_other_way_round():
    left, right = smooth_rows(LANDMARKS, SETTINGS)
    swapped = smooth_rows(tuple((there, here) for here, there in LANDMARKS), SETTINGS)
    torch.testing.assert_close(swapped, (right, left))


def test_a_gap_comes_back_from_the_common_rows(row_map):
    gap = smooth_image(64, 96)
    back = row_map.push(row_map.pull(gap))
    torch.testing.assert_close(back[:, 4:-4], gap[:, 4:-4], atol=0.02, rtol=0)


def test_what_lies_at_a_photos_own_rows_lies_at_the_common_ones_when_it_is_rectified(row_map):
    photo = smooth_image(256, 40)
    rectified = row_map.rectify(photo, row_map.left_rows)
    rows = interpolate(torch.linspace(0, 1, 65)[None], row_map.left_rows[None], (torch.arange(256)[None] + 0.5) / 256)[
        0
    ]
    expected = photo[:, (rows * 256).long().clamp(0, 255)]
    torch.testing.assert_close(rectified, expected, atol=0.03, rtol=0)


def test_what_a_photo_gives_moves_as_far_as_the_photo_does(row_map):
    """A line across the right photo's part of a gap ends up where the map lays the photo's row."""
    height, width, line = 256, 128, 150
    weight = torch.ones(64, 32)
    contributions = (
        Contribution(torch.zeros(64, 32).long(), 1 - weight),
        Contribution(torch.zeros(64, 32).long(), weight),
    )
    contributions[0].weight[:, 0] = 1
    of_photos = torch.zeros(3, height, width), torch.zeros(3, height, width)
    of_photos[1][:, line] = 1
    gap = torch.zeros(3, height, width)
    row_map.add_moved(gap, of_photos, contributions)
    found = gap[0].argmax(0)
    expected = (row_map.rows_shown(height, width)[1] - (line + 0.5) / height).abs().argmin(0)
    assert (found - expected).abs().max() <= 1


def test_in_part_rows_move_in_proportion(row_map):
    whole = row_map.right_rows - row_map.left_rows
    half = row_map.in_part(0.5)
    torch.testing.assert_close(half.right_rows - half.left_rows, whole / 2)
    assert (half.start, half.end) == (row_map.start, row_map.end)
    torch.testing.assert_close(row_map.in_part(1).left_rows, row_map.left_rows)


def test_contributions_at_a_photos_own_rows(row_map):
    offset = torch.arange(64)[:, None].expand(64, 8).contiguous()
    weight = (torch.arange(64)[:, None] / 63).expand(64, 8)
    left, right = row_map.in_own_rows((Contribution(offset, weight), Contribution(offset, 1 - weight)))
    row = (torch.arange(64) + 0.5) / 64
    for moved, rows in ((left, row_map.left_rows), (right, row_map.right_rows)):
        common = interpolate(rows[None], torch.linspace(0, 1, len(rows))[None], row[None])[0]
        assert (moved.offset[:, 0] - common * 64).abs().max() <= 1
    torch.testing.assert_close(left.weight[:, 0].sort().values, left.weight[:, 0])
