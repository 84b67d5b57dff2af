"""What an evaluation is asked, and what it answers."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

import torch

from wrb.devices import usable_device
from wrb.geometry import WIDEST_GAP
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from .perceptual import DistanceName, FeatureName
from .photos import CROP_WIDTH
from .protocol import WINDOW_WIDTH

HIGHEST_PSNR = 58.92
"""In dB, the error of rounding to 8 bits. A perfect gap counts as this good, as infinity would swallow the mean."""

PRIVATE = ("photos", "held_back", "weights", "feature_weights", "distance_weights", "out")
"""Settings that name folders of this machine: results are passed on and do not carry them."""


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


@dataclass(frozen=True, kw_only=True)
class Figures:
    """A line of the table: how good a method is at one gap width. None is what does not apply to it."""

    method: str

    gap_columns: int

    frechet_distance: float
    """FID of the centres of panoramas of different photos from random crops of photos; the lower the better."""

    kernel_distance: float
    """KID of the same."""

    seam: float
    """Mean of `seam_figure` over the same panoramas."""

    psnr: float | None = None
    """Of the gap rebuilt from a photo's sides, in dB, the mean over photos of at most `HIGHEST_PSNR` each."""

    perceptual_distance: float | None = None
    """Of the same from the truth, mean over photos; the lower the better."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All figures, and what they were measured on."""

    config: EvaluateConfig
    figures: list[Figures]
    num_photos: int
    num_pairs: int
    num_real: int

    def table(self) -> str:
        """The figures in Markdown, a line each."""
        config = self.config
        headings = (
            "gap, px",
            "method",
            f"FID ↓ ({config.feature_network})",
            f"KID ×1000 ↓ ({config.feature_network})",
            "seam",
            "PSNR of the gap, dB ↑",
            f"perceptual distance of the gap ↓ ({config.distance_network})",
        )
        rows = [headings, ("--:", ":--", *["--:"] * 5)]
        for line in self.figures:
            numbers = (line.frechet_distance, 1000 * line.kernel_distance, line.seam, line.psnr)
            rows.append(
                (
                    str(line.gap_columns * COLUMN_WIDTH),
                    line.method,
                    *("–" if number is None else f"{number:.2f}" for number in numbers),
                    "–" if line.perceptual_distance is None else f"{line.perceptual_distance:.4f}",
                )
            )
        return "".join(f"| {' | '.join(row)} |\n" for row in rows)

    def to_markdown(self) -> str:
        """The table, and what its figures mean."""
        return (
            f"# Evaluation on {self.num_photos} photos\n\n{self.table()}\n"
            f"FID, KID and seam: of {self.num_pairs} pairs of different photos, joined. FID and KID are those of the "
            f"panoramas' central 256×{WINDOW_WIDTH} px from {self.num_real} random crops of the photos; the photos' "
            "own are those of crops at the joined photos' height, and the best there is to reach. From a gap of "
            f"{WINDOW_WIDTH} px on they see nothing but the gap. FID falls with the number of images: compare it "
            "within one table alone. Seam: the step across the gap's edges over the median step from column to column "
            "in the photos; below 1 it shows less than the photos' own detail. PSNR and perceptual distance: of the "
            "gap made from the two sides of each photo's centre, from what was there. All in 8 bits. "
            f"Seed {self.config.seed}.\n"
        )

    def to_json(self) -> str:
        """Settings, without this machine's folders, numbers of images, and the figures."""
        settings = dataclasses.asdict(self.config)
        report = {
            "settings": {name: value for name, value in settings.items() if name not in PRIVATE},
            **{name: getattr(self, name) for name in ("num_photos", "num_pairs", "num_real")},
            "figures": [dataclasses.asdict(line) for line in self.figures],
        }
        return json.dumps(report, indent=2, ensure_ascii=False)
