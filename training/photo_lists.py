"""Lists of photos as text files, one name a line, from whatever editor and system: read in one way for all settings."""

from __future__ import annotations

import logging
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from wrb.files import files_below, read_text, text_of

NUM_SHOWN = 3
"""Names that a message gives as examples, and warnings of one kind."""

SAME_PATH, SAME_WITHIN_FOLDER = 10**6, 10**5
"""How well a line names a photo, above any number of folders that both paths end in."""

logger = logging.getLogger(__name__)


def read_names(path: Path) -> list[str]:
    """The lines of a list that are not empty, without quotation marks and blanks at their ends, `/` between folders.

    Raises:
        ValueError: if the file cannot be read, or names nothing.
    """
    try:
        names = [_normal(line) for line in re.split(r"\r\n|\r|\n", read_text(path))]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read as a list of photos: {error}") from error
    names = [name for name in names if name]
    if not names:
        raise ValueError(f"{path} names no photo; write one name a line, or delete the file and do without")
    return names


def read_list(
    path: Path, photos: Sequence[Path], folders: Iterable[Path], *, may_be_deleted: bool = False
) -> list[Path]:
    """Those of `photos` that a list names, in the photos' order.

    A line names a photo by its path, or within one of the folders or that of the list, or, where the path is of another
    machine, by its end: as many folders as possible, at least the file's name. A line that names several photos takes
    them all, and a line of a file that is in the folders but not among the photos takes none; warnings say so.

    Args:
        path: of the list.
        photos: that can be used, as `find_photos` gives them.
        folders: in which they are.
        may_be_deleted: whether a line that names no file is a warning rather than an error.

    Raises:
        ValueError: if the list cannot be read, or a line names no file, or none names a photo.
    """
    names = read_names(path)
    folders = list(folders)
    files = set(photos).union(files_below(folders))
    named = _named(names, sorted(files), [*folders, path.parent])
    missing = [name for name in names if not named[name]]
    if missing:
        message = f"{path} names {len(missing)} files that are not in the folders of photos: {_examples(missing)}"
        if any(_is_foreign(name) for name in missing):
            raise ValueError(f"{message}. It is not in UTF-8; save it in this encoding")
        if not may_be_deleted:
            raise ValueError(f"{message}. Correct or remove these lines")
        logger.warning("%s; the others are taken", message)
    several = {name: found for name, found in named.items() if len(found) > 1}
    for name, found in list(several.items())[:NUM_SHOWN]:
        logger.warning("%s: %s names %d files, and all are taken: %s", path, name, len(found), _examples(found))
    if len(several) > NUM_SHOWN:
        logger.warning("%s: so do %d further names", path, len(several) - NUM_SHOWN)
    listed = {file for found in named.values() for file in found}
    if unusable := sorted(listed.difference(photos)):
        logger.warning("%s names %d files that cannot be used: %s", path, len(unusable), _examples(unusable))
    if listed.isdisjoint(photos):
        raise ValueError(
            f"{path} names {len(names)} files, and none of the {len(photos)} photos is among them; put the photos "
            "back, or delete the list and do without"
        )
    return [photo for photo in photos if photo in listed]


def _named(names: Sequence[str], files: Sequence[Path], folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The files that each name fits best, but for those that another name fits better."""
    by_file_name: Mapping[str, list[Path]] = defaultdict(list)
    for file in files:
        by_file_name[_posix(file).name].append(file)
    fits = {name: {file: _fit(name, file, folders) for file in by_file_name[_file_name(name)]} for name in names}
    best: dict[Path, int] = {}
    for fit in fits.values():
        for file, closeness in fit.items():
            best[file] = max(best.get(file, 0), closeness)
    named = {}
    for name, fit in fits.items():
        closest = max(fit.values(), default=0)
        named[name] = [file for file, closeness in fit.items() if closeness == closest == best[file]]
    return named


def _fit(name: str, file: Path, folders: Sequence[Path]) -> int:
    """How well a name of the right file name fits a file."""
    wanted = PurePosixPath(name)
    if wanted in (_posix(file), _posix(file.absolute())):
        return SAME_PATH
    if any(wanted == _posix(file.relative_to(folder)) for folder in folders if file.is_relative_to(folder)):
        return SAME_WITHIN_FOLDER
    pairs = zip(reversed(wanted.parts), reversed(_posix(file.absolute()).parts), strict=False)
    return next((number for number, (one, other) in enumerate(pairs) if one != other), len(wanted.parts))


def _normal(name: str) -> str:
    """One way to write a name: macOS takes letters and their accents apart, Windows writes \\ and copies in quotes."""
    return unicodedata.normalize("NFC", name.strip().strip('"').replace("\\", "/")).strip()


def _posix(path: PurePath) -> PurePosixPath:
    return PurePosixPath(_normal(text_of(path)))


def _file_name(name: str) -> str:
    return PurePosixPath(name).name


def _is_foreign(name: str) -> bool:
    """Whether its bytes were no UTF-8."""
    return any("\udc80" <= letter <= "\udcff" for letter in name)


def _examples(names: Sequence[str | Path]) -> str:
    return ", ".join(map(str, names[:NUM_SHOWN])) + (", …" if len(names) > NUM_SHOWN else "")
