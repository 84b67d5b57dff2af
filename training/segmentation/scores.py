"""How well classes are told: intersection over union."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from wrb.detail.segmentation import CLASSES


def intersection_over_union(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Of each class, (3), over all places of all photos; NaN for a class that there is none of.

    Args:
        pairs: what is right, or another number where nothing is known, and what was told; integers of one shape.
    """
    num = len(CLASSES)
    counts = torch.zeros(num, num)
    for right, told in pairs:
        known = (right >= 0) & (right < num)
        counts += torch.bincount(right[known] * num + told[known], minlength=num * num).view(num, num)
    return counts.diag() / (counts.sum(0) + counts.sum(1) - counts.diag())
