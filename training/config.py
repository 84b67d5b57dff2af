"""Every setting of a training run: one dataclass a stage, each field on the command line with its text as help.

The fields are declared in groups, each beside the code that uses it.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import tyro
from pydantic import ConfigDict, TypeAdapter, ValidationError

from wrb.files import ANY_BYTES, read_text

from .data import AugmentationSettings, BatchSettings
from .losses import LossSettings
from .networks import ModelSettings
from .optimisers import OptimiserSettings
from .photos import HeldBackSettings
from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class FolderSettings(Settings):
    """Where a run finds its photos and leaves its results."""

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders; at least 256 px high and 768 px wide."""

    out: Path
    """Folder for checkpoints, curves, samples and weights. A run that was stopped goes on from what is here."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(
    # from the last to the first: so a dataclass orders its fields, and the command line its flags
    HeldBackSettings,
    AugmentationSettings,
    LossSettings,
    OptimiserSettings,
    BatchSettings,
    ModelSettings,
    FolderSettings,
):
    """What both stages have in common: all groups, and how a run watches and saves itself."""

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    average_decay: float = 0.999
    """Decay of the moving average of the generator's weights, which is what is validated and exported."""

    keep_by: Literal["loss", "kid"] = "loss"
    """Which weights count as the best: those of the least validation loss, that is pixel, pyramid and texture loss on
    held-back photos; or those of the least kernel distance between joined pairs of these photos and the photos
    themselves."""

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
        self.require_positive("validate_every", "save_every")
        self.require_not_negative("workers")
        self.require_share("average_decay")
        super().__post_init__()

    def to_json(self) -> str:
        """The settings as text, for a file beside the checkpoints."""
        settings = TypeAdapter(type(self)).dump_python(self, mode="json")
        text = json.dumps(settings, indent=2, ensure_ascii=False)
        return text.encode("utf-8", ANY_BYTES).decode("utf-8", "replace")  # of folders whose names are not UTF-8


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
    """Which weights count as the best: those of the least validation loss, that is pixel, pyramid and texture loss on
    held-back photos; or those of the least kernel distance between joined pairs of these photos and the photos
    themselves. The weights that the stage begins with take part: it is known not always to help."""

    pairs: Path | None = None
    """Table of distances made by `training.pairs`: each photo is joined with its nearest ones. Without, with any."""

    nearest: int = 3
    """With how many of the nearest photos each one is joined, one at a time (the paper's k)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.batch_size % 2:
            raise ValueError(f"batch_size is {self.batch_size}; it must be even, as half of it are pairs")
        self.require_positive("nearest")

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
        return from_json(kind, read_text(path))
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
