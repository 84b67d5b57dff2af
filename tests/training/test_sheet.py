from __future__ import annotations

import pytest
import torch
from PIL import Image

from training.data import cut
from training.sheet import HEADINGS, MARGIN, TEXT_HEIGHT, SheetConfig, draw, draw_sheet, results, results_sheet
from wrb import save_generator


def test_the_sheet_shows_the_photos_kept_and_the_gaps_filled(tiny_generator):
    panoramas = torch.rand(2, 3, 256, 768)
    columns, generated, faded = results(tiny_generator, panoramas)
    photo, gap, cross_fade, to_next = columns
    left, _, right = cut(panoramas)
    for column in (photo, gap, cross_fade):
        assert torch.equal(cut(column)[0], left) and torch.equal(cut(column)[2], right)
    assert torch.equal(cut(to_next)[2], right.flip(0))
    assert not torch.equal(cut(gap)[1], cut(photo)[1])
    assert generated.shape == faded.shape == (2,)

    sheet = results_sheet(tiny_generator, panoramas)
    assert sheet.size == (len(HEADINGS) * (768 + MARGIN) - MARGIN, TEXT_HEIGHT + 2 * (256 + MARGIN) - MARGIN)
    assert sheet.getpixel((0, TEXT_HEIGHT + 256 + MARGIN)) == _pixel(panoramas[1, :, 0, 0])


def test_images_of_any_size_stand_under_their_headings():
    first = [torch.rand(3, 10, 60), torch.rand(3, 20, 40)]
    second = [torch.rand(3, 10, 50), torch.rand(3, 12, 90)]
    sheet = draw_sheet([first, second], ["one whose heading is far wider than itself", "two"])
    assert sheet.size == (60 + MARGIN + 90, TEXT_HEIGHT + 10 + MARGIN + 20)
    second_row = TEXT_HEIGHT + 10 + MARGIN
    for column, left in ((first, 0), (second, 60 + MARGIN)):
        for image, top in zip(column, (TEXT_HEIGHT, second_row), strict=True):
            assert sheet.getpixel((left, top)) == _pixel(image[:, 0, 0])
            corner = left + image.shape[2] - 1, top + image.shape[1] - 1
            assert sheet.getpixel(corner) == _pixel(image[:, -1, -1])
    assert sheet.getpixel((59, second_row)) == (255, 255, 255)
    headings = sheet.crop((0, 0, sheet.width, TEXT_HEIGHT))
    assert headings.crop((60, 0, 60 + MARGIN, TEXT_HEIGHT)).getextrema() == ((255, 255),) * 3
    for left, right in ((0, 60), (60 + MARGIN, sheet.width)):
        assert headings.crop((left, 0, right, TEXT_HEIGHT)).getextrema()[0][0] < 100


def test_the_entry_draws_the_photos_held_back(tmp_path, tiny_generator, caplog):
    caplog.set_level("INFO")
    for number in range(4):
        Image.new("RGB", (800, 300), (60 * number,) * 3).save(tmp_path / f"{number}.png")
    save_generator(tiny_generator, tmp_path / "tiny.safetensors")
    held_back = tmp_path / "validation_photos.txt"
    held_back.write_text(f"{tmp_path / '1.png'}\n{tmp_path / '3.png'}\n")
    config = SheetConfig(
        photos=(tmp_path,), out=tmp_path / "results.webp", weights=tmp_path / "tiny.safetensors", held_back=held_back
    )
    draw(config)
    with Image.open(config.out) as sheet:
        assert sheet.format == "WEBP"
        assert sheet.height == TEXT_HEIGHT + 2 * (256 + MARGIN) - MARGIN
        for row, grey in enumerate((60, 180)):
            shown = sheet.convert("RGB").getpixel((100, TEXT_HEIGHT + 100 + row * (256 + MARGIN)))
            assert shown == pytest.approx((grey,) * 3, abs=3)
    assert "gap PSNR over 2 photos" in caplog.text


def _pixel(colour):
    return tuple((colour * 255).round().int().tolist())
