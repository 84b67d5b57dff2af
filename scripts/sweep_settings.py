"""How good panoramas are at several values of settings of the detail, by the figures of `training.evaluate`.

    python -m scripts.sweep_settings --photos PHOTOS --held-back PHOTOS/held_back.txt --out SWEEP \
        --set reuse_penalty 0.5 1 2 --set mirror_reach 4 8

makes every combination, here six, beside the defaults. SWEEP receives the table as `results.md` and a sheet of pairs to
look at, `pairs.png`: figures alone have misled more than once. Features come from EfficientNet-Lite0, which needs no
download; 76 pairs at one gap width take some two minutes a combination on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
from collections.abc import Iterable, Sequence
from itertools import product
from pathlib import Path

from torch import Tensor

from training.evaluate import evaluation_photos
from training.evaluation.measurements import evaluate
from training.evaluation.methods import Method
from training.evaluation.settings import EvaluateConfig
from training.evaluation.sheets import pairs_sheet
from wrb import DetailSettings, Generator, blend, load_generator
from wrb.files import accept_any_text, replacing, write_text

DEFAULTS = "defaults"


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photos")
    parser.add_argument("--held-back", type=Path, help="a text file that names the photos to take (default: all)")
    parser.add_argument("--set", nargs="+", action="append", required=True, metavar=("NAME", "VALUE"), dest="sets")
    parser.add_argument("--gap-columns", type=int, nargs="+", default=[4], help="gap widths of 64 px (default: 4)")
    parser.add_argument("--num-pairs", type=int, help="of different photos (default: 4 a photo)")
    parser.add_argument("--weights", type=Path, help="of the generator (default: the built-in model)")
    parser.add_argument("--out", type=Path, required=True, help="a folder for results.md and pairs.png")
    options = parser.parse_args()
    try:
        combinations = list(combine(options.sets))
    except ValueError as error:
        parser.error(str(error))
    config = EvaluateConfig(
        photos=tuple(options.photos),
        held_back=options.held_back,
        gap_columns=tuple(options.gap_columns),
        num_pairs=options.num_pairs,
        feature_network="efficientnet-lite0",
        distance_network="efficientnet-lite0",
    )
    generator = load_generator(options.weights, device=config.torch_device)
    methods = {DEFAULTS: with_settings(generator, DetailSettings())}
    methods |= {name: with_settings(generator, settings) for name, settings in combinations}
    photos = evaluation_photos(config)
    evaluation = evaluate(config, photos, methods)
    accept_any_text(sys.stdout)
    sys.stdout.write(evaluation.table())
    options.out.mkdir(parents=True, exist_ok=True)
    write_text(options.out / "results.md", evaluation.to_markdown())
    with replacing(options.out / "pairs.png") as partial:
        pairs_sheet(config, photos, methods).save(partial)


def combine(sets: Iterable[Sequence[str]]) -> list[tuple[str, DetailSettings]]:
    """Every combination of the values, with a name that tells it, from lists of a setting's name and its values.

    Raises:
        ValueError: if there is no such setting, it takes no number, or a value is out of its range.
    """
    kinds = {field.name: type(getattr(DetailSettings(), field.name)) for field in dataclasses.fields(DetailSettings)}
    choices = []
    for name, *values in sets:
        if kinds.get(name) not in (int, float):
            numbers = ", ".join(known for known, kind in kinds.items() if kind in (int, float))
            raise ValueError(f"{name} is no setting that takes a number; these are: {numbers}")
        if not values:
            raise ValueError(f"{name} has no values; give one or more")
        choices.append([(name, kinds[name](value)) for value in values])
    return [
        (", ".join(f"{name} {value:g}" for name, value in chosen), DetailSettings(**dict(chosen)))
        for chosen in product(*choices)
    ]


def with_settings(generator: Generator, settings: DetailSettings) -> Method:
    """The blend with these settings, as a method to evaluate."""

    def make(left: Tensor, right: Tensor, width: int, *, detail: float = 1) -> Tensor:
        joined = blend(generator, left, right, width, detail=detail, detail_settings=settings, batch_size=len(left))
        return joined.panorama

    return make


if __name__ == "__main__":
    main()
