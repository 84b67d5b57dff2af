"""What tells that memory ran out, on whatever device."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from wrb.devices import is_out_of_memory


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
