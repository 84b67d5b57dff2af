import torch

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
