import pytest
import torch

from tests.scenery import scenery
from wrb.arrangement import FINEST
from wrb.cutting import CHOICES, Cutting, nearby
from wrb.matching import ROWS, Matching


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def finest(left, right, width):
    return Matching(left, right, width, margin=1)


def seen(matching, sources, left_width):
    """The pixels that the sources show, (3 h w)."""
    height, width = sources.shape
    return matching.strip[:, torch.arange(height)[:, None], left_width + torch.arange(width) + sources]


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
    laid = (first + second) / 2
    of_second = Cutting(matching, laid, cells).cut() == 20 + 200
    # mirrors bridge the ends; between them each row passes once, on the line
    inside = of_second[:, 16:-16]
    torch.testing.assert_close(inside.float().diff(dim=1).abs().sum(1), torch.ones(height))
    assert (inside.float().argmax(1) + 16 - line - 1).abs().float().mean() < 1


def test_a_pixel_chooses_among_the_nearest_cells():
    """Its own first, those beside it, then the corners; and none twice while there is another."""
    cells = torch.tensor([[1, 2, 3], [1, 5, 1], [1, 2, 9]])[None]
    assert nearby(cells)[0, :, 1, 1].tolist() == [5, 2, 1, 3]
    assert nearby(cells)[0, :, 2, 2].tolist() == [9, 1, 2, 5]
    assert nearby(torch.zeros(2, 4, 5)).shape == (2, CHOICES, 4, 5)


def test_an_edge_goes_on_by_a_mirror_where_nothing_else_fits():
    left, right = scenery(64, 100)[0], scenery(64, 100)[0]
    matching = finest(left, right, 64)
    cells = torch.full((ROWS, 16), -90)  # pixels from elsewhere in the left photo
    sources = Cutting(matching, left[..., :64], cells).cut()
    gap = seen(matching, sources, 100)
    steps = torch.stack([(gap[..., 0] - left[..., -1]).abs().mean(), (gap[..., -1] - right[..., 0]).abs().mean()])
    assert (steps < 0.5 * (left[..., 11] - left[..., -1]).abs().mean()).all()
    mirrored = sources == 0
    assert mirrored[:, 0].float().mean() > 0.5
    assert not mirrored[:, 24:].any()
    assert (sources[:, 16:-16] == -90).all()


def test_texture_is_not_mirrored_at_an_edge():
    left, right = torch.rand(2, 3, 64, 100)
    cells = torch.full((ROWS, 16), -90)
    mirrored = Cutting(finest(left, right, 64), left[..., :64], cells).cut() == 0
    assert mirrored.float().mean() < 0.01


def test_what_lies_beyond_a_photo_is_no_source():
    left, right = scenery(64, 80)[0], scenery(64, 80)[0]
    matching = finest(left, right, 128)
    starts = torch.cat([torch.arange(160 - 3), torch.arange(160, 320 - 3)])
    starts = starts[torch.randint(len(starts), (ROWS, 32))]
    sources = Cutting(matching, torch.rand(3, 64, 128), starts - 80 - 4 * torch.arange(32)).cut()
    column = 80 + torch.arange(128) + sources
    assert 0 <= column.min() and column.max() < 320
