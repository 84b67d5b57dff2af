"""What was marked on photos by looking, and the masks that follow from it.

A file of marks has one JSON object a line:

    {"photo": "a.jpg", "sky": [40, ...], "water": [[58, 100], null, ...], "things": [["boat", 9, 5, 20, 60]], "sure": 3}

- photo: the file's name, without folders.
- sky: at 13 columns, the first and last at the photo's edges, where the sky ends, in % of the height from the top.
  Clouds, sun and moon are sky; a mast or a wire does not end it.
- water: at each of them, the top and bottom of the largest surface of water, or null. Ice, snow and waterfalls are
  land.
- things: what would look broken if it was cut in two, such as a house, a boat or a lone tree: name, left, top, right,
  bottom in %.
- sure: 3 if the layers are clear, 2 if in parts, 1 if one could not tell; then none are learnt.

Sky, water and sure may be left out together, where things alone are marked; and things, where nobody looked for them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from wrb.detail.segmentation import LAND, SKY, WATER
from wrb.files import read_text

from .edges import at_columns, lead_line

LAYER_FIELDS = ("sky", "water", "sure")

NUM_COLUMNS = 13

UNKNOWN = 255
"""The class of places of which the marks say nothing."""

SHORE_IS_SKYLINE = 0.025
"""Water whose top is marked as near to the skyline begins there; a share of the height."""

UNKNOWN_SHORE = 0.015
"""As far above and below a marked shore nothing is known; a share of the height."""

UNKNOWN_END = 0.02
"""As far above and below water nothing is known either where it ends between two columns; a share of the height."""


@dataclass(frozen=True, kw_only=True)
class Marks:
    """Of one photo, in % of its height, at `NUM_COLUMNS` columns."""

    sky: tuple[float, ...] = ()
    """Where it ends; nothing if layers are not marked."""

    water: tuple[tuple[float, float] | None, ...] = ()
    """Its top and bottom."""

    things: tuple[tuple[str, float, float, float, float], ...] | None = None
    """Name, left, top, right, bottom; left and right in % of the width. None: nobody looked for them."""

    sure: int = 3
    """1 to 3."""

    @property
    def usable(self) -> bool:
        """Whether layers are marked, and the one who marked could tell what is what."""
        return bool(self.sky) and self.sure > 1


def read_marks(path: Path) -> dict[str, Marks]:
    """The marks of each photo, by its file's name.

    Raises:
        ValueError: if the file cannot be read or is wrong; the message names the line and the field.
    """
    try:
        lines = read_text(path).splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as marks: {error}") from error
    marks: dict[str, Marks] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            name, of_photo = _parse(line)
            if name in marks:
                raise ValueError(f"photo: {name} is marked twice; keep one of the lines")
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from error
        marks[name] = of_photo
    if not marks:
        raise ValueError(f"{path} marks no photo; write one JSON object a line")
    return marks


def _parse(line: str) -> tuple[str, Marks]:
    try:
        entry = json.loads(line)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from error
    if not isinstance(entry, dict):
        raise ValueError("this is no JSON object; write {...}")
    name, things = entry.get("photo"), entry.get("things")
    if not isinstance(name, str) or not name or "/" in name or "\\" in name:
        raise ValueError(f"photo: {name!r} is not the name of a file without folders")
    if things is not None:
        if not isinstance(things, list) or not all(_is_thing(thing) for thing in things):
            raise ValueError(f"things: {things!r} is not a list of [name, left, top, right, bottom] in 0 to 100")
        things = tuple(tuple(thing) for thing in things)
    layer_fields = entry.keys() & set(LAYER_FIELDS)
    if not layer_fields and things is not None:
        return name, Marks(things=things)
    if missing := set(LAYER_FIELDS) - layer_fields:
        raise ValueError(f"{min(missing)}: is missing")
    sky, water, sure = (entry[field] for field in LAYER_FIELDS)
    for field, values in (("sky", sky), ("water", water)):
        if not isinstance(values, list) or len(values) != NUM_COLUMNS:
            raise ValueError(f"{field}: {values!r} is not a list of {NUM_COLUMNS} values, one a column")
    for value in sky:
        if not _is_percentage(value):
            raise ValueError(f"sky: {value!r} is not a number from 0 to 100")
    for value in water:
        if value is not None and not _is_range(value):
            raise ValueError(f"water: {value!r} is neither null nor [top, bottom] with 0 <= top <= bottom <= 100")
    if sure not in (1, 2, 3):
        raise ValueError(f"sure: {sure!r} is not 1, 2 or 3")
    water = tuple(None if value is None else (value[0], value[1]) for value in water)
    return name, Marks(sky=tuple(sky), water=water, things=things, sure=sure)


def _is_percentage(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= 100


def _is_range(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_percentage, value)) and value[0] <= value[1]


def _is_thing(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 5 or not isinstance(value[0], str):
        return False
    return _is_range([value[1], value[3]]) and _is_range([value[2], value[4]])


def mask(photo: Tensor, marks: Marks) -> Tensor:
    """The class of every place, or `UNKNOWN`, int64 (h w).

    Args:
        photo: RGB in 0..1, (3 h w); its edges lead the skyline.
        marks: of it.
    """
    height, width = photo.shape[-2:]
    if not marks.usable:
        return torch.full((height, width), UNKNOWN)
    marked_skyline, skyline = _skyline(photo, marks)
    middle = np.arange(height) + 0.5  # of each row
    classes = np.where(middle[:, None] < skyline, SKY, LAND)
    top = np.array([np.nan if column is None else column[0] / 100 for column in marks.water])
    bottom = np.array([np.nan if column is None else column[1] / 100 for column in marks.water])
    is_water = ~np.isnan(top)
    tops, bottoms = (at_columns(np.nan_to_num(edge), width) * height for edge in (top, bottom))
    column_before = np.floor(np.arange(width) * (NUM_COLUMNS - 1) / (width - 1)).astype(int).clip(0, NUM_COLUMNS - 2)
    for x, before in enumerate(column_before):
        column = classes[:, x]
        if is_water[before] and is_water[before + 1]:
            upper, lower = tops[x], bottoms[x]
            if abs(upper - marked_skyline[x]) < SHORE_IS_SKYLINE * height:
                upper = skyline[x]
            column[(middle >= upper) & (middle <= lower)] = WATER
            for shore in (upper, lower):
                if 2 < shore < height - 2 and abs(shore - skyline[x]) > 2:
                    column[np.abs(middle - shore) < UNKNOWN_SHORE * height] = UNKNOWN
        elif is_water[before] or is_water[before + 1]:
            marked = before if is_water[before] else before + 1
            upper, lower = (top[marked] - UNKNOWN_END) * height, (bottom[marked] + UNKNOWN_END) * height
            column[(middle >= upper) & (middle <= lower) & (column != SKY)] = UNKNOWN
    return torch.from_numpy(classes)


def thing_mask(height: int, width: int, marks: Marks) -> Tensor:
    """1 where a thing is, 0 where none is, `UNKNOWN` in a line around things, as marks are not exact; int64 (h w)."""
    if marks.things is None:
        return torch.full((height, width), UNKNOWN)
    things = torch.zeros(height, width, dtype=torch.int64)
    boxes = [_box(thing, height, width) for thing in marks.things]
    for top, bottom, left, right in boxes:
        things[max(top - 1, 0) : bottom + 1, max(left - 1, 0) : right + 1] = UNKNOWN
    for top, bottom, left, right in boxes:
        things[top:bottom, left:right] = 1
    return things


def _box(thing: tuple[str, float, float, float, float], height: int, width: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right in px, at least one px each way."""
    _, left, top, right, bottom = thing
    first_row, first_column = min(int(top / 100 * height), height - 1), min(int(left / 100 * width), width - 1)
    last_row, last_column = math.ceil(bottom / 100 * height), math.ceil(right / 100 * width)
    return first_row, max(last_row, first_row + 1), first_column, max(last_column, first_column + 1)


def _skyline(photo: Tensor, marks: Marks) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The skyline in rows, (w) both: as marked, and as edges lead it where it lies inside the photo."""
    height, width = photo.shape[-2:]
    heights = np.array(marks.sky, dtype=np.float64) / 100
    marked = at_columns(heights, width)
    led = lead_line(photo, heights)
    return marked * height, np.where(marked <= 0.005, 0, np.where(marked >= 0.995, height, led))
