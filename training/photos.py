"""Photos on disk: which can be used, which are held back for validation, and how they are read and scaled."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from wrb.files import files_below, replacing
from wrb.images import photos_among, read_upright, to_rgb, upright_size
from wrb.network.config import IMAGE_SIZE

from .settings import Settings

CROP_HEIGHT = IMAGE_SIZE

CROP_WIDTH = 3 * IMAGE_SIZE
"""Of a panorama of left photo, gap and right photo, each as wide as high."""

SCALED_HEIGHT = 512
"""A higher photo is scaled down to this before cropping."""

TWO_HELD_BACK = 6
"""Photos from which on two are held back at least: the second stage and the evaluation join them."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class HeldBackSettings(Settings):
    """Which photos are held back for validation."""

    validation_share: float = 0.06
    """Share of the photos held back for validation, chosen by file."""

    validation_photos: Path | None = None
    """A text file that names the photos to hold back, one a line, instead of a share of them."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share}; it must lie between 0 and 1")
        super().__post_init__()


def find_photos(folders: Iterable[Path], width: int = CROP_WIDTH) -> list[Path]:
    """Every readable and large enough photo below the folders, sorted by path; the others are named in a warning.

    Args:
        folders: searched with their subfolders, also linked ones, each once; hidden ones are left out.
        width: of the crops to be taken, in px.

    Raises:
        ValueError: if a folder does not exist, or no photo is left.
    """
    folders = list(folders)
    for folder in folders:
        if not folder.is_dir():
            raise ValueError(f"{folder} is not a folder; give folders of photos")
    candidates = photos_among(files_below(folders))
    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(lambda path: _fault(path, width), candidates))
    for path, fault in zip(candidates, faults, strict=True):
        if fault:
            logger.warning("skipped %s: %s", path, fault)
    photos = [path for path, fault in zip(candidates, faults, strict=True) if not fault]
    if not photos:
        raise ValueError(
            f"no usable photo in {', '.join(map(str, folders))}; at least {width}×{CROP_HEIGHT} px are needed"
        )
    return photos


def _fault(path: Path, width: int) -> str | None:
    """Why a photo cannot be used, if so."""
    try:
        size = upright_size(path)
    except ValueError as error:
        return str(error).removeprefix(f"{path} ")
    if scaled_size(*size, width)[0] < width or size[1] < CROP_HEIGHT:
        return f"{size[0]}×{size[1]} px is too small for a {width}×{CROP_HEIGHT} crop"
    return None


def scaled_size(width: int, height: int, crop_width: int = CROP_WIDTH) -> tuple[int, int]:
    """Width and height in px before cropping.

    A photo that is higher than 512 px is scaled down to that height or, if it then were narrower than a crop, to the
    crop's width. Others stay as they are.
    """
    if height <= SCALED_HEIGHT:
        return width, height
    if width * SCALED_HEIGHT >= crop_width * height:
        return round(width * SCALED_HEIGHT / height), SCALED_HEIGHT
    return min(width, crop_width), round(height * min(1.0, crop_width / width))


def split(photos: list[Path], share: float, seed: int) -> tuple[list[Path], list[Path]]:
    """Training and validation photos, the same for the same photos, share and seed.

    At least one of each, and of six photos and more at least two to validate by, so that they can be joined.

    Raises:
        ValueError: if there are fewer than two photos.
    """
    if len(photos) < 2:
        raise ValueError("one photo cannot be split into training and validation; give at least two")
    order = np.random.default_rng(seed).permutation(len(photos))
    count = min(max(2 if len(photos) >= TWO_HELD_BACK else 1, round(share * len(photos))), len(photos) - 1)
    held_back = {photos[number] for number in order[:count]}
    return [photo for photo in photos if photo not in held_back], sorted(held_back)


def read_photo(path: Path) -> Image.Image:
    """The whole photo, upright, RGB with 8 bits a channel.

    Raises:
        ValueError: if it cannot be read; the message names it.
    """
    return to_rgb(read_upright(path))


def read_scaled(path: Path, crop_width: int = CROP_WIDTH, cache: Path | None = None) -> Image.Image:
    """The photo at its `scaled_size`.

    Args:
        path: of the photo.
        crop_width: of the crops to be taken from it, in px.
        cache: a folder to keep the scaled photo in, uncompressed, or to take it from.

    Raises:
        ValueError: if the photo cannot be read.
        OSError: if it is not there, or the cache cannot be written.
    """
    if cache is None:
        return _scaled(path, crop_width)
    facts = path.stat()
    identity = f"{path.resolve()} {facts.st_mtime_ns} {facts.st_size} {crop_width}"
    kept = cache / f"{hashlib.sha256(os.fsencode(identity)).hexdigest()[:32]}.npy"
    try:
        return Image.fromarray(np.load(kept, mmap_mode="r"))
    except FileNotFoundError:
        image = _scaled(path, crop_width)
        os.makedirs(cache, exist_ok=True)
        with replacing(kept) as partial:
            np.save(partial, np.asarray(image))
        return image


def _scaled(path: Path, crop_width: int) -> Image.Image:
    image = read_photo(path)
    return image.resize(scaled_size(*image.size, crop_width), Image.Resampling.LANCZOS)
