"""How good weights are beside gaps made without a network, in figures and on sheets.

    python -m training.evaluate --photos PHOTOS --held-back RUN/validation_photos.txt --weights RUN/best.safetensors \
        --out RESULTS

Different photos are joined, and the panoramas compared with photos as a whole by FID and KID, and at their seams; and
the middle of each photo is made from its sides, and compared with what was there. RESULTS receives the table as
`results.md` and `results.json`, and sheets to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

import logging
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
import tyro
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from wrb import blend, load_generator
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from .baselines import BASELINES
from .data import CentralCrops, central, cut
from .distribution import frechet_distance, kernel_distance
from .evaluation import HIGHEST_PSNR, EvaluateConfig, Evaluation, Figures
from .perceptual import PerceptualDistance, feature_network, perceptual_distance
from .photos import find_photos, read_list
from .protocol import WINDOW_WIDTH, Pairs, Windows, seam_figure, spread_pairs
from .sheet import draw_sheet
from .validation import psnr

Method = Callable[[Tensor, Tensor, int], Tensor]
"""Left and right photos, (b 3 256 256), and the gap's width in px to panoramas, (b 3 256 512+width)."""

Case = tuple[str, int]
"""A method's name and a gap's width in columns."""

PAIRS_PER_PHOTO = 4
REAL_CROPS_PER_PHOTO = 8

MOST_REAL_CROPS = 2649
"""As many as the authors took."""

SHEET_ROWS = 4
"""Examples on a sheet, each at every gap width."""

PHOTOS = "photos themselves"

logger = logging.getLogger(__name__)


def evaluation_photos(config: EvaluateConfig) -> list[Path]:
    """The photos to evaluate on.

    Raises:
        ValueError: if there are fewer than two.
    """
    photos = find_photos(config.photos, config.crop_width)
    if config.held_back:
        photos = read_list(config.held_back, photos)
    if len(photos) < 2:
        raise ValueError(
            f"{photos[0]} is the only photo of at least {config.crop_width}×{IMAGE_SIZE} px; "
            "give at least two, to join them"
        )
    logger.info("%d photos of at least %d×%d px", len(photos), config.crop_width, IMAGE_SIZE)
    return photos


def make_methods(weights: Sequence[Path], device: str | torch.device) -> dict[str, Method]:
    """Generators, under names that tell them apart, and all baselines. Gaps are those that users get.

    Raises:
        ValueError: if a file is named twice or holds no weights.
    """
    methods = {name: _generating(path, device) for name, path in zip(_names(weights), weights, strict=True)}
    if not weights:
        methods["built-in"] = _generating(None, device)
    return methods | {name: _filling(fill) for name, fill in BASELINES.items()}


def _generating(weights: Path | None, device: str | torch.device) -> Method:
    generator = load_generator(weights, device=device)
    return lambda left, right, width: blend(generator, left, right, gap_width=width, batch_size=len(left)).panorama


def _filling(fill: Method) -> Method:
    return lambda left, right, width: torch.cat([left, fill(left, right, width), right], dim=-1)


def _names(paths: Sequence[Path]) -> list[str]:
    """The ends of the paths, as long as it takes to tell them apart, without extension if that does too."""
    for length in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        ends = [Path(*path.parts[-length:]) for path in paths]
        for names in ([end.with_suffix("").as_posix() for end in ends], [end.as_posix() for end in ends]):
            if len(set(names)) == len(names):
                return names
    if paths:
        raise ValueError(f"weights are {', '.join(map(str, paths))}; name each file once")
    return []


@torch.inference_mode()
def evaluate(config: EvaluateConfig, photos: list[Path], methods: dict[str, Method]) -> Evaluation:
    """Measure every method at every gap width, and the photos themselves.

    Raises:
        ValueError: if `num_pairs` is more than the photos make.
    """
    most_pairs = len(photos) * min(PAIRS_PER_PHOTO, len(photos) - 1)
    pairs = spread_pairs(len(photos), most_pairs if config.num_pairs is None else config.num_pairs, config.seed)
    num_real = config.num_real or min(MOST_REAL_CROPS, REAL_CROPS_PER_PHOTO * len(photos))
    network = feature_network(config.feature_network, config.feature_weights).to(config.torch_device)
    distance = perceptual_distance(config.distance_network, config.distance_weights).to(config.torch_device)

    real, ideal = (
        _features_of_windows(
            config, network, Windows(photos, length, config.crop_width, config.seed, anywhere=anywhere)
        )
        for length, anywhere in ((num_real, True), (len(pairs), False))
    )
    features, seams = _measure_pairs(config, network, Pairs(photos, pairs, config.crop_width), methods)
    crops = CentralCrops(photos, config.crop_width)
    ratios, differences, true_seams = _measure_reconstructions(config, distance, crops, methods)

    def distances(features: Tensor) -> dict[str, float]:
        return {
            "frechet_distance": frechet_distance(features, real),
            "kernel_distance": kernel_distance(features, real, seed=config.seed),
        }

    distances_of_photos = distances(ideal)
    figures = []
    for columns in config.gap_columns:
        for name in methods:
            case = name, columns
            figures.append(
                Figures(
                    method=name,
                    gap_columns=columns,
                    **distances(features[case]),
                    seam=seams[case],
                    psnr=ratios[case],
                    perceptual_distance=differences[case],
                )
            )
        figures.append(Figures(method=PHOTOS, gap_columns=columns, **distances_of_photos, seam=true_seams[columns]))
    return Evaluation(config=config, figures=figures, num_photos=len(photos), num_pairs=len(pairs), num_real=num_real)


