import torch

from wrb import blend
from wrb.painter import without_fringe

FRINGE = 3
"""Width in px of the border that the network draws badly."""


def test_the_border_is_continued_from_within():
    gap = torch.rand(2, 3, 20, 30)
    drawn = without_fringe(gap)
    inner = (..., slice(FRINGE, -FRINGE), slice(FRINGE, -FRINGE))
    assert torch.equal(drawn[inner], gap[inner])
    assert torch.equal(drawn[..., 10, :FRINGE], gap[..., 10, FRINGE, None].expand(-1, -1, FRINGE))
    assert torch.equal(drawn[..., -1, 15], gap[..., -1 - FRINGE, 15])


def test_redrawing_passes_into_the_rest_of_the_photo_over_a_quarter_of_the_square(tiny_generator):
    """At 192 of 256 px from the gap all is redrawn, at 224 half, at 256 nothing."""
    left, right = 0.4 + 0.2 * torch.rand(1, 3, 256, 600), 0.4 + 0.2 * torch.rand(1, 3, 256, 256)
    panorama = blend(tiny_generator, left, right, photo_mode="redraw").panorama
    square = left[..., -256:]
    change = (panorama[..., 600 - 256 : 600] - square)[..., FRINGE:-FRINGE, :]
    full = (tiny_generator(square, right)[..., :256] - square)[..., FRINGE:-FRINGE, :]
    share = (change * full).sum(dim=(0, 1, 2)) / full.square().sum(dim=(0, 1, 2))
    distance = torch.arange(256, 0, -1) - 0.5
    expected = (0.5 + 0.5 * torch.cos(torch.pi * ((distance - 192) / 64).clamp(0, 1)))[FRINGE:-FRINGE]
    torch.testing.assert_close(share[FRINGE:-FRINGE], expected, atol=1e-3, rtol=0)
