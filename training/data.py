"""Photos to crops, the same ones in the same order for a seed, wherever a run is stopped and resumed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torchvision.transforms.v2.functional as transforms
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from wrb.images import to_tensor
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE
from wrb.network.generator import DEFAULT_GAP_COLUMNS
from wrb.painter import without_fringe
from wrb.poisson import meet_edges

from .mixing import mixed_skies
from .photos import CROP_HEIGHT, CROP_WIDTH, read_scaled
from .settings import Settings

Sample = dict[str, Tensor]
"""Crops, (3 256 w) each, RGB in 0..1: a "panorama" to rebuild and, in fine-tuning, a "left" and a "right" one of
different photos whose sides are joined, and an "other" one that shows the discriminator a true panorama."""

PAIRING, SKIES = 4, 5
"""Streams of random numbers at a position: these choose a pair and another sky, streams 0 to 3 crop the photos."""


@dataclass(frozen=True, kw_only=True)
class BatchSettings(Settings):
    """How much a step works on, and for how long."""

    gap_columns: tuple[int, int] = (4, 4)
    """Narrowest and widest gap, in columns of 64 px; each step draws a width between them. More than 4 needs wider
    photos: 8 takes 1024 px."""

    batch_size: int = 20
    """Panoramas in a step, over all processes."""

    parts: int = 1
    """In how many parts, one after the other, a step's batch is worked through (gradient accumulation), to fit into
    less memory. The means in the adversarial and the normalised feature losses are then of a part."""

    epochs: int = 200
    """Times through the photos."""

    def __post_init__(self) -> None:
        self.require_positive("batch_size", "parts", "epochs")
        if not 1 <= self.gap_columns[0] <= self.gap_columns[1]:
            raise ValueError(f"gap_columns is {self.gap_columns}; give the narrowest, at least 1, and the widest")
        super().__post_init__()

    @property
    def crop_width(self) -> int:
        """Width in px of the crops: they hold the widest gap and its photos, and what the discriminator sees."""
        return max(CROP_WIDTH, 2 * IMAGE_SIZE + self.gap_columns[1] * COLUMN_WIDTH)

    @property
    def samples_per_batch(self) -> int:
        """Positions of the data set that a step takes."""
        return self.batch_size


@dataclass(frozen=True, kw_only=True)
class AugmentationSettings(Settings):
    """What makes more of few photos."""

    mirror: bool = False
    """Mirror every second crop."""

    zoom_out: bool = False
    """Scale each photo by a random factor, down to where it just holds a crop, before cropping."""

    zoom_in: float = 1.0
    """By which factor photos are enlarged at most before cropping; that needs --zoom-out."""

    mix_skies: float = 0.0
    """Share of the crops that receive the sky of another photo, if both have a horizon."""

    colour: float = 0.0
    """By which share brightness, contrast and saturation of a crop vary at most; 0.2 is a good deal."""

    def __post_init__(self) -> None:
        self.require_share("mix_skies", "colour")
        if self.zoom_in < 1 or (self.zoom_in > 1 and not self.zoom_out):
            raise ValueError(f"zoom_in is {self.zoom_in}; it must be at least 1, and more than that needs zoom_out")
        super().__post_init__()


class CentralCrops(Dataset):
    """The central crop of every photo, (3 256 width), RGB in 0..1: for validation."""

    def __init__(self, photos: list[Path], width: int = CROP_WIDTH) -> None:
        self.photos = photos
        self.width = width

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, number: int) -> Tensor:
        image = read_scaled(self.photos[number], self.width)
        left, top = (image.width - self.width) // 2, (image.height - CROP_HEIGHT) // 2
        return to_tensor(image.crop((left, top, left + self.width, top + CROP_HEIGHT)))


class RandomCrops(Dataset):
    """An endless sequence of random crops, each photo once an epoch in random order.

    What is at a position depends on the photos, the settings, the seed and the position alone.

    Args:
        photos: to crop.
        augmentation: how crops vary.
        seed: of the order and the crops.
        width: of the crops in px.
        cache: a folder that keeps the photos decoded and scaled.
    """

    def __init__(
        self,
        photos: list[Path],
        augmentation: AugmentationSettings,
        *,
        seed: int,
        width: int = CROP_WIDTH,
        cache: Path | None = None,
    ) -> None:
        self.photos = photos
        self.augmentation = augmentation
        self.seed = seed
        self.width = width
        self.cache = cache

    def __getitem__(self, position: int) -> Sample:
        sample = {
            role: self._crop(path, self._random(position, number))
            for number, (role, path) in enumerate(self.photos_at(position).items())
        }
        if self.augmentation.mix_skies:
            random = self._random(position, SKIES)
            if random.random() < self.augmentation.mix_skies:
                other = self.photos[random.integers(len(self.photos))]
                sample["panorama"] = mixed_skies(self._crop(other, random), sample["panorama"])
        return sample

    def photos_at(self, position: int) -> dict[str, Path]:
        """The photos from which the sample at that position is cropped, by their role."""
        return {"panorama": self._in_order(position, 0)}

    def _in_order(self, position: int, order: int) -> Path:
        """The photo at that position of one of several independent random orders."""
        epoch, number = divmod(position, len(self.photos))
        return self.photos[np.random.default_rng((self.seed, order, epoch)).permutation(len(self.photos))[number]]

    def _random(self, position: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng((self.seed, 1, position, purpose))

    def _crop(self, path: Path, random: np.random.Generator) -> Tensor:
        augmentation = self.augmentation
        image = read_scaled(path, self.width, self.cache)
        factor = 1.0
        if augmentation.zoom_out:
            factor = random.uniform(max(self.width / image.width, CROP_HEIGHT / image.height), augmentation.zoom_in)
        width, height = min(self.width / factor, image.width), min(CROP_HEIGHT / factor, image.height)
        left, top = random.uniform() * (image.width - width), random.uniform() * (image.height - height)
        if not augmentation.zoom_out:
            left, top = round(left), round(top)
        box = (left, top, left + width, top + height)
        crop = to_tensor(image.resize((self.width, CROP_HEIGHT), Image.Resampling.LANCZOS, box=box))
        if augmentation.mirror and random.random() < 0.5:
            crop = crop.flip(-1)
        if colour := augmentation.colour:
            for adjust in (transforms.adjust_brightness, transforms.adjust_contrast, transforms.adjust_saturation):
                crop = adjust(crop, random.uniform(1 - colour, 1 + colour))
        return crop


class RandomCropsAndPairs(RandomCrops):
    """Random crops to rebuild and, beside each, a pair of different photos to join and a further true panorama.

    Args:
        neighbours: the photos that each photo may be joined with; without, any other one.
        further: as in `RandomCrops`.
    """

    def __init__(
        self,
        photos: list[Path],
        augmentation: AugmentationSettings,
        *,
        neighbours: Mapping[Path, list[Path]] | None,
        seed: int,
        width: int = CROP_WIDTH,
        cache: Path | None = None,
    ) -> None:
        super().__init__(photos, augmentation, seed=seed, width=width, cache=cache)
        if len(photos) < 2:
            raise ValueError("there is one photo to train on; pairs of different photos need at least two")
        self.neighbours = neighbours

    def photos_at(self, position: int) -> dict[str, Path]:
        left = self._in_order(position, 2)
        partners = self.neighbours[left] if self.neighbours else [photo for photo in self.photos if photo != left]
        right = partners[self._random(position, PAIRING).integers(len(partners))]
        return {**super().photos_at(position), "left": left, "right": right, "other": self._in_order(position, 3)}


class Positions(Sampler[int]):
    """Positions of an endless data set from `start` on, before `end`."""

    def __init__(self, start: int, end: int) -> None:
        self.range = range(start, end)

    def __iter__(self) -> Iterator[int]:
        return iter(self.range)

    def __len__(self) -> int:
        return len(self.range)


def cut(panoramas: Tensor, gap_columns: int = DEFAULT_GAP_COLUMNS) -> tuple[Tensor, Tensor, Tensor]:
    """Left photo, truth of the gap and right photo from the centre of panoramas.

    Args:
        panoramas: (b c 256 w), at least as wide as the three together.
        gap_columns: width of the gap in columns of 64 px.

    Returns:
        (b c 256 256), (b c 256 64·gap_columns), (b c 256 256).
    """
    widths = [IMAGE_SIZE, gap_columns * COLUMN_WIDTH, IMAGE_SIZE]
    left, gap, right = central(panoramas, sum(widths)).split(widths, dim=-1)
    return left, gap, right


def central(panoramas: Tensor, width: int) -> Tensor:
    """The central `width` columns."""
    return panoramas.narrow(-1, (panoramas.shape[-1] - width) // 2, width)


def framed(panorama: Tensor, lefts: Tensor, rights: Tensor) -> Tensor:
    """What the discriminator sees of generated panoramas, (b 3 256 768).

    Of a wider panorama that is its centre. A narrower one is continued to both sides by the photos it was made from.

    Args:
        panorama: left photo, gap and right photo, (b 3 256 w).
        lefts: the crops that the left photos were cut from, (b 3 256 v); `rights` alike.
    """
    margin = (CROP_WIDTH - panorama.shape[-1]) // 2
    if margin <= 0:
        return central(panorama, CROP_WIDTH)
    left, right = central(lefts, CROP_WIDTH)[..., :margin], central(rights, CROP_WIDTH)[..., -margin:]
    return torch.cat([left, panorama, right], dim=-1)


def meeting_edges(panorama: Tensor, left: Tensor, right: Tensor) -> Tensor:
    """A generated panorama, (b 3 256 512+w), with its gap made to meet the true photos' edges, as `blend` does."""
    side = left.shape[-1]
    redrawn_left, gap, redrawn_right = panorama.split([side, panorama.shape[-1] - 2 * side, side], dim=-1)
    return torch.cat(
        [redrawn_left, meet_edges(without_fringe(gap), left[..., -1:], right[..., :1]), redrawn_right], dim=-1
    )
