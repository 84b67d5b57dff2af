"""For each photo, the photos that look most like it: the table from which fine-tuning takes its pairs.

    python -m training.pairs --photos PHOTOS --out pairs.json
    python -m training.pairs --matrix train_LPIPS_256x256.pt --photos PHOTOS --out pairs.json

The first compares the photos, the second converts a matrix of distances that was made elsewhere, such as the authors'.
The table names files, relative to their photo folder (of several folders, with the folder's name before):

    {"network": "lpips-alex", "neighbours": {"a.jpg": {"b.jpg": 0.31, "c.jpg": 0.42}}}
"""

from __future__ import annotations

import logging
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

import tyro

from wrb.devices import usable_device

from .nearest_photos import nearest_in, nearest_photos, read_matrix
from .neighbour_table import photo_names, write_neighbours
from .perceptual import DistanceName, perceptual_distance
from .photo_lists import read_names
from .photos import find_photos
from .program import program

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


def _read_file_list(path: Path) -> list[str]:
    names = read_names(path)
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
    with program():
        make_table(tyro.cli(PairsConfig, description=__doc__))


if __name__ == "__main__":
    main()
