"""A sheet of results on held-back photos, to look at.

    python -m training.sheet --photos PHOTOS --held-back RUN/validation_photos.txt --out results.png

A row is a photo's central panorama: the truth; the gap that the model makes of its two sides; a linear cross-fade
between the sides' edges; and the model's gap between this photo's left side and the next one's right.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import tyro
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from wrb import Generator, blend, load_generator
from wrb.images import to_image

from .baselines import cross_fade
from .data import CentralCrops, cut
from .photos import find_photos, read_list, split
from .validation import psnr

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
    """The picture to write, in the format of its ending."""

    weights: Path | None = None
    """The generator; the built-in one if not given."""

    held_back: Path | None = None
    """A text file that names the photos to show, such as a run's validation_photos.txt; without one they are split
    off again as `validation_share` and `seed` say."""

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


def results_sheet(generator: Generator, panoramas: Tensor) -> Image.Image:
    """The sheet of true panoramas, (b 3 256 768) in 0..1, a row each."""
    columns, _, _ = results(generator, panoramas)
    return draw_sheet(columns, HEADINGS)


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


def main() -> None:
    """Read the settings from the command line and draw."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    draw(tyro.cli(SheetConfig, description=__doc__))


def draw(config: SheetConfig) -> None:
    """Write the sheet, and log how good the gaps on it are.

    Raises:
        ValueError: if there are no usable photos, or a file names none of them or holds no weights.
    """
    photos = find_photos(config.photos)
    if config.held_back:
        photos = read_list(config.held_back, photos)
    else:
        _, photos = split(photos, config.validation_share, config.seed)
    crops = CentralCrops(photos)
    panoramas = torch.stack([crops[number] for number in range(len(crops))])
    columns, generated, faded = results(load_generator(config.weights), panoramas)
    draw_sheet([column[: config.rows] for column in columns], HEADINGS).save(config.out)
    better = int((generated > faded).sum())
    logger.info("gap PSNR over %d photos: %.2f dB, cross-fade %.2f dB", len(photos), generated.mean(), faded.mean())
    logger.info("better than the cross-fade on %d of %d", better, len(photos))


if __name__ == "__main__":
    main()
