"""Made-up photos, and settings of runs on the narrowest networks there are."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import torchvision
from accelerate import Accelerator
from PIL import Image

from training.config import FineTuningConfig, SelfReconstructionConfig
from training.evaluation.settings import EvaluateConfig
from training.state import TrainingState


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of four."""
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[0:280, 0:900] / 280
    for number in range(4):
        channels = [np.sin((number + 1) * x + channel) + np.cos(3 * y + number) for channel in range(3)]
        pixels = (np.stack(channels, axis=-1) + 2) * 63
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def layered_photos(tmp_path_factory):
    """A folder of four: layers of colours that differ from photo to photo, and are the same from left to right."""
    folder = tmp_path_factory.mktemp("layered")
    random = np.random.default_rng(0)
    for number in range(4):
        layers = np.repeat(random.integers(0, 256, (8, 1, 3)), 40, axis=0)
        Image.fromarray(np.repeat(layers, 800, axis=1).astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def evaluate_config(layered_photos):
    """An evaluation of them that needs no download."""
    return EvaluateConfig(
        photos=(layered_photos,),
        gap_columns=(1, 4),
        feature_network="efficientnet-lite0",
        distance_network="efficientnet-lite0",
        num_pairs=8,
        num_real=12,
        batch_size=4,
    )


@pytest.fixture(scope="session")
def alexnet(tmp_path_factory):
    """A file of AlexNet's weights, at random."""
    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in state.items()}, path)
    return path


@pytest.fixture
def config(photos, tmp_path):
    """Three photos to train on in batches of two: six steps, 0 and 3 the discriminator's."""
    return SelfReconstructionConfig(
        photos=(photos,),
        out=tmp_path / "run",
        width=4,
        attention_levels=(2, 3),
        discriminator_width=2,
        batch_size=2,
        epochs=4,
        texture_weight=0.0,
        validate_every=3,
        save_every=2,
        workers=0,
        validation_share=0.25,
        cpu=True,
    )


@pytest.fixture
def fine_tuning_config(config):
    """The same for the second stage: one panorama to rebuild and one pair a step, twelve steps."""
    settings = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    return FineTuningConfig(**{**settings, "keep_by": "loss"})


@pytest.fixture
def make_state():
    """Makes the state of a run that begins."""
    return lambda config: TrainingState(config, Accelerator(cpu=True))


@pytest.fixture
def assert_same():
    """Asserts that two nested structures hold the same numbers, to the bit."""

    def compare(first, second):
        if isinstance(first, torch.Tensor):
            assert torch.equal(first, second)
        elif isinstance(first, dict):
            assert first.keys() == second.keys()
            for key in first:
                compare(first[key], second[key])
        elif isinstance(first, (list, tuple)):
            for one, other in zip(first, second, strict=True):
                compare(one, other)
        else:
            assert first == second

    return compare
