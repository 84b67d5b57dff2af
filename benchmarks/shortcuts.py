"""Whether each piece of clever code pays, against its plain version: `python -m benchmarks.shortcuts`.

Both versions of a piece run in turns, round by round, so that whatever else the machine does slows both alike. Printed
are the median seconds of each and the ratio of the medians: 0.5 is half the time of the plain version, 1 is no gain.
Where a gradient matters, both are timed with their backward pass.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor

from training import losses
from training.config import SelfReconstructionConfig
from training.perceptual import texture_network
from training.state import TrainingState
from training.steps import generator_losses
from wrb import GeneratorConfig, blend, load_generator
from wrb.detail import pipeline
from wrb.detail.cross_dissolve import Contribution
from wrb.detail.high_frequencies import compose
from wrb.images import read_image
from wrb.network import attention, content_transfer
from wrb.network.content_transfer import FEATURE_ROWS, BidirectionalContentTransfer
from wrb.resampling import fade, reflect

SAMPLES = Path(__file__).parents[1] / "samples"

GAP_COLUMNS = 4

RESIDUAL_WIDTH = 1080
"""In px, of the gap between two sample photos; they are 720 px high."""

Prepare = Callable[[], Callable[[], object]]
"""Does what is not timed, and returns what is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="of which the medians are compared (default: 9)")
    parser.add_argument("--threads", type=int, help="on a machine that does other work too, 1 varies least")
    parser.add_argument("--batch", type=int, default=6, help="panoramas in a training step (default: 6)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    say = sys.stdout.write
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds, ")
    say(f"batches of {options.batch}\n")
    say(f"{'piece':64}  plain s  clever s  ratio\n")
    pieces: dict[str, Callable[[], tuple[Prepare, Prepare]]] = {
        "StepwiseLinear: backward of the content transfer, width 16": lambda: transfer(16, options.batch),
        "StepwiseLinear: backward of the content transfer, width 64": lambda: transfer(64, options.batch),
        "StepwiseLinear: all of a generator's step, width 16": lambda: generator_step(16, options.batch),
        "_NeighbourSum: both sums at level 1, forward and backward": lambda: neighbour_sum(options.batch),
        "_BestMatches: both maps of VGG19, forward and backward": lambda: best_matches(2),
        "ResidualCopier: the detail of a gap of 1080 × 720 px": residual_copier,
    }
    for name, make in pieces.items():
        plain, clever = compare(*make(), options.rounds)
        say(f"{name:64}  {plain:7.4f}  {clever:8.4f}  {clever / plain:5.2f}\n")
        sys.stdout.flush()


def compare(plain: Prepare, clever: Prepare, rounds: int) -> tuple[float, float]:
    """Median seconds of the plain and of the clever version."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for round_number in range(rounds + 1):
        for side, prepare in enumerate((plain, clever)):
            run = prepare()
            start = time.perf_counter()
            run()
            duration = time.perf_counter() - start
            del run
            if round_number:  # the first warms up
                seconds[side].append(duration)
    return statistics.median(seconds[0]), statistics.median(seconds[1])


class PlainLinear:
    """`StepwiseLinear` as autograd would have it."""

    def __init__(self, weight: Tensor) -> None:
        self.weight = weight

    def __call__(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight)


def transfer(width: int, batch: int) -> tuple[Prepare, Prepare]:
    """Backward passes of the content transfer as a training step takes it, past the gap to the other photo."""
    config = GeneratorConfig(width=width)
    network = BidirectionalContentTransfer(config)
    photos = torch.randn(2, batch, config.transfer_channels, FEATURE_ROWS, FEATURE_ROWS)

    def prepare() -> Callable[[], None]:
        network.zero_grad(set_to_none=True)
        gap, _, sequences = network(*photos.clone().requires_grad_(), GAP_COLUMNS, with_guesses=True)
        assert sequences is not None
        outputs = [gap, sequences.left_to_right, sequences.right_to_left]
        return torch.cat([output.flatten() for output in outputs]).square().mean().backward

    def prepare_plain() -> Callable[[], None]:
        with patch.object(content_transfer, "StepwiseLinear", PlainLinear):
            return prepare()

    return prepare_plain, prepare


def generator_step(width: int, batch: int) -> tuple[Prepare, Prepare]:
    """Losses and gradients of whole steps, with the networks that `training/README.md` advises on a CPU.

    The weights stay, as steps on noise would make the next ones slower.
    """
    config = SelfReconstructionConfig(photos=(), out=Path(), width=width, attention_levels=(1, 2, 3, 4), cpu=True)
    state = TrainingState(config, Accelerator(cpu=True, mixed_precision="no"))
    texture = texture_network("efficientnet-lite0")
    sample = {"panorama": torch.rand(batch, 3, 256, 768)}

    def run() -> None:
        state.generator_optimiser.zero_grad(set_to_none=True)
        torch.stack(list(generator_losses(state, texture, sample, GAP_COLUMNS).values())).sum().backward()

    def run_plain() -> None:
        with patch.object(content_transfer, "StepwiseLinear", PlainLinear):
            run()

    return lambda: run_plain, lambda: run


def plain_neighbour_sum(scores: Tensor, gap_dim: int, photo_dim: int) -> Tensor:
    """`_NeighbourSum` as autograd would have it."""
    counts = scores.shape[gap_dim] - 1, scores.shape[photo_dim] - 1

    def part(tensor: Tensor, start: int) -> Tensor:
        return tensor.narrow(gap_dim, start, counts[0]).narrow(photo_dim, start, counts[1])

    total = scores.clone()
    part(total, 1).add_(part(scores, 0))
    part(total, 0).add_(part(scores, 1))
    return total


def neighbour_sum(batch: int) -> tuple[Prepare, Prepare]:
    """The sums of a similarity and of its fusion, at the decoder level where the authors attend."""

    def prepare(total: Callable[[Tensor, int, int], Tensor]) -> Callable[[], None]:
        scores = torch.randn(batch, 32, 32, 32, 64, requires_grad=True)

        def run() -> None:
            similar = total(total(scores, 1, 3), 2, 4).flatten(3, 4).flatten(1, 2)
            total(total(similar, 1, 2), 1, 2).mean().backward()

        return run

    return lambda: prepare(plain_neighbour_sum), lambda: prepare(attention._sum_neighbours)


def plain_best_matches(generated: Tensor, truth: Tensor) -> Tensor:
    """`_BestMatches` as its definition reads: all pairs at once, and autograd's gradient."""
    distance = (1 - generated @ truth.mT) / 2  # (b p o)
    relative = distance / (distance.amin(dim=2, keepdim=True) + losses.MINIMUM_DISTANCE)
    return ((1 - relative) / losses.SHARPNESS).softmax(dim=2).amax(dim=1)


def best_matches(batch: int) -> tuple[Prepare, Prepare]:
    """The texture loss of gaps of 256 px on the two maps of VGG19."""
    shapes = (batch, 64**2, 256), (batch, 32**2, 512)
    maps = [[F.normalize(torch.randn(shape), dim=2) for _ in range(2)] for shape in shapes]

    def prepare(matches: Callable[[Tensor, Tensor], Tensor]) -> Callable[[], None]:
        pairs = [(generated.clone().requires_grad_(), truth) for generated, truth in maps]
        return lambda: torch.stack([-matches(*pair).mean(dim=1).log().sum() for pair in pairs]).sum().backward()

    return lambda: prepare(plain_best_matches), lambda: prepare(losses._BestMatches.apply)


def residual_copier() -> tuple[Prepare, Prepare]:
    """The detail of the gap between two sample photos, from where their pieces really lie."""
    calls: list[tuple[Any, ...]] = []

    def note(gap: Tensor, parts: Any, *further: Any) -> None:
        calls.append((gap.clone(), *parts(slice(0, gap.shape[-2])), *further))
        compose(gap, parts, *further)

    left, right = (read_image(SAMPLES / f"wrb_sample_{name}.jpg") for name in ("tea_gardens", "lake"))
    with torch.inference_mode(), patch.object(pipeline, "compose", note):
        blend(load_generator(), left, right, gap_width=RESIDUAL_WIDTH)
    gap, low, residual, photo_widths, contributions = calls[0]

    @torch.inference_mode()
    def run_clever() -> None:
        compose(gap, lambda rows: (low[:, rows], residual[:, rows]), photo_widths, contributions)

    @torch.inference_mode()
    def run_plain() -> None:
        height, width = gap.shape[-2:]
        photos = residual.split(photo_widths, dim=-1)
        gap.copy_(low)
        for photo, contribution, start in zip(photos, contributions, (photo_widths[0], -width), strict=True):
            gap.add_(plain_mixture(photo, height, width, contribution, start))

    return lambda: run_plain, lambda: run_clever


def plain_mixture(photo: Tensor, height: int, width: int, contribution: Contribution, start: int) -> Tensor:
    """What a photo's residual, (3 h w), adds to each pixel of a gap: the mixture of the four nearest cells' sources.

    Args:
        photo: the residual.
        height: of the gap in px; `width` alike.
        contribution: of the photo.
        start: the photo's column at which the gap begins.
    """
    rows, columns = contribution.weight.shape
    down = (torch.arange(height)[:, None] + 0.5) * rows / height - 0.5
    across = (torch.arange(width) + 0.5) * columns / width - 0.5
    offset = (contribution.offset * (width / columns)).round().long()
    amplitude = contribution.weight / (contribution.weight.square() + (1 - contribution.weight).square()).sqrt()
    shares, sources, parts = [], [], []
    total = torch.zeros(())
    for below in (0, 1):
        for after in (0, 1):
            row = (down.floor().long() + below).clamp(0, rows - 1)
            column = (across.floor().long() + after).clamp(0, columns - 1)
            share_down, share_across = fade(down - down.floor()), fade(across - across.floor())
            share = (1 - share_down if below else share_down) * (1 - share_across if after else share_across)
            source = reflect(torch.arange(width) + start + offset[row, column], photo.shape[-1])
            shares.append(share)
            sources.append(source)
            parts.append(photo.gather(-1, source.expand_as(photo[..., :1].expand(-1, -1, width))))
            total = total + share * amplitude[row, column]
    energy = torch.zeros(height, width)
    for share, source in zip(shares, sources, strict=True):
        for other_share, other_source in zip(shares, sources, strict=True):
            energy += share * other_share * (source == other_source)
    return total * torch.stack([part * share for part, share in zip(parts, shares, strict=True)]).sum(0) / energy.sqrt()


if __name__ == "__main__":
    main()
