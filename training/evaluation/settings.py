"""What `training.evaluate` is asked: its settings, each on the command line with its text as help."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from wrb.devices import usable_device
from wrb.geometry import WIDEST_GAP
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from ..perceptual import DistanceName, FeatureName
from ..photos import CROP_WIDTH


@dataclass(frozen=True, kw_only=True)
class EvaluateConfig:
    """What to evaluate, and on what."""

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders. Those that are too narrow for the widest gap are skipped."""

    held_back: Path | None = None
    """A text file that names the photos to take, such as a run's validation_photos.txt; all of them if not given."""

    weights: tuple[Path, ...] = ()
    """Generators to compare; the built-in one if none is given."""

    gap_columns: tuple[int, ...] = (4,)
    """Gap widths in columns of 64 px, 1 to 32: 4 is as wide as a photo. All see the same photos at the same scale,
    that of the widest."""

    num_pairs: int | None = None
    """Pairs of different photos, spread evenly; 4 a photo if not given, or as many as there are."""

    num_real: int | None = None
    """Random 256×512 px crops of the photos that stand for real ones; 8 a photo if not given, at most 2649 as in the
    authors' protocol. FID falls and KID grows steadier with more pairs and crops."""

    feature_network: FeatureName = "inception"
    """What FID and KID see through; efficientnet-lite0 needs no download, but its figures compare with no others."""

    feature_weights: Path | None = None
    """A local file of the feature network's weights, instead of a download."""

    distance_network: DistanceName = "lpips-alex"
    """What the perceptual distance sees through; efficientnet-lite0 as above."""

    distance_weights: Path | None = None
    """A local file of the distance network's weights, instead of a download."""

    out: Path | None = None
    """A folder for results.md, results.json, pairs.png and reconstructions.png; without, the table is printed alone."""

    seed: int = 0
    """Of the pairs and the random crops."""

    batch_size: int = 8
    """Panoramas in one pass of a network."""

    device: str | None = None
    """Where the networks run, such as cpu, cuda:1 or mps; without, the GPU if there is one."""

    def __post_init__(self) -> None:
        widest = WIDEST_GAP * IMAGE_SIZE // COLUMN_WIDTH
        once = len(set(self.gap_columns)) == len(self.gap_columns) > 0
        if not once or not all(1 <= columns <= widest for columns in self.gap_columns):
            raise ValueError(f"gap_columns is {self.gap_columns}; give numbers from 1 to {widest}, each once")
        for name in ("num_pairs", "num_real"):
            number = getattr(self, name)
            if number is not None and number < 2:
                raise ValueError(f"{name} is {number}; it must be at least 2 to have a distribution")
        if self.batch_size < 1:
            raise ValueError(f"batch_size is {self.batch_size}; it must be at least 1")

    @property
    def torch_device(self) -> torch.device:
        """Where the networks run."""
        return usable_device(self.device)

    @property
    def crop_width(self) -> int:
        """Of the photos' central crops in px: two photos and the widest gap, or a panorama of training."""
        return max(CROP_WIDTH, 2 * IMAGE_SIZE + COLUMN_WIDTH * max(self.gap_columns))
