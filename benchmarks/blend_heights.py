"""What a blend costs at each height of its photos, in time and in memory: `python -m benchmarks.blend_heights`.

The network draws at 256 px whatever the height; what is outside it (scaling, detail, seams, copying) works on the
photos' own pixels. It should take no longer than the network at 1024 px, and from there grow as the pixels do. The
photos are square and the gap as wide as high. Every height has a process of its own, so that it begins with as little
memory as the others.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor

from wrb import blend, load_generator
from wrb.images import read_image
from wrb.resampling import resample

HEIGHTS = (256, 512, 1024, 2160, 4320)

ALLOWED_AT = 1024
"""The height in px up to which the network should take most of the time."""

SAMPLES = Path(__file__).parent.parent / "samples"
PHOTOS = ("wrb_sample_desert.jpg", "wrb_sample_lake.jpg")

MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024
"""Unit of `ru_maxrss`."""

MEBIBYTE = 2**20


@dataclass(frozen=True)
class Cost:
    """Of one blend; of the seconds, medians."""

    height: int
    network: float
    detail: float
    seam: float
    outside: float
    """All that is not the network's, detail and seam included."""

    memory: int
    """By how many bytes the process grew at most, the panorama included."""

    panorama: int
    """Bytes of the panorama alone."""

    @property
    def pixels(self) -> int:
        """Of the panorama."""
        return 3 * self.height**2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="of which the medians are given (default: 7)")
    parser.add_argument("--threads", type=int, help="on a machine that does other work too, 1 varies least")
    parser.add_argument("--heights", type=int, nargs="+", default=HEIGHTS, help=f"in px (default: {HEIGHTS})")
    parser.add_argument("--plot", type=Path, help="an image file, .svg or .png, to draw the figures into")
    options = parser.parse_args()
    threads = options.threads or torch.get_num_threads()
    say = sys.stdout.write
    say(f"torch {torch.__version__}, {threads} threads, medians of {options.rounds} rounds\n")
    say("  px  network s  outside s (detail   seam   rest)  outside/network  ns/px  memory MiB  panorama MiB\n")
    costs = []
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for cost in pool.imap(partial(measure, rounds=options.rounds, threads=threads), options.heights):
            rest = cost.outside - cost.detail - cost.seam
            say(f"{cost.height:4}  {cost.network:9.3f}  {cost.outside:9.3f} ")
            say(f"({cost.detail:6.3f} {cost.seam:6.3f} {rest:6.3f})  {cost.outside / cost.network:15.2f}  ")
            say(f"{cost.outside / cost.pixels * 1e9:5.1f}  ")
            say(f"{cost.memory / MEBIBYTE:10.0f}  {cost.panorama / MEBIBYTE:12.0f}\n")
            costs.append(cost)
    say(verdict(costs))
    if options.plot:
        plot(costs, f"Median of {options.rounds} blends on a CPU, {threads} thread{'s' * (threads > 1)}", options.plot)


def measure(height: int, rounds: int, threads: int) -> Cost:
    """Blend the sample photos at that height, once for the memory and then for the time."""
    torch.set_num_threads(threads)
    generator = load_generator()
    left, right = (square(SAMPLES / name, height) for name in PHOTOS)
    before = _peak_memory()
    panorama_bytes = blend(generator, left, right).panorama.nbytes
    memory = _peak_memory() - before
    parts: dict[str, list[tuple[object, str]]] = {
        "network": [(generator, "encode"), (generator, "generate")],
        "detail": [(import_module("wrb.painter"), "add_detail")],
        "seam": [(import_module("wrb.painter"), "meet_edges")],
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*parts, "outside")}
    for _ in range(rounds):
        watches = {name: Stopwatch() for name in parts}
        with ExitStack() as patches:
            for name, functions in parts.items():
                for owner, function in functions:
                    timed = watches[name].around(getattr(owner, function))
                    patches.enter_context(mock.patch.object(owner, function, timed))
            start = time.perf_counter()
            blend(generator, left, right)
            total = time.perf_counter() - start
        for name, watch in watches.items():
            seconds[name].append(watch.seconds)
        seconds["outside"].append(total - watches["network"].seconds)
    medians = {name: statistics.median(column) for name, column in seconds.items()}
    return Cost(height=height, memory=memory, panorama=panorama_bytes, **medians)


def square(path: Path, height: int) -> Tensor:
    """The middle of a photo, (1 3 h h), made without taking much more memory than that: a peak would hide the next."""
    photo = read_image(path)
    side = photo.shape[-2]
    start = (photo.shape[-1] - side) // 2
    photo = photo[..., start : start + side]
    return resample(photo, height, height).clamp_(0, 1)


class Stopwatch:
    """Adds up the seconds that functions take, by a clock."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self.clock = clock
        self.seconds = 0.0

    def around(self, function: Callable[..., object]) -> Callable[..., object]:
        """The same function, timed."""

        def timed(*arguments: object, **keywords: object) -> object:
            start = self.clock()
            result = function(*arguments, **keywords)
            self.seconds += self.clock() - start
            return result

        return timed


def _peak_memory() -> int:
    """The most bytes that this process has had in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES


def verdict(costs: Iterable[Cost]) -> str:
    """What the figures say about the two requirements."""
    lines = []
    costs = sorted((cost for cost in costs if cost.height >= ALLOWED_AT), key=lambda cost: cost.height)
    if costs and costs[0].height == ALLOWED_AT:
        first, last = costs[0], costs[-1]
        ratio = first.outside / first.network
        meets = "at most as long as the network" if ratio <= 1 else "longer than the network"
        lines.append(f"At {ALLOWED_AT} px all outside the network takes {ratio:.2f} times its time: {meets}.\n")
        if last is not first:
            pixels, seconds = last.pixels / first.pixels, last.outside / first.outside
            meets = "no faster than the pixels" if seconds <= 1.1 * pixels else "faster than the pixels"
            lines.append(f"From there to {last.height} px, {pixels:.1f} times the pixels, ")
            lines.append(f"it grows {seconds:.1f} times: {meets}.\n")
    return "".join(lines)


def plot(costs: list[Cost], title: str, path: Path) -> None:
    """Seconds and memory against height, into an image file."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams.update({"svg.hashsalt": "", "font.size": 11})  # the same figures make the same file
    from matplotlib import pyplot

    heights = [cost.height for cost in costs]
    guide = [costs[-1].outside * cost.pixels / costs[-1].pixels for cost in costs]
    figure, (time_axes, memory_axes) = pyplot.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
    time_axes.plot(heights, [cost.network for cost in costs], "o-", color="tab:blue", label="network")
    time_axes.plot(heights, [cost.outside for cost in costs], "s-", color="tab:orange", label="all outside it")
    time_axes.plot(heights, guide, ":", color="tab:gray", label="in proportion to the pixels")
    time_axes.set_ylabel("seconds")
    memory = [cost.memory / MEBIBYTE for cost in costs]
    panorama = [cost.panorama / MEBIBYTE for cost in costs]
    memory_axes.plot(heights, memory, "o-", color="tab:green", label="most, while it is made")
    memory_axes.plot(heights, panorama, "s-", color="tab:gray", label="the panorama itself")
    memory_axes.set_ylabel("MiB")
    for axes, name in ((time_axes, "Time"), (memory_axes, "Memory")):
        axes.set(title=name, xlabel="height of the photos in px", xscale="log", yscale="log")
        axes.set_xticks(heights, [str(height) for height in heights])
        axes.minorticks_off()
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.grid(color="0.9")
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize="medium")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
