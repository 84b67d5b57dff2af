"""Gaps that run down: both photos go on as their reflections, and one passes into the other.

Below a landscape its reflection is what water shows, while pieces laid one below the other hang in the air and repeat.
But land that a photo's reflection shows above it hangs from the sky, what is reflected a second time repeats, and so do
things. So one photo passes into the other where least of that is left, and along skylines what is left gives way.

As everywhere in the detail, all is transposed: the upper photo is the left one.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..resampling import reflect
from .correspondence import Correspondence
from .cross_dissolve import Contributions, dissolve
from .segmentation import SKY
from .settings import DetailSettings

EDGE = (9, 3)
"""Height and width in px of the places at a photo's edge that tell, by their mean, which layer lies there."""

CENTRING = 1e-3
"""Cost of a place of distance from the gap's middle: of equally good places to pass, the middle one is taken."""


def dissolve_reflections(
    classes: tuple[Tensor, Tensor], things: tuple[Tensor, Tensor], width: int, settings: DetailSettings
) -> Contributions:
    """What both photos' reflections contribute to a gap, at a height of 64 px.

    Args:
        classes: how likely every place of the left and of the right photo is sky, land or water, (3 64 w).
        things: in both, (2 64 w), as of `find_things`.
        width: of the gap in px, at that height.
        settings: of the detail.
    """
    in_left = faults(classes[0].flip(-1), things[0].flip(-1), width, settings.reflected_layer_penalty, settings)
    in_right = faults(classes[1], things[1], width, 1.0, settings).flip(-1)
    is_right = torch.arange(width, device=in_left.device) >= best_cut(in_left, in_right, settings)
    offset = torch.zeros_like(in_left, dtype=torch.long)
    of_left, of_right = dissolve(Correspondence(is_right.expand_as(offset), offset), settings)
    left, right = (
        contribution.weight / (settings.tolerated_fault + _spread(fault, settings.fault_margin))
        for contribution, fault in ((of_left, in_left), (of_right, in_right))
    )
    return replace(of_left, weight=left / (left + right)), replace(of_right, weight=right / (left + right))


def mix_reflections(left: Tensor, right: Tensor, contributions: Contributions, width: int) -> Tensor:
    """The gap, (3 h width), that two photos' reflections make, (3 h w), each with its weight."""
    place = torch.arange(width, device=left.device)
    from_left, from_right = (photo[..., reflect(place, photo.shape[-1])] for photo in (left.flip(-1), right))
    of_right = F.interpolate(contributions[1].weight[None, None], (left.shape[-2], width), mode="bilinear")[0, 0]
    return torch.lerp(from_left, from_right.flip(-1), of_right)


def faults(classes: Tensor, things: Tensor, width: int, layer_penalty: float, settings: DetailSettings) -> Tensor:
    """What it costs to show a photo's reflection at each place of a gap, (64 width), from the edge on.

    Args:
        classes: of the photo, from the edge on, (3 64 w).
        things: in it, likewise, (2 64 w).
        width: of the gap.
        layer_penalty: of what lies beyond the layer at the edge.
        settings: of the detail.
    """
    place = torch.arange(width, device=classes.device)
    column = reflect(place, classes.shape[-1])
    sky = classes[SKY][..., column]
    beyond_layer = (~is_in_layer_at_edge(classes)).to(sky)[..., column]
    repeated = place >= classes.shape[-1]
    penalties = torch.where(repeated, settings.reflected_layer_penalty, layer_penalty * beyond_layer)
    return penalties + settings.repeated_reflection_penalty * (repeated * (1 - sky) + things[0][..., column])


def is_in_layer_at_edge(classes: Tensor) -> Tensor:
    """Whether places of a photo, (3 h w) from the edge on, belong to the sky, land or water that lies at the edge of
    their row: (h w)."""
    rows, columns = EDGE
    margin = rows // 2
    at_edge = F.pad(classes[..., :columns].mean(-1), (margin, margin), mode="replicate")
    at_edge = F.avg_pool1d(at_edge[None], rows, 1)[0].argmax(0)
    likely = classes.argmax(0) == at_edge[:, None]
    return likely.cummin(-1).values


def best_cut(in_left: Tensor, in_right: Tensor, settings: DetailSettings) -> int:
    """The column from which on the right photo's reflection is shown, in a gap with these faults, (h w)."""
    width = in_left.shape[-1]
    reach = min(round(settings.dissolve_width * settings.finest_height), width // 2)
    of_left, of_right = F.pad(in_left.mean(0).cumsum(0), (1, 0)), F.pad(in_right.mean(0).flip(0).cumsum(0), (1, 0))
    costs = F.avg_pool1d((of_left + of_right.flip(0))[None], 2 * reach + 1, 1)[0]
    place = torch.arange(len(costs), device=costs.device)
    return reach + int((costs + CENTRING * (place - place[-1] / 2).abs()).argmin())


def _spread(image: Tensor, margin: int) -> Tensor:
    """Means over so many px around each place, (h w)."""
    return F.avg_pool2d(F.pad(image[None], (margin,) * 4, mode="replicate"), 2 * margin + 1, 1)[0]
