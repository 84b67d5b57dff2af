"""What a training run has learnt so far: networks, their moving average, optimisers; how it starts and resumes."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from wrb import Generator, GeneratorConfig
from wrb.files import write_tensors

from .config import TrainingConfig, differences, from_json
from .discriminator import Discriminator
from .networks import first_discriminator, first_generator, generator_config
from .optimisers import adam, warming_average

FIXED = ("batch_size", "seed", "width", "discriminator_width", "discriminator_height")
"""Settings that a run cannot change on its way."""

logger = logging.getLogger(__name__)


class Outputs(NamedTuple):
    """What the generator's losses look at."""

    panorama: Tensor
    """(b 3 256 512+64·gap_columns), 0..1."""

    gap_features: Tensor
    """(b c 4 gap_columns)."""

    true_features: Tensor
    """The encoder's view of the true gaps, (r c 4 gap_columns), without gradient."""

    rightward: Tensor
    """The content transfer's full sequences, (b c 4 8+gap_columns)."""

    leftward: Tensor


class GeneratorInTraining(nn.Module):
    """All of the generator's work in a step as one call: distributed training follows the calls of one module."""

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, left: Tensor, right: Tensor, truth: Tensor, gap_columns: int) -> Outputs:
        """Photos, (b 3 256 256) each, and the true gaps of the first r of them, (r 3 256 64·gap_columns)."""
        output = self.generator.generate(*self.generator.encode_pair(left, right), gap_columns, with_guesses=True)
        with torch.no_grad():
            true_features = self.generator.encode(truth).transfer
        assert output.sequences is not None
        sequences = output.sequences
        return Outputs(
            output.panorama, output.gap_features, true_features, sequences.left_to_right, sequences.right_to_left
        )


class TrainingState:
    """Networks, their moving average, optimisers and the number of steps done: all that a checkpoint holds.

    Data and their order follow from the seed and the step (see `RandomCrops`).

    Args:
        config: of the run.
        accelerator: places the networks.
        checkpoint: what `state_dict` returned, to go on from; without, the run begins.

    Raises:
        ValueError: if the configuration does not fit the checkpoint or the weights to begin with.
    """

    def __init__(
        self, config: TrainingConfig, accelerator: Accelerator, checkpoint: dict[str, Any] | None = None
    ) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.accelerator = accelerator
        self.step = 0
        self.best_validation = float("inf")
        if checkpoint is not None:
            _require_same_run(config, checkpoint)
            generator = Generator(generator_config(config, GeneratorConfig(**checkpoint["generator_config"])))
            discriminator = Discriminator(config.discriminator_width, config.discriminator_height)
        else:
            generator, discriminator = first_generator(config), first_discriminator(config)
        self.generator = _placed(generator, accelerator.device)
        self.discriminator = _placed(discriminator, accelerator.device)
        self.average = AveragedModel(self.generator, multi_avg_fn=warming_average(config.average_decay))
        self.average.requires_grad_(False)
        generator_optimiser = adam(self.generator, config.weight_decay)
        discriminator_optimiser = adam(self.discriminator, config.weight_decay)
        # before they are wrapped for several processes, so that a checkpoint is the same for any number of them
        self._parts: dict[str, Any] = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "average": self.average,
            "generator_optimiser": generator_optimiser,
            "discriminator_optimiser": discriminator_optimiser,
        }
        if checkpoint is not None:
            self._load_state_dict(checkpoint)
        self.prepared_generator, self.generator_optimiser = accelerator.prepare(
            GeneratorInTraining(self.generator), generator_optimiser
        )
        self.prepared_discriminator, self.discriminator_optimiser = accelerator.prepare(
            self.discriminator, discriminator_optimiser
        )
        if checkpoint is not None and accelerator.scaler is not None and checkpoint["scaler"]:
            accelerator.scaler.load_state_dict(checkpoint["scaler"])

    @property
    def averaged_generator(self) -> Generator:
        """The generator with the moving average of its weights: what is validated and exported."""
        generator = self.average.module
        assert isinstance(generator, Generator)
        return generator

    def state_dict(self) -> dict[str, Any]:
        """Everything that it takes to go on: what changes in a run, random states, and the configuration."""
        scaler = self.accelerator.scaler
        return {
            **{name: part.state_dict() for name, part in self._parts.items()},
            "scaler": scaler.state_dict() if scaler is not None else {},
            "step": self.step,
            "best_validation": self.best_validation,
            "random_state": torch.get_rng_state(),
            "config": self.config.to_json(),
            "generator_config": dataclasses.asdict(self.generator.config),
        }

    def _load_state_dict(self, state: dict[str, Any]) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.step = state["step"]
        self.best_validation = state["best_validation"]
        torch.set_rng_state(state["random_state"])

    @property
    def checkpoint_bytes(self) -> int:
        """Size of a checkpoint, once the optimisers have their two moments for every weight."""
        sizes = [sum(weight.numel() * 4 for weight in net.parameters()) for net in (self.generator, self.discriminator)]
        return 4 * sizes[0] + 3 * sizes[1]

    def schedule(self, num_steps: int, steps_per_epoch: float) -> None:
        """Set both learning rates for the step to come, of `num_steps` in all."""
        rates = self.config.learning_rates(self.step, num_steps, steps_per_epoch)
        for optimiser, rate in zip((self.generator_optimiser, self.discriminator_optimiser), rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate

    def save_discriminator(self, path: Path) -> None:
        """Write the discriminator's weights, for another run to start from."""
        write_tensors(path, self.discriminator.state_dict())


def _require_same_run(config: TrainingConfig, checkpoint: dict[str, Any]) -> None:
    """Refuse what cannot change on the way, and name what has changed."""
    before = from_json(type(config), checkpoint["config"])
    changed = differences(config, before)
    if fixed := [f"{name} ({changed[name]})" for name in FIXED if name in changed]:
        raise ValueError(
            f"the run in {config.out} cannot go on with another {', '.join(fixed)}; "
            f"give another --out, with --start-from {config.out} to begin with its weights"
        )
    for name, change in changed.items():
        logger.warning("changed since the checkpoint: %s (%s)", name, change)


def _placed(network: nn.Module, device: torch.device) -> Any:
    return network.to(device).to(memory_format=torch.channels_last)
