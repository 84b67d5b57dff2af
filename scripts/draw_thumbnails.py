"""Draw the example graphs' thumbnails and the pack's icon from what the built-in model makes of sample photos.

Run after the built-in model has changed: make thumbnails
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageOps

from wrb import Crop, blend, blend_sequence, crop_gaps, load_generator
from wrb.images import to_image, to_tensor

ROOT = Path(__file__).parents[1]
SIZE = 240
"""Height and width in px of each photo in a thumbnail."""

MASK_OPACITY = 0.8
MARGIN = 12
BLANK = (70, 70, 70)
BACKGROUND = (24, 24, 27)


def read_square(name: str, gap_side: str) -> Image.Image:
    """The square of a sample photo next to the gap."""
    photo = Image.open(ROOT / "samples" / name)
    left = photo.width - photo.height if gap_side == "right" else 0
    return photo.crop((left, 0, left + photo.height, photo.height)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)


def stack(rows: list[Image.Image]) -> Image.Image:
    """Pictures below each other, centred."""
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height + MARGIN for row in rows) - MARGIN), BACKGROUND)
    top = 0
    for row in rows:
        sheet.paste(row, ((width - row.width) // 2, top))
        top += row.height + MARGIN
    return sheet


def show_crop(crop: Crop) -> Image.Image:
    """A crop with white over it where its mask is 1, so that a little of it shines through."""
    shown, mask = to_image(crop.image[0]), Image.fromarray((crop.mask[0] * 255 * MASK_OPACITY).byte().numpy())
    return Image.composite(Image.new("RGB", shown.size, "white"), shown, mask)


def main() -> None:
    generator = load_generator()
    left, right = read_square("wrb_sample_desert.jpg", "right"), read_square("wrb_sample_lake.jpg", "left")
    panorama = blend(generator, to_tensor(left)[None], to_tensor(right)[None])
    before = Image.new("RGB", (3 * SIZE, SIZE), BLANK)
    before.paste(left, (0, 0))
    before.paste(right, (2 * SIZE, 0))
    after = to_image(panorama.panorama[0])
    wider = to_image(panorama.with_gap_width(2 * SIZE).panorama[0])
    photos = [left, right, read_square("wrb_sample_tea_gardens.jpg", "left"), ImageOps.mirror(right)]
    made_loop = blend_sequence(generator, [to_tensor(photo)[None] for photo in photos], loop=True)
    loop = to_image(made_loop.panorama[0])
    half = loop.width // 2
    thumbnails = {
        "blend_two_photos": [before, after],
        "adjust_gap": [after, wider],
        "loop_four_photos": [loop.crop((0, 0, half, SIZE)), loop.crop((half, 0, loop.width, SIZE))],
        # What the models of these make would not show at this size, and is not the built-in model's.
        "upscale_and_restore": [after.reduce(2), after],
        "repaint_gap": [after, show_crop(crop_gaps(panorama, height=SIZE)[0])],
        "repaint_loop": [loop.crop((0, 0, half, SIZE)), *map(show_crop, crop_gaps(made_loop, height=SIZE)[-1:])],
    }
    for name, rows in thumbnails.items():
        stack(rows).save(ROOT / "workflows" / f"{name}.jpg", quality=88)
    icon = Image.new("RGB", (3 * SIZE, 3 * SIZE), BACKGROUND)
    icon.paste(after, (0, SIZE))
    icon.resize((256, 256), Image.Resampling.LANCZOS).save(ROOT / "web" / "icon.png", optimize=True)


if __name__ == "__main__":
    main()
