"""Checkpoints on disk: written whole or not at all, the newest good one found again."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path
from typing import Any

import torch

from wrb.files import replacing

KEPT = 2
"""How many checkpoints stay: the newest, and one before it in case that is damaged."""

logger = logging.getLogger(__name__)


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> None:
    """Write the checkpoint of a step, then remove those that are older than the newest two.

    Raises:
        OSError: if it cannot be written; those before it are then as they were.
    """
    path = folder / f"checkpoint-{step:08}.pt"
    try:
        with replacing(path) as partial:
            torch.save(state, partial)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise OSError(
            f"{path} cannot be written ({error}); the checkpoint before it is whole: make room and start the run again"
        ) from error
    for old in _newest_first(folder)[KEPT:]:
        old.unlink()


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint that can be read, on the CPU; None if there never was one.

    Raises:
        ValueError: if there are some and none can be read.
    """
    paths = _newest_first(folder)
    for path in paths:
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # a damaged pickle can raise anything
            logger.warning("%s is damaged and passed over: %s", path, error)
            continue
        logger.info("resuming from %s", path)
        return state
    if paths:
        raise ValueError(f"no checkpoint in {folder} can be read; remove them to start anew, or take another --out")
    return None


def require_space(folder: Path, checkpoint_bytes: int) -> None:
    """Make sure that a run's checkpoints will fit on the disk.

    Raises:
        OSError: if there is less room than they take, with those that are there already counted as room.
    """
    free = shutil.disk_usage(folder).free + sum(path.stat().st_size for path in _newest_first(folder))
    needed = (KEPT + 1) * checkpoint_bytes
    if free < needed:
        raise OSError(
            f"{folder} has {free / 1e9:.1f} GB of room and checkpoints take up to {needed / 1e9:.1f} GB; "
            "make room or give another --out"
        )


def _newest_first(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.glob("checkpoint-*.pt") if re.search(r"-\d{8}\.pt$", path.name)), reverse=True
    )
