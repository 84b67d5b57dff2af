from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from PIL import Image

from training.data import CentralCrops, RandomCrops, cut, find_photos, meeting_edges, scaled_size, split
from wrb import blend


def save_photo(path, width, height, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    return [save_photo(tmp_path / f"{number}.png", 800 + 10 * number, 300, seed=number) for number in range(5)]


def test_photos_are_found_in_subfolders_in_any_format_and_the_rest_is_named(tmp_path, caplog):
    good = [save_photo(tmp_path / name, 800, 300) for name in ("a.png", "deep/b.jpg", "deep/er/c.WEBP", "d.tif")]
    save_photo(tmp_path / "small.png", 700, 300)
    (tmp_path / "broken.jpg").write_bytes(b"not a photo")
    (tmp_path / "notes.txt").write_text("not meant to be one")
    with caplog.at_level(logging.WARNING):
        assert find_photos([tmp_path]) == sorted(good)
    assert "small.png: 700×300 px is too small" in caplog.text
    assert "broken.jpg" in caplog.text
    assert "notes.txt" not in caplog.text


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


def test_the_split_is_by_file_and_repeatable(photos):
    training, validation = split(photos, 0.4, seed=3)
    assert len(validation) == 2
    assert sorted(training + validation) == photos
    assert split(photos, 0.4, seed=3) == (training, validation)
    assert len({tuple(split(photos, 0.4, seed=seed)[1]) for seed in range(10)}) > 1
    with pytest.raises(ValueError, match="at least two"):
        split(photos[:1], 0.4, seed=0)


def test_random_crops_depend_on_seed_and_position_alone(photos):
    crops, again, other = (RandomCrops(photos, seed=seed, mirror=True, zoom_out=True) for seed in (1, 1, 2))
    assert crops[7].shape == (3, 256, 768)
    assert torch.equal(crops[7], again[7])
    assert not torch.equal(crops[7], crops[8])
    assert not torch.equal(crops[7], other[7])


def test_an_epoch_shows_every_photo_once(tmp_path):
    colours = [10, 60, 110, 160, 210]
    paths = []
    for colour in colours:
        paths.append(tmp_path / f"{colour}.png")
        Image.new("RGB", (800, 300), (colour,) * 3).save(paths[-1])
    crops = RandomCrops(paths, seed=0)
    epochs = [[round(crops[position].mean().item() * 255) for position in range(e * 5, e * 5 + 5)] for e in range(3)]
    assert all(sorted(epoch) == colours for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_central_crops_are_central(tmp_path):
    pixels = np.zeros((300, 1000, 3), dtype=np.uint8)
    pixels[22:278, 116:884] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    crop = CentralCrops([tmp_path / "a.png"])[0]
    assert crop.shape == (3, 256, 768)
    assert crop.min() == 1


def test_cutting_and_joining_gives_the_panorama_back():
    panoramas = torch.rand(2, 3, 256, 768)
    assert torch.equal(torch.cat(cut(panoramas), dim=-1), panoramas)


@torch.no_grad()
def test_a_gap_that_meets_the_edges_is_the_one_that_a_blend_shows(tiny_generator):
    left, _, right = cut(torch.rand(1, 3, 256, 768))
    _, gap, _ = cut(meeting_edges(tiny_generator(left, right), left, right))
    shown = cut(blend(tiny_generator, left, right).panorama)[1]
    torch.testing.assert_close(gap.clamp(0, 1), shown, atol=1e-5, rtol=0)
