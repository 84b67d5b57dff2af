"""Every setting of a training run: one dataclass a stage, each field on the command line with its text as help."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import tyro
from pydantic import ConfigDict, TypeAdapter, ValidationError

from wrb.network.config import COLUMN_WIDTH, IMAGE_SIZE

from .photos import CROP_WIDTH


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """What both stages have in common."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders; at least 256 px high and 768 px wide."""

    out: Path
    """Folder for checkpoints, curves, samples and weights. A run that was stopped goes on from what is here."""

    start_from: Path | None = None
    """Begin with these weights: a generator's file, such as the authors', or the folder of another run, whose best
    generator, discriminator and held-back photos are taken."""

    start_discriminator: Path | None = None
    """Begin with this discriminator: a file of its weights."""

    width: int | None = None
    """Channels of the generator's first stage: 64 is the authors' size, 16 makes a file of 32 MB in half precision.
    Without, that of the weights to begin with, or 64."""

    attention_levels: tuple[int, ...] | None = None
    """Decoder levels, 0 to 4, at which the gap attends to the photos. Without, those of the weights to begin with, or
    1 alone."""

    skip_levels: tuple[int, ...] | None = None
    """Decoder levels, 0 to 4, at which the sides get the encoder's detail back. Without, those of the weights to begin
    with, or all."""

    discriminator_width: int = 64
    """Channels of the discriminator's first convolution."""

    gap_columns: tuple[int, int] = (4, 4)
    """Narrowest and widest gap, in columns of 64 px; each step draws a width between them. More than 4 needs wider
    photos: 8 takes 1024 px."""

    batch_size: int = 20
    """Panoramas in a step, over all processes."""

    parts: int = 1
    """In how many parts, one after the other, a step's batch is worked through (gradient accumulation), to fit into
    less memory. The means in the adversarial and the normalised feature losses are then of a part."""

    epochs: int = 200
    """Times through the photos."""

    learning_rate: float = 1e-3
    """Of the generator's Adam."""

    discriminator_learning_rate: float = 1e-4
    """Of the discriminator's Adam."""

    halve_every: int = 0
    """Halve both learning rates every so many epochs; 0 never does."""

    decay: float = 0.0
    """Share of the run, at its end, over which both learning rates fall linearly to zero."""

    weight_decay: float = 2e-5
    """L2 penalty of both optimisers."""

    clip_gradient: float = 0.0
    """Largest norm of a gradient, a larger one is scaled down to it; 0 leaves gradients as they are."""

    discriminator_interval: int = 3
    """Every so many steps, from the first on, the discriminator learns instead of the generator."""

    pixel_weight: float = 1.0
    """Weight of the pixel loss."""

    feature_weight: float = 1.0
    """Weight of the feature reconstruction loss."""

    consistency_weight: float = 1.0
    """Weight of the feature consistency loss."""

    texture_weight: float = 0.01
    """Weight of the ID-MRF texture loss; 0 leaves it out."""

    adversarial_weight: float = 0.0018
    """Weight of the adversarial loss; 0 leaves it out, with the discriminator."""

    normalised_features: bool = False
    """Compare features relative to how much they vary from photo to photo, so that the encoder cannot satisfy the
    feature losses by telling photos apart less."""

    meet_edges: bool = False
    """Judge the gap after it was made to meet the photos' edges, as a blend shows it, not as the network drew it."""

    texture_network: Literal["vgg19", "efficientnet-lite0"] = "vgg19"
    """Where the features of the texture loss and of keep_by kid come from; efficientnet-lite0 is far cheaper on a CPU
    and needs no download."""

    texture_weights: Path | None = None
    """A local file of the texture network's weights, instead of a download."""

    mirror: bool = False
    """Mirror every second crop."""

    zoom_out: bool = False
    """Scale each photo by a random factor, down to where it just holds a crop, before cropping."""

    zoom_in: float = 1.0
    """By which factor photos are enlarged at most before cropping; that needs --zoom-out."""

    mix_skies: float = 0.0
    """Share of the crops that receive the sky of another photo, if both have a horizon."""

    colour: float = 0.0
    """By which share brightness, contrast and saturation of a crop vary at most; 0.2 is a good deal."""

    validation_share: float = 0.06
    """Share of the photos held back for validation, chosen by file."""

    validation_photos: Path | None = None
    """A text file that names the photos to hold back, one a line, instead of a share of them."""

    average_decay: float = 0.999
    """Decay of the moving average of the generator's weights, which is what is validated and exported."""

    keep_by: Literal["loss", "kid"] = "loss"
    """Which weights count as the best: those of the least validation loss, that is pixel and texture loss on held-back
    photos; or those of the least kernel distance between joined pairs of these photos and the photos themselves."""

    validate_every: int = 200
    """Steps between validations; each writes sample panoramas and keeps the best weights."""

    save_every: int = 100
    """Steps between checkpoints."""

    workers: int = 2
    """Processes that read photos, for each process that trains."""

    cache: Path | None = None
    """Folder to keep photos decoded and scaled in, 1.5 MB or so each, so that reading never waits for decoding."""

    mixed_precision: Literal["no", "fp16", "bf16"] | None = None
    """Run the networks in half precision; losses and weights stay in single. Without, as `accelerate` is configured."""

    cpu: bool = False
    """Train on the CPU though there is a GPU."""

    seed: int = 0
    """Of the initial weights, the held-back photos, the order of photos and the crops."""

    def __post_init__(self) -> None:
        for name in ("batch_size", "parts", "epochs", "discriminator_interval", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("halve_every", "clip_gradient", "workers", "learning_rate", "discriminator_learning_rate"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative")
        for name in ("decay", "colour", "mix_skies", "average_decay"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        if self.zoom_in < 1 or (self.zoom_in > 1 and not self.zoom_out):
            raise ValueError(f"zoom_in is {self.zoom_in}; it must be at least 1, and more than that needs zoom_out")
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share}; it must lie between 0 and 1")
        if not 1 <= self.gap_columns[0] <= self.gap_columns[1]:
            raise ValueError(f"gap_columns is {self.gap_columns}; give the narrowest, at least 1, and the widest")

    @property
    def crop_width(self) -> int:
        """Width in px of the crops: they hold the widest gap and its photos, and what the discriminator sees."""
        return max(CROP_WIDTH, 2 * IMAGE_SIZE + self.gap_columns[1] * COLUMN_WIDTH)

    @property
    def cropping(self) -> dict[str, Any]:
        """How `RandomCrops` is to crop."""
        names = ("seed", "mirror", "zoom_out", "zoom_in", "colour", "mix_skies", "cache")
        return {"width": self.crop_width, **{name: getattr(self, name) for name in names}}

    @property
    def samples_per_batch(self) -> int:
        """Positions of the data set that a step takes."""
        return self.batch_size

    def to_json(self) -> str:
        """The settings as text, for a file beside the checkpoints."""
        return TypeAdapter(type(self)).dump_json(self, indent=2).decode()


@dataclass(frozen=True, kw_only=True)
class SelfReconstructionConfig(TrainingConfig):
    """First stage: panoramas cut in three, the middle rebuilt from the sides. The defaults are the paper's."""


@dataclass(frozen=True, kw_only=True)
class FineTuningConfig(TrainingConfig):
    """Second stage: half of a batch as in the first, half pairs of different photos. The defaults are the paper's."""

    batch_size: int = 28
    """Panoramas in a step, over all processes; half of them are rebuilt, half are pairs of different photos."""

    learning_rate: float = 2e-3
    """Of the generator's Adam."""

    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's Adam."""

    halve_every: int = 50
    """Halve both learning rates every so many epochs; 0 never does."""

    keep_by: Literal["loss", "kid"] = "kid"
    """Which weights count as the best: those of the least validation loss, that is pixel and texture loss on held-back
    photos; or those of the least kernel distance between joined pairs of these photos and the photos themselves. The
    weights that the stage begins with take part: it is known not always to help."""

    pairs: Path | None = None
    """Table of distances made by `training.pairs`: each photo is joined with its nearest ones. Without, with any."""

    nearest: int = 3
    """With how many of the nearest photos each one is joined, one at a time (the paper's k)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % 2:
            raise ValueError(f"batch_size is {self.batch_size}; it must be even, as half of it are pairs")
        if self.nearest < 1:
            raise ValueError(f"nearest is {self.nearest}; it must be at least 1")

    @property
    def samples_per_batch(self) -> int:
        return self.batch_size // 2


Config = TypeVar("Config", bound=TrainingConfig)


def read_config(kind: type[Config], path: Path) -> Config:
    """Settings from the JSON file that a run has written.

    Raises:
        ValueError: if the file cannot be read or is not of that kind; the message names what is wrong.
    """
    try:
        return from_json(kind, path.read_bytes())
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} {error}") from error


def from_json(kind: type[Config], text: str | bytes) -> Config:
    """Settings from what `to_json` gave.

    Raises:
        ValueError: if the text is something else; the message names what is wrong.
    """
    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors())
        raise ValueError(f"does not hold the settings of {kind.__name__}: {faults}") from error


def parse_config(kind: type[Config], description: str, arguments: Sequence[str] | None = None) -> Config:
    """Settings from the command line; what it leaves out comes from the file after `--config`, or is the default."""
    files = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    files.add_argument("--config", type=Path)
    known, rest = files.parse_known_args(sys.argv[1:] if arguments is None else arguments)
    described = f"{description}\n--config FILE takes the settings in a run's config.json; others then override them."
    default: Any = tyro.MISSING_NONPROP if known.config is None else read_config(kind, known.config)
    return tyro.cli(kind, args=rest, default=default, description=described)


def differences(config: TrainingConfig, other: TrainingConfig) -> dict[str, str]:
    """The settings in which two runs differ, and how."""
    pairs = {field.name: (getattr(other, field.name), getattr(config, field.name)) for field in fields(config)}
    return {name: f"{before} before, now {now}" for name, (before, now) in pairs.items() if before != now}
