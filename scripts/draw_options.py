"""Draw what the options of Wide-Range Blend do, one below the other, for its help pages.

Run after the built-in model or the picture has changed: python -m scripts.draw_options
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from wrb import blend, load_generator
from wrb.images import read_image, to_image

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "web" / "docs"

GAP_WIDTH = 360
SIDE = 360
"""Of each photo, how many px next to the gap are shown; each in px of the panorama, which is 720 px high."""

LABEL_SIZE = 30
"""Px of its letters. The panel that shows help pages may be no wider than 243 px, less than half of these pictures."""

LABEL_HEIGHT = 48
BACKGROUND, TEXT = (24, 24, 27), (230, 230, 230)

PHOTOS: dict[str, dict[str, Any]] = {
    "keep exactly": {"photo_mode": "keep"},
    "feather in": {"photo_mode": "feather", "feather": 240},
    "redraw": {"photo_mode": "redraw"},
}
DETAIL: dict[str, dict[str, Any]] = {f"detail {share}": {"detail": share} for share in (0, 0.5, 1)}
LAYERS: dict[str, dict[str, Any]] = {f"layers {share}": {"layers": share} for share in (0, 0.5, 1)}


def draw(options: Mapping[str, Mapping[str, Any]], photos: tuple[str, str], name: str) -> None:
    """A panorama of two sample photos for each of the options of `blend`, under its label, as one picture."""
    generator = load_generator()
    left, right = (read_image(ROOT / "samples" / f"wrb_sample_{photo}.jpg") for photo in photos)
    width, height = (2 * SIDE + GAP_WIDTH) // 2, left.shape[-2] // 2
    sheet = Image.new("RGB", (width, (LABEL_HEIGHT + height) * len(options)), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    for number, (label, option) in enumerate(options.items()):
        panorama = blend(generator, left, right, GAP_WIDTH, **option).panorama[0]
        start = left.shape[-1] - SIDE
        shown = to_image(panorama[..., start : start + 2 * SIDE + GAP_WIDTH])
        top = number * (LABEL_HEIGHT + height)
        pen.text((0, top + LABEL_HEIGHT / 2), label, fill=TEXT, font=ImageFont.load_default(LABEL_SIZE), anchor="lm")
        sheet.paste(shown.resize((width, height), Image.Resampling.LANCZOS), (0, top + LABEL_HEIGHT))
    sheet.save(FOLDER / name, quality=88)


if __name__ == "__main__":
    draw(PHOTOS, ("tea_gardens", "lake"), "options_photos.jpg")
    draw(DETAIL, ("tea_gardens", "lake"), "options_detail.jpg")
    draw(LAYERS, ("tea_gardens", "desert"), "options_layers.jpg")
