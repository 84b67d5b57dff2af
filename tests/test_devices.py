"""Where to compute, on old and new versions of torch, and what tells that memory ran out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from wrb.devices import is_out_of_memory, usable_device


def test_without_an_accelerator_it_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    # torch 2.6 names what it was built for, and takes no argument
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert usable_device(None) == torch.device("cpu")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert usable_device(None) == torch.device("cuda")


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="device abacus cannot be used here"):
        usable_device("abacus")


@pytest.mark.parametrize(
    "allocate",
    [lambda: torch.empty(2**60), lambda: np.empty(2**57), lambda: bytearray(2**60)],
    ids=["torch", "numpy", "python"],
)
def test_every_kind_of_too_little_memory_is_known(allocate: Callable[[], object]) -> None:
    with pytest.raises(Exception) as raised:
        allocate()
    assert is_out_of_memory(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] data. DefaultCPUAllocator: not enough memory: you tried"),
    ],
)
def test_devices_and_systems_that_are_not_here(error: RuntimeError) -> None:
    assert is_out_of_memory(error)


@pytest.mark.parametrize("error", [RuntimeError("shapes do not match"), ValueError("out of memory"), OSError("full")])
def test_other_errors_are_none(error: Exception) -> None:
    assert not is_out_of_memory(error)
