"""Which photos look most like each other: by comparing them all, or from a matrix of their distances."""

from __future__ import annotations

import codecs
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from wrb.images import to_tensor
from wrb.network.config import IMAGE_SIZE

from .perceptual import PerceptualDistance
from .photos import read_photo

TILE = 64
"""Photos compared with all others at once."""

EMBEDDED_NUMBERS = 2**26
"""Largest size of embeddings in the making: AlexNet's of 104 photos, VGG16's of 8."""

SLICE = 2**14
"""Dimensions of the embeddings that are in single precision at once."""

logger = logging.getLogger(__name__)


def nearest_photos(
    distance: PerceptualDistance, photos: Sequence[Path], count: int, *, memory: float = 4.0
) -> tuple[Tensor, Tensor]:
    """The nearest other photos of each one, every photo squeezed to 256×256 px.

    Computed where `distance` is. An embedding is long: AlexNet's has 640 128 numbers, VGG16's 8 million. As many as fit
    into the memory are held, in half precision, which changes a distance by about 1e-5 of it; then all photos from
    the first of these on are embedded, a tile at a time, and compared with those held. If not all fit, another round
    holds the next ones. It embeds the photos that come after them once more, which is cheaper than to keep embeddings
    on a disk.

    Args:
        distance: to compare the photos by.
        photos: at least two.
        count: neighbours of a photo; all others if there are fewer.
        memory: in GB, of the embeddings held. Some more is needed to make and to compare them.

    Returns:
        Distances, ascending, (n k), and which photos these are, (n k), on the CPU.

    Raises:
        ValueError: if there is but one photo.
    """
    if len(photos) < 2:
        raise ValueError(f"found {len(photos)} photo; a pair takes two")
    nearest = _Nearest(len(photos), min(count, len(photos) - 1))
    device = distance.channel_weights[0].device
    with torch.inference_mode(), ThreadPoolExecutor() as pool:
        length = distance.embed(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE, device=device)).shape[1]
        batch = max(1, EMBEDDED_NUMBERS // length)
        num_held = max(TILE, int(memory * 1e9 / (2 * length)) // TILE * TILE)
        rounds = range(0, len(photos), num_held)
        with tqdm(total=sum(len(photos) - begin for begin in rounds), unit="photo") as progress:
            for begin in rounds:
                end = min(begin + num_held, len(photos))
                held = torch.empty(end - begin, length, dtype=torch.half, device=device)
                for start, images in _tiles(photos, begin, pool):
                    stop = start + len(images)
                    tile = torch.cat([distance.embed(part).half() for part in images.to(device).split(batch)])
                    if start < end:
                        held[start - begin : stop - begin] = tile
                    earlier, known = min(start, end), min(stop, end)  # known: the tile's own photos too, if held
                    distances = squared_distances(held[: known - begin], tile).cpu()
                    distances[earlier - begin :].fill_diagonal_(torch.inf)
                    nearest.add(slice(begin, known), slice(start, stop), distances)
                    nearest.add(slice(start, stop), slice(begin, earlier), distances[: earlier - begin].T)
                    progress.update(len(images))
    return nearest.distances, nearest.numbers


def squared_distances(embeddings: Tensor, others: Tensor) -> Tensor:
    """Of each embedding, (n d), from each of the others, (m d), both of any precision, to (n m) in single precision.

    It is |a|² + |b|² - 2 a·b, for the sake of the matrix product. These terms are large and nearly cancel. So they are
    taken of a part of the vectors at a time, and the differences are added up: the error is then about 1e-7 of the
    vectors' squared length, and in LPIPS that length is of the size of the distances.
    """
    total = torch.zeros(len(embeddings), len(others), device=embeddings.device)
    for part, other in zip(embeddings.split(SLICE, dim=1), others.split(SLICE, dim=1), strict=True):
        part, other = part.float(), other.float()
        lengths, other_lengths = part.square().sum(dim=1), other.square().sum(dim=1)
        total += torch.addmm(lengths[:, None] + other_lengths, part, other.T, alpha=-2)
    return total.clamp(min=0)


class _Nearest:
    """The nearest of each photo among those that it was compared with so far."""

    def __init__(self, num_photos: int, count: int) -> None:
        self.distances = torch.full((num_photos, count), torch.inf)
        self.numbers = torch.zeros((num_photos, count), dtype=torch.long)

    def add(self, rows: slice, columns: slice, distances: Tensor) -> None:
        numbers = torch.arange(columns.start, columns.stop).expand(len(distances), -1)
        distances = torch.cat([self.distances[rows], distances], dim=1)
        numbers = torch.cat([self.numbers[rows], numbers], dim=1)
        self.distances[rows], order = distances.topk(self.distances.shape[1], largest=False)
        self.numbers[rows] = numbers.gather(1, order)


def _tiles(photos: Sequence[Path], begin: int, pool: ThreadPoolExecutor) -> Iterator[tuple[int, Tensor]]:
    """Photos from `begin` on, (b 3 256 256), with the number of the first one; the next ones are read meanwhile."""
    starts = range(begin, len(photos), TILE)
    waiting = pool.map(_read_square, photos[begin : begin + TILE])
    for start in starts:
        squares = torch.stack(list(waiting))
        waiting = pool.map(_read_square, photos[start + TILE : start + 2 * TILE])
        yield start, squares


def _read_square(path: Path) -> Tensor:
    """The whole photo, (3 256 256), RGB in 0..1."""
    return to_tensor(read_photo(path).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


def read_matrix(path: Path) -> Tensor:
    """A square matrix of distances, (n n), from a torch file of one tensor or NumPy array; zero on the diagonal.

    Raises:
        ValueError: if the file cannot be read, or holds anything else, or distances that are not finite.
    """
    try:
        with torch.serialization.safe_globals(_numpy_globals()):
            matrix = torch.as_tensor(torch.load(path, map_location="cpu", weights_only=True)).detach().float().squeeze()
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:  # torch has one of its own for each way to fail
        raise ValueError(f"{path} is no torch file of a matrix: {str(error).splitlines()[0]}") from error
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{path} holds an array of shape {tuple(matrix.shape)}; a matrix of distances must be square")
    matrix.fill_diagonal_(0)
    if not matrix.isfinite().all():
        raise ValueError(f"{path} holds distances that are not finite; make it again")
    if not torch.allclose(matrix, matrix.T, rtol=0.01, atol=0.001):
        logger.warning("%s is not symmetric, as distances are; the nearest of a photo are taken from its row", path)
    return matrix


def nearest_in(matrix: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The `count` least distances of each row of a matrix, (n n), its diagonal left out: what `nearest_photos` gives.

    Raises:
        ValueError: if there is but one photo.
    """
    if len(matrix) < 2:
        raise ValueError(f"the matrix is of {len(matrix)} photo; a pair takes two")
    distances, numbers = matrix.clone().fill_diagonal_(torch.inf).topk(min(count, len(matrix) - 1), largest=False)
    return distances, numbers


def _numpy_globals() -> list[Any]:
    """What the pickle of an array of numbers calls; nothing else may be called."""
    array = np.zeros(1)
    make = array.__reduce__()[0]
    module = "core.multiarray._reconstruct"  # as NumPy 1 and 2 name it
    kinds = {type(np.dtype(kind)) for kind in (np.float16, np.float32, np.float64)}
    return [(make, f"numpy.{module}"), (make, f"numpy._{module}"), np.ndarray, np.dtype, *kinds, codecs.encode]
