"""Figures of methods whose quality is known."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from training.evaluation.measurements import evaluate
from training.evaluation.psnr import HIGHEST_PSNR
from training.evaluation.report import PHOTOS


def continuing(left, right, width, *, detail=1):
    """Perfect between the two sides of a layered photo."""
    return torch.cat([left, left[..., -1:].expand(*left.shape[:-1], width), right], dim=-1)


def noise(left, right, width, *, detail=1):
    generator = torch.Generator().manual_seed(0)
    return torch.cat([left, torch.rand(*left.shape[:-1], width, generator=generator), right], dim=-1)


@pytest.fixture(scope="module")
def figures(evaluate_config):
    config = dataclasses.replace(evaluate_config, gap_columns=(4,))
    evaluation = evaluate(config, sorted(config.photos[0].iterdir()), {"continuing": continuing, "noise": noise})
    return {line.method: line for line in evaluation.figures}


@pytest.mark.slow
def test_a_perfect_gap_is_as_good_as_can_be(figures):
    perfect = figures["continuing"]
    assert perfect.psnr == pytest.approx(HIGHEST_PSNR)
    assert perfect.perceptual_distance == 0
    assert perfect.skyline_distance == 0


@pytest.mark.slow
def test_noise_is_worse_than_a_good_gap_in_every_figure(figures):
    good, bad = figures["continuing"], figures["noise"]
    assert bad.frechet_distance > 1.5 * good.frechet_distance
    assert bad.kernel_distance > 1.5 * good.kernel_distance
    assert bad.psnr < 15 < good.psnr
    assert bad.perceptual_distance > 0.1
    assert bad.seam > 1.5 * good.seam
    assert bad.skyline_distance > 1


@pytest.mark.slow
def test_the_photos_are_the_nearest_to_themselves(figures):
    photos = figures[PHOTOS]
    assert photos.kernel_distance < figures["continuing"].kernel_distance
    assert photos.frechet_distance < figures["continuing"].frechet_distance
    assert photos.seam == 0  # every column is like the next
    assert photos.psnr is photos.perceptual_distance is photos.skyline_distance is None


@pytest.mark.slow
def test_methods_see_photos_of_one_size_and_every_gap_width(evaluate_config):
    seen = set()

    def watching(left, right, width, *, detail=1):
        seen.add((left.shape[1:], right.shape[1:], width))
        assert not torch.equal(left, right) or (left == left[..., :1]).all()
        return continuing(left, right, width)

    photos = sorted(evaluate_config.photos[0].iterdir())
    evaluation = evaluate(evaluate_config, photos, {"watching": watching})
    square = torch.Size([3, 256, 256])
    assert seen == {(square, square, 64), (square, square, 256)}
    assert [(line.method, line.gap_columns) for line in evaluation.figures] == [
        ("watching", 1),
        (PHOTOS, 1),
        ("watching", 4),
        (PHOTOS, 4),
    ]
