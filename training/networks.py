"""The generator and the discriminator that a run begins with."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file

from wrb import Generator, GeneratorConfig
from wrb.network.weights import read_weights

from .discriminator import Discriminator
from .settings import Settings

BEST_GENERATOR = "best.safetensors"
BEST_DISCRIMINATOR = "best_discriminator.safetensors"


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Settings):
    """The networks to train, and the weights that they begin with."""

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

    discriminator_height: Literal[64, 128, 256] = 256
    """Height in px to which the discriminator scales panoramas before it judges them: 64 asks for layout and
    silhouettes alone, and is far cheaper."""


def first_generator(settings: ModelSettings) -> Generator:
    """The generator that a run begins with.

    Raises:
        ValueError: if the weights to begin with cannot be read, or are of another width than was asked for.
    """
    if settings.start_from is None:
        return Generator(generator_config(settings, GeneratorConfig()))
    is_run = settings.start_from.is_dir()
    weights = read_weights(settings.start_from / BEST_GENERATOR if is_run else settings.start_from)
    chosen = generator_config(settings, weights.config)
    if chosen.width != weights.config.width:
        raise ValueError(f"{weights.path} is of width {weights.config.width}, and --width {chosen.width} was asked for")
    generator = Generator(chosen)
    generator.load_state_dict(weights.state_dict)
    return generator


def first_discriminator(settings: ModelSettings) -> Discriminator:
    """The discriminator that a run begins with.

    Raises:
        ValueError: if the file to begin with holds no discriminator of that width and height.
    """
    discriminator = Discriminator(settings.discriminator_width, settings.discriminator_height)
    path = settings.start_discriminator
    if path is None and settings.start_from is not None and settings.start_from.is_dir():
        path = settings.start_from / BEST_DISCRIMINATOR
    if path is not None:
        try:
            tensors = load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
            discriminator.load_state_dict(tensors)
        except Exception as error:  # a damaged or foreign file can raise anything
            raise ValueError(
                f"{path} does not hold a discriminator of width {settings.discriminator_width} for a height of "
                f"{settings.discriminator_height} px: {error}"
            ) from error
    return discriminator


def generator_config(settings: ModelSettings, otherwise: GeneratorConfig) -> GeneratorConfig:
    """What the settings say of the generator, and `otherwise` where they say nothing."""
    names = [field.name for field in dataclasses.fields(GeneratorConfig)]
    given = {name: getattr(settings, name) for name in names}
    return dataclasses.replace(otherwise, **{name: value for name, value in given.items() if value is not None})
