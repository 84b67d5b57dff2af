"""Time and memory of a gap that goes through another model: `python -m benchmarks.repainting`.

Two photos of noise are joined over a gap as wide as high; the gap is cropped, comes back as it was cropped, and is
restored with detail. Memory is the process's at its peak, photos, panorama and weights included.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import torch

from wrb import blend, crop_gaps, load_generator, restore_crops


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--width", type=int, default=6000, help="of each photo in px (default: 6000)")
    parser.add_argument("--height", type=int, default=4000, help="of each photo in px (default: 4000)")
    parser.add_argument("--megapixels", type=float, default=1.0, help="of the crop (default: 1)")
    options = parser.parse_args()
    torch.manual_seed(0)
    left, right = (torch.rand(1, 3, options.height, options.width) for _ in range(2))
    generator = load_generator()
    start = time.perf_counter()

    def report(step: str) -> None:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        sys.stdout.write(f"{step}: {time.perf_counter() - start:.1f} s, {peak:.2f} GiB at the peak\n")

    report("photos read")
    made = blend(generator, left, right)
    report("blended")
    crops = crop_gaps(made, megapixels=options.megapixels, multiple=16, grow=16)
    report(f"cropped to {crops[0].image.shape[-1]}×{crops[0].image.shape[-2]} px")
    restore_crops([crop.image for crop in crops], crops, feather=16, detail=1)
    report("restored")


if __name__ == "__main__":
    main()
