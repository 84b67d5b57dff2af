"""From the gap as the network drew it to one as sharp as the photos.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where: `correspondence`, and where one photo passes into the other:
   `cross_dissolve`.
2. The low frequencies: `low_frequencies`.
3. The high frequencies, copied at full resolution: `high_frequencies`.

Step 1 costs the same at any height; steps 2 and 3 grow with the number of pixels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..network.config import IMAGE_SIZE
from ..poisson import low_pass, meet_edges
from ..resampling import pool, reflect, resample, resize
from .correspondence import find_correspondence
from .cross_dissolve import dissolve
from .high_frequencies import compose
from .low_frequencies import RowwiseResampling, guidance_cutoff, merge, trusted_cutoff
from .settings import DetailSettings


def add_detail(
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    width: int,
    strength: float = 1,
    *,
    settings: DetailSettings | None = None,
    allow_mirrored: bool = True,
    squares: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Scale a gap to its photos' height and to `width`, with their detail.

    The same input gives the same result, and a batch that of its pairs one by one. Photos lower than the finest level
    of matching (64 px) have no detail to give.

    Args:
        gap: as the network drew it, (b 3 256 w).
        left: the photos to its left, RGB in 0..1, (b 3 h w) of any size; of each, the square next to the gap is used,
            and beyond it as much as the gap is wide.
        right: the photos to its right, of the same height.
        width: of the result in px, at least h/4.
        strength: from 0, the gap merely scaled, to 1, all detail.
        settings: all that the picture depends on; None: the defaults.
        allow_mirrored: whether pieces of the photos may be mirrored, which in a panorama that runs down would stand on
            their heads.
        squares: of both photos, what lies next to the gap, (b 3 256 256), if it is at hand.
        out: where to write the result.

    Returns:
        (b 3 h width), not clamped, its edges close to the photos': to be met by `poisson.meet_edges`.
    """
    settings = settings or DetailSettings()
    height = left.shape[-2]
    out = left.new_empty(len(gap), 3, height, width) if out is None else out
    if strength == 0 or height < settings.finest_height:
        return out.copy_(resize(gap, height, width))
    for number, one in enumerate(zip(out, gap, left, right, strict=True)):
        _write_gap(*one, settings, allow_mirrored, [square[number] for square in squares or ()])
    return out if strength == 1 else torch.lerp(resize(gap, height, width), out, strength, out=out)


def _write_gap(
    out: Tensor,
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    settings: DetailSettings,
    allow_mirrored: bool,
    squares: Sequence[Tensor],
) -> None:
    """Write one gap, (3 h width), from (3 256 w), its photos, (3 h w), and what `add_detail` was given of those."""
    height, width = out.shape[-2:]
    num_rows = settings.num_cell_rows
    num_cells = round(width * num_rows / height)
    cell_width = width / num_cells  # in px and not always whole: cells fill the gap exactly
    left_cells, right_cells = (
        num_photo_cells(photo.shape[-1], max(height, width), cell_width, settings) for photo in (left, right)
    )
    left_width, right_width = round(left_cells * cell_width), round(right_cells * cell_width)
    left, right = _right_end(left, left_width), _left_end(right, right_width)

    def at_network_size(image: Tensor, num_cells: int) -> Tensor:
        return resample(image[None], IMAGE_SIZE, num_cells * IMAGE_SIZE // num_rows)[0]

    gap_small = at_network_size(gap, num_cells)
    if squares and {left_cells, right_cells} == {num_rows} and {left_width, right_width} == {height}:
        left_small, right_small = squares
    else:
        left_small = at_network_size(left, left_cells).clamp(0, 1)
        right_small = at_network_size(right, right_cells).clamp(0, 1)
    gap_small = meet_edges(gap_small[None], left_small[None, ..., -1:], right_small[None, ..., :1])[0]

    cutoff = trusted_cutoff(left_small, gap_small, right_small, settings)
    guiding = guidance_cutoff(cutoff, settings)
    correspondence = find_correspondence(
        left_small,
        gap_small,
        right_small,
        lambda image: low_pass(image, guiding),
        settings,
        allow_mirrored=allow_mirrored,
    )
    contributions = dissolve(correspondence, settings)

    enough = settings.finest_height if cutoff <= settings.finest_height / 4 else IMAGE_SIZE
    left_small, gap_small, right_small = (pool(part, enough) for part in (left_small, gap_small, right_small))
    merged = merge(left_small, gap_small, right_small, contributions, cutoff, settings)
    panorama_width = left_width + width + right_width
    low = RowwiseResampling(torch.cat([left_small, merged, right_small], dim=-1), height, panorama_width)

    def rows_of_parts(rows: slice) -> tuple[Tensor, Tensor]:
        low_left, low_gap, low_right = low.rows(rows).split([left_width, width, right_width], dim=-1)
        return low_gap, torch.cat([left[:, rows] - low_left, right[:, rows] - low_right], dim=-1)

    compose(out, rows_of_parts, (left_width, right_width), contributions)


def num_photo_cells(photo_width: int, most: int, cell_width: float, settings: DetailSettings) -> int:
    """Of how many cells of a photo the gap is laid: of at most so many px of it, and of at least `min_photo_cells`."""
    return max(settings.min_photo_cells, int(min(photo_width, most) / cell_width))


def _right_end(photo: Tensor, width: int) -> Tensor:
    """The last columns of a photo, (3 h width); where it is narrower, it is reflected."""
    return photo[..., -width:] if photo.shape[-1] >= width else _left_end(photo.flip(-1), width).flip(-1)


def _left_end(photo: Tensor, width: int) -> Tensor:
    """The first columns, likewise."""
    if photo.shape[-1] >= width:
        return photo[..., :width]
    return photo[..., reflect(torch.arange(width, device=photo.device), photo.shape[-1])]
