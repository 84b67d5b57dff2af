"""Photos made up, and distances of photos that are known without the code under test."""

import numpy as np
import torch
from PIL import Image

NAMES = ("a.jpg", "b.jpg", "sub/c.jpg", "ü.jpg")

MATRIX = torch.tensor([[0, 3, 1, 2], [3, 0, 5, 4], [1, 5, 0, 6], [2, 4, 6, 0.0]]) / 10
"""Of the photos of these names."""


def save_photo(path, seed, size=(48, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def squares(photos):
    """The whole photos at 256×256, read the plain way."""
    images = [Image.open(photo).resize((256, 256), Image.Resampling.LANCZOS) for photo in photos]
    return torch.stack([torch.from_numpy(np.array(image)) for image in images]).permute(0, 3, 1, 2) / 255


@torch.inference_mode()
def matrix_of(distance, photos):
    """All distances, each computed on its own."""
    images = squares(photos)
    rows = [distance(image.expand_as(images), images) for image in images]
    return torch.stack(rows)
