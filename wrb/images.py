"""Image files to tensors and back: the only place where Pillow's layout and range are met."""

from __future__ import annotations

import math
import os
import struct
import warnings
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import overload

import numpy as np
import torch
from einops import rearrange
from PIL import ExifTags, Image, PngImagePlugin
from torch import Tensor

from .colours import srgb_profile, to_srgb
from .files import replacing

MAX_MEGAPIXELS = 400
"""Of a photo that is read, if the environment variable does not say otherwise: 5 GB in floating-point numbers."""

LIMIT_VARIABLE = "WRB_MAX_MEGAPIXELS"
"""Of the environment, so that it holds for every program here and the processes that they start."""

PngImagePlugin.MAX_TEXT_CHUNK, PngImagePlugin.MAX_TEXT_MEMORY = 2**26, 2**28
"""Bytes of text or of a colour profile in a PNG, unpacked. Pillow refuses a photo with a profile of 1 MB."""

warnings.filterwarnings("ignore", module=r"PIL\.")  # of metadata, which name no file; what is too large is refused

with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()

LONGEST_SIDES = {
    **{"PNG": 2**31 - 1, "JPEG": 65500, "WEBP": 16383, "AVIF": 65535, "TIFF": 2**31 - 1, "JPEG2000": 2**31 - 1},
    **{"BMP": 2**31 - 1, "DIB": 2**31 - 1, "DDS": 2**31 - 1, "PPM": 2**31 - 1, "QOI": 2**31 - 1},
    **{"PCX": 65535, "SGI": 65535, "TGA": 65535},
}
"""In px, of images in the formats that hold one in full colour and at its size, as Pillow calls them."""

MOST_BYTES = 2**32
"""Of an image in another format than PNG, unpacked."""

LOSSY = ("JPEG", "WEBP", "AVIF")
"""Formats that trade the pixels' exactness for a small file, as Pillow calls them."""

QUALITY = 95
"""Of images in such formats, of 100, if nothing is said."""

LARGE = 2**28
"""Pixels, 16384×16384, above which an image is not held as a whole where that can be helped."""

STRIP = 64
"""Rows of a large image that are worked on at once."""

PNG_EFFORT = 3
"""zlib's level, of 9. Of a large photo, 6 takes twice the time for a hundredth less."""

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

RAW = "camera raw is not read here; have its program save it as TIFF or JPEG"

