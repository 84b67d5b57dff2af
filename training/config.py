"""Every setting of a training run: one dataclass a stage, each field on the command line with its text as help."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from wrb import GeneratorConfig


@dataclass(frozen=True, kw_only=True)
class SelfReconstructionConfig:
    """First stage: panoramas cut in three, the middle rebuilt from the sides. The defaults are the paper's."""

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders; at least 256 px high and 768 px wide after scaling."""

    out: Path
    """Folder for checkpoints, curves, samples and weights. A run that was stopped goes on from what is here."""

    width: int = 64
    """Channels of the generator's first stage; 64 is the authors' size, 16 makes a file of 32 MB in half precision."""

    attention_levels: tuple[int, ...] = (1,)
    """Decoder levels, 0 to 4, at which the gap attends to the photos."""

    discriminator_width: int = 64
    """Channels of the discriminator's first convolution."""

    batch_size: int = 20
    """Panoramas in a batch."""

    epochs: int = 200
    """Times through the photos."""

    learning_rate: float = 1e-3
    """Of the generator's Adam; the discriminator's is a tenth of it."""

    learning_rate_decay: float = 0.0
    """Share of the run, at its end, over which the learning rates fall linearly to zero; 0 keeps them constant."""

    weight_decay: float = 2e-5
    """L2 penalty of both optimisers."""

    discriminator_interval: int = 3
    """Every so many batches the discriminator learns instead of the generator."""

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
    """Where the texture loss's features come from; efficientnet-lite0 is far cheaper on a CPU."""

    texture_weights: Path | None = None
    """A local file of the texture network's weights, instead of a download."""

    mirror: bool = False
    """Mirror every second crop."""

    zoom_out: bool = False
    """Scale each photo by a random factor, down to where it just holds a crop, before cropping."""

    validation_share: float = 0.06
    """Share of the photos kept for validation, chosen by file."""

    average_decay: float = 0.999
    """Decay of the moving average of the generator's weights, which is what is validated and exported."""

    validate_every: int = 200
    """Steps between validations; each writes sample panoramas and keeps the best weights."""

    save_every: int = 100
    """Steps between checkpoints."""

    workers: int = 2
    """Processes that read photos."""

    device: str = "cpu"
    """Where to train: cpu, cuda, cuda:1, mps."""

    mixed_precision: bool = False
    """Run the networks in bfloat16; losses and weights stay in single precision."""

    seed: int = 0
    """Of the initial weights, the split, the order of photos and the crops."""

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError(f"validation_share is {self.validation_share}; it must lie between 0 and 1")
        if not 0 <= self.learning_rate_decay <= 1:
            raise ValueError(f"learning_rate_decay is {self.learning_rate_decay}; it must lie between 0 and 1")
        for name in ("batch_size", "epochs", "discriminator_interval", "validate_every", "save_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")

    @property
    def generator(self) -> GeneratorConfig:
        """Configuration of the network to train."""
        return GeneratorConfig(width=self.width, attention_levels=self.attention_levels)

    def to_json(self) -> str:
        """The settings as text, for a file beside the checkpoints."""
        return json.dumps(dataclasses.asdict(self), indent=2, default=str)
