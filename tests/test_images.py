"""What becomes of every kind of image file on its way in, and that writing loses nothing but the ninth bit."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL
import pillow_heif
import pytest
import torch
from PIL import Image, ImageOps, PngImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from tests.colour_profiles import ADOBE_RGB, in_srgb, rgb_profile
from tests.odd_exif import IGNORED, QUARTER_TURN, UNDERSTOOD, exif_block
from wrb.images import (
    LONGEST_SIDES,
    LOSSY,
    format_of,
    list_images,
    read_image,
    read_upright,
    require_room,
    to_image,
    to_tensor,
    upright_size,
    write_image,
)

ROOT = Path(__file__).parents[1]

YCBCR = pytest.param(
    "YCbCr",
    marks=pytest.mark.skipif(int(PIL.__version__.split(".")[0]) < 13, reason="Pillow cannot read such files"),
)
"""Python 3.10 has no Pillow of 13 or later."""


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", YCBCR, "I", "I;16", "F"])
def test_a_white_image_of_any_mode_is_white(mode: str, tmp_path: Path) -> None:
    white = {"I": 65535, "I;16": 65535, "F": 1.0}
    image = Image.new(mode, (5, 3), white[mode]) if mode in white else Image.new("RGB", (5, 3), "white").convert(mode)
    image.save(tmp_path / "white.tif")
    photo = read_image(tmp_path / "white.tif")
    assert photo.shape == (1, 4 if mode in ("LA", "RGBA") else 3, 3, 5)
    assert photo.dtype == torch.float32
    torch.testing.assert_close(photo, torch.ones_like(photo), atol=1e-6, rtol=0)


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 1000, 32768, 65535]], np.uint16)).save(tmp_path / "grey.png")
    expected = torch.tensor([0, 1000, 32768, 65535]) / 65535
    for channel in read_image(tmp_path / "grey.png")[0]:
        torch.testing.assert_close(channel, expected[None])


@pytest.mark.parametrize(("white", "pixels"), [(1.0, [0.0, 0.5]), (255.0, [0.0, 127.5]), (65535.0, [-3.0, 32767.5])])
def test_floating_point_images_find_their_white(white: float, pixels: list[float], tmp_path: Path) -> None:
    Image.fromarray(np.array([[*pixels, white, np.nan]], np.float32)).save(tmp_path / "grey.tif")
    torch.testing.assert_close(read_image(tmp_path / "grey.tif")[0, 0, 0], torch.tensor([0, 0.5, 1, 0]))


def test_a_palette_with_transparency_is_rgba(tmp_path: Path) -> None:
    image = Image.new("RGB", (2, 1), "red").convert("P", palette=Image.Palette.ADAPTIVE)
    image.save(tmp_path / "red.png", transparency=0)
    photo = read_image(tmp_path / "red.png")
    assert photo[0, :, 0, 0].tolist() == [1, 0, 0, 0]


def test_a_turned_photo_is_set_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (4, 2), "black")
    image.putpixel((0, 0), (255, 255, 255))
    exif = image.getexif()
    exif[0x0112] = 6  # the camera was held so that the stored rows are columns, right to left
    image.save(tmp_path / "turned.png", exif=exif)
    photo = read_image(tmp_path / "turned.png")
    assert photo.shape == (1, 3, 4, 2)
    assert photo[0, 0].nonzero().tolist() == [[0, 1]]


class TestOddMetadata:
    @pytest.mark.filterwarnings("ignore")  # Pillow's own, of damaged EXIF
    @pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
    @pytest.mark.parametrize(
        ("block", "size"),
        [pytest.param(block, (6, 4), id=name) for name, block in IGNORED.items()]
        + [pytest.param(block, (4, 6), id=name) for name, block in UNDERSTOOD.items()],
    )
    def test_a_photo_is_read_whatever_its_exif(
        self, block: bytes, size: tuple[int, int], extension: str, tmp_path: Path
    ) -> None:
        path = tmp_path / f"photo.{extension}"
        Image.new("RGB", (6, 4)).save(path, exif=b"Exif\0\0" + block)
        assert read_image(path).shape[:1:-1] == upright_size(path) == size

    def test_pillow_does_not_warn_of_it_without_a_name(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.jpg"
        Image.new("RGB", (6, 4)).save(path, exif=b"Exif\0\0" + IGNORED["cut short in its tag"])
        program = (
            "import sys; from pathlib import Path; from wrb.images import read_image; read_image(Path(sys.argv[1]))"
        )
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-c", program, path]
        finished = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=True)
        assert finished.stderr == ""

    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_all_orientations_are_those_of_the_standard(self, orientation: int, tmp_path: Path) -> None:
        path = tmp_path / "photo.png"
        stored = Image.fromarray(np.arange(6, dtype=np.uint8).reshape(2, 3))
        exif = Image.Exif()
        exif[0x0112] = orientation
        stored.save(path, exif=exif)
        with Image.open(path) as image:
            expected = ImageOps.exif_transpose(image)
        upright = read_upright(path)
        assert np.array_equal(np.asarray(upright), np.asarray(expected))
        assert upright_size(path) == upright.size

    @pytest.mark.parametrize("xmp", [(1, b"<x/>"), (3, 7)], ids=["text", "a number"])
    def test_a_tiff_is_turned_once_whatever_its_xmp(self, xmp: tuple[int, bytes | int], tmp_path: Path) -> None:
        path = tmp_path / "photo.tif"
        tags = ImageFileDirectory_v2()
        tags.tagtype[700], tags[700] = xmp
        tags[0x0112] = 6
        Image.new("RGB", (6, 4)).save(path, tiffinfo=tags)
        assert read_upright(path).size == upright_size(path) == (4, 6)

    def test_a_photo_that_is_cut_short_is_refused_by_name_for_all_its_good_exif(self, tmp_path: Path) -> None:
        path = tmp_path / "photo.png"
        Image.effect_noise((64, 64), 50).save(path, exif=b"Exif\0\0" + exif_block(QUARTER_TURN))
        path.write_bytes(path.read_bytes()[:2000])
        for read in (read_image, upright_size):
            with pytest.raises(ValueError, match=r"photo\.png cannot be read as an image"):
                read(path)


def test_eight_bits_survive_a_round_trip(tmp_path: Path) -> None:
    image = torch.arange(256 * 3).reshape(1, 3, 16, 16) % 256 / 255
    write_image(image, tmp_path / "image.png")
    assert torch.equal(read_image(tmp_path / "image.png"), image)


def test_pillow_images_become_tensors_and_come_back() -> None:
    shades = torch.arange(256 * 3).reshape(3, 16, 16) % 256 / 255
    image = to_image(shades)
    assert (image.mode, image.size, image.getpixel((5, 2))) == ("RGB", (16, 16), (37, 37, 37))
    assert torch.equal(to_tensor(image), shades)
    assert to_tensor(Image.new("RGBA", (5, 3))).shape == (4, 3, 5)
    assert to_tensor(Image.new("L", (5, 3), 51)).unique().tolist() == pytest.approx([0.2])


def test_shades_between_those_of_8_bits_are_rounded() -> None:
    shades = torch.tensor([0.4, 0.6, 254.4, 254.6])[None, None].expand(3, 1, 4) / 255
    assert [to_image(shades).getpixel((x, 0)) for x in range(4)] == [(shade,) * 3 for shade in (0, 1, 254, 255)]


@pytest.mark.parametrize("extension", [".png", ".jpg", ".JPEG", ".webp", ".tif", ".bmp"])
def test_the_extension_names_the_format(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{extension}"
    assert format_of(path)
    write_image(torch.full((1, 3, 8, 12), 0.5), path)
    with Image.open(path) as image:
        assert image.format == Image.registered_extensions()[extension.lower()]
        assert image.size == (12, 8)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["image", "image.txt", "image.safetensors"])
def test_unknown_extensions_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="extension"):
        format_of(Path(name))


def test_an_image_too_large_for_its_format_leaves_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="16383"):
        write_image(torch.zeros(1, 3, 1, 17000), tmp_path / "image.webp")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("image_format", LONGEST_SIDES)
def test_formats_that_are_written_hold_the_image_as_it_is(image_format: str, tmp_path: Path) -> None:
    Image.init()
    if image_format not in Image.SAVE:
        pytest.skip(f"this Pillow does not write {image_format}")
    extension = next(key for key, value in Image.registered_extensions().items() if value == image_format)
    image = torch.rand(1, 3, 300, 417)
    write_image(image, tmp_path / f"image{extension}")
    written = read_image(tmp_path / f"image{extension}")
    assert written.shape == image.shape
    if image_format not in LOSSY:
        torch.testing.assert_close(written, image, atol=0.51 / 255, rtol=0)


@pytest.mark.parametrize(
    ("name", "width", "height"),
    [("a.jpg", 65501, 9), ("a.tga", 9, 65536), ("a.webp", 16384, 9), ("a.tif", 400000, 4000), ("a.bmp", 4000, 400000)],
)
def test_what_a_format_cannot_hold_is_known_beforehand(name: str, width: int, height: int) -> None:
    with pytest.raises(ValueError, match=rf"{name}: .*{width}×{height} px.*take \.png"):
        require_room(Path(name), width, height)
    require_room(Path("a.png"), width, height)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_large_png_is_written_in_strips(channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.randint(256, (1, channels, 150, 70)) / 255
    monkeypatch.setattr("wrb.images.LARGE", 100)
    strips: list[None] = []
    write_image(image, tmp_path / "image.png", between_strips=lambda: strips.append(None))
    assert len(strips) == 3
    assert torch.equal(read_image(tmp_path / "image.png"), image.expand(-1, 3, -1, -1))
    with Image.open(tmp_path / "image.png") as written:
        written.verify()


def test_no_program_is_started_for_postscript_by_whatever_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise AssertionError("started a program")

    monkeypatch.setattr("subprocess.Popen", fail)
    for name in ("photo.jpg", "photo.eps"):
        Image.new("RGB", (16, 16)).save(tmp_path / name, "EPS")
        with pytest.raises(ValueError, match="cannot be read as an image"):
            read_image(tmp_path / name)


class TestRefusing:
    @pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
    def test_what_is_no_image(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "photo.png"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read as an image") as error:
            read_image(path)
        assert str(path) in str(error.value)

    @pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp"])
    def test_a_truncated_image(self, extension: str, tmp_path: Path) -> None:
        path = tmp_path / f"photo.{extension}"
        write_image(torch.rand(1, 3, 64, 64), path)
        path.write_bytes(path.read_bytes()[:-800])
        with pytest.raises(ValueError, match="cannot be read as an image"):
            read_image(path)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("size", [(30000, 30000), (20001, 20000)])
    def test_an_image_that_would_fill_the_memory(self, size: tuple[int, int], tmp_path: Path) -> None:
        Image.new("1", size).save(tmp_path / "bomb.png")
        for read in (read_image, upright_size):
            with pytest.raises(ValueError, match=r"bomb\.png .* more than 400 megapixels.* set .*WRB_MAX_MEGAPIXELS"):
                read(tmp_path / "bomb.png")

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize("size", [(100, 1_000_000), (20000, 10000)])
    def test_but_not_a_photo_of_a_hundred_megapixels_and_more(self, size: tuple[int, int], tmp_path: Path) -> None:
        Image.new("L", size).save(tmp_path / "large.png")
        assert upright_size(tmp_path / "large.png") == size
        assert read_upright(tmp_path / "large.png").size == size

    def test_the_limit_is_the_users(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        write_image(torch.rand(1, 3, 100, 101), tmp_path / "photo.png")
        monkeypatch.setenv("WRB_MAX_MEGAPIXELS", "0.01")
        with pytest.raises(ValueError, match="more than 0.01 megapixels"):
            read_image(tmp_path / "photo.png")
        monkeypatch.setenv("WRB_MAX_MEGAPIXELS", "0.0101")
        assert read_image(tmp_path / "photo.png").shape == (1, 3, 100, 101)
        for nonsense in ("many", "-1", "nan", "inf"):
            monkeypatch.setenv("WRB_MAX_MEGAPIXELS", nonsense)
            with pytest.raises(ValueError, match=f"WRB_MAX_MEGAPIXELS is '{nonsense}'; give a number of megapixels"):
                read_image(tmp_path / "photo.png")

    def test_a_png_with_much_text_or_a_large_profile_is_read(self, tmp_path: Path) -> None:
        text = PngImagePlugin.PngInfo()
        for number in range(30):
            text.add_text(f"graph {number}", "x" * 3_000_000, zip=number % 2 == 0)
        profile = rgb_profile(ADOBE_RGB)
        image = Image.new("RGB", (9, 9), (200, 60, 40))
        image.save(tmp_path / "photo.png", pnginfo=text, icc_profile=profile + bytes(3_000_000))
        seen = read_image(tmp_path / "photo.png")[0, :, 4, 4] * 255
        assert np.abs(seen.numpy() - in_srgb((200, 60, 40), ADOBE_RGB)).max() < 2.5

    def test_but_not_one_whose_text_would_fill_the_memory(self, tmp_path: Path) -> None:
        text = PngImagePlugin.PngInfo()
        text.add_text("bomb", "x" * 100_000_000, zip=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "bomb.png", pnginfo=text)
        with pytest.raises(ValueError, match=r"bomb\.png cannot be read as an image"):
            read_image(tmp_path / "bomb.png")


def test_a_folder_lists_its_images_by_name(tmp_path: Path) -> None:
    for name in ("b.PNG", "a.jpg", ".hidden.png", "notes.txt", "model.safetensors"):
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.PNG"]


@pytest.fixture
def without_pillow_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for most users, who do not have it."""
    Image.init()
    for extension in (".heic", ".heif", ".hif"):
        monkeypatch.delitem(Image.EXTENSION, extension, raising=False)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a.heic", "HEIC is read once pillow-heif is installed"),
        ("a.JXL", "JPEG XL is not read here; save it as PNG or JPEG"),
        ("a.cr2", "camera raw is not read here; have its program save it as TIFF or JPEG"),
        ("a.NEF", "camera raw"),
        ("a.eps", "PostScript is not read here"),
    ],
)
@pytest.mark.usefixtures("without_pillow_heif")
def test_photos_that_are_not_read_are_named_with_what_to_do(name: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    Image.new("RGB", (160, 120)).save(path, "TIFF")  # a raw file holds such a thumbnail
    (tmp_path / "b.png").touch()
    assert list_images(tmp_path) == [path, tmp_path / "b.png"]
    for read in (read_image, upright_size):
        with pytest.raises(ValueError, match=f"{name} cannot be read as an image: {message}"):
            read(path)


@pytest.mark.usefixtures("without_pillow_heif")
def test_but_not_beside_the_same_photo_in_a_format_that_is_read(tmp_path: Path) -> None:
    for name in ("a.NEF", "a.jpg", "b.heic", "c.heic", "c.JPG"):
        (tmp_path / name).touch()
    assert [path.name for path in list_images(tmp_path)] == ["a.jpg", "b.heic", "c.JPG"]


def test_heic_is_read_with_pillow_heif(tmp_path: Path) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    pillow_heif.from_pillow(image).save(tmp_path / "photo.heic", quality=90)
    assert list_images(tmp_path) == [tmp_path / "photo.heic"]
    photo = read_image(tmp_path / "photo.heic")
    torch.testing.assert_close(photo[0], to_tensor(image), atol=0.05, rtol=0)
    assert upright_size(tmp_path / "photo.heic") == (256, 256)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images"):
        list_images(tmp_path)
