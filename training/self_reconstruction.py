"""First training stage: panoramas are cut in three and the generator learns to give the middle back.

    python -m training.self_reconstruction --photos PHOTOS --out RUN
    accelerate launch --num_processes 4 -m training.self_reconstruction --photos PHOTOS --out RUN

The photos are searched with their subfolders. RUN receives the settings, checkpoints to resume from, curves and sample
panoramas for TensorBoard, a sheet of results, and `best.safetensors`: the weights that did best on the photos held
back, ready for `models/wrb`.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

from .config import SelfReconstructionConfig, parse_config
from .data import RandomCrops
from .program import program
from .run import Run


def prepare(config: SelfReconstructionConfig) -> Run:
    """The run of these settings, ready to `train`; see `Run` for what it raises."""
    width, seed, cache = config.crop_width, config.seed, config.cache
    return Run(config, lambda photos: RandomCrops(photos, config, width=width, seed=seed, cache=cache))


def main() -> None:
    """Read the settings from the command line and train."""
    with program():
        run = prepare(parse_config(SelfReconstructionConfig, __doc__ or ""))
    run.train()


if __name__ == "__main__":
    main()
