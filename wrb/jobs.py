"""Which photos of two folders are joined, and what the panoramas are called."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from .files import file_name


@dataclass(frozen=True)
class Job:
    """One panorama to make."""

    left: Path
    right: Path
    output: Path


def pair_by_order(lefts: Sequence[Path], rights: Sequence[Path]) -> list[tuple[Path, Path]]:
    """Pair photos of the same name if both sides have the same names, else the first left photo with the first right
    one in the order of their names, and so on.

    A name counts without its extension, in upper and lower case alike. The order is that of `natural_order`, and the
    pairs are in that of the left photos.

    Raises:
        ValueError: if there are not as many on both sides.
    """
    if len(lefts) != len(rights):
        raise ValueError(
            f"there are {len(lefts)} left and {len(rights)} right photos; to pair them by name order there must be as "
            "many, else take --random-pairs"
        )
    lefts, rights = sorted(lefts, key=natural_order), sorted(rights, key=natural_order)
    partners = {_name(path): path for path in rights}
    if len(partners) == len(rights) and sorted(map(_name, lefts)) == sorted(partners):
        return [(left, partners[_name(left)]) for left in lefts]
    return list(zip(lefts, rights, strict=True))


def have_same_names(pairs: Sequence[tuple[Path, Path]]) -> bool:
    """Whether the photos of each pair have the same name, without the extension, in upper and lower case alike."""
    return all(_name(left) == _name(right) for left, right in pairs)


def natural_order(path: Path) -> tuple[list[tuple[bool, int, str]], str]:
    """Sorts files by name as people do: photo2 before photo10, upper and lower case alike."""
    parts = re.split(r"(\d+)", _name(path))
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts if part], str(path)


def _name(path: Path) -> str:
    return unicodedata.normalize("NFC", path.stem).casefold()


def pair_randomly(lefts: Sequence[Path], rights: Sequence[Path], seed: int) -> list[tuple[Path, Path]]:
    """Give each left photo a right one: all different as long as they last, and not itself if both sides are one."""
    random = Random(seed)
    if [path.resolve() for path in lefts] == [path.resolve() for path in rights]:
        ring = random.sample(lefts, len(lefts))
        return sorted(zip(ring, [*ring[1:], ring[0]], strict=True))
    shuffled = random.sample(rights, len(rights))
    return [(left, shuffled[number % len(shuffled)]) for number, left in enumerate(lefts)]


def name_panoramas(pairs: Sequence[tuple[Path, Path]], folder: Path, *, both_orders: bool = False) -> list[Job]:
    """One panorama in `folder` for each pair, and with `both_orders` one of the swapped pair too."""
    left_names, right_names = (_distinct_names(side) for side in zip(*pairs, strict=True))
    jobs = []
    for left, right in pairs:
        names = left_names[left], right_names[right]
        jobs.append(Job(left, right, folder / file_name(f"{names[0]}__{names[1]}", ".png")))
        if both_orders:
            # marked, as photos of two folders may have the same names
            jobs.append(Job(right, left, folder / file_name(f"{names[1]}__{names[0]}", "_swapped.png")))
    return jobs


def _distinct_names(paths: Sequence[Path]) -> dict[Path, str]:
    """A file's name without its extension, unless another file has the same."""
    stems = [path.stem for path in set(paths)]
    return {path: path.stem if stems.count(path.stem) == 1 else path.name for path in paths}
