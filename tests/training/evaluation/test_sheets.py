from __future__ import annotations

import torch

from training.data import cut
from training.evaluation.sheets import MARGIN, RESULTS_HEADINGS, TEXT_HEIGHT, draw_sheet, results, results_sheet


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
    assert sheet.size == (len(RESULTS_HEADINGS) * (768 + MARGIN) - MARGIN, TEXT_HEIGHT + 2 * (256 + MARGIN) - MARGIN)
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


def _pixel(colour):
    return tuple((colour * 255).round().int().tolist())
