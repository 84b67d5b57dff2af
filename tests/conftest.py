"""What the test files share: the seed, reading the golden files, and generators of seeded weights."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from safetensors.torch import load_file
from torch import Tensor

from tests.golden.seeded import seeded_state_dict
from wrb.network.config import GeneratorConfig
from wrb.network.generator import Generator

MakeGenerator = Callable[..., Generator]

settings.register_profile("same examples each time", derandomize=True)
settings.load_profile("same examples each time")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same numbers in every run, whichever tests ran before."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def device() -> torch.device:
    """That of the tests marked `device`."""
    return torch.device(os.environ.get("WRB_TEST_DEVICE", "cpu"))


@pytest.fixture(scope="session")
def read_golden() -> Callable[[str], dict[str, Tensor]]:
    """Reads a file of `golden/` by its name without the extension."""
    return lambda name: load_file(Path(__file__).parent / "golden" / f"{name}.safetensors")


@pytest.fixture(scope="session")
def make_generator() -> MakeGenerator:
    """Makes a generator in eval mode from seeded weights; a keyword is a field of its configuration."""

    def make(*, seed: int = 0, **config: Any) -> Generator:
        with torch.device("meta"):
            generator = Generator(GeneratorConfig(**config))
        shapes = {name: tuple(tensor.shape) for name, tensor in generator.state_dict().items()}
        generator.load_state_dict(seeded_state_dict(shapes, seed), assign=True)
        return generator.eval()

    return make


@pytest.fixture(scope="session")
def tiny_generator(make_generator: MakeGenerator) -> Generator:
    """The narrowest generator there is, with attention at two levels. Shared: a test changes a copy of it."""
    return make_generator(width=2, attention_levels=(1, 3))
