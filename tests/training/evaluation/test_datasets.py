from __future__ import annotations

import collections

import numpy as np
import pytest
import torch
from PIL import Image

from training.evaluation.datasets import PairsOfSquares, RandomWindows, spread_pairs


@pytest.mark.parametrize(("num_photos", "num_pairs"), [(2, 2), (5, 12), (7, 42), (40, 30)])
def test_pairs_are_different_spread_evenly_and_seeded(num_photos, num_pairs):
    pairs = spread_pairs(num_photos, num_pairs, seed=3)
    assert len(set(pairs)) == num_pairs
    assert all(left != right for left, right in pairs)
    for side in zip(*pairs, strict=True):
        counts = collections.Counter(dict.fromkeys(range(num_photos), 0))
        counts.update(side)
        assert max(counts.values()) - min(counts.values()) <= 1
    assert spread_pairs(num_photos, num_pairs, seed=3) == pairs
    assert len({tuple(spread_pairs(num_photos, num_pairs, seed)) for seed in range(20)}) > 1


def test_more_pairs_than_there_are_are_refused():
    with pytest.raises(ValueError, match="num_pairs is 7; of 3 photos there are 6"):
        spread_pairs(3, 7, seed=0)


def test_windows_are_parts_of_each_photo_at_random_places(tmp_path):
    rows, columns = np.mgrid[0:300, 0:800]
    for blue in (0, 90):
        pixels = np.stack([rows % 256, columns % 256, np.full_like(rows, blue)], axis=-1).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{blue}.png")
    photos = sorted(tmp_path.iterdir())
    anywhere = RandomWindows(photos, 12, 768, seed=0, anywhere=True)
    central = RandomWindows(photos, 12, 768, seed=0, anywhere=False)
    assert anywhere[0].shape == (3, 256, 512)
    corners = [(anywhere[number][:, 0, 0] * 255).round().int().tolist() for number in range(len(anywhere))]
    assert collections.Counter(corner[2] for corner in corners) == {0: 6, 90: 6}
    assert len({corner[0] for corner in corners}) > 3 and len({corner[1] for corner in corners}) > 3
    assert {(central[number][0, 0, 0] * 255).round().int().item() for number in range(len(central))} == {22}
    assert torch.equal(anywhere[5], RandomWindows(photos, 12, 768, seed=0, anywhere=True)[5])
    assert not torch.equal(anywhere[5], RandomWindows(photos, 12, 768, seed=1, anywhere=True)[5])


def test_pairs_are_of_the_squares_in_the_middle_of_their_photos(photos):
    paths = sorted(photos.iterdir())
    squares = PairsOfSquares(paths, [(0, 3), (2, 1)], 768)
    assert len(squares) == 2
    for (left, right), numbers in zip(squares, squares.pairs, strict=True):
        for square, number in zip((left, right), numbers, strict=True):
            pixels = np.asarray(Image.open(paths[number]))[12:268, 322:578]
            assert torch.equal((square * 255).round().byte().permute(1, 2, 0), torch.from_numpy(pixels.copy()))
