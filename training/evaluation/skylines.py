"""Where a gap has its skyline: what the network's drawing says of the layout, whatever it says of texture."""

from __future__ import annotations

from torch import Tensor

from wrb.detail.segmentation import HEIGHT, segment, skyline
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from ..data import central


def gap_skyline(panoramas: Tensor, gap_columns: int) -> Tensor:
    """The row at which the sky ends in each column of the gap, at a height of 64 px.

    What is sky is told in the whole panorama, so that the photos beside the gap help to tell it in a blurred one.

    Args:
        panoramas: left photo, gap and right photo side by side, RGB in 0..1, (b 3 256 512+64·gap_columns).
        gap_columns: width of the gap in columns of 64 px.

    Returns:
        (b 16·gap_columns), in px from the upper edge: 0 without sky, 64 with nothing else.
    """
    rows = HEIGHT * skyline(segment(panoramas).classes)
    return central(rows, gap_columns * COLUMN_WIDTH * HEIGHT // IMAGE_SIZE)
