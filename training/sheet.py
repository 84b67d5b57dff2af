"""A sheet of results on held-back photos, to look at.

    python -m training.sheet --photos PHOTOS --out sheet.jpg

A row is a photo's central panorama: the truth; the gap that the model makes of its two sides; a linear cross-fade
between the sides' edges; and the model's gap between this photo's left side and the next one's right.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from wrb import Generator, blend, load_generator

from .data import CROP_SIZE, CentralCrops, cut, find_photos, split
from .validation import cross_fade, psnr

HEADINGS = ("photo", "generated gap", "cross-fade", "generated gap to the next photo")
MARGIN = 8
TEXT_HEIGHT = 28

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """What to show. With the settings of a training run, the photos are those that it held back."""

    photos: tuple[Path, ...]
    """Folders of photos."""

    out: Path
    """The picture to write."""

    weights: Path | None = None
    """The generator; the built-in one if not given."""

    rows: int = 8
    """How many photos."""

    validation_share: float = 0.06
    """As in training."""

    seed: int = 0
    """As in training."""


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


def draw_sheet(columns: list[Tensor]) -> Image.Image:
    """Columns of images, (b 3 h w) each, under their headings."""
    height, width = CROP_SIZE
    num_rows = len(columns[0])
    size = (len(columns) * (width + MARGIN) - MARGIN, TEXT_HEIGHT + num_rows * (height + MARGIN) - MARGIN)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=20)
    for column, (heading, images) in enumerate(zip(HEADINGS, columns, strict=True)):
        left = column * (width + MARGIN)
        draw.text((left, 0), heading, fill="black", font=font)
        for row, image in enumerate(images):
            pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
            sheet.paste(Image.fromarray(pixels), (left, TEXT_HEIGHT + row * (height + MARGIN)))
    return sheet


def main() -> None:
    """Read the settings from the command line and draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    config = tyro.cli(SheetConfig, description=__doc__)
    _, photos = split(find_photos(config.photos), config.validation_share, config.seed)
    crops = CentralCrops(photos)
    panoramas = torch.stack([crops[number] for number in range(len(crops))])
    columns, generated, faded = results(load_generator(config.weights), panoramas)
    draw_sheet([column[: config.rows] for column in columns]).save(config.out, quality=88)
    better = int((generated > faded).sum())
    logger.info("gap PSNR over %d photos: %.2f dB, cross-fade %.2f dB", len(photos), generated.mean(), faded.mean())
    logger.info("better than the cross-fade on %d of %d", better, len(photos))


if __name__ == "__main__":
    main()
