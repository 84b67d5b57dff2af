"""What the whole costs beside its parts, as ratios taken in one run: `python -m benchmarks.ratios`.

All is timed in turns, round by round, in seconds of the processor with one thread, which other programs on the machine
change least. Beside the ratios stand the machine's rates: what a large matrix product and a copy of memory reach.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from unittest import mock

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.blend_heights import ALLOWED_AT, SAMPLES, Stopwatch, square
from benchmarks.plain_generator import PlainGenerator
from wrb import Generator, GeneratorConfig, blend, blend_sequence, load_generator

NAMES = ("desert", "lake", "tea_gardens")

SEQUENCE_HEIGHT = 512
"""In px, of the photos in a sequence with the built-in model."""

MATRIX_SIZE = 2000

COPIED_BYTES = 2**28

GIGA = 1e9

say = sys.stdout.write


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are taken (default: 5)")
    parser.add_argument("--photos", type=int, nargs="+", default=(4, 10), help="in a sequence (default: 4 10)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    say(f"torch {torch.__version__}, one thread, medians of {options.rounds} rounds\n\n")
    rate = machine(options.rounds)
    network = Generator(GeneratorConfig()).eval().requires_grad_(False)
    forward_pass(network, rate, options.rounds)
    outside_the_network(options.rounds)
    for number in options.photos:
        sequence(load_generator(), SEQUENCE_HEIGHT, number, options.rounds, "built-in model")
    sequence(network, 256, 4, options.rounds, "authors' size")


def machine(rounds: int) -> float:
    """Say how fast this machine multiplies and copies; returns the thousand millions of operations in a second."""
    matrix, memory = torch.rand(MATRIX_SIZE, MATRIX_SIZE), torch.empty(COPIED_BYTES, dtype=torch.uint8)
    copy = memory.clone()
    seconds = medians({"product": lambda: matrix @ matrix, "copy": lambda: copy.copy_(memory)}, rounds)
    rate = 2 * MATRIX_SIZE**3 / seconds["product"] / GIGA
    say(f"matrix product {rate:.0f} GFLOP/s, memory {2 * COPIED_BYTES / seconds['copy'] / GIGA:.1f} GB/s\n\n")
    return rate


def forward_pass(generator: Generator, rate: float, rounds: int) -> None:
    """Say how the network of the authors' size compares with the plain one, and with the machine."""
    plain = PlainGenerator(generator.state_dict(), generator.config.attention_levels)
    left, right = photos(256, 2)

    def of_gap() -> Tensor:
        return generator.generate(*generator.encode_pair(left, right), gap_alone=True).panorama

    with torch.inference_mode():
        seconds = medians(
            {
                "plain": lambda: plain(left, right),
                "all": lambda: generator(left, right),
                "gap": of_gap,
                "blend": lambda: blend(generator, left, right),
            },
            rounds,
        )
        with FlopCounterMode(display=False) as counter:
            of_gap()
    for name, text in (
        ("all", "forward pass, sides redrawn"),
        ("gap", "forward pass, sides kept"),
        ("blend", "whole blend at 256 px, photos kept"),
    ):
        say(f"{text:36} {seconds[name]:.3f} s, plain forward pass {seconds['plain'] / seconds[name]:.1f} times\n")
    reached = counter.get_total_flops() / GIGA / seconds["gap"]
    say(f"forward pass, sides kept: {reached / rate:.2f} of the machine's matrix product\n\n")


def outside_the_network(rounds: int) -> None:
    """Say how long all takes that is not the built-in network."""
    generator = load_generator()
    left, right = photos(ALLOWED_AT, 2)
    shares = []
    for _ in range(rounds):
        watch = Stopwatch(time.process_time)
        with ExitStack() as patches:
            for function in ("encode", "generate"):
                timed = watch.around(getattr(generator, function))
                patches.enter_context(mock.patch.object(generator, function, timed))
            shares.append(cpu_seconds(lambda: blend(generator, left, right)) / watch.seconds - 1)
    say(f"outside of the built-in network at {ALLOWED_AT} px: {statistics.median(shares):.2f} of its time\n\n")


def sequence(generator: Generator, height: int, number: int, rounds: int, name: str) -> None:
    """Say how a loop compares with as many pairs, and another gap width with the first."""
    images = photos(height, number)
    made = blend_sequence(generator, images, loop=True)
    left, right = images[:2]
    pair = blend(generator, left, right)

    def pairs() -> None:
        for one, other in zip(images, images[1:] + images[:1], strict=True):
            blend(generator, one, other)

    seconds = medians(
        {
            "pairs": pairs,
            "loop": lambda: blend_sequence(generator, images, loop=True),
            "again": lambda: made.with_gap_width(height - 1),
            "pair": lambda: blend(generator, left, right),
            "pair again": lambda: pair.with_gap_width(height - 1),
        },
        rounds,
    )
    say(f"loop of {number} photos {height} px high, {name}: {seconds['loop']:.2f} s, ")
    say(f"{seconds['loop'] / seconds['pairs']:.2f} of as many pairs\n")
    say(f"  another gap: {seconds['again'] / seconds['loop']:.2f} of the loop, ")
    say(f"of a pair {seconds['pair again'] / seconds['pair']:.2f}; ")
    say(f"kept for that {made.num_kept_bytes / number / 1e6:.1f} MB a gap\n")
    sys.stdout.flush()


def photos(height: int, number: int) -> list[Tensor]:
    """Sample photos, half as wide again as high but for the square ones of two, (1 3 h w)."""
    squares = [square(SAMPLES / f"wrb_sample_{name}.jpg", height) for name in NAMES]
    if number == 2:
        return squares[:2]
    wide = [torch.cat([one, one[..., : height // 2].flip(-1)], dim=-1) for one in squares]
    return [wide[place % len(wide)] for place in range(number)]


def medians(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Seconds that each takes, run in turns; the first round warms up."""
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for round_number in range(rounds + 1):
        for name, function in functions.items():
            duration = cpu_seconds(function)
            if round_number:
                seconds[name].append(duration)
    return {name: statistics.median(column) for name, column in seconds.items()}


def cpu_seconds(function: Callable[[], object]) -> float:
    start = time.process_time()
    function()
    return time.process_time() - start


if __name__ == "__main__":
    main()
