"""Short trainings of equal length from the built-in weights, to choose how a better guide is trained.

    python -m scripts.guide_trials --photos PHOTOS MORE --held-back PHOTOS/held_back.txt --out TRIALS
    python -m training.evaluate --photos PHOTOS --held-back PHOTOS/held_back.txt --gap-columns 2 4 8 --out FIGURES \\
        --feature-network efficientnet-lite0 --distance-network efficientnet-lite0 \\
        --weights wrb/network/built_in.safetensors TRIALS/*/last.safetensors

All trials see the same crops in the same order and differ in nothing but what `TRIALS` says. TRIALS receives a folder
for each; a trial that was stopped goes on by the same command. What counts is the skyline of the drawing, then KID and
perceptual distance, of the last weights: the best ones are chosen by another loss in each trial.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from training.config import SelfReconstructionConfig
from training.program import program
from training.self_reconstruction import prepare
from wrb.network.weights import BUILT_IN

TRIALS: dict[str, dict[str, Any]] = {
    "plain": {},
    "pyramid": {"pyramid_weight": 0.1},
    "adversarial": {"pyramid_weight": 0.1, "adversarial_weight": 5e-4, "discriminator_height": 64},
    "steady": {"decay": 0.0},
}
"""What each trial changes. Plain is as the last run of the built-in weights was; then the layout counts more than the
pixels; then a discriminator judges it too; then the learning rate does not fall to zero."""

NUM_EPOCHS = 3
"""Of 500 photos: 187 steps, a quarter of an hour on a core."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, nargs="+", required=True, help="folders of photos to learn from")
    parser.add_argument("--held-back", type=Path, required=True, help="a text file that names those not to learn from")
    parser.add_argument("--out", type=Path, required=True, help="a folder, which receives one for each trial")
    parser.add_argument("--trials", nargs="+", choices=TRIALS, default=list(TRIALS), help="default: all")
    parser.add_argument(
        "--epochs", type=int, default=NUM_EPOCHS, help=f"times through the photos (default: {NUM_EPOCHS})"
    )
    options = parser.parse_args()
    for trial in options.trials:
        with program():
            run = prepare(trial_config(trial, options.photos, options.held_back, options.out, options.epochs))
        run.train()


def trial_config(trial: str, photos: list[Path], held_back: Path, out: Path, epochs: int) -> SelfReconstructionConfig:
    """The settings of one of `TRIALS`."""
    plain = SelfReconstructionConfig(
        photos=tuple(photos),
        validation_photos=held_back,
        out=out / trial,
        start_from=BUILT_IN,
        epochs=epochs,
        batch_size=8,
        gap_columns=(2, 8),
        learning_rate=4e-4,
        decay=1.0,
        average_decay=0.98,
        mirror=True,
        zoom_out=True,
        zoom_in=1.5,
        colour=0.3,
        meet_edges=True,
        normalised_features=True,
        feature_weight=0.003,
        consistency_weight=0.003,
        texture_weight=0.0,
        adversarial_weight=0.0,
        validate_every=50,
        save_every=25,
        seed=0,
    )
    return dataclasses.replace(plain, **TRIALS[trial])


if __name__ == "__main__":
    main()
