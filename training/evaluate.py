"""How good weights are beside gaps made without a network, in figures and on sheets.

    python -m training.evaluate --photos PHOTOS --held-back RUN/validation_photos.txt --weights RUN/best.safetensors \
        --out RESULTS

Different photos are joined, and the panoramas compared with photos as a whole by FID and KID, and at their seams; and
the middle of each photo is made from its sides, and compared with what was there. RESULTS receives the table as
`results.md` and `results.json`, and sheets to look at.
"""

from __future__ import annotations

import sys
from pathlib import Path

if not __package__:  # a plain script knows its own folder alone
    sys.path[0] = str(Path(__file__).resolve().parents[1])
    __package__ = "training"

import logging

import tyro

from wrb.files import accept_any_text, replacing, write_text
from wrb.network.config import IMAGE_SIZE

from .evaluation.measurements import evaluate
from .evaluation.methods import make_methods
from .evaluation.settings import EvaluateConfig
from .evaluation.sheets import pairs_sheet, reconstructions_sheet
from .photo_lists import read_list
from .photos import find_photos
from .program import program

logger = logging.getLogger(__name__)


def evaluation_photos(config: EvaluateConfig) -> list[Path]:
    """The photos to evaluate on.

    Raises:
        ValueError: if there are fewer than two.
    """
    photos = find_photos(config.photos, config.crop_width)
    if config.held_back:
        photos = read_list(config.held_back, photos, config.photos)
    if len(photos) < 2:
        remedy = f"name more in {config.held_back}, or do without it" if config.held_back else "give at least two"
        raise ValueError(
            f"{photos[0]} is the only photo of at least {config.crop_width}×{IMAGE_SIZE} px; {remedy}, to join them"
        )
    logger.info("%d photos of at least %d×%d px", len(photos), config.crop_width, IMAGE_SIZE)
    return photos


def run(config: EvaluateConfig) -> None:
    """Print the table and, with `config.out`, write the results there.

    Raises:
        ValueError: if there are not two usable photos, or weights or a list cannot be read.
    """
    photos = evaluation_photos(config)
    methods = make_methods(config.weights, config.torch_device)
    evaluation = evaluate(config, photos, methods)
    accept_any_text(sys.stdout)
    sys.stdout.write(evaluation.table())
    if config.out:
        config.out.mkdir(parents=True, exist_ok=True)
        write_text(config.out / "results.md", evaluation.to_markdown())
        write_text(config.out / "results.json", evaluation.to_json())
        sheets = {"pairs.png": pairs_sheet, "reconstructions.png": reconstructions_sheet}
        for name, draw in sheets.items():
            with replacing(config.out / name) as partial:
                draw(config, photos, methods).save(partial)
        logger.info("results and sheets are in %s", config.out)


def main() -> None:
    """Read the settings from the command line and evaluate."""
    with program():
        run(tyro.cli(EvaluateConfig, description=__doc__))


if __name__ == "__main__":
    main()
