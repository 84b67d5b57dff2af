"""How well classes and things are told."""

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


def precision_and_recall(pairs: Iterable[tuple[Tensor, Tensor]]) -> tuple[float, float]:
    """Which share of what was told is right, and which share of what there is was told, over all places of all photos.

    Args:
        pairs: 1 where something is and 0 where not, or another number where nothing is known, and what was told;
            integers of one shape.
    """
    found = told_in_all = there = 0
    for right, told in pairs:
        known = (right == 0) | (right == 1)
        found += int(((right == 1) & (told == 1)).sum())
        told_in_all += int(((told == 1) & known).sum())
        there += int((right == 1).sum())
    return found / max(told_in_all, 1), found / max(there, 1)
