"""Fetch the photos that the built-in model was trained on from their Debian packages, and check each by its SHA-256.

    python -m scripts.fetch_photos PHOTOS

PHOTOS receives the photos as `docs/photos.csv` names them, scaled as they were for training, and `held_back.txt`, which
names those held back. apt-get brings the packages: 1.7 GB, kept in `.cache/photos` for the next time. It needs
neither root nor an entry in the machine's own package lists. What cannot be had is named at the end; the exit status is
then 1.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import logging
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from scripts.debian_packages import UNREADABLE_PACKAGE, DebianArchive, read_edje_entry, read_package
from wrb.files import read_text, replacing, write_text

TABLE = Path(__file__).parents[1] / "docs" / "photos.csv"

CACHE = Path(".cache/photos")

SPLITS = ("train", "held back", "evaluation only", "sample")
"""Learned from; held back, and looked at to choose weights; looked at, but never to choose weights; in `samples/`."""

FETCHED_SPLITS = SPLITS[:3]
"""The samples lie in the repository."""

HELD_BACK_LIST = "held_back.txt"

GREATEST_HEIGHT = 1024
"""In px, of the photos that training read: higher ones were scaled down to this by a Lanczos filter."""

INTERMEDIATE_QUALITY = 95
"""Some photos had been saved as JPEG once before, without chroma subsampling, and lost what that loses."""

SEPARATOR = "|"
"""Between the paths, and the SHA-256s, of pictures that make one panorama side by side, from left to right."""

ENTRY_MARK = "#"
"""Between the path of an Edje file and the name of the picture in it."""

UNREADABLE_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read, and we for those that are not there or not the right ones."""

logger = logging.getLogger(__name__)

Fetch = Callable[[str, str], Iterable[Path]]
"""A package's name and version to files of it: that version first, then others, as long as more are asked for."""


@dataclass(frozen=True, kw_only=True)
class Photo:
    """A line of the table."""

    file: str
    """The name under which it lies in a folder of photos."""

    split: str
    """One of `SPLITS`."""

    package: str
    """Of Debian."""

    version: str

    path: str
    """Of the original in the package, see `SEPARATOR` and `ENTRY_MARK`."""

    sha256: str
    """Of the original, see `SEPARATOR`."""

    saved: str
    """How often it was saved as JPEG on the way: `once`, `twice`, or `never` where the original was read as it is."""

    prepared_sha256: str
    """Of the file that was made of it: what training or evaluation read."""

    licence: str
    author: str
    note: str

    @property
    def sources(self) -> list[str]:
        """The paths of the pictures that it is made of, without what is in them."""
        return [path.split(ENTRY_MARK)[0] for path in self.path.split(SEPARATOR)]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What has become of the photos that were asked for."""

    written: list[str]
    """Files, the same to the bit as the table says."""

    differing: list[str]
    """Files from the right originals in other bytes, as other versions of Pillow write them."""

    present: list[str]
    """Files that had been there, the same to the bit."""

    missing: dict[str, str]
    """Files that could not be had, and why."""


def read_table(path: Path) -> list[Photo]:
    """The photos that a table names.

    Raises:
        ValueError: if it lacks a column, or names a file twice, or a split that there is not.
        OSError: if it cannot be read.
    """
    names = [field.name for field in fields(Photo)]
    reader = csv.DictReader(io.StringIO(read_text(path), newline=""))
    if lacking := [name for name in names if name not in (reader.fieldnames or ())]:
        raise ValueError(f"{path} has no column {', '.join(lacking)}; it needs {', '.join(names)}")
    photos = [Photo(**{name: str(line[name] or "") for name in names}) for line in reader]
    seen = set()
    for photo in photos:
        if photo.file in seen or Path(photo.file).name != photo.file:
            raise ValueError(
                f"{path} names {photo.file!r} twice or with a folder; give each photo a file name of its own"
            )
        if photo.split not in SPLITS:
            raise ValueError(f"{path} has {photo.file} in the split {photo.split!r}; give one of {', '.join(SPLITS)}")
        seen.add(photo.file)
    return photos


def fetch_photos(photos: Sequence[Photo], folder: Path, fetch: Fetch) -> Outcome:
    """Write photos into a folder, each whole or not at all; files of the same names that differ are replaced.

    Args:
        photos: which.
        folder: made if it is not there.
        fetch: where their packages come from.

    Raises:
        OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    present = [photo.file for photo in photos if _is_prepared(folder / photo.file, photo)]
    waiting: dict[tuple[str, str], list[Photo]] = defaultdict(list)
    for photo in photos:
        if photo.file not in present:
            waiting[photo.package, photo.version].append(photo)
    written: list[str] = []
    differing: list[str] = []
    missing: dict[str, str] = {}
    for (package, version), wanted in waiting.items():
        logger.info("%s %s: %d photos", package, version, len(wanted))
        reasons: dict[str, list[str]] = {photo.file: [] for photo in wanted}
        for archive in fetch(package, version):
            prepared, faults = _prepare_all(wanted, archive)
            for photo in wanted:
                if photo.file in prepared:
                    with replacing(folder / photo.file) as partial:
                        partial.write_bytes(prepared[photo.file])
                    same = sha256(prepared[photo.file]) == photo.prepared_sha256
                    (written if same else differing).append(photo.file)
                else:
                    reasons[photo.file].append(faults[photo.file])
            wanted = [photo for photo in wanted if photo.file not in prepared]
            if not wanted:
                break
        for photo in wanted:
            once_each = dict.fromkeys(reasons[photo.file])
            missing[photo.file] = "; ".join(once_each) or f"{package} {version} could not be had"
    return Outcome(written=written, differing=differing, present=present, missing=missing)


