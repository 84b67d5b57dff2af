"""Semi-global matching (Hirschmüller, TPAMI 2008): labels that are chosen jointly along rows and columns.

The cost of a label at a place is aggregated along paths: to it is added what the cheapest labelling of all places
before costs, given the label here. Two paths along each axis, forward and backward, are added up.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor


def aggregate_paths(total: Tensor, costs: Tensor, transition: Callable[[Tensor, int], Tensor]) -> None:
    """Add the costs of the cheapest paths along the first axis, from both of its ends, to `total`, in place.

    Args:
        total: of the shape of `costs`.
        costs: of each label, in the last axis, at each place.
        transition: for the paths forward and backward, stacked in the first axis, takes the cost of the cheapest path
            to each label at one place, less the least of them, and the number of the step, from 0; returns what it
            costs to go on to each label at the next place. It may work in place.
    """
    paths = torch.stack([costs, costs.flip(0)], dim=1)  # both at once: small operations take the time here
    for step, (path, here) in enumerate(pairwise(paths.unbind())):
        here += transition(path - path.amin(-1, keepdim=True), step)
    forward, backward = paths.unbind(1)
    total += forward
    total += backward.flip(0)
