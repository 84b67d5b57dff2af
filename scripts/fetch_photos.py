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
import lzma
import shutil
import struct
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import BinaryIO

from PIL import Image

from wrb.files import replacing

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

RELEASES = ("bullseye", "bookworm", "trixie", "sid")
"""Debian's, oldest first: between them they offer all packages that the table names, or offered them once."""

ARCHITECTURE = "amd64"
"""The photos are the same for all, but the versions of some packages are not."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

EDJE_MAGIC = 0x1EE70F42

UNREADABLE_IMAGE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for files that it cannot read, and we for those that are not there or not the right ones."""

UNREADABLE_PACKAGE = (OSError, ValueError, EOFError, tarfile.TarError, lzma.LZMAError)
"""What `read_package` raises."""

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
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
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


def read_package(path: Path, wanted: Iterable[str]) -> dict[str, bytes]:
    """Contents of files in a Debian package, by their paths in it without a leading slash; those it holds.

    Raises:
        ValueError: if the file is not a Debian package, or is compressed in a way that Python cannot read.
        OSError, EOFError, tarfile.TarError, lzma.LZMAError: if it is damaged.
    """
    wanted = set(wanted)
    contents = {}
    with path.open("rb") as file, tarfile.open(fileobj=_data_of_package(file), mode="r|*") as data:
        for member in data:
            name = member.name.removeprefix("./")
            if name in wanted and (content := data.extractfile(member)):
                contents[name] = content.read()
                if len(contents) == len(wanted):
                    break
    return contents


def _data_of_package(file: BinaryIO) -> BinaryIO:
    """The file, at the start of the archive that holds what the package installs: the last in an `ar` archive."""
    if file.read(8) != b"!<arch>\n":
        raise ValueError("it is not a Debian package")
    while len(header := file.read(60)) == 60:
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name.startswith("data.tar"):
            if name.endswith(".zst") and sys.version_info < (3, 14):
                raise ValueError(f"{name} in it needs Python 3.14 or later")
            return file
        file.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("it holds no data.tar")


def read_edje_entry(data: bytes, name: str) -> bytes:
    """A picture of an Edje file (Enlightenment's wallpapers), as it lies there: those that are asked for are JPEGs.

    Raises:
        ValueError: if it is no Edje file, or has no such entry.
    """
    # A header of three numbers, then for each entry: offset, size, size when unpacked, name's offset and size, flags.
    try:
        magic, num_entries, _ = struct.unpack_from(">3I", data)
        entries = [struct.unpack_from(">6I", data, 12 + 24 * number) for number in range(num_entries)]
    except struct.error as error:
        raise ValueError(f"it is cut short: {error}") from error
    if magic != EDJE_MAGIC:
        raise ValueError("it is not an Edje file")
    for offset, size, _, name_offset, name_size, _ in entries:
        if data[name_offset : name_offset + name_size].rstrip(b"\0") == name.encode():
            return data[offset : offset + size]
    raise ValueError(f"the Edje file has no entry {name}")


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


