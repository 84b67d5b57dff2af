"""Second training stage: beside panoramas to rebuild, pairs of different photos are joined.

    python -m training.pairs --photos PHOTOS --out pairs.json
    python -m training.fine_tuning --photos PHOTOS --out RUN2 --start-from RUN --pairs pairs.json

RUN is the folder of the first stage, whose best generator, discriminator and held-back photos are taken. RUN2 receives
what a first stage's folder does. The stage is known not always to help: its `best.safetensors` are RUN's weights until
others join the held-back photos better.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

from .config import FineTuningConfig, parse_config
from .data import RandomCropsAndPairs
from .neighbour_table import photo_names, read_neighbours
from .program import program
from .run import Run


def prepare(config: FineTuningConfig) -> Run:
    """The run of these settings, ready to `train`; see `Run` for what it raises.

    Raises:
        ValueError: also if the table of distances lacks a photo.
    """
    return Run(config, lambda photos: _pairs(config, photos))


def _pairs(config: FineTuningConfig, photos: list[Path]) -> RandomCropsAndPairs:
    neighbours = None
    if config.pairs is not None:
        neighbours = read_neighbours(config.pairs, photo_names(photos, config.photos), config.nearest)
    width, seed, cache = config.crop_width, config.seed, config.cache
    return RandomCropsAndPairs(photos, config, neighbours=neighbours, width=width, seed=seed, cache=cache)


def main() -> None:
    """Read the settings from the command line and train."""
    with program():
        run = prepare(parse_config(FineTuningConfig, __doc__ or ""))
    run.train()


if __name__ == "__main__":
    main()
