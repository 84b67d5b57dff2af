"""What a blend costs on a GPU, and whether it is the CPU's picture: `python -m benchmarks.device_speed --device cuda`.

The photos are square and on the CPU, as ComfyUI hands them over; the gap is as wide as high. Beside the whole stands
what of it is not the network's, and what that would be if the gap were filled on the CPU, for the first type alone, as
it hardly depends on it. Pictures are compared with those that the CPU makes in single precision: all of the gap, and
the gap without detail, which is the network's drawing.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from typing import NamedTuple
from unittest import mock

import torch
from torch import Tensor

from benchmarks.blend_heights import HEIGHTS, MEBIBYTE, PHOTOS, SAMPLES, Stopwatch, square
from wrb import Generator, GeneratorConfig, blend, load_generator, painter
from wrb.devices import convolving_exactly

TYPES = {"fp32": torch.float32, "exact": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
"""Of the network. In "fp32" NVIDIA's GPUs convolve with ten bits, as is torch's default; in "exact" with all."""

AUTHORS_HEIGHTS = (256, 1024)
"""In px, at which a network of the authors' size is timed too."""

LARGE = 2048
"""From that height in px on, two rounds have to do."""

MILLI = 1e-3

say = sys.stdout.write


class Milliseconds(NamedTuple):
    """Of one blend."""

    network: float
    rest: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", help="of the network (default: cuda)")
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are taken (default: 5)")
    parser.add_argument("--heights", type=int, nargs="+", default=HEIGHTS, help=f"in px (default: {HEIGHTS})")
    parser.add_argument("--types", nargs="+", choices=TYPES, default=tuple(TYPES), help="of the network (default: all)")
    options = parser.parse_args()
    device = torch.device(options.device)
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
    say(f"{card}, torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds, ")
    say(f"from {LARGE} px on of 2\n")
    say("                          milliseconds of a blend               MiB on    gap's PSNR to the CPU's\n")
    say("network    px    type    network   rest  rest with CPU  total  device    picture  drawing\n")
    torch.manual_seed(0)
    authors = Generator(GeneratorConfig()).eval().requires_grad_(False)
    for height in options.heights:
        photos = [square(SAMPLES / name, height) for name in PHOTOS]
        rounds = min(options.rounds, 2) if height >= LARGE else options.rounds
        for network, generator in (("built-in", load_generator()), ("authors'", authors)):
            if network == "built-in" or height in AUTHORS_HEIGHTS:
                measure(network, generator, photos, options.types, device, rounds)


def measure(
    network: str,
    generator: Generator,
    photos: Sequence[Tensor],
    types: Sequence[str],
    device: torch.device,
    rounds: int,
) -> None:
    """Print a line for each type; the generator is on the CPU in single precision."""
    height = photos[0].shape[-2]
    expected = [gap(generator, photos, detail) for detail in (1, 0)]
    for name in types:
        placed = copy.deepcopy(generator).to(device, TYPES[name])
        with convolving_exactly() if name == "exact" else nullcontext():
            if device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(device)
            picture, drawing = (
                decibels(gap(placed, photos, detail), truth) for detail, truth in zip((1, 0), expected, strict=True)
            )
            memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0
            spent = milliseconds(placed, photos, device, rounds)
            with_cpu = f"{'':13}"
            if name == types[0]:
                with mock.patch.object(painter, "faster_device", lambda *_: None):
                    with_cpu = f"{milliseconds(placed, photos, device, rounds).rest:13.1f}"
        say(f"{network:9}{height:4}  {name:>6}  {spent.network:9.1f}{spent.rest:7.1f}  {with_cpu}")
        say(f"{sum(spent):7.1f}{memory / MEBIBYTE:8.0f}  {picture:9.1f}{drawing:9.1f}\n")
        sys.stdout.flush()


def gap(generator: Generator, photos: Sequence[Tensor], detail: float) -> Tensor:
    left, right = photos
    made = blend(generator, left, right, detail=detail)
    return made.layout.split(made.panorama)[1][0]


def decibels(picture: Tensor, truth: Tensor) -> float:
    """Peak signal-to-noise ratio; without a difference, infinite."""
    return -10 * torch.nn.functional.mse_loss(picture, truth).log10().item()


def milliseconds(generator: Generator, photos: Sequence[Tensor], device: torch.device, rounds: int) -> Milliseconds:
    """Medians, after a round that warms up."""

    def clock() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    left, right = photos
    spent = []
    for _ in range(rounds + 1):
        watch = Stopwatch(clock)
        with ExitStack() as patches:
            for function in ("encode", "generate"):
                timed: Callable[..., object] = watch.around(getattr(generator, function))
                patches.enter_context(mock.patch.object(generator, function, timed))
            start = clock()
            blend(generator, left, right)
            total = clock() - start
        spent.append((watch.seconds / MILLI, (total - watch.seconds) / MILLI))
    return Milliseconds(*(statistics.median(part) for part in zip(*spent[1:], strict=True)))


if __name__ == "__main__":
    main()
