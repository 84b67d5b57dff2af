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
from dataclasses import dataclass

import torch
import tyro

from wrb import load_generator
from wrb.files import replacing, require_writable
from wrb.images import format_of

from .data import CentralCrops
from .evaluation.sheets import RESULTS_HEADINGS, draw_sheet, results
from .photo_lists import read_list
from .photos import find_photos, split
from .program import program

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


def main() -> None:
    """Read the settings from the command line and draw."""
    with program():
        draw(tyro.cli(SheetConfig, description=__doc__))


def draw(config: SheetConfig) -> None:
    """Write the sheet, and log how good the gaps on it are.

    Raises:
        ValueError: if there are no usable photos, a file names none of them or holds no weights, or the sheet's format
            cannot hold it.
        OSError: if that cannot be written.
    """
    format_of(config.out)
    require_writable(config.out)
    photos = find_photos(config.photos)
    if config.held_back:
        photos = read_list(config.held_back, photos, config.photos)
    else:
        _, photos = split(photos, config.validation_share, config.seed)
    crops = CentralCrops(photos)
    panoramas = torch.stack([crops[number] for number in range(len(crops))])
    columns, generated, faded = results(load_generator(config.weights), panoramas)
    with replacing(config.out) as partial:
        draw_sheet([column[: config.rows] for column in columns], RESULTS_HEADINGS).save(partial)
    better = int((generated > faded).sum())
    logger.info("gap PSNR over %d photos: %.2f dB, cross-fade %.2f dB", len(photos), generated.mean(), faded.mean())
    logger.info("better than the cross-fade on %d of %d", better, len(photos))


if __name__ == "__main__":
    main()
