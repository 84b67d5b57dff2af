"""Things are whole, or they are not there.

A house, a boat or a lone tree looks broken in pieces, and odd if it stands there again. So none is a source of the gap,
but for those that reach it, perhaps cut by it: such a thing may go on as its own mirror at the gap's edge, and so end
along itself.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .settings import DetailSettings


def find_things(likely: Tensor, settings: DetailSettings) -> Tensor:
    """Where things are, and which of them reach the gap.

    Args:
        likely: how likely a place of the photo to the left of the gap belongs to a thing, (h w).
        settings: of the detail.

    Returns:
        (2 h w): 1 in things apart from the gap, and 1 in those that reach it.
    """
    things = (likely[None] > settings.thing_threshold).to(likely)
    things = _grown(things, settings.thing_margin)
    reaching = torch.zeros_like(things)
    reaching[..., -1:] = things[..., -1:]
    while not torch.equal(spread := _grown(reaching, 1) * things, reaching):
        reaching = spread
    return torch.cat([things - reaching, reaching])


def _grown(places: Tensor, margin: int) -> Tensor:
    """Places of 1, (1 h w), with so many px around them."""
    return F.max_pool2d(places, 2 * margin + 1, 1, margin)
