from dataclasses import replace

import pytest
import torch

from tests.scenery import scenery
from wrb.detail import DetailSettings
from wrb.detail.patch_matching import PatchMatching
from wrb.detail.seam_cutting import SeamCutting, nearest_distinct, refine
from wrb.detail.sources import SourceStrip

SETTINGS = DetailSettings()

FINEST = 64
"""Height of the finest level in px."""

ROWS = 16
"""Rows of cells."""


def finest(left, right, width):
    return PatchMatching(SourceStrip(left, right, width), 1, SETTINGS)


def seen(matching, offset, left_width):
    """The pixels that lie at the offsets, (3 h w)."""
    height, width = offset.shape
    return matching.image[:, torch.arange(height)[:, None], left_width + torch.arange(width) + offset]


def test_pieces_are_cut_where_they_look_alike():
    """Two pieces agree in one slanting line alone: the cut follows it, though their cells meet in a straight one."""
    width = 64
    step, height = FINEST // ROWS, FINEST
    left = torch.rand(3, height, 100)
    right = torch.rand(3, height, 100)
    line = 28 + torch.arange(height) // 8
    first, second = left[..., 10 : 10 + width], right[..., 20 : 20 + width]
    place = torch.arange(height)
    for beside in (0, 1):
        second[:, place, line + beside] = first[:, place, line + beside]
    matching = finest(left, right, width)
    cells = torch.full((ROWS, width // step), 10 - 100)
    cells[:, width // step // 2 :] = 20 + 200
    gap = (first + second) / 2
    of_second = SeamCutting(matching, gap, cells).cut() == 20 + 200
    # mirrors bridge the ends; between them each row passes once, on the line
    inside = of_second[:, 16:-16]
    torch.testing.assert_close(inside.float().diff(dim=1).abs().sum(1), torch.ones(height))
    assert (inside.float().argmax(1) + 16 - line - 1).abs().float().mean() < 1


def test_a_pixel_chooses_among_the_nearest_cells():
    """Its own first, those beside it, then the corners; and none twice while there is another."""
    cells = torch.tensor([[1, 2, 3], [1, 5, 1], [1, 2, 9]])[None]
    assert nearest_distinct(cells, 4)[0, :, 1, 1].tolist() == [5, 2, 1, 3]
    assert nearest_distinct(cells, 4)[0, :, 2, 2].tolist() == [9, 1, 2, 5]
    assert nearest_distinct(torch.zeros(2, 4, 5), 3).shape == (2, 3, 4, 5)


def test_an_edge_goes_on_by_a_mirror_where_nothing_else_fits():
    left, right = scenery(64, 100)[0], scenery(64, 100)[0]
    matching = finest(left, right, 64)
    cells = torch.full((ROWS, 16), -90)  # pixels from elsewhere in the left photo
    offset = SeamCutting(matching, left[..., :64], cells).cut()
    gap = seen(matching, offset, 100)
    steps = torch.stack([(gap[..., 0] - left[..., -1]).abs().mean(), (gap[..., -1] - right[..., 0]).abs().mean()])
    assert (steps < 0.5 * (left[..., 11] - left[..., -1]).abs().mean()).all()
    mirrored = offset == 0
    assert mirrored[:, 0].float().mean() > 0.5
    assert not mirrored[:, 24:].any()
    assert (offset[:, 16:-16] == -90).all()


def test_texture_is_hardly_mirrored_at_an_edge():
    left, right = torch.rand(2, 3, 64, 100)
    cells = torch.full((ROWS, 16), -90)
    mirrored = SeamCutting(finest(left, right, 64), left[..., :64], cells).cut() == 0
    assert mirrored.float().mean() < 0.02


def test_what_lies_beyond_a_photo_is_no_source():
    left, right = scenery(64, 80)[0], scenery(64, 80)[0]
    matching = finest(left, right, 128)
    starts = torch.cat([torch.arange(160 - 3), torch.arange(160, 320 - 3)])
    starts = starts[torch.randint(len(starts), (ROWS, 32))]
    offset = SeamCutting(matching, torch.rand(3, 64, 128), starts - 80 - 4 * torch.arange(32)).cut()
    column = 80 + torch.arange(128) + offset
    assert 0 <= column.min() and column.max() < 320


def test_a_pixel_has_the_offsets_of_four_cells_and_the_mirror_to_choose_from():
    left, right = torch.rand(2, 3, 64, 100)
    cells = torch.arange(16 * 16).view(16, 16) - 300
    cutting = SeamCutting(finest(left, right, 64), left[..., :64], cells)
    assert len(cutting.offsets) == 4 + 1
    assert (cutting.offsets[-1, :, :32] == 0).all()
    assert (cutting.offsets[-1, :, 32:] == cutting.matching.strip.right_mirror_offset).all()


def flat_costs(gap):
    """Of pixels between black photos, in their variances: of the cells' own offsets, and of the mirror."""
    photo = torch.zeros(3, 64, 100)
    cutting = SeamCutting(finest(photo, photo, 64), gap, torch.full((16, 16), -90))
    return cutting.costs[0] / cutting.matching.variance, cutting.costs[-1] / cutting.matching.variance


def test_a_misfit_counts_a_tenth_of_a_cut():
    gap = torch.full((3, 64, 64), 0.02)
    cost, _ = flat_costs(gap)
    variance = 1e-8  # the least there is
    torch.testing.assert_close(cost[:, 20:44], torch.full((64, 24), 0.1 * 3 * 0.02**2 / variance))


def test_the_mirror_at_the_edge_costs_a_tenth_for_every_cell():
    _, cost = flat_costs(torch.zeros(3, 64, 64))
    beyond_the_farther_photos_reach = slice(12, 32)
    place = torch.arange(64)[beyond_the_farther_photos_reach]
    torch.testing.assert_close(cost[:, beyond_the_farther_photos_reach], (place / 4 / 10).expand(64, -1))


def test_the_mirror_costs_ten_in_texture():
    left, right = torch.rand(2, 3, 64, 100)
    matching = finest(left, right, 64)
    cutting = SeamCutting(matching, torch.zeros(3, 64, 64), torch.full((16, 16), -90))
    costs = (cutting.costs[-1] - 0.1 * cutting.shown[-1].square().sum(0)) / matching.variance
    place = torch.arange(12, 32)
    texture = costs[:, 12:32] - place / 4 / 10
    assert texture.max().item() == pytest.approx(10, rel=1e-3)
    assert texture.median() > 7


def test_a_cut_costs_four_where_both_sides_look_alike():
    photo = torch.zeros(3, 64, 100)
    cells = torch.full((16, 16), -90)
    cells[:, 8:] = -80
    cutting = SeamCutting(finest(photo, photo, 64), torch.zeros(3, 64, 64), cells)
    across = cutting.cut_costs(0, 1)[0, 31] / cutting.matching.variance  # between the last pixel of a cell and the next
    one, other = cutting.offsets[:, 0, 31], cutting.offsets[:, 0, 32]
    torch.testing.assert_close(across, 4.0 * (one[:, None] != other))


def test_no_crumb_is_left():
    """A pixel that chose otherwise than all around it chooses again; `cut` does so once."""
    costs = torch.zeros(5, 6, 2)
    costs[..., 1] = 0.1
    differs = 1 - torch.eye(2)
    chosen = torch.zeros(5, 6, dtype=torch.long)
    chosen[2, 3] = 1
    below, right_of = differs.expand(4, 6, 2, 2), differs.expand(5, 5, 2, 2)
    assert refine(chosen, costs, below, right_of, 0)[2, 3] == 1
    assert (refine(chosen, costs, below, right_of, 1) == 0).all()


def test_pieces_have_few_crumbs():
    """Pixels whose offset none of their neighbours has: less than two thirds of what is left without choosing again."""
    left, right = scenery(64, 100)[0], scenery(64, 100)[0]
    cells = torch.randint(-100, -64, (8, 8)).repeat_interleave(2, 0).repeat_interleave(2, 1)
    counts = []
    for settings in (SETTINGS, replace(SETTINGS, num_refinements=0)):
        matching = PatchMatching(SourceStrip(left, right, 64), 1, settings)
        offset = SeamCutting(matching, left[..., :64], cells).cut()
        neighbours = torch.stack([offset[:-2, 1:-1], offset[2:, 1:-1], offset[1:-1, :-2], offset[1:-1, 2:]])
        counts.append(int((offset[1:-1, 1:-1] != neighbours).all(0).sum()))
    assert 3 * counts[0] < 2 * counts[1]


def test_a_thing_is_shown_by_its_mirror_at_the_edge_alone():
    """Of pixels between black photos, where the left one ends in a thing and has another one apart from the gap."""
    photo, things = torch.zeros(3, 64, 100), torch.zeros(2, 64, 100)
    things[0, :, 20:30] = things[1, :, 90:] = 1
    matching = PatchMatching(SourceStrip(photo, photo, 64, things), 1, SETTINGS)
    costs = SeamCutting(matching, torch.zeros(3, 64, 64), torch.full((16, 16), -78)).costs / matching.variance
    apart, beyond = costs[0, :, 2:6], costs[0, :, 10:]  # 100 + 2 - 78 = 24 lies in the thing, 32 beyond it
    assert (apart.mean() - beyond[:, :4].mean()).item() == pytest.approx(30, abs=0.1)
    assert (costs[-1, :, :10] < 1).all(), "the mirror, of the thing that reaches the gap"
