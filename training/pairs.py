"""For each photo, the photos that look most like it: the table from which fine-tuning takes its pairs.

    python -m training.pairs --photos PHOTOS --out pairs.json
    python -m training.pairs --matrix train_LPIPS_256x256.pt --photos PHOTOS --out pairs.json

The first compares the photos, the second converts a matrix of distances that was made elsewhere, such as the authors'.
The table names files, relative to their photo folder (of several folders, with the folder's name before):

    {"network": "lpips-alex", "neighbours": {"a.jpg": {"b.jpg": 0.31, "c.jpg": 0.42}}}
"""

from __future__ import annotations

import codecs
import json
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

import numpy as np
import torch
import tyro
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from torch import Tensor
from tqdm import tqdm

from wrb.devices import usable_device
from wrb.files import replacing
from wrb.images import to_tensor
from wrb.network.config import IMAGE_SIZE

from .perceptual import DistanceName, PerceptualDistance, perceptual_distance
from .photos import find_photos, read_photo

TILE = 64
"""Photos compared with all others at once."""

EMBEDDED_NUMBERS = 2**26
"""Largest size of embeddings in the making: AlexNet's of 104 photos, VGG16's of 8."""

SLICE = 2**14
"""Dimensions of the embeddings that are in single precision at once."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PairsConfig:
    """Which photos to compare, and how."""

    photos: tuple[Path, ...] = ()
    """Folders of photos, searched with their subfolders."""

    out: Path
    """The table to write, JSON."""

    network: DistanceName = "lpips-alex"
    """The distance; efficientnet-lite0 is not LPIPS, but needs no download."""

    weights: Path | None = None
    """A local file of the network's weights, in torchvision's layout, instead of a download."""

    nearest: int = 32
    """How many neighbours to keep of each photo. More than training takes, as it leaves out those it holds back."""

    device: str | None = None
    """Where to compute, such as cpu, cuda or mps; without, the GPU if there is one."""

    memory: float = 4.0
    """GB for embeddings on the device. If not all photos' fit in, some are computed more than once."""

    matrix: Path | None = None
    """Convert this instead of comparing: a torch file of the square matrix of distances, such as the authors'."""

    file_list: Path | None = None
    """The photos of the matrix's rows, one name a line; without, all that are found in the folders, sorted."""

    def __post_init__(self) -> None:
        if self.nearest < 1:
            raise ValueError(f"nearest is {self.nearest}; it must be at least 1")
        if not self.memory > 0:
            raise ValueError(f"memory is {self.memory}; it must be above 0")
        if self.file_list and not self.matrix:
            raise ValueError("file_list names the rows of a matrix; give the matrix, or leave it out")
        if bool(self.photos) == bool(self.file_list):
            raise ValueError("give folders of photos, or a matrix with a file_list, and not both")


@dataclass(frozen=True, kw_only=True)
class _Table:
    network: str
    neighbours: dict[str, dict[str, float]]


def photo_names(photos: Sequence[Path], folders: Sequence[Path]) -> dict[Path, str]:
    """What a table calls the photos: their paths relative to their folder; of several folders, its own name before.

    Raises:
        ValueError: if a photo is in none of the folders, or two photos have the same name.
    """
    names: dict[Path, str] = {}
    owners: dict[str, Path] = {}
    for photo in photos:
        around = [folder for folder in folders if photo.is_relative_to(folder)]
        if not around:
            raise ValueError(f"{photo} is in none of the folders {', '.join(map(str, folders))}")
        home = max(around, key=lambda folder: len(folder.parts))
        relative = photo.relative_to(home).as_posix()
        names[photo] = name = relative if len(folders) == 1 else f"{home.resolve().name}/{relative}"
        if name in owners:
            raise ValueError(f"{owners[name]} and {photo} would both be called {name}; rename one of their folders")
        owners[name] = photo
    return names


