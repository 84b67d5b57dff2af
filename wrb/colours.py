"""From the colours that a photo's profile says to sRGB, in which everything here computes."""

from __future__ import annotations

import io
import struct
from functools import cache

import numpy as np
from PIL import Image, ImageChops, ImageCms

EXACT = ImageCms.Flags.BLACKPOINTCOMPENSATION | ImageCms.Flags.NOOPTIMIZE
"""For grey: a tenth of the speed, but without it dark shades of a linear profile are up to 9 levels off."""


def to_srgb(image: Image.Image) -> Image.Image:
    """A loaded image with the colours that its profile says, RGB or, where it has transparency, RGBA.

    It is returned as it is if its profile says sRGB, or there is none that can be understood.
    """
    content = image.info.get("icc_profile")
    if not content or image.mode in ("1", "F"):
        return image
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(content))
        is_grey = profile.profile.xcolor_space.strip() == "GRAY"
        colours = _grey(image) if is_grey else _colours(image)
        transform = ImageCms.buildTransform(
            profile,
            ImageCms.ImageCmsProfile(io.BytesIO(srgb_profile())),
            colours.mode,
            mode := "RGBA" if colours.mode == "RGBA" else "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            EXACT if is_grey else ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        if colours.mode == mode and _changes_nothing(transform, mode):
            return image
        converted = ImageCms.applyTransform(colours, transform) or colours
    except (ImageCms.PyCMSError, OSError, ValueError):  # damaged, or of other colours than the image
        return image
    if colours.mode == "L" and image.has_transparency_data:
        converted.putalpha(image.convert("RGBA").getchannel("A"))
    return converted


def _grey(image: Image.Image) -> Image.Image:
    """An image without its transparency, L or I;16. Raises a ValueError if it is not grey."""
    if image.mode.startswith("I"):
        return image if image.mode == "I;16" else image.convert("I").convert("I;16")
    if image.mode not in ("L", "LA", "RGBA"):  # Pillow reads grey of 16 bits with transparency as RGBA
        raise ValueError(f"{image.mode} is not grey")
    if image.mode == "RGBA":
        red, green, blue = image.split()[:3]
        if any(ImageChops.difference(red, other).getbbox() for other in (green, blue)):
            raise ValueError("it has colours")
    return image.convert("L")


def _colours(image: Image.Image) -> Image.Image:
    """An image as RGB or RGBA; CMYK and grey, which no profile of RGB fits, as they are."""
    if image.mode not in ("RGB", "RGBA", "P", "PA", "YCbCr"):
        return image
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether colours differ by rounding alone, as for sRGB by whatever name: such photos are kept to the bit."""
    levels = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(1, -1, 3)
    probe = Image.fromarray(colours).convert(mode)
    converted = ImageCms.applyTransform(probe, transform) or probe
    return int(np.abs(np.asarray(converted, np.int16) - np.asarray(probe, np.int16)).max()) <= 1


@cache
def srgb_profile() -> bytes:
    """The ICC profile of sRGB, the same at any time."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile[:24] + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + profile[36:]  # when it was made
