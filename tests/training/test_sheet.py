from __future__ import annotations

import torch

from training.data import cut
from training.sheet import HEADINGS, MARGIN, TEXT_HEIGHT, draw_sheet, results


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

    sheet = draw_sheet(columns)
    assert sheet.size == (len(HEADINGS) * (768 + MARGIN) - MARGIN, TEXT_HEIGHT + 2 * (256 + MARGIN) - MARGIN)
    expected = tuple((panoramas[1, :, 0, 0] * 255).round().int().tolist())
    assert sheet.getpixel((0, TEXT_HEIGHT + 256 + MARGIN)) == expected
