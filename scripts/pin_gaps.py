"""The gaps of the sample photos that tests/detail/test_picture.py compares with, and how they are pinned anew.

    python -m scripts.pin_gaps

Only after a look at both pictures: `python -m scripts.compare_pictures BEFORE OUT` shows them side by side.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import torch
from safetensors.torch import load_file, save_file
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

MEAN_DIFFERENCE = 0.08
"""Allowed from the pinned gaps, in levels of 8 bits. Noise of 1e-7 to 1e-3 on what the network draws, one thread or
two, with or without oneDNN make 0.04 at most; of the settings that change this picture, half or twice 0.1 or more."""

LARGEST_DIFFERENCE = 4.0
"""Allowed of any of them, in levels of 8 bits; the same make 3.2 at most."""

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


def gaps_of(panoramas: list[tuple[Blend, Correspondence]]) -> Tensor:
    """The gaps at their full size, (pairs 3 h w)."""
    return torch.cat([made.layout.split(made.panorama)[1][0] for made, _ in panoramas])


def small(gaps: Tensor) -> Tensor:
    """What is pinned of gaps, (pairs 3 32 32)."""
    return torch.stack([pool(gap, PINNED_HEIGHT) for gap in gaps])


def are_pinned(gaps: Tensor) -> bool:
    """Whether gaps, (pairs 3 h w), are the pinned ones but for rounding."""
    difference = (small(gaps) - load_file(PINNED)["gaps"]).abs() * 255
    return bool(difference.mean() < MEAN_DIFFERENCE and difference.max() < LARGEST_DIFFERENCE)


def main() -> None:
    save_file({"gaps": small(gaps_of(make_panoramas()))}, PINNED)


if __name__ == "__main__":
    main()
