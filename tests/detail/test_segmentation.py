"""What is sky, land, water and a thing in a photo."""

from pathlib import Path

import pytest
import torch

from tests.scenery import layers
from wrb.detail.segmentation import CLASSES, HEIGHT, LAND, SKY, WATER, segment, skyline
from wrb.images import read_image

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize(("height", "width"), [(256, 256), (64, 300), (1, 1), (500, 7), (333, 517)])
def test_every_place_has_probabilities(height, width):
    classes, things = segment(torch.rand(2, 3, height, width))
    assert classes.shape == (2, len(CLASSES), HEIGHT, max(1, round(width * HEIGHT / height)))
    torch.testing.assert_close(classes.sum(1), torch.ones_like(things))
    assert things.min() >= 0 and things.max() <= 1


@pytest.mark.parametrize(
    ("name", "row", "expected"),
    [
        ("lake", 0.05, SKY),
        ("lake", 0.6, LAND),
        ("lake", 0.9, WATER),
        ("desert", 0.1, SKY),
        ("desert", 0.95, LAND),
        ("tea_gardens", 0.05, SKY),
        ("tea_gardens", 0.9, LAND),
    ],
)
def test_the_sample_photos_are_understood(name, row, expected):
    told = segment(read_image(SAMPLES / f"wrb_sample_{name}.jpg")).classes[0]
    assert told[:, round(row * HEIGHT)].mean(-1).argmax() == expected


@pytest.mark.parametrize("height", [0.25, 0.5, 0.75])
def test_the_sky_ends_at_the_skyline(height):
    told = segment(layers(256, 256, skyline=height)).classes
    assert ((told[:, SKY] > 0.5).sum(1) / HEIGHT - height).abs().max() < 2 / HEIGHT
    assert (skyline(told) - height).abs().max() < 2 / HEIGHT


def test_the_skyline_is_the_likeliest_row_of_each_column_despite_a_cloud_or_a_window():
    sky = torch.full((2, 64, 3), 0.05)
    sky[:, :40] = 0.95
    sky[0, 5:8, 1] = 0  # a cloud
    sky[0, 50:52, 1] = 1  # a window
    sky[1, :, 2], sky[1, :, 0] = 0, 1  # no sky, and nothing else
    land = 1 - sky
    rows = 64 * skyline(torch.stack([sky, land, torch.zeros_like(sky)], dim=1))
    assert rows.tolist() == [[40, 40, 40], [64, 40, 0]]


def test_a_photo_at_another_height_is_told_alike():
    photo = layers(512, 512, skyline=0.4)
    small = torch.nn.functional.avg_pool2d(photo, 2)
    assert (segment(photo).classes - segment(small).classes).abs().mean() < 0.02


def test_no_gradients_are_recorded():
    assert not segment(torch.rand(1, 3, 64, 64, requires_grad=True)).classes.requires_grad
