"""How far a set of images is from a set of true ones, by their features (`perceptual.feature_network`)."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn


def frechet_distance(features: Tensor, true_features: Tensor) -> float:
    """Fréchet distance of two normal distributions with the sets' means and covariances: FID, for Inception features.

    Heusel et al., NeurIPS 2017. It is biased: the fewer the images, the larger it is, and much larger with fewer images
    than features. Compare only distances of equal counts.

    Args:
        features: (n d), of the generated images; `true_features` (m d).

    Raises:
        ValueError: if the shapes do not fit, or a set has fewer than two rows.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(features, true_features)
    metric = FrechetInceptionDistance(feature=_Given(features.shape[1]))
    # On the CPU: the eigenvalues are found there anyway, and not every accelerator has double precision.
    metric.update(true_features.detach().cpu().double(), real=True)
    metric.update(features.detach().cpu().double(), real=False)
    return metric.compute().item()


def kernel_distance(
    features: Tensor, true_features: Tensor, *, subset_size: int = 1000, subsets: int = 100, seed: int = 0
) -> float:
    """Squared maximum mean discrepancy with the kernel (x·y/d + 1)³: KID, for Inception features.

    Bińkowski et al., ICLR 2018. It is unbiased, whatever the counts, and so below zero now and then.

    Args:
        features: (n d), of the generated images; `true_features` (m d).
        subset_size: rows drawn of each set; all of the smaller set if it has no more.
        subsets: how often they are drawn; the distance is the mean. Once is enough if each draw is of all rows.
        seed: of the draws. The global random state stays as it is.

    Raises:
        ValueError: if the shapes do not fit, a set has fewer than two rows, or a number is not positive.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    _check(features, true_features)
    if subset_size < 2 or subsets < 1:
        raise ValueError(f"{subsets} subsets of {subset_size} rows; give at least one, of at least two rows")
    subset_size = min(subset_size, len(features), len(true_features))
    if subset_size == len(features) == len(true_features):
        subsets = 1
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.filterwarnings("ignore", message=".*save all extracted features")  # they are kept by the caller anyway
        metric = KernelInceptionDistance(feature=_Given(features.shape[1]), subset_size=subset_size, subsets=subsets)
        metric.update(true_features.detach().cpu().double(), real=True)
        metric.update(features.detach().cpu().double(), real=False)
        torch.random.default_generator.manual_seed(seed)  # torch.manual_seed would reseed the accelerators as well
        return metric.compute()[0].item()


class _Given(nn.Identity):
    """Stands where torchmetrics has its network, so that features computed once serve both distances."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


def _check(features: Tensor, true_features: Tensor) -> None:
    shapes = f"features are {tuple(features.shape)}, true features {tuple(true_features.shape)}"
    if features.ndim != 2 or true_features.ndim != 2 or features.shape[1] != true_features.shape[1]:
        raise ValueError(f"{shapes}; both must be (images, features), of one network")
    if min(len(features), len(true_features)) < 2:
        raise ValueError(f"{shapes}; a distribution takes at least two images")
