"""How far the skyline of a drawing is from the true one: what it says of the layout, whatever it says of texture."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from wrb.detail.layers import CLEAR
from wrb.detail.segmentation import HEIGHT, best_parting, segment, skyline
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from ..data import central


def skyline_distances(panoramas: Tensor, truth: Tensor, gap_columns: int) -> Tensor:
    """How far the skyline is from the true one, in the columns of the gap that truly have one.

    What the true gap shows above and below its skyline, by its segmentation, gives two colours for each column. The row
    that best parts a column into them is its skyline, in the truth as in the drawing. A segmentation of the drawing
    would not do: it takes any smooth water for sky.

    Args:
        panoramas: left photo, gap and right photo side by side, RGB in 0..1, (b 3 256 512+64·gap_columns).
        truth: the same with the true gap.
        gap_columns: width of the gap in columns of 64 px.

    Returns:
        (n), in px at a height of 64 px, for those of the b·16·gap_columns columns that have a skyline.
    """
    width = gap_columns * COLUMN_WIDTH * HEIGHT // IMAGE_SIZE
    drawn, true = (central(F.avg_pool2d(images, IMAGE_SIZE // HEIGHT), width) for images in (panoramas, truth))
    rows = central(skyline(segment(truth).classes), width)
    is_sky = torch.arange(HEIGHT, device=truth.device)[:, None] < HEIGHT * rows[:, None, None]
    sky, ground = (
        (true * part).sum(2, keepdim=True) / part.sum(2, keepdim=True).clamp(min=1) for part in (is_sky, ~is_sky)
    )
    drawn_rows, true_rows = (
        best_parting((images - sky).square().sum(1), (images - ground).square().sum(1)) for images in (drawn, true)
    )
    return (drawn_rows - true_rows).abs()[(rows > CLEAR) & (rows < 1 - CLEAR)].float()
