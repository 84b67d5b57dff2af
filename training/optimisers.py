"""How the networks learn: their optimisers, learning rates over a run, and the moving average of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .settings import Settings


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings(Settings):
    """How fast both networks learn."""

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

    def __post_init__(self) -> None:
        self.require_not_negative("learning_rate", "discriminator_learning_rate", "halve_every", "clip_gradient")
        self.require_share("decay")
        self.require_positive("discriminator_interval")
        super().__post_init__()

    def learning_rates(self, step: int, num_steps: int, steps_per_epoch: float) -> tuple[float, float]:
        """The generator's and the discriminator's learning rate at a step, of `num_steps` in all."""
        factor = 1.0
        if self.halve_every:
            factor = 0.5 ** (step // (self.halve_every * steps_per_epoch))
        if self.decay:
            factor *= min(1.0, (num_steps - step) / (self.decay * num_steps))
        return self.learning_rate * factor, self.discriminator_learning_rate * factor


def adam(network: nn.Module, weight_decay: float) -> torch.optim.Adam:
    """The paper's optimiser; its learning rate is set before each step."""
    return torch.optim.Adam(network.parameters(), betas=(0.5, 0.9), weight_decay=weight_decay, fused=True)


def warming_average(decay: float) -> Callable[[Any, Any, Any], None]:
    """A moving average that forgets the random start: its decay grows from 0.1 to `decay`."""

    def update(averages: list[Tensor], values: list[Tensor], count: Tensor | int) -> None:
        current = min(decay, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averages, values, 1 - current)

    return update
