"""How far the skyline of a gap is from the true one."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torchvision.utils import save_image

from tests.scenery import layers
from training.evaluation.measurements import evaluate
from training.evaluation.skylines import gap_skyline


@pytest.mark.parametrize("gap_columns", [2, 4, 8])
def test_the_skyline_is_told_in_the_gap_alone_in_px_of_64(gap_columns):
    width = 64 * gap_columns
    sides, gap = layers(256, 512, skyline=0.5), layers(256, width, skyline=0.375)
    panorama = torch.cat([sides[..., :256], gap, sides[..., 256:]], dim=-1)
    rows = gap_skyline(panorama, gap_columns)
    assert rows.shape == (1, width // 4)
    away_from_photos = rows[:, 4:-4]
    assert (away_from_photos - 24).abs().max() <= 2
    assert (gap_skyline(torch.cat([panorama, panorama]), gap_columns) == rows).all()


@pytest.mark.slow
def test_the_figure_is_the_mean_distance_of_the_drawing_whatever_the_detail(evaluate_config, tmp_path):
    for number in range(2):
        save_image(layers(256, 768, skyline=0.5), tmp_path / f"{number}.png")

    def drawing_higher(left, right, width, *, detail=1):
        """Its drawing has the sky end 8 of 64 px too high, its detail is all sky."""
        skyline = 0.375 if detail == 0 else 1.0
        return torch.cat([left, layers(256, width, skyline=skyline).expand(len(left), -1, -1, -1), right], dim=-1)

    config = dataclasses.replace(evaluate_config, photos=(tmp_path,), gap_columns=(4,), num_pairs=2)
    figures = evaluate(config, sorted(tmp_path.iterdir()), {"higher": drawing_higher}).figures[0]
    assert figures.skyline_distance == pytest.approx(8, abs=1)
