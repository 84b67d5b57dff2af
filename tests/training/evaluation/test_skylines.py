"""How far the skyline of a gap is from the true one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
import torchvision.transforms.v2.functional as transforms
from torchvision.utils import save_image

from tests.scenery import layers
from training.evaluation.measurements import evaluate
from training.evaluation.skylines import skyline_distances


def with_gap(gap):
    sides = layers(256, 512, skyline=0.5)
    return torch.cat([sides[..., :256], gap, sides[..., 256:]], dim=-1)


@pytest.mark.parametrize("gap_columns", [2, 4, 8])
def test_the_distance_is_that_of_the_gap_alone_in_px_of_64(gap_columns):
    width = 64 * gap_columns
    truth = with_gap(layers(256, width, skyline=0.5))
    higher = with_gap(layers(256, width, skyline=0.375))
    distances = skyline_distances(higher, truth, gap_columns)
    assert distances.shape == (width // 4,)
    assert (distances - 8).abs().max() <= 1
    assert (skyline_distances(truth, truth, gap_columns) == 0).all()


@pytest.mark.parametrize("sea", [False, True])
def test_a_blur_has_its_skyline_in_its_middle(sea):
    truth = with_gap(layers(256, 256, skyline=0.5, sea=sea))
    blurred = with_gap(transforms.gaussian_blur(layers(256, 256, skyline=0.5, sea=sea), [61, 61]))
    assert skyline_distances(blurred, truth, 4).max() <= 2


def test_columns_without_a_skyline_do_not_count():
    land, sky = layers(256, 768, skyline=0.01), layers(256, 768, skyline=1.0)
    half = torch.cat([land[..., :384], layers(256, 384, skyline=0.5)], dim=-1)
    assert skyline_distances(sky, sky, 4).shape == (0,)
    assert len(skyline_distances(sky, half, 4)) == pytest.approx(32, abs=8)


@pytest.mark.slow
def test_the_figure_is_of_the_drawing_whatever_the_detail(evaluate_config, tmp_path):
    for number in range(2):
        save_image(layers(256, 768, skyline=0.5), tmp_path / f"{number}.png")

    def drawing_higher(left, right, width, *, detail=1):
        """Its drawing has the sky end 8 of 64 px too high, its detail is all sky."""
        gap = layers(256, width, skyline=0.375 if detail == 0 else 1.0)
        return torch.cat([left, gap.expand(len(left), -1, -1, -1), right], dim=-1)

    config = dataclasses.replace(evaluate_config, photos=(tmp_path,), gap_columns=(4,), num_pairs=2)
    figures = evaluate(config, sorted(tmp_path.iterdir()), {"higher": drawing_higher}).figures[0]
    assert figures.skyline_distance == pytest.approx(8, abs=1)
