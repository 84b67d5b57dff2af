"""Where to compute, and what it looks like when there is no room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

OUT_OF_MEMORY = ("out of memory", "not enough memory", "can't allocate memory", "DefaultCPUAllocator")
"""What torch says when a device has no room, and on the CPU, where the rest differs between systems."""


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
    """Whether an error says that a device's memory, or the computer's own, did not suffice.

    For the computer's own, and for some devices, torch has no class of error: it is known by its words.
    """
    if isinstance(error, RuntimeError):
        return any(words in str(error) for words in OUT_OF_MEMORY)
    return isinstance(error, MemoryError)


@contextmanager
def convolving_exactly() -> Iterator[None]:
    """NVIDIA's GPUs convolve in float32 as a CPU does, not with TF32's ten bits, which is torch's default: by those,
    other pieces of the photos would match best."""
    allowed = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = allowed
