"""Image files to tensors and back: the only place where Pillow's layout and range are met."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from PIL import ExifTags, Image
from torch import Tensor

from .files import replacing

FULL_SCALES = (1, 255, 65535)
"""What white may be in an image of floating-point numbers, which do not say it."""

TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets an image upright, by its orientation in EXIF; 1 is upright."""

EXCHANGING_SIDES = (5, 6, 7, 8)
"""Orientations of an image whose stored width is its height."""

XMP = ("xmp", "XML:com.adobe.xmp")
"""Where Pillow keeps XMP, which may say the orientation too."""


def read_image(path: Path) -> Tensor:
    """Read a photo as it is meant to be seen: turned as its EXIF data say. Colour profiles are not applied.

    Returns:
        In 0..1, float32, (1 c h w): RGB, or RGBA where the file has transparency.

    Raises:
        ValueError: if the file cannot be read, or has more pixels than `PIL.Image.MAX_IMAGE_PIXELS` (89 million).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        photo = read_upright(path)
    return to_tensor(photo)[None]


def read_upright(path: Path) -> Image.Image:
    """A photo as Pillow reads it, in the file's own mode, turned as its EXIF data say.

    Metadata that are damaged, or say of the orientation what EXIF does not know, are ignored.

    Raises:
        ValueError: if the file cannot be read; the message names it.
    """
    with _reading(path), Image.open(path) as image:
        _load(image)
        transposition = TRANSPOSITIONS.get(_orientation(image))
        return image.copy() if transposition is None else image.transpose(transposition)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in px that `read_upright` gives the photo.

    The file is read to its end, as one cut short looks whole at its beginning: a JPEG at an eighth of its size.

    Raises:
        ValueError: if the file cannot be read; the message names it.
    """
    with _reading(path), Image.open(path) as image:
        width, height = image.size
        reduced = image.draft("RGB", (1, 1))
        _load(image)
        if not reduced:  # Pillow itself sets a TIFF upright in loading
            width, height = image.size
        return (height, width) if _orientation(image) in EXCHANGING_SIDES else (width, height)


def write_image(image: Tensor, path: Path) -> None:
    """Write an RGB image in 0..1, (1 3 h w), with 8 bits a channel; an existing file is replaced at once.

    Raises:
        ValueError: if the format that the extension names is unknown or cannot hold an image of this size.
        OSError: if the file cannot be written.
    """
    require_writable(path)
    with replacing(path) as partial:
        to_image(image[0]).save(partial, quality=95)


def to_tensor(image: Image.Image) -> Tensor:
    """The pixels of a Pillow image of any mode in 0..1, float32, (c h w): RGB, or RGBA where it has transparency.

    What is white in an image of floating-point numbers is the least of 1, 255 and 65535 that no pixel exceeds, or else
    the brightest pixel.
    """
    return rearrange(torch.from_numpy(_to_array(image)), "h w c -> c h w")


def to_rgb(image: Image.Image) -> Image.Image:
    """A Pillow image of any mode with 8 bits a channel, RGB, without its transparency; white is as in `to_tensor`."""
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow's own conversion would cut them off at 255
        return Image.fromarray((_to_array(image) * 255).round().astype(np.uint8))
    return image.convert("RGB")


def to_image(pixels: Tensor) -> Image.Image:
    """A Pillow image with 8 bits a channel of RGB in 0..1, (3 h w), on any device."""
    return Image.fromarray(rearrange(pixels, "c h w -> h w c").mul(255).round().to("cpu", torch.uint8).numpy())


def require_writable(path: Path) -> None:
    """Check that the extension names a format that can be written.

    Raises:
        ValueError: if not.
    """
    if Image.registered_extensions().get(path.suffix.lower()) not in Image.SAVE:
        raise ValueError(f"{path} does not end in the extension of an image format that can be written, such as .png")


def list_images(folder: Path) -> list[Path]:
    """The files in a folder that have the extension of an image format, by name.

    Raises:
        ValueError: if there are none.
    """
    formats = Image.registered_extensions()
    images = [path for path in folder.iterdir() if formats.get(path.suffix.lower()) in Image.OPEN]
    images = sorted(path for path in images if path.is_file() and not path.name.startswith("."))
    if not images:
        raise ValueError(f"there are no images in {folder}")
    return images


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # Pillow's readers raise exceptions of many kinds for a damaged file
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error


def _load(image: Image.Image) -> None:
    """Decode the pixels, whatever the metadata are."""
    for key in XMP:
        if not isinstance(image.info.get(key, ""), str | bytes):
            del image.info[key]  # Pillow would search it for the orientation of a TIFF, and fail
    image.load()


def _orientation(image: Image.Image) -> int:
    """1 to 8, as EXIF numbers them, of an image that is loaded; 1 where its metadata cannot be understood."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # of damaged metadata, as many kinds as of a damaged file
        return 1
    return next((number for number in TRANSPOSITIONS if number == orientation), 1)


def _to_array(image: Image.Image) -> np.ndarray:
    """RGB or RGBA in 0..1, float32, (h w c)."""
    if image.mode == "F":
        grey = np.nan_to_num(np.asarray(image))
        white = next((scale for scale in FULL_SCALES if grey.max() <= scale), grey.max())
        return _grey_to_rgb(grey / white)
    if image.mode.startswith("I"):  # 16 bits; Pillow's own conversion would cut them off at 255
        return _grey_to_rgb(np.asarray(image) / np.float32(65535))
    rgb = image.convert("RGBA" if image.has_transparency_data else "RGB")
    return np.asarray(rgb) / np.float32(255)


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.clip(0, 1).astype(np.float32)[..., None], 3, axis=-1)
