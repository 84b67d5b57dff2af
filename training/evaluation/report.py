"""What an evaluation answers: the figures of every method, as a table, in words and as JSON."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from wrb.detail.segmentation import HEIGHT
from wrb.network.config import COLUMN_WIDTH

from .datasets import WINDOW_WIDTH
from .settings import EvaluateConfig

PHOTOS = "photos themselves"
"""The name of the photos in tables and sheets, beside those of the methods."""

PRIVATE = ("photos", "held_back", "weights", "feature_weights", "distance_weights", "out")
"""Settings that name folders of this machine: results are passed on and do not carry them."""


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
    """Mean `seam_visibility` of the same panoramas."""

    psnr: float | None = None
    """Of the gap rebuilt from a photo's sides, in dB, the mean over photos of at most `HIGHEST_PSNR` each."""

    perceptual_distance: float | None = None
    """Of the same from the truth, mean over photos; the lower the better."""

    skyline_distance: float | None = None
    """Of the network's drawing, before any detail, from the true skyline, in px at a height of 64 px: mean over all
    columns that have one; the lower the better a guide."""


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
            "skyline of the drawing, px ↓",
        )
        rows = [headings, ("--:", ":--", *["--:"] * 6)]
        for line in self.figures:
            numbers = (line.frechet_distance, 1000 * line.kernel_distance, line.seam, line.psnr)
            rows.append(
                (
                    str(line.gap_columns * COLUMN_WIDTH),
                    line.method,
                    *("–" if number is None else f"{number:.2f}" for number in numbers),
                    "–" if line.perceptual_distance is None else f"{line.perceptual_distance:.4f}",
                    "–" if line.skyline_distance is None else f"{line.skyline_distance:.2f}",
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
            "gap made from the two sides of each photo's centre, from what was there. Skyline: of the same gap before "
            f"any detail, the mean distance from the true one in px at a height of {HEIGHT} px. All in 8 bits. "
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
