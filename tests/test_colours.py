"""Photos with colour profiles look as they are meant to, whatever their mode and bits, in blends and in training."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.colour_profiles import (
    ADOBE_RGB,
    DISPLAY_P3,
    cmyk_profile,
    grey_profile,
    in_srgb,
    printed,
    rgb_profile,
    srgb_levels,
)
from tests.deep_images import deep_png, deep_tiff
from training.photos import read_photo
from wrb.colours import srgb_profile
from wrb.images import read_image, to_image, write_image

COLOURS = ((200, 60, 40), (40, 180, 60), (30, 50, 200), (128, 128, 128), (255, 255, 255), (0, 0, 0), (90, 160, 150))


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("space", [DISPLAY_P3, ADOBE_RGB], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_become_srgb(space: dict[str, Any], extension: str, alpha: bool, tmp_path: Path) -> None:
    if alpha and extension == "jpg":
        pytest.skip("JPEG has no transparency")
    path = tmp_path / f"photo.{extension}"
    for colour in COLOURS:
        image = Image.new("RGB", (16, 16), colour)
        if alpha:
            image.putalpha(200)
        image.save(path, icc_profile=rgb_profile(space), **({"lossless": True} if extension == "webp" else {}))
        seen = read_image(path)[0, :, 8, 8] * 255
        assert np.abs(seen[:3].numpy() - in_srgb(colour, space)).max() < 2.5
        assert seen[3:].tolist() == [200] * alpha
        assert np.abs(np.asarray(read_photo(path))[8, 8] - in_srgb(colour, space)).max() < 2.5


def test_colours_off_by_dozens_of_levels_without_it() -> None:
    assert max(np.abs(in_srgb(colour, ADOBE_RGB) - colour).max() for colour in COLOURS) > 40


def test_a_photo_in_srgb_is_kept_to_the_bit(tmp_path: Path) -> None:
    pixels = torch.randint(256, (1, 3, 64, 64)) / 255
    to_image(pixels[0]).save(tmp_path / "photo.png", icc_profile=srgb_profile())
    assert torch.equal(read_image(tmp_path / "photo.png"), pixels)


def test_grey_and_palettes_have_profiles_too(tmp_path: Path) -> None:
    Image.new("L", (9, 9), 128).save(tmp_path / "grey.png", icc_profile=grey_profile(1.0))
    assert (read_image(tmp_path / "grey.png") * 255).unique().tolist() == pytest.approx([188], abs=1.5)
    palette = Image.new("RGB", (9, 9), (200, 60, 40)).convert("P", palette=Image.Palette.ADAPTIVE)
    palette.save(tmp_path / "palette.png", icc_profile=rgb_profile(ADOBE_RGB))
    seen = read_image(tmp_path / "palette.png")[0, :, 4, 4] * 255
    assert np.abs(seen.numpy() - in_srgb((200, 60, 40), ADOBE_RGB)).max() < 2.5


def deep_file(pixels: np.ndarray, profile: bytes, kind: str) -> bytes:
    return deep_png(pixels, profile) if kind == "png" else deep_tiff(pixels, profile, kind)


@pytest.mark.parametrize("kind", ["png", "<", ">"])
def test_colours_of_16_bits_become_srgb(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("photo.png" if kind == "png" else "photo.tif")
    for colour in COLOURS:
        pixels = np.tile(np.array(colour, np.uint16) * 257, (4, 5, 1))
        path.write_bytes(deep_file(pixels, rgb_profile(ADOBE_RGB), kind))
        expected = in_srgb(colour, ADOBE_RGB)
        assert np.abs(read_image(path)[0, :, 2, 2].numpy() * 255 - expected).max() < 2.5
        assert np.abs(np.asarray(read_photo(path))[2, 2] - expected).max() < 2.5


@pytest.mark.parametrize("kind", ["png", "<", ">"])
@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.2])
def test_grey_of_16_bits_becomes_srgb(gamma: float, kind: str, tmp_path: Path) -> None:
    shades = np.array([0, 100, 1000, 4000, 16384, 32768, 60000, 65535], np.uint16)
    path = tmp_path / ("photo.png" if kind == "png" else "photo.tif")
    path.write_bytes(deep_file(np.tile(shades[None, :, None], (3, 1, 1)), grey_profile(gamma), kind))
    expected = srgb_levels((shades / 65535) ** (round(gamma * 256) / 256))
    for channel in read_image(path)[0, :, 1].numpy() * 255:
        assert np.abs(channel - expected).max() < 1.5
    assert np.abs(np.asarray(read_photo(path))[1, :, 2] - expected).max() < 1.5


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_with_transparency_keeps_it(bits: int, tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    if bits == 16:
        path.write_bytes(deep_png(np.tile(np.array([128, 200], np.uint16) * 257, (4, 5, 1)), grey_profile(1.0)))
    else:
        Image.new("LA", (5, 4), (128, 200)).save(path, icc_profile=grey_profile(1.0))
    assert (read_image(path)[0, :, 2, 2] * 255).tolist() == pytest.approx([188, 188, 188, 200], abs=1.5)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_colour_that_stands_for_transparency_does_so_beside_a_profile(mode: str, tmp_path: Path) -> None:
    image = Image.new("RGB", (5, 4), (128, 128, 128)).convert(mode)
    image.putpixel((0, 0), 7 if mode == "L" else (7, 7, 7))
    profile = grey_profile(1.0) if mode == "L" else rgb_profile(ADOBE_RGB)
    image.save(tmp_path / "photo.png", transparency=7 if mode == "L" else (7, 7, 7), icc_profile=profile)
    assert (read_image(tmp_path / "photo.png")[0, 3] == 0).nonzero().tolist() == [[0, 0]]


@pytest.mark.parametrize("extension", ["jpg", "tif"])
def test_what_was_to_be_printed_becomes_srgb(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"photo.{extension}"
    for coverage in product((0, 1), repeat=4):
        image = Image.new("CMYK", (16, 16), tuple(255 * ink for ink in coverage))
        image.save(path, icc_profile=cmyk_profile(), quality=100)
        expected = printed(coverage)
        assert np.abs(read_image(path)[0, :, 8, 8].numpy() * 255 - expected).max() < 3, coverage
        assert np.abs(np.asarray(read_photo(path))[8, 8] - expected).max() < 3, coverage


@pytest.mark.parametrize("profile", [b"no profile", rgb_profile(ADOBE_RGB)[:200], grey_profile(2.2), bytes(1000)])
def test_what_cannot_be_understood_is_ignored(profile: bytes, tmp_path: Path) -> None:
    image = Image.new("RGB", (9, 9), (200, 60, 40))
    image.save(tmp_path / "photo.png", icc_profile=profile)
    assert (read_image(tmp_path / "photo.png")[0, :, 4, 4] * 255).tolist() == [200, 60, 40]


@pytest.mark.parametrize("extension", ["png", "jpg", "tif", "webp", "avif"])
def test_a_panorama_says_that_it_is_srgb(extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"panorama.{extension}"
    try:
        write_image(torch.rand(1, 3, 16, 16), path)
    except ValueError:
        pytest.skip("this Pillow does not write AVIF")
    with Image.open(path) as written:
        assert written.info["icc_profile"] == srgb_profile()


def test_so_does_a_large_one_and_a_mask_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wrb.images.LARGE", 100)
    for channels, expected in ((3, srgb_profile()), (1, None)):
        write_image(torch.rand(1, channels, 16, 16), tmp_path / "image.png")
        with Image.open(tmp_path / "image.png") as written:
            assert written.info.get("icc_profile") == expected
