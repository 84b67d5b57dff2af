"""The table of each photo's nearest neighbours, as a file: `training.pairs` writes it, fine-tuning reads it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import TypeAdapter
from torch import Tensor

from wrb.files import read_text, text_of, write_text


@dataclass(frozen=True, kw_only=True)
class _Table:
    network: str
    neighbours: dict[str, dict[str, float]]


def photo_names(photos: Sequence[Path], folders: Sequence[Path]) -> dict[Path, str]:
    """What a table calls the photos: their paths relative to their folder; of several folders, its own name before.

    Raises:
        ValueError: if a photo is in none of the folders, or two photos have the same name.
    """
    names: dict[Path, str] = {}
    owners: dict[str, Path] = {}
    for photo in photos:
        around = [folder for folder in folders if photo.is_relative_to(folder)]
        if not around:
            raise ValueError(f"{photo} is in none of the folders {', '.join(map(str, folders))}")
        home = max(around, key=lambda folder: len(folder.parts))
        relative = text_of(PurePosixPath(photo.relative_to(home).as_posix()))
        names[photo] = name = relative if len(folders) == 1 else f"{text_of(Path(home.resolve().name))}/{relative}"
        if name in owners:
            raise ValueError(f"{owners[name]} and {photo} would both be called {name}; rename one of their folders")
        owners[name] = photo
    return names


def read_neighbours(path: Path, names: Mapping[Path, str], count: int) -> dict[Path, list[Path]]:
    """The `count` nearest photos of each one, or as many as the table has, the nearest first.

    Args:
        path: of a table that this program has made.
        names: of the photos to pair, as `photo_names` gives them; the table's other photos are left out.
        count: neighbours of a photo, at most.

    Raises:
        ValueError: if the file is no such table, or has no row for a photo, or none of the photos in its row.
    """
    try:
        table = TypeAdapter(_Table).validate_json(read_text(path)).neighbours
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is no table of neighbours; make one with `python -m training.pairs`") from error
    places = {name: photo for photo, name in names.items()}
    if missing := [name for name in places if name not in table]:
        raise ValueError(
            f"{path} has no row for {len(missing)} of {len(names)} photos, such as {missing[0]}; make the table again, "
            "from the same folders"
        )
    neighbours = {}
    for photo, name in names.items():
        row = table[name]
        near = [places[other] for other in sorted(row, key=row.__getitem__) if other in places and other != name]
        if not near:
            raise ValueError(
                f"none of the {len(row)} neighbours of {name} in {path} is among the {len(names)} photos to pair; make "
                "the table again with more --nearest, or from these photos alone"
            )
        neighbours[photo] = near[:count]
    return neighbours


def write_neighbours(path: Path, network: str, names: Sequence[str], distances: Tensor, numbers: Tensor) -> None:
    """Write a table.

    Args:
        path: to write to.
        network: what the distances are of.
        names: of the photos.
        distances: of each photo's nearest ones, ascending, (n k).
        numbers: which these are, (n k).
    """
    rows = zip(names, distances.tolist(), numbers.tolist(), strict=True)
    neighbours = {
        name: {names[number]: float(f"{distance:.6g}") for distance, number in zip(*row, strict=True)}
        for name, *row in rows
    }
    write_text(path, json.dumps({"network": network, "neighbours": neighbours}, indent=1, ensure_ascii=False))
