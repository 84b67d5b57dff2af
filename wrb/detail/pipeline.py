"""From the gap as the network drew it to one as sharp as the photos.

The network draws at a height of 256 px, and weak weights draw softly even there. What it does draw, colours and
layout, is kept; everything finer comes from the photos, in three steps:

1. Which part of the photos belongs where: `correspondence`, without their `things`; and where one photo passes into the
   other: `cross_dissolve`.
2. The low frequencies: `low_frequencies`.
3. The high frequencies, copied at full resolution: `high_frequencies`.

Step 1 costs the same at any height; steps 2 and 3 grow with the number of pixels. Gaps that run down are `reflections`
instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..devices import convolving_exactly
from ..geometry import Direction, transposed
from ..network.config import IMAGE_SIZE
from ..poisson import low_pass, meet_edges
from ..resampling import pool, reflect, resample, resize
from .correspondence import find_correspondence
from .cross_dissolve import Contributions, dissolve
from .high_frequencies import compose
from .layers import match_layers
from .low_frequencies import RowwiseResampling, guidance_cutoff, merge, trusted_cutoff
from .reflections import dissolve_reflections, mix_reflections
from .row_map import RowMap
from .segmentation import HEIGHT, Segmentation, segment
from .settings import DetailSettings
from .things import find_things


@convolving_exactly()
def add_detail(
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    width: int,
    strength: float = 1,
    *,
    settings: DetailSettings | None = None,
    layers: float = 1,
    direction: Direction = "right",
    squares: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Scale a gap to its photos' height and to `width`, with their detail.

    The same input gives the same result, on any device but for rounding, and a batch that of its pairs one by one.
    Photos lower than the finest level of matching (64 px) have no detail to give.

    Args:
        gap: as the network drew it, (b 3 256 w).
        left: the photos to its left, RGB in 0..1, (b 3 h w) of any size; of each, the square next to the gap is used,
            and beyond it as much as the gap is wide.
        right: the photos to its right, of the same height.
        width: of the result in px, at least h/4.
        strength: from 0, the gap merely scaled, to 1, all detail.
        settings: all that the picture depends on; None: the defaults.
        layers: how far the photos' layers are led to each other, from 0, not at all, to 1, until they meet.
        direction: "down" if all of this is transposed. Then no piece is mirrored, as it would stand on its head; or,
            with `layers`, the gap is both photos' reflections, and nothing of the drawing.
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
        _write_gap(*one, settings, layers, direction, [square[number] for square in squares or ()])
    return out if strength == 1 else torch.lerp(resize(gap, height, width), out, strength, out=out)


def _write_gap(
    out: Tensor,
    gap: Tensor,
    left: Tensor,
    right: Tensor,
    settings: DetailSettings,
    layers: float,
    direction: Direction,
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
    left, right = right_end(left, left_width), left_end(right, right_width)

    def at_network_size(image: Tensor, num_cells: int) -> Tensor:
        return resample(image[None], IMAGE_SIZE, num_cells * IMAGE_SIZE // num_rows)[0]

    gap_small = at_network_size(gap, num_cells)
    if squares and {left_cells, right_cells} == {num_rows} and {left_width, right_width} == {height}:
        left_small, right_small = squares
    else:
        left_small = at_network_size(left, left_cells).clamp(0, 1)
        right_small = at_network_size(right, right_cells).clamp(0, 1)
    gap_small = meet_edges(gap_small[None], left_small[None, ..., -1:], right_small[None, ..., :1])[0]

    of_left, of_right = (_segment(small, direction) for small in (left_small, right_small))
    things = find_things(of_left.things, settings), find_things(of_right.things.flip(-1), settings).flip(-1)
    row_map = None
    if layers and direction == "right":
        beside_gap = of_left.classes[..., -HEIGHT:], of_right.classes[..., :HEIGHT]
        row_map = match_layers(*beside_gap, width / height, settings)
    smalls = left_small, gap_small, right_small
    if layers and direction == "down":
        classes = of_left.classes, of_right.classes
        contributions = dissolve_reflections(classes, things, num_cells * HEIGHT // num_rows, settings)
        merged = mix_reflections(left_small, right_small, contributions, gap_small.shape[-1])
    elif row_map is None:
        cutoff = trusted_cutoff(*smalls, settings)
        merged, contributions = _lay_pieces(*smalls, things, cutoff, settings, direction)
    else:
        row_map = row_map.in_part(layers)
        smalls = _at_common_rows(row_map, *smalls)
        things = row_map.rectify(things[0], row_map.left_rows), row_map.rectify(things[1], row_map.right_rows)
        cutoff = min(trusted_cutoff(*smalls, settings), settings.max_moved_cutoff)
        merged, contributions = _lay_pieces(*smalls, things, cutoff, settings, direction)
        merged, contributions = row_map.push(merged), row_map.in_own_rows(contributions)
    low_smalls = [pool(left_small, len(merged[0])), merged, pool(right_small, len(merged[0]))]
    low = RowwiseResampling(torch.cat(low_smalls, dim=-1), height, left_width + width + right_width)

    def rows_of_parts(rows: slice) -> tuple[Tensor, Tensor]:
        low_left, low_gap, low_right = low.rows(rows).split([left_width, width, right_width], dim=-1)
        residual = low_gap.new_empty(*low_gap.shape[:2], left_width + right_width)
        torch.sub(left[:, rows], low_left, out=residual[..., :left_width])
        torch.sub(right[:, rows], low_right, out=residual[..., left_width:])
        return low_gap, residual

    photo_widths = left_width, right_width
    if row_map is None:
        compose(out, rows_of_parts, photo_widths, contributions)
    else:
        of_photos = torch.zeros_like(out), torch.zeros_like(out)
        compose(out, rows_of_parts, photo_widths, contributions, of_photos)
        row_map.add_moved(out, of_photos, contributions)


def _at_common_rows(row_map: RowMap, left: Tensor, gap: Tensor, right: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    left, right = row_map.rectify(left, row_map.left_rows), row_map.rectify(right, row_map.right_rows)
    gap = meet_edges(row_map.pull(gap)[None], left[None, ..., -1:], right[None, ..., :1])[0]
    return left, gap, right


def _segment(photo: Tensor, direction: Direction) -> Segmentation:
    """What lies where in one photo, (3 h w), transposed where the panorama runs down: classes (3 64 w') and things
    (64 w')."""
    classes, things = segment(transposed(photo, direction)[None])
    maps = transposed(torch.cat([classes[0], things]), direction)
    size = HEIGHT, max(1, round(photo.shape[-1] * HEIGHT / photo.shape[-2]))
    maps = F.interpolate(maps[None], size, mode="bilinear")[0]
    return Segmentation(maps[:-1], maps[-1])


def _lay_pieces(
    left: Tensor,
    gap: Tensor,
    right: Tensor,
    things: tuple[Tensor, Tensor],
    cutoff: float,
    settings: DetailSettings,
    direction: Direction,
) -> tuple[Tensor, Contributions]:
    """The gap's low frequencies, (3 h w), 64 or 256 px high, and what both photos contribute, from (3 256 w); the
    gap's own colours are kept up to the cut-off frequency."""
    guiding = guidance_cutoff(cutoff, settings)
    correspondence = find_correspondence(
        left,
        gap,
        right,
        lambda image: low_pass(image, guiding),
        settings,
        things=things,
        allow_mirrored=direction == "right",
    )
    contributions = dissolve(correspondence, settings)
    enough = settings.finest_height if cutoff <= settings.finest_height / 4 else IMAGE_SIZE
    left, gap, right = (pool(part, enough) for part in (left, gap, right))
    return merge(left, gap, right, contributions, cutoff, settings), contributions


def num_photo_cells(photo_width: int, most: int, cell_width: float, settings: DetailSettings) -> int:
    """Of how many cells of a photo the gap is laid: of at most so many px of it, and of at least `min_photo_cells`."""
    return max(settings.min_photo_cells, int(min(photo_width, most) / cell_width))


def right_end(photo: Tensor, width: int) -> Tensor:
    """The last columns of a photo, (3 h width); where it is narrower, it is reflected."""
    return photo[..., -width:] if photo.shape[-1] >= width else left_end(photo.flip(-1), width).flip(-1)


def left_end(photo: Tensor, width: int) -> Tensor:
    """The first columns, likewise."""
    if photo.shape[-1] >= width:
        return photo[..., :width]
    return photo[..., reflect(torch.arange(width, device=photo.device), photo.shape[-1])]
