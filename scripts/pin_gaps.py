"""The gaps of the sample photos that tests/detail/test_picture.py compares with, and how they are pinned anew.

    python -m scripts.pin_gaps

Only after a look at both pictures: `python -m scripts.compare_pictures BEFORE OUT` shows them side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import save_file
from torch import Tensor

from wrb import Blend, blend, load_generator
from wrb.detail import pipeline
from wrb.detail.correspondence import Correspondence, find_correspondence
from wrb.images import read_image
from wrb.resampling import pool, resize

ROOT = Path(__file__).parents[1]

PINNED = ROOT / "tests" / "golden" / "gaps.safetensors"

HEIGHT = 256
"""Of the photos in px, and width of the gaps."""

PINNED_HEIGHT = 32
"""At which gaps are compared: as the mean of blocks of 8 px."""

PAIRS = (("tea_gardens", "lake"), ("desert", "tea_gardens"), ("lake", "desert"))


def make_panoramas() -> list[tuple[Blend, Correspondence]]:
    """For each pair its blend by the built-in model, and the correspondence in its gap."""
    generator = load_generator()
    photos = {name: read_sample(name) for pair in PAIRS for name in pair}
    found: list[Correspondence] = []

    def remember(*arguments: Any, **options: Any) -> Correspondence:
        found.append(find_correspondence(*arguments, **options))
        return found[-1]

    with mock.patch.object(pipeline, "find_correspondence", remember):
        blends = [blend(generator, photos[left], photos[right]) for left, right in PAIRS]
    return list(zip(blends, found, strict=True))


def read_sample(name: str) -> Tensor:
    """A sample photo at `HEIGHT`, (1 3 h w)."""
    photo = read_image(ROOT / "samples" / f"wrb_sample_{name}.jpg")
    return resize(photo, HEIGHT, round(photo.shape[-1] * HEIGHT / photo.shape[-2]))


def small_gap(made: Blend) -> Tensor:
    """What is pinned of a blend, (3 32 32)."""
    (gap,) = made.layout.split(made.panorama)[1]
    return pool(gap[0], PINNED_HEIGHT)


def main() -> None:
    save_file({"gaps": torch.stack([small_gap(made) for made, _ in make_panoramas()])}, PINNED)


if __name__ == "__main__":
    main()
