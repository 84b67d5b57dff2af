from __future__ import annotations

import logging
import struct
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from tests.odd_exif import IGNORED, UNDERSTOOD
from training.data import CentralCrops
from training.photo_lists import read_list
from training.photos import find_photos, read_photo, read_scaled, scaled_size, split
from wrb.images import read_image, to_tensor


def save_photo(path, width, height, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


def test_photos_are_found_in_subfolders_in_any_format_and_the_rest_is_named(tmp_path, caplog):
    good = [save_photo(tmp_path / name, 800, 300) for name in ("a.png", "deep/b.jpg", "deep/er/c.WEBP", "d.tif")]
    save_photo(tmp_path / "small.png", 700, 300)
    whole = save_photo(tmp_path / "cut_short.jpg", 1000, 300)
    whole.write_bytes(whole.read_bytes()[:20000])
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    (tmp_path / "notes.txt").write_text("not meant to be one")
    with caplog.at_level(logging.WARNING):
        assert find_photos([tmp_path]) == sorted(good)
    assert "small.png: 700×300 px is too small" in caplog.text
    assert "broken.jpg" in caplog.text and "cut_short.jpg" in caplog.text
    assert "notes.txt" not in caplog.text


def test_photos_that_are_not_read_are_named(tmp_path, caplog):
    good = save_photo(tmp_path / "a.png", 800, 300)
    (tmp_path / "b.nef").touch()
    (tmp_path / "a.nef").touch()  # the same photo as is read
    with caplog.at_level(logging.WARNING):
        assert find_photos([tmp_path]) == [good]
    assert "b.nef: cannot be read as an image: camera raw is not read here" in caplog.text
    assert "a.nef" not in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_linked_folders_are_searched_once_and_hidden_files_left_out(tmp_path, caplog):
    folder = tmp_path / "photos"
    own = [save_photo(folder / name, 800, 300) for name in ("b/one.png", "z.png")]
    save_photo(tmp_path / "elsewhere/deep/two.png", 800, 300)
    (folder / "._z.png").write_bytes(b"what macOS leaves")
    save_photo(folder / ".trash/old.png", 800, 300)
    (folder / "a").symlink_to(folder / "b")
    (folder / "b/loop").symlink_to(folder)
    (folder / "b/itself").symlink_to("itself")
    (folder / "b/nowhere").symlink_to("nowhere")
    (folder / "far").symlink_to(tmp_path / "elsewhere")
    (folder / "far too").symlink_to(tmp_path / "elsewhere/deep")
    (folder / "linked.png").symlink_to(tmp_path / "elsewhere/deep/two.png")
    with caplog.at_level(logging.WARNING):
        photos = find_photos([folder])
    assert photos == sorted([*own, folder / "far/deep/two.png", folder / "linked.png"])
    assert caplog.text == ""
    names = tmp_path / "names.txt"
    names.write_text("one.png\nfar/deep/two.png\n", encoding="utf-8")
    assert read_list(names, photos, [folder]) == [own[0], folder / "far/deep/two.png"]


def test_a_folder_without_photos_or_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no usable photo"):
        find_photos([tmp_path])
    with pytest.raises(ValueError, match="is not a folder"):
        find_photos([tmp_path / "missing"])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1440, 720), (1024, 512)),  # scaled to 512 high
        ((2000, 400), (2000, 400)),  # low enough as it is
        ((1000, 1000), (768, 768)),  # 512 high would be too narrow: 768 wide
        ((768, 256), (768, 256)),
    ],
)
def test_photos_are_scaled_as_the_paper_does(size, expected):
    assert scaled_size(*size) == expected


@pytest.mark.parametrize(("number", "held_back"), [(2, 1), (5, 1), (6, 2), (12, 2), (30, 2), (100, 6)])
def test_of_few_photos_enough_are_held_back_to_be_joined(tmp_path, number, held_back):
    photos = [tmp_path / f"{number}.png" for number in range(number)]
    training, validation = split(photos, 0.06, seed=0)
    assert (len(training), len(validation)) == (number - held_back, held_back)


def test_the_split_is_by_file_and_repeatable(tmp_path):
    photos = [tmp_path / f"{number}.png" for number in range(5)]
    training, validation = split(photos, 0.4, seed=3)
    assert len(validation) == 2
    assert sorted(training + validation) == photos
    assert split(photos, 0.4, seed=3) == (training, validation)
    assert len({tuple(split(photos, 0.4, seed=seed)[1]) for seed in range(10)}) > 1
    with pytest.raises(ValueError, match="at least two"):
        split(photos[:1], 0.4, seed=0)


def test_wider_crops_want_wider_photos(tmp_path):
    save_photo(tmp_path / "a.png", 800, 300)
    wide = save_photo(tmp_path / "b.png", 1100, 300)
    assert find_photos([tmp_path], 1024) == [wide]
    assert scaled_size(1500, 1000, 1024) == (1024, 683)