def _features_of_windows(config: EvaluateConfig, network: nn.Module, windows: Windows) -> Tensor:
    batches = tqdm(DataLoader(windows, config.batch_size), desc="crops of photos", unit="batch")
    return torch.cat([network(batch.to(config.torch_device)).cpu() for batch in batches])


def _measure_pairs(
    config: EvaluateConfig, network: nn.Module, pairs: Pairs, methods: dict[str, Method]
) -> tuple[dict[Case, Tensor], dict[Case, float]]:
    """Features of the panoramas' centres, (n d), and their mean seam figure."""
    features: dict[Case, list[Tensor]] = defaultdict(list)
    seams: dict[Case, list[Tensor]] = defaultdict(list)
    for left, right in tqdm(DataLoader(pairs, config.batch_size), desc="different photos", unit="batch"):
        left, right = left.to(config.torch_device), right.to(config.torch_device)
        for columns in config.gap_columns:
            for name, method in methods.items():
                panoramas = _in_eight_bits(method(left, right, columns * COLUMN_WIDTH))
                features[name, columns].append(network(central(panoramas, WINDOW_WIDTH)).cpu())
                seams[name, columns].append(seam_figure(panoramas, IMAGE_SIZE, columns * COLUMN_WIDTH).cpu())
    return {case: torch.cat(parts) for case, parts in features.items()}, _means(seams)


def _measure_reconstructions(
    config: EvaluateConfig, distance: PerceptualDistance, crops: CentralCrops, methods: dict[str, Method]
) -> tuple[dict[Case, float], dict[Case, float], dict[int, float]]:
    """Mean PSNR and mean perceptual distance of the gaps, and the mean seam figure of the true panoramas."""
    ratios: dict[Case, list[Tensor]] = defaultdict(list)
    differences: dict[Case, list[Tensor]] = defaultdict(list)
    seams: dict[int, list[Tensor]] = defaultdict(list)
    for batch in tqdm(DataLoader(crops, config.batch_size), desc="photos' own middles", unit="batch"):
        for columns in config.gap_columns:
            left, truth, right = parts = cut(batch.to(config.torch_device), columns)
            width = truth.shape[-1]
            seams[columns].append(seam_figure(torch.cat(parts, dim=-1), IMAGE_SIZE, width).cpu())
            for name, method in methods.items():
                gap = cut(_in_eight_bits(method(left, right, width)), columns)[1]
                ratios[name, columns].append(psnr(gap, truth).clamp(max=HIGHEST_PSNR).cpu())
                differences[name, columns].append(distance(gap, truth).cpu())
    return _means(ratios), _means(differences), _means(seams)


def _in_eight_bits(images: Tensor) -> Tensor:
    """As an image file holds them: every method's alike."""
    return (images * 255).round() / 255


def _means(parts: dict[Any, list[Tensor]]) -> dict[Any, float]:
    return {case: torch.cat(values).mean().item() for case, values in parts.items()}


def pairs_sheet(config: EvaluateConfig, photos: list[Path], methods: dict[str, Method]) -> Image.Image:
    """Some pairs of different photos joined: a row for each pair and gap width, a column for each method."""
    num_pairs = min(SHEET_ROWS, len(photos))
    pairs = Pairs(photos, spread_pairs(len(photos), num_pairs, config.seed), config.crop_width)
    examples = [
        (*pairs[number], columns * COLUMN_WIDTH) for number in range(num_pairs) for columns in config.gap_columns
    ]
    columns = _panoramas(config, examples, methods)
    return draw_sheet(list(columns.values()), list(columns))


def reconstructions_sheet(config: EvaluateConfig, photos: list[Path], methods: dict[str, Method]) -> Image.Image:
    """Some photos and their middle made anew: a row for each photo and gap width, a column for each method."""
    shown = np.linspace(0, len(photos) - 1, min(SHEET_ROWS, len(photos))).astype(int)
    crops = CentralCrops(photos, config.crop_width)
    parts = [cut(crops[number], columns) for number in shown for columns in config.gap_columns]
    columns = _panoramas(config, [(left, right, gap.shape[-1]) for left, gap, right in parts], methods)
    true_panoramas = [torch.cat(part, dim=-1) for part in parts]
    return draw_sheet([true_panoramas, *columns.values()], [PHOTOS, *columns])


@torch.inference_mode()
def _panoramas(
    config: EvaluateConfig, examples: list[tuple[Tensor, Tensor, int]], methods: dict[str, Method]
) -> dict[str, list[Tensor]]:
    """Every method's panoramas of left and right photos, (3 256 256), and gap widths in px."""
    return {
        name: [
            method(left[None].to(config.torch_device), right[None].to(config.torch_device), width)[0]
            for left, right, width in examples
        ]
        for name, method in methods.items()
    }


def run(config: EvaluateConfig) -> None:
    """Print the table and, with `config.out`, write the results there.

    Raises:
        ValueError: if there are not two usable photos, or weights or a list cannot be read.
    """
    photos = evaluation_photos(config)
    methods = make_methods(config.weights, config.torch_device)
    evaluation = evaluate(config, photos, methods)
    sys.stdout.write(evaluation.table())
    if config.out:
        config.out.mkdir(parents=True, exist_ok=True)
        (config.out / "results.md").write_text(evaluation.to_markdown(), encoding="utf-8")
        (config.out / "results.json").write_text(evaluation.to_json(), encoding="utf-8")
        pairs_sheet(config, photos, methods).save(config.out / "pairs.png")
        reconstructions_sheet(config, photos, methods).save(config.out / "reconstructions.png")
        logger.info("results and sheets are in %s", config.out)


def main() -> None:
    """Read the settings from the command line and evaluate."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run(tyro.cli(EvaluateConfig, description=__doc__))


if __name__ == "__main__":
    main()
