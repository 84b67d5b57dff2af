"""Where to compute."""

from __future__ import annotations

import torch


def usable_device(name: str | None) -> torch.device:
    """The device of that name, such as "cpu", "cuda:1" or "mps"; None: the GPU if there is one, else the CPU.

    Raises:
        ValueError: if this machine or this build of torch does not have it.
    """
    if name is None:
        # torch 2.6 names the accelerator that it was built for, whether there is one or not
        accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return accelerator or torch.device("cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch has one for each way of lacking it
        raise ValueError(f"device {name} cannot be used here: {error}") from error
    return device


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch has another kind of error, and other words, on each device."""
    words = "out of memory", "not enough memory", "can't allocate memory"
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in words)
    )
