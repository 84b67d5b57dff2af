"""Where to compute, on old and new versions of torch."""

from __future__ import annotations

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


def test_memory_that_ran_out_is_known_on_every_device() -> None:
    with pytest.raises(RuntimeError) as on_cpu:
        torch.empty(2**58)
    errors = [
        on_cpu.value,
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("not enough memory"),
    ]
    assert all(map(is_out_of_memory, errors))
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))