class DebianArchive:
    """Debian packages, downloaded by apt-get with lists and a cache of its own, so that the machine's stay as they are.

    Args:
        cache: a folder for the lists and the packages. What is there is not downloaded again.
        mirror: the address of a Debian archive; the one that the machine itself uses if not given.
    """

    def __init__(self, cache: Path, mirror: str | None = None) -> None:
        self.packages = cache.absolute() / "packages"
        self._state = cache.absolute() / "apt"
        self._mirror = mirror
        self._has_lists = False

    def __call__(self, package: str, version: str) -> Iterator[Path]:
        """The package's file at that version, then at the others that Debian offers, newest first.

        One that is here is tried before apt-get is asked for it, which makes a file whole that is cut short.

        Raises:
            RuntimeError: if apt-get is not there or has no lists.
        """
        if kept := self._kept(package, version):
            yield kept
        self._update()
        offered = self._offered(package)
        if version in offered:
            offered = list(dict.fromkeys([version, *offered]))
        else:
            others = f"; trying {', '.join(offered)}" if offered else ", nor is any other version"
            logger.warning("%s %s is not offered any more%s", package, version, others)
        for each in offered:
            if archive := self._download(package, each):
                yield archive

    def _kept(self, package: str, version: str) -> Path | None:
        """The package's file where it has been downloaded; apt-get writes a colon as %3a."""
        pattern = f"{package}_{version.replace(':', '%3a')}_*.deb"
        return next(iter(self.packages.glob(pattern)), None)

    def _offered(self, package: str) -> list[str]:
        """Versions of a package, newest first."""
        lines = self._run("apt-cache", "madison", package).stdout.splitlines()
        return list(dict.fromkeys(line.split("|")[1].strip() for line in lines if line.count("|") == 2))

    def _download(self, package: str, version: str) -> Path | None:
        result = self._run("apt-get", "--quiet", "--quiet", "download", f"{package}={version}")
        if result.returncode:
            logger.warning("%s %s could not be downloaded: %s", package, version, result.stderr.strip())
            return None
        return self._kept(package, version)

    def _update(self) -> None:
        """Fetch the lists of all releases, once."""
        if self._has_lists:
            return
        if shutil.which("apt-get") is None:
            raise RuntimeError("there is no apt-get here, which brings the packages; run this on Debian or Ubuntu")
        if not KEYRING.exists():
            raise RuntimeError(f"{KEYRING} is not there; install the package debian-archive-keyring")
        mirror = self._mirror or _own_mirror()
        for folder in (self.packages, self._state / "lists" / "partial", self._state / "archives" / "partial"):
            folder.mkdir(parents=True, exist_ok=True)
        sources = [f"deb [signed-by={KEYRING}] {mirror} {release} main\n" for release in RELEASES]
        (self._state / "sources.list").write_text("".join(sources), encoding="utf-8")
        result = self._run("apt-get", "--quiet", "--quiet", "update")
        if not any((self._state / "lists").glob("*_Packages*")):
            raise RuntimeError(f"the lists of packages could not be fetched from {mirror}: {result.stderr.strip()}")
        if result.stderr.strip():
            logger.warning("some lists of packages could not be fetched: %s", result.stderr.strip())
        self._has_lists = True

    def _run(self, *command: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "APT::Architecture": ARCHITECTURE,
            "APT::Architectures": ARCHITECTURE,
            "APT::Sandbox::User": "root",  # whoever calls it, rather than a user who may not write to the cache
            "Acquire::Check-Valid-Until": "false",  # archives of the past are welcome
            "Acquire::Languages": "none",
            "Debug::NoLocking": "true",
            "Dir::Cache": str(self._state),
            "Dir::Etc::sourcelist": str(self._state / "sources.list"),
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::State::lists": str(self._state / "lists"),
            "Dir::State::status": "/dev/null",
        }
        options = [f"--option={name}={value}" for name, value in settings.items()]
        return subprocess.run([*command, *options], cwd=self.packages, capture_output=True, text=True, check=False)


def _own_mirror() -> str:
    """The address of the Debian archive that this machine uses.

    Raises:
        RuntimeError: if it uses none.
    """
    columns = "$(REPO_URI) $(ORIGIN) $(RELEASE)"
    command = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    for line in result.stdout.splitlines():
        address, _, origin_and_release = line.partition(" ")
        origin, _, release = origin_and_release.rpartition(" ")
        if origin == "Debian" and "-" not in release:  # neither security updates nor backports
            return address
    raise RuntimeError(
        "this machine's package lists name no Debian archive; name one by --mirror, or run apt-get update"
    )


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
            with replacing(options.folder / HELD_BACK_LIST) as partial:
                partial.write_text("".join(held_back), encoding="utf-8")
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