def read_neighbours(path: Path, names: Mapping[Path, str], count: int) -> dict[Path, list[Path]]:
    """The `count` nearest photos of each one, or as many as the table has, the nearest first.

    Args:
        path: of a table that this program has made.
        names: of the photos to pair, as `photo_names` gives them; the table's other photos are left out.
        count: neighbours of a photo, at most.

    Raises:
        ValueError: if the file is no such table, or has no row for a photo, or none of the photos in its row.
    """
    try:
        table = TypeAdapter(_Table).validate_json(path.read_bytes()).neighbours
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ValueError(f"{path} is no table of neighbours; make one with `python -m training.pairs`") from error
    places = {name: photo for photo, name in names.items()}
    if missing := [name for name in places if name not in table]:
        raise ValueError(
            f"{path} has no row for {len(missing)} of {len(names)} photos, such as {missing[0]}; make the table again, "
            "from the same folders"
        )
    neighbours = {}
    for photo, name in names.items():
        row = table[name]
        near = [places[other] for other in sorted(row, key=row.__getitem__) if other in places and other != name]
        if not near:
            raise ValueError(
                f"none of the {len(row)} neighbours of {name} in {path} is among the {len(names)} photos to pair; make "
                "the table again with more --nearest, or from these photos alone"
            )
        neighbours[photo] = near[:count]
    return neighbours


def write_neighbours(path: Path, network: str, names: Sequence[str], distances: Tensor, numbers: Tensor) -> None:
    """Write a table.

    Args:
        path: to write to.
        network: what the distances are of.
        names: of the photos.
        distances: of each photo's nearest ones, ascending, (n k).
        numbers: which these are, (n k).
    """
    rows = zip(names, distances.tolist(), numbers.tolist(), strict=True)
    neighbours = {
        name: {names[number]: float(f"{distance:.6g}") for distance, number in zip(*row, strict=True)}
        for name, *row in rows
    }
    with replacing(path) as partial:
        text = json.dumps({"network": network, "neighbours": neighbours}, indent=1, ensure_ascii=False)
        partial.write_text(text, encoding="utf-8")


def nearest_photos(
    distance: PerceptualDistance, photos: Sequence[Path], count: int, *, memory: float = 4.0
) -> tuple[Tensor, Tensor]:
    """The nearest other photos of each one, every photo squeezed to 256×256 px.

    Computed where `distance` is. An embedding is long (AlexNet's has 640 128 numbers, VGG16's 8 million), so as many
    as fit into the memory are held, in half precision, and the photos pass by them in tiles. If not all fit, further
    rounds hold the next ones, and embed the photos that come after once more: embedding again is cheaper than the
    disk, which would have to be read as often. What half precision changes in a distance is about 1e-5 of it.

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

    As |a|² + |b|² - 2 a·b, which a matrix product gives. Taken over parts of the vectors and then summed, the large
    terms that cancel are of a part each: the error is about 1e-7 of the vectors' squared length, which in LPIPS is of
    the size of the distances themselves.
    """
    total = torch.zeros(len(embeddings), len(others), device=embeddings.device)
    for part, other in zip(embeddings.split(SLICE, dim=1), others.split(SLICE, dim=1), strict=True):
        part, other = part.float(), other.float()
        lengths, other_lengths = part.square().sum(dim=1), other.square().sum(dim=1)
        total += torch.addmm(lengths[:, None] + other_lengths, part, other.T, alpha=-2)
    return total.clamp(min=0)


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


def _read_file_list(path: Path) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a list of files: {error}") from error
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path} names {twice[0]} twice; each row of the matrix is of a photo of its own")
    return names


def make_table(config: PairsConfig) -> None:
    """Compare the photos, or convert the matrix, and write the table.

    Raises:
        ValueError: if there are no photos, or the matrix, the list or the weights do not fit.
    """
    if config.file_list:
        names = _read_file_list(config.file_list)
    else:
        photos = find_photos(config.photos)
        names = list(photo_names(photos, config.photos).values())
    if config.matrix:
        matrix = read_matrix(config.matrix)
        if len(matrix) != len(names):
            source = config.file_list or "the folders"
            raise ValueError(
                f"{config.matrix} has {len(matrix)} rows, but {source} {len(names)} photos; give the list of the "
                "files that it was made from as --file-list"
            )
        network, found = config.matrix.name, nearest_in(matrix, config.nearest)
    else:
        distance = perceptual_distance(config.network, config.weights).to(usable_device(config.device))
        network, found = config.network, nearest_photos(distance, photos, config.nearest, memory=config.memory)
    write_neighbours(config.out, network, names, *found)
    logger.info("%s: %d photos, %d neighbours of each", config.out, *found[0].shape)


def main() -> None:
    """Read the settings from the command line and write the table."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make_table(tyro.cli(PairsConfig, description=__doc__))


if __name__ == "__main__":
    main()
