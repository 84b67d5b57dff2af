"""Whether a change keeps the panoramas: the same ones are made by two checkouts and compared.

    git worktree add ../before HEAD~1
    python -m scripts.compare_pictures ../before pictures

For each panorama of the sample photos, of odd sizes, of a sequence and so on it prints the largest and the mean
difference in levels of 8 bits; where there is any, both are written below each other to the folder `pictures`. Exits
with 1 if any differs.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).parents[1]

NAMES = ("desert", "lake", "tea_gardens")

MARGIN = 8
"""Px between the two panoramas."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=Path, help="a checkout to compare this one with")
    parser.add_argument("out", type=Path, help="a folder for what differs")
    options = parser.parse_args()
    before, after = (draw_in(checkout) for checkout in (options.before, ROOT))
    differing = 0
    for name, panorama in after.items():
        if name not in before or before[name].shape != panorama.shape:
            sys.stdout.write(f"{name:24} of another size, or new\n")
            differing += 1
            continue
        difference = (in_levels(panorama) - in_levels(before[name])).abs()
        sys.stdout.write(f"{name:24} largest {difference.max():5.0f}, mean {difference.mean():8.4f} levels\n")
        if difference.any():
            differing += 1
            options.out.mkdir(parents=True, exist_ok=True)
            below_each_other(before[name], panorama).save(options.out / f"{name}.png")
    sys.stdout.write(f"{differing} of {len(after)} differ\n")
    return int(differing > 0)


def draw_in(checkout: Path) -> dict[str, Tensor]:
    """What a checkout makes of the photos, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "panoramas.pt"
        program = (
            f"import runpy, sys; sys.path.insert(0, '.'); runpy.run_path({str(__file__)!r})['draw']({str(file)!r})"
        )
        subprocess.run([sys.executable, "-c", program], cwd=checkout, check=True, env=os.environ | {"PYTHONPATH": ""})
        panoramas: dict[str, Tensor] = torch.load(file, weights_only=True)
    return panoramas


def draw(file: str) -> None:
    """Write the panoramas of the checkout in the working directory."""
    torch.save(dict(panoramas()), file)


def panoramas() -> Iterator[tuple[str, Tensor]]:
    """Names and panoramas, (b 3 h w) in 0..1."""
    from wrb import blend, blend_sequence, load_generator, restore_photos
    from wrb.images import read_image

    generator = load_generator()
    photos = {name: read_image(Path("samples") / f"wrb_sample_{name}.jpg") for name in NAMES}
    desert, lake, tea_gardens = (photos[name] for name in NAMES)
    for left, right in permutations(NAMES, 2):
        yield f"{left} to {right}", blend(generator, photos[left], photos[right]).panorama
    yield "wide", blend(generator, tea_gardens, lake, 1500).panorama
    yield "narrow", blend(generator, desert, lake, 180).panorama
    yield "odd sizes", blend(generator, scaled(desert, 333, 517), scaled(lake, 701, 411), 477).panorama
    yield "low", blend(generator, scaled(desert, 70, 40), scaled(lake, 90, 411), 101).panorama
    yield "too low for detail", blend(generator, scaled(desert, 40, 40), scaled(lake, 90, 411), 33).panorama
    down = scaled(lake, 400, 300), scaled(tea_gardens, 500, 444)
    yield "down", blend(generator, *down, 500, direction="down").panorama
    yield "no detail", blend(generator, desert, lake, 500, detail=0).panorama
    batch = torch.cat([scaled(desert, 128, 128), scaled(lake, 128, 128)])
    yield "batch", blend(generator, batch, scaled(tea_gardens, 128, 90), 200, detail=0.5).panorama
    sequence = [scaled(photo, 300, width) for photo, width in zip(photos.values(), (450, 200, 700), strict=True)]
    yield "loop", blend_sequence(generator, sequence, [200, None, 400], loop=True).panorama
    made = blend(generator, scaled(desert, 256, 300), scaled(lake, 256, 411), 200)
    yield "adjusted", made.with_gap_width(333).panorama
    enlarged = scaled(made.panorama, 512, 2 * made.panorama.shape[-1])
    yield "restored", restore_photos(enlarged, made, feather=20).panorama


def scaled(photos: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(photos, (height, width), mode="bicubic", antialias=True).clamp(0, 1)


def in_levels(panorama: Tensor) -> Tensor:
    """As an image file holds it, (b 3 h w)."""
    return (panorama * 255).round()


def below_each_other(before: Tensor, after: Tensor) -> Image.Image:
    """The first of both batches, the earlier above."""
    from wrb.images import to_image  # not above: an earlier checkout, which `draw` runs in, may not have it

    height, width = after.shape[-2:]
    sheet = Image.new("RGB", (width, 2 * height + MARGIN), "white")
    for top, panorama in ((0, before), (height + MARGIN, after)):
        sheet.paste(to_image(panorama[0]), (0, top))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
