"""Debian packages, downloaded by apt-get and read without being installed; and Edje files, which hold some photos."""

from __future__ import annotations

import io
import logging
import lzma
import shutil
import struct
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from wrb.files import write_text

RELEASES = ("bullseye", "bookworm", "trixie", "sid")
"""Debian's, oldest first: between them they offer all packages that the table names, or offered them once."""

ARCHITECTURE = "amd64"
"""The photos are the same for all, but the versions of some packages are not."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")

EDJE_MAGIC = 0x1EE70F42

UNREADABLE_PACKAGE = (OSError, ValueError, EOFError, tarfile.TarError, lzma.LZMAError)
"""What `read_package` raises."""

logger = logging.getLogger(__name__)


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
        write_text(self._state / "sources.list", "".join(sources))
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
        return subprocess.run(
            [*command, *options], cwd=self.packages, capture_output=True, encoding="utf-8", check=False
        )


def _own_mirror() -> str:
    """The address of the Debian archive that this machine uses.

    Raises:
        RuntimeError: if it uses none.
    """
    columns = "$(REPO_URI) $(ORIGIN) $(RELEASE)"
    command = ["apt-get", "indextargets", "--format", columns, "Created-By: Packages"]
    result = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    for line in result.stdout.splitlines():
        address, _, origin_and_release = line.partition(" ")
        origin, _, release = origin_and_release.rpartition(" ")
        if origin == "Debian" and "-" not in release:  # neither security updates nor backports
            return address
    raise RuntimeError(
        "this machine's package lists name no Debian archive; name one by --mirror, or run apt-get update"
    )
