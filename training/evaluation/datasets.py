"""What the authors' evaluation takes of photos (paper section 4): pairs to join, and crops that stand for real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from wrb.images import to_tensor
from wrb.network.config import IMAGE_SIZE

from ..data import CentralCrops, central
from ..photos import read_scaled

WINDOW_WIDTH = 2 * IMAGE_SIZE
"""Of what FID and KID see, in px: the centre of a panorama, 256 px high."""


def spread_pairs(num_photos: int, num_pairs: int, seed: int) -> list[tuple[int, int]]:
    """Random pairs of different photos, as positions of the left and the right one. No pair comes twice.

    Each photo is on the left as often as any other, or once more; and likewise on the right.

    Raises:
        ValueError: if the photos do not make that many pairs.
    """
    if num_pairs > num_photos * (num_photos - 1):
        raise ValueError(f"num_pairs is {num_pairs}; of {num_photos} photos there are {num_photos * (num_photos - 1)}")
    random = np.random.default_rng(seed)
    ring = random.permutation(num_photos).tolist()
    steps = (random.permutation(num_photos - 1) + 1).tolist()
    rounds = [(ring[start], ring[(start + step) % num_photos]) for step in steps for start in range(num_photos)]
    return rounds[:num_pairs]


class PairsOfSquares(Dataset):
    """The central squares of two photos each, (3 256 256), RGB in 0..1.

    Args:
        photos: all of them.
        pairs: positions in `photos`.
        crop_width: in px, by which the photos are scaled.
    """

    def __init__(self, photos: list[Path], pairs: list[tuple[int, int]], crop_width: int) -> None:
        self.crops = CentralCrops(photos, crop_width)
        self.pairs = pairs

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, number: int) -> tuple[Tensor, Tensor]:
        left, right = self.pairs[number]
        return central(self.crops[left], IMAGE_SIZE), central(self.crops[right], IMAGE_SIZE)


class RandomWindows(Dataset):
    """Random crops of photos, (3 256 512), RGB in 0..1, taken from one photo after the other.

    Args:
        photos: all of them.
        length: how many crops.
        crop_width: in px, by which the photos are scaled.
        seed: of the crops' places.
        anywhere: at any height, as the authors take them; else at half height, as the photos that are joined.
    """

    def __init__(self, photos: list[Path], length: int, crop_width: int, seed: int, *, anywhere: bool) -> None:
        self.photos = photos
        self.length = length
        self.crop_width = crop_width
        self.seed = seed
        self.anywhere = anywhere

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Tensor:
        random = np.random.default_rng((self.seed, self.anywhere, number))
        image = read_scaled(self.photos[number % len(self.photos)], self.crop_width)
        left = int(random.integers(image.width - WINDOW_WIDTH + 1))
        free = image.height - IMAGE_SIZE
        top = int(random.integers(free + 1)) if self.anywhere else free // 2
        return to_tensor(image.crop((left, top, left + WINDOW_WIDTH, top + IMAGE_SIZE)))