def _is_prepared(path: Path, photo: Photo) -> bool:
    return path.is_file() and sha256(path.read_bytes()) == photo.prepared_sha256


def _prepare_all(photos: Sequence[Photo], archive: Path) -> tuple[dict[str, bytes], dict[str, str]]:
    """By file, what is made of the originals in a package, and what is wrong where one could not be made."""
    try:
        members = read_package(archive, {source for photo in photos for source in photo.sources})
    except UNREADABLE_PACKAGE as error:
        return {}, {photo.file: f"{archive.name}: {error}" for photo in photos}
    prepared, faults = {}, {}
    for photo in photos:
        try:
            prepared[photo.file] = prepare(_originals(photo, members), photo)
        except UNREADABLE_IMAGE as error:
            faults[photo.file] = f"{archive.name}: {error}"
    return prepared, faults


def _originals(photo: Photo, members: dict[str, bytes]) -> list[bytes]:
    """What a photo is made of, out of the contents of a package.

    Raises:
        ValueError: if the package lacks it, or its SHA-256 is another.
    """
    originals = []
    for path, expected in zip(photo.path.split(SEPARATOR), photo.sha256.split(SEPARATOR), strict=True):
        member, _, entry = path.partition(ENTRY_MARK)
        if member not in members:
            raise ValueError(f"{member} is not in it")
        original = read_edje_entry(members[member], entry) if entry else members[member]
        if (found := sha256(original)) != expected:
            raise ValueError(f"{path} has the SHA-256 {found} instead of {expected}")
        originals.append(original)
    return originals


def sha256(data: bytes) -> str:
    """In 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def prepare(originals: Sequence[bytes], photo: Photo) -> bytes:
    """The file that was read, made from the original or, side by side, from several.

    Raises:
        OSError, ValueError, SyntaxError: if an original cannot be read, as Pillow says it.
    """
    if photo.saved == "never":
        (original,) = originals
        return original
    images = [Image.open(io.BytesIO(original)).convert("RGB") for original in originals]
    image = images[0]
    if len(images) > 1:
        image = Image.new("RGB", (sum(each.width for each in images), images[0].height))
        left = 0
        for each in images:
            image.paste(each, (left, 0))
            left += each.width
    if image.height > GREATEST_HEIGHT:
        size = round(image.width * GREATEST_HEIGHT / image.height), GREATEST_HEIGHT
        image = image.resize(size, Image.Resampling.LANCZOS)
    if photo.saved == "twice":
        image = Image.open(io.BytesIO(_jpeg(image, quality=INTERMEDIATE_QUALITY, subsampling=0)))
    return _jpeg(image, quality=90, optimize=True)


def _jpeg(image: Image.Image, **settings: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", **settings)
    return file.getvalue()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="PHOTOS", help="where to write the photos")
    parser.add_argument("--table", type=Path, default=TABLE, help="what names them (default: docs/photos.csv)")
    parser.add_argument(
        "--splits",
        nargs="+",
        choices=FETCHED_SPLITS,
        default=FETCHED_SPLITS[:2],
        help="which (default: the first two); give those for evaluation only a folder of their own",
    )
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"where to keep the packages (default: {CACHE})")
    parser.add_argument("--mirror", help="the address of a Debian archive (default: the one that this machine uses)")
    options = parser.parse_args()
    try:
        photos = [photo for photo in read_table(options.table) if photo.split in options.splits]
        outcome = fetch_photos(photos, options.folder, DebianArchive(options.cache, options.mirror))
        held_back = [f"{photo.file}\n" for photo in photos if photo.split == "held back"]
        if held_back:
            write_text(options.folder / HELD_BACK_LIST, "".join(held_back))
    except (OSError, RuntimeError, ValueError) as error:
        logger.error("%s", error)
        return 1
    return report(outcome, options.folder)


def report(outcome: Outcome, folder: Path) -> int:
    """Say what has become of the photos; the exit status."""
    same = len(outcome.written) + len(outcome.present)
    logger.info("%d photos in %s are to the bit what the table says", same, folder)
    if outcome.differing:
        logger.warning(
            "%d more are of the right originals, in other bytes, as this version of Pillow writes them",
            len(outcome.differing),
        )
    for file, reason in outcome.missing.items():
        logger.error("missing: %s: %s", file, reason)
    if outcome.missing:
        logger.error("%d photos are missing", len(outcome.missing))
    return 1 if outcome.missing else 0


if __name__ == "__main__":
    sys.exit(main())
