from __future__ import annotations

import pytest
from PIL import Image

from training.evaluation.sheets import MARGIN, TEXT_HEIGHT
from training.sheet import SheetConfig, draw
from wrb import save_generator


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


def test_a_sheet_that_cannot_be_written_is_refused_before_anything_else(tmp_path):
    with pytest.raises(ValueError, match=r"results\.ico: ICO cannot hold"):
        draw(SheetConfig(photos=(tmp_path / "absent",), out=tmp_path / "results.ico"))
    with pytest.raises(IsADirectoryError, match=r"folder\.png is a folder"):
        (tmp_path / "folder.png").mkdir()
        draw(SheetConfig(photos=(tmp_path / "absent",), out=tmp_path / "folder.png"))
