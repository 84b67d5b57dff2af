from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from training.data import (
    AugmentationSettings,
    CentralCrops,
    RandomCrops,
    RandomCropsAndPairs,
    central,
    cut,
    framed,
    meeting_edges,
)
from wrb import blend

AS_THEY_ARE = AugmentationSettings()


def save_photo(path, width, height, seed=0):
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    return [save_photo(tmp_path / f"{number}.png", 800 + 10 * number, 300, seed=number) for number in range(5)]


def test_random_crops_depend_on_seed_and_position_alone(photos):
    augmentation = AugmentationSettings(mirror=True, zoom_out=True, colour=0.2)
    crops, again, other = (RandomCrops(photos, augmentation, seed=seed) for seed in (1, 1, 2))
    crops, again, other = ([side[position]["panorama"] for position in (7, 8)] for side in (crops, again, other))
    assert crops[0].shape == (3, 256, 768)
    assert torch.equal(crops[0], again[0])
    assert not torch.equal(crops[0], crops[1])
    assert not torch.equal(crops[0], other[0])


def test_an_epoch_shows_every_photo_once(tmp_path):
    colours = [10, 60, 110, 160, 210]
    paths = []
    for colour in colours:
        paths.append(tmp_path / f"{colour}.png")
        Image.new("RGB", (800, 300), (colour,) * 3).save(paths[-1])
    crops = RandomCrops(paths, AS_THEY_ARE, seed=0)
    seen = [round(crops[position]["panorama"].mean().item() * 255) for position in range(15)]
    epochs = [seen[:5], seen[5:10], seen[10:]]
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
    shown = cut(blend(tiny_generator, left, right, detail=0).panorama)[1]
    torch.testing.assert_close(gap.clamp(0, 1), shown, atol=1e-5, rtol=0)


def test_a_gap_of_any_width_is_cut_from_the_centre():
    panoramas = torch.rand(2, 3, 256, 1024)
    for gap_columns in (1, 4, 8):
        left, gap, right = cut(panoramas, gap_columns)
        assert left.shape == right.shape == (2, 3, 256, 256) and gap.shape == (2, 3, 256, 64 * gap_columns)
        assert torch.equal(torch.cat([left, gap, right], dim=-1), central(panoramas, 512 + 64 * gap_columns))


def test_the_discriminator_sees_a_narrow_panorama_between_what_lies_farther_out():
    panoramas = torch.rand(2, 3, 256, 768)
    narrow = torch.cat(cut(panoramas, 2), dim=-1)
    assert torch.equal(framed(narrow, panoramas, panoramas), panoramas)
    lefts, rights = torch.zeros_like(panoramas), torch.ones_like(panoramas)
    seen = framed(narrow, lefts, rights)
    assert seen[..., :64].eq(0).all() and seen[..., -64:].eq(1).all() and torch.equal(seen[..., 64:-64], narrow)
    wide = torch.rand(2, 3, 256, 1024)
    assert torch.equal(framed(wide, wide, wide), wide[..., 128:-128])


def test_pairs_are_of_different_photos_and_in_an_order_of_their_own(photos):
    crops = RandomCropsAndPairs(photos, AS_THEY_ARE, neighbours=None, seed=0)
    chosen = [crops.photos_at(position) for position in range(100)]
    assert all(roles["left"] != roles["right"] for roles in chosen)
    assert {(roles["left"], roles["right"]) for roles in chosen} == {
        (left, right) for left in photos for right in photos if left != right
    }
    assert any(roles["left"] != roles["panorama"] for roles in chosen)
    assert any(roles["other"] != roles["panorama"] for roles in chosen)
    assert {role: tuple(crop.shape) for role, crop in crops[0].items()} == dict.fromkeys(
        ("panorama", "left", "right", "other"), (3, 256, 768)
    )
    with pytest.raises(ValueError, match="at least two"):
        RandomCropsAndPairs(photos[:1], AS_THEY_ARE, neighbours=None, seed=0)


def test_pairs_are_of_neighbours_where_these_are_known(photos):
    neighbours = {photo: [photos[number - 1], photos[number - 2]] for number, photo in enumerate(photos)}
    crops = RandomCropsAndPairs(photos, AS_THEY_ARE, neighbours=neighbours, seed=0)
    chosen = {(roles["left"], roles["right"]) for roles in map(crops.photos_at, range(100))}
    assert chosen == {(left, right) for left, others in neighbours.items() for right in others}


@pytest.mark.parametrize(
    "augmentation", [{"mirror": True}, {"zoom_out": True}, {"zoom_out": True, "zoom_in": 2.0}, {"colour": 0.3}]
)
def test_an_augmentation_changes_crops_and_keeps_them_images(tmp_path, augmentation):
    y, x = np.mgrid[0:600, 0:1800]
    Image.fromarray(np.stack([x / 8, y / 3, x * 0 + 90], axis=-1).astype(np.uint8)).save(tmp_path / "a.png")
    plain = RandomCrops([tmp_path / "a.png"], AS_THEY_ARE, seed=0)
    augmented = RandomCrops([tmp_path / "a.png"], AugmentationSettings(**augmentation), seed=0)
    pairs = [(plain[position]["panorama"], augmented[position]["panorama"]) for position in range(8)]
    assert any(not torch.equal(*pair) for pair in pairs)
    assert all(pair[1].shape == (3, 256, 768) and 0 <= pair[1].min() and pair[1].max() <= 1 for pair in pairs)
    rises = {(crop[0, :, -1].mean() > crop[0, :, 0].mean()).item() for _, crop in pairs}
    assert rises == ({True, False} if "mirror" in augmentation else {True})


def test_some_crops_receive_the_sky_of_another_photo(tmp_path):
    """Of photos whose skies and grounds have a shade each, mixtures have one of either."""
    rng = np.random.default_rng(0)
    for number, (sky, ground) in enumerate([(200, 40), (240, 90)]):
        image = np.repeat(np.where(np.arange(300) < 150, sky, ground)[:, None], 800, axis=1)
        noisy = (image[..., None] + rng.integers(0, 5, (300, 800, 3))).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"{number}.png")
    photos = [tmp_path / "0.png", tmp_path / "1.png"]
    crops = RandomCrops(photos, AugmentationSettings(mix_skies=0.5), seed=0)
    seen = [crops[position]["panorama"][0] * 255 for position in range(30)]
    shades = {(round(crop[:40].mean().item(), -1), round(crop[-40:].mean().item(), -1)) for crop in seen}
    assert shades == {(200, 40), (200, 90), (240, 40), (240, 90)}
    assert torch.equal(crops[7]["panorama"], crops[7]["panorama"])