def test_photos_are_read_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.new("L", (300, 800)).save(tmp_path / "a.jpg", exif=exif)
    assert read_photo(tmp_path / "a.jpg").size == (800, 300)
    assert read_photo(tmp_path / "a.jpg").mode == "RGB"
    assert find_photos([tmp_path]) == [tmp_path / "a.jpg"]


@pytest.mark.filterwarnings("ignore")  # Pillow's own, of damaged EXIF
@pytest.mark.parametrize("extension", ["jpg", "png", "webp"])
def test_odd_exif_keeps_no_photo_from_training(extension, tmp_path, caplog):
    for name, block in (IGNORED | UNDERSTOOD).items():
        size = (800, 300) if name in IGNORED else (300, 800)
        Image.new("L", size, 100).save(tmp_path / f"{name}.{extension}", exif=b"Exif\0\0" + block)
    found = find_photos([tmp_path])
    assert len(found) == len(IGNORED | UNDERSTOOD)
    assert all(read_photo(photo).size == (800, 300) for photo in found)
    assert not caplog.text


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (struct.error("of 4 bytes"), "of 4 bytes"),
        (TypeError(), "TypeError"),
        (AttributeError("no such"), "no such"),
        (MemoryError(), "there is not enough memory for it"),
    ],
)
def test_a_photo_on_which_pillow_fails_in_whatever_way_is_named_and_skipped(
    fault, reason, tmp_path, caplog, monkeypatch
):
    good, bad = save_photo(tmp_path / "good.png", 800, 300), save_photo(tmp_path / "bad.tif", 800, 300)

    def fail(image):
        raise fault

    monkeypatch.setattr(TiffImageFile, "load", fail)
    assert find_photos([tmp_path]) == [good]
    assert f"skipped {bad}: cannot be read as an image: {reason}" in caplog.text
    with pytest.raises(ValueError, match=r"bad\.tif cannot be read as an image"):
        read_scaled(bad)


@pytest.mark.parametrize(
    ("kind", "white"), [(np.uint16, 65535), (np.float32, 1), (np.float32, 255), (np.float32, 65535)]
)
def test_grey_photos_of_any_depth_are_learnt_as_the_command_line_reads_them(kind, white, tmp_path):
    shades = np.tile(np.linspace(0, white, 800).astype(kind), (300, 1))
    Image.fromarray(shades).save(tmp_path / "a.tif")
    photo = read_photo(tmp_path / "a.tif")
    assert (photo.mode, photo.size) == ("RGB", (800, 300))
    assert len(np.unique(np.asarray(photo))) == 256
    torch.testing.assert_close(to_tensor(photo), read_image(tmp_path / "a.tif")[0], atol=0.501 / 255, rtol=0)
    crop = CentralCrops([tmp_path / "a.tif"])[0]
    assert crop.shape == (3, 256, 768)
    assert crop.std() > 0.2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.webp"])
def test_rgb_photos_are_to_the_bit_what_pillow_reads(name, tmp_path):
    path = save_photo(tmp_path / name, 1000, 600)
    with Image.open(path) as image:
        whole = image.convert("RGB")
    scaled = whole.resize((853, 512), Image.Resampling.LANCZOS)
    assert np.array_equal(np.asarray(read_photo(path)), np.asarray(whole))
    assert np.array_equal(np.asarray(read_scaled(path)), np.asarray(scaled))
    expected = torch.from_numpy(np.asarray(scaled)[128:384, 42:810] / np.float32(255)).permute(2, 0, 1)
    assert torch.equal(CentralCrops([path])[0], expected)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK"])
def test_photos_of_other_modes_with_8_bits_are_what_they_were(mode, tmp_path):
    random = np.random.default_rng(0).integers(0, 256, (300, 800, 3), dtype=np.uint8)
    Image.fromarray(random).convert(mode).save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert np.array_equal(np.asarray(read_photo(tmp_path / "a.tif")), np.asarray(image.convert("RGB")))


def test_a_cached_photo_is_the_same_and_is_not_decoded_again(tmp_path, monkeypatch):
    photo = save_photo(tmp_path / "a.png", 1000, 600)
    plain = np.asarray(read_scaled(photo))
    assert plain.shape == (512, 853, 3)
    for _ in range(2):
        assert np.array_equal(np.asarray(read_scaled(photo, cache=tmp_path / "cache")), plain)
        monkeypatch.setattr("training.photos.read_photo", None)  # the second time it is not called
    monkeypatch.undo()
    save_photo(photo, 1000, 600, seed=1)
    assert not np.array_equal(np.asarray(read_scaled(photo, cache=tmp_path / "cache")), plain)
