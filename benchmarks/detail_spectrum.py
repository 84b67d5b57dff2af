"""How sharp gaps are beside what was there: `python -m benchmarks.detail_spectrum PHOTOS --height 1024`.

Photos are cut in three, and their middle is generated from the two sides. Of it and of the true middle, the energy in
each octave of frequencies is compared: 0 dB is as sharp as the photo. Photos lower than the height are left out, as
enlarged ones would be as empty of detail as a gap without.

With `--repainted 512`, the true middle at that height takes the place of what the network drew, as a perfect model
would repaint it, and is sharpened as `restore_crops` does it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from wrb import Generator, load_generator
from wrb.detail import add_detail
from wrb.geometry import context, gap_columns
from wrb.images import list_images, read_image
from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE
from wrb.painter import without_fringe
from wrb.poisson import meet_edges
from wrb.resampling import resize
from wrb.restore import join_gap

OCTAVES = 5

LUMINANCE = (0.299, 0.587, 0.114)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path, help="a folder of photos")
    parser.add_argument("--height", type=int, default=1024, help="to which photos are scaled down (default: 1024)")
    parser.add_argument("--weights", type=Path, help="of the generator (default: the built-in model)")
    parser.add_argument(
        "--repainted", type=int, metavar="HEIGHT", help="sharpen the true middle at that height instead"
    )
    parser.add_argument("--threads", type=int, help="on a machine that does other work too, 1 varies least")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    say = sys.stdout.write
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads, photos {options.height} px high\n")
    say("dB of the true middle's energy, finest octave first: gap scaled up | with detail\n")
    tables: list[list[list[float]]] = [[], []]
    seconds: list[list[float]] = [[], [], []]
    generator = load_generator(options.weights)
    for path in list_images(options.photos):
        photo = read_image(path)
        if photo.shape[-2] < options.height:
            continue
        photo = resize(photo, options.height, round(photo.shape[-1] * options.height / photo.shape[-2]))
        decibels, durations = compare(generator, photo, options.repainted)
        for table, row in zip(tables, decibels, strict=True):
            table.append(row)
        for column, duration in zip(seconds, durations, strict=True):
            column.append(duration)
        say(f"{' | '.join(map(_in_columns, decibels))}  {path.name}\n")
    if not tables[0]:
        parser.error(f"{options.photos} has no photo at least {options.height} px high")
    for name, figure in (("mean", statistics.fmean), ("standard deviation", statistics.pstdev)):
        rows = [[figure(octave) for octave in zip(*table, strict=True)] for table in tables]
        say(f"{' | '.join(map(_in_columns, rows))}  {name} of {len(tables[0])} photos\n")
    network, plain, detail = map(statistics.median, seconds)
    say(f"median seconds: network {network:.3f}, scaling up {plain:.3f}, with detail {detail:.3f}\n")


def _in_columns(decibels: list[float]) -> str:
    return "".join(f"{value:6.1f}" for value in decibels)


@torch.inference_mode()
def compare(generator: Generator, photo: Tensor, repainted: int | None) -> tuple[list[list[float]], list[float]]:
    """Octaves of the middle of a photo, (1 3 h w), scaled up and with detail, beside the true ones.

    `repainted` is the height of the true middle that takes the place of the network's drawing; None: it draws.

    Returns:
        Both rows of decibels, and the seconds of the network, of scaling up and of detail.
    """
    height, width = photo.shape[-2:]
    gap_width = min(width - 2 * (width // 3), height)
    side = (width - gap_width) // 2
    left, middle, right = photo.split([side, gap_width, width - gap_width - side], dim=-1)

    def draw() -> Tensor:
        if repainted:
            return resize(middle, repainted, round(gap_width * repainted / height))
        return draw_gap(generator, left, right, gap_width)

    def detail() -> Tensor:
        if not repainted:
            return add_detail(drawn, left, right, gap_width)
        gap = plain.clone()
        join_gap(gap, left, right, repainted, 1, "right")
        return gap

    drawn, network_seconds = _timed(draw)
    plain, plain_seconds = _timed(lambda: resize(drawn, height, gap_width))
    detailed, detail_seconds = _timed(detail)
    truth = octaves(middle[0])
    gaps = (meet_edges(gap, left[..., -1:], right[..., :1]).clamp(0, 1)[0] for gap in (plain, detailed))
    decibels = [(10 * (octaves(gap) / truth).log10()).tolist() for gap in gaps]
    return decibels, [network_seconds, plain_seconds, detail_seconds]


def draw_gap(generator: Generator, left: Tensor, right: Tensor, width: int) -> Tensor:
    """The gap as the network draws it, (b 3 256 w), between photos, (b 3 h w), for a width in their px."""
    columns = gap_columns(width, left.shape[-2])
    images = context(left).image, context(right[..., : right.shape[-2]].flip(-1)).image.flip(-1)
    panorama = generator(*images, columns)
    return without_fringe(panorama[..., IMAGE_SIZE : IMAGE_SIZE + columns * COLUMN_WIDTH])


def octaves(image: Tensor) -> Tensor:
    """Energy of an image's luminance, (3 h w), in its upper octaves of frequencies, the finest first.

    Frequencies are radial, the finest octave's from a quarter to half a cycle per pixel.
    """
    height, width = image.shape[-2:]
    luminance = torch.einsum("c h w, c -> h w", image, image.new_tensor(LUMINANCE))
    window = torch.hann_window(height)[:, None] * torch.hann_window(width)
    energy = torch.fft.fft2((luminance - luminance.mean()) * window).abs().square()
    frequency = (torch.fft.fftfreq(height)[:, None].square() + torch.fft.fftfreq(width).square()).sqrt()
    bounds = [2.0 ** -(octave + 1) for octave in range(OCTAVES + 1)]
    return torch.stack([energy[(frequency <= high) & (frequency > low)].sum() for high, low in pairwise(bounds)])


def _timed(function: Callable[[], Tensor]) -> tuple[Tensor, float]:
    start = time.perf_counter()
    return function(), time.perf_counter() - start


if __name__ == "__main__":
    main()
