"""How much faster the generator is than the plain one: `python -m benchmarks.generator_speed`.

Both run in turns in one process, so that whatever else the machine does slows both alike.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.plain_generator import PlainGenerator
from wrb import Generator, GeneratorConfig

CASES = ((64, 4), (64, 1), (64, 16), (16, 4), (16, 16))
"""Widths, and gaps in columns."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians are compared (default: 7)")
    parser.add_argument("--threads", type=int, help="on a machine that does other work too, 1 varies least")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    say = sys.stdout.write
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds\n")
    say("width  gap columns  plain s  ours s  ratio\n")
    for width, gap_columns in CASES:
        plain, ours = compare(width, gap_columns, options.rounds)
        say(f"{width:5}  {gap_columns:11}  {plain:7.3f}  {ours:6.3f}  {ours / plain:5.2f}\n")


@torch.inference_mode()
def compare(width: int, gap_columns: int, rounds: int) -> tuple[float, float]:
    """Median seconds of one panorama by the plain generator and by ours."""
    torch.manual_seed(0)
    config = GeneratorConfig(width=width)
    ours = Generator(config).eval()
    plain = PlainGenerator(ours.state_dict(), config.attention_levels)
    left, right = torch.rand(2, 1, 3, 256, 256)
    seconds: dict[str, list[float]] = {"plain": [], "ours": []}
    for round_number in range(rounds + 1):
        for name, generator in (("plain", plain), ("ours", ours)):
            duration = _time(generator, left, right, gap_columns)
            if round_number:  # the first warms up
                seconds[name].append(duration)
    return statistics.median(seconds["plain"]), statistics.median(seconds["ours"])


def _time(generator: Callable[[Tensor, Tensor, int], Tensor], left: Tensor, right: Tensor, gap_columns: int) -> float:
    start = time.perf_counter()
    generator(left, right, gap_columns)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
