"""How much faster training is than its plain transcription: `python -m benchmarks.training_speed`.

A step is all of it: losses, gradients, optimiser and, for ours alone, the norm of the gradients and the moving average.
Both run in turns in one process, so that whatever else the machine does slows both alike. At the authors' width it
takes 11 GB of memory.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from accelerate import Accelerator
from torch import nn

from benchmarks.plain_training import PlainTraining
from training.config import SelfReconstructionConfig
from training.data import Sample
from training.perceptual import VGG19Features
from training.state import TrainingState
from training.steps import discriminator_losses, generator_losses

GAP_COLUMNS = 4
RHYTHM = {"discriminator": 1, "generator": 2}
"""Steps of each kind in every three."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="of which the medians are compared (default: 5)")
    parser.add_argument("--threads", type=int, help="on a machine that does other work too, 1 varies least")
    parser.add_argument("--width", type=int, default=64, help="of the generator (default: 64, the authors')")
    parser.add_argument("--batch", type=int, default=2, help="panoramas in a step (default: 2)")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    say = sys.stdout.write
    say(f"torch {torch.__version__}, {torch.get_num_threads()} threads, medians of {options.rounds} rounds, ")
    say(f"width {options.width}, batches of {options.batch}\n")
    say("step           plain samples/s  ours samples/s  ratio\n")
    seconds = compare(options.width, options.batch, options.rounds)
    seconds["both, 1:2"] = tuple(
        sum(times * seconds[kind][side] for kind, times in RHYTHM.items()) / sum(RHYTHM.values()) for side in (0, 1)
    )
    for kind, (plain, ours) in seconds.items():
        say(f"{kind:13}  {options.batch / plain:15.3f}  {options.batch / ours:14.3f}  {plain / ours:5.2f}\n")


def compare(width: int, batch: int, rounds: int) -> dict[str, tuple[float, ...]]:
    """Median seconds of each kind of step, by the plain transcription and by ours."""
    with tempfile.TemporaryDirectory() as folder:
        config = SelfReconstructionConfig(
            photos=(Path(folder),), out=Path(folder), width=width, batch_size=batch, cpu=True, mixed_precision="no"
        )
        texture = random_texture_network(Path(folder) / "vgg19.pth")
    state = TrainingState(config, Accelerator(cpu=True, mixed_precision="no"))
    state.schedule(1, 1)
    plain = PlainTraining(
        state.generator.state_dict(),
        state.discriminator.state_dict(),
        texture.state_dict(),
        state.generator.config.attention_levels,
    )
    steps: dict[str, tuple[Callable[[Sample], None], Callable[[Sample], None]]] = {
        "discriminator": (plain.discriminator_step, lambda sample: discriminator_step(state, sample)),
        "generator": (plain.generator_step, lambda sample: generator_step(state, texture, sample)),
    }
    sample = {"panorama": torch.rand(batch, 3, 256, 768)}
    seconds: dict[str, tuple[list[float], list[float]]] = {kind: ([], []) for kind in steps}
    for round_number in range(rounds + 1):
        for kind, sides in steps.items():
            for side, step in enumerate(sides):
                duration = _time(step, sample)
                for optimiser in (state.generator_optimiser, plain.generator_optimiser):
                    optimiser.zero_grad()  # so as to hold one side's gradients at a time
                if round_number:  # the first warms up
                    seconds[kind][side].append(duration)
    return {kind: (statistics.median(plain), statistics.median(ours)) for kind, (plain, ours) in seconds.items()}


def generator_step(state: TrainingState, texture: nn.Module, sample: Sample) -> None:
    """As `training.run` does it."""
    state.generator_optimiser.zero_grad()
    losses = generator_losses(state, texture, sample, GAP_COLUMNS)
    state.accelerator.backward(torch.stack(list(losses.values())).sum())
    torch.nn.utils.get_total_norm([weight.grad for weight in state.generator.parameters() if weight.grad is not None])
    state.generator_optimiser.step()
    state.average.update_parameters(state.generator)


def discriminator_step(state: TrainingState, sample: Sample) -> None:
    state.discriminator_optimiser.zero_grad()
    losses = discriminator_losses(state, sample, GAP_COLUMNS)
    state.accelerator.backward(torch.stack(list(losses.values())).sum())
    weights = state.discriminator.parameters()
    torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    state.discriminator_optimiser.step()


def random_texture_network(path: Path) -> VGG19Features:
    """VGG19 that has learnt nothing, by way of a file."""
    network = torchvision.models.vgg19(weights=None)
    torch.save({name: tensor for name, tensor in network.state_dict().items() if "features" in name}, path)
    return VGG19Features(path)


def _time(step: Callable[[Sample], None], sample: Sample) -> float:
    start = time.perf_counter()
    step(sample)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