NOT_READ = {
    **dict.fromkeys((".heic", ".heif", ".hif"), "HEIC is read once pillow-heif is installed (pip install pillow-heif)"),
    **dict.fromkeys((".eps", ".ps"), "PostScript is not read here; save it as PNG"),
    ".jxl": "JPEG XL is not read here; save it as PNG or JPEG",
    ".avif": "this Pillow does not read AVIF; install Pillow 11.3 or later",
    **dict.fromkeys((".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dng", ".erf", ".fff", ".iiq", ".kdc", ".mef"), RAW),
    **dict.fromkeys((".mos", ".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".rwl", ".srw"), RAW),
}
"""By extension, what to do about photos that are not read, unless something has taught Pillow to read them.

Raw files look like TIFF, from which Pillow would take a thumbnail.
"""

STARTING_PROGRAMS = ("EPS",)
"""Formats that Pillow reads by handing the file to another program: that is no place for a file from anywhere."""

XMP = ("xmp", "XML:com.adobe.xmp")
"""Where Pillow keeps XMP, which may say the orientation too."""


def read_image(path: Path) -> Tensor:
    """Read a photo as it is meant to be seen: turned as its EXIF data say, its colours from its profile's to sRGB.

    Returns:
        In 0..1, float32, (1 c h w): RGB, or RGBA where the file has transparency.

    Raises:
        ValueError: if the file cannot be read, or has more megapixels than `MAX_MEGAPIXELS` or `LIMIT_VARIABLE` allow.
    """
    return to_tensor(read_upright(path))[None]


def read_upright(path: Path) -> Image.Image:
    """A photo as Pillow reads it, in the file's own mode, turned as its EXIF data say.

    One with a colour profile other than sRGB becomes RGB or RGBA in sRGB, with 8 bits a channel. Metadata that are
    damaged, or say of the orientation what EXIF does not know, are ignored.

    Raises:
        ValueError: if the file cannot be read; the message names it.
    """
    with _opened(path) as image:
        _load(image)
        transposition = TRANSPOSITIONS.get(_orientation(image))
        converted = to_srgb(image)
        return converted.copy() if transposition is None else converted.transpose(transposition)


def upright_size(path: Path) -> tuple[int, int]:
    """Width and height in px that `read_upright` gives the photo.

    The file is read to its end, as one cut short looks whole at its beginning: a JPEG at an eighth of its size.

    Raises:
        ValueError: if the file cannot be read; the message names it.
    """
    with _opened(path) as image:
        width, height = image.size
        reduced = image.draft("RGB", (1, 1))
        _load(image)
        if not reduced:  # Pillow itself sets a TIFF upright in loading
            width, height = image.size
        return (height, width) if _orientation(image) in EXCHANGING_SIDES else (width, height)


class PhotoFiles(Sequence[Tensor]):
    """Photos as `read_image` gives them, read anew whenever one is asked for, so that they take no memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, number: int) -> Tensor: ...
    @overload
    def __getitem__(self, number: slice) -> PhotoFiles: ...
    def __getitem__(self, number: int | slice) -> Tensor | PhotoFiles:
        return PhotoFiles(self.paths[number]) if isinstance(number, slice) else read_image(self.paths[number])


def write_image(
    image: Tensor, path: Path, *, quality: int = QUALITY, between_strips: Callable[[], None] = lambda: None
) -> None:
    """Write an image in 0..1, RGB or grey, (1 c h w), with 8 bits a channel; an existing file is replaced at once.

    An image in RGB says that it is sRGB, where the format can say so.

    Args:
        image: to write. As PNG it may be larger than the memory, in a tensor that is mapped from a file.
        path: of the file; its extension names the format.
        quality: from 1 to 100, of the formats in `LOSSY`; others keep every pixel.
        between_strips: called now and then while a large PNG is written.

    Raises:
        ValueError: if the format that the extension names is unknown or cannot hold an image of this size.
        OSError: if the file cannot be written.
    """
    require_room(path, image.shape[-1], image.shape[-2])
    image_format = format_of(path)
    profile = srgb_profile() if image.shape[1] == 3 else b""
    with replacing(path) as partial:
        if image_format == "PNG" and image[0, 0].numel() > LARGE:
            write_png(image[0], partial, profile, between_strips)
        else:
            to_image(image[0]).save(partial, image_format, quality=quality, icc_profile=profile)


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
    """A Pillow image with 8 bits a channel of RGB or grey in 0..1, (c h w), on any device."""
    array = _to_8_bits(pixels)
    return Image.fromarray(array[..., 0] if len(pixels) == 1 else array)


def format_of(path: Path) -> str:
    """Pillow's name of the format that the extension names, such as "PNG" or "JPEG".

    Raises:
        ValueError: if it is none of `LONGEST_SIDES`, or cannot be written here.
    """
    image_format = Image.registered_extensions().get(path.suffix.lower())
    if image_format in Image.SAVE and image_format not in LONGEST_SIDES:
        raise ValueError(f"{path}: {image_format} cannot hold a panorama in full colour at any size; take .png or .jpg")
    if image_format is None or image_format not in Image.SAVE:
        raise ValueError(f"{path} does not end in the extension of an image format that can be written, such as .png")
    return image_format


def require_room(path: Path, width: int, height: int) -> None:
    """Check that the format that the extension names can hold an image of that size in px.

    Raises:
        ValueError: if not.
    """
    image_format = format_of(path)
    longest = LONGEST_SIDES[image_format]
    if max(width, height) > longest:
        raise ValueError(
            f"{path}: the image is {width}×{height} px, and {image_format} holds at most {longest} px a side; take .png"
        )
    if image_format != "PNG" and 3 * width * height >= MOST_BYTES:
        raise ValueError(f"{path}: an image of {width}×{height} px is too large for {image_format}; take .png")


def list_images(folder: Path) -> list[Path]:
    """The photos in a folder, by name; see `photos_among`.

    Raises:
        ValueError: if there are none.
    """
    images = photos_among(folder.iterdir())
    if not images:
        raise ValueError(f"there are no images in {folder}")
    return images


def photos_among(paths: Iterable[Path]) -> list[Path]:
    """The files that are photos by their extension, but for hidden ones, sorted.

    Also those in the formats of `NOT_READ`, so that they are named rather than passed over, unless the same photo
    is beside them in a format that is read, as cameras leave it.
    """
    paths = [path for path in paths if not path.name.startswith(".")]  # macOS leaves ._photo.jpg beside photo.jpg
    read = {path for path in paths if _is_read(path)}
    copied = {path.with_suffix("") for path in read}
    others = {path for path in paths if path.suffix.lower() in NOT_READ and path.with_suffix("") not in copied}
    return sorted(path for path in read | others if path.is_file())


def write_png(pixels: Tensor, path: Path, profile: bytes, between_strips: Callable[[], None]) -> None:
    """Write RGB or grey in 0..1, (c h w), as PNG strip by strip: Pillow takes another 4 bytes for each pixel.

    Args:
        pixels: of the image.
        path: of the file.
        profile: of its colours; may be empty.
        between_strips: called after each strip.

    Raises:
        OSError: if the file cannot be written.
    """
    channels, height, width = pixels.shape
    compressor = zlib.compressobj(PNG_EFFORT)
    with path.open("wb") as file:

        def write_chunk(kind: bytes, content: bytes) -> None:
            file.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))

        file.write(b"\x89PNG\r\n\x1a\n")
        write_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, {1: 0, 3: 2}[channels], 0, 0, 0))
        if profile:
            write_chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(profile))
        for start in range(0, height, STRIP):
            levels = _to_8_bits(pixels[:, start : start + STRIP])
            differences = np.diff(levels, axis=1, prepend=np.uint8(0)).reshape(len(levels), -1)
            rows = np.insert(differences, 0, 1, axis=1)  # each row begins with its filter: 1 is "Sub"
            write_chunk(b"IDAT", compressor.compress(rows.tobytes()))
            between_strips()
        write_chunk(b"IDAT", compressor.flush())
        write_chunk(b"IEND", b"")


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    Image.init()
    advice = NOT_READ.get(path.suffix.lower())
    limit = _megapixel_limit()
    Image.MAX_IMAGE_PIXELS = round(limit * 1e6) // 2  # from there on it would warn, from twice as many on it refuses
    try:
        if advice and not _is_read(path):
            raise ValueError(advice)
        with Image.open(path, formats=[name for name in Image.OPEN if name not in STARTING_PROGRAMS]) as image:
            yield image
    except Exception as error:  # Pillow's readers raise exceptions of many kinds for a damaged file
        reason = str(error) or type(error).__name__
        if isinstance(error, MemoryError):
            reason = "there is not enough memory for it"
        if isinstance(error, Image.DecompressionBombError):
            reason = (
                f"it has more than {limit:g} megapixels, and could be made to fill the memory; if it is what it should "
                f"be, set the environment variable {LIMIT_VARIABLE} to more"
            )
        raise ValueError(f"{path} cannot be read as an image: {reason}") from error


def _is_read(path: Path) -> bool:
    """Whether the extension is that of a format that is read."""
    image_format = Image.registered_extensions().get(path.suffix.lower())
    return image_format in Image.OPEN and image_format not in STARTING_PROGRAMS


def _megapixel_limit() -> float:
    text = os.environ.get(LIMIT_VARIABLE, "")
    try:
        limit = float(text or MAX_MEGAPIXELS)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise ValueError(f"the environment variable {LIMIT_VARIABLE} is {text!r}; give a number of megapixels above 0")
    return limit


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
    mode = "RGBA" if image.has_transparency_data else "RGB"
    rgb = image if image.mode == mode else image.convert(mode)  # which copies it in any case
    return np.asarray(rgb) / np.float32(255)


def _to_8_bits(pixels: Tensor) -> np.ndarray:
    """Of an image in 0..1, (c h w), its levels, (h w c)."""
    return rearrange(pixels, "c h w -> h w c").mul(255).round().to("cpu", torch.uint8).contiguous().numpy()


def _grey_to_rgb(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey.clip(0, 1).astype(np.float32)[..., None], 3, axis=-1)
