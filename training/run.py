"""A training run: what it has learnt so far, how it is saved and resumed, and the loop around both."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from wrb import Generator
from wrb.files import replacing

from .config import SelfReconstructionConfig
from .discriminator import Discriminator

logger = logging.getLogger(__name__)

CHECKPOINT = "checkpoint.pt"


class TrainingState:
    """Networks, their moving average, optimisers and the number of steps done: all that a checkpoint holds.

    Data and its order follow from the seed and the step (see `RandomCrops`), so nothing else needs saving.
    """

    def __init__(self, config: SelfReconstructionConfig) -> None:
        torch.manual_seed(config.seed)
        self.config = config
        self.generator = _placed(Generator(config.generator), config.device)
        self.discriminator = _placed(Discriminator(config.discriminator_width), config.device)
        self.average = AveragedModel(self.generator, multi_avg_fn=_warming_average(config.average_decay))
        self.generator_optimiser = _adam(self.generator, config.weight_decay)
        self.discriminator_optimiser = _adam(self.discriminator, config.weight_decay)
        self.step = 0
        self.best_validation = float("inf")

    _PARTS = ("generator", "discriminator", "average", "generator_optimiser", "discriminator_optimiser")

    @property
    def averaged_generator(self) -> Generator:
        """The generator with the moving average of its weights: what is validated and exported."""
        generator = self.average.module
        assert isinstance(generator, Generator)
        return generator

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes in a run."""
        parts = {name: getattr(self, name).state_dict() for name in self._PARTS}
        return {**parts, "step": self.step, "best_validation": self.best_validation}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go back to where `state_dict` was called."""
        for name in self._PARTS:
            getattr(self, name).load_state_dict(state[name])
        self.step = state["step"]
        self.best_validation = state["best_validation"]

    def save(self, folder: Path) -> None:
        """Write the checkpoint; one that stood there before is replaced only once the new one is whole."""
        with replacing(folder / CHECKPOINT) as partial:
            torch.save(self.state_dict(), partial)

    def resume(self, folder: Path) -> None:
        """Go on from the folder's checkpoint, if it has one."""
        path = folder / CHECKPOINT
        if path.exists():
            self.load_state_dict(torch.load(path, map_location=self.config.device, weights_only=True))
            logger.info("resumed at step %d from %s", self.step, path)

    def autocast(self) -> AbstractContextManager:
        """Where the networks run in bfloat16, if the configuration says so."""
        device_type = torch.device(self.config.device).type
        return torch.autocast(device_type, torch.bfloat16, enabled=self.config.mixed_precision)

    def schedule(self, num_steps: int) -> None:
        """Set both learning rates for the step to come, of `num_steps` in all."""
        decay_steps = self.config.learning_rate_decay * num_steps
        factor = min(1.0, (num_steps - self.step) / decay_steps) if decay_steps else 1.0
        for optimiser, share in ((self.generator_optimiser, 1.0), (self.discriminator_optimiser, 0.1)):
            for group in optimiser.param_groups:
                group["lr"] = self.config.learning_rate * share * factor

    def update_generator(self, losses: dict[str, Tensor]) -> None:
        """One optimiser step of the generator on the sum of `losses`, and of its moving average."""
        _descend(self.generator_optimiser, losses)
        self.average.update_parameters(self.generator)

    def update_discriminator(self, losses: dict[str, Tensor]) -> None:
        """One optimiser step of the discriminator on the sum of `losses`."""
        _descend(self.discriminator_optimiser, losses)


def _placed(network: nn.Module, device: str) -> Any:
    return network.to(device).to(memory_format=torch.channels_last)


def _adam(network: nn.Module, weight_decay: float) -> torch.optim.Adam:
    return torch.optim.Adam(network.parameters(), betas=(0.5, 0.9), weight_decay=weight_decay, foreach=True)


def _descend(optimiser: torch.optim.Optimizer, losses: dict[str, Tensor]) -> None:
    total = torch.stack(list(losses.values())).sum()
    if not total.isfinite():
        values = ", ".join(f"{name} {value.item():.4g}" for name, value in losses.items())
        raise FloatingPointError(f"a loss is not finite ({values}); the last checkpoint is kept: lower learning_rate")
    optimiser.zero_grad(set_to_none=True)
    total.backward()
    optimiser.step()


def _warming_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """A moving average that forgets the random start: its decay grows from 0.1 to `decay`."""

    def update(averages: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        current = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, values, 1 - current)

    return update
