"""Every figure of every method: joined pairs beside random crops of photos, rebuilt gaps beside the true ones."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from ..data import CentralCrops, central, cut
from ..perceptual import PerceptualDistance, feature_network, perceptual_distance
from .datasets import WINDOW_WIDTH, PairsOfSquares, RandomWindows, spread_pairs
from .distribution_distances import frechet_distance, kernel_distance
from .methods import Method
from .psnr import HIGHEST_PSNR, psnr
from .report import PHOTOS, Evaluation, Figures
from .seam_visibility import seam_visibility
from .settings import EvaluateConfig
from .skylines import skyline_distances

Case = tuple[str, int]
"""A method's name and a gap's width in columns."""

PAIRS_PER_PHOTO = 4
REAL_CROPS_PER_PHOTO = 8

MOST_REAL_CROPS = 2649
"""As many as the authors took."""


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
            config, network, RandomWindows(photos, length, config.crop_width, config.seed, anywhere=anywhere)
        )
        for length, anywhere in ((num_real, True), (len(pairs), False))
    )
    features, seams = _measure_pairs(config, network, PairsOfSquares(photos, pairs, config.crop_width), methods)
    crops = CentralCrops(photos, config.crop_width)
    ratios, differences, skylines, true_seams = _measure_reconstructions(config, distance, crops, methods)

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
                    skyline_distance=skylines.get(case),
                )
            )
        figures.append(Figures(method=PHOTOS, gap_columns=columns, **distances_of_photos, seam=true_seams[columns]))
    return Evaluation(config=config, figures=figures, num_photos=len(photos), num_pairs=len(pairs), num_real=num_real)


def _features_of_windows(config: EvaluateConfig, network: nn.Module, windows: RandomWindows) -> Tensor:
    batches = tqdm(DataLoader(windows, config.batch_size), desc="crops of photos", unit="batch")
    return torch.cat([network(batch.to(config.torch_device)).cpu() for batch in batches])


def _measure_pairs(
    config: EvaluateConfig, network: nn.Module, pairs: PairsOfSquares, methods: dict[str, Method]
) -> tuple[dict[Case, Tensor], dict[Case, float]]:
    """Features of the panoramas' centres, (n d), and their mean seam visibility."""
    features: dict[Case, list[Tensor]] = defaultdict(list)
    seams: dict[Case, list[Tensor]] = defaultdict(list)
    for left, right in tqdm(DataLoader(pairs, config.batch_size), desc="different photos", unit="batch"):
        left, right = left.to(config.torch_device), right.to(config.torch_device)
        for columns in config.gap_columns:
            for name, method in methods.items():
                panoramas = _in_eight_bits(method(left, right, columns * COLUMN_WIDTH))
                features[name, columns].append(network(central(panoramas, WINDOW_WIDTH)).cpu())
                seams[name, columns].append(seam_visibility(panoramas, IMAGE_SIZE, columns * COLUMN_WIDTH).cpu())
    return {case: torch.cat(parts) for case, parts in features.items()}, _means(seams)


def _measure_reconstructions(
    config: EvaluateConfig, distance: PerceptualDistance, crops: CentralCrops, methods: dict[str, Method]
) -> tuple[dict[Case, float], dict[Case, float], dict[Case, float], dict[int, float]]:
    """Mean PSNR and mean perceptual distance of the gaps, mean distance of the drawings' skylines from the true ones',
    and the mean seam visibility of the true panoramas."""
    ratios: dict[Case, list[Tensor]] = defaultdict(list)
    differences: dict[Case, list[Tensor]] = defaultdict(list)
    skylines: dict[Case, list[Tensor]] = defaultdict(list)
    seams: dict[int, list[Tensor]] = defaultdict(list)
    for batch in tqdm(DataLoader(crops, config.batch_size), desc="photos' own middles", unit="batch"):
        for columns in config.gap_columns:
            left, truth, right = parts = cut(batch.to(config.torch_device), columns)
            width = truth.shape[-1]
            true_panoramas = torch.cat(parts, dim=-1)
            seams[columns].append(seam_visibility(true_panoramas, IMAGE_SIZE, width).cpu())
            for name, method in methods.items():
                gap = cut(_in_eight_bits(method(left, right, width)), columns)[1]
                ratios[name, columns].append(psnr(gap, truth).clamp(max=HIGHEST_PSNR).cpu())
                differences[name, columns].append(distance(gap, truth).cpu())
                drawing = _in_eight_bits(method(left, right, width, detail=0))
                skylines[name, columns].append(skyline_distances(drawing, true_panoramas, columns).cpu())
    skylines = {case: parts for case, parts in skylines.items() if any(map(len, parts))}
    return _means(ratios), _means(differences), _means(skylines), _means(seams)


def _in_eight_bits(images: Tensor) -> Tensor:
    """As an image file holds them: every method's alike."""
    return (images * 255).round() / 255


def _means(parts: dict[Any, list[Tensor]]) -> dict[Any, float]:
    return {case: torch.cat(values).mean().item() for case, values in parts.items()}
