"""Photos to 256×768 crops, the same ones in the same order for a seed, wherever a run is stopped and resumed."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from wrb.config import IMAGE_SIZE
from wrb.seam import meet_edges, without_fringe

CROP_SIZE = (IMAGE_SIZE, 3 * IMAGE_SIZE)
"""Height and width in px of a panorama: left photo, gap, right photo."""

SCALED_HEIGHT = 512
"""A higher photo is scaled down to this before cropping."""

logger = logging.getLogger(__name__)


def find_photos(folders: Iterable[Path]) -> list[Path]:
    """Every readable and large enough photo below the folders, sorted by path; the others are named in a warning.

    Raises:
        ValueError: if a folder does not exist, or no photo is left.
    """
    Image.init()
    photos = []
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; give folders of photos")
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() not in Image.EXTENSION or not path.is_file():
                continue
            try:
                with Image.open(path) as image:
                    width, height = ImageOps.exif_transpose(image).size if image.getexif() else image.size
            except (UnidentifiedImageError, OSError) as error:
                logger.warning("skipped %s: %s", path, error)
                continue
            if scaled_size(width, height)[0] < CROP_SIZE[1] or height < CROP_SIZE[0]:
                logger.warning(
                    "skipped %s: %d×%d px is too small for a %d×%d crop", path, width, height, *CROP_SIZE[::-1]
                )
                continue
            photos.append(path)
    if not photos:
        raise ValueError(f"no usable photo in {', '.join(map(str, folders))}; at least 768×256 px are needed")
    return photos


def scaled_size(width: int, height: int) -> tuple[int, int]:
    """Width and height before cropping: 512 high, or 768 wide if that were narrower; small photos as they are."""
    if height <= SCALED_HEIGHT:
        return width, height
    if width * SCALED_HEIGHT >= CROP_SIZE[1] * height:
        return round(width * SCALED_HEIGHT / height), SCALED_HEIGHT
    return min(width, CROP_SIZE[1]), round(height * min(1.0, CROP_SIZE[1] / width))


def split(photos: list[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Training and validation photos; at least one of each, the same for the same photos, share and seed.

    Raises:
        ValueError: if there are fewer than two photos.
    """
    if len(photos) < 2:
        raise ValueError("one photo cannot be split into training and validation; give at least two")
    order = np.random.default_rng(seed).permutation(len(photos))
    count = min(max(1, round(share * len(photos))), len(photos) - 1)
    held_back = set(order[:count].tolist())
    training = [photo for number, photo in enumerate(photos) if number not in held_back]
    return training, [photos[number] for number in sorted(held_back)]


class CentralCrops(Dataset):
    """The central crop of every photo, (3 256 768), RGB in 0..1: for validation."""

    def __init__(self, photos: list[Path]) -> None:
        self.photos = photos

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> Tensor:
        image = _read(self.photos[number])
        return _crop(image, scaled_size(*image.size), (0.5, 0.5))


class RandomCrops(Dataset):
    """An endless sequence of random crops, (3 256 768), RGB in 0..1, each photo once an epoch in random order.

    What is at a position depends on the seed and the position alone.

    Args:
        mirror: mirror every second crop.
        zoom_out: scale by a random factor, down to where the photo just holds a crop.
    """

    def __init__(self, photos: list[Path], *, seed: int, mirror: bool = False, zoom_out: bool = False) -> None:
        self.photos = photos
        self.seed = seed
        self.mirror = mirror
        self.zoom_out = zoom_out

    def __getitem__(self, position: int) -> Tensor:
        epoch, number = divmod(position, len(self.photos))
        order = np.random.default_rng((self.seed, epoch)).permutation(len(self.photos))
        random = np.random.default_rng((self.seed, epoch, number, 1))
        image = _read(self.photos[order[number]])
        width, height = scaled_size(*image.size)
        if self.zoom_out:
            factor = random.uniform(max(CROP_SIZE[1] / width, CROP_SIZE[0] / height), 1.0)
            width, height = max(CROP_SIZE[1], round(width * factor)), max(CROP_SIZE[0], round(height * factor))
        crop = _crop(image, (width, height), random.uniform(size=2))
        return crop.flip(-1) if self.mirror and random.random() < 0.5 else crop


class Positions(Sampler[int]):
    """Positions of an endless data set from `start` on, before `end`."""

    def __init__(self, start: int, end: int) -> None:
        self.range = range(start, end)

    def __iter__(self) -> Iterator[int]:
        return iter(self.range)

    def __len__(self) -> int:
        return len(self.range)


def cut(panoramas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Left photo, truth of the gap and right photo, (b 3 256 256) each."""
    left, gap, right = panoramas.split(IMAGE_SIZE, dim=-1)
    return left, gap, right


def meeting_edges(panorama: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A generated panorama, (b 3 256 768), with its gap made to meet the true photos' edges, as `blend` does."""
    redrawn_left, gap, redrawn_right = cut(panorama)
    return torch.cat(
        [redrawn_left, meet_edges(without_fringe(gap), left[..., -1:], right[..., :1]), redrawn_right], dim=-1
    )


def _read(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return ImageOps.exif_transpose(image).convert("RGB")


def _crop(image: Image.Image, size: tuple[int, int], place: Sequence[float] | np.ndarray) -> Tensor:
    """A crop of the image scaled to `size`; `place` says where, from 0 (left, top) to 1 (right, bottom)."""
    height, width = CROP_SIZE
    left, top = round(place[0] * (size[0] - width)), round(place[1] * (size[1] - height))
    across, down = image.width / size[0], image.height / size[1]
    box = (left * across, top * down, (left + width) * across, (top + height) * down)
    pixels = np.array(image.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
