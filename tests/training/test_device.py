"""Both stages on a GPU, if `WRB_TEST_DEVICE` names one, and in mixed precision."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterator

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import Tensor

from tests.golden.seeded import seeded_image
from training import fine_tuning, self_reconstruction
from training.config import FineTuningConfig, SelfReconstructionConfig, TrainingConfig
from training.run import LAST_GENERATOR, Run
from training.steps import discriminator_losses, generator_losses
from wrb import load_generator
from wrb.devices import convolving_exactly

pytestmark = pytest.mark.device

MIXED_PRECISIONS = ["no", "bf16"] + ["fp16"] * os.environ.get("WRB_TEST_DEVICE", "cpu").startswith("cuda")
"""On a CPU, accelerate has no scaler for fp16."""


@pytest.fixture(autouse=True)
def _accelerators_apart() -> Iterator[None]:
    """Accelerate keeps the device and the precision of a process's first run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(params=["self-reconstruction", "fine-tuning"])
def stage(
    request: pytest.FixtureRequest,
    config: SelfReconstructionConfig,
    fine_tuning_config: FineTuningConfig,
    device: torch.device,
) -> TrainingConfig:
    """Three steps, of which the first is the discriminator's."""
    chosen = config if request.param == "self-reconstruction" else fine_tuning_config
    return dataclasses.replace(
        chosen,
        cpu=device.type == "cpu",
        epochs=chosen.samples_per_batch,  # of three photos
        texture_weight=0.01,
        texture_network="efficientnet-lite0",
    )


def prepare(config: TrainingConfig) -> Run:
    return (fine_tuning if isinstance(config, FineTuningConfig) else self_reconstruction).prepare(config)


@pytest.mark.parametrize("mixed_precision", MIXED_PRECISIONS)
def test_steps_change_the_weights_on_the_device(
    mixed_precision: str, stage: TrainingConfig, device: torch.device
) -> None:
    num_steps = 30 if mixed_precision == "fp16" else 3  # its scaler finds a scale by leaving steps out
    epochs = stage.epochs * num_steps // 3
    run = prepare(dataclasses.replace(stage, mixed_precision=mixed_precision, epochs=epochs))
    networks = run.state.generator, run.state.discriminator
    before = [copy.deepcopy(network.state_dict()) for network in networks]
    run.train()
    assert run.state.step == num_steps
    for network, weights in zip(networks, before, strict=True):
        after = network.state_dict()
        assert all(weight.device.type == device.type and weight.isfinite().all() for weight in after.values())
        assert any(not torch.equal(after[name], weight) for name, weight in weights.items())
    assert load_generator(stage.out / LAST_GENERATOR).config == run.state.generator.config


def test_losses_are_those_of_the_cpu(stage: TrainingConfig, device: torch.device) -> None:
    panoramas = seeded_image(41, batch=2, width=768)
    roles = "panorama", "left", "right", "other"
    sample = {role: panoramas.roll(number, dims=0) for number, role in enumerate(roles)}
    if isinstance(stage, SelfReconstructionConfig):
        sample = {"panorama": panoramas}
    found = losses(stage, sample, device)
    AcceleratorState._reset_state(reset_partial_state=True)
    expected = losses(dataclasses.replace(stage, cpu=True), sample, torch.device("cpu"))
    assert found == pytest.approx(expected, rel=1e-2)


@torch.no_grad()
def losses(config: TrainingConfig, sample: dict[str, Tensor], device: torch.device) -> dict[str, float]:
    """Of a run's first weights."""
    run = prepare(config)
    placed = {role: crops.to(device) for role, crops in sample.items()}
    with convolving_exactly():
        of_generator = generator_losses(run.state, run.texture, placed, 4)
        of_discriminator = discriminator_losses(run.state, placed, 4)
    return {name: value.item() for name, value in {**of_generator, **of_discriminator}.items()}
