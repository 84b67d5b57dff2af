"""Draw a sheet of panoramas of photos that the built-in model never saw, uncurated: pairs by a fixed seed.

    python -m scripts.draw_pairs PHOTOS RUN/validation_photos.txt docs/pairs.jpg

Panoramas are made at the left photo's own height. The sheet shows the square beside the gap on each side.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from training.evaluation.datasets import spread_pairs
from training.evaluation.sheets import draw_sheet
from training.photo_lists import read_list
from training.photos import find_photos
from wrb import Generator, blend, load_generator
from wrb.files import replacing
from wrb.images import read_image
from wrb.resampling import resize

PAIRS = 12
COLUMNS = 2
SEED = 2026
QUALITY = 88


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("held_back", type=Path, help="a text file that names those to join")
    parser.add_argument("out", type=Path)
    parser.add_argument("--weights", type=Path, help="default: the built-in model")
    parser.add_argument("--height", type=int, default=320, help="of each panorama on the sheet in px (default: 320)")
    options = parser.parse_args()
    generator = load_generator(options.weights)
    photos = read_list(options.held_back, find_photos([options.photos]), [options.photos])
    pairs = spread_pairs(len(photos), PAIRS, SEED)
    panoramas = [join(generator, photos[left], photos[right], options.height) for left, right in pairs]
    columns = [panoramas[start::COLUMNS] for start in range(COLUMNS)]
    numbers = [range(1 + start, 1 + PAIRS, COLUMNS) for start in range(COLUMNS)]
    headings = ["pairs " + ", ".join(map(str, column)) for column in numbers]
    with replacing(options.out) as partial:
        draw_sheet(columns, headings).save(partial, quality=QUALITY)


def join(generator: Generator, left: Path, right: Path, height: int) -> Tensor:
    """The panorama of two photos, (3 height w), cut to a square on each side of the gap."""
    first = read_image(left)
    made = blend(generator, first, read_image(right))
    size, gap_start = first.shape[-2], first.shape[-1]
    shown = made.panorama[..., max(0, gap_start - size) : gap_start + 2 * size]
    return resize(shown, height, round(shown.shape[-1] * height / size)).clamp(0, 1)[0]


if __name__ == "__main__":
    with torch.inference_mode():
        main()
