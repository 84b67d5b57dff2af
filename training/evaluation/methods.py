"""What is compared: generators and baselines, each under a name, in one form."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from wrb import blend, load_generator

from .baselines import BASELINES, HAS_PATCHMATCH

logger = logging.getLogger(__name__)


class Method(Protocol):
    """Left and right photos, (b 3 256 256), and the gap's width in px to panoramas, (b 3 256 512+width).

    With `detail` 0 the gap is the network's drawing alone, the guide of all detail; without a network it is the same.
    """

    def __call__(self, left: Tensor, right: Tensor, width: int, *, detail: float = 1) -> Tensor: ...


def make_methods(weights: Sequence[Path], device: str | torch.device) -> dict[str, Method]:
    """Generators, under names that tell them apart, and all baselines. Gaps are those that users get.

    Raises:
        ValueError: if a file is named twice or holds no weights.
    """
    methods = {name: _generating(path, device) for name, path in zip(_names(weights), weights, strict=True)}
    if not weights:
        methods["built-in"] = _generating(None, device)
    if not HAS_PATCHMATCH:
        logger.warning("PatchMatch is left out: PyPatchMatch is not installed (it needs Python 3.11 or later)")
    return methods | {name: _filling(fill) for name, fill in BASELINES.items()}


def _generating(weights: Path | None, device: str | torch.device) -> Method:
    generator = load_generator(weights, device=device)

    def generate(left: Tensor, right: Tensor, width: int, *, detail: float = 1) -> Tensor:
        return blend(generator, left, right, width, detail=detail, batch_size=len(left)).panorama

    return generate


def _filling(fill: Callable[[Tensor, Tensor, int], Tensor]) -> Method:
    def join(left: Tensor, right: Tensor, width: int, *, detail: float = 1) -> Tensor:
        return torch.cat([left, fill(left, right, width), right], dim=-1)

    return join


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
