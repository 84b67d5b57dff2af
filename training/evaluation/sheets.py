"""Sheets of panoramas to look at: a column for each method, a row for each example."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from wrb import Generator, blend
from wrb.images import to_image
from wrb.network.config import COLUMN_WIDTH

from ..data import CentralCrops, cut
from .baselines import cross_fade
from .datasets import PairsOfSquares, spread_pairs
from .methods import Method
from .psnr import psnr
from .report import PHOTOS
from .settings import EvaluateConfig

RESULTS_HEADINGS = ("photo", "generated gap", "cross-fade", "generated gap to the next photo")

MARGIN = 8
"""Px between images."""

TEXT_HEIGHT = 28
"""Px above the images, for the headings."""

EXAMPLES = 4
"""Photos or pairs on an evaluation's sheet, each at every gap width."""


def draw_sheet(columns: Sequence[Sequence[Tensor] | Tensor], headings: Sequence[str]) -> Image.Image:
    """Columns of images under their headings, pixel for pixel.

    Args:
        columns: as many images in each, (3 h w) in 0..1. A row is as high as its highest image, a column as wide as its
            widest.
        headings: one a column; what is wider than its column is cut off.
    """
    widths = [max(image.shape[-1] for image in column) for column in columns]
    heights = [max(image.shape[-2] for image in row) for row in zip(*columns, strict=True)]
    size = (sum(widths) + MARGIN * (len(widths) - 1), TEXT_HEIGHT + sum(heights) + MARGIN * (len(heights) - 1))
    sheet = Image.new("RGB", size, "white")
    font = ImageFont.load_default(size=20)
    left = 0
    for column, width, heading in zip(columns, widths, headings, strict=True):
        title = Image.new("RGB", (width, TEXT_HEIGHT), "white")
        ImageDraw.Draw(title).text((0, 0), heading, fill="black", font=font)
        sheet.paste(title, (left, 0))
        top = TEXT_HEIGHT
        for image, height in zip(column, heights, strict=True):
            sheet.paste(to_image(image), (left, top))
            top += height + MARGIN
        left += width + MARGIN
    return sheet


def results(generator: Generator, panoramas: Tensor) -> tuple[list[Tensor], Tensor, Tensor]:
    """What the sheet shows of true panoramas, (b 3 256 768).

    Returns:
        The sheet's columns, (b 3 256 768) each, and the PSNR of the generated and of the cross-faded gaps in dB, (b).
    """
    left, gap, right = cut(panoramas)
    generated = blend(generator, left, right).panorama
    faded = cross_fade(left, right, gap.shape[-1])
    to_next = blend(generator, left, right.roll(-1, 0)).panorama
    columns = [panoramas, generated, torch.cat([left, faded, right], dim=-1), to_next]
    return columns, psnr(cut(generated)[1], gap), psnr(faded, gap)


def results_sheet(generator: Generator, panoramas: Tensor) -> Image.Image:
    """The sheet of true panoramas, (b 3 256 768) in 0..1, a row each."""
    columns, _, _ = results(generator, panoramas)
    return draw_sheet(columns, RESULTS_HEADINGS)


def pairs_sheet(config: EvaluateConfig, photos: list[Path], methods: dict[str, Method]) -> Image.Image:
    """Some pairs of different photos joined: a row for each pair and gap width, a column for each method."""
    num_pairs = min(EXAMPLES, len(photos))
    pairs = PairsOfSquares(photos, spread_pairs(len(photos), num_pairs, config.seed), config.crop_width)
    examples = [
        (*pairs[number], columns * COLUMN_WIDTH) for number in range(num_pairs) for columns in config.gap_columns
    ]
    columns = _panoramas(config, examples, methods)
    return draw_sheet(list(columns.values()), list(columns))


def reconstructions_sheet(config: EvaluateConfig, photos: list[Path], methods: dict[str, Method]) -> Image.Image:
    """Some photos and their middle made anew: a row for each photo and gap width, a column for each method."""
    shown = np.linspace(0, len(photos) - 1, min(EXAMPLES, len(photos))).astype(int)
    crops = CentralCrops(photos, config.crop_width)
    parts = [cut(crops[number], columns) for number in shown for columns in config.gap_columns]
    columns = _panoramas(config, [(left, right, gap.shape[-1]) for left, gap, right in parts], methods)
    true_panoramas = [torch.cat(part, dim=-1) for part in parts]
    return draw_sheet([true_panoramas, *columns.values()], [PHOTOS, *columns])


@torch.inference_mode()
def _panoramas(
    config: EvaluateConfig, examples: list[tuple[Tensor, Tensor, int]], methods: dict[str, Method]
) -> dict[str, list[Tensor]]:
    """Every method's panoramas of left and right photos, (3 256 256), and gap widths in px."""
    return {
        name: [
            method(left[None].to(config.torch_device), right[None].to(config.torch_device), width)[0]
            for left, right, width in examples
        ]
        for name, method in methods.items()
    }
